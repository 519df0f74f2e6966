//! Test vectors: made here from fixed inputs, committed under tests/vectors, and compared on every run. Another
//! implementation must make, or open, the same bytes, and refuse those under `reject`.
//!
//! `SNUG_BLESS=1 cargo test -p snug-crypto --test protocol vectors` writes them anew: a change of a committed file is a
//! change of the protocol.

use core::convert::Infallible;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng},
};
use serde_json::{Value, json};
use snug_crypto::{
    AdminKey, ExportKey, FrameHash, FrameTag, Generation, GenerationKeys, Genesis, GenesisHash, Identity, LeafId,
    MessageId, OperationHash, PeerKey, Policy, RoomId, RoomKey, RoomRandom, TransportKey,
    capsule::{AdminCapsule, Capsule},
    content::{self, Content, ContentKind},
    control::{self, ControlMessage},
    credential::Tombstone,
    direct::{Bundle, DirectReply, DirectRequest, EpochVector, SenderVector, Wants},
    epoch::{self, IssueParams, Issued, MemberEntry, Round, SealedBox, UnverifiedAnnouncement},
    frame::{Epoch, ParentRef},
    invite::{Invite, Serverless},
    kdf,
    kem::KemSecret,
    label,
    leaf::{Leaf, LeafParams, LeafSecrets, LeafSigningKey, Leave, UnverifiedRecord},
    link::{self, Link, LinkRole},
    merkle,
    operation::{Author, Operation, OperationKind, Role, SignedOperation, UnverifiedOperation},
    presence::PresenceRecord,
};

/// The files under tests/vectors.
pub const NAMES: &[&str] = &[
    "names",
    "generation",
    "genesis",
    "capsule",
    "invite",
    "leaf",
    "operation",
    "control",
    "epoch",
    "frame",
    "padding",
    "presence",
    "link",
    "direct",
];

#[test]
fn the_committed_vectors_are_what_the_code_makes() {
    for name in NAMES {
        let made = serde_json::to_string_pretty(&make(name)).unwrap() + "\n";
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{name}.json"));
        if std::env::var_os("SNUG_BLESS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == made,
            "{name}.json differs: the protocol changed. If it should, bless it."
        );
    }
}

fn make(name: &str) -> Value {
    let room = Fixed::new();
    match name {
        "names" => names(),
        "generation" => room.generation(),
        "genesis" => room.genesis(),
        "capsule" => room.capsule(),
        "invite" => room.invite(),
        "leaf" => room.leaf(),
        "operation" => room.operation(),
        "control" => room.control(),
        "epoch" => room.epoch(),
        "frame" => room.frame(),
        "padding" => padding(),
        "presence" => room.presence(),
        "link" => link(),
        "direct" => room.direct(),
        _ => panic!("no maker for {name}"),
    }
}

/// Randomness that is written down as it is drawn.
struct Recorded {
    rng: ChaCha20Rng,
    drawn: Vec<Vec<u8>>,
}

impl Recorded {
    fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha20Rng::seed_from_u64(seed),
            drawn: Vec::new(),
        }
    }
}

impl TryRng for Recorded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.rng.fill_bytes(bytes);
        self.drawn.push(bytes.to_vec());
        Ok(())
    }
}

impl TryCryptoRng for Recorded {}

fn hex(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(HEXLOWER.encode(bytes.as_ref()))
}

/// A byte string that must be refused, after seeing that it is.
fn reject<T, E: std::fmt::Display>(what: &str, bytes: &[u8], result: Result<T, E>) -> Value {
    let error = result.err().unwrap_or_else(|| panic!("accepted: {what}"));
    json!({ "what": what, "bytes": hex(bytes), "error": error.to_string() })
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bad = bytes.to_vec();
    bad[at] ^= 1;
    bad
}

fn longer(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}

const DAY: u32 = 19_675;
const NOW: u64 = 1_700_000_000_000;

/// A room whose every secret is known.
struct Fixed {
    admin: AdminKey,
    genesis: Genesis,
    key: RoomKey,
    random: RoomRandom,
    keys: GenerationKeys,
    members: Vec<FixedMember>,
}

struct FixedMember {
    identity: Identity,
    transport: TransportKey,
    secrets: LeafSecrets,
    leaf: Leaf,
}

impl Fixed {
    fn new() -> Self {
        let admin = AdminKey::from_seed(&[0x11; 32]);
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "a quiet place", NOW, Policy::default()).unwrap();
        let key = RoomKey::parse("correct-horse-battery-staple").unwrap();
        let random = RoomRandom::from_bytes([0x22; 32]);
        let keys = GenerationKeys::derive(&key, &random, &id.handle(), Generation::first(&genesis.hash()));
        let members = (0..3)
            .map(|number: u8| {
                let identity = Identity::from_seed(&[0x30 + number; 32]);
                let transport = TransportKey::from_seed(&[0x40 + number; 32]);
                let signing = LeafSigningKey::from_seed(&[0x50 + number; 32]);
                let secrets = LeafSecrets {
                    signing,
                    kem: KemSecret::from_seed(&[0x60 + number; 32]),
                };
                let params = LeafParams {
                    name: ["alice", "bob", "carol \u{1F408}"][usize::from(number)].to_owned(),
                    seq: NOW + u64::from(number),
                    incarnation: u32::from(number),
                    expires_at_ms: NOW + 604_800_000,
                    generation: keys.generation(),
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
            admin,
            genesis,
            key,
            random,
            keys,
            members,
        }
    }

    fn hash(&self) -> GenesisHash {
        self.genesis.hash()
    }

    fn generation(&self) -> Value {
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
            "join": hex(keys.join().expose()),
            "intro": hex(keys.intro().expose()),
            "control": hex(keys.control().expose()),
            "mdns": { "day": DAY, "name": hex(keys.mesh().mdns_name(DAY)) },
            "later": [case(1), case(u64::MAX)],
        })
    }

    fn genesis(&self) -> Value {
        let bytes = self.genesis.encode();
        let decode = |what: &str, bytes: &[u8]| reject(what, bytes, Genesis::decode(bytes));
        let version = [&[2], &bytes[1..]].concat();
        json!({
            "admin_seed": hex([0x11; 32]),
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
            ],
        })
    }

    fn role(&self) -> SignedOperation {
        let role = Operation::Role {
            identity: self.members[0].identity.key(),
            role: Role::Admin,
        };
        SignedOperation::create(Author::Admin(&self.admin), vec![], role, &self.hash()).unwrap()
    }

    fn capsule(&self) -> Value {
        let key = ExportKey::from_bytes([0x71; 64]);
        let admin_key = ExportKey::from_bytes([0x72; 64]);
        let generation = Generation {
            count: 3,
            hash: OperationHash::from_bytes([0x0A; 32]),
        };
        let capsule = Capsule {
            genesis: self.genesis.clone(),
            generation,
            random: self.random.clone(),
            log: vec![self.role()],
        };
        let mut rng = Recorded::new(1);
        let sealed = capsule.seal(&key, &mut rng).unwrap();
        let admin = AdminCapsule {
            admin_key: self.admin.clone(),
            genesis: self.genesis.clone(),
        };
        let admin_sealed = admin.seal(&admin_key, &mut rng);
        let stolen = AdminCapsule {
            admin_key: AdminKey::from_seed(&[0x99; 32]),
            genesis: self.genesis.clone(),
        };
        let stolen = stolen.seal(&admin_key, &mut rng);
        json!({
            "export_key_room": hex([0x71; 64]),
            "key": hex(*kdf::expand(&[0x71; 64], label::CAPSULE, &[])),
            "genesis": hex(self.genesis.encode()),
            "generation": { "count": 3, "hash": hex(generation.hash) },
            "r": hex(self.random.expose()),
            "log": [hex(self.role().encode())],
            "capsule": hex(&sealed),
            "export_key_admin": hex([0x72; 64]),
            "admin_key": hex(*kdf::expand(&[0x72; 64], label::ADMIN_CAPSULE, &[])),
            "admin_seed": hex([0x11; 32]),
            "admin_capsule": hex(&admin_sealed),
            "reject": [
                reject("a flipped bit", &flipped(&sealed, 200), Capsule::open(&key, &flipped(&sealed, 200))),
                reject("an admin capsule as a capsule", &admin_sealed, Capsule::open(&admin_key, &admin_sealed)),
                reject("cut short", &sealed[..40], Capsule::open(&key, &sealed[..40])),
            ],
            "reject_admin": [
                reject("an admin key that the genesis doesn't name", &stolen, AdminCapsule::open(&admin_key, &stolen)),
                reject("a capsule as an admin capsule", &sealed, AdminCapsule::open(&key, &sealed)),
            ],
        })
    }

    fn invite(&self) -> Value {
        let invite = Invite {
            server: Some("https://rendezvous.example".to_owned()),
            room_id: RoomId::parse("den").unwrap(),
            room_key: self.key.clone(),
            genesis_hash: self.hash(),
            serverless: None,
            addresses: vec!["/ip4/192.0.2.1/udp/4001/quic-v1".to_owned()],
        };
        let text = invite.to_text().unwrap();
        let generation = Generation {
            count: 2,
            hash: OperationHash::from_bytes([0x0B; 32]),
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
        }
        .to_text()
        .unwrap();
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
                "count": 2, "hash": hex([0x0B; 32]), "r": hex(self.random.expose()), "text": alone.as_str(),
            },
            "reject": [
                bad("a wrong character", &wrong),
                bad("mixed case", &text.replacen("snug1", "Snug1", 1)),
                bad("another prefix", &text.replacen("snug1", "snag1", 1)),
                bad("cut short", &text[..text.len() - 3]),
                bad("empty", "snug1"),
            ],
        })
    }

    fn leaf(&self) -> Value {
        let leaves: Vec<Value> = self
            .members
            .iter()
            .enumerate()
            .map(|(i, m)| self.leaf_case(i as u8, m))
            .collect();
        let leave = Leave::create(&self.members[0].identity, NOW + 9, 4, &self.hash());
        let bytes = self.members[0].leaf.encode();
        let verify = |what: &str, bytes: &[u8]| {
            let result = UnverifiedRecord::decode(bytes)
                .map_err(|error| error.to_string())
                .and_then(|r| {
                    r.verify(&self.hash(), |_| Some(self.keys.join()))
                        .map_err(|error| error.to_string())
                });
            reject(what, bytes, result)
        };
        let other = self.members[1].leaf.encode();
        let mut bad_kem = bytes.clone();
        bad_kem[65..68].fill(0xFF);
        let mut weak = bytes.clone();
        weak[33..65].fill(0);
        json!({
            "genesis_hash": hex(self.hash()),
            "join": hex(self.keys.join().expose()),
            "leaves": leaves,
            "leave": {
                "identity_seed": hex([0x30; 32]), "seq": NOW + 9, "incarnation": 4, "bytes": hex(leave.encode()),
            },
            "reject": [
                verify("another name", &flipped(&bytes, 1381)),
                verify("another's identity", &[&bytes[..1], &other[1..33], &bytes[33..]].concat()),
                verify("another admission", &flipped(&bytes, bytes.len() - 65)),
                verify("another signature", &flipped(&bytes, bytes.len() - 64)),
                verify("another peer's signature", &flipped(&bytes, 1320)),
                verify("a KEM key that is not canonical", &bad_kem),
                verify("a leaf key of small order", &weak),
                verify("a byte too many", &longer(&bytes)),
                verify("a leave of another identity", &flipped(&leave.encode(), 20)),
                verify("a kind of a later version", &[&[9], &bytes[1..]].concat()),
            ],
        })
    }

    fn leaf_case(&self, number: u8, member: &FixedMember) -> Value {
        let leaf = &member.leaf;
        json!({
            "identity_seed": hex([0x30 + number; 32]),
            "transport_seed": hex([0x40 + number; 32]),
            "leaf_seed": hex([0x50 + number; 32]),
            "kem_seed": hex([0x60 + number; 32]),
            "identity_vk": hex(leaf.identity()),
            "fingerprint": leaf.identity().fingerprint().to_string(),
            "peer": hex(leaf.peer()),
            "leaf_vk": hex(leaf.key().as_bytes()),
            "kem_hash": hex(leaf.kem().hash()),
            "name": leaf.name(),
            "seq": leaf.seq(),
            "incarnation": leaf.incarnation(),
            "expires_at_ms": leaf.expires_at_ms(),
            "generation": { "count": leaf.generation().count, "hash": hex(leaf.generation().hash) },
            "leaf_id": hex(leaf.id()),
            "bytes": hex(leaf.encode()),
        })
    }

    fn operation(&self) -> Value {
        let role = self.role();
        let author = Author::Member(&self.members[0].identity);
        let moderator = Operation::Role {
            identity: self.members[1].identity.key(),
            role: Role::Moderator,
        };
        let moderator = SignedOperation::create(author, vec![role.hash()], moderator, &self.hash()).unwrap();
        let tombstone = Tombstone {
            handle: self.genesis.handle(),
            genesis_hash: self.hash(),
        };
        let carried = |admin: &AdminKey| {
            let operation = Operation::Tombstone(tombstone.sign(admin));
            SignedOperation::create(author, vec![role.hash(), moderator.hash()], operation, &self.hash()).unwrap()
        };
        let unknown = Operation::Unknown {
            kind: OperationKind(4_242),
            body: vec![1, 2, 3],
        };
        let unknown = SignedOperation::create(author, vec![], unknown, &self.hash()).unwrap();
        let case = |what: &str, operation: &SignedOperation| {
            let kind = operation.operation().kind().0;
            json!({ "what": what, "kind": kind, "bytes": hex(operation.encode()), "hash": hex(operation.hash()) })
        };
        let verify = |what: &str, bytes: &[u8]| {
            let result = UnverifiedOperation::decode(bytes)
                .map_err(|error| error.to_string())
                .and_then(|operation| operation.verify(&self.genesis).map_err(|error| error.to_string()));
            reject(what, bytes, result)
        };
        let bytes = role.encode();
        json!({
            "genesis": hex(self.genesis.encode()),
            "admin_seed": hex([0x11; 32]),
            "author_seed": hex([0x30; 32]),
            "operations": [
                case("the admin key makes alice admin", &role),
                case("alice makes bob a moderator", &moderator),
                case("alice carries the admin's tombstone", &carried(&self.admin)),
                case("a kind of a later version", &unknown),
            ],
            "reject": [
                verify("another role", &flipped(&bytes, bytes.len() - 65)),
                verify("another author", &flipped(&bytes, 1)),
                verify("a tombstone that isn't the admin's", &carried(&AdminKey::from_seed(&[0x99; 32])).encode()),
                verify("a byte too many", &longer(&bytes)),
                verify("a later version", &[&[2], &bytes[1..]].concat()),
            ],
        })
    }

    fn control(&self) -> Value {
        let record = UnverifiedRecord::decode(&self.members[0].leaf.encode()).unwrap();
        let key = self.keys.control();
        let (_, issued) = self.issued();
        let case = |kind: u8, body: Vec<u8>, message: &ControlMessage| json!({ "type": kind, "body": hex(body), "bytes": hex(control::seal(key, message).unwrap()) });
        let sealed = control::seal(key, &ControlMessage::Record(record.clone())).unwrap();
        let open = |what: &str, bytes: &[u8]| reject(what, bytes, control::open(key, bytes));
        json!({
            "control": hex(key.expose()),
            "messages": [
                case(1, record.encode().to_vec(), &ControlMessage::Record(record.clone())),
                case(2, self.role().encode(), &ControlMessage::Operation(self.role().to_unverified())),
                case(3, issued.announcement.encode(), &ControlMessage::Announcement(issued.announcement.to_unverified())),
            ],
            "reject": [
                open("a flipped bit", &flipped(&sealed, 700)),
                open("another nonce", &flipped(&sealed, 5)),
                open("another kind", &[&[1], &sealed[1..]].concat()),
                open("cut short", &sealed[..40]),
            ],
        })
    }

    fn issued(&self) -> (Recorded, Issued) {
        let mut rng = Recorded::new(2);
        let entries: Vec<_> = self
            .members
            .iter()
            .map(|m| (MemberEntry::of(&m.leaf), m.leaf.kem()))
            .collect();
        let issuer = self.members[0].leaf.id();
        let params = IssueParams {
            generation: self.keys.generation(),
            round: Round { day: DAY, counter: 1 },
            issuer,
            custodians: vec![issuer, self.members[2].leaf.id()],
            members: &entries,
        };
        let signer = &self.members[0].secrets.signing;
        let issued = epoch::issue(&mut rng, self.keys.psk(), &self.hash(), params, signer).unwrap();
        (rng, issued)
    }

    fn epoch(&self) -> Value {
        let (rng, issued) = self.issued();
        let announcement = &issued.announcement;
        let bytes = announcement.encode();
        let key = *self.members[0].leaf.key();
        let verify = |what: &str, bytes: &[u8]| {
            let result = UnverifiedAnnouncement::decode(bytes)
                .map_err(|error| error.to_string())
                .and_then(|a| a.verify(&self.hash(), |_| Some(key)).map_err(|error| error.to_string()));
            reject(what, bytes, result)
        };
        let member = |leaf: &LeafId| self.members.iter().find(|member| member.leaf.id() == *leaf).unwrap();
        let boxes: Vec<Value> = issued
            .boxes
            .iter()
            .enumerate()
            .map(|(index, sealed)| {
                let member = member(&sealed.leaf);
                json!({
                    "leaf_id": hex(sealed.leaf),
                    "kem_seed": hex(*member.secrets.kem.to_seed()),
                    "encapsulation_randomness": hex(<[u8; 64]>::try_from(rng.drawn[1 + index].as_slice()).unwrap()),
                    "bytes": hex(sealed.encode()),
                    "tree_leaf": hex(merkle::leaf(&sealed.leaf, &sealed.ciphertext)),
                })
            })
            .collect();
        let kem = &member(&issued.boxes[1].leaf).secrets.kem;
        let open = |what: &str, sealed: &SealedBox| {
            reject(
                what,
                &sealed.encode(),
                epoch::open_box(announcement, sealed, kem, self.keys.psk()),
            )
        };
        let damaged = SealedBox {
            ciphertext: flipped(&issued.boxes[1].ciphertext, 9),
            ..issued.boxes[1].clone()
        };
        let other = SealedBox {
            leaf: issued.boxes[1].leaf,
            ..issued.boxes[0].clone()
        };
        let live = |announcement| Epoch::new(self.issued().1.secrets, announcement, &self.leaf_keys()).unwrap();
        json!({
            "genesis_hash": hex(self.hash()),
            "psk": hex(self.keys.psk().expose()),
            "es": hex(&rng.drawn[0]),
            "issuer_leaf_seed": hex([0x50; 32]),
            "round": { "day": DAY, "counter": 1 },
            "members_hash": hex(announcement.header().members_hash),
            "commit": hex(announcement.header().commit),
            "box_root": hex(announcement.header().box_root),
            "tag": hex(live(announcement).tag()),
            "export": hex(issued.secrets.export().expose()),
            "epoch_id": hex(announcement.epoch_id()),
            "announcement": hex(&bytes),
            "boxes": boxes,
            "reject": [
                verify("another round", &flipped(&bytes, 44)),
                verify("another commitment", &flipped(&bytes, announcement_commit(announcement))),
                verify("another member", &flipped(&bytes, bytes.len() - 1)),
                verify("a kind of a later version", &[&[3], &bytes[1..]].concat()),
                verify("a byte too many", &longer(&bytes)),
            ],
            "reject_boxes": { "kem_seed": hex(*kem.to_seed()), "cases": [
                open("damaged: the server's fault", &damaged),
                open("another member's: the server's fault", &other),
                open("for another key", &issued.boxes[0]),
            ] },
        })
    }

    fn leaf_keys(&self) -> Vec<(LeafId, snug_crypto::leaf::LeafPublicKey)> {
        self.members
            .iter()
            .map(|member| (member.leaf.id(), *member.leaf.key()))
            .collect()
    }

    fn frame(&self) -> Value {
        let (_, issued) = self.issued();
        let live = || Epoch::new(self.issued().1.secrets, &issued.announcement, &self.leaf_keys()).unwrap();
        let (mut sender, mut receiver) = (live(), live());
        let me = &self.members[1];
        let mut rng = Recorded::new(3);
        let reply = MessageId::of(&FrameHash::from_bytes([0x0C; 32]), 2);
        let parent = ParentRef {
            tag: FrameTag::from_bytes([0x0D; 8]),
            hash: FrameHash::from_bytes([0x0E; 32]),
        };
        let said = [
            (vec![text("hello", None)], vec![]),
            (
                vec![text("h\u{E9}llo again", Some(reply)), unknown(7, &[1])],
                vec![parent],
            ),
            (vec![text(&"x".repeat(5_000), None)], vec![parent, parent]),
        ];
        let mut frames = Vec::new();
        let mut sealed = Vec::new();
        for (contents, parents) in &said {
            let frame = sender
                .seal(&mut rng, me.leaf.id(), &me.secrets.signing, parents, contents)
                .unwrap();
            let opened = receiver.open(&frame.bytes).unwrap();
            frames.push(json!({
                "counter": frame.counter,
                "contents": contents.iter().map(describe).collect::<Vec<_>>(),
                "parents": parents.iter().map(|p| json!({ "tag": hex(p.tag), "hash": hex(p.hash) })).collect::<Vec<_>>(),
                "hash": hex(frame.hash),
                "first_message_id": hex(MessageId::of(&opened.hash, 0)),
                "bytes": hex(&frame.bytes),
            }));
            sealed.push(frame.bytes);
        }
        let open = |what: &str, bytes: &[u8]| reject(what, bytes, live().open(bytes));
        let mut replayed = live();
        replayed.open(&sealed[0]).unwrap();
        json!({
            "epoch": "that of epoch.json",
            "genesis_hash": hex(self.hash()),
            "psk": hex(self.keys.psk().expose()),
            "epoch_id": hex(issued.announcement.epoch_id()),
            "sender": hex(me.leaf.id()),
            "sender_leaf_seed": hex([0x51; 32]),
            "frames": frames,
            "reject": [
                open("another kind", &[&[2], &sealed[0][1..]].concat()),
                open("another tag", &flipped(&sealed[0], 3)),
                open("another nonce", &flipped(&sealed[0], 20)),
                open("a changed envelope", &flipped(&sealed[0], 100)),
                open("cut short", &sealed[0][..sealed[0].len() - 1]),
                open("a byte too many", &longer(&sealed[0])),
                reject("opened before", &sealed[0], replayed.open(&sealed[0])),
            ],
        })
    }

    fn presence(&self) -> Value {
        let record = PresenceRecord {
            peer: self.members[0].transport.peer_key(),
            addresses: vec![
                "/ip4/192.0.2.1/udp/4001/quic-v1".to_owned(),
                "/ip6/::1/tcp/4001".to_owned(),
            ],
            at_ms: NOW,
        };
        let sealed = record.seal(self.keys.intro(), &mut Recorded::new(4));
        let open = |what: &str, bytes: &[u8]| reject(what, bytes, PresenceRecord::open(self.keys.intro(), bytes));
        json!({
            "intro": hex(self.keys.intro().expose()),
            "peer": hex(record.peer),
            "addresses": record.addresses,
            "at_ms": NOW,
            "bytes": hex(&sealed),
            "reject": [open("a flipped bit", &flipped(&sealed, 60)), open("above the bound", &[3; 1_025])],
        })
    }

    fn direct(&self) -> Value {
        let (_, issued) = self.issued();
        let (epoch, leaf) = (issued.announcement.epoch_id(), self.members[0].leaf.id());
        let (id, operation) = (self.members[0].identity.key(), self.role().hash());
        let leave = Leave::create(&self.members[0].identity, NOW, 0, &self.hash()).encode();
        let bundle = Bundle {
            records: vec![UnverifiedRecord::decode(&leave).unwrap()],
            operations: vec![self.role().to_unverified()],
            announcements: vec![issued.announcement.to_unverified()],
        };
        let have = vec![EpochVector {
            epoch,
            senders: vec![SenderVector {
                leaf,
                next: 4,
                extra: vec![6, 9],
            }],
        }];
        let sync = DirectRequest::Sync {
            records: vec![(id, 7)],
            operations: vec![operation],
            epochs: vec![epoch],
        };
        let wants = Wants {
            records: vec![id],
            operations: vec![operation],
            epochs: vec![epoch],
        };
        let requests = [
            ("sync", sync.clone()),
            ("compare", DirectRequest::Compare { digest: [5; 32] }),
            ("push", DirectRequest::Push(bundle.clone())),
            ("box", DirectRequest::Box { epoch, leaf }),
            ("boxes", DirectRequest::Boxes { epoch, skip: 3 }),
            ("members", DirectRequest::Members { epoch }),
            ("frames", DirectRequest::Frames { have }),
        ];
        let replies = [
            (
                "sync",
                DirectReply::Sync {
                    bundle,
                    wants,
                    more: true,
                },
            ),
            ("compare", DirectReply::Compare { same: true }),
            ("done", DirectReply::Done),
            ("no box", DirectReply::Box(None)),
            ("box", DirectReply::Box(Some(issued.boxes[0].clone()))),
            ("boxes", DirectReply::Boxes(issued.boxes[..2].to_vec())),
            ("members", DirectReply::Members(issued.announcement.members().to_vec())),
            ("frames", DirectReply::Frames(vec![vec![1, 2], vec![3]])),
        ];
        let case = |what: &str, bytes: Vec<u8>| json!({ "what": what, "bytes": hex(bytes) });
        let bytes = sync.encode().unwrap();
        let bad = |what: &str, bytes: &[u8]| reject(what, bytes, DirectRequest::decode(bytes));
        let bomb = [&bytes[..1], &[0xFF; 4], &bytes[5..]].concat();
        json!({
            "requests": requests.iter().map(|(what, r)| case(what, r.encode().unwrap())).collect::<Vec<_>>(),
            "replies": replies.iter().map(|(what, r)| case(what, r.encode().unwrap())).collect::<Vec<_>>(),
            "reject_requests": [
                bad("a kind of a later version", &[99]),
                bad("a byte too many", &longer(&bytes)),
                bad("a count that can't be true", &bomb),
                bad("empty", &[]),
            ],
        })
    }
}

fn announcement_commit(announcement: &epoch::Announcement) -> usize {
    announcement.encode().len() - (1 + 4 + announcement.members().len() * 52) - 64 - 32 - 32
}

fn text(text: &str, reply_to: Option<MessageId>) -> Content {
    Content::Text {
        text: text.to_owned(),
        reply_to,
        sent_at_ms: NOW,
    }
}

fn unknown(kind: u16, bytes: &[u8]) -> Content {
    Content::Unknown {
        kind: ContentKind(kind),
        bytes: bytes.to_vec(),
    }
}

fn describe(content: &Content) -> Value {
    match content {
        Content::Text {
            text,
            reply_to,
            sent_at_ms,
        } => {
            json!({ "kind": 1, "text": text, "reply_to": reply_to.map(hex), "sent_at_ms": sent_at_ms })
        }
        Content::Unknown { kind, bytes } => json!({ "kind": kind.0, "body": hex(bytes) }),
    }
}

fn names() -> Value {
    let id = |typed: &str| {
        let id = RoomId::parse(typed).unwrap();
        json!({ "typed": typed, "room_id": id.as_str(), "handle": hex(id.handle()) })
    };
    let key = |typed: &str| json!({ "typed": typed, "room_key": hex(RoomKey::parse(typed).unwrap().reveal()) });
    let bad_id = |typed: String| json!({ "typed": typed, "error": RoomId::parse(&typed).unwrap_err().to_string() });
    let bad_key = |typed: &str| json!({ "typed": typed, "error": RoomKey::parse(typed).unwrap_err().to_string() });
    json!({
        "room_ids": [id("den"), id("  den\n"), id("\u{FF44}\u{FF45}\u{FF4E}"), id("cafe\u{301}"), id("Den")],
        "room_keys": [key("12345"), key("gru\u{308}nes haus"), key(" spaces count ")],
        "reject_room_ids": [bad_id(String::new()), bad_id("a\u{7}b".to_owned()), bad_id("x".repeat(65))],
        "reject_room_keys": [bad_key("1234"), bad_key("12345\n")],
    })
}

fn padding() -> Value {
    let lens = [
        0, 1, 256, 257, 512, 513, 1_025, 4_096, 4_097, 5_000, 8_193, 16_385, 31_743, 31_744,
    ];
    let case = |len: usize| json!({ "len": len, "padded": content::padded_len(len).unwrap() });
    json!({ "cases": lens.map(case), "reject": [31_745, 32_768] })
}

fn link() -> Value {
    let mesh = snug_crypto::MeshKey::from_bytes([0x81; 32]);
    let (dialer, listener) = (PeerKey::from_bytes([0x82; 32]), PeerKey::from_bytes([0x83; 32]));
    let link = Link {
        dialer: &dialer,
        listener: &listener,
        dialer_nonce: &[0x84; 32],
        listener_nonce: &[0x85; 32],
    };
    let proofs = [LinkRole::Dialer, LinkRole::Listener].map(|role| link::prove(&mesh, role, &link));
    assert!(!link::verify(&mesh, LinkRole::Listener, &link, &proofs[0]));
    json!({
        "mesh": hex([0x81; 32]), "dialer": hex(dialer), "listener": hex(listener),
        "dialer_nonce": hex([0x84; 32]), "listener_nonce": hex([0x85; 32]),
        "dialer_proof": hex(proofs[0]), "listener_proof": hex(proofs[1]),
        "reject": [{ "what": "the dialer's proof as the listener's", "role": "listener", "proof": hex(proofs[0]) }],
    })
}
