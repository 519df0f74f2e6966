//! Members on a local network of their own, with no server and no address that still holds: they find each other, lose each other, move, and
//! tell a bystander nothing.

use serde_json::Value;
use snug_tests::binaries;
use snug_tests::home::Home;
use snug_tests::member::Member;
use snug_tests::netns::{self, Lan, Namespace};
use snug_tests::process::{self, Process};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a broken link may take to be noticed and mended.
const MENDED: Duration = Duration::from_secs(180);

/// What nobody else on the network may read.
const ROOM: &str = "canary-parlour";
const NAMES: [&str; 2] = ["canary-alice", "canary-bob"];

/// Prints all multicast DNS that it hears, a packet a line in hex.
const WITNESS: &str = "
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('', 5353))
group = socket.inet_aton('224.0.0.251') + socket.inet_aton(sys.argv[1])
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print('listening', flush=True)
while True:
    print(s.recv(9000).hex(), flush=True)
";

/// Somebody on the network who listens.
fn witness(home: &Home, host: &Namespace, address: &str) -> Process {
    let script = home.secret("witness.py", WITNESS);
    let mut python = home.bare(std::path::Path::new("python3"));
    python.arg(script).arg(address);
    let witness = Process::start("witness", &mut host.command(&python));
    witness.wait_line("the witness listens", 0, |line| {
        (line.text == "listening").then_some(())
    });
    witness
}

/// Makes a room without a server on this host, and gives its invite. Nobody is in it afterwards.
fn make(host: &Namespace, home: &Home) -> Value {
    let command = home.snug(["create", "--no-server", "--room", ROOM, "--name", NAMES[0], "--json"]);
    let made = process::run("create", &mut host.command(&command), "");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&made.stdout).expect("create prints JSON")
}

/// The host has another address from here on.
fn moves(host: &Namespace, was: &str, is: &str) {
    host.ip(&["addr", "del", &format!("{was}/24"), "dev", "eth0"]);
    host.ip(&["addr", "add", &format!("{is}/24"), "dev", "eth0"]);
}

fn status(member: &mut Member) -> Value {
    member.request("status", serde_json::json!({})).expect("a status")
}

/// Waits until a member's status is as wanted.
fn wait_status(member: &mut Member, what: &str, is_so: impl Fn(&Value) -> bool) {
    let end = Instant::now() + MENDED;
    loop {
        let now = status(member);
        if is_so(&now) {
            return;
        }
        assert!(Instant::now() < end, "{what}: it is {now}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn enter(host: &Namespace, name: &str, command: &Command) -> Member {
    let mut member = Member::start(name, &mut host.command(command));
    member.ready();
    member
}

fn by_invite(home: &Home, card: &Value) -> Command {
    let invite = home.secret("invite", card["invite"].as_str().expect("an invite"));
    let mut command = home.snug(["join", "--name", NAMES[1], "--json", "--invite-file"]);
    command.arg(invite);
    command
}

/// The room's maker and somebody with an invite, whose address in it holds no more: only the network itself brings them together.
fn two(lan: &mut Lan, homes: [&Home; 2]) -> ([Namespace; 2], [Member; 2], Value) {
    let hosts = [lan.host(), lan.host()];
    let card = make(&hosts[0], homes[0]);
    moves(&hosts[0], &lan.address(1), &lan.address(101));
    let back = homes[0].snug(["join", "--room", ROOM, "--json"]);
    let mut alice = enter(&hosts[0], NAMES[0], &back);
    let mut bob = enter(&hosts[1], NAMES[1], &by_invite(homes[1], &card));
    alice.sees(&[NAMES[1]]);
    bob.sees(&[NAMES[0]]);
    (hosts, [alice, bob], card)
}

#[test]
fn who_is_on_one_network_needs_neither_server_nor_address_and_tells_it_nothing() {
    if !netns::permitted() {
        return;
    }
    let (a, b, w) = (Home::new(), Home::new(), Home::new());
    let mut lan = Lan::new(77);
    let bystander = lan.host();
    let heard = witness(&w, &bystander, &lan.address(1));
    // The bystander took the first address.
    let hosts = [lan.host(), lan.host()];
    let card = make(&hosts[0], &a);
    moves(&hosts[0], &lan.address(2), &lan.address(101));
    let mut alice = enter(&hosts[0], NAMES[0], &a.snug(["join", "--room", ROOM, "--json"]));
    let mut bob = enter(&hosts[1], NAMES[1], &by_invite(&b, &card));
    alice.sees(&[NAMES[1]]);
    bob.sees(&[NAMES[0]]);
    bob.send("found you");
    alice.hears("found you");
    alice.send("so you did");
    bob.hears("so you did");
    alice.hang_up();
    bob.hang_up();

    let packets: Vec<Vec<u8>> = (heard.lines_since(1).iter())
        .map(|line| data_encoding::HEXLOWER.decode(line.text.as_bytes()).expect("hex"))
        .collect();
    assert!(packets.len() >= 2, "a question and an answer at least");
    let room_key = card["room_key"].as_str().expect("a Room Key");
    for packet in &packets {
        let text = String::from_utf8_lossy(packet).to_lowercase();
        assert!(text.contains("_udp"), "nothing but a service: {text:?}");
        for secret in [
            ROOM, "parlour", NAMES[0], NAMES[1], room_key, "snug", "192.168", "quic", "ip4",
        ] {
            assert!(
                !text.contains(secret),
                "{secret:?} can be read on the network: {text:?}"
            );
        }
        // The one label that is the room's: 15 characters of base32, after its length and an underscore.
        let label = packet
            .windows(2)
            .position(|two| two == [16, b'_'])
            .expect("the room's name");
        let name = &packet[label + 2..label + 17];
        assert!(
            name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')),
            "{name:?}"
        );
    }
}

#[test]
fn a_network_that_parts_and_heals_loses_nothing() {
    if !netns::permitted() {
        return;
    }
    let (a, b) = (Home::new(), Home::new());
    let mut lan = Lan::new(78);
    let (hosts, [mut alice, mut bob], _) = two(&mut lan, [&a, &b]);
    alice.send("before");
    bob.hears("before");
    lan.cut(2, true);
    let offline = |member: &mut Member, who: &str| {
        let sentence = format!("{who} is offline.");
        member.wait_within(MENDED, "notice that somebody is offline", |event| {
            (event["event"] == "offline" && event["message"] == sentence.as_str()).then_some(())
        });
    };
    offline(&mut alice, NAMES[1]);
    offline(&mut bob, NAMES[0]);
    alice.post("send", serde_json::json!({ "text": "said on one side" }));
    bob.post("send", serde_json::json!({ "text": "said on the other" }));
    lan.cut(2, false);
    for (member, text) in [(&mut alice, "said on the other"), (&mut bob, "said on one side")] {
        member.wait_within(MENDED, text, |event| (event["text"] == text).then_some(()));
    }
    drop(hosts);
}

#[test]
fn a_machine_that_changes_its_address_is_found_again() {
    if !netns::permitted() {
        return;
    }
    let (a, b) = (Home::new(), Home::new());
    let mut lan = Lan::new(79);
    let (hosts, [mut alice, mut bob], _) = two(&mut lan, [&a, &b]);
    // The laptop is carried to another desk.
    moves(&hosts[1], &lan.address(2), &lan.address(102));
    alice.post("send", serde_json::json!({ "text": "are you still there?" }));
    bob.wait_within(MENDED, "the question", |event| {
        (event["text"] == "are you still there?").then_some(())
    });
    bob.post("send", serde_json::json!({ "text": "at another desk" }));
    alice.wait_within(MENDED, "the answer", |event| {
        (event["text"] == "at another desk").then_some(())
    });
}

/// The rendezvous has confirmed where each can be reached, and is gone when none of that holds any more.
#[test]
fn when_everybody_has_another_address_at_once_they_find_each_other() {
    if !netns::permitted() {
        return;
    }
    let (a, b, r) = (Home::new(), Home::new(), Home::new());
    let mut lan = Lan::new(80);
    let (machine, hosts) = (lan.host(), [lan.host(), lan.host()]);
    let mut command = r.bare(&binaries::rendezvous());
    command.args([
        "serve",
        "--listen",
        "0.0.0.0:7070",
        "--insecure-registration",
        "--data-dir",
    ]);
    let mut server = Process::start("rendezvous", &mut machine.command(command.arg(r.data())));
    server.wait_line("`listening on` line", 0, |line| {
        line.text.starts_with("listening on ").then_some(())
    });
    let url = format!("http://{}:7070", lan.address(1));
    let arguments = [
        "create",
        "--server",
        &url,
        "--insecure-registration",
        "--join",
        "--json",
    ];
    let mut create = a.snug(arguments);
    create.args(["--room", ROOM, "--name", NAMES[0]]);
    let mut alice = Member::start(NAMES[0], &mut hosts[0].command(&create));
    let card = alice.wait("`created` event", |event| {
        (event["type"] == "created").then(|| event.clone())
    });
    alice.ready();
    let bob = enter(&hosts[1], NAMES[1], &by_invite(&b, &card));
    let mut members = [alice, bob];
    members[0].sees(&[NAMES[1]]);
    for (member, host) in members.iter_mut().zip([2, 3]) {
        wait_status(member, "that it is reached where it is", |status| {
            !status["relaying"].is_null()
        });
        let addresses = status(member)["addresses"].to_string();
        assert!(addresses.contains(&lan.address(host)), "{addresses}");
    }
    server.kill();
    for (host, number) in hosts.iter().zip([2, 3]) {
        moves(host, &lan.address(number), &lan.address(100 + number));
    }
    for (member, host) in members.iter_mut().zip([2, 3]) {
        let (was, is) = (format!("/{}/", lan.address(host)), lan.address(100 + host));
        wait_status(member, "its new address and no other", |status| {
            let addresses = status["addresses"].to_string();
            addresses.contains(&is) && !addresses.contains(&was)
        });
    }
    let [mut alice, mut bob] = members;
    alice.post("send", serde_json::json!({ "text": "where are we?" }));
    bob.wait_within(MENDED, "the question", |event| {
        (event["text"] == "where are we?").then_some(())
    });
    bob.post("send", serde_json::json!({ "text": "elsewhere" }));
    alice.wait_within(MENDED, "the answer", |event| {
        (event["text"] == "elsewhere").then_some(())
    });
}
