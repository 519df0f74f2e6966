//! The committed vectors are what the code makes, and the reader holds every byte of them.

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_json::Value;

use crate::{
    reading,
    vectors::{self, Inputs, NAMES},
};

static COMMITTED: LazyLock<BTreeMap<&'static str, Value>> = LazyLock::new(|| {
    let load = |name: &&'static str| (*name, serde_json::from_str(&committed(name)).unwrap());
    NAMES.iter().map(load).collect()
});

/// A longer value is changed at so many places, a shorter one everywhere.
const PLACES: usize = 24;

/// What says something to people, and whose change changes nothing.
const PROSE: &[&str] = &["what", "error", "epoch"];

/// Several lengths are padded to one.
const SHARED: &str = "len";

/// The hex digits of an X25519 scalar whose bits are set and cleared before use (RFC 7748, 5), behind 32 other bytes.
const CLAMPED: [usize; 2] = [65, 126];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{name}.json"))
}

fn committed(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_default()
}

#[test]
fn the_committed_vectors_are_what_the_code_makes() {
    for name in NAMES {
        let made = vectors::text_of(&vectors::make(name, Inputs::Committed));
        if std::env::var_os("SNUG_BLESS").is_some() {
            std::fs::write(path(name), &made).unwrap();
        }
        assert!(
            committed(name) == made,
            "{name}.json differs: the protocol changed. If it should, bless it."
        );
    }
}

#[test]
fn the_committed_vectors_read_and_those_that_must_fail_outnumber_the_good() {
    let (mut agree, mut refused) = (0, 0);
    for name in NAMES {
        let held = reading::read(name, &|name| &COMMITTED[name]).unwrap();
        refused += held.refused;
        agree += objects(&COMMITTED[name]);
    }
    assert!(refused > agree, "{refused} must fail, {agree} must not");
}

/// Vectors with fresh secrets read as well, so that none of the reader's checks hangs on the committed bytes.
#[test]
fn fresh_vectors_read() {
    for seed in 0..4 {
        let files: BTreeMap<_, _> = NAMES
            .iter()
            .map(|name| (*name, vectors::make(name, Inputs::Fresh(seed))))
            .collect();
        for name in NAMES {
            if let Err(failure) = reading::read(name, &|name| &files[name]) {
                panic!("seed {seed}: {failure}");
            }
        }
    }
}

/// Every value of every file is changed in turn, at every byte or at many, and each time the reader must notice.
#[test]
fn no_byte_of_a_vector_can_change_unnoticed() {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut changes = 0;
    for name in NAMES {
        let mut file = COMMITTED[name].clone();
        let mut places = Vec::new();
        leaves(&file, "", &mut places);
        for place in places {
            let original = file.pointer(&place).unwrap().clone();
            for changed in changes_of(&place, &original, &mut rng) {
                *file.pointer_mut(&place).unwrap() = changed.clone();
                let read = reading::read(name, &|other| if other == *name { &file } else { &COMMITTED[other] });
                assert!(
                    read.is_err(),
                    "{name}{place}: {original} became {changed} and nothing failed"
                );
                changes += 1;
            }
            *file.pointer_mut(&place).unwrap() = original;
        }
    }
    assert!(changes > 5_000, "{changes}");
}

/// How many good objects a file holds: whatever has bytes, or stands in a list, outside of what must fail.
fn objects(file: &Value) -> u32 {
    let count = |value: &Value| match value {
        Value::Array(items) => items.len() as u32,
        Value::Object(_) => 1,
        _ => 0,
    };
    let lists = [
        "room_ids",
        "room_keys",
        "names",
        "leaves",
        "leave",
        "operations",
        "messages",
        "boxes",
        "frames",
        "cases",
    ];
    let lists = lists.iter().chain(&["requests", "replies", "without_server", "later"]);
    let listed: u32 = lists.filter_map(|name| file.get(name)).map(count).sum();
    let single = [
        "bytes",
        "capsule",
        "admin_capsule",
        "text",
        "upper_case",
        "announcement",
        "dialer_proof",
        "listener_proof",
    ];
    listed + single.iter().filter(|name| file.get(**name).is_some()).count() as u32
}

/// The places of all values that a reader must hold.
fn leaves(value: &Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                // A changed reject is still to be refused; a changed good name may be another good name.
                let free = name.starts_with("reject")
                    || PROSE.contains(&name.as_str())
                    || name == SHARED
                    || at.is_empty() && name == "names";
                // In a request `epoch` is an id.
                if !free || name == "epoch" && !at.is_empty() {
                    leaves(value, &format!("{at}/{name}"), places);
                }
            }
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, item)| leaves(item, &format!("{at}/{index}"), places));
        }
        Value::Null => (),
        _ => places.push(at.to_owned()),
    }
}

/// Other values in its place.
fn changes_of(place: &str, value: &Value, rng: &mut ChaCha20Rng) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![Value::Bool(!flag)],
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![number.wrapping_add(1).into(), (number ^ 0x80).into()]
        }
        Value::String(text) => {
            let characters: Vec<char> = text.chars().collect();
            let places: Vec<usize> = match characters.len() {
                len if len <= 2 * PLACES => (0..len).collect(),
                len => (0..PLACES).map(|_| rng.next_u32() as usize % len).collect(),
            };
            let change = |at: usize| {
                let mut characters = characters.clone();
                characters[at] = match characters[at] {
                    'a'..='e' | '0'..='8' => char::from_u32(u32::from(characters[at]) + 1).unwrap(),
                    'f' | '9' => '0',
                    _ => 'x',
                };
                characters.into_iter().collect::<String>()
            };
            let counts = |at: &usize| !place.ends_with("/encapsulation_randomness") || !CLAMPED.contains(at);
            let changed = places
                .into_iter()
                .filter(counts)
                .map(change)
                .filter(|changed| changed != text);
            changed.map(Value::String).collect()
        }
        _ => Vec::new(),
    }
}
