//! How a command fails: what happened, what to do about it, and the exit status that scripts see.

use std::fmt::Display;

/// Exit statuses (the same table stands in the help and the manual page).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and didn't work.
    Failed = 1,
    /// The command line, a file it names or an answer to a prompt is wrong or missing.
    Usage = 2,
    /// Wrong Room Key or Password, or no such room: the rendezvous can't tell these apart for us.
    Credentials = 3,
    /// The rendezvous or the peers can't be reached.
    Unreachable = 4,
    /// The room is gone for us.
    Gone = 5,
}

/// A failed command. Neither text ever holds a secret, and text from outside has been made safe for a terminal.
#[derive(Debug)]
pub struct Failure {
    /// Status to end with.
    pub exit: Exit,
    /// What happened.
    pub what: String,
    /// What to do next.
    pub help: Option<String>,
}

impl Failure {
    /// A failure with its status.
    pub fn new(exit: Exit, what: impl Display) -> Self {
        Self {
            exit,
            what: what.to_string(),
            help: None,
        }
    }

    /// Something is wrong with what the user gave.
    pub fn usage(what: impl Display) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// It was tried and didn't work.
    pub fn failed(what: impl Display) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// Says what to do next.
    pub fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// What is written to standard error. The first line always starts with `error: `.
    pub fn report(&self) -> String {
        match &self.help {
            Some(help) => format!("error: {}\n  help: {help}\n", self.what),
            None => format!("error: {}\n", self.what),
        }
    }
}
