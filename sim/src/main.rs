//! `snug-sim`: runs a room in virtual time, prints what came of it, and fails if anything was lost, doubled, or seen differently.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use snug_sim::{Outcome, Scenario, Weather};

/// A room comes to rest with this much on each hop; with twice that, its links never count as alive.
const MAX_DELAY: Duration = Duration::from_secs(4);

/// Simulate a room: real members with real keys, a network and a clock that follow from a seed.
///
/// Members join, talk through what the network does, and are judged when it is quiet again. Prints a row for each seed, and exits with 1 if
/// something that was acknowledged was lost, something was shown twice, or members ended with different things. Times are virtual.
#[derive(Debug, Parser)]
#[command(name = "snug-sim", version)]
struct Args {
    /// Members in the room
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=4096))]
    members: u16,
    /// The first seed; everything follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many seeds, one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    seeds: u32,
    /// Share of gossip that is lost, on each hop
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    loss: f64,
    /// Share of gossip that arrives twice
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    duplicate: f64,
    /// Share of gossip that is up to half a second late, so that other gossip overtakes it
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    reorder: f64,
    /// Longest delay of one hop; the shortest is a tenth of it
    #[arg(long, default_value = "10ms", value_parser = delay, value_name = "TIME")]
    delay: Duration,
    /// How long members talk
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    talk: Duration,
    /// Messages a second, of all members together
    #[arg(long, default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Then two random halves can't reach each other for so long, and talk on
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    partition: Duration,
    /// How often a third of the members is killed in the middle of a write, every 10 seconds, and comes back
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    crashes: u32,
    /// Members' clocks are off by up to so much, either way
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    skew: Duration,
    /// One JSON object a line instead of the table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.json {
        println!("{}", Outcome::HEAD);
    }
    let started = Instant::now();
    let mut failed: Vec<Outcome> = Vec::new();
    for number in 0..u64::from(args.seeds) {
        // After the greatest comes 0.
        let seed = args.seed.wrapping_add(number);
        let outcome = scenario(&args, seed).run();
        match args.json.then(|| serde_json::to_string(&outcome)) {
            Some(Ok(line)) => println!("{line}"),
            _ => println!("{outcome}"),
        }
        for failure in &outcome.failures {
            eprintln!("snug-sim: seed {seed}: {failure}");
        }
        if !outcome.failures.is_empty() {
            failed.push(outcome);
        }
    }
    eprintln!("snug-sim: {} s of real time", started.elapsed().as_secs());
    let Some(first) = failed.first() else {
        return ExitCode::SUCCESS;
    };
    eprintln!(
        "snug-sim: {} of {} seeds failed; run the same again with --seed {} --seeds 1",
        failed.len(),
        args.seeds,
        first.seed
    );
    ExitCode::FAILURE
}

fn scenario(args: &Args, seed: u64) -> Scenario {
    Scenario {
        members: args.members.into(),
        seed,
        weather: Weather {
            delay: (args.delay / 10, args.delay),
            loss: args.loss,
            duplicate: args.duplicate,
            reorder: args.reorder,
        },
        talk: args.talk,
        rate: args.rate,
        partition: args.partition,
        crashes: args.crashes,
        skew: args.skew,
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..1.0).contains(&share) {
        true => Ok(share),
        false => Err("must be from 0 to less than 1, as in 0.2".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.001..=1_000.0).contains(&rate) {
        true => Ok(rate),
        false => Err("must be from 0.001 to 1000".to_owned()),
    }
}

/// A number and `ms`, `s`, `m`, `h` or `d`; at most a thousand days.
fn duration(text: &str) -> Result<Duration, String> {
    const MOST: u64 = 1_000 * 86_400_000;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("give a unit: 500ms, 300s, 5m, 1h or 1d".to_owned()),
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match millis.filter(|millis| *millis <= MOST) {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err("must be a whole number and a unit, at most 1000d".to_owned()),
    }
}

/// A time within which links still answer.
fn delay(text: &str) -> Result<Duration, String> {
    let delay = duration(text)?;
    match delay <= MAX_DELAY {
        true => Ok(delay),
        false => Err("must be at most 4s: members take a link that answers no sooner for dead".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_units() {
        assert_eq!(duration("300s"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        for bad in ["", "5", "s", "5 s", "-1s", "1001d", "99999999999999999999s", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(delay("4s"), Ok(MAX_DELAY));
        assert!(delay("4001ms").is_err());
        assert!(share("1").is_err() && share("-0.1").is_err() && share("nan").is_err());
        assert_eq!(share("0.25"), Ok(0.25));
    }
}
