//! What a rendezvous checks: certificates, requests signed with them, listings.

use serde_json::{Value, json};
use snug_crypto::{
    GenesisHash,
    credential::{Certificate, Listing, Rank, Request, SignedCertificate},
};

use super::{Fixed, fixed::NOW, flipped, hex, longer, reject};

const GENERATION: u64 = 3;

impl Fixed {
    /// The second member's, as a moderator.
    pub(super) fn a_certificate(&self) -> SignedCertificate {
        let certificate = Certificate {
            genesis_hash: self.hash(),
            key: *self.members[1].secrets.signing.public().as_bytes(),
            rank: Rank::Moderator,
            serial: 7,
            expires_at_ms: NOW + 2_592_000_000,
        };
        certificate.sign(&self.admin)
    }

    pub(super) fn certificate(&self) -> Value {
        let key = &self.members[1].secrets.signing;
        let certificate = |rank, serial| Certificate {
            genesis_hash: self.hash(),
            key: *key.public().as_bytes(),
            rank,
            serial,
            expires_at_ms: NOW + 2_592_000_000,
        };
        let good = certificate(Rank::Moderator, 7);
        let bytes = good.sign(&self.admin).to_bytes();
        let cases = [(Rank::Moderator, 7), (Rank::Admin, 0)].map(|(rank, serial)| {
            let signed = certificate(rank, serial).sign(&self.admin).to_bytes();
            json!({
                "rank": rank_byte(rank), "serial": serial, "expires_at_ms": NOW + 2_592_000_000_u64, "bytes": hex(signed),
            })
        });
        let open = |what: &str, bytes: &[u8]| {
            let admin = self.admin.public();
            let result = match <[u8; 142]>::try_from(bytes) {
                Ok(bytes) => SignedCertificate::from_bytes(bytes)
                    .verify(&admin)
                    .map_err(|e| e.to_string()),
                Err(_) => Err("not 142 bytes".to_owned()),
            };
            reject(what, bytes, result)
        };
        let by_another = good.sign(&snug_crypto::AdminKey::from_seed(&self.b(0x12))).to_bytes();
        json!({
            "genesis_hash": hex(self.hash()),
            "admin_seed": hex(*self.admin.to_seed()),
            "key_seed": hex(*key.to_seed()),
            "cases": cases,
            "reject": [
                open("another key's signature", &by_another),
                open("another room", &flipped(&bytes, 1)),
                open("another holder", &flipped(&bytes, 40)),
                open("a higher rank", &{ let mut b = bytes; b[65] = 2; b }),
                open("an unknown rank", &{ let mut b = bytes; b[65] = 3; b }),
                open("another serial", &flipped(&bytes, 69)),
                open("a longer life", &flipped(&bytes, 70)),
                open("another version", &flipped(&bytes, 0)),
                open("a flipped bit in the signature", &flipped(&bytes, 100)),
                open("cut short", &bytes[..141]),
                open("a byte too many", &longer(&bytes)),
            ],
            "requests": self.requests(&good),
            "listing": self.listing(),
        })
    }

    fn requests(&self, good: &Certificate) -> Value {
        let key = &self.members[1].secrets.signing;
        let (token, registration, upload): ([u8; 32], [u8; 16], [u8; 192]) = (self.b(0x71), self.b(0x72), self.b(0x73));
        let mut generation: [u8; 40] = self.b(0x74);
        generation[..8].copy_from_slice(&GENERATION.to_be_bytes());
        let room_key = |capsule, key_gen, overrides, least_serial| Request::RoomKey {
            registration: &registration,
            upload: &upload,
            generation: &generation,
            capsule,
            key_gen,
            overrides,
            least_serial,
        };
        let capsule = |least_serial| Request::Capsule {
            generation: &generation,
            capsule: b"a capsule",
            least_serial,
        };
        let entry = |request: &Request<'_>, more: Value| {
            let signature = request.sign(key, &self.hash(), &token);
            assert!(request.verify(good, &token, &signature).is_ok());
            let elsewhere = Certificate {
                genesis_hash: GenesisHash::from_bytes(self.b(0x75)),
                ..*good
            };
            assert!(request.verify(&elsewhere, &token, &signature).is_err());
            let mut entry = json!({
                "token": hex(token), "generation": hex(generation), "capsule": hex(b"a capsule"), "signature": hex(signature),
            });
            entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            entry
        };
        let with_key = |key_gen: &[u8], overrides, least_serial| {
            json!({
                "what_kind": 1, "registration": hex(registration), "upload": hex(upload), "key_gen": hex(key_gen),
                "overrides": overrides, "least_serial": least_serial,
            })
        };
        json!([
            entry(
                &room_key(b"a capsule", b"an object", false, 0),
                with_key(b"an object", false, 0)
            ),
            entry(&room_key(b"a capsule", b"", true, 8), with_key(b"", true, 8)),
            entry(&capsule(0), json!({ "what_kind": 2, "least_serial": 0 })),
            entry(
                &capsule(0x0102_0304),
                json!({ "what_kind": 2, "least_serial": 0x0102_0304 })
            ),
        ])
    }

    fn listing(&self) -> Value {
        let listing = |room_id: &str, description: &str| Listing {
            genesis_hash: self.hash(),
            admin: self.admin.public(),
            room_id: room_id.to_owned(),
            description: description.to_owned(),
        };
        let bytes = listing("den", "a quiet place").sign(&self.admin);
        let open = |what: &str, bytes: &[u8]| reject(what, bytes, Listing::open(bytes));
        let end = bytes.len() - 64;
        json!({
            "room_id": "den",
            "description": "a quiet place",
            "bytes": hex(&bytes),
            "reject": [
                open("another room", &flipped(&bytes, 1)),
                open("another admin", &flipped(&bytes, 33)),
                open("another name", &flipped(&bytes, 70)),
                open("another description", &flipped(&bytes, end - 1)),
                open("another version", &flipped(&bytes, 0)),
                open("a flipped bit in the signature", &flipped(&bytes, end + 3)),
                open("cut short", &bytes[..bytes.len() - 1]),
                open("a byte too many", &longer(&bytes)),
                open("no name", &listing("", "").sign(&self.admin)),
                open("a name too long", &listing(&"x".repeat(65), "").sign(&self.admin)),
                open("a control character in the name", &listing("d\u{7}n", "").sign(&self.admin)),
                open("a control character in the description", &listing("den", "\u{1b}[2J").sign(&self.admin)),
                open("a description too long", &listing("den", &"x".repeat(513)).sign(&self.admin)),
            ],
        })
    }
}

fn rank_byte(rank: Rank) -> u8 {
    match rank {
        Rank::Moderator => 1,
        Rank::Admin => 2,
    }
}
