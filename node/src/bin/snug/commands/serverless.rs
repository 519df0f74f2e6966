//! `snug create --no-server`: a room that no rendezvous knows of. The invite says all that one would, and where the members are.

use snug::engine::{self, AdminAccess, EnterOptions, EventKind, Handle, Meeting};
use snug_crypto::AdminKey;
use snug_crypto::capsule::Capsule;
use snug_crypto::generation::{Generation, RoomRandom};
use snug_crypto::genesis::Genesis;
use snug_crypto::invite::Serverless;

use super::create::{self, Who};
use super::{App, given, print, print_json};
use crate::cli::CreateArgs;
use crate::failure::Failure;
use crate::front::{self, Front, Room, json};
use crate::handout::{At, Founding, Handout};
use crate::secrets::Prompter;

/// Makes the room and goes in; without `--join` out again at once, so that the vault holds all that the next run needs.
pub async fn create(app: &App, args: CreateArgs, front: Front, prompter: &Prompter) -> Result<u8, Failure> {
    if args.enter.ephemeral && !args.join {
        return Err(Failure::usage(
            "an ephemeral room without a rendezvous would be gone as soon as its invite is printed",
        )
        .help("add --join to stay in it, or leave --ephemeral out"));
    }
    let room_id = given::new_room_id(&args.room, Some(prompter))?;
    let room_key = given::new_room_key(&args.room)?;
    let description = given::description(&args)?;
    let Who {
        profile,
        name,
        listen,
        read_receipts,
        lan,
        relays,
        serves,
        upnp,
    } = create::who(app, &args, prompter, front)?;

    let rng = &mut given::rng();
    let admin = AdminKey::generate(rng);
    let made_at = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let genesis =
        Genesis::create(&admin, &room_id, &description, made_at, args.rules.policy()).map_err(Failure::usage)?;
    let capsule = Capsule {
        generation: Generation::first(&genesis.hash()),
        random: RoomRandom::generate(rng),
        genesis,
        log: Vec::new(),
    };
    let (handle, mut events) = engine::enter(EnterOptions {
        profile,
        meeting: Meeting::Members(Box::new(capsule.clone())),
        room_id: room_id.clone(),
        room_key: room_key.clone(),
        name,
        admin: Some(AdminAccess::Key(admin)),
        listen,
        expected_genesis: Some(capsule.genesis.hash()),
        addresses: Vec::new(),
        relays,
        serves,
        // Who goes out again at once needs no port.
        upnp: upnp && args.join,
        lan,
        insecure_registration: false,
        read_receipts,
    })
    .await?;
    let genesis = capsule.genesis.hash();
    let at = At::Members(Box::new(founding(capsule, &handle).await?));
    let handout = Handout::new(room_id, room_key, None, at, genesis)?;
    if args.join {
        let told = match front {
            Front::Json => print([json::created(handout.room.as_str(), handout.card())?]),
            Front::Plain | Front::Tui => print(create::for_people(app, &handout)),
        };
        if let Err(failure) = told {
            handle.leave().await;
            return Err(failure.help("the room was given up again, as its invite could not be told; make it anew"));
        }
        let room = Room {
            handle,
            events,
            handout,
            made_here: true,
            color: app.color(),
            // It has no Password.
            password: None,
            ephemeral: args.enter.ephemeral,
        };
        return Ok(front::run(front, room).await?.exit_status());
    }
    // Until our own membership stands: from then on it is in the vault.
    while let Some(event) = events.recv().await {
        match event.kind {
            EventKind::Ready { .. } => break,
            EventKind::Closed(reason) => {
                return Err(Failure::failed(format_args!("the room could not be made: {reason:?}")));
            }
            _ => {}
        }
    }
    handle.go_offline().await;
    if args.enter.json {
        print_json(&handout.card())?;
    } else {
        let mut lines = create::for_people(app, &handout);
        lines.push("Nobody is in the room yet: to go in, and stay for others, snug join".to_owned());
        print(lines)?;
    }
    Ok(0)
}

/// What an invite says of the room, with where we are now.
pub async fn founding(capsule: Capsule, handle: &Handle) -> Result<Founding, Failure> {
    let status = handle.status().await.map_err(Failure::failed)?;
    Ok(Founding {
        serverless: Serverless {
            generation: capsule.generation,
            random: capsule.random,
        },
        genesis: capsule.genesis,
        addresses: status.reach.iter().map(ToString::to_string).collect(),
    })
}
