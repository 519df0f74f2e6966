//! `snug-rendezvous config` and `doctor`.

use std::io::{self, Write};
use std::process::ExitCode;

use snug_rendezvous::doctor::{self, State};
use snug_rendezvous::settings::{ENVIRONMENT, Setting, example};

use super::settings::Settings;
use super::{ConfigCommand, USAGE, fail, print, resolve};

/// `config check|show|example`.
pub fn config(command: ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(settings) => check(&settings.0),
        ConfigCommand::Show(settings) => match resolve(&settings.0) {
            Ok(resolved) => print(resolved.show().as_bytes()),
            Err(refused) => refused,
        },
        ConfigCommand::Example => print(example().as_bytes()),
    }
}

fn check(settings: &Settings) -> ExitCode {
    let resolved = match resolve(settings) {
        Ok(resolved) => resolved,
        Err(refused) => return refused,
    };
    let mut warnings = resolved.warnings.clone();
    warnings.extend(unknown_variables());
    for warning in &warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let broken = doctor::files(&resolved.config);
    for finding in &broken {
        let _ = writeln!(io::stderr(), "error: {}: {}", finding.check, finding.found);
    }
    if broken.is_empty() {
        print(b"the settings are fine; `doctor` looks at everything else\n")
    } else {
        ExitCode::from(USAGE)
    }
}

/// Variables that look like ours and are none: typing errors. Some systems set variables of a service's name themselves.
fn unknown_variables() -> Vec<String> {
    let known: Vec<String> = Setting::all().iter().map(Setting::variable).collect();
    let ours = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let ours = ours.filter(|name| name.starts_with(ENVIRONMENT) && *name != format!("{ENVIRONMENT}CONFIG"));
    ours.filter(|name| !known.contains(name) && !name.contains("_SERVICE_") && !name.contains("_PORT"))
        .map(|name| format!("{} is no setting of this version", name.escape_debug()))
        .collect()
}

/// `doctor`.
pub fn doctor(settings: &Settings, json: bool) -> ExitCode {
    let mut resolved = match resolve(settings) {
        Ok(resolved) => resolved,
        Err(refused) => return refused,
    };
    resolved.config.admin_listen = super::serve::admin_listen(&resolved);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let findings = runtime.block_on(doctor::examine(&resolved.config));
    let mut text = String::new();
    if json {
        text = serde_json::to_string_pretty(&findings).unwrap_or_default() + "\n";
    } else {
        for finding in &findings {
            text += &format!("{finding}\n");
        }
        for warning in &resolved.warnings {
            text += &format!("warn  settings: {warning}\n");
        }
    }
    match print(text.as_bytes()) {
        ExitCode::SUCCESS if findings.iter().any(|finding| finding.state == State::Failed) => ExitCode::FAILURE,
        printed => printed,
    }
}
