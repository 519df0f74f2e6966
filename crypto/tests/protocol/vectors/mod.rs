//! Test vectors: made here from fixed inputs, committed under tests/vectors, and compared on every run. Another
//! implementation must make, or open, the same bytes, and refuse those under `reject`.
//!
//! `SNUG_BLESS=1 cargo test --workspace --test protocol vectors` writes them anew: a change of a committed file is a
//! change of the protocol. The same makers run with fresh inputs for the second implementation (`examples/interop.rs`).

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

mod authority;
mod certificate;
mod epochs;
mod fixed;
mod inputs;
mod keeper;
mod links;
mod members;
mod pair;
mod room;
mod tables;
mod vault;

use fixed::Fixed;
pub use inputs::Inputs;
use inputs::Recorded;

/// The files under tests/vectors.
pub const NAMES: &[&str] = &[
    "names",
    "generation",
    "genesis",
    "capsule",
    "certificate",
    "invite",
    "leaf",
    "safety",
    "operation",
    "authority",
    "control",
    "epoch",
    "frame",
    "pair",
    "padding",
    "presence",
    "link",
    "direct",
    "keeper",
    "vault",
    "labels",
    "bounds",
];

/// The vectors of one file, of a room with these inputs.
pub fn make(name: &str, inputs: Inputs) -> Value {
    let room = Fixed::new(inputs);
    match name {
        "names" => tables::names(),
        "generation" => room.generation(),
        "genesis" => room.genesis(),
        "capsule" => room.capsule(),
        "certificate" => room.certificate(),
        "invite" => room.invite(),
        "leaf" => room.leaf(),
        "safety" => room.safety(),
        "operation" => room.operation(),
        "authority" => room.authority(),
        "control" => room.control(),
        "epoch" => room.epoch(),
        "frame" => room.frame(),
        "pair" => room.pair(),
        "padding" => tables::padding(),
        "presence" => room.presence(),
        "link" => room.link(),
        "direct" => room.direct(),
        "keeper" => room.keeper(),
        "vault" => room.vault(),
        "labels" => room.labels(),
        "bounds" => tables::bounds(),
        _ => panic!("no maker for {name}"),
    }
}

/// A file's text, as it is committed.
pub fn text_of(vectors: &Value) -> String {
    serde_json::to_string_pretty(vectors).unwrap() + "\n"
}

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
