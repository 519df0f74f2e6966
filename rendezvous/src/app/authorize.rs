//! Tokens: who may do what, and who may learn that a room is gone.

use snug_crypto::RoomHandle;
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, TokenHash};
use snug_rendezvous_api::{ProblemType, TOKEN_TTL_S, Token};

use super::App;
use super::answer::Refusal;
use crate::keys::Found;
use crate::store::{Room, Session};

/// A token is renewed only if it has aged this much, so that not every use is a write.
const RENEW_AFTER_MS: u64 = 5 * 60 * 1000;
/// A token's life after its last use, give or take [`RENEW_AFTER_MS`].
pub(super) const TOKEN_TTL_MS: u64 = TOKEN_TTL_S as u64 * 1000;

/// A request whose token is good.
pub(super) struct Authorized {
    pub keyed: KeyedHandle,
    pub token: TokenHash,
    pub kind: Kind,
    pub room: Room,
}

impl App {
    /// Admits a token of this room and credential, and renews it. Everything that is wrong with a token is one refusal,
    /// but two: the room is deleted (410 with the tombstone), or it is the room's other credential (403).
    pub(super) async fn authorize(
        &self,
        handle: &RoomHandle,
        token: &Token,
        needed: Kind,
    ) -> Result<Authorized, Refusal> {
        let authorized = self.authorize_any(handle, token).await?;
        if authorized.kind == needed {
            Ok(authorized)
        } else {
            Err(Refusal::new(ProblemType::WrongCredential))
        }
    }

    /// The same for a token of either credential.
    pub(super) async fn authorize_any(&self, handle: &RoomHandle, token: &Token) -> Result<Authorized, Refusal> {
        let refused = || Refusal::new(ProblemType::TokenRefused);
        let token = self.keys.current().token_hash(token.as_bytes());
        let now_ms = self.clock.now_ms();
        let found = self.keys.find(self.store.as_ref(), handle, now_ms);
        let (session, Found { keyed, room, .. }) =
            futures::future::try_join(self.store.session(token, now_ms), found).await?;
        let session = session.filter(|session| session.room == keyed).ok_or_else(refused)?;
        let room = room.ok_or_else(refused)?;
        // A room that was made anew on the same id is another room; but tokens live an hour, and tombstones 30 days.
        if let Some(tombstone) = &room.tombstone {
            return Err(Refusal::gone(handle, tombstone));
        }
        if session.record != room.record(session.kind).id() {
            return Err(refused());
        }
        self.admit_member(&keyed)?;
        self.renew(token, &session, now_ms).await?;
        Ok(Authorized {
            keyed,
            token,
            kind: session.kind,
            room,
        })
    }

    /// Whether the token is a live one of this room and credential. Who has proven the Room Key learns nothing from
    /// further tries at it; tries at the Password, or at a newer Room Key, are another matter.
    pub(super) async fn has_proven(
        &self,
        keyed: KeyedHandle,
        room: Option<&Room>,
        token: Option<&Token>,
        kind: Kind,
    ) -> Result<bool, Refusal> {
        let (Some(token), Some(room)) = (token, room) else {
            return Ok(false);
        };
        let token = self.keys.current().token_hash(token.as_bytes());
        let session = self.store.session(token, self.clock.now_ms()).await?;
        Ok(session.is_some_and(|session| {
            session.room == keyed && session.kind == kind && session.record == room.record(kind).id()
        }))
    }

    async fn renew(&self, token: TokenHash, session: &Session, now_ms: u64) -> Result<(), Refusal> {
        let full = now_ms.saturating_add(TOKEN_TTL_MS);
        if full.saturating_sub(session.expires_at_ms) >= RENEW_AFTER_MS {
            self.store.renew_session(token, full).await?;
            self.note_use(session.room).await?;
        }
        Ok(())
    }

    /// Notes that somebody with the room's credential was here today, if the host's policy needs to know.
    pub(super) async fn note_use(&self, room: KeyedHandle) -> Result<(), Refusal> {
        if self.live().idle_room_days > 0 {
            self.store.touch_room(room, self.today()).await?;
        }
        Ok(())
    }
}
