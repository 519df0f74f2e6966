//! How much a room carries when several members never pause: each has so many messages on their way to the disk and the mesh, and says another
//! when one is through.

use crate::procfs::Usage;
use serde_json::{Value, json};
use snug_tests::member::Member;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at what came.
const LOOK: Duration = Duration::from_millis(2);
/// Until what was said last has to have arrived.
const ARRIVES: Duration = Duration::from_secs(120);

/// What is asked for.
pub struct Load {
    /// Who never pauses: the first of the members.
    pub senders: usize,
    /// Messages of each that wait for their reply.
    pub window: u64,
    /// How long they go on.
    pub time: Duration,
    /// Bytes of text in a message.
    pub bytes: usize,
}

/// Lines that a member printed, counted as they come. They are not parsed meanwhile: that would take more of the machine than the room does.
struct Tally {
    read: usize,
    replies: u64,
    heard: Vec<String>,
    last: Instant,
}

impl Tally {
    fn read(&mut self, member: &mut Member) {
        for line in member.process().lines_since(self.read) {
            self.read += 1;
            if line.text.contains("\"type\":\"message\"") {
                self.last = line.at;
                self.heard.push(line.text);
            } else if line.text.contains("\"result\"") {
                self.replies += 1;
            } else {
                assert!(!line.text.contains("\"error\""), "{}: {}", member.name(), line.text);
            }
        }
    }
}

/// Has the first members talk without a pause; every message has to arrive at every other member exactly once.
pub fn measure(members: &mut [Member], load: &Load) -> Value {
    let start = Instant::now();
    let mut tallies: Vec<Tally> = members
        .iter_mut()
        .map(|member| Tally {
            read: member.process().mark(),
            replies: 0,
            heard: Vec::new(),
            last: start,
        })
        .collect();
    let usage = |members: &mut [Member]| -> Vec<Usage> {
        let each = members.iter_mut();
        each.map(|member| Usage::of(member.process().pid())).collect()
    };
    members
        .iter_mut()
        .for_each(|member| Usage::forget_peak(member.process().pid()));
    let before = usage(members);
    let mut posted = vec![0_u64; load.senders];
    let start = Instant::now();
    while start.elapsed() < load.time {
        for (sender, posted) in posted.iter_mut().enumerate() {
            tallies[sender].read(&mut members[sender]);
            while *posted < tallies[sender].replies + load.window {
                let text = format!("t{sender:02}{posted:010} {}", "x".repeat(load.bytes - 14));
                members[sender].post("send", json!({ "text": text }));
                *posted += 1;
            }
        }
        thread::sleep(LOOK);
    }
    let said: u64 = posted.iter().sum();
    for (index, (member, tally)) in members.iter_mut().zip(&mut tallies).enumerate() {
        let expected = said - posted.get(index).copied().unwrap_or_default();
        let end = Instant::now() + ARRIVES;
        while (tally.heard.len() as u64) < expected {
            if Instant::now() > end {
                let missing = missing(tally, &posted, index);
                let audit = member.request("audit", json!({}));
                panic!(
                    "{} of {expected} arrived at {}: {missing:?} are missing; it says {audit:?}",
                    tally.heard.len(),
                    member.name()
                );
            }
            thread::sleep(LOOK);
            tally.read(member);
        }
        let texts: BTreeSet<String> = tally.heard.iter().map(|line| text(line)).collect();
        assert_eq!(texts.len(), tally.heard.len(), "each once");
        assert_eq!(texts.len() as u64, expected, "each of the others'");
    }
    let after = usage(members);
    let last = tallies.iter().map(|tally| tally.last).max().unwrap_or(start);
    let seconds = (last - start).as_secs_f64();
    let deliveries: u64 = tallies.iter().map(|tally| tally.heard.len() as u64).sum();
    let cpu: f64 = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after.cpu_s - before.cpu_s)
        .sum();
    #[allow(clippy::cast_precision_loss)] // Far below 2^52.
    let (rate, per_delivery) = (deliveries as f64 / seconds, cpu * 1e6 / deliveries.max(1) as f64);
    let peak = after.iter().map(|usage| usage.peak_kib).max().unwrap_or_default();
    println!(
        "{} of {} members talk without a pause for {} s: {said} messages, {rate:.0} deliveries/s, {per_delivery:.1} us of CPU each, {} KiB at most",
        load.senders,
        members.len(),
        load.time.as_secs(),
        peak
    );
    json!({
        "senders": load.senders, "window": load.window, "bytes": load.bytes, "messages": said, "seconds": seconds, "deliveries": deliveries,
        "deliveries_s": rate, "cpu_us_per_delivery": per_delivery, "peak_kib": peak, "lost": 0,
    })
}

/// What never came, as (sender, first, last).
fn missing(tally: &Tally, posted: &[u64], own: usize) -> Vec<(usize, u64, u64)> {
    let came: BTreeSet<String> = tally.heard.iter().map(|line| text(line)[..13].to_owned()).collect();
    let mut missing: Vec<(usize, u64, u64)> = Vec::new();
    for (sender, said) in posted.iter().enumerate().filter(|(sender, _)| *sender != own) {
        for number in (0..*said).filter(|number| !came.contains(&format!("t{sender:02}{number:010}"))) {
            match missing.last_mut() {
                Some((from, _, last)) if *from == sender && *last + 1 == number => *last = number,
                _ => missing.push((sender, number, number)),
            }
        }
    }
    missing
}

fn text(line: &str) -> String {
    let event: Value = serde_json::from_str(line).expect("each line is JSON");
    event["params"]["text"]
        .as_str()
        .expect("a message has a text")
        .to_owned()
}
