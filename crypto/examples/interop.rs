//! The other half of `tests/independent`: makes vectors with fresh secrets for the second implementation to read, and reads
//! those that it made.
//!
//! ```text
//! cargo run --example interop -- make SEED FOLDER
//! cargo run --example interop -- read FOLDER
//! ```
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use serde_json::Value;

#[path = "../tests/protocol/reading/mod.rs"]
mod reading;
#[path = "../tests/protocol/vectors/mod.rs"]
mod vectors;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", seed, folder] => make(seed.parse().expect("SEED is a number"), Path::new(folder)),
        ["read", folder] => read(Path::new(folder)),
        _ => {
            eprintln!("usage: interop make SEED FOLDER | interop read FOLDER");
            ExitCode::from(2)
        }
    }
}

fn make(seed: u64, folder: &Path) -> ExitCode {
    std::fs::create_dir_all(folder).expect("FOLDER can be made");
    for name in vectors::NAMES {
        let made = vectors::make(name, vectors::Inputs::Fresh(seed));
        std::fs::write(folder.join(format!("{name}.json")), vectors::text_of(&made)).expect("FOLDER can be written");
    }
    ExitCode::SUCCESS
}

fn read(folder: &Path) -> ExitCode {
    let load = |name: &&'static str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).ok()?;
        Some((*name, serde_json::from_str(&text).expect("JSON")))
    };
    let files: BTreeMap<&str, Value> = vectors::NAMES.iter().filter_map(load).collect();
    let (mut agree, mut refused) = (0, 0);
    for name in files.keys() {
        match reading::read(name, &|name| &files[name]) {
            Ok(held) => {
                agree += held.agree;
                refused += held.refused;
            }
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{} files, {agree} values agree, {refused} refused", files.len());
    if files.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
