//! The settings of `snug-rendezvous`, each declared once in `table`: its key in the file, and with it the flag and the
//! environment variable, its text, what it sets and how it is shown. Flags win over the environment, that over the file, that
//! over the defaults.

mod example;
mod file;
mod table;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use self::example::example;
use super::{Acme, Config, TlsFiles, default_data_dir};
use crate::relay::RelayListen;

/// One setting.
pub struct Setting {
    /// Its key in the file: `listen`, or `limits.connections` for `connections` below `[limits]`.
    pub key: &'static str,
    /// What its values are like.
    pub kind: Kind,
    /// What stands for a value in help texts.
    pub value_name: &'static str,
    /// What it is, in a sentence or two.
    pub help: &'static str,
    /// Its default in words, where that is no value; else empty.
    pub default: &'static str,
    /// A value to show in the example file, for a setting without a default value.
    pub example: &'static str,
    /// Whether a reload applies it; else it needs a new start.
    pub reloads: bool,
    /// Whether its value may be a secret: never shown, not even in help texts.
    pub secret: bool,
    set: fn(&mut Draft, &[String], &Path) -> Result<(), String>,
    show: fn(&Draft) -> Vec<String>,
}

/// What the values of a setting are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Strings; separated by commas in flags and variables.
    List,
}

impl Setting {
    /// All of them, in the order of the example file.
    #[must_use]
    pub fn all() -> &'static [Self] {
        table::SETTINGS
    }

    /// `--limits-connections`, without the dashes before it.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// `SNUG_RENDEZVOUS_LIMITS_CONNECTIONS`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{ENVIRONMENT}{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// The part of the file that it stands in: `limits`, or nothing.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// Its default as it stands in the file, or `None` if that is no value.
    #[must_use]
    pub fn default_value(&self) -> Option<String> {
        let shown = (self.show)(&Draft::default());
        let is_empty_list = self.kind == Kind::List && self.default.is_empty();
        (is_empty_list || !shown.is_empty()).then(|| self.written(&shown))
    }

    fn written(&self, values: &[String]) -> String {
        match (self.kind, values) {
            (Kind::List, []) if !self.default.is_empty() => String::new(),
            (Kind::List, values) => format!(
                "[{}]",
                values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")
            ),
            (Kind::Text, [value]) => quoted(value),
            (_, [value]) => value.clone(),
            _ => String::new(),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What every variable of ours begins with.
pub const ENVIRONMENT: &str = "SNUG_RENDEZVOUS_";

/// A configuration on its way: what belongs together may still be half given.
#[derive(Default)]
pub(crate) struct Draft {
    config: Option<Config>,
    data_dir: Option<PathBuf>,
    admin_listen: AdminListen,
    registration: RegistrationMode,
    token_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    acme: Option<Acme>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum RegistrationMode {
    #[default]
    Open,
    Closed,
    Token,
}

/// Where the admin listener is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminListen {
    /// At its usual place, if that is free.
    #[default]
    IfFree,
    /// Nowhere.
    Nowhere,
    /// There, or the server does not start.
    At(std::net::SocketAddr),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// The variable.
    Environment,
    /// The flag.
    Flag,
}

/// What is wrong with what was given, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    place: String,
    what: String,
}

impl Mistake {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what } = self;
        write!(f, "{place}: {what}")
    }
}

/// What was said on the command line; file and environment are read when it is resolved, so that it can be resolved again.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Settings, by their place in [`Setting::all`], with their text.
    pub flags: Vec<(usize, OsString)>,
}

/// The outcome.
pub struct Resolved {
    /// The configuration.
    pub config: Config,
    /// Where the admin listener is wanted; `config` has none yet.
    pub admin_listen: AdminListen,
    /// Oddities that are no mistakes.
    pub warnings: Vec<String>,
    shown: Vec<(String, Source)>,
}

/// What one source says of one setting.
struct Said {
    values: Vec<String>,
    source: Source,
}

impl Given {
    /// Takes everything together.
    ///
    /// # Errors
    /// All mistakes that there are.
    pub fn resolve(&self, variables: impl Fn(&str) -> Option<OsString>) -> Result<Resolved, Vec<Mistake>> {
        let settings = Setting::all();
        let mut mistakes = Vec::new();
        let mut said: Vec<Option<Said>> = settings.iter().map(|_| None).collect();
        if let Some(path) = &self.file {
            match file::read(path) {
                Ok(found) => found.into_iter().for_each(|(at, values, line)| {
                    said[at] = Some(Said {
                        values,
                        source: Source::File(path.clone(), line),
                    });
                }),
                Err(found) => mistakes.extend(found),
            }
        }
        for (at, setting) in settings.iter().enumerate() {
            let flag = self.flags.iter().rev().find(|(of, _)| *of == at);
            let variable = || variables(&setting.variable()).filter(|value| !value.is_empty());
            let (text, source) = match flag {
                Some((_, text)) => (text.clone(), Source::Flag),
                None => match variable() {
                    Some(text) => (text, Source::Environment),
                    None => continue,
                },
            };
            match text.into_string() {
                Ok(text) => {
                    let values = match setting.kind {
                        Kind::List => values::list(&text),
                        _ => vec![text],
                    };
                    said[at] = Some(Said { values, source });
                }
                Err(_) => mistakes.push(Mistake::new(setting.place(&source), "the value is no UTF-8 text")),
            }
        }
        let mut draft = Draft::default();
        for (setting, said) in settings.iter().zip(&said) {
            let Some(Said { values, source }) = said else { continue };
            let base = match source {
                Source::File(path, _) => path.parent().unwrap_or(Path::new("")),
                _ => Path::new(""),
            };
            if let Err(what) = (setting.set)(&mut draft, values, base) {
                mistakes.push(Mistake::new(setting.place(source), what));
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let shown = settings.iter().zip(said).map(|(setting, said)| {
            let text = setting.written(&(setting.show)(&draft));
            (text, said.map_or(Source::Default, |said| said.source))
        });
        let shown = shown.collect();
        let (config, admin_listen, warnings) = draft.finish()?;
        Ok(Resolved {
            config,
            admin_listen,
            warnings,
            shown,
        })
    }
}

impl Setting {
    /// Where a value stands, for people.
    fn place(&self, source: &Source) -> String {
        match source {
            Source::Default => format!("the default of {}", self.key),
            Source::File(path, line) => format!("{}:{line}: {}", path.display(), self.key),
            Source::Environment => self.variable(),
            Source::Flag => format!("--{}", self.flag()),
        }
    }
}

impl Draft {
    fn config(&mut self) -> &mut Config {
        self.config.get_or_insert_with(program_defaults)
    }

    fn peek<T>(&self, look: impl FnOnce(&Config) -> T) -> T {
        match &self.config {
            Some(config) => look(config),
            None => look(&program_defaults()),
        }
    }

    fn acme(&mut self) -> &mut Acme {
        self.acme.get_or_insert_with(|| Acme {
            domains: Vec::new(),
            contact: String::new(),
            directory: Acme::LETS_ENCRYPT.to_owned(),
            ca_file: None,
            cache_dir: None,
        })
    }

    /// What only shows once everything is together.
    fn finish(mut self) -> Result<(Config, AdminListen, Vec<String>), Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut warnings = Vec::new();
        let mut mistake = |key: &str, what: &str| mistakes.push(Mistake::new(key, what));
        self.config();
        let (config, token_file) = (self.config.take(), self.token_file.take());
        let Some(mut config) = config else { return Err(mistakes) };
        match self.data_dir.or_else(default_data_dir) {
            Some(path) => config.data_dir = path,
            None => mistake(
                "data_dir",
                "no data folder: name one with --data-dir, as neither XDG_DATA_HOME nor HOME is set",
            ),
        }
        config.registration = match (self.registration, token_file) {
            (RegistrationMode::Open, None) => super::Registration::Open,
            (RegistrationMode::Closed, None) => super::Registration::Closed,
            (RegistrationMode::Token, Some(file)) => super::Registration::Token { file },
            (RegistrationMode::Token, None) => {
                mistake("registration", "\"token\" needs registration_token_file");
                super::Registration::Closed
            }
            // A host who closes it in a hurry need not think of the file.
            (RegistrationMode::Closed, Some(_)) => super::Registration::Closed,
            (RegistrationMode::Open, Some(_)) => {
                mistake("registration_token_file", "this needs registration = \"token\"");
                super::Registration::Closed
            }
        };
        config.tls = match (self.certificate_file, self.key_file) {
            (Some(certificate_file), Some(key_file)) => Some(TlsFiles {
                certificate_file,
                key_file,
            }),
            (None, None) => None,
            (Some(_), None) => {
                mistake("tls.certificate_file", "this needs tls.key_file, too");
                None
            }
            (None, Some(_)) => {
                mistake("tls.key_file", "this needs tls.certificate_file, too");
                None
            }
        };
        config.acme = match self.acme {
            Some(acme) if acme.domains.is_empty() => {
                mistake("acme.domains", "name at least one domain, or leave [acme] out");
                None
            }
            acme => acme,
        };
        if config.acme.is_some() && config.tls.is_some() {
            mistake(
                "acme.domains",
                "certificates come from [tls] or from [acme], not from both",
            );
        }
        if !config.serves_tls() && !config.listen.ip().to_canonical().is_loopback() {
            warnings.push(format!(
                "{} is plain http: whoever listens on the way sees which rooms are used. Set [tls] or [acme], or put a proxy \
                 before it{}",
                config.listen,
                if config.insecure_registration {
                    "; rooms may be registered over it from anywhere (insecure_registration)"
                } else {
                    "; rooms can be registered from this machine only"
                }
            ));
        }
        if mistakes.is_empty() {
            Ok((config, self.admin_listen, warnings))
        } else {
            Err(mistakes)
        }
    }
}

fn program_defaults() -> Config {
    let mut config = Config::new("");
    config.listen.set_port(DEFAULT_PORT);
    config.control = true;
    config.relay.listen = RelayListen::IfPublic;
    config
}

/// Where it serves unless said otherwise, on loopback.
const DEFAULT_PORT: u16 = 7070;

impl Resolved {
    /// The whole configuration as a file, with the source of each value; secrets redacted.
    #[must_use]
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for (setting, (value, source)) in Setting::all().iter().zip(&self.shown) {
            if setting.section() != section {
                section = setting.section();
                text += &format!("\n[{section}]\n");
            }
            let name = setting.key.rsplit('.').next().unwrap_or_default();
            let line = match value.as_str() {
                "" if setting.default.is_empty() => format!("#{name} ="),
                "" => format!("#{name} = ({})", setting.default),
                value => format!("{name} = {value}"),
            };
            let from = match source {
                Source::Default => "default".to_owned(),
                Source::File(path, at) => format!("{}:{at}", path.display()),
                Source::Environment => setting.variable(),
                Source::Flag => format!("--{}", setting.flag()),
            };
            text += &format!("{line:<48} # {from}\n");
        }
        text
    }

    /// Settings that differ from a former configuration and need a new start to take effect.
    #[must_use]
    pub fn needs_restart(&self, former: &Self) -> Vec<&'static str> {
        let settings = Setting::all().iter().zip(self.shown.iter().zip(&former.shown));
        settings
            .filter(|(setting, (now, before))| !setting.reloads && now.0 != before.0)
            .map(|(setting, _)| setting.key)
            .collect()
    }
}

#[cfg(test)]
mod tests;
