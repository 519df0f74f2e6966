//! A keeper: members who are never there together talk through a helper that reads nothing, restarts and new Room Keys included.

use crate::screen::Terminal;
use serde_json::{Value, json};
use snug_crypto::control;
use snug_crypto::generation::ControlKey;
use snug_crypto::keeper::{KeeperInvite, KeeperSecrets};
use snug_crypto::kem::KemSecret;
use snug_crypto::{TransportKey, kdf, label};
use snug_tests::PATIENCE;
use snug_tests::home::Home;
use snug_tests::member::Member;
use snug_tests::plain::PlainMember;
use snug_tests::process::{self, Process};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// An address of this machine that is nobody else's: one of this process, by number. Ports would be shared with all other tests.
pub fn address(number: u8) -> String {
    let id = std::process::id();
    format!("/ip4/127.{}.{}.{number}/tcp/4001", 64 + (id >> 8) % 128, id % 256)
}

pub fn snug(home: &Home, arguments: &[&str], listen: &str) -> Command {
    let mut command = home.snug(arguments);
    command.args(["--listen", listen]);
    command
}

/// A keeper's machine.
pub struct Keeper {
    home: Home,
    /// Where members call it.
    pub at: String,
}

impl Keeper {
    /// One that is reached at [`address`] `number`.
    pub fn new(number: u8) -> Self {
        Self {
            home: Home::new(),
            at: address(number),
        }
    }

    /// What it prints before anybody has named it.
    pub fn offer(&self) -> String {
        let output = process::run("keep", &mut snug(&self.home, &["keep"], &self.at), "");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.contains("It is no secret"), "{stderr}");
        let offer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(offer.starts_with("snugoffer1"), "{offer}");
        offer
    }

    /// Starts it, the first time with its invite.
    pub fn start(&self, invite: Option<&str>) -> Process {
        let mut command = snug(&self.home, &["keep"], &self.at);
        if let Some(invite) = invite {
            command
                .arg("--invite-file")
                .arg(self.home.secret("keeper-invite", invite));
        }
        let keeper = Process::start("keeper", &mut command);
        keeper.wait_line("that it keeps", 0, |line| {
            line.text.starts_with("keeping, ").then_some(())
        });
        keeper
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.data().join("keeper").join(name)
    }
}

/// Names a keeper; gives its invite.
pub fn name(alice: &mut Member, offer: &str) -> String {
    alice.request("keeper", json!({ "offer": offer })).expect("named");
    let message = alice.wait("the keeper's invite", |event| {
        (event["event"] == "keeper_invite").then(|| event["message"].as_str().expect("a text").to_owned())
    });
    let invite = message.split_whitespace().find(|word| word.starts_with("snugkeep1"));
    invite.expect("the invite").to_owned()
}

/// Waits until a member is linked with the room's keeper, or no longer is.
pub fn linked(member: &mut Member, is: bool) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let members = member.request("members", json!({})).expect("a list");
        if members["keepers"][0]["online"] == is {
            return;
        }
        assert!(Instant::now() < end, "{}: {members}", member.name());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a keeper says that it holds so many frames.
pub fn holds(keeper: &Process, frames: usize) {
    let start = format!("holds {frames} frames and ");
    keeper.wait_line(&start, 0, |line| line.text.starts_with(&start).then_some(()));
}

pub fn stop(mut keeper: Process) {
    keeper.signal("TERM");
    assert_eq!(keeper.exit_code(), 0, "an orderly end");
}

/// Makes a room that no rendezvous knows of.
pub fn found(home: &Home, at: &str) -> (Member, String) {
    let arguments = [
        "create",
        "--no-server",
        "--join",
        "--room",
        "den",
        "--name",
        "alice",
        "--json",
    ];
    let mut alice = Member::start("alice", &mut snug(home, &arguments, at));
    let invite = alice.wait("`created` event", |event| {
        (event["type"] == "created").then(|| event["invite"].as_str().expect("an invite").to_owned())
    });
    alice.ready();
    (alice, invite)
}

pub fn enter(home: &Home, invite: &str, name: &str, at: &str) -> Member {
    let file = home.secret("invite", invite);
    let mut command = snug(home, &["join", "--name", name, "--json"], at);
    command.arg("--invite-file").arg(file);
    let mut member = Member::start(name, &mut command);
    member.ready();
    member
}

/// Comes back with nothing but the Room ID.
pub fn back(home: &Home, name: &str, at: &str) -> Member {
    let mut member = Member::start(name, &mut snug(home, &["join", "--room", "den", "--json"], at));
    member.ready();
    member
}

#[test]
fn members_who_are_never_there_together_talk_through_a_keeper() {
    let (a, b, keeper) = (Home::new(), Home::new(), Keeper::new(13));
    let (at_a, at_b) = (address(11), address(12));
    let (mut alice, room) = found(&a, &at_a);
    let mut bob = enter(&b, &room, "bob", &at_b);
    alice.sees(&["bob"]);
    let invite = name(&mut alice, &keeper.offer());
    let mut keeping = keeper.start(Some(&invite));
    linked(&mut alice, true);
    linked(&mut bob, true);
    let shown = bob.request("members", json!({})).expect("a list");
    let told = bob.notice(
        "keeper",
        &format!(
            "The room den has another keeper, which holds what it can't read: {}.",
            shown["keepers"][0]["fingerprint"].as_str().unwrap_or_default()
        ),
    );
    assert_eq!(told["type"], "system");

    // She says it while he is away, and goes; the keeper is restarted; he reads it with nobody else there, and answers.
    bob.hang_up();
    alice.notice("offline", "bob is offline.");
    alice.send("while you were away");
    holds(&keeping, 1);
    alice.hang_up();
    stop(keeping);
    keeping = keeper.start(None);
    let mut bob = back(&b, "bob", &at_b);
    bob.hears("while you were away");
    bob.send("and I answer");
    bob.hang_up();

    // So does she, and everybody gets a new Room Key while he is away. A crash of the keeper costs nothing.
    keeping.kill();
    drop(keeping);
    keeping = keeper.start(None);
    let mut alice = back(&a, "alice", &at_a);
    alice.hears("and I answer");
    linked(&mut alice, true);
    alice.request("rekey", json!({})).expect("a new Room Key");
    keeping.wait_line("that it moved", 0, |line| {
        line.text.contains("Room Key number 1").then_some(())
    });
    alice.send("under the new key");
    holds(&keeping, 3);
    alice.hang_up();

    // He comes with the old one, and is let on by what the keeper holds and can't read.
    let mut bob = back(&b, "bob", &at_b);
    bob.hears("under the new key");
    bob.send("I have it, too");
    assert_eq!(
        bob.heard().iter().filter(|text| *text == "while you were away").count(),
        0,
        "told once"
    );
    bob.hang_up();
    let mut alice = back(&a, "alice", &at_a);
    alice.hears("I have it, too");

    // Removed like a member, it is let into nothing more.
    linked(&mut alice, true);
    let members = alice.request("members", json!({})).expect("a list");
    let which = members["keepers"][0]["fingerprint"].clone();
    alice.request("kick", json!({ "who": which })).expect("removed");
    alice.notice(
        "keeper",
        &format!(
            "The keeper {} was removed from the room den; everybody else has a new Room Key.",
            which.as_str().unwrap_or_default()
        ),
    );
    let members = alice.request("members", json!({})).expect("a list");
    assert_eq!(members["keepers"], Value::Array(Vec::new()));
    alice.send("among ourselves");
    alice.hang_up();
    let lines = keeping.lines_since(0);
    assert!(!lines.iter().any(|line| line.text.contains("number 2")), "{lines:?}");
    stop(keeping);
}

#[test]
fn an_author_is_told_that_a_keeper_holds_it_whatever_the_front_end() {
    let (a, b, keeper) = (Home::new(), Home::new(), Keeper::new(43));
    let (at_a, at_b) = (address(41), address(42));
    let (mut alice, room) = found(&a, &at_a);
    let bob = enter(&b, &room, "bob", &at_b);
    alice.sees(&["bob"]);
    let invite = name(&mut alice, &keeper.offer());
    let keeping = keeper.start(Some(&invite));
    linked(&mut alice, true);
    bob.hang_up();
    alice.notice("offline", "bob is offline.");
    let id = alice.send("to a program");
    alice.wait("a receipt", |event| {
        let is_it = event["type"] == "receipt" && event["id"] == id.as_str();
        is_it.then(|| {
            let numbers = ["held_by", "keepers", "delivered", "read", "of"].map(|which| event[which].clone());
            assert_eq!(numbers, [1, 1, 0, 0, 1].map(Value::from), "{event}");
        })
    });
    alice.hang_up();

    let far = "held by a keeper, delivered to 0 of 1";
    let mut alice = PlainMember::start("alice", &mut snug(&a, &["join", "--room", "den", "--plain"], &at_a));
    alice.sees("Welcome to the room den, alice.");
    alice.say("to lines");
    let end = Instant::now() + PATIENCE;
    while alice.count(&format!("* {far}: to lines")) == 0 {
        assert!(Instant::now() < end, "{:?}", alice.lines());
        alice.say("/sent");
        std::thread::sleep(Duration::from_millis(100));
    }
    // Somebody has it: it is no message that nobody was there for.
    alice.process().close_stdin();
    assert_eq!(alice.process().exit_code(), 0);
    let said = alice.process().stderr();
    assert!(!said.contains("nobody was there"), "{said}");

    let mut alice = Terminal::start("alice", &snug(&a, &["join", "--room", "den"], &at_a), 24, 100);
    alice.shows("Welcome to the room den, alice.");
    alice.enter("to a screen");
    alice.shows(&format!("alice: to a screen  ({far})"));
    alice.type_text("\u{3}");
    assert_eq!(alice.exit_code(), 0);

    // All of it is for him.
    let mut bob = back(&b, "bob", &at_b);
    bob.hears("to a screen");
    assert_eq!(bob.heard(), ["to a program", "to lines", "to a screen"]);
    bob.hang_up();
    stop(keeping);
}

#[test]
fn a_keeper_reads_nothing_with_all_that_it_has() {
    let (a, b, keeper) = (Home::new(), Home::new(), Keeper::new(23));
    let (mut alice, room) = found(&a, &address(21));
    let invite = name(&mut alice, &keeper.offer());
    let keeping = keeper.start(Some(&invite));
    let mut bob = enter(&b, &room, "bob", &address(22));
    alice.sees(&["bob"]);
    linked(&mut alice, true);
    alice.send("a canary in the den");
    bob.hears("a canary in the den");
    bob.hang_up();
    let fingerprints: Vec<String> = (alice.members().iter())
        .filter_map(|member| Some(member["fingerprint"].as_str()?.to_owned()))
        .collect();
    alice.hang_up();
    let said = String::from_utf8_lossy(&keeping.stdout()).into_owned() + &keeping.stderr();
    stop(keeping);

    let (keys, room) = (
        fs::read(keeper.file("keys")).expect("keys"),
        fs::read(keeper.file("room")).expect("a room"),
    );
    let items = fs::read(keeper.file("items")).expect("items");
    for text in ["canary", "alice", "bob", "den"]
        .into_iter()
        .chain(fingerprints.iter().map(String::as_str))
    {
        for (what, bytes) in [("room", &room), ("items", &items)] {
            let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            // Three letters turn up in any noise.
            assert!(text.len() < 5 || !found, "{text} in {what}");
        }
        assert!(text.len() < 5 || !said.contains(text), "{text} in {said}");
    }
    // What it was granted, and its own keys: none of them, nor anything that follows from one of them, opens a single item.
    let secrets = KeeperSecrets {
        transport: TransportKey::from_seed(keys[1..33].try_into().expect("32 bytes")),
        kem: KemSecret::from_seed(keys[33..65].try_into().expect("32 bytes")),
    };
    let invite = KeeperInvite::parse(&invite).expect("an invite");
    let genesis = invite.grant.unverified_genesis();
    let granted = invite
        .grant
        .open(&secrets, &invite.admin, &genesis, 0)
        .expect("it is granted this");
    let own = [
        granted.topic.0,
        *granted.keep.expose(),
        *secrets.transport.seed(),
        *secrets.kem.to_seed(),
    ];
    let labels = label::ALL.iter().map(|(label, ..)| *label);
    let mut tried: Vec<[u8; 32]> = own.to_vec();
    tried.extend(labels.flat_map(|label| own.iter().map(move |key| *kdf::expand(key, label, &[]))));
    let stored = records(&items);
    assert!(stored.iter().any(|item| item[0] == 1), "it holds the frame");
    assert!(
        stored.iter().filter(|item| item[0] == 2).count() >= 4,
        "and what goes with it"
    );
    for item in &stored {
        for key in &tried {
            assert!(control::open(&ControlKey::from_bytes(*key), item).is_err());
            // As a control message, in case a frame were sealed like one.
            let disguised = [&[2], &item[1..]].concat();
            assert!(control::open(&ControlKey::from_bytes(*key), &disguised).is_err());
        }
    }
}

/// What stands in a keeper's file: see `snug::keeper`.
fn records(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[b"snug kept items\x01".len() + 8..];
    let mut items = Vec::new();
    while rest.len() >= 28 {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
        items.push(rest[28..28 + length].to_vec());
        rest = &rest[28 + length + 8..];
    }
    items
}

#[test]
fn what_is_wrong_is_said_before_anything_is_kept() {
    let keeper = Keeper::new(33);
    let offer = keeper.offer();
    assert_eq!(keeper.offer(), offer, "the same keeper");
    for nowhere in ["/dns4/example.org/tcp/1", "/ip4/0.0.0.0/tcp/1", "/memory/1"] {
        let mut command = snug(&keeper.home, &["keep", "--address", nowhere], &keeper.at);
        let output = process::run("keep", &mut command, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(nowhere) && said.contains("no name"), "{said}");
        assert!(output.stdout.is_empty(), "no offer");
    }
    let run = |arguments: &[&str], text: &str| {
        let mut command = snug(&keeper.home, arguments, &keeper.at);
        command.arg("--invite-file").arg(keeper.home.secret("what", text));
        let output = process::run("keep", &mut command, "");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for text in ["", "snug1qqqqqq", &offer] {
        let (code, said) = run(&["keep"], text);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("is no keeper's invite") && said.contains("/keeper OFFER"),
            "{said}"
        );
    }
    // Somebody else's.
    let (a, other) = (Home::new(), Keeper::new(34));
    let (mut alice, _) = found(&a, &address(31));
    let invite = name(&mut alice, &other.offer());
    let (code, said) = run(&["keep"], &invite);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("for another keeper"), "{said}");
    let refused = alice
        .request("keeper", json!({ "offer": "snugoffer1qqqqqqqq" }))
        .expect_err("damaged");
    assert_eq!(refused.code, -32602);
    alice.hang_up();
}
