//! The room itself: generation, genesis, capsules, invites.

use serde_json::{Value, json};
use snug_crypto::{
    AdminKey, ExportKey, Generation, GenerationKeys, Genesis, GenesisHash, OperationHash, RoomId,
    capsule::{AdminCapsule, Capsule},
    invite::{Invite, Serverless},
    kdf, label,
    operation::{Author, Operation, Role, SignedOperation},
};

use super::{
    Fixed,
    fixed::{DAY, NOW},
    flipped, hex, longer, reject,
};

impl Fixed {
    pub fn generation(&self) -> Value {
        let keys = &self.keys;
        let case = |count: u64| {
            let generation = Generation {
                count,
                hash: OperationHash::from_bytes([9; 32]),
            };
            let keys = GenerationKeys::derive(&self.key, &self.random, &self.genesis.handle(), generation);
            json!({ "count": count, "psk": hex(keys.psk().expose()), "topic": hex(keys.topic().0) })
        };
        json!({
            "room_key": self.key.reveal(),
            "r": hex(self.random.expose()),
            "handle": hex(self.genesis.handle()),
            "count": 0,
            "extracted": hex(*kdf::extract(self.random.expose(), self.key.reveal().as_bytes())),
            "psk": hex(keys.psk().expose()),
            "topic": hex(keys.topic().0),
            "mesh": hex(keys.mesh().expose()),
            "keep": hex(keys.keep().expose()),
            "join": hex(keys.join().expose()),
            "intro": hex(keys.intro().expose()),
            "control": hex(keys.control().expose()),
            "mdns": { "day": DAY, "name": hex(keys.mesh().mdns_name(DAY)) },
            "later": [case(1), case(u64::MAX)],
        })
    }

    pub fn genesis(&self) -> Value {
        let bytes = self.genesis.encode();
        let decode = |what: &str, bytes: &[u8]| reject(what, bytes, Genesis::decode(bytes));
        let version = [&[2], &bytes[1..]].concat();
        json!({
            "admin_seed": hex(self.b::<32>(0x11)),
            "admin_vk": hex(self.genesis.admin().as_bytes()),
            "room_id": "den",
            "description": "a quiet place",
            "created_at_ms": NOW,
            "policy": { "max_participants": 100, "listed": false, "retention_s": 86_400, "history": false,
                "approval": false, "grace_s": 604_800 },
            "bytes": hex(&bytes),
            "hash": hex(self.hash()),
            "reject": [
                decode("a changed description", &flipped(&bytes, 14)),
                decode("a changed admin key", &flipped(&bytes, bytes.len() - 70)),
                decode("a changed signature", &flipped(&bytes, bytes.len() - 1)),
                decode("a byte too few", &bytes[..bytes.len() - 1]),
                decode("a byte too many", &longer(&bytes)),
                decode("a later version", &version),
                decode("empty", &[]),
                decode("a changed date", &flipped(&bytes, 30)),
                decode("a changed policy", &flipped(&bytes, bytes.len() - 105)),
                decode("a boolean that is neither", &[&bytes[..bytes.len() - 105], &[2], &bytes[bytes.len() - 104..]].concat()),
            ],
        })
    }

    pub fn role(&self) -> SignedOperation {
        let role = Operation::Role {
            identity: self.members[0].identity.key(),
            role: Role::Admin,
        };
        SignedOperation::create(Author::Admin(&self.admin), vec![], role, &self.hash()).unwrap()
    }

    pub fn capsule(&self) -> Value {
        let key = ExportKey::from_bytes(self.b(0x71));
        let admin_key = ExportKey::from_bytes(self.b(0x72));
        let generation = Generation {
            count: 3,
            hash: OperationHash::from_bytes(self.b(0x0A)),
        };
        let capsule = Capsule {
            genesis: self.genesis.clone(),
            generation,
            random: self.random.clone(),
            log: vec![self.role()],
        };
        let mut rng = self.rng(1);
        let sealed = capsule.seal(&key, &mut rng).unwrap();
        let admin = AdminCapsule {
            admin_key: self.admin.clone(),
            genesis: self.genesis.clone(),
        };
        let admin_sealed = admin.seal(&admin_key, &mut rng);
        let stolen = AdminCapsule {
            admin_key: AdminKey::from_seed(&self.b(0x99)),
            genesis: self.genesis.clone(),
        };
        let stolen = stolen.seal(&admin_key, &mut rng);
        json!({
            "export_key_room": hex(self.b::<64>(0x71)),
            "key": hex(*kdf::expand(&self.b::<64>(0x71), label::CAPSULE, &[])),
            "genesis": hex(self.genesis.encode()),
            "generation": { "count": 3, "hash": hex(generation.hash) },
            "r": hex(self.random.expose()),
            "log": [hex(self.role().encode())],
            "capsule": hex(&sealed),
            "export_key_admin": hex(self.b::<64>(0x72)),
            "admin_key": hex(*kdf::expand(&self.b::<64>(0x72), label::ADMIN_CAPSULE, &[])),
            "admin_seed": hex(self.b::<32>(0x11)),
            "admin_capsule": hex(&admin_sealed),
            "reject": [
                reject("a flipped bit", &flipped(&sealed, 200), Capsule::open(&key, &flipped(&sealed, 200))),
                reject("an admin capsule as a capsule", &admin_sealed, Capsule::open(&admin_key, &admin_sealed)),
                reject("another nonce", &flipped(&sealed, 5), Capsule::open(&key, &flipped(&sealed, 5))),
                reject("a byte too many", &longer(&sealed), Capsule::open(&key, &longer(&sealed))),
                reject("cut short", &sealed[..40], Capsule::open(&key, &sealed[..40])),
            ],
            "reject_admin": [
                reject("an admin key that the genesis doesn't name", &stolen, AdminCapsule::open(&admin_key, &stolen)),
                reject("a flipped bit", &flipped(&admin_sealed, 70), AdminCapsule::open(&admin_key, &flipped(&admin_sealed, 70))),
                reject("a capsule as an admin capsule", &sealed, AdminCapsule::open(&key, &sealed)),
            ],
        })
    }

    pub fn invite(&self) -> Value {
        let invite = Invite {
            server: Some("https://rendezvous.example".to_owned()),
            room_id: RoomId::parse("den").unwrap(),
            room_key: self.key.clone(),
            genesis_hash: self.hash(),
            serverless: None,
            genesis: None,
            addresses: vec!["/ip4/192.0.2.1/udp/4001/quic-v1".to_owned()],
        };
        let text = invite.to_text().unwrap();
        let generation = Generation {
            count: 2,
            hash: OperationHash::from_bytes(self.b(0x0B)),
        };
        let serverless = Some(Serverless {
            generation,
            random: self.random.clone(),
        });
        let alone = Invite {
            server: None,
            serverless,
            addresses: vec![],
            ..invite
        };
        let alone_text = alone.to_text().unwrap();
        let whole = Invite {
            genesis: Some(Box::new(self.genesis.clone())),
            ..alone.clone()
        };
        let whole_text = whole.to_text().unwrap();
        let swapped = Invite {
            genesis_hash: GenesisHash::from_bytes(self.b(0x0C)),
            ..whole
        };
        let wrong = text.replacen('q', "p", 1);
        let bad = |what: &str, text: &str| {
            let error = Invite::parse(text).err().unwrap_or_else(|| panic!("accepted: {what}"));
            json!({ "what": what, "text": text, "error": error.to_string() })
        };
        json!({
            "server": "https://rendezvous.example",
            "room_id": "den",
            "room_key": self.key.reveal(),
            "genesis_hash": hex(self.hash()),
            "addresses": ["/ip4/192.0.2.1/udp/4001/quic-v1"],
            "text": text.as_str(),
            "upper_case": text.to_uppercase(),
            "without_server": {
                "count": 2, "hash": hex(self.b::<32>(0x0B)), "r": hex(self.random.expose()), "text": alone_text.as_str(),
                "genesis": hex(self.genesis.encode()), "with_genesis": whole_text.as_str(),
            },
            "reject": [
                bad("a wrong character", &wrong),
                bad("mixed case", &text.replacen("snug1", "Snug1", 1)),
                bad("another prefix", &text.replacen("snug1", "snag1", 1)),
                bad("cut short", &text[..text.len() - 3]),
                bad("empty", "snug1"),
                bad("a character that is none of the alphabet", &text.replacen('q', "b", 1)),
                bad("its last characters turned", &turned(&text)),
                bad("a genesis that it does not name", &swapped.to_text().unwrap()),
            ],
        })
    }
}

/// With the last two different characters in each other's place.
fn turned(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = (1..characters.len())
        .rev()
        .find(|at| characters[*at] != characters[at - 1])
        .unwrap();
    characters.swap(at, at - 1);
    characters.into_iter().collect()
}
