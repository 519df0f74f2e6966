//! `snug create`: make a room, print what to hand on, and with `--join` enter it.

use libp2p::Multiaddr;
use snug::engine::{self, AdminAccess, EnterOptions, Meeting};
use snug::profile::Profile;
use snug::rendezvous::{Client, CreateError, CreateOptions};
use snug_crypto::AdminKey;
use snug_crypto::genesis::Policy;
use snug_crypto::ids::GenesisHash;
use snug_crypto::names::{Password, RoomId, RoomKey};

use super::{App, given, log_place, print, print_json, profile, serverless};
use crate::chosen::KnownPassword;
use crate::cli::CreateArgs;
use crate::failure::Failure;
use crate::front::{self, Front, Room, json};
use crate::handout::{At, Handout};
use crate::secrets::{self, Prompter};

/// Makes the room; with `--join` runs until it is left.
pub async fn run(app: &App, args: CreateArgs) -> Result<u8, Failure> {
    let front = Front::choose(&args.enter);
    let prompter = Prompter::new(args.enter.json);
    let files = [
        &args.registration_token_file,
        &args.room.room_key_file,
        &args.room.password_file,
    ];
    secrets::check_one_stdin(&files)?;
    if args.no_server.no_server {
        return serverless::create(app, args, front, &prompter).await;
    }
    let mut client = given::client(app.config.server(&args.server, None).as_deref())?;
    if let Some(file) = &args.registration_token_file {
        let token = secrets::from_file(file, "the registration token")?;
        client = client.with_registration_token(token.trim()).ok_or_else(|| {
            Failure::usage("the registration token is none: it has visible ASCII characters only, without spaces")
        })?;
    }
    let room_id = given::new_room_id(&args.room, Some(&prompter))?;
    let (room_key, password) = given::new_secrets(&args.room)?;
    let mut options = options(args.insecure_registration);
    options.description = given::description(&args)?;
    options.policy = args.rules.policy();
    options.policy.listed = args.listed;
    if !args.join {
        app.log(None)?;
        let made = make(&client, room_id, room_key, password, options, None).await?;
        let printed = if args.enter.json {
            print_json(&made.handout.card())
        } else {
            print(for_people(app, &made.handout))
        };
        return match printed {
            Ok(()) => Ok(0),
            Err(failure) => Err(unmake(&client, &made.handout, failure).await),
        };
    }
    // All that can be wrong with entering is told before there is a room.
    let who = who(app, &args, &prompter, front)?;
    let made = make(&client, room_id, room_key, password, options, None).await?;
    enter(app, front, client, made, who).await
}

/// Who enters.
pub struct Who {
    pub profile: Profile,
    pub name: String,
    pub listen: Vec<Multiaddr>,
    pub read_receipts: bool,
    /// Whether to look for members on the local network.
    pub lan: bool,
    /// Uses relays.
    pub relays: bool,
    /// Relays for members.
    pub serves: bool,
    /// Asks the router to open a port.
    pub upnp: bool,
}

/// Who enters, as given.
pub fn who(app: &App, args: &CreateArgs, prompter: &Prompter, front: Front) -> Result<Who, Failure> {
    let name = given::name(app, &args.enter, None, prompter)?;
    let listen = given::listen(app, &args.enter)?;
    let (data_dir, profile) = profile::open(app, &args.profile, args.enter.ephemeral, prompter)?;
    app.log(log_place(front, &data_dir, args.enter.ephemeral))?;
    Ok(Who {
        profile,
        name,
        listen,
        read_receipts: app.config.read_receipts(&args.enter),
        lan: app.config.mdns(&args.enter),
        relays: app.config.relay(&args.enter),
        serves: app.config.relay_for_members(&args.enter),
        upnp: app.config.upnp(&args.enter),
    })
}

/// A room that was made here.
pub struct Made {
    pub handout: Handout,
    pub admin: AdminKey,
    pub genesis: GenesisHash,
    /// Whether a new Room Key, too, may be registered over plain http to another host.
    pub insecure_registration: bool,
}

/// The rules of new rooms.
pub fn options(insecure_registration: bool) -> CreateOptions {
    CreateOptions {
        description: String::new(),
        policy: Policy::default(),
        insecure_registration,
    }
}

/// Makes a room at the client's rendezvous; `if_taken` says what to do if there is one of that Room ID.
pub async fn make(
    client: &Client,
    room_id: RoomId,
    room_key: RoomKey,
    password: Password,
    options: CreateOptions,
    if_taken: Option<String>,
) -> Result<Made, Failure> {
    let insecure_registration = options.insecure_registration;
    let created = client.create(&room_id, &room_key, &password, options).await;
    let created = created.map_err(|error| match if_taken {
        Some(help) if matches!(error, CreateError::RoomExists) => Failure::from(error).help(help),
        _ => error.into(),
    })?;
    let server = client.server().clone();
    let genesis = created.genesis_hash;
    let handout = Handout::new(room_id, room_key, Some(password), At::Server(server), genesis)?;
    Ok(Made {
        handout,
        admin: created.admin,
        genesis,
        insecure_registration,
    })
}

/// Deletes a room again whose credentials could not be told: nobody would ever get in, and its Room ID would stay taken.
async fn unmake(client: &Client, handout: &Handout, failure: Failure) -> Failure {
    let Some(password) = &handout.password else {
        return failure;
    };
    match client.delete(&handout.room, password).await {
        Ok(()) => failure.help("the room was deleted again, as its Room Key could not be told; make it anew"),
        Err(_) => failure.help("the room was made, but its Room Key could not be told: make another one"),
    }
}

/// What is printed for people, with the code if it fits the terminal.
pub fn for_people(app: &App, handout: &Handout) -> Vec<String> {
    let mut lines = handout.for_its_maker();
    if std::io::IsTerminal::is_terminal(&std::io::stdout())
        && let Ok((columns, rows)) = crossterm::terminal::size()
    {
        // An empty line before it, the next prompt after it.
        let code = handout.qr(&lines, columns.into(), usize::from(rows).saturating_sub(2), app.color());
        lines.extend((!code.is_empty()).then(String::new));
        lines.extend(code);
    }
    lines
}

/// Enters a room that was just made, as its admin; runs until it is left.
pub async fn enter(app: &App, front: Front, client: Client, made: Made, who: Who) -> Result<u8, Failure> {
    let Made {
        mut handout,
        admin,
        genesis,
        insecure_registration,
    } = made;
    // Before anything else can fail: nobody else knows these secrets.
    let told = match front {
        Front::Json => print([json::created(handout.room.as_str(), handout.card())?]),
        Front::Plain | Front::Tui => print(for_people(app, &handout)),
    };
    if let Err(failure) = told {
        return Err(unmake(&client, &handout, failure).await);
    }
    let password = handout.password.take();
    let password = password.as_ref().and_then(KnownPassword::new);
    let ephemeral = who.profile.is_ephemeral();
    let (handle, events) = engine::enter(EnterOptions {
        profile: who.profile,
        meeting: Meeting::Rendezvous(client),
        room_id: handout.room.clone(),
        room_key: handout.room_key.clone(),
        name: who.name,
        admin: Some(AdminAccess::Key(admin)),
        listen: who.listen,
        expected_genesis: Some(genesis),
        addresses: Vec::new(),
        lan: who.lan,
        relays: who.relays,
        serves: who.serves,
        upnp: who.upnp,
        insecure_registration,
        read_receipts: who.read_receipts,
    })
    .await?;
    let room = Room {
        handle,
        events,
        handout,
        password,
        ephemeral,
        made_here: true,
        color: app.color(),
    };
    Ok(front::run(front, room).await?.exit_status())
}
