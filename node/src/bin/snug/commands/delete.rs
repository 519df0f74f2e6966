//! `snug delete`: delete a room for everybody, with its Password.

use serde_json::json;
use snug::text::Untrusted;

use super::{App, given, print, print_json};
use crate::cli::DeleteArgs;
use crate::failure::Failure;
use crate::secrets::Prompter;

/// Deletes the room; its members hear of it with their next heartbeat, within 40 seconds.
pub async fn run(app: &App, args: DeleteArgs) -> Result<u8, Failure> {
    let prompter = Prompter::new(args.json);
    let client = given::client(app.config.server(&args.server, None).as_deref())?;
    let room_id = match &args.room {
        Some(room) => given::room_id(room)?,
        None => prompter.line_as("Room ID", None, "the Room ID (--room)", given::room_id)?,
    };
    let password = given::existing_password(args.password_file.as_deref(), &prompter)?;
    app.log(None)?;
    given::warn_if_plain(client.server());
    client.delete(&room_id, &password).await?;
    if args.json {
        print_json(&json!({"room": room_id.as_str(), "server": client.server().as_str(), "deleted": true}))?;
    } else {
        print([format!(
            "The room {} has been deleted.",
            Untrusted::new(room_id.as_str()).line()
        )])?;
    }
    Ok(0)
}
