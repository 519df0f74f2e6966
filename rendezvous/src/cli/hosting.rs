//! `snug-rendezvous backup`, `restore` and `room`.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use snug_rendezvous::Config;
use snug_rendezvous::host::{self, Host, HostError, Room};

use super::settings::Settings;
use super::{KeyCommand, RoomCommand, USAGE, fail, print, resolve};

const DAY_S: u64 = 24 * 3600;

/// `backup`.
pub fn backup(settings: &Settings, file: &Path, with_key: bool) -> ExitCode {
    run(settings, async |config| {
        let done = host::backup(&config, file, with_key).await?;
        let key = if done.with_key {
            "with the server key"
        } else {
            "without the server key"
        };
        Ok(format!("{}, {key}, in {}\n", rooms(done.rooms), file.display()))
    })
}

/// `restore`.
pub fn restore(settings: &Settings, file: &Path) -> ExitCode {
    run(settings, async |config| {
        let done = host::restore(&config, file).await?;
        let key = if done.with_key { "and the server key " } else { "" };
        let at = day(done.at_ms / 1000 / DAY_S);
        Ok(format!(
            "{} {key}restored, as of {at}; everybody logs in again\n",
            rooms(done.rooms)
        ))
    })
}

/// `key rotate`.
pub fn key(command: KeyCommand) -> ExitCode {
    let KeyCommand::Rotate(settings) = command;
    run(&settings.0, async |config| {
        let former = host::rotate_key(&config)?;
        Ok(format!(
            "{} has a new key, and {former} before it; restart the server, every instance with this file, and make a backup\n",
            config.key_file().display()
        ))
    })
}

/// `room list|show|delete`.
pub fn room(command: RoomCommand) -> ExitCode {
    match command {
        RoomCommand::List { json, settings } => run(&settings.0, async |config| {
            let host = Host::reach(&config).await?;
            let mut text = if json { String::new() } else { HEAD.to_owned() };
            let (mut after, mut count) = (None, 0);
            loop {
                let page = host.list(after.take()).await?;
                for room in &page {
                    text += &if json { line_of_json(room) } else { row(room) };
                }
                count += page.len() as u64;
                match page.last() {
                    Some(last) => after = Some(last.room.clone()),
                    None => break,
                }
            }
            host.close().await?;
            if !json {
                let _ = writeln!(text, "{}", rooms(count));
            }
            Ok(text)
        }),
        RoomCommand::Show { room, json, settings } => run(&settings.0, async |config| {
            let host = Host::reach(&config).await?;
            let found = host.show(&room).await;
            host.close().await?;
            let found = found?;
            Ok(if json { line_of_json(&found) } else { details(&found) })
        }),
        RoomCommand::Delete { room, yes, settings } => {
            if !yes && !confirmed(&room) {
                return ExitCode::from(USAGE);
            }
            run(&settings.0, async |config| {
                let host = Host::reach(&config).await?;
                let deleted = host.delete(&room).await;
                host.close().await?;
                deleted.map(|()| "removed; its members are told when they next ask\n".to_owned())
            })
        }
    }
}

/// Asks on the terminal, if there is one.
fn confirmed(room: &str) -> bool {
    let mut stderr = io::stderr();
    if !io::stdin().is_terminal() {
        let _ = writeln!(
            stderr,
            "error: removing a room can't be undone: say --yes, as there is no terminal to ask on"
        );
        return false;
    }
    let shown: String = room.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    let _ = write!(stderr, "Remove the room {shown}… for good? Type yes: ");
    let _ = stderr.flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    let is_yes = read.is_ok() && line.trim() == "yes";
    if !is_yes {
        let _ = writeln!(stderr, "nothing was removed");
    }
    is_yes
}

fn run(settings: &Settings, command: impl AsyncFnOnce(Config) -> Result<String, HostError>) -> ExitCode {
    let resolved = match resolve(settings) {
        Ok(resolved) => resolved,
        Err(refused) => return refused,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => match runtime.block_on(command(resolved.config)) {
            Ok(text) => print(text.as_bytes()),
            Err(error) => fail(&error),
        },
        Err(error) => fail(&error),
    }
}

fn rooms(count: u64) -> String {
    match count {
        1 => "1 room".to_owned(),
        count => format!("{count} rooms"),
    }
}

fn line_of_json(room: &Room) -> String {
    serde_json::to_string(room).unwrap_or_default() + "\n"
}

const HEAD: &str = "room                                                              made on     entered on  state\n";

fn row(room: &Room) -> String {
    let used = room.used_on.map_or_else(|| "-".to_owned(), |used| day(used.into()));
    let made = day(room.created_at_ms / 1000 / DAY_S);
    format!("{}  {made}  {used:<10}  {}\n", room.room, room.state)
}

fn details(room: &Room) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<14} {value}");
    };
    line("room", room.room.clone());
    line("state", room.state.clone());
    if let Some(at_ms) = room.ended_at_ms {
        line("ended on", day(at_ms / 1000 / DAY_S));
    }
    line("made on", day(room.created_at_ms / 1000 / DAY_S));
    line(
        "entered on",
        room.used_on
            .map_or_else(|| "not kept".to_owned(), |used| day(used.into())),
    );
    line("key changes", room.generation.to_string());
    line("most members", room.max_participants.to_string());
    line("capsules", format!("{} bytes", room.capsule_bytes.unwrap_or(0)));
    line("sessions", room.sessions.unwrap_or(0).to_string());
    line("present", room.present.unwrap_or(0).to_string());
    text
}

/// A day since 1970 as a date (the proleptic Gregorian calendar, by Howard Hinnant's `civil_from_days`).
fn day(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, date) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_779, "2026-11-22"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day(days), date);
        }
    }
}
