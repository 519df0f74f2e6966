//! Safety numbers, as people and programs ask for them.

use snug::engine::Handle;
use snug::room::{Acquaintance, Command, Trust};

use super::acts;
use super::people::short;

/// What is asked of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Whom it is about.
    pub who: String,
    /// The number that they see, to be compared; without it, ours is shown.
    pub number: Option<String>,
}

/// Digits of a safety number.
const DIGITS: usize = snug_crypto::safety::DIGITS;

/// Splits what was typed behind `/verify`: a name, and perhaps the number.
pub fn parse(rest: &str) -> Option<Verify> {
    // From the end, because names may hold digits.
    let (mut digits, mut start) = (0, rest.len());
    while digits < DIGITS {
        let word = rest[..start]
            .trim_end()
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            break;
        }
        start = rest[..start].trim_end().len() - word.len();
        digits += word.bytes().filter(u8::is_ascii_digit).count();
    }
    let (who, number) = match digits {
        DIGITS => (&rest[..start], Some(rest[start..].trim().to_owned())),
        _ => (rest, None),
    };
    let who = who.trim().to_owned();
    (!who.is_empty()).then_some(Verify { who, number })
}

/// Whether a name ends with digits, which may have been meant for a safety number; how many.
fn digits_behind(who: &str) -> Option<usize> {
    let words = who.split_whitespace().skip(1).collect::<Vec<_>>().into_iter().rev();
    let behind = words.take_while(|word| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'));
    let digits = behind.flat_map(str::bytes).filter(u8::is_ascii_digit).count();
    (digits > 0).then_some(digits)
}

/// Compares, or tells what to compare; the error is a sentence for whoever asked. Whom the numbers agree with is verified from then on.
pub async fn perform(handle: &Handle, verify: &Verify) -> Result<Acquaintance, String> {
    let who = acts::member(handle, &verify.who).await;
    let who = who.map_err(|error| match digits_behind(&verify.who) {
        Some(digits) if verify.number.is_none() => {
            format!("{error}; if the digits are a safety number, {DIGITS} were expected, and these are {digits}")
        }
        _ => error,
    })?;
    let known = handle.acquaintance(who).await.map_err(|error| error.to_string())?;
    let mut known = known.ok_or("there is nobody else of that name or fingerprint; /members lists who is here")?;
    let Some(number) = &verify.number else {
        return Ok(known);
    };
    if !known.number.matches(number) {
        return Err(
            "the safety numbers differ: either it was copied wrong, or somebody speaks for one of you. Don't trust this member until they agree"
                .to_owned(),
        );
    }
    let command = Command::Trust {
        who,
        trust: Trust::Verified,
    };
    handle.act(command).await.map_err(|error| error.to_string())?;
    (known.verified, known.key_change) = (true, None);
    Ok(known)
}

/// What people see of it.
pub fn lines(verify: &Verify, known: &Acquaintance) -> Vec<String> {
    // The notice says that they are verified.
    if verify.number.is_some() {
        return Vec::new();
    }
    let name = format!("{}#{}", known.name.name(), short(&known.fingerprint));
    let mut lines = vec![
        format!("Your safety number with {name} ({}):", known.fingerprint),
        known.number.to_string(),
    ];
    if let Some(change) = &known.key_change {
        lines.push(format!("That name was known with another key: {}.", change.was));
    }
    lines.push(if known.verified {
        "You verified it.".to_owned()
    } else {
        format!(
            "Compare it with theirs, in person or on the phone. If it is the same: /verified {}",
            short(&known.fingerprint)
        )
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_that_are_too_few_are_counted() {
        assert_eq!(digits_behind("bob 12345"), Some(5));
        assert_eq!(digits_behind("bob 12345 67890-1"), Some(11));
        assert_eq!(digits_behind("agent47 1"), Some(1));
        assert_eq!(digits_behind("bob"), None);
        assert_eq!(digits_behind("agent47"), None);
        assert_eq!(digits_behind("bob 12a"), None);
    }

    #[test]
    fn a_name_may_end_with_digits_and_a_number_is_whole() {
        let number = ["12345"; 12].join(" ");
        let verify = |who: &str, number: Option<&str>| {
            Some(Verify {
                who: who.to_owned(),
                number: number.map(str::to_owned),
            })
        };
        assert_eq!(parse("alice"), verify("alice", None));
        assert_eq!(parse("agent 47"), verify("agent 47", None));
        assert_eq!(parse(&format!("agent 47 {number}")), verify("agent 47", Some(&number)));
        assert_eq!(parse(&format!("alice {number}")), verify("alice", Some(&number)));
        assert_eq!(
            parse(&format!("alice#0123abcd {number}")),
            verify("alice#0123abcd", Some(&number))
        );
        assert_eq!(
            parse(&format!("alice {}", &number[1..])).map(|verify| verify.number),
            Some(None)
        );
        assert_eq!(parse(&number), None);
        assert_eq!(parse(" "), None);
    }
}
