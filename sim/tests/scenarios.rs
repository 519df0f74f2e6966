//! The simulator's own promises, and the room's under it: 20 seeds here, hundreds by the command (docs/RELIABILITY.md).

use std::process::Command;
use std::time::Duration;

use snug_sim::{Scenario, Weather};

/// Loss, overtaking and doubling as in the fault table of docs/RELIABILITY.md.
fn bad_weather(loss: f64) -> Weather {
    Weather {
        delay: (Duration::from_millis(1), Duration::from_millis(20)),
        loss,
        duplicate: 0.05,
        reorder: 0.05,
    }
}

fn short(seed: u64) -> Scenario {
    Scenario {
        members: 10,
        seed,
        weather: bad_weather(0.2),
        talk: Duration::from_secs(15),
        rate: 5.0,
        ..Scenario::default()
    }
}

fn assert_whole(scenario: &Scenario) {
    let outcome = scenario.run();
    assert!(outcome.failures.is_empty(), "{scenario:?}: {outcome:?}");
    assert!(outcome.messages > 20 && outcome.deliveries >= (outcome.messages - u64::from(outcome.refused)) * 8);
}

#[test]
fn nothing_is_lost_doubled_or_different_in_bad_weather() {
    for seed in 1..=8 {
        assert_whole(&short(seed));
    }
}

#[test]
fn a_partition_in_bad_weather_heals_whole() {
    for seed in 9..=14 {
        assert_whole(&Scenario {
            partition: Duration::from_secs(60),
            rate: 2.0,
            ..short(seed)
        });
    }
}

#[test]
fn a_third_of_the_members_crash_and_return_again_and_again() {
    for seed in 15..=18 {
        let scenario = Scenario {
            members: 6,
            crashes: 5,
            rate: 2.0,
            weather: bad_weather(0.1),
            ..short(seed)
        };
        let outcome = scenario.run();
        assert!(outcome.failures.is_empty(), "{scenario:?}: {outcome:?}");
        assert!(outcome.crashes >= 5, "the test does not bite: {outcome:?}");
    }
}

#[test]
fn clocks_two_hours_apart_refuse_nothing() {
    for seed in 19..=20 {
        assert_whole(&Scenario {
            skew: Duration::from_secs(3_600),
            ..short(seed)
        });
    }
}

/// More members than links: gossip passes through others.
#[test]
fn a_room_of_more_members_than_links_is_whole() {
    assert_whole(&Scenario {
        members: 40,
        talk: Duration::from_secs(5),
        ..short(21)
    });
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    let scenario = Scenario {
        crashes: 1,
        members: 5,
        partition: Duration::from_secs(10),
        ..short(22)
    };
    assert_eq!(scenario.run(), scenario.run());
    assert_ne!(
        scenario.run(),
        Scenario {
            seed: 23,
            ..scenario.clone()
        }
        .run()
    );
}

/// Nine of ten pieces of gossip are lost: comparing and asking brings them all the same.
#[test]
fn repair_does_nearly_without_gossip() {
    assert_whole(&Scenario {
        weather: bad_weather(0.9),
        ..short(24)
    });
}

#[test]
fn the_command_prints_a_row_a_seed_and_says_what_is_wrong_with_its_flags() {
    let run = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_snug-sim"))
            .args(flags)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let few = [
        "--members",
        "3",
        "--talk",
        "3s",
        "--loss",
        "0.2",
        "--seed",
        "7",
        "--seeds",
        "2",
    ];
    let (code, table, _) = run(&few);
    assert_eq!(code, Some(0), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.lines().nth(1).unwrap().trim_start().starts_with("7 "), "{table}");
    assert_eq!(run(&few).1, table, "the same seeds print the same, to the byte");

    let (code, lines, _) = run(&["--members", "2", "--talk", "1s", "--json"]);
    let outcome: serde_json::Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(
        (code, &outcome["lost"], &outcome["failures"]),
        (Some(0), &0.into(), &serde_json::json!([]))
    );

    let (code, _, error) = run(&["--partition", "5"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("give a unit"), "{error}");
}

/// Beyond some sixty members most are not linked with any custodian of an epoch, and get their boxes over others.
#[test]
fn eighty_members_who_enter_within_a_second_get_into_one_epoch() {
    let scenario = Scenario {
        members: 80,
        seed: 25,
        talk: Duration::from_secs(3),
        rate: 10.0,
        ..Scenario::default()
    };
    let outcome = scenario.run();
    assert!(outcome.failures.is_empty(), "{scenario:?}: {outcome:?}");
    // What they need, not what the limit allows: those who can't get their box begin anew every eight seconds.
    assert!(outcome.joined_ms.is_some_and(|ms| ms < 8_000), "{outcome:?}");
}
