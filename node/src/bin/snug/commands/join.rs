//! `snug join`: enter a room, with an invite or with Room ID and Room Key.

use libp2p::Multiaddr;
use snug::engine::{self, AdminAccess, EnterOptions, Meeting};
use snug::profile::{Place, Profile};
use snug::rendezvous::ServerUrl;
use snug::text::Untrusted;
use snug_crypto::capsule::Capsule;
use snug_crypto::genesis::Genesis;
use snug_crypto::ids::GenesisHash;
use snug_crypto::invite::Invite;
use snug_crypto::names::{RoomId, RoomKey};
use snug_crypto::rest::MembershipAtRest;

use super::{App, given, log_place, profile, serverless};
use crate::chosen::KnownPassword;
use crate::cli::JoinArgs;
use crate::failure::Failure;
use crate::front::{self, Front, Room};
use crate::handout::{At, Handout};
use crate::secrets::{self, Prompter, invite};

/// Which room, and what is known of it.
struct Target {
    server: Option<String>,
    /// What a rendezvous would tell, for a room that has none.
    capsule: Option<Capsule>,
    room_id: RoomId,
    room_key: RoomKey,
    genesis: Option<GenesisHash>,
    addresses: Vec<Multiaddr>,
    /// Our name when we were there last.
    name: Option<String>,
}

/// What was typed where either is asked for.
enum Answer {
    Invite(Box<Target>),
    Room(RoomId),
}

/// Runs until the room is left.
pub async fn run(app: &App, args: JoinArgs) -> Result<u8, Failure> {
    let front = Front::choose(&args.enter);
    secrets::check_one_stdin(&[
        &args.room_key_file,
        &args.invite_file,
        &args.password_file,
        &args.profile.passphrase_file,
    ])?;
    let prompter = Prompter::new(front == Front::Json);
    // What the vault knows of rooms is only of use where neither invite nor Room Key is given.
    let may_know = args.invite_file.is_none() && args.room_key_file.is_none() && !args.enter.ephemeral;
    let mut opened = None;
    if may_know && Profile::exists(&profile::options(app, &args.profile)?) {
        opened = Some(profile::open(app, &args.profile, false, &prompter)?);
    }
    let known = match &opened {
        Some((_, profile)) => profile.memberships()?,
        None => Vec::new(),
    };
    let target = target(app, &args, &known, &prompter)?;
    let meeting = meeting(app, &args, &target)?;
    let admin = args
        .password_file
        .as_deref()
        .map(|file| given::existing_password(Some(file), &prompter))
        .transpose()?;
    let name = given::name(app, &args.enter, target.name.as_deref(), &prompter)?;
    let listen = given::listen(app, &args.enter)?;
    let (data_dir, mut profile) = match opened {
        Some(opened) => opened,
        None => profile::open(app, &args.profile, args.enter.ephemeral, &prompter)?,
    };
    app.log(log_place(front, &data_dir, args.enter.ephemeral))?;
    if let Meeting::Rendezvous(client) = &meeting {
        if args.accept_new_room {
            profile.forget(&Place::server(client.server()), &target.room_id)?;
        }
        given::warn_if_plain(client.server());
    }

    if prompter.is_interactive() {
        eprintln!("Entering the room {}…", Untrusted::new(target.room_id.as_str()).line());
    }

    let password = admin.as_ref().and_then(KnownPassword::new);
    let (room, room_key) = (target.room_id.clone(), target.room_key.clone());
    let server = match &meeting {
        Meeting::Rendezvous(client) => Some(client.server().clone()),
        Meeting::Members(_) => None,
    };
    let (handle, events) = engine::enter(EnterOptions {
        profile,
        meeting,
        room_id: target.room_id,
        room_key: target.room_key,
        name,
        admin: admin.map(AdminAccess::Password),
        listen,
        expected_genesis: target.genesis,
        addresses: target.addresses,
        lan: app.config.mdns(&args.enter),
        relays: app.config.relay(&args.enter),
        serves: app.config.relay_for_members(&args.enter),
        upnp: app.config.upnp(&args.enter),
        insecure_registration: args.insecure_registration,
        read_receipts: app.config.read_receipts(&args.enter),
    })
    .await?;
    // The founding record was checked against the invite's, or is trusted from now on: either way it goes into ours.
    let genesis = match target.genesis {
        Some(genesis) => genesis,
        None => handle.info().await.map_err(Failure::failed)?.genesis,
    };
    let at = match (server, target.capsule) {
        (Some(server), _) => At::Server(server),
        (None, Some(capsule)) => At::Members(Box::new(serverless::founding(capsule, &handle).await?)),
        (None, None) => return Err(Failure::failed("the room is nowhere")),
    };
    let handout = Handout::new(room, room_key, None, at, genesis)?;
    let room = Room {
        handle,
        events,
        handout,
        password,
        ephemeral: args.enter.ephemeral,
        made_here: false,
        color: app.color(),
    };
    Ok(front::run(front, room).await?.exit_status())
}

/// Where its members find each other: at the rendezvous that was named anywhere, or at none.
fn meeting(app: &App, args: &JoinArgs, target: &Target) -> Result<Meeting, Failure> {
    match &target.capsule {
        // A server that the environment or the configuration names for all rooms doesn't speak of this one.
        Some(_) if args.server.server.is_some() => Err(Failure::usage("the room has no rendezvous")
            .help("leave --server out: members find each other where they are")),
        Some(_) if args.password_file.is_some() => Err(Failure::usage(
            "a room without a rendezvous has no Password: nobody would be there to check it",
        )
        .help("leave --password-file out; the profile that made the room holds the power over it")),
        Some(capsule) => Ok(Meeting::Members(Box::new(capsule.clone()))),
        None if args.no_server.no_server => Err(Failure::usage(
            "without a rendezvous only an invite says enough to enter",
        )
        .help("ask for an invite to a room that was made with --no-server, and give it with --invite-file")),
        None => {
            let server = app.config.server(&args.server, target.server.as_deref());
            Ok(Meeting::Rendezvous(given::client(server.as_deref())?))
        }
    }
}

fn target(app: &App, args: &JoinArgs, known: &[MembershipAtRest], prompter: &Prompter) -> Result<Target, Failure> {
    if let Some(file) = &args.invite_file {
        return from_invite(&secrets::invite_from_file(file)?, args);
    }
    let room_id = match &args.room {
        Some(room) => given::room_id(room)?,
        None if args.room_key_file.is_some() => {
            prompter.line_as("Room ID", None, "the Room ID (--room)", given::room_id)?
        }
        None => {
            let missing = "what room to enter (--invite-file, or --room and --room-key-file)";
            if !known.is_empty() && prompter.is_interactive() {
                let mut ids: Vec<String> = known
                    .iter()
                    .map(|room| Untrusted::new(room.room_id.as_str()).line())
                    .collect();
                ids.sort();
                ids.dedup();
                eprintln!("You are a member of: {}", ids.join(", "));
            }
            let answer = prompter.hidden_invite_as("Invite (not shown), or Room ID", missing, |text| {
                if invite::is_one(text) {
                    return from_invite(text, args).map(|target| Answer::Invite(Box::new(target)));
                }
                given::room_id(text).map(Answer::Room)
            })?;
            match answer {
                Answer::Invite(target) => return Ok(*target),
                Answer::Room(room_id) => room_id,
            }
        }
    };
    if args.room_key_file.is_none()
        && let Some(room) = remembered(app, args, known, &room_id)?
    {
        return Ok(room);
    }
    let room_key = given::existing_room_key(args.room_key_file.as_deref(), prompter)?;
    Ok(Target {
        server: None,
        capsule: None,
        room_id,
        room_key,
        genesis: None,
        addresses: Vec::new(),
        name: None,
    })
}

/// A room that the vault holds the Room Key of. Where it knows two of one Room ID, the server that was named decides.
fn remembered(
    app: &App,
    args: &JoinArgs,
    known: &[MembershipAtRest],
    room_id: &RoomId,
) -> Result<Option<Target>, Failure> {
    let mut rooms: Vec<&MembershipAtRest> = known.iter().filter(|room| room.room_id == *room_id).collect();
    if args.no_server.no_server {
        rooms.retain(|room| room.server.is_none());
    }
    let named = args.server.server.clone().or_else(|| {
        // A server that the configuration names for all rooms doesn't speak of this one, unless it decides between two.
        (rooms.len() > 1)
            .then(|| app.config.server(&args.server, None))
            .flatten()
    });
    if let Some(named) = named {
        let url = ServerUrl::parse(&named).map_err(Failure::usage)?;
        rooms.retain(|room| room.server.as_deref() == Some(url.as_str()));
    }
    if rooms.len() > 1 {
        let servers: Vec<String> = (rooms.iter().filter_map(|room| room.server.as_deref()))
            .map(|server| Untrusted::new(server).line())
            .collect();
        let failure = Failure::usage("you are a member of more than one room of this Room ID");
        let alone = rooms.iter().filter(|room| room.server.is_none()).count();
        return Err(match (servers.is_empty(), alone) {
            (true, _) => failure.help("none of them has a rendezvous: say which with its invite, --invite-file"),
            (false, 0) => failure.help(format_args!("say which with --server: {}", servers.join(", "))),
            (false, _) => failure.help(format_args!(
                "say which with --server: {}; or with --no-server for the one without a rendezvous",
                servers.join(", ")
            )),
        });
    }
    let found = rooms.first().and_then(|room| Some((*room, room.current()?)));
    Ok(found.map(|(room, current)| Target {
        server: room.server.clone(),
        capsule: room.server.is_none().then(|| Capsule {
            generation: current.generation,
            random: current.random.clone(),
            genesis: room.genesis.clone(),
            // It rests with the room's state.
            log: Vec::new(),
        }),
        room_id: room.room_id.clone(),
        room_key: current.room_key.clone(),
        genesis: Some(room.genesis.hash()).filter(|_| !args.accept_new_room),
        addresses: Vec::new(),
        name: Some(room.name.clone()),
    }))
}

fn from_invite(text: &str, args: &JoinArgs) -> Result<Target, Failure> {
    let invite =
        Invite::parse(text).map_err(|error| Failure::usage(error).help("if it is whole, ask for a new one"))?;
    let is_without = args.no_server.no_server || (invite.server.is_none() && invite.serverless.is_some());
    let capsule = match (is_without, &invite.serverless, &invite.genesis) {
        (false, ..) => None,
        (true, Some(serverless), Some(genesis)) => Some(Capsule {
            genesis: Genesis::clone(genesis),
            generation: serverless.generation,
            random: serverless.random.clone(),
            log: Vec::new(),
        }),
        (true, ..) => {
            return Err(
                Failure::usage("the invite doesn't say enough to enter without a rendezvous")
                    .help("ask for one to a room that was made with --no-server"),
            );
        }
    };
    if let Some(room) = &args.room
        && given::room_id(room)? != invite.room_id
    {
        return Err(Failure::usage("--room and the invite name different rooms").help("leave --room out"));
    }
    Ok(Target {
        server: invite.server,
        capsule,
        room_id: invite.room_id,
        room_key: invite.room_key,
        genesis: Some(invite.genesis_hash),
        // What can't be understood can't be dialled.
        addresses: invite
            .addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect(),
        name: None,
    })
}
