//! Members on networks that lose, hold up, starve and cut what they say, and that they are carried between: nothing is lost, and nothing comes
//! twice. `SNUG_LONG=1` waits as long as the faults in docs/RELIABILITY.md say; otherwise as long as it takes to be noticed.

use serde_json::{Value, json};
use snug_tests::crossing::{Crossing, PORT};
use snug_tests::home::Home;
use snug_tests::internet::{self, run};
use snug_tests::member::Member;
use snug_tests::netns::{self, Lan, Namespace};
use snug_tests::process;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long anything may take on such a network, on a busy machine.
const PATIENT: Duration = Duration::from_secs(300);

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// The longer of two times, if the long version is asked for.
fn for_long(short: u64, long: u64) -> Duration {
    let is_long = std::env::var_os("SNUG_LONG").is_some_and(|value| !value.is_empty());
    Duration::from_secs(if is_long { long } else { short })
}

/// Members of a room without a server, each on a host of its own.
struct Room {
    members: Vec<Member>,
    _homes: Vec<Home>,
    said: Vec<(usize, String, Instant)>,
}

impl Room {
    /// Everybody sees everybody.
    fn on(hosts: &[Namespace], flags: &[&str]) -> Self {
        let homes: Vec<Home> = hosts.iter().map(|_| Home::new()).collect();
        let mut create = homes[0].snug(["create", "--no-server", "--room", "den", "--name", NAMES[0], "--json"]);
        create.args(flags);
        let made = process::run("create", &mut hosts[0].command(&create), "");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let card: Value = serde_json::from_slice(&made.stdout).expect("create prints JSON");
        let mut members = Vec::new();
        for (index, (host, home)) in hosts.iter().zip(&homes).enumerate() {
            let mut command = if index == 0 {
                home.snug(["join", "--room", "den", "--no-mdns", "--json"])
            } else {
                let invite = home.secret("invite", card["invite"].as_str().expect("an invite"));
                let mut command = home.snug(["join", "--name", NAMES[index], "--no-mdns", "--json", "--invite-file"]);
                command.arg(invite);
                command
            };
            let mut member = Member::start(NAMES[index], &mut host.command(command.args(flags)));
            if index == 0 {
                member.ready();
            }
            members.push(member);
        }
        let mut room = Self {
            members,
            _homes: homes,
            said: Vec::new(),
        };
        let count = room.members.len();
        for member in &mut room.members {
            linked(member, count as u64 - 1);
        }
        room
    }

    fn say(&mut self, who: usize, text: String) {
        self.members[who].post("send", json!({ "text": text }));
        self.said.push((who, text, Instant::now()));
    }

    /// Each says so many things, with a pause between two.
    fn talk(&mut self, rounds: usize, pause: Duration) {
        let first = self.said.len();
        for round in 0..rounds {
            for (who, name) in NAMES.iter().enumerate().take(self.members.len()) {
                self.say(who, format!("{first} {name} {round}"));
                std::thread::sleep(pause);
            }
        }
    }

    /// Everybody has heard what everybody else said, once. Gives how long each took that was said at or after that index, the longest last.
    fn heard(&mut self, since: usize) -> Vec<Duration> {
        let mut took = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            let others: Vec<_> = self.said.iter().filter(|(who, ..)| *who != index).collect();
            for (_, text, _) in &others {
                member.wait_within(PATIENT, text, |event| (event["text"] == text.as_str()).then_some(()));
            }
            let mut at: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
            for (when, event) in member.events() {
                if event["type"] == "message" {
                    let text = event["text"].as_str().unwrap_or_default().to_owned();
                    at.entry(text).or_default().push(*when);
                }
            }
            for (_, text, said) in &others {
                let times = &at[text];
                assert_eq!(
                    times.len(),
                    1,
                    "{text:?} came {} times to {}",
                    times.len(),
                    NAMES[index]
                );
                if self.said[since..].iter().any(|(_, late, _)| late == text) {
                    took.push(times[0].saturating_duration_since(*said));
                }
            }
        }
        took.sort();
        took
    }
}

/// Waits until a member has so many links.
fn linked(member: &mut Member, count: u64) {
    let end = Instant::now() + PATIENT;
    loop {
        let status = member.request("status", json!({})).expect("a status");
        if status["links"].as_u64() >= Some(count) {
            return;
        }
        assert!(
            Instant::now() < end,
            "{} waited for {count} links: {status}",
            member.name()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a member is told that another is offline.
fn misses(member: &mut Member, whom: &str) {
    let sentence = format!("{whom} is offline.");
    member.wait_within(PATIENT, "notice that somebody is offline", |event| {
        (event["event"] == "offline" && event["message"] == sentence.as_str()).then_some(())
    });
}

fn told(what: &str, took: &[Duration]) {
    let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
    eprintln!(
        "{what}: {} deliveries, 0 lost, 0 twice; p50 {:?}, p99 {:?}, max {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
}

#[test]
fn a_fifth_of_all_packets_may_be_lost() {
    if !internet::permitted() {
        return;
    }
    let mut lan = Lan::new(81);
    let hosts = [lan.host(), lan.host(), lan.host()];
    let mut room = Room::on(&hosts, &[]);
    let rules = "add table ip weather
        add chain ip weather in { type filter hook input priority 0; }
        add rule ip weather in iifname \"eth0\" numgen random mod 100 < 20 drop
    ";
    for host in &hosts {
        run(host, "nft", &["-f", "-"], rules);
    }
    room.talk(10, Duration::from_millis(100));
    let took = room.heard(0);
    told("a fifth of all packets lost", &took);
    let kept = run(&hosts[0], "nft", &["list", "ruleset"], "");
    assert!(kept.contains("drop"), "the rules stood all the time");
}

#[test]
fn a_line_may_be_thin() {
    if !netns::permitted() {
        return;
    }
    let mut lan = Lan::new(82);
    let hosts = [lan.host(), lan.host()];
    let mut room = Room::on(&hosts, &[]);
    for host in &hosts {
        // 16 KB a second.
        let shape = "qdisc add dev eth0 root tbf rate 128kbit burst 8kb latency 1s";
        run(host, "tc", &shape.split(' ').collect::<Vec<_>>(), "");
    }
    let begun = Instant::now();
    for number in 0..60 {
        room.say(0, format!("{number} {}", "words and ".repeat(100)));
    }
    room.say(1, "and so on".to_owned());
    let took = room.heard(0);
    told("60 KB at once over 128 kbit/s", &took);
    assert!(
        begun.elapsed() > Duration::from_secs(2),
        "60 KB and more take four seconds at that rate: {:?}",
        begun.elapsed()
    );
}

#[test]
fn packets_may_overtake_each_other_and_come_twice() {
    if !internet::permitted() {
        return;
    }
    let crossing = Crossing::new(2);
    let home = Home::new();
    let line = crossing.hold_up(&home);
    let listen = format!("/ip4/0.0.0.0/udp/{PORT}/quic-v1");
    let mut room = Room::on(&crossing.hosts, &["--listen", &listen]);
    room.talk(20, Duration::from_millis(50));
    let took = room.heard(0);
    told("packets 10 to 150 ms late, out of order, some twice", &took);
    let late = line.wait_line("a hundred packets", 0, |line| {
        let rest = line.text.strip_prefix("carried ")?;
        let (_, late) = rest.split_once(", ")?;
        late.split(' ').next()?.parse::<u32>().ok()
    });
    assert!(late > 0, "packets did overtake each other");
}

#[test]
fn routes_may_be_cut_and_nobody_misses_anything_afterwards() {
    if !internet::permitted() {
        return;
    }
    let crossing = Crossing::new(3);
    let mut room = Room::on(&crossing.hosts, &[]);
    room.talk(1, Duration::ZERO);
    room.heard(0);
    // Nothing comes to Carol; what she says herself goes out and gets no answer.
    let cut = Instant::now();
    crossing.cut(3, true);
    misses(&mut room.members[0], "carol");
    misses(&mut room.members[2], "alice");
    let before = room.said.len();
    while cut.elapsed() < for_long(0, 300) {
        room.talk(1, Duration::from_secs(1));
    }
    room.talk(1, Duration::ZERO);
    crossing.cut(3, false);
    let healed = Instant::now();
    room.heard(before);
    eprintln!(
        "routes cut for {:?}: all the same at all {:?} after healing",
        healed - cut,
        healed.elapsed()
    );
}

#[test]
fn a_member_may_sleep() {
    if !netns::permitted() {
        return;
    }
    let mut lan = Lan::new(83);
    let hosts = [lan.host(), lan.host(), lan.host()];
    let mut room = Room::on(&hosts, &[]);
    room.talk(1, Duration::ZERO);
    room.heard(0);
    let asleep = Instant::now();
    room.members[1].process().signal("STOP");
    misses(&mut room.members[0], "bob");
    misses(&mut room.members[2], "bob");
    let before = room.said.len();
    let mut number = 0;
    loop {
        for who in [0, 2] {
            room.say(who, format!("while bob sleeps, {number}"));
            number += 1;
        }
        if asleep.elapsed() >= for_long(0, 3600) {
            break;
        }
        std::thread::sleep(Duration::from_secs(5));
    }
    room.members[1].process().signal("CONT");
    let awake = Instant::now();
    room.say(1, "good morning".to_owned());
    room.heard(before);
    eprintln!(
        "asleep for {:?}, {number} messages: all the same at all {:?} after waking",
        awake - asleep,
        awake.elapsed()
    );
}
