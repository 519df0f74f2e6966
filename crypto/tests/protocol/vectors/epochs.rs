//! Epochs and frames.

use serde_json::{Value, json};
use snug_crypto::{
    FrameHash, FrameTag, LeafId, MessageId,
    content::{Content, ContentKind},
    epoch::{self, IssueParams, Issued, MemberEntry, Round, SealedBox, UnverifiedAnnouncement},
    frame::{Epoch, ParentRef, UnverifiedStatement},
    kdf, label, merkle,
};

use super::{
    Fixed, Recorded,
    fixed::{DAY, NOW},
    flipped, hex, longer, reject,
};

impl Fixed {
    pub fn issued(&self) -> (Recorded, Issued) {
        let mut rng = self.rng(2);
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

    pub fn epoch(&self) -> Value {
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
        let encoded = announcement.encode();
        let head = &encoded[..announcement_commit(announcement)];
        let ctx = kdf::hash(label::CONTEXT, &[self.hash().as_bytes(), head]);
        let root = kdf::extract(self.keys.psk().expose(), &rng.drawn[0]);
        let snd = kdf::expand(&*root, label::SENDERS, &[&ctx]);
        let chains: Vec<Value> = announcement
            .members()
            .iter()
            .map(|entry| {
                let first = kdf::expand(&*snd, label::SENDER, &[entry.leaf.as_bytes()]);
                // HMAC of a byte is what HKDF-Extract computes.
                let next = |byte| hex(*kdf::extract(&*first, &[byte]));
                json!({ "leaf_id": hex(entry.leaf), "ck_0": hex(*first), "mk_0": next(1), "ck_1": next(2) })
            })
            .collect();
        let live = |announcement| Epoch::new(self.issued().1.secrets, announcement, &self.leaf_keys()).unwrap();
        json!({
            "genesis_hash": hex(self.hash()),
            "psk": hex(self.keys.psk().expose()),
            "es": hex(&rng.drawn[0]),
            "issuer_leaf_seed": hex(self.b::<32>(0x50)),
            "round": { "day": DAY, "counter": 1 },
            "members_hash": hex(announcement.header().members_hash),
            "commit": hex(announcement.header().commit),
            "box_root": hex(announcement.header().box_root),
            "tag": hex(live(announcement).tag()),
            "export": hex(issued.secrets.export().expose()),
            "ctx": hex(ctx),
            "extracted": hex(*root),
            "env": hex(*kdf::expand(&*root, label::ENVELOPE, &[&ctx])),
            "snd": hex(*snd),
            "chains": chains,
            "epoch_id": hex(announcement.epoch_id()),
            "announcement": hex(&bytes),
            "boxes": boxes,
            "reject": [
                verify("another round", &flipped(&bytes, 44)),
                verify("another commitment", &flipped(&bytes, announcement_commit(announcement))),
                verify("another member", &flipped(&bytes, bytes.len() - 1)),
                verify("a kind of a later version", &[&[3], &bytes[1..]].concat()),
                verify("a byte too many", &longer(&bytes)),
                verify("a byte too few", &bytes[..bytes.len() - 1]),
                verify("another generation", &flipped(&bytes, 8)),
                verify("another issuer", &flipped(&bytes, 49)),
                verify("custodians in another order", &swapped(&bytes, 69, 85, 16)),
                verify("another signature", &flipped(&bytes, announcement_commit(announcement) + 64)),
                verify("another root", &flipped(&bytes, announcement_commit(announcement) + 32)),
                verify("members in another order", &swapped(&bytes, bytes.len() - 104, bytes.len() - 52, 52)),
            ],
            "reject_boxes": { "kem_seed": hex(*kem.to_seed()), "cases": [
                open("damaged: the server's fault", &damaged),
                open("another member's: the server's fault", &other),
                open("for another key", &issued.boxes[0]),
                open("no path", &SealedBox { path: vec![], ..issued.boxes[1].clone() }),
                open("another path", &SealedBox { path: issued.boxes[2].path.clone(), ..issued.boxes[1].clone() }),
            ] },
        })
    }

    /// What bob signs with his first frame.
    pub(super) fn first_statement(&self) -> UnverifiedStatement {
        let (_, issued) = self.issued();
        let mut epoch = Epoch::new(issued.secrets, &issued.announcement, &self.leaf_keys()).unwrap();
        let me = &self.members[1];
        let contents = [text("hello", None)];
        let frame = epoch.seal(&mut self.rng(11), me.leaf.id(), &me.secrets.signing, &[], &contents);
        frame.unwrap().statement.to_unverified()
    }

    pub fn frame(&self) -> Value {
        let (_, issued) = self.issued();
        let live = || Epoch::new(self.issued().1.secrets, &issued.announcement, &self.leaf_keys()).unwrap();
        let (mut sender, mut receiver) = (live(), live());
        let me = &self.members[1];
        let mut rng = self.rng(3);
        let reply = MessageId::of(&FrameHash::from_bytes(self.b(0x0C)), 2);
        let parent = ParentRef {
            tag: FrameTag::from_bytes(self.b(0x0D)),
            hash: FrameHash::from_bytes(self.b(0x0E)),
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
        let mut statements = Vec::new();
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
                "statement": hex(frame.statement.to_unverified().encode()),
                "bytes": hex(&frame.bytes),
            }));
            statements.push(frame.statement.to_unverified().encode());
            sealed.push(frame.bytes);
        }
        let state = |what: &str, bytes: &[u8]| {
            let result = UnverifiedStatement::decode(bytes).map_err(|error| error.to_string());
            let key = me.secrets.signing.public();
            let verify =
                |statement: UnverifiedStatement| statement.verify(&self.hash(), &key).map_err(|e| e.to_string());
            reject(what, bytes, result.and_then(verify))
        };
        let stated = &statements[1];
        let open = |what: &str, bytes: &[u8]| reject(what, bytes, live().open(bytes));
        let mut replayed = live();
        replayed.open(&sealed[0]).unwrap();
        json!({
            "epoch": "that of epoch.json",
            "genesis_hash": hex(self.hash()),
            "psk": hex(self.keys.psk().expose()),
            "epoch_id": hex(issued.announcement.epoch_id()),
            "sender": hex(me.leaf.id()),
            "sender_leaf_seed": hex(self.b::<32>(0x51)),
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
            "reject_statements": [
                state("of another epoch", &flipped(stated, 5)),
                state("of another sender", &flipped(stated, 40)),
                state("of another counter", &flipped(stated, 55)),
                state("with another parent", &flipped(stated, 80)),
                state("of other contents", &flipped(stated, stated.len() - 70)),
                state("another signature", &flipped(stated, stated.len() - 3)),
                state("the epoch of one and the rest of another", &[&stated[..56], &statements[0][56..]].concat()),
                state("cut short", &stated[..stated.len() - 1]),
                state("a byte too many", &longer(stated)),
            ],
        })
    }
}

/// With two stretches of bytes in each other's place.
fn swapped(bytes: &[u8], one: usize, two: usize, len: usize) -> Vec<u8> {
    let mut bad = bytes.to_vec();
    bad[one..one + len].copy_from_slice(&bytes[two..two + len]);
    bad[two..two + len].copy_from_slice(&bytes[one..one + len]);
    bad
}

/// Where the commitment begins.
fn announcement_commit(announcement: &epoch::Announcement) -> usize {
    announcement.encode().len() - (1 + 4 + announcement.members().len() * 52) - 64 - 32 - 32
}

pub(super) fn text(text: &str, reply_to: Option<MessageId>) -> Content {
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

pub(super) fn describe(content: &Content) -> Value {
    match content {
        Content::Text {
            text,
            reply_to,
            sent_at_ms,
        } => {
            json!({ "kind": 1, "text": text, "reply_to": reply_to.map(hex), "sent_at_ms": sent_at_ms })
        }
        Content::Private { .. } => unreachable!("nothing private is described"),
        Content::Unknown { kind, bytes } => json!({ "kind": kind.0, "body": hex(bytes) }),
    }
}
