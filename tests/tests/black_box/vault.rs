//! What rests on disk, with real processes: members that sleep, are killed, run out of space, or lose their passphrase.

use serde_json::{Value, json};
use snug_tests::canary;
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::plain::LOOPBACK;
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Within this the others say that somebody is offline.
const NOTICED: Duration = Duration::from_secs(60);

/// Comes back with nothing but the Room ID: the vault knows the rest.
fn back(home: &Home, name: &str) -> Member {
    Member::start(name, home.snug(["join", "--room", "den", "--json"]).args(LOOPBACK))
}

fn offline(member: &mut Member, name: &str) {
    let sentence = format!("{name} is offline.");
    member.wait_within(NOTICED, "notice that somebody is offline", |event| {
        (event["event"] == "offline" && event["message"] == sentence.as_str()).then_some(())
    });
}

/// How often each text was told as new, and how often as perhaps told before.
fn told(member: &mut Member) -> BTreeMap<String, (usize, usize)> {
    let mut told: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (_, event) in member.events().iter().filter(|(_, event)| event["type"] == "message") {
        let counts = told
            .entry(event["text"].as_str().expect("a message has a text").to_owned())
            .or_default();
        if event["again"] == true {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
    }
    told
}

#[test]
fn who_was_asleep_reads_everything_that_was_sent_to_its_epochs() {
    let server = Rendezvous::start();
    let (a, b, c, d) = (Home::new(), Home::new(), Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    let key = bob.ready();
    let mut carol = Member::join(&c, &card, "carol");
    carol.ready();
    bob.sees(&["alice", "carol"]);
    alice.sees(&["bob", "carol"]);
    alice.send("before");
    bob.hears("before");
    bob.hang_up();
    offline(&mut alice, "bob");
    offline(&mut carol, "bob");

    let mut expected = Vec::new();
    let mut say = |member: &mut Member, text: &str| {
        member.send(text);
        expected.push(text.to_owned());
    };
    say(&mut alice, "bob sleeps");
    carol.hears("bob sleeps");
    // Somebody comes, talks and goes: an epoch that bob has never heard of, by a member that he will never meet.
    let mut dora = Member::join(&d, &card, "dora");
    dora.ready();
    dora.sees(&["alice", "carol"]);
    alice.sees(&["dora"]);
    carol.sees(&["dora"]);
    say(&mut dora, "I was never here");
    alice.hears("I was never here");
    carol.hears("I was never here");
    say(&mut carol, "who said that?");
    dora.hears("who said that?");
    dora.leave();
    alice.notice("leave", "dora has left the room den.");
    carol.notice("leave", "dora has left the room den.");
    say(&mut alice, "good night, all");
    carol.hears("good night, all");

    let mut bob = back(&b, "bob");
    assert_eq!(bob.ready(), key);
    alice.notice("online", "bob is online.");
    bob.hears("good night, all");
    assert_eq!(bob.heard(), expected, "all of it, in order, once");
    assert!(
        !alice
            .events()
            .iter()
            .any(|(_, event)| event["message"] == "bob has left the room den."),
        "bob never left"
    );
    bob.send("good morning");
    alice.hears("good morning");
    carol.hears("good morning");
}

#[test]
fn a_third_of_ten_members_is_killed_mid_talk_and_nothing_is_lost_or_told_twice() {
    const MEMBERS: usize = 10;
    const KILLED: usize = 3;
    const ROUNDS: usize = 3;
    let server = Rendezvous::start();
    let homes: Vec<Home> = (0..MEMBERS).map(|_| Home::new()).collect();
    let names: Vec<String> = (0..MEMBERS).map(|n| format!("m{n}")).collect();
    let card = member::create(&homes[0], &server.url(), "den");
    let mut members: Vec<Option<Member>> = Vec::new();
    for (home, name) in homes.iter().zip(&names) {
        let mut member = Member::join(home, &card, name);
        member.ready();
        members.push(Some(member));
    }
    for (n, member) in members.iter_mut().enumerate() {
        let others: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(m, _)| *m != n)
            .map(|(_, name)| &name[..])
            .collect();
        member.as_mut().unwrap().sees(&others);
    }
    // What each was told over all its runs, and what each was promised to have sent.
    let mut all: Vec<BTreeMap<String, (usize, usize)>> = vec![BTreeMap::new(); MEMBERS];
    let mut acknowledged: Vec<Vec<String>> = vec![Vec::new(); MEMBERS];
    for round in 0..ROUNDS {
        let doomed: Vec<usize> = (0..KILLED).map(|n| (round * KILLED + n) % MEMBERS).collect();
        for n in 0..MEMBERS {
            let text = format!("round {round} of {}", names[n]);
            members[n].as_mut().unwrap().send(&text);
            acknowledged[n].push(text);
        }
        // In the middle of it: their disks are at work on what the others just said.
        for n in &doomed {
            let mut member = members[*n].take().unwrap();
            member.process().kill();
            merge(&mut all[*n], told(&mut member));
        }
        for n in (0..MEMBERS).filter(|n| !doomed.contains(n)) {
            let text = format!("meanwhile {round} of {}", names[n]);
            members[n].as_mut().unwrap().send(&text);
            acknowledged[n].push(text);
        }
        for n in doomed {
            let mut member = back(&homes[n], &names[n]);
            member.ready();
            members[n] = Some(member);
        }
    }
    for n in 0..MEMBERS {
        members[n]
            .as_mut()
            .unwrap()
            .send(&format!("the last word of {}", names[n]));
        acknowledged[n].push(format!("the last word of {}", names[n]));
    }
    for (n, member) in members.iter_mut().enumerate() {
        let member = member.as_mut().unwrap();
        for text in acknowledged
            .iter()
            .enumerate()
            .filter(|(m, _)| *m != n)
            .flat_map(|(_, texts)| texts)
        {
            if !all[n].contains_key(text) {
                member.hears(text);
            }
        }
        let last = told(member);
        merge(&mut all[n], last);
        for (text, (new, again)) in &all[n] {
            assert!(*new <= 1, "{} was told {text:?} {new} times", names[n]);
            assert!(new + again >= 1);
        }
    }
}

fn merge(all: &mut BTreeMap<String, (usize, usize)>, more: BTreeMap<String, (usize, usize)>) {
    for (text, (new, again)) in more {
        let counts = all.entry(text).or_default();
        *counts = (counts.0 + new, counts.1 + again);
    }
}

#[test]
fn what_is_said_to_an_empty_room_survives_a_kill_and_meets_the_next_who_comes() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let was = alice.send("is anybody there?");
    alice.process().kill();
    let mut alice = back(&a, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let id = bob.hears("is anybody there?")["id"].clone();
    let resent = alice.wait("`resent` event", |event| {
        (event["type"] == "resent").then(|| event.clone())
    });
    assert_eq!((&resent["was"], &resent["id"]), (&Value::from(was), &id));
}

#[test]
fn the_data_folder_shows_nothing_and_a_leave_forgets_the_room_key() {
    const NAME: &str = "canary-name-of-alice";
    const TEXT: &str = "canary text that somebody might look for on a disk";
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "canary-room-id");
    let mut alice = Member::join(&a, &card, NAME);
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.send(TEXT);
    alice.hears(TEXT);
    alice.send(TEXT);
    bob.hears(TEXT);
    alice.process().kill();
    for needle in [NAME, TEXT, &card.room, &card.room_key, &card.password] {
        let found = canary::in_folder(&a.data(), needle);
        assert!(found.is_empty(), "{needle:?} stands in {found:?}");
    }
    bob.leave();
    let mut again = b.snug([
        "join",
        "--room",
        &card.room,
        "--server",
        &card.server,
        "--name",
        "bob",
        "--json",
    ]);
    let output = process::run("again", again.args(LOOPBACK), "");
    assert_eq!(output.status.code(), Some(2), "who left needs the Room Key again");
}

#[test]
fn a_passphrase_is_asked_for_given_by_file_and_changed() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let first = a.secret("first", "correct horse");
    let second = a.secret("second", "battery staple");
    let join = |file: Option<&std::path::Path>| {
        let mut command = member::join_command(&a, &card, "alice", "--json");
        if let Some(file) = file {
            command.arg("--passphrase-file").arg(file);
        }
        command
    };
    let mut alice = Member::start("alice", &mut join(Some(&first)));
    let key = alice.ready();
    alice.hang_up();

    let refused = |command: &mut Command, status: i32, words: &str| {
        let output = process::run("refused", command, "");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert!(!stderr.contains("horse") && !stderr.contains("staple"), "{stderr}");
    };
    refused(&mut join(None), 2, "--passphrase-file");
    refused(&mut join(Some(&second)), 3, "passphrase doesn't open");
    refused(&mut a.snug(["id", "show"]), 2, "--passphrase-file");

    let mut change = a.snug(["id", "passphrase"]);
    change
        .arg("--passphrase-file")
        .arg(&first)
        .arg("--new-passphrase-file")
        .arg(&second);
    let output = process::run("change", &mut change, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    refused(&mut join(Some(&first)), 3, "passphrase doesn't open");
    let mut alice = Member::start("alice", &mut join(Some(&second)));
    assert_eq!(alice.ready(), key);
    alice.hang_up();

    // The identity goes to another machine, under a passphrase of its own.
    let travel = b.secret("travel", "travel light");
    let file = b.path().join("identity.txt");
    let mut export = a.snug(["id", "export"]);
    export
        .arg(&file)
        .arg("--passphrase-file")
        .arg(&second)
        .arg("--export-passphrase-file")
        .arg(&travel);
    assert!(process::run("export", &mut export, "").status.success());
    refused(&mut export, 2, "exists already");
    let mut import = b.snug(["id", "import"]);
    import.arg(&file).arg("--export-passphrase-file").arg(&travel);
    let output = process::run("import", &mut import, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&key));
    refused(&mut import, 1, "has an identity already");
    let mut wrong = b.snug(["id", "import", "--profile", "other"]);
    wrong
        .arg(&file)
        .arg("--export-passphrase-file")
        .arg(a.secret("wrong", "wrong"));
    refused(&mut wrong, 2, "doesn't fit");
}

/// A limit on the size of files stands for a full disk: it can be lifted again without privileges.
#[test]
fn a_full_disk_stops_the_talk_and_loses_nothing() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut alice = Member::start("alice", &mut limited(&a, &card));
    alice.ready();
    bob.sees(&["alice"]);
    alice.sees(&["bob"]);

    let long = "x".repeat(8_000);
    let mut asked = Vec::new();
    let mut texts = Vec::new();
    let full = loop {
        let text = format!("{} {long}", asked.len());
        asked.push(alice.post("send", json!({ "text": text })));
        texts.push(text);
        let error = alice.try_wait(Duration::from_millis(300), |event| {
            (event["type"] == "error").then(|| event["message"].as_str().unwrap().to_owned())
        });
        if let Some(error) = error {
            break error;
        }
        assert!(asked.len() < 400, "the disk never fills");
    };
    assert!(full.contains("no space left") && full.contains("state."), "{full}");
    // Nothing that isn't stored is acknowledged, or told to anybody.
    let stuck = format!("stuck {long}");
    let ticket = alice.post("send", json!({ "text": stuck }));
    assert!(
        alice.reply_within(Duration::from_secs(3), ticket).is_none(),
        "a send is acknowledged that isn't stored"
    );
    assert!(!bob.heard().contains(&stuck));
    bob.send("can you hear me?");
    assert!(!alice.heard().contains(&"can you hear me?".to_owned()));

    let pid = alice.process().pid().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited:unlimited"])
        .status();
    assert!(
        lifted.is_ok_and(|status| status.success()),
        "prlimit (util-linux) is needed for this test"
    );
    alice.wait("notice that the disk takes writes", |event| {
        (event["event"] == "stored").then_some(())
    });
    assert!(alice.reply_within(NOTICED, ticket).is_some());
    alice.hears("can you hear me?");
    for text in texts.iter().chain([&stuck]) {
        bob.hears(text);
    }
    alice.process().kill();
    let mut alice = back(&a, "alice");
    alice.ready();
    bob.send("all well?");
    alice.hears("all well?");
}

/// `snug join` under a soft limit of 256 KiB a file, of which it is told by an error instead of a signal.
fn limited(home: &Home, card: &RoomCard) -> Command {
    let join = member::join_command(home, card, "alice", "--json");
    let mut command = home.bare(std::path::Path::new("/bin/bash"));
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 256; exec \"$0\" \"$@\""]);
    command.arg(join.get_program()).args(join.get_args());
    command.env("SNUG_DATA_DIR", home.data());
    command
}
