//! A room's rules as people and programs give them: flags for a new room, `/policy`, the request `policy`.

use serde::Deserialize;
use snug::engine::Handle;
use snug_crypto::bounds::MAX_MEMBERS;
use snug_crypto::genesis::Policy;

/// Members keep what was said for a day at most, whatever a room asks for.
const MAX_RETENTION_S: u32 = 24 * 3_600;
/// Whoever leaves no state behind renews its membership this often.
const MIN_GRACE_S: u32 = 15 * 60;
/// A rendezvous keeps a former Room Key for those who are away no longer than this.
const MAX_GRACE_S: u32 = 90 * 24 * 3_600;

/// How `/policy` is written.
pub const USAGE: &str = "/policy approval on, or off; /policy members 50; /policy retention 12h; /policy grace 3d; /policy alone shows the rules";

/// What shall be different; what isn't named stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    #[serde(default)]
    pub approval: Option<bool>,
    #[serde(default)]
    pub max_participants: Option<u16>,
    #[serde(default)]
    pub retention_s: Option<u32>,
    #[serde(default)]
    pub grace_s: Option<u32>,
}

impl Change {
    /// The rules with it.
    pub fn applied_to(&self, policy: Policy) -> Policy {
        Policy {
            approval: self.approval.unwrap_or(policy.approval),
            max_participants: self.max_participants.unwrap_or(policy.max_participants),
            retention_s: self.retention_s.unwrap_or(policy.retention_s),
            grace_s: self.grace_s.unwrap_or(policy.grace_s),
            ..policy
        }
    }

    /// Says what is wrong with its numbers.
    pub fn check(&self) -> Result<(), String> {
        if self
            .max_participants
            .is_some_and(|most| !(1..=MAX_MEMBERS).contains(&usize::from(most)))
        {
            return Err(format!("a room takes 1 to {MAX_MEMBERS} members"));
        }
        if self.retention_s.is_some_and(|seconds| seconds > MAX_RETENTION_S) {
            return Err("what is said is kept for a day at most".to_owned());
        }
        if self
            .grace_s
            .is_some_and(|seconds| !(MIN_GRACE_S..=MAX_GRACE_S).contains(&seconds))
        {
            return Err("who is away stays a member for 15 minutes at least, and for 90 days at most".to_owned());
        }
        Ok(())
    }
}

/// What was typed behind `/policy`.
pub fn parse(text: &str) -> Option<Change> {
    let (what, value) = text.split_once(char::is_whitespace)?;
    let mut change = Change::default();
    let value = value.trim();
    match what.to_lowercase().as_str() {
        "approval" => {
            change.approval = Some(match value.to_lowercase().as_str() {
                "on" | "yes" => true,
                "off" | "no" => false,
                _ => return None,
            });
        }
        "members" => change.max_participants = Some(value.parse().ok()?),
        "retention" => change.retention_s = Some(seconds(value).ok()?),
        "grace" => change.grace_s = Some(seconds(value).ok()?),
        _ => return None,
    }
    Some(change)
}

/// A time of whole seconds: `90s`, `15m`, `12h`, `7d`, or `0`.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || "not a time: write it like 90s, 15m, 12h or 7d".to_owned();
    if text == "0" {
        return Ok(0);
    }
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// `--retention`.
pub fn retention(text: &str) -> Result<u32, String> {
    let seconds = seconds(text)?;
    let change = Change {
        retention_s: Some(seconds),
        ..Change::default()
    };
    change.check().map(|()| seconds)
}

/// `--grace`.
pub fn grace(text: &str) -> Result<u32, String> {
    let seconds = seconds(text)?;
    let change = Change {
        grace_s: Some(seconds),
        ..Change::default()
    };
    change.check().map(|()| seconds)
}

/// What `/policy` alone says.
pub async fn lines(handle: &Handle) -> Vec<String> {
    let Ok(info) = handle.info().await else {
        return Vec::new();
    };
    let sentences = snug::room::rules_in_words(&info.policy);
    sentences.into_iter().map(sentence).collect()
}

/// A rule as a line of its own.
pub fn sentence(rule: String) -> String {
    let mut letters = rule.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_one_at_a_time() {
        let with = |text: &str| parse(text).map(|change| change.applied_to(Policy::default()));
        assert!(with("approval on").unwrap().approval && !with("Approval  off").unwrap().approval);
        assert_eq!(with("members 50").unwrap().max_participants, 50);
        assert_eq!(with("retention 0").unwrap().retention_s, 0);
        assert_eq!(with("retention 90 s").unwrap().retention_s, 90);
        assert_eq!(with("grace 3d").unwrap().grace_s, 3 * 86_400);
        for wrong in [
            "",
            "approval",
            "approval maybe",
            "members many",
            "members -1",
            "retention 12",
            "grace 1w",
            "grace 99999999999d",
            "grace 50000d",
            "history on",
        ] {
            assert_eq!(with(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_that_no_room_keeps_are_told() {
        for (text, holds) in [("members 0", false), ("members 4096", true), ("members 4097", false)] {
            assert_eq!(parse(text).unwrap().check().is_ok(), holds, "{text}");
        }
        assert!(retention("24h").is_ok() && retention("25h").is_err() && retention("1").is_err());
        assert!(grace("15m").is_ok() && grace("14m").is_err() && grace("90d").is_ok() && grace("91d").is_err());
    }
}
