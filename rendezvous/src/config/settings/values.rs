//! Texts to values, with words for what is wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

/// The only value of a setting that has one.
pub fn one(values: &[String]) -> Result<&str, String> {
    match values {
        [value] => Ok(value),
        _ => Err("one value belongs here".to_owned()),
    }
}

/// Splits at commas.
pub fn list(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no address: write it like 127.0.0.1:7070 or [::]:7070"))
}

pub fn path(text: &str, base: &Path) -> Result<PathBuf, String> {
    match text {
        "" => Err("a path can't be empty".to_owned()),
        text => Ok(base.join(text)),
    }
}

pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A number within bounds.
pub fn number<T: FromStr + PartialOrd + std::fmt::Display>(text: &str, least: T, most: T) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| *number >= least && *number <= most);
    number.ok_or_else(|| format!("{text:?} is no number from {least} to {most}"))
}

/// `500ms`, `10s`, `5m`, at least a millisecond and at most a day.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let ms = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let total = count.parse::<u64>().ok().and_then(|count| count.checked_mul(ms));
    match total.filter(|total| (1..=86_400_000).contains(total)) {
        Some(total) => Ok(Duration::from_millis(total)),
        None => Err(format!(
            "{text:?} is no time from 1ms to 24h: write it like 500ms, 10s, 5m or 1h"
        )),
    }
}

/// A duration as [`duration`] reads it.
pub fn written(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 != 0 => format!("{ms}ms"),
        ms => format!("{}s", ms / 1000),
    }
}

/// `10.0.0.0/8`, or one address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let single = || {
        text.parse()
            .ok()
            .map(|address: std::net::IpAddr| IpNet::from(address.to_canonical()))
    };
    text.parse()
        .ok()
        .or_else(single)
        .ok_or_else(|| format!("{text:?} is neither an address nor a network: write it like 10.0.0.1 or fd00::/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1 s", 1000),
        ] {
            assert_eq!(duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for wrong in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "25h",
            "99999999999999999999s",
            "1d",
            "1s ",
        ] {
            // A blank after the unit does no harm.
            assert_eq!(duration(wrong).is_err(), wrong != "1s ", "{wrong}");
        }
        assert_eq!(
            duration(&written(Duration::from_millis(1500))).unwrap().as_millis(),
            1500
        );
    }

    #[test]
    fn networks_are_read() {
        assert!(
            network("10.0.0.0/8")
                .unwrap()
                .contains(&"10.1.2.3".parse::<std::net::IpAddr>().unwrap())
        );
        assert_eq!(network("127.0.0.1").unwrap().to_string(), "127.0.0.1/32");
        assert_eq!(network("::ffff:127.0.0.1").unwrap().to_string(), "127.0.0.1/32");
        for wrong in ["", "10.0.0.0/33", "proxy", "10.0.0.1:80"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }
}
