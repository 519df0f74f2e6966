//! What the user gave, parsed: each mistake is told before anything is sent or made.

use std::path::Path;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug::rendezvous::{Client, ServerUrl};
use snug::text::Untrusted;
use snug_crypto::bounds::MAX_DESCRIPTION_BYTES;
use snug_crypto::names::{Password, RoomId, RoomKey, check_distinct, check_name};

use super::App;
use crate::chosen;
use crate::cli::{CreateArgs, EnterArgs, NewRoomArgs};
use crate::failure::Failure;
use crate::secrets::{self, Prompter};

/// Words of a generated Room ID: enough that no two meet by chance.
const ID_WORDS: usize = 3;

/// The system's randomness; without it nothing here can go on.
pub fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Parses a Room ID.
pub fn room_id(text: &str) -> Result<RoomId, Failure> {
    RoomId::parse(text)
        .map_err(|error| Failure::usage(error).help("a Room ID has 1 to 64 characters, for example: den"))
}

/// A Room ID that nobody has: three words.
fn generated_room_id() -> Result<RoomId, Failure> {
    let words = RoomKey::generate(&mut rng());
    room_id(&words.reveal().split('-').take(ID_WORDS).collect::<Vec<_>>().join("-"))
}

/// The Room ID to make: as given; else asked for, with a default; else generated.
pub fn new_room_id(args: &NewRoomArgs, ask: Option<&Prompter>) -> Result<RoomId, Failure> {
    if let Some(text) = &args.room {
        return tellable_room_id(text);
    }
    let generated = generated_room_id()?;
    match ask.filter(|prompter| prompter.is_interactive()) {
        Some(prompter) => prompter.line_as("Room ID", Some(generated.as_str()), "--room", tellable_room_id),
        None => Ok(generated),
    }
}

/// A Room ID that others can be told: what is seen of it is all of it, and it can't be taken for an invite.
fn tellable_room_id(text: &str) -> Result<RoomId, Failure> {
    let id = room_id(text)?;
    if Untrusted::new(id.as_str()).line() != id.as_str() {
        return Err(
            Failure::usage("the Room ID holds characters that can't be seen, so nobody could type it")
                .help("leave them out, for example: den"),
        );
    }
    if id.as_str().starts_with("snug1") {
        return Err(
            Failure::usage("a Room ID that begins with “snug1” would be taken for an invite")
                .help("choose another one, for example: den"),
        );
    }
    Ok(id)
}

/// Room Key and Password to make a room with: from their files, or generated.
pub fn new_secrets(args: &NewRoomArgs) -> Result<(RoomKey, Password), Failure> {
    secrets::check_one_stdin(&[&args.room_key_file, &args.password_file])?;
    let room_key = match &args.room_key_file {
        Some(file) => room_key(&secrets::from_file(file, "the Room Key")?)?,
        None => RoomKey::generate(&mut rng()),
    };
    let password = match &args.password_file {
        Some(file) => password(&secrets::from_file(file, "the Password")?)?,
        None => Password::generate(&mut rng()),
    };
    check_distinct(&room_key, &password).map_err(Failure::usage)?;
    chosen::check_strength(&room_key, args.allow_weak_key).map_err(|weak| {
        Failure::usage(weak).help(
            "leave --room-key-file out to have one generated, choose a longer one, or insist with --allow-weak-key",
        )
    })?;
    if chosen::is_weak(&password) {
        eprintln!(
            "warning: the Password is weak: whoever runs the rendezvous could find it by guessing, and then act as the room's admin; \
             leave --password-file out to have one generated, or choose a longer one"
        );
    }
    Ok((room_key, password))
}

/// The Room Key of a room without a rendezvous, from its file or generated. There is no Password: nobody would check it.
pub fn new_room_key(args: &NewRoomArgs) -> Result<RoomKey, Failure> {
    if args.password_file.is_some() {
        return Err(
            Failure::usage("a room without a rendezvous has no Password: nobody would be there to check it")
                .help("leave --password-file out; the profile that makes the room holds the power over it"),
        );
    }
    Ok(new_secrets(args)?.0)
}

/// Parses a Room Key.
pub fn room_key(text: &str) -> Result<RoomKey, Failure> {
    RoomKey::parse(text).map_err(Failure::usage)
}

/// The Room Key from its file, or asked for.
pub fn existing_room_key(file: Option<&Path>, prompter: &Prompter) -> Result<RoomKey, Failure> {
    match file {
        Some(file) => room_key(&secrets::from_file(file, "the Room Key")?),
        None => prompter.hidden_as("Room Key (not shown)", "the Room Key (--room-key-file)", room_key),
    }
}

/// Parses a Password.
pub fn password(text: &str) -> Result<Password, Failure> {
    Password::parse(text).map_err(Failure::usage)
}

/// The Password from its file, or asked for.
pub fn existing_password(file: Option<&Path>, prompter: &Prompter) -> Result<Password, Failure> {
    match file {
        Some(file) => password(&secrets::from_file(file, "the Password")?),
        None => prompter.hidden_as("Password (not shown)", "the Password (--password-file)", password),
    }
}

/// A client of the server that was named anywhere.
pub fn client(server: Option<&str>) -> Result<Client, Failure> {
    let Some(text) = server else {
        return Err(Failure::usage("no rendezvous is named")
            .help("give --server URL, set SNUG_SERVER or server in the configuration file, or run: snug host"));
    };
    let url = ServerUrl::parse(text).map_err(Failure::usage)?;
    Ok(Client::new(url)?)
}

/// Warns where what is sent can be seen on the way.
pub fn warn_if_plain(server: &ServerUrl) {
    if server.is_plain_to_other_host() {
        eprintln!(
            "warning: {server} is plain http: others on the way can see which room this is (as a number) and your session with \
             the rendezvous, though neither its Room Key nor what is said"
        );
    }
}

/// Our name in the room: as given, else as it was there before, else asked for with the account's name as the default.
pub fn name(app: &App, args: &EnterArgs, known: Option<&str>, prompter: &Prompter) -> Result<String, Failure> {
    if let Some(name) = app.config.name(args).or(known) {
        return usable_name(name);
    }
    let account = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|var| std::env::var(var).ok());
    prompter.line_as("Your name", account.as_deref(), "your name (--name)", usable_name)
}

fn usable_name(text: &str) -> Result<String, Failure> {
    // Where a control character would be refused, an invisible one is just left out.
    check_name(text).map_err(Failure::usage)?;
    let name = Untrusted::new(text).line();
    check_name(name.trim()).map_err(Failure::usage)?;
    Ok(name.trim().to_owned())
}

/// The addresses to listen on for members; none is the default.
pub fn listen(app: &App, args: &EnterArgs) -> Result<Vec<Multiaddr>, Failure> {
    addresses(app.config.listen(args))
}

/// Multiaddresses as typed.
pub fn addresses(texts: &[String]) -> Result<Vec<Multiaddr>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            Failure::usage(format_args!(
                "{} is no multiaddress",
                Untrusted::new(text.as_str()).log()
            ))
            .help("for example: --listen /ip4/0.0.0.0/tcp/4001 or --listen /ip4/0.0.0.0/udp/4001/quic-v1")
        })
    };
    texts.iter().map(parse).collect()
}

/// Multiaddresses where others are to reach this machine: they go by them as they stand, and look up no name.
pub fn reached_at(texts: &[String]) -> Result<Vec<Multiaddr>, Failure> {
    let addresses = addresses(texts)?;
    let is_ip = |address: &Multiaddr| match address.iter().next() {
        Some(Protocol::Ip4(ip)) => !ip.is_unspecified(),
        Some(Protocol::Ip6(ip)) => !ip.is_unspecified(),
        _ => false,
    };
    match addresses.iter().find(|address| !is_ip(address)) {
        None => Ok(addresses),
        Some(wrong) => Err(Failure::usage(format_args!(
            "members can't reach {wrong}: that takes an IP address of this machine or of its router, no name"
        ))
        .help("for example: --address /ip4/203.0.113.7/tcp/4001")),
    }
}

/// What a new room is for, from the flag or from a file's first line.
pub fn description(args: &CreateArgs) -> Result<String, Failure> {
    let text = match (&args.description, &args.description_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format_args!(
                    "the description {} can't be read: {error}",
                    path.display()
                ))
            })?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        (None, None) => return Ok(String::new()),
    };
    let text = text.trim();
    if text.len() > MAX_DESCRIPTION_BYTES || text.chars().any(char::is_control) {
        return Err(Failure::usage(format_args!(
            "a description is one line of at most {MAX_DESCRIPTION_BYTES} bytes, without control characters"
        )));
    }
    Ok(text.to_owned())
}
