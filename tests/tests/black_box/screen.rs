//! A terminal that a program draws on: a pseudo-terminal, with an emulator that knows what a person would see.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use snug_tests::PATIENCE;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use vt100::{Callbacks, Parser};

/// How much of a log a failure shows.
const LOG_TAIL: usize = 20_000;

/// What the program asked of the terminal besides drawing: anything of it that text from others caused is an attack that worked.
#[derive(Debug, Default)]
pub struct Asked {
    /// Titles, clipboard contents and sequences that the emulator doesn't know.
    pub requests: Vec<String>,
    /// What the terminal has to say in return.
    answers: Vec<u8>,
}

impl Callbacks for Asked {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.requests.push("bell".into());
    }
    fn set_window_title(&mut self, _: &mut vt100::Screen, title: &[u8]) {
        self.requests.push(format!("title {}", String::from_utf8_lossy(title)));
    }
    fn set_window_icon_name(&mut self, _: &mut vt100::Screen, name: &[u8]) {
        self.requests.push(format!("icon {}", String::from_utf8_lossy(name)));
    }
    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        self.requests
            .push(format!("clipboard {}", String::from_utf8_lossy(data)));
    }
    fn paste_from_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8]) {
        self.requests.push("paste".into());
    }
    fn resize(&mut self, _: &mut vt100::Screen, size: (u16, u16)) {
        self.requests.push(format!("resize {size:?}"));
    }
    fn unhandled_csi(&mut self, screen: &mut vt100::Screen, i1: Option<u8>, _: Option<u8>, params: &[&[u16]], c: char) {
        // Where is the cursor? Full-screen programs ask before they draw.
        if c == 'n' && i1.is_none() && params == [[6]] {
            let (row, col) = screen.cursor_position();
            self.answers.extend(format!("\u{1b}[{};{}R", row + 1, col + 1).bytes());
        }
        if matches!(c, 'n' | 'c' | 't') {
            self.requests.push(format!("query {params:?}{c}"));
        }
    }
    fn unhandled_osc(&mut self, _: &mut vt100::Screen, params: &[&[u8]]) {
        self.requests.push(format!("OSC {params:?}"));
    }
}

struct Inner {
    parser: Parser<Asked>,
    raw: Vec<u8>,
    ended: bool,
}

#[derive(Clone)]
struct Shared(Arc<(Mutex<Inner>, Condvar)>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Written to by who types, and by the terminal itself when it is asked something.
type Keyboard = Arc<Mutex<Box<dyn Write + Send>>>;

/// A program on a terminal.
pub struct Terminal {
    name: String,
    master: Box<dyn MasterPty + Send>,
    keyboard: Keyboard,
    child: Box<dyn Child + Send + Sync>,
    shared: Shared,
    /// Whether the terminal takes nothing for now.
    stalled: Arc<AtomicBool>,
    /// Where it logs, if it was asked to.
    log: Option<PathBuf>,
}

impl Terminal {
    /// Starts a program on a terminal of so many rows and columns.
    pub fn start(name: &str, command: &Command, rows: u16, cols: u16) -> Self {
        let pair = native_pty_system()
            .openpty(size(rows, cols))
            .expect("a pseudo-terminal");
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.env_clear();
        for (key, value) in command.get_envs() {
            builder.env(key, value.expect("a test only sets variables"));
        }
        builder.env("TERM", "xterm-256color");
        if let Some(folder) = command.get_current_dir() {
            builder.cwd(folder);
        }
        let child = pair
            .slave
            .spawn_command(builder)
            .unwrap_or_else(|error| panic!("{name}: can't start: {error}"));
        let mut reader = pair.master.try_clone_reader().expect("a terminal can be read");
        let keyboard: Keyboard = Arc::new(Mutex::new(
            pair.master.take_writer().expect("a terminal can be written to"),
        ));
        let parser = Parser::new_with_callbacks(rows, cols, 0, Asked::default());
        let shared = Shared(Arc::new((
            Mutex::new(Inner {
                parser,
                raw: Vec::new(),
                ended: false,
            }),
            Condvar::new(),
        )));
        let (sink, answering) = (shared.clone(), Arc::clone(&keyboard));
        let stalled = Arc::new(AtomicBool::new(false));
        let stall = Arc::clone(&stalled);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            // On Linux reading fails once the program has closed its side.
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                while stall.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                }
                let mut inner = sink.lock();
                inner.parser.process(&buffer[..read]);
                inner.raw.extend_from_slice(&buffer[..read]);
                let answers = std::mem::take(&mut inner.parser.callbacks_mut().answers);
                drop(inner);
                sink.0.1.notify_all();
                if !answers.is_empty() && write(&answering, &answers).is_err() {
                    break;
                }
            }
            sink.lock().ended = true;
            sink.0.1.notify_all();
        });
        Self {
            name: name.to_owned(),
            master: pair.master,
            keyboard,
            child,
            shared,
            stalled,
            log: log_of(command),
        }
    }

    /// Stops taking what the program writes, or goes on with it.
    pub fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Types text, as a keyboard sends it.
    pub fn type_text(&mut self, text: &str) {
        write(&self.keyboard, text.as_bytes()).expect("a terminal takes keys");
    }

    /// Types a line and the Enter key.
    pub fn enter(&mut self, text: &str) {
        self.type_text(&format!("{text}\r"));
    }

    /// Pastes, as a terminal does where the program asked for bracketed paste.
    pub fn paste(&mut self, text: &str) {
        assert!(
            self.shared.lock().parser.screen().bracketed_paste(),
            "{}: no bracketed paste",
            self.name
        );
        self.type_text(&format!("\u{1b}[200~{text}\u{1b}[201~"));
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, rows: u16, cols: u16) {
        self.shared.lock().parser.screen_mut().set_size(rows, cols);
        self.master.resize(size(rows, cols)).expect("a terminal can be resized");
    }

    /// Waits until the screen is one that `test` takes; `what` names it in the failure.
    pub fn wait(&self, what: &str, mut test: impl FnMut(&vt100::Screen) -> bool) {
        self.wait_for(what, |inner| test(inner.parser.screen()));
    }

    fn wait_for(&self, what: &str, mut test: impl FnMut(&Inner) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut inner = self.shared.lock();
        while !test(&inner) {
            let left = end.saturating_duration_since(Instant::now());
            if inner.ended || left.is_zero() {
                let why = if inner.ended { "it ended" } else { "too long" };
                drop(inner);
                panic!("{}: {what} never showed ({why}):\n{}", self.name, self.picture());
            }
            inner = self
                .shared
                .0
                .1
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until this text stands on the screen, in one row.
    pub fn shows(&self, text: &str) {
        self.wait(&format!("{text:?}"), |screen| {
            rows(screen).iter().any(|row| row.contains(text))
        });
    }

    /// Waits until the program has written this text so many times, whatever the screen shows of it.
    pub fn has_written(&self, text: &str, times: usize) {
        self.wait_for(&format!("{text:?}, {times} times,"), |inner| {
            inner
                .raw
                .windows(text.len())
                .filter(|window| *window == text.as_bytes())
                .count()
                >= times
        });
    }

    /// Waits until what is typed is no longer echoed: a person takes longer to begin than a program to hide it.
    pub fn hides_what_is_typed(&self) {
        let tty = self.master.tty_name().expect("a terminal has a name");
        let end = Instant::now() + PATIENCE;
        loop {
            let state = Command::new("stty")
                .arg("-a")
                .arg("-F")
                .arg(&tty)
                .output()
                .expect("stty looks at a terminal");
            if String::from_utf8_lossy(&state.stdout)
                .split_whitespace()
                .any(|flag| flag == "-echo")
            {
                return;
            }
            assert!(Instant::now() < end, "{}: still echoes:\n{}", self.name, self.picture());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The screen's rows, as text.
    pub fn rows(&self) -> Vec<String> {
        rows(self.shared.lock().parser.screen())
    }

    /// Looks at the screen as it is.
    pub fn look<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.shared.lock().parser.screen())
    }

    /// All bytes that the program sent to the terminal.
    pub fn raw(&self) -> Vec<u8> {
        self.shared.lock().raw.clone()
    }

    /// What it asked of the terminal besides drawing.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().parser.callbacks().requests.clone()
    }

    /// Waits for the program's end, and for all that it drew, and gives its exit status.
    pub fn exit_code(&mut self) -> u32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                // What it drew last may still be on its way here.
                while !self.shared.lock().ended && Instant::now() < end {
                    thread::sleep(Duration::from_millis(10));
                }
                return status.exit_code();
            }
            assert!(Instant::now() < end, "{}: still runs:\n{}", self.name, self.picture());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The screen, for a failure's text.
    pub fn picture(&self) -> String {
        let mut picture = String::new();
        for row in self.rows() {
            let _ = writeln!(picture, "|{row}");
        }
        picture
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.stall(false);
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("--- {}'s screen:\n{}", self.name, self.picture());
            if let Some(log) = self.log.as_ref().and_then(|path| std::fs::read(path).ok()) {
                let tail = &log[log.len().saturating_sub(LOG_TAIL)..];
                eprintln!("--- and its log:\n{}", String::from_utf8_lossy(tail));
            }
        }
    }
}

/// Where the full screen's log is, beside which nothing else can be written.
fn log_of(command: &Command) -> Option<PathBuf> {
    let mut set = command.get_envs();
    let data = set.find_map(|(key, value)| (key == "SNUG_DATA_DIR").then_some(value)?)?;
    Some(PathBuf::from(data).join("snug.log"))
}

fn write(keyboard: &Keyboard, bytes: &[u8]) -> std::io::Result<()> {
    let mut keyboard = keyboard.lock().unwrap_or_else(PoisonError::into_inner);
    keyboard.write_all(bytes).and_then(|()| keyboard.flush())
}

fn rows(screen: &vt100::Screen) -> Vec<String> {
    let (_, cols) = screen.size();
    screen.rows(0, cols).collect()
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}
