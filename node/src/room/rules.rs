//! The room's policy: how it reads, and how it comes into force (docs/PROTOCOL.md, "Policy").

use snug_crypto::bounds::MAX_MEMBERS;
use snug_crypto::genesis::Policy;

use super::Room;

/// The shortest grace, in seconds: members without a disk renew their leaves for so long.
const MIN_GRACE_S: u32 = 15 * 60;

/// Whether a room can go by these rules.
pub(super) fn is_valid(policy: &Policy) -> bool {
    (1..=MAX_MEMBERS).contains(&usize::from(policy.max_participants)) && policy.grace_s >= MIN_GRACE_S
}

/// The rules as people read them, each without a full stop.
pub fn in_words(policy: &Policy) -> Vec<String> {
    let kept = match policy.retention_s {
        0 => "nothing is kept for who is away".to_owned(),
        seconds => format!("what is said is kept for {} for who is away", time_in_words(seconds)),
    };
    vec![
        match policy.max_participants {
            1 => "at most 1 member".to_owned(),
            members => format!("at most {members} members"),
        },
        if policy.approval {
            "newcomers need a moderator's approval".to_owned()
        } else {
            "whoever has the Room Key may enter".to_owned()
        },
        kept,
        format!("who is away stays a member for {}", time_in_words(policy.grace_s)),
    ]
}

/// Seconds in the largest unit that needs no fraction.
fn time_in_words(seconds: u32) -> String {
    let (count, unit) = match seconds {
        s if s > 0 && s % 86_400 == 0 => (s / 86_400, "day"),
        s if s > 0 && s % 3_600 == 0 => (s / 3_600, "hour"),
        s if s > 0 && s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

impl Room {
    /// Goes by the policy as the log has it now: it decides how long whoever is away stays a member. The rest is asked for where it counts.
    pub(super) fn tend_rules(&mut self) {
        let grace_s = self.authority.policy(&self.genesis).grace_s;
        self.members.set_grace(grace_s);
        self.own.set_grace(grace_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_sentences() {
        let policy = Policy {
            max_participants: 1,
            retention_s: 90,
            grace_s: 7 * 86_400,
            approval: true,
            ..Policy::default()
        };
        assert_eq!(
            in_words(&policy),
            [
                "at most 1 member",
                "newcomers need a moderator's approval",
                "what is said is kept for 90 seconds for who is away",
                "who is away stays a member for 7 days",
            ]
        );
        let none = Policy {
            retention_s: 0,
            grace_s: 3_600,
            ..Policy::default()
        };
        assert_eq!(in_words(&none)[2], "nothing is kept for who is away");
        assert_eq!(in_words(&none)[3], "who is away stays a member for 1 hour");
    }

    #[test]
    fn rules_that_no_room_can_keep_are_refused() {
        let with = |max_participants, grace_s| Policy {
            max_participants,
            grace_s,
            ..Policy::default()
        };
        assert!(is_valid(&with(1, 900)) && is_valid(&with(4_096, u32::MAX)));
        assert!(!is_valid(&with(0, 900)) && !is_valid(&with(4_097, 900)) && !is_valid(&with(1, 899)));
    }
}
