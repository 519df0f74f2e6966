//! A session of members in one epoch, the same for every input.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, Identity, Policy, RoomId, RoomKey, RoomRandom, TransportKey,
    content::Content,
    epoch::{self, IssueParams, MemberEntry, Round},
    frame::Epoch,
    leaf::{Leaf, LeafParams, LeafSecrets},
};

/// A member with its view of the epoch.
pub struct Member {
    /// Its keys.
    pub secrets: LeafSecrets,
    /// Its record.
    pub leaf: Leaf,
    /// Its epoch.
    pub epoch: Epoch,
}

/// Members of one epoch.
pub struct Session {
    rng: ChaCha20Rng,
    /// The members.
    pub members: Vec<Member>,
}

impl Session {
    /// A room with so many members, each with its box opened.
    pub fn new(members: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let admin = AdminKey::generate(&mut rng);
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "", 0, Policy::default()).unwrap();
        let (key, random) = (RoomKey::generate(&mut rng), RoomRandom::generate(&mut rng));
        let keys = GenerationKeys::derive(&key, &random, &id.handle(), Generation::first(&genesis.hash()));
        let mut made: Vec<(LeafSecrets, Leaf)> = Vec::new();
        for _ in 0..members {
            let (identity, transport) = (Identity::generate(&mut rng), TransportKey::generate(&mut rng));
            let secrets = LeafSecrets::generate(&mut rng);
            let generation = keys.generation();
            let params = LeafParams { name: "a".into(), seq: 1, incarnation: 0, expires_at_ms: 1, generation, approval: None };
            let leaf = Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash()).unwrap();
            made.push((secrets, leaf));
        }
        let entries: Vec<_> = made.iter().map(|(_, leaf)| (MemberEntry::of(leaf), leaf.kem())).collect();
        let params = IssueParams {
            generation: keys.generation(),
            round: Round { day: 1, counter: 0 },
            issuer: made[0].1.id(),
            custodians: vec![],
            members: &entries,
        };
        let issued = epoch::issue(&mut rng, keys.psk(), &genesis.hash(), params, &made[0].0.signing).unwrap();
        let leaf_keys: Vec<_> = made.iter().map(|(_, leaf)| (leaf.id(), *leaf.key())).collect();
        let members = made
            .into_iter()
            .map(|(secrets, leaf)| {
                let sealed = issued.boxes.iter().find(|sealed| sealed.leaf == leaf.id()).unwrap();
                let opened = epoch::open_box(&issued.announcement, sealed, &secrets.kem, keys.psk()).unwrap();
                let epoch = Epoch::new(opened, &issued.announcement, &leaf_keys).unwrap();
                Member { secrets, leaf, epoch }
            })
            .collect();
        Self { rng, members }
    }

    /// A frame of one of them.
    pub fn send(&mut self, from: usize, contents: &[Content]) -> Vec<u8> {
        let Member { secrets, leaf, epoch } = &mut self.members[from];
        epoch.seal(&mut self.rng, leaf.id(), &secrets.signing, &[], contents).unwrap().bytes
    }
}

/// A message.
pub fn text(text: &str) -> Content {
    Content::Text { text: text.to_owned(), reply_to: None, sent_at_ms: 0 }
}
