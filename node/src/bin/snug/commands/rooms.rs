//! `snug rooms`: rooms that want to be found.

use serde_json::json;
use snug::rendezvous::Directory;

use super::{App, given, print, print_json};
use crate::cli::RoomsArgs;
use crate::failure::Failure;

/// Lists the server's public directory.
pub async fn run(app: &App, args: RoomsArgs) -> Result<u8, Failure> {
    let client = given::client(app.config.server(&args.server, None).as_deref())?;
    app.log(None)?;
    let search = args.search.as_deref().filter(|text| !text.is_empty());
    if search.is_some_and(|text| text.chars().count() > 64) {
        return Err(Failure::usage("a search has 64 characters at most"));
    }
    let Directory { rooms, more, refused } = client.rooms(search).await?;
    if refused > 0 {
        eprintln!("warning: {refused} entries of this directory are forged or damaged, and left out");
    }
    if args.json {
        let rooms: Vec<_> = rooms
            .iter()
            .map(|room| {
                json!({
                    "room": room.room_id, "description": room.description, "genesis": room.genesis_hash.to_string(),
                })
            })
            .collect();
        print_json(&json!({ "server": client.server().as_str(), "rooms": rooms, "more": more }))?;
        return Ok(0);
    }
    let width = rooms
        .iter()
        .map(|room| snug::text::width(&room.room_id.line()))
        .max()
        .unwrap_or(0);
    let lines = rooms.iter().map(|room| {
        let (id, description) = (room.room_id.line(), room.description.line());
        let padding = " ".repeat(width - snug::text::width(&id));
        format!("{id}{padding}  {description}").trim_end().to_owned()
    });
    print(lines)?;
    if rooms.is_empty() {
        eprintln!(
            "No room is listed there{}.",
            if search.is_some() { " that matches" } else { "" }
        );
    }
    if more {
        eprintln!("There are more; narrow it down with --search.");
    }
    Ok(0)
}
