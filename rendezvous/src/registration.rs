//! Registration tokens: what a host hands to those who may make rooms.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Shortest token: with fewer characters it could be guessed.
const MIN_TOKEN: usize = 16;
/// Longest token: it has to fit a header.
const MAX_TOKEN: usize = 256;
/// Most tokens in a file: each is compared at each registration.
const MAX_TOKENS: usize = 1000;
/// Largest file, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The tokens that are good. Never shown.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<Vec<Zeroizing<String>>>);

impl Tokens {
    /// Reads a file with one token a line; empty lines and those that begin with `#` don't count. Nobody else may read it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("it is no regular file".to_owned());
        }
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
            if mode & 0o007 != 0 {
                return Err(format!(
                    "everybody on this machine can read it (mode {mode:04o}): chmod 600"
                ));
            }
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE)
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !(MIN_TOKEN..=MAX_TOKEN).contains(&line.len()) || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "line {}: a token has {MIN_TOKEN} to {MAX_TOKEN} visible ASCII characters without spaces; \
                     make one with `openssl rand -hex 16`",
                    at + 1
                ));
            }
            tokens.push(Zeroizing::new(line.to_owned()));
        }
        match tokens.len() {
            0 => Err("it holds no token: write one a line, or set registration to \"closed\"".to_owned()),
            1..=MAX_TOKENS => Ok(Self(Arc::new(tokens))),
            more => Err(format!("it holds {more} tokens, and {MAX_TOKENS} is the most")),
        }
    }

    /// Whether it is one of them; takes as long for every token of a length.
    pub fn contain(&self, token: &str) -> bool {
        let found = self.0.iter().fold(Choice::from(0), |found, known| {
            found | known.as_bytes().ct_eq(token.as_bytes())
        });
        found.into()
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(tokens) = self;
        write!(f, "Tokens({} of them)", tokens.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tokens_is_read_and_a_wrong_line_is_named_without_its_text() {
        let tokens = Tokens::parse("# friends\n0123456789abcdef\n\n  another-token-of-ours  \n").unwrap();
        assert!(tokens.contain("0123456789abcdef") && tokens.contain("another-token-of-ours"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdef ",
            "# friends",
            "0123456789ABCDEF",
        ] {
            assert!(!tokens.contain(wrong), "{wrong}");
        }
        let error = Tokens::parse("0123456789abcdef\nhunter2hunter2 hunter2").unwrap_err();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        assert!(Tokens::parse("# none\n").unwrap_err().contains("no token"));
        assert!(Tokens::parse("short").unwrap_err().contains("line 1"));
        assert_eq!(format!("{tokens:?}"), "Tokens(2 of them)");
    }
}
