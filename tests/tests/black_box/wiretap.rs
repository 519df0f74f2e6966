//! What somebody sees who reads all traffic of the server, its files and its logs: nothing of what is said, by whom, or where.

use snug_crypto::names::RoomId;
use snug_tests::canary::{self, Canaries};
use snug_tests::capture::Capture;
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::mongod::Mongod;
use snug_tests::process;
use snug_tests::rendezvous::{Rendezvous, Store};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use aho_corasick::AhoCorasick;
use serde_json::{Value, json};

const ROOM: &str = "canary-room-plover";
const NAMES: [&str; 3] = ["canary-name-finch", "canary-name-wren", "canary-name-siskin"];
const TEXTS: [&str; 3] = [
    "canary text: the heron lands at dawn",
    "canary text: so does the crane",
    "canary text: and the stork",
];

/// Where the members listen, besides where everything on this machine comes from.
const HOST: &str = "127.0.0.77";

/// What there is to search, by the place where it stood, and what must not be in it.
struct Evidence {
    places: Vec<(String, Vec<u8>)>,
    streams: Vec<Vec<u8>>,
    canaries: Vec<String>,
    /// The members' addresses as the network writes them.
    addresses: Vec<Vec<u8>>,
}

/// A room's whole life through a proxy, with canaries in everything that is nobody's business.
fn life(server: &mut Rendezvous, folders: &[&Path]) -> Evidence {
    let mut places = Vec::new();
    let tap = Capture::before(server.address());
    let homes: Vec<Home> = NAMES.iter().map(|_| Home::new()).collect();
    let card = member::create(&homes[0], &tap.url(), ROOM);
    let mut members: Vec<Member> = homes
        .iter()
        .zip(NAMES)
        .map(|(home, name)| {
            let mut command = member::join_command(home, &card, name, "--json");
            Member::start(name, command.args(["--listen", &format!("/ip4/{HOST}/tcp/0")]))
        })
        .collect();
    members.iter_mut().for_each(|member| drop(member.ready()));
    let addresses: Vec<Vec<u8>> = members.iter_mut().map(address).collect();
    for member in &mut members {
        let others: Vec<&str> = NAMES.into_iter().filter(|&name| name != member.name()).collect();
        member.sees(&others);
    }
    for (member, text) in members.iter_mut().zip(TEXTS) {
        member.send(text);
    }
    for (index, member) in members.iter_mut().enumerate() {
        for (_, text) in TEXTS.iter().enumerate().filter(|(other, _)| *other != index) {
            member.hears(text);
        }
    }
    // A wrong guess passes too, and must stay as unseen as the right one.
    let guess = member::RoomCard {
        room_key: "canary-wrong-key-magpie".into(),
        ..card.clone()
    };
    let output = process::run(
        "guess",
        &mut member::join_command(&Home::new(), &guess, "canary-name-cuckoo", "--json"),
        "",
    );
    assert_eq!(output.status.code(), Some(3));
    // While the room lives, and again when it is gone: what was deleted may have been written over.
    folders.iter().for_each(|folder| collect(folder, &mut places));
    places.push(("the server's memory".into(), memory(server)));
    members.into_iter().for_each(Member::leave);
    let password = homes[0].secret("password", &card.password);
    let mut delete = homes[0].snug(["delete", "--server", &tap.url(), "--room", ROOM]);
    assert!(
        process::run("delete", delete.arg("--password-file").arg(password), "")
            .status
            .success()
    );

    let mut canaries: Vec<String> = NAMES
        .into_iter()
        .chain(TEXTS)
        .chain([ROOM, HOST])
        .map(str::to_owned)
        .collect();
    canaries.extend([
        guess.room_key,
        "canary-name-cuckoo".into(),
        card.room_key.clone(),
        card.password.clone(),
        card.invite,
    ]);
    // Generated secrets are words joined by hyphens; half of one is a leak too.
    for secret in [card.room_key, card.password] {
        let words: Vec<&str> = secret.split('-').collect();
        canaries.extend(
            words
                .chunks(3)
                .filter(|chunk| chunk.len() == 3)
                .map(|chunk| chunk.join("-")),
        );
    }
    let streams = tap.streams();
    places.extend(
        streams
            .iter()
            .enumerate()
            .map(|(index, stream)| (format!("stream {index}"), stream.clone())),
    );
    Evidence {
        places,
        streams,
        canaries,
        addresses,
    }
}

/// What a dump of the running server would hold. It does hold its key, which shows that this finds what is there; so a crash must not write one.
fn memory(server: &mut Rendezvous) -> Vec<u8> {
    let key = fs::read(server.home().data().join("server.key")).expect("the server's key file");
    let process = server.process();
    let memory = process.memory();
    assert!(
        canary::contains(&memory, &key[..32]),
        "the key is in use: {} bytes",
        memory.len()
    );
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.pid())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let values: Vec<&str> = core.expect("a limit").split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"], "no core dumps");
    memory
}

/// Where a member can be reached, as bytes of a multiaddr.
fn address(member: &mut Member) -> Vec<u8> {
    let status = member.request("status", json!({})).expect("a member answers");
    let addresses = status["addresses"].as_array().expect("where it listens");
    let here = format!("/ip4/{HOST}/tcp/");
    let port = addresses
        .iter()
        .filter_map(Value::as_str)
        .find_map(|address| address.strip_prefix(&here)?.parse().ok())
        .unwrap_or_else(|| panic!("it listens where it was told to: {addresses:?}"));
    let host: Ipv4Addr = HOST.parse().expect("an address");
    // ip4 has code 4, tcp has 6.
    [&[4][..], &host.octets(), &[6], &u16::to_be_bytes(port)].concat()
}

impl Evidence {
    /// Adds what the server printed, and its files as they are now.
    fn add(&mut self, log: Vec<u8>, folders: &[&Path]) {
        self.places.push(("a log".into(), log));
        folders.iter().for_each(|folder| collect(folder, &mut self.places));
    }

    /// None of the canaries stands anywhere.
    fn assert_clean(&self) {
        // First that the search would find something: the room's handle does pass.
        let handle = RoomId::parse(ROOM).expect("a valid Room ID").handle();
        let handle = data_encoding::HEXLOWER.encode(handle.as_bytes());
        assert!(
            self.streams
                .iter()
                .any(|stream| canary::contains(stream, handle.as_bytes())),
            "the proxy recorded the requests: {} streams, {} bytes",
            self.streams.len(),
            self.streams.iter().map(Vec::len).sum::<usize>()
        );
        let canaries = Canaries::new(&self.canaries);
        let addresses = AhoCorasick::new(&self.addresses).expect("few short patterns");
        for (place, bytes) in &self.places {
            assert_eq!(canaries.find_in(bytes), None, "found in {place}");
            assert!(!addresses.is_match(bytes), "a member's address is in {place}");
        }
    }
}

fn collect(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder of ours").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else if let Ok(bytes) = fs::read(&path) {
            into.push((path.display().to_string(), bytes));
        }
    }
}

#[test]
fn nothing_passes_or_rests_at_the_server_on_redb() {
    let mut server = Rendezvous::start();
    let folder = server.home().path().to_owned();
    let mut evidence = life(&mut server, &[&folder]);
    let mut log = server.process().stdout();
    log.extend(server.process().stderr().into_bytes());
    evidence.add(log, &[&folder]);
    evidence.assert_clean();
}

#[test]
fn nothing_rests_at_the_server_on_mongodb() {
    let Some(mut mongod) = Mongod::start() else { return };
    let mut server = Rendezvous::on(Store::Mongo(mongod.url("snug")));
    let database = mongod.folder().to_owned();
    let mut evidence = life(&mut server, &[&database]);
    let mut log = server.process().stdout();
    log.extend(server.process().stderr().into_bytes());
    log.extend(mongod.process().stdout());
    // An orderly end writes everything to disk.
    mongod.process().signal("TERM");
    mongod.process().wait();
    evidence.add(log, &[&database, server.home().path()]);
    evidence.assert_clean();
}
