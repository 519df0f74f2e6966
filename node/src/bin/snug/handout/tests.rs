use super::*;

fn handout() -> Handout {
    Handout {
        room: RoomId::parse("the 'quiet' den").unwrap(),
        room_key: RoomKey::parse("plum-otter-lamp-velvet").unwrap(),
        password: Some(Password::parse("hunter-of-keys").unwrap()),
        at: At::Server(ServerUrl::parse("http://192.168.1.2:7070").unwrap()),
        genesis: GenesisHash::from_bytes([7; 32]),
        invite: Zeroizing::new(format!("snug1{}", "qpzry9x8".repeat(30))),
    }
}

#[test]
fn each_value_ends_its_line_and_the_command_can_be_pasted() {
    let lines = handout().for_its_maker();
    assert_eq!(lines[0], "Room ID: the 'quiet' den");
    assert_eq!(lines[1], "Room Key: plum-otter-lamp-velvet");
    assert_eq!(lines[2], "Password: hunter-of-keys");
    assert!(
        lines
            .iter()
            .any(|l| l.ends_with(r"snug join --server http://192.168.1.2:7070 --room 'the '\''quiet'\'' den'"))
    );
    assert!(!handout().to_hand_on().concat().contains("hunter"));
    assert_eq!(quoted("den-2"), "den-2");
    assert_eq!(quoted("-x"), "'-x'");
}

#[test]
fn a_code_is_drawn_only_where_it_fits() {
    let code = handout().qr(&[], 120, 60, false);
    assert!(code.len() > 20 && code.iter().all(|line| width(line) == width(&code[0])));
    assert!(handout().qr(&[], 30, 60, false).is_empty());
    assert!(handout().qr(&[], 120, 10, false).is_empty());
    assert!(handout().qr(&[], 120, 60, true)[0].starts_with("\u{1b}[30;107m"));
    // What stands above it stays in sight: three rows, as one of the lines wraps.
    let above = ["x".repeat(121), String::new()];
    assert!(handout().qr(&above, 120, code.len() + 2, false).is_empty());
    assert_eq!(handout().qr(&above, 120, code.len() + 3, false), code);
}

#[test]
fn a_room_without_a_rendezvous_says_where_it_is() {
    use snug_crypto::AdminKey;
    use snug_crypto::generation::{Generation, RoomRandom};
    use snug_crypto::genesis::Policy;

    let room = RoomId::parse("den").unwrap();
    let admin = AdminKey::from_seed(&[3; 32]);
    let genesis = Genesis::create(&admin, &room, "a place", 1_700_000_000_000, Policy::default()).unwrap();
    let founding = Founding {
        serverless: Serverless {
            generation: Generation::first(&genesis.hash()),
            random: RoomRandom::from_bytes([4; 32]),
        },
        genesis: genesis.clone(),
        addresses: vec!["/ip4/192.0.2.7/tcp/4001".to_owned()],
    };
    let room_key = RoomKey::parse("plum-otter-lamp-velvet").unwrap();
    let at = At::Members(Box::new(founding));
    let handout = Handout::new(room, room_key.clone(), None, at, genesis.hash()).unwrap();
    assert_eq!(handout.card()["server"], Value::Null);
    assert_eq!(handout.card()["password"], Value::Null);
    let lines = handout.for_its_maker();
    assert!(lines.contains(&"Server: none".to_owned()));
    assert!(lines.contains(&"Reached at: /ip4/192.0.2.7/tcp/4001".to_owned()));
    assert!(!lines.concat().contains("--server"));

    let mut handout = handout.found_at(&["/ip4/192.0.2.9/tcp/1".parse().unwrap()]);
    let later = Serverless {
        generation: Generation {
            count: 1,
            ..Generation::first(&genesis.hash())
        },
        random: RoomRandom::from_bytes([5; 32]),
    };
    handout.rekey(&room_key, &later);
    let invite = Invite::parse(&handout.invite).unwrap();
    assert_eq!(invite.addresses, ["/ip4/192.0.2.9/tcp/1"]);
    assert_eq!(invite.genesis.as_deref(), Some(&genesis));
    let told = invite.serverless.unwrap();
    assert_eq!((told.generation, told.random.expose()), (later.generation, &[5; 32]));
    assert_eq!(invite.server, None);
}
