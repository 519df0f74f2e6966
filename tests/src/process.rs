//! A program that runs, with all it printed and an end that is certain: it is killed, by its pid, when dropped.

use crate::PATIENCE;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a wait looks whether the program has ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long the end of an ended program's output is waited for: something that it started may hold its pipes.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// A line of standard output.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it had been read whole.
    pub at: Instant,
    /// Without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

#[derive(Debug, Default)]
struct Transcript {
    lines: Vec<Line>,
    stdout_ended: bool,
    stderr_ended: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

#[derive(Debug, Default)]
struct Shared {
    transcript: Mutex<Transcript>,
    grown: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Transcript> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Transcript)) {
        change(&mut self.lock());
        self.grown.notify_all();
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    shared: Arc<Shared>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts it; `name` is what failures call it.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Self {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: can't start {:?}: {error}", command.get_program()));
        let shared = Arc::new(Shared::default());
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || read_lines(BufReader::new(stdout), &shared));
        }
        if let Some(stderr) = child.stderr.take() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || read_errors(stderr, &shared));
        }
        Self {
            name,
            child,
            stdin,
            shared,
            status: None,
        }
    }

    /// What it is called in failures.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All memory that it could read itself: what a core dump of it would hold.
    pub fn memory(&self) -> Vec<u8> {
        let of = |file: &str| format!("/proc/{}/{file}", self.pid());
        let maps = std::fs::read_to_string(of("maps")).expect("it runs");
        let memory = File::open(of("mem")).expect("a process of ours");
        let mut dump = Vec::new();
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, mode) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let bounds = range.split_once('-').map(|(from, to)| (address(from), address(to)));
            let (from, to) = bounds.unwrap_or_else(|| panic!("not a mapping: {line}"));
            if !mode.starts_with('r') {
                continue;
            }
            let mut bytes = vec![0; usize::try_from(to - from).expect("memory that fits into memory")];
            // The kernel's own pages can't be read this way.
            if memory.read_exact_at(&mut bytes, from).is_ok() {
                dump.append(&mut bytes);
            }
        }
        dump
    }

    /// How many lines it has printed.
    pub fn mark(&self) -> usize {
        self.shared.lock().lines.len()
    }

    /// The lines printed since a mark.
    pub fn lines_since(&self, mark: usize) -> Vec<Line> {
        self.shared.lock().lines[mark..].to_vec()
    }

    /// All bytes of standard output.
    pub fn stdout(&self) -> Vec<u8> {
        self.shared.lock().stdout.clone()
    }

    /// All it wrote to standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().stderr).into_owned()
    }

    /// Waits until a line at or after `mark` is one that `pick` takes; `what` names it in the failure.
    pub fn wait_line<T>(&self, what: &str, mark: usize, pick: impl FnMut(&Line) -> Option<T>) -> T {
        self.wait_line_within(PATIENCE, what, mark, pick)
    }

    /// The same with a bound of its own.
    pub fn wait_line_within<T>(
        &self,
        bound: Duration,
        what: &str,
        mark: usize,
        mut pick: impl FnMut(&Line) -> Option<T>,
    ) -> T {
        let end = Instant::now() + bound;
        let mut next = mark;
        let mut transcript = self.shared.lock();
        loop {
            while let Some(line) = transcript.lines.get(next) {
                if let Some(found) = pick(line) {
                    return found;
                }
                next += 1;
            }
            let left = end.saturating_duration_since(Instant::now());
            if transcript.stdout_ended || left.is_zero() {
                let why = if transcript.stdout_ended {
                    "it ended"
                } else {
                    "too long"
                };
                drop(transcript);
                panic!("{}: no {what} within {bound:?} ({why})\n{}", self.name, self.describe());
            }
            transcript = self
                .shared
                .grown
                .wait_timeout(transcript, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Writes a line to its standard input.
    pub fn write_line(&mut self, line: &str) {
        self.try_write_line(line).unwrap_or_else(|error| {
            panic!(
                "{}: can't write to its standard input: {error}\n{}",
                self.name,
                self.describe()
            )
        });
    }

    /// The same for a program that may have ended.
    pub fn try_write_line(&mut self, line: &str) -> std::io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        stdin.write_all(format!("{line}\n").as_bytes())?;
        stdin.flush()
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal by name, such as `INT`.
    pub fn signal(&mut self, signal: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.pid().to_string())
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "{}: can't send SIG{signal}",
            self.name
        );
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.wait();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.status.is_none() && matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_within(PATIENCE)
    }

    /// The same with a bound of its own.
    pub fn wait_within(&mut self, bound: Duration) -> ExitStatus {
        let end = Instant::now() + bound;
        while self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be waited for");
            if self.status.is_none() {
                assert!(
                    Instant::now() < end,
                    "{}: still runs after {bound:?}\n{}",
                    self.name,
                    self.describe()
                );
                thread::sleep(LOOK);
            }
        }
        self.drain();
        self.status.expect("just set")
    }

    /// Waits for the last of what an ended program printed: its pipes end with it, or a moment after.
    fn drain(&self) {
        let mut transcript = self.shared.lock();
        let end = Instant::now() + LAST_WORDS;
        while !(transcript.stdout_ended && transcript.stderr_ended) && Instant::now() < end {
            let (shared, grown) = (transcript, &self.shared.grown);
            transcript = (grown.wait_timeout(shared, LOOK).unwrap_or_else(PoisonError::into_inner)).0;
        }
    }

    /// Waits for its end and takes the exit status, which a signal does not give.
    pub fn exit_code(&mut self) -> i32 {
        let status = self.wait();
        status
            .code()
            .unwrap_or_else(|| panic!("{}: ended by a signal: {status}\n{}", self.name, self.describe()))
    }

    /// What it printed last, for a failure's text.
    pub fn describe(&self) -> String {
        let transcript = self.shared.lock();
        let tail = |bytes: &[u8]| {
            let from = bytes.len().saturating_sub(6_000);
            String::from_utf8_lossy(&bytes[from..]).into_owned()
        };
        format!(
            "--- {} printed:\n{}\n--- and to standard error:\n{}\n---",
            self.name,
            tail(&transcript.stdout),
            tail(&transcript.stderr)
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("{}", self.describe());
        }
    }
}

/// Runs a program to its end with this standard input.
pub fn run(name: &str, command: &mut Command, input: &str) -> Output {
    let mut process = Process::start(name, command);
    if !input.is_empty() {
        // A program that refuses its arguments may be gone before it reads.
        let _ = process.try_write_line(input.trim_end_matches('\n'));
    }
    process.close_stdin();
    let status = process.wait();
    let transcript = process.shared.lock();
    Output {
        status,
        stdout: transcript.stdout.clone(),
        stderr: transcript.stderr.clone(),
    }
}

fn read_lines(mut from: impl BufRead, shared: &Shared) {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let at = Instant::now();
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
        shared.change(|transcript| {
            transcript.stdout.extend_from_slice(&line);
            transcript.lines.push(Line { at, text });
        });
        line.clear();
    }
    shared.change(|transcript| transcript.stdout_ended = true);
}

fn read_errors(mut from: impl Read, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        shared.change(|transcript| transcript.stderr.extend_from_slice(&buffer[..read]));
    }
    shared.change(|transcript| transcript.stderr_ended = true);
}

/// An address as the kernel prints it.
fn address(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap_or_else(|error| panic!("{hex}: {error}"))
}
