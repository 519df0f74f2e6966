//! `snug debug schedule`: how each key and hash of a room comes about, with the label and the inputs of each, for auditors
//! and for who writes another implementation. The room is that of the committed test vectors: nothing can be given, so no
//! real room's keys can ever be shown.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, Identity, Policy, RoomId, RoomKey, RoomRandom, TransportKey,
    epoch::MemberEntry,
    kdf,
    kem::KemSecret,
    label::{self, Label},
    leaf::{Leaf, LeafParams, LeafSecrets, LeafSigningKey},
    wire::Writer,
};

use super::{print, print_json};
use crate::cli::ScheduleArgs;
use crate::failure::Failure;

/// What the vectors' room was made with: crypto/tests/vectors has the same.
const ROOM_KEY: &str = "correct-horse-battery-staple";
const NOW_MS: u64 = 1_700_000_000_000;
const DAY: u32 = 19_675;
const EPOCH_SECRET: &str = "8e0bb7534fcf4f12ac7458fb8092fe529ce56ea0bb68edb63b5f6ccb168aad93";
/// An input longer than this is shortened in the text.
const SHOWN: usize = 40;

/// One step of the schedule.
struct Step {
    name: String,
    formula: String,
    label: Option<Label>,
    inputs: Vec<(&'static str, Vec<u8>)>,
    output: Vec<u8>,
}

#[derive(Default)]
struct Schedule(Vec<Step>);

/// Prints the schedule.
pub fn schedule(args: &ScheduleArgs) -> Result<u8, Failure> {
    let steps = make().ok_or_else(|| Failure::failed("the test room can't be made: this is a bug"))?;
    if args.json {
        print_json(&json!({ "steps": steps.0.iter().map(Step::json).collect::<Vec<_>>() }))?;
    } else {
        print(steps.0.iter().map(Step::text))?;
    }
    Ok(0)
}

impl Schedule {
    fn push(
        &mut self,
        name: &str,
        formula: &str,
        label: Option<Label>,
        inputs: &[(&'static str, &[u8])],
        output: &[u8],
    ) {
        let inputs = inputs.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
        let (name, formula, output) = (name.to_owned(), formula.to_owned(), output.to_vec());
        self.0.push(Step {
            name,
            formula,
            label,
            inputs,
            output,
        });
    }

    fn extract(&mut self, name: &str, salt: (&'static str, &[u8]), ikm: (&'static str, &[u8])) -> [u8; 32] {
        let output = *kdf::extract(salt.1, ikm.1);
        self.push(
            name,
            &format!("Extract({}, {})", salt.0, ikm.0),
            None,
            &[salt, ikm],
            &output,
        );
        output
    }

    fn hash(&mut self, name: &str, label: Label, fields: &[(&'static str, &[u8])]) -> [u8; 32] {
        let values: Vec<&[u8]> = fields.iter().map(|(_, bytes)| *bytes).collect();
        let output = kdf::hash(label, &values);
        self.push(
            name,
            &format!("H({})", arguments(None, label, fields)),
            Some(label),
            fields,
            &output,
        );
        output
    }

    fn key(
        &mut self,
        name: &str,
        key: (&'static str, &[u8]),
        label: Label,
        fields: &[(&'static str, &[u8])],
    ) -> [u8; 32] {
        let values: Vec<&[u8]> = fields.iter().map(|(_, bytes)| *bytes).collect();
        let output = *kdf::expand(key.1, label, &values);
        let inputs = [&[key], fields].concat();
        self.push(
            name,
            &format!("X({})", arguments(Some(key.0), label, fields)),
            Some(label),
            &inputs,
            &output,
        );
        output
    }

    /// A step of a sender chain. HMAC of a short message is what HKDF-Extract computes.
    fn hmac(&mut self, name: &str, key: (&'static str, &[u8]), byte: u8) -> [u8; 32] {
        let output = *kdf::extract(key.1, &[byte]);
        self.push(
            name,
            &format!("HMAC-SHA256({}, {byte:02x})", key.0),
            None,
            &[key],
            &output,
        );
        output
    }
}

fn arguments(key: Option<&str>, label: Label, fields: &[(&'static str, &[u8])]) -> String {
    let label = format!("\"{}\"", label.as_str());
    let names = fields.iter().map(|(name, _)| (*name).to_owned());
    let all: Vec<String> = key.map(str::to_owned).into_iter().chain([label]).chain(names).collect();
    all.join(", ")
}

impl Step {
    fn json(&self) -> Value {
        let input = |(name, bytes): &(&str, Vec<u8>)| json!({ "name": name, "value": HEXLOWER.encode(bytes) });
        json!({
            "name": self.name,
            "formula": self.formula,
            "label": self.label.map(Label::as_str),
            "inputs": self.inputs.iter().map(input).collect::<Vec<_>>(),
            "output": HEXLOWER.encode(&self.output),
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{} = {}\n", self.name, self.formula);
        for (name, bytes) in &self.inputs {
            let shown = &bytes[..bytes.len().min(SHOWN)];
            let more = if bytes.len() > SHOWN {
                format!("… ({} bytes)", bytes.len())
            } else {
                String::new()
            };
            text += &format!("    {name}: {}{more}\n", HEXLOWER.encode(shown));
        }
        text + &format!("    -> {}\n", HEXLOWER.encode(&self.output))
    }
}

/// The schedule of the vectors' room.
fn make() -> Option<Schedule> {
    let mut s = Schedule::default();
    let admin = AdminKey::from_seed(&[0x11; 32]);
    let id = RoomId::parse("den").ok()?;
    let genesis = Genesis::create(&admin, &id, "a quiet place", NOW_MS, Policy::default()).ok()?;
    let encoded = genesis.encode();
    let handle = s.hash("handle", label::HANDLE, &[("room_id", b"den")]);
    let room = s.hash(
        "genesis_hash",
        label::GENESIS,
        &[("body", &encoded[..encoded.len() - 64])],
    );

    let (random, count) = ([0x22; 32], 0u64.to_be_bytes());
    let extracted = s.extract("extracted", ("r", &random), ("room_key", ROOM_KEY.as_bytes()));
    let psk = s.key(
        "psk",
        ("extracted", &extracted),
        label::PSK,
        &[("handle", &handle), ("count", &count)],
    );
    s.key("topic", ("psk", &psk), label::TOPIC, &[]);
    let mesh = s.key("mesh", ("psk", &psk), label::MESH, &[]);
    s.key("keep", ("psk", &psk), label::KEEP, &[]);
    s.key("join", ("psk", &psk), label::JOIN, &[]);
    s.key("intro", ("psk", &psk), label::INTRO, &[]);
    s.key("control", ("psk", &psk), label::CONTROL, &[]);
    s.key("mdns", ("mesh", &mesh), label::MDNS, &[("day", &DAY.to_be_bytes())]);

    let leaves = (0..3)
        .map(|number| leaf(&genesis, number))
        .collect::<Option<Vec<_>>>()?;
    let mut entries = Vec::new();
    for (number, leaf) in leaves.iter().enumerate() {
        let (identity, incarnation) = (leaf.identity(), leaf.incarnation().to_be_bytes());
        s.hash(
            &format!("fingerprint[..16] of member {number}"),
            label::FINGERPRINT,
            &[("identity_vk", identity.as_bytes())],
        );
        let fields: [(&str, &[u8]); 4] = [
            ("genesis_hash", &room),
            ("identity_vk", identity.as_bytes()),
            ("leaf_vk", leaf.key().as_bytes()),
            ("incarnation", &incarnation),
        ];
        s.hash(&format!("leaf_id[..16] of member {number}"), label::LEAF, &fields);
        s.hash(
            &format!("kem_hash of member {number}"),
            label::KEM,
            &[("xwing_ek", leaf.kem().as_bytes())],
        );
        entries.push(MemberEntry::of(leaf));
    }
    entries.sort_unstable();
    epoch(&mut s, &room, &psk, &leaves, &entries)?;
    Some(s)
}

fn epoch(s: &mut Schedule, room: &[u8; 32], psk: &[u8; 32], leaves: &[Leaf], entries: &[MemberEntry]) -> Option<()> {
    let mut members = Writer::new();
    for entry in entries {
        members
            .raw(entry.leaf.as_bytes())
            .u32(entry.incarnation)
            .raw(&entry.kem_hash);
    }
    let members_hash = s.hash("members_hash", label::MEMBERS, &[("entries", members.as_slice())]);
    let mut custodians = [leaves.first()?.id(), leaves.get(2)?.id()];
    custodians.sort_unstable();
    let mut head = Writer::new();
    head.u8(1)
        .u64(0)
        .raw(room)
        .u32(DAY)
        .u32(1)
        .raw(leaves.first()?.id().as_bytes());
    head.list(&custodians, |w, leaf| {
        w.raw(leaf.as_bytes());
    });
    head.raw(&members_hash).u32(3).count(0);
    let ctx = s.hash(
        "ctx",
        label::CONTEXT,
        &[("genesis_hash", room), ("head", head.as_slice())],
    );

    let secret = HEXLOWER.decode(EPOCH_SECRET.as_bytes()).ok()?;
    let root = s.extract("E", ("psk", psk), ("es", &secret));
    let context: [(&str, &[u8]); 1] = [("ctx", &ctx)];
    s.key("env", ("E", &root), label::ENVELOPE, &context);
    s.key("tag[..8]", ("E", &root), label::TAG, &context);
    let commit = s.key("commit", ("E", &root), label::COMMIT, &context);
    s.key("export", ("E", &root), label::EXPORT, &context);
    let senders = s.key("snd", ("E", &root), label::SENDERS, &context);
    s.hash("epoch_id", label::EPOCH, &[("ctx", &ctx), ("commit", &commit)]);
    for entry in entries {
        let leaf = entry.leaf;
        let first = s.key(
            &format!("ck_0 of {leaf}"),
            ("snd", &senders),
            label::SENDER,
            &[("leaf_id", leaf.as_bytes())],
        );
        s.hmac(&format!("mk_0 of {leaf}"), ("ck_0", &first), 1);
        s.hmac(&format!("ck_1 of {leaf}"), ("ck_0", &first), 2);
    }
    Some(())
}

/// One of the three members of the vectors' room.
fn leaf(genesis: &Genesis, number: u8) -> Option<Leaf> {
    let (key, random) = (RoomKey::parse(ROOM_KEY).ok()?, RoomRandom::from_bytes([0x22; 32]));
    let keys = GenerationKeys::derive(&key, &random, &genesis.handle(), Generation::first(&genesis.hash()));
    let params = LeafParams {
        name: (*["alice", "bob", "carol \u{1F408}"].get(usize::from(number))?).to_owned(),
        seq: NOW_MS + u64::from(number),
        incarnation: u32::from(number),
        expires_at_ms: NOW_MS + 604_800_000,
        generation: keys.generation(),
        approval: None,
    };
    let secrets = LeafSecrets {
        signing: LeafSigningKey::from_seed(&[0x50 + number; 32]),
        kem: KemSecret::from_seed(&[0x60 + number; 32]),
    };
    let identity = Identity::from_seed(&[0x30 + number; 32]);
    let transport = TransportKey::from_seed(&[0x40 + number; 32]);
    Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash()).ok()
}
