//! A new generation: the operation that makes it, its epoch, its object; what is handed over, and approvals.

use std::sync::Arc;

use serde_json::{Value, json};
use snug_crypto::{
    Generation, GenerationKeys, OperationHash, RoomKey, RoomRandom,
    approval::Approval,
    control::{self, ControlMessage},
    epoch::{self, IssueParams, Issued, MemberEntry, NewKey, Round, SealedBox, UnverifiedAnnouncement},
    hand_over,
    leaf::Record,
    link,
    object::UnverifiedObject,
    operation::{Author, Operation, Rekey, SignedOperation},
};

use super::{Fixed, Recorded, fixed::DAY, flipped, hex, longer, reject};

/// A kick of carol by alice, who is an admin.
struct Kick {
    room_key: RoomKey,
    random: RoomRandom,
    keys: GenerationKeys,
    operation: SignedOperation,
    rng: Recorded,
    issued: Issued,
}

impl Fixed {
    fn kick(&self) -> Kick {
        let room_key = RoomKey::parse("another key for those who stay").unwrap();
        let random = RoomRandom::from_bytes(self.b(0x21));
        let entries: Vec<_> = self.members[..2]
            .iter()
            .map(|m| (MemberEntry::of(&m.leaf), m.leaf.kem()))
            .collect();
        let carried: Vec<MemberEntry> = entries.iter().map(|(entry, _)| *entry).collect();
        let handle = self.genesis.handle();
        let derive = |hash| GenerationKeys::derive(&room_key, &random, &handle, Generation { count: 1, hash });
        let rekey = Rekey {
            count: 1,
            key_commit: derive(OperationHash::from_bytes([0; 32])).commit(),
            members_hash: epoch::roster_hash(&carried),
            member_count: 2,
        };
        let kick = Operation::Kick {
            identity: self.members[2].identity.key(),
            rekey,
        };
        let author = Author::Member(&self.members[0].identity);
        let operation = SignedOperation::create(author, vec![self.role().hash()], kick, &self.hash()).unwrap();
        let keys = derive(operation.hash());
        let mut rng = self.rng(9);
        let issuer = self.members[0].leaf.id();
        let params = IssueParams {
            generation: keys.generation(),
            round: Round { day: DAY, counter: 0 },
            issuer,
            custodians: vec![issuer],
            members: &entries,
        };
        let new = NewKey {
            room_key: &room_key,
            random: &random,
        };
        let signer = &self.members[0].secrets.signing;
        let issued = epoch::issue_generation(&mut rng, keys.psk(), new, &self.hash(), params, signer).unwrap();
        Kick {
            room_key,
            random,
            keys,
            operation,
            rng,
            issued,
        }
    }

    pub(super) fn authority(&self) -> Value {
        let kick = self.kick();
        let Issued {
            announcement, boxes, ..
        } = &kick.issued;
        let issuer = Record::Leaf(Arc::new(self.members[0].leaf.clone())).to_unverified();
        let object = UnverifiedObject {
            log: vec![self.role().to_unverified(), kick.operation.to_unverified()],
            issuer: issuer.clone(),
            announcement: announcement.to_unverified_with_members(),
            boxes: boxes.clone(),
        };
        let encoded = object.encode().unwrap();
        let whole = |what: &str, bytes: &[u8]| reject(what, bytes, UnverifiedObject::decode(bytes));
        let announced = announcement.encode();
        let at = encoded.windows(announced.len()).position(|window| window == announced);
        let (front, back) = encoded.split_at(at.unwrap() + announced.len());
        let count = u32::try_from(announcement.members().len()).unwrap().to_be_bytes();
        let entries = announcement.members().iter().flat_map(|member| {
            let incarnation = member.incarnation.to_be_bytes();
            [member.leaf.as_bytes().as_slice(), &incarnation, &member.kem_hash].concat()
        });
        let beside = [front, &[1], &count, &entries.collect::<Vec<u8>>(), &back[1..]].concat();
        json!({
            "genesis": hex(self.genesis.encode()),
            "room_key": kick.room_key.reveal(),
            "r": hex(kick.random.expose()),
            "psk": hex(kick.keys.psk().expose()),
            "key_commit": hex(kick.keys.commit()),
            "topic": hex(kick.keys.topic().0),
            "author_seed": hex(self.b::<32>(0x30)),
            "parents": [hex(self.role().hash())],
            "removed": hex(self.members[2].identity.key()),
            "count": 1,
            "operation": hex(kick.operation.encode()),
            "operation_hash": hex(kick.operation.hash()),
            "first_epoch": self.generation_epoch(&kick),
            "object": {
                "before": [hex(self.role().encode())],
                "issuer": hex(issuer.encode()),
                "bytes": hex(&encoded),
                "reject": [
                    whole("a later version", &[&[2], &encoded[1..]].concat()),
                    whole("a byte too many", &longer(&encoded)),
                    whole("a byte too few", &encoded[..encoded.len() - 1]),
                    whole("entries beside an announcement that holds them", &beside),
                    whole("no operation where one must be", &[&[1, 0, 0, 0, 1], &encoded[encoded.len() - 9..]].concat()),
                ],
            },
            "hand_over": self.handed(&kick),
            "approval": self.approvals(&kick),
            "link_hint": {
                "mesh": hex(kick.keys.mesh().expose()),
                "dialer_nonce": hex(self.b::<32>(0x71)),
                "hint": hex(link::hint(kick.keys.mesh(), &self.b(0x71))),
            },
        })
    }

    fn generation_epoch(&self, kick: &Kick) -> Value {
        let Issued {
            announcement, boxes, ..
        } = &kick.issued;
        let handle = self.genesis.handle();
        let boxed = |(index, sealed): (usize, &SealedBox)| {
            let owner = self
                .members
                .iter()
                .find(|member| member.leaf.id() == sealed.leaf)
                .unwrap();
            json!({
                "leaf_id": hex(sealed.leaf),
                "kem_seed": hex(*owner.secrets.kem.to_seed()),
                "encapsulation_randomness": hex(<[u8; 64]>::try_from(kick.rng.drawn[1 + index].as_slice()).unwrap()),
                "bytes": hex(sealed.encode()),
            })
        };
        let kem = |of: &SealedBox| {
            let owner = self.members.iter().find(|member| member.leaf.id() == of.leaf).unwrap();
            owner.secrets.kem.clone()
        };
        let commit = kick.keys.commit();
        let open = |what: &str, sealed: &SealedBox, commit: &[u8; 32]| {
            let opened = epoch::open_key_box(announcement, sealed, &kem(&boxes[0]), &handle, commit);
            let mut case = reject(what, &sealed.encode(), opened);
            case["key_commit"] = hex(commit);
            case
        };
        let damaged = SealedBox {
            ciphertext: flipped(&boxes[0].ciphertext, 1_130),
            ..boxes[0].clone()
        };
        let bytes = announcement.encode();
        let key = *self.members[0].leaf.key();
        let verify = |what: &str, bytes: &[u8]| {
            let result = UnverifiedAnnouncement::decode(bytes)
                .map_err(|error| error.to_string())
                .and_then(|a| a.verify(&self.hash(), |_| Some(key)).map_err(|error| error.to_string()));
            reject(what, bytes, result)
        };
        json!({
            "es": hex(&kick.rng.drawn[0]),
            "issuer_leaf_seed": hex(self.b::<32>(0x50)),
            "commit": hex(announcement.header().commit),
            "epoch_id": hex(announcement.epoch_id()),
            "announcement": hex(&bytes),
            "boxes": boxes.iter().enumerate().map(boxed).collect::<Vec<_>>(),
            "reject": [
                verify("as an ordinary epoch", &[&[1], &bytes[1..]].concat()),
                verify("of another operation", &flipped(&bytes, 12)),
            ],
            "reject_boxes": { "kem_seed": hex(*kem(&boxes[0]).to_seed()), "cases": [
                open("damaged: the server's fault", &damaged, &commit),
                open("another member's", &boxes[1], &commit),
                open("other keys than the operation commits to: the issuer's fault", &boxes[0], &self.b(0x22)),
            ] },
        })
    }

    fn handed(&self, kick: &Kick) -> Value {
        let bob = &self.members[1];
        let new = NewKey {
            room_key: &kick.room_key,
            random: &kick.random,
        };
        let (generation, handle) = (kick.keys.generation(), self.genesis.handle());
        let mut rng = self.rng(10);
        let bytes = hand_over::seal(&mut rng, new, generation, &self.hash(), &bob.leaf).unwrap();
        let (kem, leaf, commit) = (&bob.secrets.kem, bob.leaf.id(), kick.keys.commit());
        let open = |bytes: &[u8], commit: &[u8; 32]| {
            hand_over::open(bytes, kem, generation, &self.hash(), &leaf, &handle, commit).ok_or("it doesn't open")
        };
        open(&bytes, &commit).unwrap();
        let refuse = |what: &str, bytes: &[u8], commit: &[u8; 32]| {
            let mut case = reject(what, bytes, open(bytes, commit));
            case["key_commit"] = hex(commit);
            case
        };
        json!({
            "leaf": hex(bob.leaf.encode()),
            "leaf_id": hex(leaf),
            "kem_seed": hex(*kem.to_seed()),
            "encapsulation_randomness": hex(<[u8; 64]>::try_from(rng.drawn[0].as_slice()).unwrap()),
            "bytes": hex(&bytes),
            "reject": [
                refuse("damaged", &flipped(&bytes, 1_125), &commit),
                refuse("too short", &bytes[..1_100], &commit),
                refuse("other keys than the operation commits to", &bytes, &self.b(0x22)),
            ],
        })
    }

    fn approvals(&self, kick: &Kick) -> Value {
        let generation = kick.keys.generation();
        let identity = self.members[2].identity.key();
        let approval = Approval::sign(
            Author::Member(&self.members[0].identity),
            &identity,
            generation,
            &self.hash(),
        );
        let bytes = approval.encode();
        let verify = |what: &str, bytes: &[u8]| {
            let result = Approval::decode(bytes)
                .map_err(|error| error.to_string())
                .and_then(|a| {
                    a.verify(&identity, generation, &self.hash())
                        .map_err(|error| error.to_string())
                });
            reject(what, bytes, result)
        };
        let message = ControlMessage::Approval {
            identity,
            generation,
            approval: approval.clone(),
        };
        json!({
            "approver_seed": hex(self.b::<32>(0x30)),
            "identity": hex(identity),
            "bytes": hex(&bytes),
            "control": hex(kick.keys.control().expose()),
            "message": hex(control::seal(kick.keys.control(), &message).unwrap()),
            "reject": [
                verify("another signature", &flipped(&bytes, bytes.len() - 1)),
                verify("another approver", &flipped(&bytes, 0)),
                verify("a byte too many", &longer(&bytes)),
                verify("a byte too few", &bytes[..bytes.len() - 1]),
            ],
        })
    }
}
