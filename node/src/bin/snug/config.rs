//! The configuration file (TOML) and the folders of this user.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::Deserialize;

use crate::cli::{Color, EnterArgs, ProfileArgs, ServerArgs};
use crate::failure::Failure;

/// Largest configuration file, in bytes.
const MAX_CONFIG: u64 = 64 * 1024;

/// What the configuration file may set; each stands below its flag and environment variable.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    server: Option<String>,
    name: Option<String>,
    profile: Option<String>,
    data_dir: Option<PathBuf>,
    #[serde(default)]
    listen: Vec<String>,
    mdns: Option<bool>,
    relay: Option<bool>,
    relay_for_members: Option<bool>,
    upnp: Option<bool>,
    color: Option<Color>,
    read_receipts: Option<bool>,
}

impl Config {
    /// Reads `path`, or the user's own file if there is one.
    pub fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return match default_path() {
                Some(path) if path.exists() => Self::read(&path),
                _ => Ok(Self::default()),
            };
        };
        Self::read(path)
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let large = std::fs::metadata(path).is_ok_and(|m| m.len() > MAX_CONFIG);
        if large {
            return Err(Failure::usage(format_args!(
                "the configuration file {shown} is over 64 KiB"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::usage(format_args!("there is no configuration file {shown}")),
            _ => Failure::usage(format_args!("the configuration file {shown} can't be read: {error}")),
        })?;
        Self::parse(&text).map_err(|error| {
            Failure::usage(format_args!("the configuration file {shown} is wrong: {error}"))
                .help("it may set server, name, profile, data-dir, listen, mdns, relay, relay-for-members, upnp, color and read-receipts")
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            // Without the excerpt of the file: somebody may have put a secret there.
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let message = error.message().lines().next().unwrap_or_default();
            line.map_or_else(|| message.to_owned(), |line| format!("{message} (line {line})"))
        })
    }

    /// Server from the flag, else from the invite, the environment, or the file: who pastes an invite means its server.
    pub fn server(&self, args: &ServerArgs, invite: Option<&str>) -> Option<String> {
        let environment = || std::env::var("SNUG_SERVER").ok().filter(|url| !url.is_empty());
        let given = args.server.clone().or_else(|| invite.map(str::to_owned));
        given.or_else(environment).or_else(|| self.server.clone())
    }

    /// Name in rooms.
    pub fn name<'a>(&'a self, args: &'a EnterArgs) -> Option<&'a str> {
        args.name
            .as_deref()
            .filter(|name| !name.is_empty())
            .or(self.name.as_deref())
    }

    /// Whether others are told what the user has read.
    pub fn read_receipts(&self, args: &EnterArgs) -> bool {
        !args.no_read_receipts && self.read_receipts.unwrap_or(true)
    }

    /// Addresses to listen on for members.
    pub fn listen<'a>(&'a self, args: &'a EnterArgs) -> &'a [String] {
        // An empty variable is as good as none.
        if args.listen.iter().all(String::is_empty) {
            &self.listen
        } else {
            &args.listen
        }
    }

    /// Whether to look for members on the local network.
    pub fn mdns(&self, args: &EnterArgs) -> bool {
        !args.no_mdns && self.mdns.unwrap_or(true)
    }

    /// Whether relays are used.
    pub fn relay(&self, args: &EnterArgs) -> bool {
        !args.no_relay && self.relay.unwrap_or(true)
    }

    /// Whether this node relays for members who can't reach each other.
    pub fn relay_for_members(&self, args: &EnterArgs) -> bool {
        !args.no_relay_for_members && self.relay_for_members.unwrap_or(true)
    }

    /// Whether the router is asked to open a port.
    pub fn upnp(&self, args: &EnterArgs) -> bool {
        !args.no_upnp && self.upnp.unwrap_or(true)
    }

    /// Name of the profile.
    pub fn profile<'a>(&'a self, args: &'a ProfileArgs) -> &'a str {
        args.profile.as_deref().or(self.profile.as_deref()).unwrap_or("default")
    }

    /// The data folder.
    pub fn data_dir(&self, args: &ProfileArgs) -> Result<PathBuf, Failure> {
        let given = args.data_dir.clone().or_else(|| self.data_dir.clone());
        given
            .or_else(|| {
                etcetera::choose_base_strategy()
                    .ok()
                    .map(|dirs| dirs.data_dir().join("snug"))
            })
            .ok_or_else(|| {
                Failure::usage("no home folder is known for this account").help("name a data folder with --data-dir")
            })
    }

    /// When to use colour: the flag, then NO_COLOR, then the file.
    pub fn color(&self, flag: Option<Color>) -> Color {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        flag.or(no_color.then_some(Color::Never))
            .or(self.color)
            .unwrap_or(Color::Auto)
    }
}

fn default_path() -> Option<PathBuf> {
    Some(
        etcetera::choose_base_strategy()
            .ok()?
            .config_dir()
            .join("snug")
            .join("config.toml"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_what_flags_leave_open() {
        let config = Config::parse("server = \"https://a.example\"\ndata-dir = \"/tmp/x\"\ncolor = \"never\"").unwrap();
        let flag = ServerArgs {
            server: Some("https://b.example".into()),
        };
        let invite = Some("https://c.example");
        assert_eq!(config.server(&flag, invite).as_deref(), Some("https://b.example"));
        assert_eq!(config.server(&ServerArgs { server: None }, invite).as_deref(), invite);
        assert_eq!(
            config.server(&ServerArgs { server: None }, None).as_deref(),
            Some("https://a.example")
        );
        let profile = ProfileArgs {
            profile: None,
            data_dir: None,
            passphrase_file: None,
        };
        assert_eq!(config.profile(&profile), "default");
        assert_eq!(config.data_dir(&profile).unwrap(), Path::new("/tmp/x"));
        assert_eq!(config.color(Some(Color::Always)), Color::Always);
    }

    #[test]
    fn a_wrong_file_is_told_by_line_without_its_text() {
        let error = Config::parse("name = \"a\"\npassword = \"hunter22hunter\"").unwrap_err();
        assert!(error.contains("password") && error.contains("line 2"), "{error}");
        assert!(!error.contains("hunter22"), "{error}");
    }
}
