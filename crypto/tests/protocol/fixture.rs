//! A room with members, made from a seed.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, GenesisHash, Identity, LeafId, Policy, RoomId, RoomKey, RoomRandom,
    TransportKey,
    content::Content,
    epoch::{self, Announcement, IssueParams, Issued, MemberEntry, Round},
    frame::Epoch,
    leaf::{Leaf, LeafParams, LeafPublicKey, LeafSecrets},
};

pub struct Member {
    pub identity: Identity,
    pub transport: TransportKey,
    pub secrets: LeafSecrets,
    pub leaf: Leaf,
}

pub struct Room {
    pub rng: ChaCha20Rng,
    pub admin: AdminKey,
    pub genesis: Genesis,
    pub keys: GenerationKeys,
    pub members: Vec<Member>,
}

impl Room {
    pub fn new(seed: u64, members: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let admin = AdminKey::generate(&mut rng);
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "", 1_700_000_000_000, Policy::default()).unwrap();
        let key = RoomKey::generate(&mut rng);
        let random = RoomRandom::generate(&mut rng);
        let generation = Generation::first(&genesis.hash());
        let keys = GenerationKeys::derive(&key, &random, &id.handle(), generation);
        let mut room = Self {
            rng,
            admin,
            genesis,
            keys,
            members: Vec::new(),
        };
        for number in 0..members {
            let member = room.member(&format!("member {number}"));
            room.members.push(member);
        }
        room
    }

    pub fn member(&mut self, name: &str) -> Member {
        let identity = Identity::generate(&mut self.rng);
        let transport = TransportKey::generate(&mut self.rng);
        let secrets = LeafSecrets::generate(&mut self.rng);
        let params = LeafParams {
            name: name.to_owned(),
            seq: 1,
            incarnation: 0,
            expires_at_ms: 1_800_000_000_000,
            generation: self.keys.generation(),
            approval: None,
        };
        let leaf = Leaf::create(params, &identity, &transport, &secrets, self.keys.join(), &self.hash()).unwrap();
        Member {
            identity,
            transport,
            secrets,
            leaf,
        }
    }

    pub fn hash(&self) -> GenesisHash {
        self.genesis.hash()
    }

    /// An epoch of everybody, issued by the first.
    pub fn issue(&mut self) -> Issued {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|member| (MemberEntry::of(&member.leaf), member.leaf.kem().clone()))
            .collect();
        let members: Vec<_> = members.iter().map(|(entry, kem)| (*entry, kem)).collect();
        let issuer = self.members[0].leaf.id();
        let params = IssueParams {
            generation: self.keys.generation(),
            round: Round {
                day: 19_675,
                counter: 0,
            },
            issuer,
            custodians: vec![issuer],
            members: &members,
        };
        let genesis = self.hash();
        epoch::issue(
            &mut self.rng,
            self.keys.psk(),
            &genesis,
            params,
            &self.members[0].secrets.signing,
        )
        .unwrap()
    }

    pub fn leaf_keys(&self) -> Vec<(LeafId, LeafPublicKey)> {
        self.members
            .iter()
            .map(|member| (member.leaf.id(), *member.leaf.key()))
            .collect()
    }

    pub fn key_of(&self, leaf: LeafId) -> Option<LeafPublicKey> {
        self.leaf_keys()
            .into_iter()
            .find(|(id, _)| *id == leaf)
            .map(|(_, key)| key)
    }

    /// One live epoch for each member, as each opened its own box.
    pub fn live(&mut self) -> (Announcement, Vec<Epoch>) {
        let issued = self.issue();
        let epochs = (0..self.members.len())
            .map(|index| self.open_box(&issued, index))
            .collect();
        (issued.announcement, epochs)
    }

    fn open_box(&self, issued: &Issued, index: usize) -> Epoch {
        let member = &self.members[index];
        let sealed = issued
            .boxes
            .iter()
            .find(|sealed| sealed.leaf == member.leaf.id())
            .unwrap();
        let secrets = epoch::open_box(&issued.announcement, sealed, &member.secrets.kem, self.keys.psk()).unwrap();
        Epoch::new(secrets, &issued.announcement, &self.leaf_keys()).unwrap()
    }
}

pub fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        reply_to: None,
        sent_at_ms: 1_700_000_000_000,
    }
}
