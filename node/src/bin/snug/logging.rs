//! The log: off unless asked for, never with secrets, and never drawn over the full screen.

use std::path::Path;

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// What `--verbose` shows: our own events, as what the libraries beneath say may hold addresses. `SNUG_LOG` changes it (the syntax of
/// tracing's `EnvFilter`).
const VERBOSE: &str = "off,snug=debug,snug_rendezvous=info";

/// Logs to standard error.
pub fn to_stderr(color: bool) -> Result<(), Failure> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter()?)
        .with_writer(std::io::stderr);
    subscriber.with_ansi(color).init();
    Ok(())
}

/// Logs to `snug.log` in the data folder, appending; the file is readable by this account alone.
pub fn to_file(data_dir: &Path) -> Result<(), Failure> {
    let path = data_dir.join("snug.log");
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = std::fs::create_dir_all(data_dir).and_then(|()| options.open(&path));
    let file = opened.map_err(|error| {
        Failure::failed(format_args!("the log can't be written to {}: {error}", path.display()))
            .help("leave --verbose out, or name another --data-dir")
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter()?)
        .with_writer(std::sync::Mutex::new(file));
    subscriber.with_ansi(false).init();
    Ok(())
}

fn filter() -> Result<EnvFilter, Failure> {
    let text = std::env::var("SNUG_LOG").ok().filter(|text| !text.is_empty());
    EnvFilter::try_new(text.as_deref().unwrap_or(VERBOSE)).map_err(|error| {
        Failure::usage(format_args!("SNUG_LOG is wrong: {error}")).help("for example SNUG_LOG=snug=trace")
    })
}
