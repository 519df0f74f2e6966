//! The settings as flags, made from their one table.

use std::ffi::OsString;
use std::sync::LazyLock;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use snug_rendezvous::settings::{Given, Kind, Mistake, Resolved, Setting};

/// What was given.
#[derive(Clone, Debug, Default)]
pub struct Settings(Given);

/// The same for commands that only need to find the server and its store. They take every setting, so that what is said to
/// `serve` can be said to them, and show those that matter.
#[derive(Clone, Debug, Default)]
pub struct Place(pub Settings);

/// Settings that say where a server and its store are.
const PLACES: &[&str] = &["store", "data_dir", "server_key_file"];

const CONFIG: &str = "config";
const HEADING: &str = "Settings";
/// `--verbose` is the older name of `--log-requests`.
const VERBOSE: &str = "verbose";
const NO_RELAY: &str = "no-relay";

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        augment(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        augment(command)
    }
}

impl Args for Place {
    fn augment_args(command: Command) -> Command {
        let hide = |arg: Arg| {
            let is_place = PLACES.contains(&arg.get_id().as_str()) || arg.get_id() == CONFIG;
            let is_setting = arg.get_help_heading() == Some(HEADING);
            arg.hide(is_setting && !is_place)
        };
        augment(command).mut_args(hide)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Place {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Settings::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

fn augment(command: Command) -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .env("SNUG_RENDEZVOUS_CONFIG")
        .value_parser(OsStringValueParser::new())
        .help("Settings from a TOML file; flags and the environment win over it. `config example` prints one")
        .help_heading(HEADING);
    let verbose = Arg::new(VERBOSE)
        .long(VERBOSE)
        .action(ArgAction::SetTrue)
        .help("Log each request: method, kind of path, status, time. The same as --log-requests")
        .help_heading(HEADING);
    let no_relay = Arg::new(NO_RELAY)
        .long(NO_RELAY)
        .action(ArgAction::SetTrue)
        .conflicts_with("relay.listen")
        .help("No relay. The same as --relay-listen none")
        .help_heading(HEADING);
    let command = command.arg(config).arg(verbose).arg(no_relay);
    let settings = Setting::all().iter().zip(FLAGS.iter());
    settings.fold(command, |command, (setting, name)| command.arg(flag(setting, name)))
}

/// Names of the flags, in the table's order: clap wants them to live as long as the program.
static FLAGS: LazyLock<Vec<String>> = LazyLock::new(|| Setting::all().iter().map(Setting::flag).collect());

fn flag(setting: &'static Setting, name: &'static str) -> Arg {
    let default = match setting.default_value() {
        Some(value) => value.trim_matches('"').to_owned(),
        None => setting.default.to_owned(),
    };
    let mut help = format!("{} [env: {}]", setting.help.trim_end_matches('.'), setting.variable());
    if default != "none" && default != "[]" {
        help += &format!(" [default: {default}]");
    }
    let arg = Arg::new(setting.key)
        .long(name)
        .value_name(setting.value_name)
        .value_parser(OsStringValueParser::new())
        .action(ArgAction::Append)
        .help(help)
        .help_heading(HEADING)
        // The short help is for the first minute.
        .hide_short_help(!setting.section().is_empty());
    match setting.kind {
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let text = |key: &str| matches.get_many::<OsString>(key).and_then(Iterator::last).cloned();
        let mut given = Given {
            file: text(CONFIG).filter(|path| !path.is_empty()).map(Into::into),
            flags: Vec::new(),
        };
        for (at, setting) in Setting::all().iter().enumerate() {
            if let Some(value) = text(setting.key) {
                given.flags.push((at, value));
            } else if setting.key == "log.requests" && matches.get_flag(VERBOSE) {
                given.flags.push((at, "true".into()));
            } else if setting.key == "relay.listen" && matches.get_flag(NO_RELAY) {
                given.flags.push((at, "none".into()));
            }
        }
        Ok(Self(given))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Settings {
    /// Takes flags, environment, file and defaults together; can be done again, for a reload.
    pub fn resolve(&self) -> Result<Resolved, Vec<Mistake>> {
        self.0.resolve(|name| std::env::var_os(name))
    }
}
