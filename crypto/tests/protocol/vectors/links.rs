//! What peers tell each other: presence, proofs of a link, direct requests.

use serde_json::{Value, json};
use snug_crypto::{
    FrameHash, Generation, MeshKey, PeerKey,
    approval::Approval,
    direct::{Bundle, DirectReply, DirectRequest, EpochVector, ReceiptMark, SenderVector, Wants},
    epoch::MemberEntry,
    leaf::{Leave, UnverifiedRecord},
    link::{self, Link, LinkRole},
    operation::Author,
    presence::PresenceRecord,
};

use super::{Fixed, fixed::NOW, flipped, hex, longer, reject};

impl Fixed {
    pub fn presence(&self) -> Value {
        let record = PresenceRecord {
            peer: self.members[0].transport.peer_key(),
            addresses: vec![
                "/ip4/192.0.2.1/udp/4001/quic-v1".to_owned(),
                "/ip6/::1/tcp/4001".to_owned(),
            ],
            at_ms: NOW,
        };
        let sealed = record.seal(self.keys.intro(), &mut self.rng(4));
        let open = |what: &str, bytes: &[u8]| reject(what, bytes, PresenceRecord::open(self.keys.intro(), bytes));
        json!({
            "intro": hex(self.keys.intro().expose()),
            "peer": hex(record.peer),
            "addresses": record.addresses,
            "at_ms": NOW,
            "bytes": hex(&sealed),
            "reject": [
                open("a flipped bit", &flipped(&sealed, 60)),
                open("another nonce", &flipped(&sealed, 9)),
                open("another kind", &[&[4], &sealed[1..]].concat()),
                open("cut short", &sealed[..sealed.len() - 1]),
                open("a byte too many", &longer(&sealed)),
                open("above the bound", &[3; 1_025]),
            ],
        })
    }

    pub fn direct(&self) -> Value {
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
        let statement = self.first_statement();
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
        let bundled = json!({
            "records": [hex(&leave)],
            "operations": [hex(self.role().encode())],
            "announcements": [hex(issued.announcement.encode())],
        });
        let wanted = json!({ "records": [hex(id)], "operations": [hex(operation)], "epochs": [hex(epoch)] });
        let boxes = &issued.boxes;
        let members = issued.announcement.members();
        let entry =
            |m: &MemberEntry| json!({ "leaf": hex(m.leaf), "incarnation": m.incarnation, "kem_hash": hex(m.kem_hash) });
        let mark = ReceiptMark {
            epoch,
            held: 9,
            delivered: 7,
            read_from: 2,
            read: 5,
        };
        let later = Generation {
            count: 3,
            hash: operation,
        };
        let requests = [
            (
                "sync",
                json!({ "records": [{ "identity": hex(id), "seq": 7 }], "operations": [hex(operation)], "epochs": [hex(epoch)] }),
                sync.clone(),
            ),
            (
                "compare",
                json!({ "digest": hex(self.b::<32>(5)) }),
                DirectRequest::Compare { digest: self.b(5) },
            ),
            ("push", bundled.clone(), DirectRequest::Push(bundle.clone())),
            (
                "box",
                json!({ "epoch": hex(epoch), "leaf": hex(leaf) }),
                DirectRequest::Box { epoch, leaf },
            ),
            (
                "boxes",
                json!({ "epoch": hex(epoch), "skip": 3 }),
                DirectRequest::Boxes { epoch, skip: 3 },
            ),
            (
                "members",
                json!({ "epoch": hex(epoch) }),
                DirectRequest::Members { epoch },
            ),
            (
                "frames",
                json!({ "have": [{ "epoch": hex(epoch), "senders": [{ "leaf": hex(leaf), "next": 4, "extra": [6, 9] }] }] }),
                DirectRequest::Frames { have },
            ),
            (
                "receipt",
                json!({ "marks": [{ "epoch": hex(epoch), "held": 9, "delivered": 7, "read_from": 2, "read": 5 }] }),
                DirectRequest::Receipt { marks: vec![mark] },
            ),
            (
                "statements",
                json!({ "frames": [hex(self.b::<32>(6))] }),
                DirectRequest::Statements {
                    frames: vec![FrameHash::from_bytes(self.b(6))],
                },
            ),
            (
                "approval",
                json!({ "identity": hex(id), "count": 3, "hash": hex(operation) }),
                DirectRequest::Approval {
                    identity: id,
                    generation: later,
                },
            ),
        ];
        let approval = Approval::sign(Author::Admin(&self.admin), &id, later, &self.hash());
        let replies = [
            (
                "sync",
                json!({ "bundle": bundled, "wants": wanted, "more": true }),
                DirectReply::Sync {
                    bundle,
                    wants,
                    more: true,
                },
            ),
            ("compare", json!({ "same": true }), DirectReply::Compare { same: true }),
            ("done", json!({}), DirectReply::Done),
            ("box", json!({ "box": null }), DirectReply::Box(None)),
            (
                "box",
                json!({ "box": hex(boxes[0].encode()) }),
                DirectReply::Box(Some(boxes[0].clone())),
            ),
            (
                "boxes",
                json!({ "boxes": boxes[..2].iter().map(|sealed| hex(sealed.encode())).collect::<Vec<_>>() }),
                DirectReply::Boxes(boxes[..2].to_vec()),
            ),
            (
                "members",
                json!({ "members": members.iter().map(entry).collect::<Vec<_>>() }),
                DirectReply::Members(members.to_vec()),
            ),
            (
                "frames",
                json!({ "frames": ["0102", "03"] }),
                DirectReply::Frames(vec![vec![1, 2], vec![3]]),
            ),
            ("noted", json!({}), DirectReply::Noted),
            (
                "statements",
                json!({ "statements": [hex(statement.encode())] }),
                DirectReply::Statements(vec![statement.clone()]),
            ),
            ("approval", json!({ "approval": null }), DirectReply::Approval(None)),
            (
                "approval",
                json!({ "approval": hex(approval.encode()) }),
                DirectReply::Approval(Some(approval)),
            ),
        ];
        let case =
            |what: &str, fields: &Value, bytes: Vec<u8>| json!({ "what": what, "fields": fields, "bytes": hex(bytes) });
        let bytes = sync.encode().unwrap();
        let bad = |what: &str, bytes: &[u8]| reject(what, bytes, DirectRequest::decode(bytes));
        let bomb = [&bytes[..1], &[0xFF; 4], &bytes[5..]].concat();
        let mut reject_requests = vec![
            bad("a kind of a later version", &[99]),
            bad("a count that can't be true", &bomb),
            bad("empty", &[]),
        ];
        for (what, _, request) in &requests {
            let bytes = request.encode().unwrap();
            reject_requests.push(bad(&format!("{what}, a byte too many"), &longer(&bytes)));
            reject_requests.push(bad(&format!("{what}, a byte too few"), &bytes[..bytes.len() - 1]));
        }
        for (what, at) in [
            ("more delivered than held", 45),
            ("more read than delivered", 61),
            ("read from beyond", 53),
        ] {
            let mut bytes = DirectRequest::Receipt { marks: vec![mark] }.encode().unwrap();
            bytes[at + 7] = 200;
            reject_requests.push(bad(what, &bytes));
        }
        let bad = |what: &str, bytes: &[u8]| reject(what, bytes, DirectReply::decode(bytes));
        let mut reject_replies = vec![
            bad("a kind of a later version", &[99]),
            bad("neither yes nor no", &[2, 2]),
        ];
        for (what, _, reply) in &replies {
            let bytes = reply.encode().unwrap();
            reject_replies.push(bad(&format!("{what}, a byte too many"), &longer(&bytes)));
            reject_replies.push(bad(&format!("{what}, a byte too few"), &bytes[..bytes.len() - 1]));
        }
        json!({
            "requests": requests.iter().map(|(what, fields, r)| case(what, fields, r.encode().unwrap())).collect::<Vec<_>>(),
            "replies": replies.iter().map(|(what, fields, r)| case(what, fields, r.encode().unwrap())).collect::<Vec<_>>(),
            "reject_requests": reject_requests,
            "reject_replies": reject_replies,
        })
    }

    pub fn link(&self) -> Value {
        let mesh = MeshKey::from_bytes(self.b(0x81));
        let (dialer, listener) = (PeerKey::from_bytes(self.b(0x82)), PeerKey::from_bytes(self.b(0x83)));
        let (ours, theirs) = (self.b(0x84), self.b(0x85));
        let link = Link {
            dialer: &dialer,
            listener: &listener,
            dialer_nonce: &ours,
            listener_nonce: &theirs,
        };
        let proofs = [LinkRole::Dialer, LinkRole::Listener].map(|role| link::prove(&mesh, role, &link));
        let bad = |what: &str, role: LinkRole, proof: &[u8; 32]| {
            assert!(!link::verify(&mesh, role, &link, proof), "accepted: {what}");
            json!({ "what": what, "role": if role == LinkRole::Dialer { "dialer" } else { "listener" }, "proof": hex(proof) })
        };
        let elsewhere = MeshKey::from_bytes(self.b(0x86));
        let turned = Link {
            dialer: &listener,
            listener: &dialer,
            ..link
        };
        let again = Link {
            listener_nonce: &ours,
            ..link
        };
        json!({
            "mesh": hex(mesh.expose()), "dialer": hex(dialer), "listener": hex(listener),
            "dialer_nonce": hex(ours), "listener_nonce": hex(theirs),
            "dialer_proof": hex(proofs[0]), "listener_proof": hex(proofs[1]),
            "reject": [
                bad("the dialer's proof as the listener's", LinkRole::Listener, &proofs[0]),
                bad("the listener's proof as the dialer's", LinkRole::Dialer, &proofs[1]),
                bad("another room's", LinkRole::Dialer, &link::prove(&elsewhere, LinkRole::Dialer, &link)),
                bad("of the other direction", LinkRole::Dialer, &link::prove(&mesh, LinkRole::Dialer, &turned)),
                bad("of another nonce", LinkRole::Dialer, &link::prove(&mesh, LinkRole::Dialer, &again)),
                bad("nothing", LinkRole::Dialer, &[0; 32]),
            ],
        })
    }
}
