//! `snug room`: what a room is, and a new Room Key for it, from outside.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use snug::engine::{self, AdminAccess, CloseReason, EnterOptions, EventKind, Events, Handle, Meeting};
use snug::profile::Profile;
use snug::room::{Command, policy_of, rules_in_words};
use snug::text::Untrusted;
use snug_crypto::names::{RoomId, RoomKey, check_distinct};

use super::{App, given, print, print_json};
use crate::chosen;
use crate::cli::{RoomInfoArgs, RotateKeyArgs};
use crate::failure::Failure;
use crate::front::json as rpc;
use crate::handout::{At, Handout};
use crate::rules;
use crate::secrets::{self, Prompter};

/// How long the room may take to let us in, and to move to its new Room Key.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long those who are there get to meet us, once the first has: whoever we have not heard of is not given the new Room Key.
const MEETING: Duration = Duration::from_secs(3);
/// How long somebody is waited for: members show themselves at the rendezvous every 30 s.
const FIRST_MEETING: Duration = Duration::from_secs(40);
/// Between two looks at who is linked.
const LOOK: Duration = Duration::from_millis(250);

/// Prints what the room's capsule says; nobody in the room notices.
pub async fn info(app: &App, args: RoomInfoArgs) -> Result<u8, Failure> {
    let prompter = Prompter::new(args.json);
    let client = given::client(app.config.server(&args.server, None).as_deref())?;
    let (room_id, room_key) = room_and_key(args.room.as_deref(), args.room_key_file.as_deref(), &prompter)?;
    app.log(None)?;
    given::warn_if_plain(client.server());
    let login = client.login(&room_id, &room_key).await?;
    let (genesis, capsule) = (&login.capsule.genesis, &login.capsule);
    let policy = policy_of(genesis, &capsule.log);
    let created = rpc::rfc3339(genesis.created_at_ms());
    if args.json {
        print_json(&json!({
            "room": room_id.as_str(),
            "description": genesis.description(),
            "generation": capsule.generation.count,
            "genesis": genesis.hash().to_string(),
            "present": login.introductions.len(),
            "created_at": created,
            "server": client.server().as_str(),
            "policy": rpc::policy_in_json(&policy),
        }))?;
    } else {
        let mut lines = vec![format!("Room {}", Untrusted::new(room_id.as_str()).line())];
        let description = Untrusted::new(genesis.description());
        lines.extend((!description.is_empty()).then(|| description.line()));
        lines.push(format!("Made {created}"));
        lines.push(format!("Founding record {}", genesis.hash()));
        lines.push(format!("Room Key changed {} times", capsule.generation.count));
        lines.extend(rules_in_words(&policy).into_iter().map(rules::sentence));
        lines.push(format!("Found at {}", client.server()));
        print(lines)?;
    }
    Ok(0)
}

/// Enters as the admin, gives everybody a new Room Key, waits until the rendezvous has it, and leaves.
pub async fn rotate_key(app: &App, args: RotateKeyArgs) -> Result<u8, Failure> {
    secrets::check_one_stdin(&[&args.room_key_file, &args.password_file, &args.new_room_key_file])?;
    let prompter = Prompter::new(args.json);
    let client = given::client(app.config.server(&args.server, None).as_deref())?;
    let (room_id, room_key) = room_and_key(args.room.as_deref(), args.room_key_file.as_deref(), &prompter)?;
    let password = given::existing_password(args.password_file.as_deref(), &prompter)?;
    let new = args
        .new_room_key_file
        .as_deref()
        .map(|file| new_room_key(file, args.allow_weak_key));
    let new = new.transpose()?;
    if let Some(new) = &new {
        check_distinct(new, &password).map_err(Failure::usage)?;
    }
    app.log(None)?;
    given::warn_if_plain(client.server());
    if client.server().is_plain_to_other_host() && !args.insecure_registration {
        return Err(Failure::usage(format_args!(
            "{} is plain http on another host: whoever listens on the way could take the room over",
            client.server()
        ))
        .help("use https, or say --insecure-registration if you know the network"));
    }
    let server = client.server().clone();
    let (handle, mut events) = engine::enter(EnterOptions {
        profile: Profile::ephemeral(),
        meeting: Meeting::Rendezvous(client),
        room_id: room_id.clone(),
        room_key,
        name: args.name,
        admin: Some(AdminAccess::Password(password)),
        listen: Vec::new(),
        expected_genesis: None,
        addresses: Vec::new(),
        lan: false,
        relays: true,
        serves: false,
        upnp: false,
        insecure_registration: args.insecure_registration,
        read_receipts: false,
    })
    .await?;
    let genesis = handle.info().await.map_err(Failure::failed)?.genesis;
    let changed = tokio::time::timeout(PATIENCE, change(&handle, &mut events, new, args.alone)).await;
    handle.leave().await;
    let out_of_time =
        || Failure::failed("the room's Room Key was not changed in time").help("is anybody there who holds it up?");
    let room_key = changed.map_err(|_| out_of_time())??;
    let handout = Handout::new(room_id, room_key, None, At::Server(server), genesis)?;
    if args.json {
        print_json(&handout.card())?;
    } else {
        print(handout.for_its_maker())?;
    }
    Ok(0)
}

/// The room's new Room Key, once it is registered.
async fn change(handle: &Handle, events: &mut Events, new: Option<RoomKey>, alone: bool) -> Result<RoomKey, Failure> {
    until(events, |kind| matches!(kind, EventKind::Ready { .. }).then_some(())).await?;
    if !alone {
        meet(handle).await?;
    }
    let command = Command::Rekey { room_key: new };
    handle.act(command).await.map_err(Failure::failed)?;
    let room_key = until(events, |kind| match kind {
        EventKind::NewRoomKey { room_key, .. } => Some(RoomKey::clone(room_key)),
        _ => None,
    })
    .await?;
    until(events, |kind| {
        matches!(
            kind,
            EventKind::System {
                event: "registered",
                ..
            }
        )
        .then_some(())
    })
    .await?;
    Ok(room_key)
}

/// Waits until somebody is linked, who tells us of everybody else.
async fn meet(handle: &Handle) -> Result<(), Failure> {
    eprintln!(
        "Looking for the members who are there, for at most {} s…",
        (FIRST_MEETING + MEETING).as_secs()
    );
    let linked = async {
        while handle.status().await.map_err(Failure::failed)?.links.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<(), Failure>(())
    };
    tokio::time::timeout(FIRST_MEETING, linked).await.map_err(|_| {
        Failure::failed("nobody is in the room who could be given the new Room Key")
            .help("members who are away now would be shut out; to do it all the same: --alone")
    })??;
    tokio::time::sleep(MEETING).await;
    Ok(())
}

async fn until<T>(events: &mut Events, mut pick: impl FnMut(&EventKind) -> Option<T>) -> Result<T, Failure> {
    while let Some(event) = events.recv().await {
        match &event.kind {
            EventKind::Closed(CloseReason::Deleted) => return Err(Failure::failed("this room has been deleted")),
            EventKind::Closed(_) => break,
            EventKind::Error { message } => return Err(Failure::failed(message.line())),
            kind => {
                if let Some(found) = pick(kind) {
                    return Ok(found);
                }
            }
        }
    }
    Err(Failure::failed("the room closed before its Room Key was changed"))
}

fn room_and_key(
    room: Option<&str>,
    room_key_file: Option<&Path>,
    prompter: &Prompter,
) -> Result<(RoomId, RoomKey), Failure> {
    let room_id = match room {
        Some(room) => given::room_id(room)?,
        None => prompter.line_as("Room ID", None, "the Room ID (--room)", given::room_id)?,
    };
    Ok((room_id, given::existing_room_key(room_key_file, prompter)?))
}

fn new_room_key(file: &Path, allow_weak: bool) -> Result<RoomKey, Failure> {
    let room_key = given::room_key(&secrets::from_file(file, "the new Room Key")?)?;
    chosen::check_strength(&room_key, allow_weak).map_err(|weak| {
        Failure::usage(weak).help(
            "leave --new-room-key-file out to have one generated, choose a longer one, or insist with --allow-weak-key",
        )
    })?;
    Ok(room_key)
}
