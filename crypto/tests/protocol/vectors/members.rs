//! What members sign: records, operations, control messages.

use serde_json::{Value, json};
use snug_crypto::{
    AdminKey, Policy,
    control::{self, ControlMessage},
    credential::Tombstone,
    leaf::{Leave, UnverifiedRecord},
    operation::{Author, Keeper, Operation, OperationKind, Rekey, Role, SignedOperation, UnverifiedOperation},
    safety::SafetyNumber,
};

use super::{
    Fixed,
    fixed::{FixedMember, NOW},
    flipped, hex, longer, reject,
};

impl Fixed {
    pub(super) fn safety(&self) -> Value {
        let keys: Vec<_> = self.members.iter().map(|member| member.identity.key()).collect();
        let case = |one: usize, other: usize| {
            let number = SafetyNumber::of(&keys[one], &keys[other]);
            let shown = number.to_string();
            let wrong = |what: &str, typed: String| {
                assert!(!number.matches(&typed), "{what}");
                json!({ "what": what, "typed": typed })
            };
            let last = if shown.ends_with('0') { '1' } else { '0' };
            let third = SafetyNumber::of(&keys[one], &keys[3 - one - other]);
            json!({
                "one": hex(keys[one]), "other": hex(keys[other]), "number": shown, "scanned": number.scanned(),
                "typed": [number.scanned().to_lowercase(), shown.replace(' ', "-"), format!("  {}\n", shown.replace(' ', ""))],
                "reject": [
                    wrong("another pair's", third.to_string()), wrong("a digit too few", shown[1..].to_owned()),
                    wrong("a digit too many", format!("{shown} 1")), wrong("nothing", String::new()),
                    wrong("another last digit", format!("{}{last}", &shown[..shown.len() - 1])),
                    wrong("dots between", shown.replace(' ', ".")), wrong("other digits", shown.replace('1', "\u{661}").replace('2', "\u{662}").replace('3', "\u{663}")),
                ],
            })
        };
        json!({ "cases": [case(0, 1), case(2, 1), case(0, 2)] })
    }

    pub fn leaf(&self) -> Value {
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
                "identity_seed": hex(self.b::<32>(0x30)), "seq": NOW + 9, "incarnation": 4, "bytes": hex(leave.encode()),
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
            "identity_seed": hex(self.b::<32>(0x30 + number)),
            "transport_seed": hex(self.b::<32>(0x40 + number)),
            "leaf_seed": hex(self.b::<32>(0x50 + number)),
            "kem_seed": hex(self.b::<32>(0x60 + number)),
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

    pub fn operation(&self) -> Value {
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
        let rekey = Rekey {
            count: 7,
            key_commit: self.b(0x23),
            members_hash: self.b(0x24),
            member_count: 2,
        };
        let identity = self.members[2].identity.key();
        let sign = |operation| SignedOperation::create(author, vec![role.hash()], operation, &self.hash()).unwrap();
        let kick = sign(Operation::Kick { identity, rekey });
        let ban = sign(Operation::Ban { identity, rekey });
        let key_gen = sign(Operation::KeyGen(rekey));
        let policy = sign(Operation::Policy(Policy {
            max_participants: 9,
            approval: true,
            ..Policy::default()
        }));
        let keeper = sign(Operation::Keeper(Box::new(Keeper {
            key: identity,
            kem: self.members[2].leaf.kem().clone(),
            addresses: vec!["/ip4/192.0.2.1/tcp/4001".to_owned()],
        })));
        // Signed as they stand: what they say is what no decoder takes.
        let signed_body = |kind: u16, body: Vec<u8>| {
            sign(Operation::Unknown {
                kind: OperationKind(kind),
                body,
            })
            .encode()
        };
        let none_carried = [&[0; 7][..], &[1], &[0; 64], &[0; 4]].concat();
        let no_count = [&[0; 8][..], &[0; 64], &[0, 0, 0, 1]].concat();
        let case = |what: &str, operation: &SignedOperation| {
            let (kind, bytes) = (operation.operation().kind().0, operation.encode());
            let parents = operation.parents();
            let by = if operation.is_by_admin_key(&self.genesis) {
                "admin"
            } else {
                "member"
            };
            // What stands behind version, author, parents, kind and its own length, and before the signature.
            let body = &bytes[1 + 32 + 4 + parents.len() * 32 + 2 + 4..bytes.len() - 64];
            json!({
                "what": what, "by": by, "parents": parents.iter().map(hex).collect::<Vec<_>>(), "kind": kind,
                "body": hex(body), "bytes": hex(&bytes), "hash": hex(operation.hash()),
            })
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
            "admin_seed": hex(self.b::<32>(0x11)),
            "author_seed": hex(self.b::<32>(0x30)),
            "operations": [
                case("the admin key makes alice admin", &role),
                case("alice makes bob a moderator", &moderator),
                case("alice carries the admin's tombstone", &carried(&self.admin)),
                case("a kind of a later version", &unknown),
                case("alice kicks carol", &kick),
                case("alice bans carol", &ban),
                case("alice changes the policy", &policy),
                case("alice makes a new generation", &key_gen),
                case("alice names a keeper", &keeper),
            ],
            "reject": [
                verify("another role", &flipped(&bytes, bytes.len() - 65)),
                verify("another author", &flipped(&bytes, 1)),
                verify("a tombstone that isn't the admin's", &carried(&AdminKey::from_seed(&self.b(0x99))).encode()),
                verify("a byte too many", &longer(&bytes)),
                verify("a later version", &[&[2], &bytes[1..]].concat()),
                verify("a byte too few", &bytes[..bytes.len() - 1]),
                verify("another signature", &flipped(&bytes, bytes.len() - 1)),
                verify("another kind", &flipped(&bytes, 38)),
                verify("a generation that carries nobody", &signed_body(5, none_carried)),
                verify("a generation with the count of the first", &signed_body(5, no_count)),
                verify("a kick without a generation", &signed_body(2, identity.as_bytes().to_vec())),
                verify("a policy for nobody", &signed_body(4, vec![0; 13])),
                verify("a policy that is too long", &signed_body(4, vec![0; 15])),
                verify("a role that doesn't exist", &signed_body(1, [identity.as_bytes(), &[3][..]].concat())),
            ],
        })
    }

    pub fn control(&self) -> Value {
        let record = UnverifiedRecord::decode(&self.members[0].leaf.encode()).unwrap();
        let key = self.keys.control();
        let (_, issued) = self.issued();
        let case = |kind: u8, body: Vec<u8>, message: &ControlMessage| json!({ "type": kind, "body": hex(body), "bytes": hex(control::seal(key, message).unwrap()) });
        let (epoch, sealed_box) = (issued.announcement.epoch_id(), &issued.boxes[0]);
        let certificate = self.a_certificate();
        let sealed = control::seal(key, &ControlMessage::Record(record.clone())).unwrap();
        let open = |what: &str, bytes: &[u8]| reject(what, bytes, control::open(key, bytes));
        json!({
            "control": hex(key.expose()),
            "messages": [
                case(1, record.encode().to_vec(), &ControlMessage::Record(record.clone())),
                case(2, self.role().encode(), &ControlMessage::Operation(self.role().to_unverified())),
                case(3, issued.announcement.encode(), &ControlMessage::Announcement(issued.announcement.to_unverified())),
                case(5, certificate.to_bytes().to_vec(), &ControlMessage::Certificate(certificate)),
                case(6, [epoch.as_bytes(), &sealed_box.encode()[..]].concat(), &ControlMessage::Box { epoch, sealed: sealed_box.clone() }),
            ],
            "reject": [
                open("a flipped bit", &flipped(&sealed, 700)),
                open("another nonce", &flipped(&sealed, 5)),
                open("another kind", &[&[1], &sealed[1..]].concat()),
                open("cut short", &sealed[..40]),
                open("a byte too many", &longer(&sealed)),
            ],
        })
    }
}
