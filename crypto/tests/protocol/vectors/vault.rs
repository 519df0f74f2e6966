//! What rests on a member's disk: a vault's head, a chunk of its log, an exported identity, our leaf, a membership.

use serde_json::{Value, json};
use snug_crypto::rest::{
    GenerationAtRest, MembershipAtRest, OwnAtRest, export_identity, import_identity,
    log::{Chunk, Entry, LENGTH, LogKey, Place},
    vault::{Head, Log, Passphrase, Slot, Stretching, VaultKey},
};

use super::{Fixed, fixed::NOW, flipped, hex, longer, reject};

/// Cheap: a vector is read often.
const STRETCHING: Stretching = Stretching::Argon2id {
    memory_kib: 64,
    passes: 2,
    lanes: 1,
};
const PASSPHRASE: &str = "caf\u{e9} au lait";

impl Fixed {
    pub(super) fn vault(&self) -> Value {
        let passphrase = Passphrase::parse(PASSPHRASE).unwrap();
        let key = VaultKey::from_bytes(self.b(0x71));
        let logs = [(1, 3, 0x72), (2, 41, 0x73)].map(|(purpose, number, key)| Log {
            purpose,
            number,
            key: LogKey::from_bytes(self.b(key)),
        });
        let slot = Slot::wrap(&key, &passphrase, STRETCHING, &mut self.rng(61)).unwrap();
        let head = Head::new(slot, &key, &logs, &mut self.rng(62)).encode();
        let open_head = |what: &str, bytes: &[u8]| reject(what, bytes, opened(bytes, &passphrase));
        let open_slot = Slot::wrap(&key, &Passphrase::none(), STRETCHING, &mut self.rng(63)).unwrap();
        let open = Head::new(open_slot, &key, &logs[..1], &mut self.rng(64)).encode();

        let place = Place {
            purpose: 2,
            number: 41,
            index: 7,
        };
        let entry = |key: &[u8], value: Option<&[u8]>| Entry {
            key: key.to_vec(),
            value: value.map(|value| value.to_vec().into()),
        };
        let chunk = Chunk {
            last: true,
            at_ms: NOW,
            entries: vec![entry(b"kept", Some(b"value")), entry(b"gone", None)],
        }
        .seal(&logs[1].key, place, &mut self.rng(65));
        let sealed = &chunk[LENGTH..];
        let open_chunk = |what: &str, place: Place, bytes: &[u8]| {
            let mut case = reject(what, bytes, Chunk::open(&logs[1].key, place, bytes));
            case["place"] = json!(place.index);
            case
        };

        let identity = &self.members[0].identity;
        let export = export_identity(identity, &passphrase, STRETCHING, &mut self.rng(66)).unwrap();
        let import = |what: &str, bytes: &[u8]| reject(what, bytes, import_identity(bytes, &passphrase));

        let old = &self.members[1].secrets.kem;
        let own = OwnAtRest::new(7, &self.members[0].secrets, std::iter::once(old)).encode();
        let decode_own = |what: &str, bytes: &[u8]| reject(what, bytes, OwnAtRest::decode(bytes));
        let membership = MembershipAtRest {
            server: Some("https://snug.example.org".to_owned()),
            room_id: self.genesis.room_id().clone(),
            genesis: self.genesis.clone(),
            name: "alice".to_owned(),
            generations: vec![GenerationAtRest {
                generation: self.keys.generation(),
                random: self.random.clone(),
                room_key: self.key.clone(),
            }],
        }
        .encode();
        let decode_membership = |what: &str, bytes: &[u8]| reject(what, bytes, MembershipAtRest::decode(bytes));
        json!({
            "passphrase": PASSPHRASE,
            "head": {
                "vault_key": hex(key.expose()),
                "logs": logs.iter().map(|log| json!({
                    "purpose": log.purpose, "number": log.number, "key": hex(log.key.expose()),
                })).collect::<Vec<_>>(),
                "bytes": hex(&head),
                "without_passphrase": hex(&open),
                "reject": [
                    open_head("another mark", &flipped(&head, 0)),
                    open_head("a newer version", &flipped(&head, 10)),
                    open_head("unknown stretching", &flipped(&head, 11)),
                    open_head("more memory than there is", &flipped(&head, 12)),
                    open_head("another salt", &flipped(&head, 24)),
                    open_head("a wrapped key that was changed", &flipped(&head, 70)),
                    open_head("logs that were changed", &flipped(&head, head.len() - 1)),
                    open_head("cut", &head[..head.len() - 1]),
                    open_head("more", &longer(&head)),
                ],
            },
            "chunk": {
                "purpose": place.purpose, "number": place.number, "place": place.index,
                "at": NOW, "last": true, "kept": hex(b"value"),
                "bytes": hex(sealed),
                "reject": [
                    open_chunk("another place", Place { index: 8, ..place }, sealed),
                    open_chunk("another kind", place, &flipped(sealed, 0)),
                    open_chunk("another nonce", place, &flipped(sealed, 5)),
                    open_chunk("changed", place, &flipped(sealed, 40)),
                    open_chunk("cut", place, &sealed[..sealed.len() - 1]),
                    open_chunk("more", place, &longer(sealed)),
                ],
            },
            "export": {
                "seed": hex(identity.to_seed().expose()),
                "bytes": hex(&export),
                "reject": [
                    import("another mark", &flipped(&export, 0)),
                    import("a newer version", &flipped(&export, 13)),
                    import("another salt", &flipped(&export, 30)),
                    import("changed", &flipped(&export, export.len() - 20)),
                    import("cut", &export[..export.len() - 1]),
                    import("more", &longer(&export)),
                ],
            },
            "own": {
                "incarnation": 7,
                "leaf_seed": hex(*self.members[0].secrets.signing.to_seed()),
                "kem_seed": hex(*self.members[0].secrets.kem.to_seed()),
                "old_kem_seed": hex(*old.to_seed()),
                "bytes": hex(&*own),
                "reject": [
                    decode_own("a newer version", &flipped(&own, 0)),
                    decode_own("more older keys than there are", &flipped(&own, 72)),
                    decode_own("cut", &own[..own.len() - 1]),
                    decode_own("more", &longer(&own)),
                ],
            },
            "membership": {
                "server": "https://snug.example.org",
                "room_id": self.genesis.room_id().as_str(),
                "genesis": hex(self.genesis.encode()),
                "name": "alice",
                "generation": { "count": self.keys.generation().count, "hash": hex(self.keys.generation().hash) },
                "random": hex(self.random.expose()),
                "room_key": self.key.reveal(),
                "bytes": hex(&*membership),
                "reject": [
                    decode_membership("a newer version", &flipped(&membership, 0)),
                    decode_membership("an option that is neither", &{
                        let mut bytes = membership.to_vec();
                        bytes[1] = 2;
                        bytes
                    }),
                    decode_membership("a genesis that was changed", &flipped(&membership, 60)),
                    decode_membership("cut", &membership[..membership.len() - 1]),
                    decode_membership("more", &longer(&membership)),
                ],
            },
        })
    }
}

fn opened(bytes: &[u8], passphrase: &Passphrase) -> Result<Vec<Log>, String> {
    let head = Head::decode(bytes).map_err(|error| error.to_string())?;
    let key = head.slot().unwrap(passphrase).map_err(|error| error.to_string())?;
    head.logs(&key).map_err(|error| error.to_string())
}
