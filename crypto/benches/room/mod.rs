//! A room with members, for benchmarks.
#![allow(dead_code)]

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, Identity, LeafId, Policy, RoomId, RoomKey, RoomRandom, TransportKey,
    epoch::{self, Announcement, EpochSecrets, IssueParams, MemberEntry, Round},
    frame::Epoch,
    leaf::{Leaf, LeafParams, LeafPublicKey, LeafSecrets},
};

pub struct Member {
    pub secrets: LeafSecrets,
    pub leaf: Leaf,
}

pub struct Room {
    pub rng: ChaCha20Rng,
    pub genesis: Genesis,
    pub keys: GenerationKeys,
    pub members: Vec<Member>,
}

impl Room {
    pub fn new(members: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let admin = AdminKey::generate(&mut rng);
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "", 0, Policy::default()).unwrap();
        let (key, random) = (RoomKey::generate(&mut rng), RoomRandom::generate(&mut rng));
        let keys = GenerationKeys::derive(&key, &random, &id.handle(), Generation::first(&genesis.hash()));
        let members = (0..members)
            .map(|_| {
                let (identity, transport) = (Identity::generate(&mut rng), TransportKey::generate(&mut rng));
                let secrets = LeafSecrets::generate(&mut rng);
                let generation = keys.generation();
                let params = LeafParams {
                    name: "a".into(),
                    seq: 1,
                    incarnation: 0,
                    expires_at_ms: 1,
                    generation,
                    approval: None,
                };
                let leaf = Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash()).unwrap();
                Member { secrets, leaf }
            })
            .collect();
        Self {
            rng,
            genesis,
            keys,
            members,
        }
    }

    pub fn issue(&mut self) -> epoch::Issued {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|m| (MemberEntry::of(&m.leaf), m.leaf.kem()))
            .collect();
        let params = IssueParams {
            generation: self.keys.generation(),
            round: Round { day: 1, counter: 0 },
            issuer: self.members[0].leaf.id(),
            custodians: vec![],
            members: &members,
        };
        let signer = &self.members[0].secrets.signing;
        epoch::issue(&mut self.rng, self.keys.psk(), &self.genesis.hash(), params, signer).unwrap()
    }

    pub fn open(&self, issued: &epoch::Issued, index: usize) -> EpochSecrets {
        let member = &self.members[index];
        let sealed = issued
            .boxes
            .iter()
            .find(|sealed| sealed.leaf == member.leaf.id())
            .unwrap();
        epoch::open_box(&issued.announcement, sealed, &member.secrets.kem, self.keys.psk()).unwrap()
    }

    pub fn live(&self, secrets: EpochSecrets, announcement: &Announcement) -> Epoch {
        let keys: Vec<(LeafId, LeafPublicKey)> = self.members.iter().map(|m| (m.leaf.id(), *m.leaf.key())).collect();
        Epoch::new(secrets, announcement, &keys).unwrap()
    }

    /// An epoch for which every frame is signed by the wrong key: all members have that of one.
    pub fn live_with(&self, secrets: EpochSecrets, announcement: &Announcement, of: usize) -> Epoch {
        let key = *self.members[of].leaf.key();
        let keys: Vec<(LeafId, LeafPublicKey)> = self.members.iter().map(|m| (m.leaf.id(), key)).collect();
        Epoch::new(secrets, announcement, &keys).unwrap()
    }
}
