//! Help texts and errors, word for word, from the files in `tests/cmd`; and the key schedule that auditors can print.
//!
//! After a change that is meant, `TRYCMD=overwrite cargo test -p snug-tests --test commands` writes them anew.

use std::{path::Path, process::Command};

use serde_json::Value;
use snug_tests::binaries;

#[test]
fn say_what_the_files_say() {
    trycmd::TestCases::new()
        .register_bin("snug", binaries::snug())
        .register_bin("snug-rendezvous", binaries::rendezvous())
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd");
}

/// `snug debug schedule` derives what the committed vectors hold, step by step, and names the label of each.
#[test]
fn the_schedule_is_that_of_the_vectors() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crypto/tests/vectors");
    let load = |name: &str| -> Value {
        let text = std::fs::read_to_string(vectors.join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let run = |flags: &[&str]| {
        let output = Command::new(binaries::snug())
            .args(["debug", "schedule"])
            .args(flags)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let schedule: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    let steps = schedule["steps"].as_array().unwrap();
    let output = |name: &str| {
        let step = steps.iter().find(|step| step["name"] == name);
        step.unwrap_or_else(|| panic!("no step {name}"))["output"]
            .as_str()
            .unwrap()
    };

    let (names, genesis, generation) = (load("names"), load("genesis"), load("generation"));
    assert_eq!(output("handle"), names["room_ids"][0]["handle"]);
    assert_eq!(output("genesis_hash"), genesis["hash"]);
    for name in ["extracted", "psk", "topic", "mesh", "keep", "join", "intro", "control"] {
        assert_eq!(output(name), generation[name], "{name}");
    }
    assert_eq!(output("mdns"), generation["mdns"]["name"]);
    let (leaf, epoch) = (load("leaf"), load("epoch"));
    for number in 0..3 {
        let (found, wanted) = (
            |name: &str| output(&format!("{name} of member {number}")),
            &leaf["leaves"][number],
        );
        assert_eq!(
            found("fingerprint[..16]")[..32],
            *wanted["fingerprint"].as_str().unwrap()
        );
        assert_eq!(found("leaf_id[..16]")[..32], *wanted["leaf_id"].as_str().unwrap());
        assert_eq!(found("kem_hash"), wanted["kem_hash"]);
    }
    assert_eq!(output("E"), epoch["extracted"]);
    for name in ["members_hash", "ctx", "env", "commit", "export", "snd", "epoch_id"] {
        assert_eq!(output(name), epoch[name], "{name}");
    }
    assert_eq!(output("tag[..8]")[..16], *epoch["tag"].as_str().unwrap());
    for chain in epoch["chains"].as_array().unwrap() {
        for name in ["ck_0", "mk_0", "ck_1"] {
            let step = format!("{name} of {}", chain["leaf_id"].as_str().unwrap());
            assert_eq!(output(&step), chain[name], "{step}");
        }
    }

    // What people read says the same.
    let text = run(&[]);
    for step in steps {
        let head = format!(
            "{} = {}\n",
            step["name"].as_str().unwrap(),
            step["formula"].as_str().unwrap()
        );
        let tail = format!("    -> {}\n", step["output"].as_str().unwrap());
        assert!(text.contains(&head) && text.contains(&tail), "{head}");
        let label = step["label"].as_str();
        assert!(
            label.is_none_or(|label| head.contains(&format!("\"{label}\""))),
            "{head}"
        );
    }
}
