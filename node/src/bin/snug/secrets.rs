//! Where secrets come from: a hidden prompt on a terminal, or the first line of a file (`-` is standard input). An invite goes on for as
//! many lines as it was wrapped into.

pub mod invite;

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest secret, in bytes: an invite with its addresses stays far below.
const MAX_SECRET: u64 = 16 * 1024;
/// How often a wrong answer can be given again.
const TRIES: usize = 3;

/// Asks on the terminal, where there is one. All prompts go to standard error: standard output is for results.
pub struct Prompter {
    interactive: bool,
}

impl Prompter {
    /// Interactive where standard input and standard error are terminals, and the front end isn't for programs.
    pub fn new(for_programs: bool) -> Self {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Self {
            interactive: terminal && !for_programs,
        }
    }

    /// Whether anything can be asked.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Asks for a line in the open; an empty answer is `default`. `missing` says which flag gives it instead.
    pub fn line(&self, prompt: &str, default: Option<&str>, missing: &str) -> Result<String, Failure> {
        self.require(missing)?;
        let mut stderr = std::io::stderr().lock();
        let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        let asked = write!(stderr, "{prompt}{shown}: ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = asked.and_then(|()| std::io::stdin().lock().take(MAX_SECRET).read_line(&mut answer));
        match read {
            Ok(0) => Err(Failure::usage("no answer: the terminal was closed")),
            Ok(_) if answer.trim().is_empty() => Ok(default.unwrap_or_default().to_owned()),
            Ok(_) => Ok(answer.trim().to_owned()),
            Err(error) => Err(Failure::failed(format_args!("the terminal can't be read: {error}"))),
        }
    }

    /// [`Self::line`], understood; what can't be is asked for again, a few times.
    pub fn line_as<T>(
        &self,
        prompt: &str,
        default: Option<&str>,
        missing: &str,
        parse: impl Fn(&str) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        again(|| Ok(parse(&self.line(prompt, default, missing)?)))
    }

    /// Asks without showing what is typed.
    pub fn hidden(&self, prompt: &str, missing: &str) -> Result<Zeroizing<String>, Failure> {
        self.require(missing)?;
        // Before the prompt is seen: somebody pastes as soon as it is. What else they pasted goes unseen.
        let _hidden = EchoOff::new();
        ask(&format!("{prompt}: "))
    }

    /// [`Self::hidden`], understood; what can't be is asked for again, a few times.
    pub fn hidden_as<T>(
        &self,
        prompt: &str,
        missing: &str,
        parse: impl Fn(&str) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        again(|| Ok(parse(&self.hidden(prompt, missing)?)))
    }

    /// The same for what may be an invite: if a line break cut it, the lines that follow belong to it.
    pub fn hidden_invite_as<T>(
        &self,
        prompt: &str,
        missing: &str,
        parse: impl Fn(&str) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        again(|| {
            self.require(missing)?;
            let _hidden = EchoOff::new();
            let first = ask(&format!("{prompt}: "))?;
            let mut prompt = "The invite goes on. Its next lines (not shown; an empty one ends it): ";
            let text = invite::gather(&first, || ask(std::mem::take(&mut prompt)).map(Some))?;
            Ok(parse(&text))
        })
    }

    fn require(&self, missing: &str) -> Result<(), Failure> {
        if self.interactive {
            return Ok(());
        }
        Err(Failure::usage(format_args!(
            "{missing} is missing, and there is no terminal to ask on"
        )))
    }
}

/// Asks until the answer is understood, a few times. An answer that can't be had at all is asked for once.
fn again<T>(mut ask: impl FnMut() -> Result<Result<T, Failure>, Failure>) -> Result<T, Failure> {
    for _ in 1..TRIES {
        match ask()? {
            Ok(answer) => return Ok(answer),
            Err(failure) => eprint!("{}", failure.report()),
        }
    }
    ask()?
}

/// One line from the terminal, trimmed. The caller has turned its echo off.
fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let answer = rpassword::prompt_password(prompt)
        .map_err(|error| Failure::usage(format_args!("no answer could be read from the terminal: {error}")))?;
    let answer = Zeroizing::new(answer);
    Ok(Zeroizing::new(answer.trim().to_owned()))
}

/// The terminal without echo, until this is dropped. Where that fails, rpassword's own attempt follows, and says why.
#[cfg(unix)]
struct EchoOff(Option<(std::fs::File, rustix::termios::Termios)>);

#[cfg(unix)]
impl EchoOff {
    fn new() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let Ok(terminal) = std::fs::File::options().read(true).write(true).open("/dev/tty") else {
            return Self(None);
        };
        let Ok(before) = tcgetattr(&terminal) else {
            return Self(None);
        };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        let changed = tcsetattr(&terminal, OptionalActions::Now, &quiet);
        Self(changed.is_ok().then_some((terminal, before)))
    }
}

#[cfg(unix)]
impl Drop for EchoOff {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.0 {
            // More lines than were asked for may be more of a secret: neither the screen nor a shell may get them.
            let _ = rustix::termios::tcflush(terminal, rustix::termios::QueueSelector::IFlush);
            // A terminal that is gone needs no echo.
            let _ = rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, before);
        }
    }
}

/// Elsewhere rpassword does it alone.
#[cfg(not(unix))]
struct EchoOff;

#[cfg(not(unix))]
impl EchoOff {
    fn new() -> Self {
        Self
    }
}

/// Refuses a second `-`: standard input has one first line.
pub fn check_one_stdin(files: &[&Option<PathBuf>]) -> Result<(), Failure> {
    let from_stdin = files
        .iter()
        .filter(|file| file.as_deref() == Some(Path::new("-")))
        .count();
    if from_stdin > 1 {
        return Err(Failure::usage("only one file can be - (standard input)").help("put the others into files"));
    }
    Ok(())
}

/// The first line of `path`, without the line end and white space around it. `what` names it in errors.
pub fn from_file(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    let secret = line_from_file(path, what)?;
    if secret.is_empty() {
        return Err(Failure::usage(format_args!(
            "{} is empty: {what} was expected on its first line",
            path.display()
        )));
    }
    Ok(secret)
}

/// The same, where an empty line means something.
pub fn line_from_file(path: &Path, what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    let shown = path.display();
    let read = if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            return Err(
                Failure::usage(format_args!("{what} would show on the terminal as you type it"))
                    .help("leave the flag out to be asked without showing it, or name a file"),
            );
        }
        // The lock's buffer is the process's own: what follows the line is left for the front end.
        std::io::stdin().lock().take(MAX_SECRET + 1).read_line(&mut line)
    } else {
        std::fs::File::open(path)
            .inspect(|file| warn_if_shared(file, path))
            .and_then(|file| std::io::BufReader::new(file.take(MAX_SECRET + 1)).read_line(&mut line))
    };
    read.map_err(|error| Failure::usage(format_args!("{what} can't be read from {shown}: {error}")))?;
    if line.len() as u64 > MAX_SECRET {
        return Err(Failure::usage(format_args!(
            "the first line of {shown} is over 16 KiB: that can't be {what}"
        )));
    }
    Ok(Zeroizing::new(line.trim().to_owned()))
}

/// An invite from `path`: all of it, however it was wrapped. From standard input no line more than it has is taken.
pub fn invite_from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let what = "the invite";
    if path == Path::new("-") {
        let first = from_file(path, what)?;
        return invite::gather(&first, || {
            let line = line_from_file(path, what)?;
            Ok(Some(line))
        });
    }
    let shown = path.display();
    let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET as usize + 1));
    std::fs::File::open(path)
        .inspect(|file| warn_if_shared(file, path))
        .and_then(|file| file.take(MAX_SECRET + 1).read_to_string(&mut text))
        .map_err(|error| Failure::usage(format_args!("{what} can't be read from {shown}: {error}")))?;
    if text.len() as u64 > MAX_SECRET {
        return Err(Failure::usage(format_args!(
            "{shown} is over 16 KiB: that can't be {what}"
        )));
    }
    if text.trim().is_empty() {
        return Err(Failure::usage(format_args!(
            "{shown} is empty: {what} was expected in it"
        )));
    }
    Ok(text)
}

/// Says so if other accounts on this machine can read the file.
#[cfg(unix)]
fn warn_if_shared(file: &std::fs::File, path: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let shared = file.metadata().is_ok_and(|m| m.is_file() && m.mode() & 0o077 != 0);
    if shared {
        let path = path.display();
        eprintln!("warning: other accounts on this machine can read {path}; chmod 600 keeps it to you");
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &std::fs::File, _: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_first_line_trimmed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "  correct horse \r\nsecond\n").unwrap();
        assert_eq!(
            from_file(file.path(), "the Room Key").unwrap().as_str(),
            "correct horse"
        );
        std::fs::write(file.path(), "\n\n").unwrap();
        let failure = from_file(file.path(), "the Room Key").unwrap_err();
        assert!(failure.what.contains("is empty"), "{}", failure.what);
        std::fs::write(file.path(), vec![b'x'; 100_000]).unwrap();
        let failure = from_file(file.path(), "the Room Key").unwrap_err();
        assert!(
            failure.what.contains("over 16 KiB") && !failure.what.contains("xx"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn an_invite_in_a_file_may_be_wrapped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\nsnug1qqq\r\n  qqq\n").unwrap();
        assert_eq!(invite_from_file(file.path()).unwrap().split_whitespace().count(), 2);
        for (bad, told) in [(" \n\n".to_owned(), "is empty"), ("q\n".repeat(9_000), "over 16 KiB")] {
            std::fs::write(file.path(), bad).unwrap();
            assert!(invite_from_file(file.path()).unwrap_err().what.contains(told));
        }
    }

    #[test]
    fn a_wrong_answer_can_be_given_again_and_not_for_ever() {
        let mut answers = ["a", "b", "3"].into_iter();
        let parse = |text: &str| text.parse::<u32>().map_err(Failure::usage);
        assert_eq!(again(|| Ok(parse(answers.next().unwrap()))).unwrap(), 3);
        let mut asked = 0;
        let never: Result<u32, Failure> = again(|| {
            asked += 1;
            Ok(parse("a"))
        });
        assert!(never.is_err());
        assert_eq!(asked, TRIES);
        let mut asked = 0;
        let closed: Result<u32, Failure> = again(|| {
            asked += 1;
            Err(Failure::usage("the terminal was closed"))
        });
        assert!(closed.is_err());
        assert_eq!(asked, 1);
    }

    #[test]
    fn standard_input_is_taken_once() {
        let dash = Some(PathBuf::from("-"));
        assert!(check_one_stdin(&[&dash, &None, &Some("file".into())]).is_ok());
        assert!(check_one_stdin(&[&dash, &None, &dash]).is_err());
    }

    #[test]
    fn what_is_missing_without_a_terminal_is_a_usage_error() {
        let prompter = Prompter { interactive: false };
        let failure = prompter
            .hidden("Room Key", "the Room Key (--room-key-file)")
            .unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::Usage);
        assert!(failure.what.contains("--room-key-file"));
    }
}
