//! What the actor does when the room gets another Room Key: the mesh moves, the heartbeat goes on under the new key, and front ends learn
//! what to hand on.

use std::sync::Arc;
use std::time::Duration;

use snug_crypto::credential::SignedTombstone;
use snug_crypto::generation::IntroKey;
use snug_crypto::invite::Serverless;
use snug_crypto::names::RoomKey;
use snug_crypto::rest::{GenerationAtRest, MembershipAtRest};
use tokio_util::sync::CancellationToken;

use super::EventKind;
use super::actor::Actor;
use super::arrive::at_rest;
use super::enter::generations_at_rest;
use super::heartbeat::BeatKeys;
use super::keyring::MAX_TRIED;
use super::registrar::{Registered, Registration};
use crate::rendezvous::ChangeError;
use crate::room::{Move, Registering};
use crate::text::Untrusted;

/// How long the rendezvous may take to hear of a deletion; the members know of it already.
const DELETION: Duration = Duration::from_secs(5);

impl Actor {
    pub(super) fn move_to(&mut self, there: Move) {
        let Move {
            keys,
            room_key,
            doors,
            register,
        } = there;
        self.net.rekey(keys.mesh().clone(), &keys.topic(), doors);
        let intro = keys.intro().clone();
        let known = self.beat_keys.borrow().clone();
        let intros: Vec<IntroKey> = std::iter::once(intro).chain(known.intros).take(MAX_TRIED).collect();
        self.introductions.rekey(intros.clone());
        if let (Some(looking), Some(intro)) = (&self.looking, intros.first()) {
            looking.send_modify(|looking| {
                looking.mesh = keys.mesh().clone();
                looking.intro = intro.clone();
            });
        }
        let newest = self.room.capsule().map(|capsule| at_rest(&capsule, &room_key));
        let room_keys: Vec<GenerationAtRest> = (newest.into_iter()).chain(known.room_keys).take(MAX_TRIED).collect();
        // An error means that the heartbeat has ended, which the actor hears of otherwise.
        let _ = self.beat_keys.send(BeatKeys { room_keys, intros });
        self.keep_room_key();
        if let Some(capsule) = self.room.capsule() {
            self.emit(EventKind::NewRoomKey {
                room_key: Arc::new(room_key.clone()),
                serverless: Arc::new(Serverless {
                    generation: capsule.generation,
                    random: capsule.random,
                }),
            });
        }
        if let Some(registering) = register {
            self.register(room_key, registering, false);
        }
    }
}

impl Actor {
    /// The rendezvous shall let newcomers in with the new Room Key, and with no earlier one. What was being registered before is given up.
    fn register(&mut self, room_key: RoomKey, registering: Registering, overrides: bool) {
        let Some(client) = self.client.clone() else { return };
        self.registration.cancel();
        self.registration = CancellationToken::new();
        self.registering = Some(registering.capsule.generation);
        let Registering {
            capsule,
            object,
            certificate,
            key,
            least_serial,
            after,
        } = registering;
        let registration = Registration {
            client,
            session: self.session.clone(),
            room_id: self.room_id.clone(),
            room_key,
            capsule,
            object,
            certificate,
            key,
            least_serial,
            word: self.room.word_version(),
            after,
            overrides,
            insecure: self.insecure_registration,
        };
        let (cancelled, done) = (self.registration.clone(), self.registered.clone());
        tokio::spawn(async move {
            if let Some(registered) = registration.run(cancelled).await {
                // An error means that the node has ended.
                let _ = done.send(registered).await;
            }
        });
    }

    /// Registers the generation that we are in if the rendezvous has heard of an earlier one only, and that is for us to do: its maker may
    /// have gone before the rendezvous was back, or we may have been its maker, in an earlier run.
    pub(super) fn tend_registration(&mut self) {
        let Some(there) = self.session.in_capsule() else { return };
        let here = self.room.generation();
        let login = self.session.version();
        let state = (here, self.room.log_version(), login);
        if self.looked_at == Some(state) || !self.room.is_settled_in() {
            return;
        }
        if self.looked_at.map_or(0, |(_, _, before)| before) != login {
            // The rendezvous may take another generation's Room Key now.
            self.keep_room_key();
        }
        self.looked_at = Some(state);
        let is_refused = self.word_refused == Some(self.room.word_version());
        if self.registering == Some(here) || is_refused || here.cmp_currency(&there.generation).is_le() {
            return;
        }
        let room_key = self.room.room_key().cloned();
        if let (Some(room_key), Some(registering)) = (room_key, self.room.registering(self.clock.now())) {
            self.register(room_key, registering, false);
        }
    }

    /// The next run enters with the Room Key of now.
    fn keep_room_key(&mut self) {
        let (Some(capsule), Some(room_key)) = (self.room.capsule(), self.room.room_key()) else {
            return;
        };
        let kept = self.profile.keep_membership(&MembershipAtRest {
            server: self.client.as_ref().map(|client| client.server().as_str().to_owned()),
            room_id: self.room_id.clone(),
            genesis: self.genesis.clone(),
            name: self.name.clone(),
            generations: generations_at_rest(self.session.registered(), at_rest(&capsule, room_key)),
        });
        if let Err(error) = kept {
            self.warn(format!(
                "The new Room Key could not be stored: {error}. Note the invite that /invite shows."
            ));
        }
    }

    pub(super) fn on_registered(&mut self, registered: Registered) {
        if !matches!(registered, Registered::Done | Registered::Already) {
            self.registering = None;
        }
        match registered {
            Registered::Already => tracing::debug!("the generation was registered by somebody else"),
            Registered::Done => self.emit(EventKind::System {
                event: "registered",
                message: Untrusted::new(format!(
                    "The rendezvous {} lets newcomers in with the new Room Key now; /invite shows what to hand on.",
                    self.server()
                )),
                notice: None,
            }),
            Registered::Outdone(by) if self.room.is_void(&by.hash) => {
                let now = self.clock.now();
                let room_key = self.room.room_key().cloned();
                if let (Some(room_key), Some(registering)) = (room_key, self.room.registering(now)) {
                    self.register(room_key, registering, true);
                }
            }
            Registered::Outdone(_) => tracing::debug!("another generation is registered, and wins"),
            Registered::WordRefused(word) => {
                self.word_refused = Some(word);
                // There may be another word by now.
                self.looked_at = None;
                self.warn(format!(
                    "The new Room Key could not be registered at the rendezvous: {}. It is tried again then; until it is done, newcomers \
                     can't enter with it.",
                    ChangeError::CertificateRefused
                ));
                self.tend_registration();
            }
            Registered::Refused(error) => self.warn(format!(
                "The new Room Key could not be registered at the rendezvous: {error}. Newcomers can't enter with it until the admin \
                 has come by."
            )),
        }
    }

    /// We deleted the room: the tombstone is the admin's word, whoever brings it.
    pub(super) fn delete_at_rendezvous(&mut self, tombstone: &[u8]) {
        let Ok(bytes) = tombstone.try_into() else { return };
        let tombstone = SignedTombstone::from_bytes(bytes);
        let Some(session) = self.session.get() else {
            if self.client.is_some() {
                tracing::warn!("the rendezvous is away; it still lists the room");
            }
            return;
        };
        self.deletion = Some(tokio::spawn(async move {
            match tokio::time::timeout(DELETION, session.delete_room(&tombstone)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the rendezvous still lists the room"),
                Err(_) => tracing::warn!("the rendezvous did not answer in time; it still lists the room"),
            }
        }));
    }
}
