//! A room whose every secret is known.

use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, GenesisHash, Identity, LeafId, Policy, RoomId, RoomKey, RoomRandom,
    TransportKey,
    kem::KemSecret,
    leaf::{Leaf, LeafParams, LeafPublicKey, LeafSecrets, LeafSigningKey},
};

use super::{Inputs, Recorded};

pub const DAY: u32 = 19_675;
pub const NOW: u64 = 1_700_000_000_000;

/// The room.
pub struct Fixed {
    inputs: Inputs,
    pub admin: AdminKey,
    pub genesis: Genesis,
    pub key: RoomKey,
    pub random: RoomRandom,
    pub keys: GenerationKeys,
    pub members: Vec<FixedMember>,
}

pub struct FixedMember {
    pub identity: Identity,
    pub transport: TransportKey,
    pub secrets: LeafSecrets,
    pub leaf: Leaf,
}

impl Fixed {
    pub fn new(inputs: Inputs) -> Self {
        let admin = AdminKey::from_seed(&inputs.bytes(0x11));
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "a quiet place", NOW, Policy::default()).unwrap();
        let key = match inputs {
            Inputs::Committed => RoomKey::parse("correct-horse-battery-staple").unwrap(),
            Inputs::Fresh(_) => RoomKey::generate(&mut inputs.rng(9)),
        };
        let random = RoomRandom::from_bytes(inputs.bytes(0x22));
        let keys = GenerationKeys::derive(&key, &random, &id.handle(), Generation::first(&genesis.hash()));
        let members = (0..3)
            .map(|number: u8| {
                let identity = Identity::from_seed(&inputs.bytes(0x30 + number));
                let transport = TransportKey::from_seed(&inputs.bytes(0x40 + number));
                let signing = LeafSigningKey::from_seed(&inputs.bytes(0x50 + number));
                let secrets = LeafSecrets {
                    signing,
                    kem: KemSecret::from_seed(&inputs.bytes(0x60 + number)),
                };
                let params = LeafParams {
                    name: ["alice", "bob", "carol \u{1F408}"][usize::from(number)].to_owned(),
                    seq: NOW + u64::from(number),
                    incarnation: u32::from(number),
                    expires_at_ms: NOW + 604_800_000,
                    generation: keys.generation(),
                    approval: None,
                };
                let leaf = Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash()).unwrap();
                FixedMember {
                    identity,
                    transport,
                    secrets,
                    leaf,
                }
            })
            .collect();
        Self {
            inputs,
            admin,
            genesis,
            key,
            random,
            keys,
            members,
        }
    }

    pub fn hash(&self) -> GenesisHash {
        self.genesis.hash()
    }

    /// The secret that is called by this byte: that byte repeated in the committed files.
    pub fn b<const N: usize>(&self, name: u8) -> [u8; N] {
        self.inputs.bytes(name)
    }

    /// Randomness for what is made, by its number.
    pub fn rng(&self, number: u64) -> Recorded {
        Recorded::new(self.inputs.rng(number))
    }

    pub fn leaf_keys(&self) -> Vec<(LeafId, LeafPublicKey)> {
        let key = |member: &FixedMember| (member.leaf.id(), *member.leaf.key());
        self.members.iter().map(key).collect()
    }
}
