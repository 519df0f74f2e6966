//! Naming a keeper, and letting it into each new generation: topic and link key, sealed to it and signed by whoever may
//! (docs/PROTOCOL.md, "Keepers").

use snug_crypto::AdminKey;
use snug_crypto::credential::SignedCertificate;
use snug_crypto::generation::Generation;
use snug_crypto::ids::PeerKey;
use snug_crypto::keeper::{self, Grant, Granter, KeeperInvite, KeeperReply, KeeperRequest, UnverifiedGrant};
use snug_crypto::operation::{Keeper, Operation};

use super::{KeeperQuestion, MAX_KEEPERS};
use crate::room::command::CommandRefused;
use crate::room::objects::Told;
use crate::room::{Notice, Now, Room, RoomEvent};

impl Room {
    /// Names a keeper, and says what it begins with.
    pub(in crate::room) fn name_keeper(&mut self, offer: Keeper, now: Now) -> Result<(), CommandRefused> {
        self.must_be_admin()?;
        let Some(admin) = self.own.admin().cloned() else {
            return Err(CommandRefused::NeedsPassword);
        };
        let known = self.authority.evaluation().keepers.get(&offer.key);
        if known.is_none() && self.authority.evaluation().keepers.len() >= MAX_KEEPERS {
            return Err(CommandRefused::EnoughKeepers);
        }
        // One that lost its invite is given another, and nothing is signed twice.
        if known != Some(&offer) {
            self.sign_and_tell(Operation::Keeper(Box::new(offer.clone())), now)?;
        }
        let invite = self.first_grant(&admin, &offer, now).ok_or(CommandRefused::NotReady)?;
        self.event(RoomEvent::System(Notice::KeeperNamed {
            room: self.genesis.room_id().as_str().to_owned(),
            fingerprint: offer.key.fingerprint(),
            invite: invite.to_text(),
        }));
        Ok(())
    }

    fn first_grant(&mut self, admin: &AdminKey, offer: &Keeper, now: Now) -> Option<KeeperInvite> {
        let generation = self.keys.generation();
        let grant = Grant {
            generation,
            topic: self.keys.topic(),
            keep: self.keys.keep(),
            before: generation,
            at_ms: now.unix_ms,
            object: None,
        };
        let grant = grant.create(Granter::Admin(admin), offer, &self.genesis_hash, &mut self.rng)?;
        Some(KeeperInvite {
            admin: admin.public(),
            grant,
        })
    }

    /// Lets the keepers that we are linked with into the generation that we are about to move to, if we may.
    pub(in crate::room) fn hand_to_keepers(&mut self, before: Generation, now: Now) {
        let linked = self.keepers.links.keys().copied();
        let linked: Vec<PeerKey> = linked.filter(|peer| self.is_keeper(peer)).collect();
        for peer in linked {
            if let Some(grant) = self.grant(&peer, before, now) {
                let request = KeeperRequest::Generation {
                    generation: before,
                    grant: Some(grant),
                };
                self.ask_keeper(peer, &request, KeeperQuestion::Hand);
            }
        }
    }

    /// What a keeper is asked that is in another generation, with the grant for ours if we may sign one.
    pub(super) fn keeper_question(&mut self, peer: &PeerKey, now: Now) -> Vec<u8> {
        let generation = self.keys.generation();
        let held = self.generations.all_held();
        let earlier = held.iter().map(|held| held.keys.generation());
        // Where it is, nobody knows; most likely in the one before.
        let before = earlier
            .filter(|held| held.cmp_currency(&generation).is_lt())
            .max_by(Generation::cmp_currency);
        let grant = before.and_then(|before| self.grant(peer, before, now));
        let request = KeeperRequest::Generation { generation, grant };
        request.encode().unwrap_or_default()
    }

    fn grant(&mut self, peer: &PeerKey, before: Generation, now: Now) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let keeper = self.valid_keepers().find(|keeper| keeper.peer() == *peer)?.clone();
        let certificate = self.word_for_us(now);
        let object = self.current_object();
        let control = self.generations.held(&before).map(|held| held.keys.control().clone());
        let object = object
            .zip(control)
            .map(|(object, control)| keeper::seal_object(&control, &mut self.rng, &object));
        let granter = match (self.own.admin(), &certificate) {
            (Some(admin), _) => Granter::Admin(admin),
            (None, Some(certificate)) => Granter::Certified(&self.own.secrets().signing, *certificate),
            (None, None) => return None,
        };
        let grant = Grant {
            generation: self.keys.generation(),
            topic: self.keys.topic(),
            keep: self.keys.keep(),
            before,
            at_ms: now.unix_ms,
            object: object.as_deref(),
        };
        let grant: UnverifiedGrant = grant.create(granter, &keeper, &self.genesis_hash, &mut self.rng)?;
        Some((grant.encode(), object))
    }

    fn word_for_us(&self, now: Now) -> Option<SignedCertificate> {
        self.own_certificate(self.own.leaf()?, now)
    }

    /// What a door had to say: a member's, or a keeper's, which can't read what it gives.
    pub(in crate::room) fn on_keepers_door(&mut self, bytes: &[u8], now: Now) {
        let Ok(KeeperReply::Generation(Some(sealed))) = KeeperReply::decode(bytes) else {
            return;
        };
        if let Some(object) = keeper::open_object(self.keys.control(), &sealed) {
            self.take_object(&object, Told::Asked, now);
        }
    }
}
