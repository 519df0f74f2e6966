//! Members behind routers that let nobody in: through the rendezvous' relay they meet all the same, and directly where a hole can be punched.

mod members;
mod upnp;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use snug_tests::binaries;
use snug_tests::home::Home;
use snug_tests::internet::{self, AtHome, Internet, Nat, run};
use snug_tests::member::Member;
use snug_tests::netns::Namespace;
use snug_tests::process::{self, Process};

/// How long a way may take to be found, or found again.
const FOUND: Duration = Duration::from_secs(240);

/// Prints what the server counts.
const METRICS: &str = "
import urllib.request
print(urllib.request.urlopen('http://127.0.0.1:7071/metrics', timeout=60).read().decode())
";

/// A rendezvous on the public network.
struct Server {
    machine: Namespace,
    address: String,
    home: Home,
    flags: Vec<&'static str>,
    process: Process,
}

impl Server {
    fn start(internet: &mut Internet, flags: &[&'static str]) -> Self {
        let (machine, address) = internet.host();
        let home = Home::new();
        let flags = flags.to_vec();
        let process = serve(&machine, &home, &flags);
        Self {
            machine,
            address,
            home,
            flags,
            process,
        }
    }

    fn url(&self) -> String {
        format!("http://{}:7070", self.address)
    }

    /// Ends it as a power cut would.
    fn kill(&mut self) {
        self.process.kill();
    }

    fn start_again(&mut self) {
        self.process = serve(&self.machine, &self.home, &self.flags);
    }

    /// What it counts, by the name and the labels of the line.
    fn count(&self, line: &str) -> u64 {
        let text = run(&self.machine, "python3", &["-c", METRICS], "");
        let found = text
            .lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    }

    fn relayed_bytes(&self) -> u64 {
        self.count("snug_rendezvous_relay_bytes_total{direction=\"out\"}")
    }

    fn circuits(&self) -> u64 {
        self.count("snug_rendezvous_relay_circuits_open{}")
    }
}

fn serve(machine: &Namespace, home: &Home, flags: &[&str]) -> Process {
    let mut command = home.bare(&binaries::rendezvous());
    command.args(["serve", "--listen", "[::]:7070", "--admin-listen", "127.0.0.1:7071"]);
    command
        .args(["--insecure-registration", "--data-dir"])
        .arg(home.data())
        .args(flags);
    let process = Process::start("rendezvous", &mut machine.command(&command));
    process.wait_line("`listening on` line", 0, |line| {
        line.text.starts_with("listening on ").then_some(())
    });
    process
}

/// Two members, each at home behind a router of this kind, who have not waited for each other yet.
struct Two {
    _homes: [Home; 2],
    routers: [AtHome; 2],
    alice: Member,
    bob: Member,
}

impl Two {
    fn behind(nat: Nat, internet: &mut Internet, server: &Server) -> Self {
        let routers = [internet.home(nat), internet.home(nat)];
        let homes = [Home::new(), Home::new()];
        let card = make(&routers[0].host, &homes[0], "alice", server);
        let mut alice = enter(&routers[0].host, &homes[0], "alice", &card);
        alice.ready();
        let bob = enter(&routers[1].host, &homes[1], "bob", &card);
        Self {
            _homes: homes,
            routers,
            alice,
            bob,
        }
    }

    /// Each has said something that the other has heard.
    fn meet(&mut self) {
        say(&mut self.alice, "hello from alice");
        hear(&mut self.bob, "hello from alice");
        say(&mut self.bob, "hello from bob");
        hear(&mut self.alice, "hello from bob");
    }
}

/// Makes a room at the server; nobody is in it afterwards.
fn make(machine: &Namespace, home: &Home, name: &str, server: &Server) -> Value {
    let url = server.url();
    let command = home.snug([
        "create",
        "--server",
        &url,
        "--insecure-registration",
        "--name",
        name,
        "--json",
    ]);
    let made = process::run("create", &mut machine.command(&command), "");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    serde_json::from_slice(&made.stdout).expect("create prints JSON")
}

fn enter(machine: &Namespace, home: &Home, name: &str, card: &Value) -> Member {
    let invite = home.secret("invite", card["invite"].as_str().expect("an invite"));
    let mut command = home.snug(["join", "--name", name, "--no-mdns", "--json", "--invite-file"]);
    command.arg(invite);
    Member::start(name, &mut machine.command(&command))
}

fn say(member: &mut Member, text: &str) {
    member.post("send", json!({ "text": text }));
}

fn hear(member: &mut Member, text: &str) {
    member.wait_within(FOUND, text, |event| (event["text"] == text).then_some(()));
}

fn status(member: &mut Member) -> Value {
    member.request("status", json!({})).expect("a status")
}

/// Waits until a member's status is as wanted.
fn wait_status(member: &mut Member, what: &str, is_so: impl Fn(&Value) -> bool) {
    let end = Instant::now() + FOUND;
    loop {
        let now = status(member);
        if is_so(&now) {
            return;
        }
        assert!(Instant::now() < end, "{what}: it is {now}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// 2 KB of text that is like no other.
fn words(number: usize) -> String {
    format!("{number} {}", "words and ".repeat(200))
}

#[test]
fn members_whom_nobody_can_reach_talk_through_the_relay() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let server = Server::start(&mut internet, &[]);
    let mut two = Two::behind(Nat::Symmetric, &mut internet, &server);
    two.meet();
    for member in [&mut two.alice, &mut two.bob] {
        let status = status(member);
        assert_eq!(
            (&status["links"], &status["relayed"]),
            (&json!(1), &json!(1)),
            "{status}"
        );
        assert_eq!(status["relay"], "reserved", "{status}");
        let own = status["addresses"].as_array().expect("addresses");
        assert!(
            own.iter().all(|address| !address.to_string().contains("p2p-circuit")),
            "{status}"
        );
    }
    assert_eq!(server.count("snug_rendezvous_relay_reservations_open{}"), 2);
    assert!(server.circuits() >= 1);
    let before = server.relayed_bytes();
    for number in 0..20 {
        let text = words(number);
        say(&mut two.alice, &text);
        hear(&mut two.bob, &text);
    }
    let carried = server.relayed_bytes() - before;
    assert!(
        carried > 40_000,
        "40 KB went through the relay, which counted {carried}"
    );
    eprintln!("20 messages of 2 KB: {carried} bytes through the relay");
}

#[test]
fn where_a_hole_can_be_punched_the_relay_carries_nothing_any_more() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let server = Server::start(&mut internet, &[]);
    let mut two = Two::behind(Nat::Cone, &mut internet, &server);
    two.meet();
    for member in [&mut two.alice, &mut two.bob] {
        wait_status(member, "a direct link", |status| {
            status["links"] == 1 && status["relayed"] == 0
        });
    }
    let end = Instant::now() + FOUND;
    while server.circuits() > 0 {
        assert!(Instant::now() < end, "the circuit stays");
        std::thread::sleep(Duration::from_millis(200));
    }
    let before = server.relayed_bytes();
    for number in 0..50 {
        let text = words(number);
        say(&mut two.bob, &text);
        hear(&mut two.alice, &text);
    }
    let carried = server.relayed_bytes() - before;
    assert!(
        carried < 20_000,
        "100 KB went directly, and yet the relay carried {carried}"
    );
    eprintln!("50 messages of 2 KB: {carried} bytes through the relay");
}

#[test]
fn when_the_relay_goes_and_comes_back_so_does_the_room() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let mut server = Server::start(&mut internet, &[]);
    let mut two = Two::behind(Nat::Symmetric, &mut internet, &server);
    two.meet();
    server.kill();
    for member in [&mut two.alice, &mut two.bob] {
        wait_status(member, "no link", |status| {
            status["links"] == 0 && status["relay"] == "asking"
        });
    }
    say(&mut two.alice, "said while nobody hears");
    server.start_again();
    let back = Instant::now();
    hear(&mut two.bob, "said while nobody hears");
    eprintln!("the room is back {:?} after the relay", back.elapsed());
    say(&mut two.bob, "heard it");
    hear(&mut two.alice, "heard it");
    for member in [&mut two.alice, &mut two.bob] {
        wait_status(member, "a link through the relay", |status| {
            status["relayed"] == 1 && status["relay"] == "reserved"
        });
    }
}

#[test]
fn a_laptop_that_is_carried_to_another_home_is_found_there() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let server = Server::start(&mut internet, &[]);
    let mut two = Two::behind(Nat::Symmetric, &mut internet, &server);
    two.meet();
    let other = internet.home(Nat::Symmetric);
    Internet::carry(&two.routers[1].host, &other.router);
    let carried = Instant::now();
    say(&mut two.alice, "where are you?");
    say(&mut two.bob, "with friends");
    hear(&mut two.bob, "where are you?");
    hear(&mut two.alice, "with friends");
    eprintln!("all is heard {:?} after the laptop was carried", carried.elapsed());
}

#[test]
fn without_a_relay_members_are_told_why_they_do_not_meet() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let server = Server::start(&mut internet, &["--no-relay"]);
    let mut two = Two::behind(Nat::Symmetric, &mut internet, &server);
    let url = server.url();
    for member in [&mut two.alice, &mut two.bob] {
        let warning = member.wait_within(FOUND, "a warning", |event| {
            let text = event["message"].as_str().filter(|_| event["type"] == "warning")?;
            text.contains("relay").then(|| text.to_owned())
        });
        assert!(
            warning.contains(&format!("the rendezvous {url} has no relay")),
            "{warning}"
        );
        assert_eq!(status(member)["relay"], "none");
    }
}
