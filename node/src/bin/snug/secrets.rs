//! Where secrets come from: a hidden prompt on a terminal, or the first line of a file (`-` is standard input).

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest secret, in bytes: an invite with its addresses stays far below.
const MAX_SECRET: u64 = 16 * 1024;

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

    /// Asks without showing what is typed.
    pub fn hidden(&self, prompt: &str, missing: &str) -> Result<Zeroizing<String>, Failure> {
        self.require(missing)?;
        // Before the prompt is seen: somebody pastes as soon as it is.
        let _hidden = EchoOff::new();
        let answer = rpassword::prompt_password(format!("{prompt}: "))
            .map_err(|error| Failure::usage(format_args!("no answer could be read from the terminal: {error}")))?;
        let answer = Zeroizing::new(answer);
        Ok(Zeroizing::new(answer.trim().to_owned()))
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
