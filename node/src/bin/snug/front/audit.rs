//! What a check of the transcript found, for people and programs.

use serde_json::{Value, json};
use snug::room::{AuditReport, MemberView};

use super::people::short;

/// For people, a sentence a line.
pub fn lines(report: &AuditReport) -> Vec<String> {
    let name = |member: &MemberView| format!("{}#{}", member.name.name(), short(&member.fingerprint));
    let mut lines = Vec::new();
    for (from, missing) in &report.gaps {
        lines.push(format!(
            "{} messages of {} are missing between others.",
            missing,
            name(from)
        ));
    }
    for withheld in &report.withheld {
        let whose = match &withheld.author {
            Some((author, counter)) => format!("message {counter} of {}", name(author)),
            None => "a message of somebody".to_owned(),
        };
        lines.push(format!(
            "{} has seen {whose} that nobody gave you.",
            name(&withheld.named_by)
        ));
    }
    if report.overflown > 0 {
        lines.push(format!("{} more such messages are not remembered.", report.overflown));
    }
    if report.unread > 0 {
        lines.push(format!(
            "Nobody gave you the keys of {} epochs that you are a member of: what was said in them while you were away can't be read here.",
            report.unread
        ));
    }
    for (who, fork) in &report.forks {
        lines.push(format!(
            "{} signed two messages numbered {} in one epoch, and told you one of them and others the other.",
            name(who),
            fork.counter
        ));
    }
    for who in &report.contradictory {
        lines.push(format!("{} signed two different records under one number.", name(who)));
    }
    let asked = format!(
        "{} of {} members linked with you answered.",
        report.answered, report.asked
    );
    lines.push(if report.is_clean() {
        format!("Nothing is missing, withheld or contradictory, as far as can be seen from here; {asked}")
    } else {
        asked
    });
    lines
}

/// For programs.
pub fn in_json(report: &AuditReport) -> Value {
    let who = |member: &MemberView| json!({"name": member.name, "fingerprint": member.fingerprint.to_string()});
    json!({
        "clean": report.is_clean(),
        "epochs": report.epochs,
        "asked": report.asked,
        "answered": report.answered,
        "gaps": report.gaps.iter().map(|(from, missing)| json!({"from": who(from), "missing": missing})).collect::<Vec<_>>(),
        "withheld": report.withheld.iter().map(|withheld| json!({
            "frame": withheld.frame.to_string(),
            "named_by": who(&withheld.named_by),
            "from": withheld.author.as_ref().map(|(author, _)| who(author)),
            "counter": withheld.author.as_ref().map(|(_, counter)| counter),
            "since": super::json::rfc3339(withheld.since_ms),
        })).collect::<Vec<_>>(),
        "overflown": report.overflown,
        "unread": report.unread,
        "forks": report.forks.iter().map(|(from, fork)| json!({
            "from": who(from),
            "epoch": fork.epoch.to_string(),
            "counter": fork.counter,
            "frames": fork.frames.map(|frame| frame.to_string()),
            "at": super::json::rfc3339(fork.at_ms),
        })).collect::<Vec<_>>(),
        "contradictory": report.contradictory.iter().map(who).collect::<Vec<_>>(),
    })
}
