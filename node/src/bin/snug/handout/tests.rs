use super::*;

fn handout() -> Handout {
    Handout {
        room: RoomId::parse("the 'quiet' den").unwrap(),
        room_key: RoomKey::parse("plum-otter-lamp-velvet").unwrap(),
        password: Some(Password::parse("hunter-of-keys").unwrap()),
        server: ServerUrl::parse("http://192.168.1.2:7070").unwrap(),
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
