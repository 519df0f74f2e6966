//! What a process uses, from Linux's /proc.

use std::fs;

/// Clock ticks a second in /proc/PID/stat: fixed at 100 in Linux's interface.
const TICKS: f64 = 100.0;

/// Memory and CPU time of a process, so far.
#[derive(Debug)]
pub struct Usage {
    /// Resident memory, KiB.
    pub rss_kib: u64,
    /// The most that it ever was, KiB.
    pub peak_kib: u64,
    /// User and system time, seconds.
    pub cpu_s: f64,
}

/// Bytes that went over the loopback interface so far, with their headers, whoever sent them: of one room alone only where nobody else
/// uses it, as in a network namespace of its own.
pub fn loopback_bytes() -> u64 {
    let devices = fs::read_to_string("/proc/self/net/dev").expect("Linux");
    let mut lines = devices.lines();
    let line = lines.find_map(|line| line.trim_start().strip_prefix("lo:"));
    let field = line.and_then(|line| line.split_whitespace().next());
    field
        .and_then(|bytes| bytes.parse().ok())
        .expect("received bytes of lo")
}

impl Usage {
    /// Of a process that runs.
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that runs, on Linux");
        let field = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .expect("a field of /proc/PID/status");
            line.split_whitespace()
                .next()
                .and_then(|number| number.parse().ok())
                .expect("a number of KiB")
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process that runs, on Linux");
        // The name is in parentheses and may hold spaces; the fields after it are counted from there.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<f64>().expect("a number of ticks");
        Self {
            rss_kib: field("VmRSS:"),
            peak_kib: field("VmHWM:"),
            cpu_s: (ticks(11) + ticks(12)) / TICKS,
        }
    }

    /// Counts the most memory anew from now on: a start takes 64 MiB for a moment, for Argon2id.
    pub fn forget_peak(pid: u32) {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a process of ours, on Linux");
    }
}
