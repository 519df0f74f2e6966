//! The log: our own events only, as what the libraries beneath say may hold addresses and paths.

use std::io::{self, IsTerminal};

use snug_rendezvous::Log;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// To standard error, as text or as JSON.
pub fn start(log: Log) {
    let ours = Targets::new().with_target("snug_rendezvous", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false);
    let lines = if log.json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(io::stderr().is_terminal()).boxed()
    };
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
}
