//! Measures Snug with its real programs on loopback, and prints what docs/BENCHMARKS.md shows: lines for people as it goes, and one JSON
//! object as the last line.
//!
//! Everything is bounded: so many joins, so many messages; every message must arrive at everybody exactly once, or it fails.

// A measurement that can't set up has nothing to say.
#![allow(clippy::expect_used)]

mod figures;
mod procfs;
mod throughput;

use clap::Parser;
use figures::Figures;
use procfs::Usage;
use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::rendezvous::Rendezvous;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

/// Measure joins, message latency, memory and throughput.
#[derive(Debug, Parser)]
struct Args {
    /// Members in the room while messages are measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=100))]
    members: u16,
    /// Messages of each sender
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    messages: u32,
    /// Messages a second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Bytes of text in a message
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=16_000))]
    bytes: u32,
    /// How often somebody joins a room with one member in it
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    joins: u32,
    /// Then some members talk without a pause for so many seconds; 0 leaves it out
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=60))]
    throughput: u64,
    /// Who they are: so many
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    senders: u16,
    /// Messages of each that wait for their reply
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=200))]
    window: u64,
}

fn main() {
    let args = Args::parse();
    let joins = joins(args.joins);
    let room = room(&args);
    println!("{}", json!({ "joins": joins, "room": room }));
}

/// From the start of the process to its `ready`, and to the notice at the member who was there before.
fn joins(count: u32) -> Value {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let mut first = Member::join(&home, &card, "first");
    first.ready();
    let (mut ready, mut noticed) = (Figures::default(), Figures::default());
    for index in 0..count {
        let home = Home::new();
        let name = format!("joiner{index}");
        let mut command = member::join_command(&home, &card, &name, "--json");
        let started = Instant::now();
        let mut joiner = Member::start(&name, &mut command);
        joiner.ready();
        let at = |member: &mut Member, test: &dyn Fn(&Value) -> bool| {
            let event = member.events().iter().find(|(_, event)| test(event));
            event
                .map(|(at, _)| at.duration_since(started))
                .expect("the event has come")
        };
        ready.push(at(&mut joiner, &|event| event["type"] == "ready"));
        let notice = format!("{name} has joined the room den.");
        first.notice("join", &notice);
        noticed.push(at(&mut first, &|event| event["message"] == notice.as_str()));
        joiner.leave();
        first.notice("leave", &format!("{name} has left the room den."));
    }
    println!("join to ready:      {ready}");
    println!("join to the notice: {noticed}");
    json!({ "ready_ms": ready.to_json(), "noticed_ms": noticed.to_json() })
}

/// Latency from before the sender's write to the line at each other member, and memory and CPU of all.
fn room(args: &Args) -> Value {
    let mut server = Rendezvous::start();
    let idle_server = Usage::of(server.process().pid());
    let homes: Vec<Home> = (0..args.members).map(|_| Home::new()).collect();
    let names: Vec<String> = (0..args.members).map(|index| format!("m{index:03}")).collect();
    let card = member::create(&homes[0], &server.url(), "den");
    let mut members: Vec<Member> = Vec::new();
    for (home, name) in homes.iter().zip(&names) {
        let mut member = Member::join(home, &card, name);
        member.ready();
        members.push(member);
    }
    for member in &mut members {
        let others: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|&name| name != member.name())
            .collect();
        member.sees(&others);
    }
    let before: Vec<Usage> = members
        .iter_mut()
        .map(|member| Usage::of(member.process().pid()))
        .collect();

    let wire = procfs::loopback_bytes();
    let mut sent: HashMap<String, Instant> = HashMap::new();
    let pause = Duration::from_secs(1) / args.rate;
    let started = Instant::now();
    for index in 0..args.messages {
        // Paced by the clock, so that a slow answer doesn't thin out the load.
        thread::sleep((started + pause * index).saturating_duration_since(Instant::now()));
        let text = format!("{index:08} {}", "x".repeat(args.bytes as usize - 9));
        sent.insert(text.clone(), Instant::now());
        members[0].post("send", json!({ "text": text }));
    }
    let took = started.elapsed();
    let last = format!("{:08} {}", args.messages - 1, "x".repeat(args.bytes as usize - 9));
    let (mut latency, mut deliveries) = (Figures::default(), 0_u64);
    let mut last_member: HashMap<String, Duration> = HashMap::new();
    for member in &mut members[1..] {
        member.hears(&last);
        // Anything still missing was overtaken by the last one, and is on its way.
        for text in sent.keys() {
            member.hears(text);
        }
        for (at, event) in member.events().iter().filter(|(_, event)| event["type"] == "message") {
            let text = event["text"].as_str().expect("a message has a text");
            let delay = at.duration_since(sent[text]);
            latency.push(delay);
            deliveries += 1;
            let slowest = last_member.entry(text.to_owned()).or_default();
            *slowest = delay.max(*slowest);
        }
    }
    assert_eq!(
        deliveries,
        u64::from(args.messages) * (u64::from(args.members) - 1),
        "each message once at each other member"
    );
    let last_member: Figures = last_member.into_values().collect();
    let wire = (procfs::loopback_bytes() - wire) / u64::from(args.messages);

    let (mut rss, mut peak, mut cpu) = (Vec::new(), Vec::new(), 0.0);
    for (member, before) in members.iter_mut().zip(&before) {
        let now = Usage::of(member.process().pid());
        rss.push(now.rss_kib);
        peak.push(now.peak_kib);
        cpu += now.cpu_s - before.cpu_s;
    }
    rss.sort_unstable();
    peak.sort_unstable();
    let server = Usage::of(server.process().pid());
    let per_delivery = cpu * 1e6 / f64::from(u32::try_from(deliveries).unwrap_or(u32::MAX));
    println!(
        "{} members, {} messages of {} bytes at {}/s:",
        args.members, args.messages, args.bytes, args.rate
    );
    println!("latency:                {latency}");
    println!("latency, last member:   {last_member}");
    println!("CPU of all members:     {per_delivery:.0} us for each delivery");
    println!("loopback:               {wire} bytes for each message, whatever went over it");
    println!(
        "member's memory:        {:.1} MiB at the median, {:.1} at most",
        mib(rss[rss.len() / 2]),
        mib(rss[rss.len() - 1])
    );
    println!(
        "rendezvous's memory:    {:.1} MiB ({:.1} before the first join)",
        mib(server.rss_kib),
        mib(idle_server.rss_kib)
    );
    let throughput = (args.throughput > 0).then(|| {
        let load = throughput::Load {
            senders: usize::from(args.senders.min(args.members)),
            window: args.window,
            time: Duration::from_secs(args.throughput),
            bytes: args.bytes as usize,
        };
        throughput::measure(&mut members, &load)
    });
    json!({
        "throughput": throughput,
        "members": args.members, "messages": args.messages, "bytes": args.bytes, "rate": args.rate, "seconds": took.as_secs_f64(),
        "latency_ms": latency.to_json(), "last_member_ms": last_member.to_json(), "deliveries": deliveries,
        "cpu_us_per_delivery": per_delivery, "loopback_bytes_per_message": wire,
        "member_rss_kib": { "median": rss[rss.len() / 2], "max": rss[rss.len() - 1], "peak_max": peak[peak.len() - 1] },
        "rendezvous_rss_kib": { "idle": idle_server.rss_kib, "after": server.rss_kib, "peak": server.peak_kib },
    })
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
