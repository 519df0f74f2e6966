//! Members who are removed, with real processes: the others talk on, the removed one is out, and who was away comes back.

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::plain::PlainMember;
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;

/// Exit status: the room was deleted, or you were removed.
const REMOVED: i32 = 5;
/// Exit status: wrong credentials, or no such room.
const REFUSED: i32 = 3;

/// Enters as the room's admin.
fn admin(home: &Home, card: &RoomCard, name: &str) -> Member {
    let mut command = member::join_command(home, card, name, "--json");
    let password = home.secret("password", &card.password);
    let mut admin = Member::start(name, command.arg("--password-file").arg(password));
    admin.ready();
    admin
}

fn new_room_key(member: &mut Member) -> String {
    member.wait("`room_key` event", |event| {
        let key = (event["type"] == "room_key").then(|| event["room_key"].as_str())?;
        key.map(str::to_owned)
    })
}

fn registered(member: &mut Member) {
    member.wait("`registered` event", |event| {
        (event["event"] == "registered").then_some(())
    });
}

fn is_message(text: &str) -> impl FnMut(&Value) -> Option<()> + '_ {
    move |event| (event["type"] == "message" && event["text"] == text).then_some(())
}

#[test]
fn the_removed_one_is_out_and_the_others_talk_on() {
    let server = Rendezvous::start();
    let homes: [Home; 5] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    let mut carol = Member::join(&homes[2], &card, "carol");
    carol.ready();
    alice.sees(&["bob", "carol"]);
    carol.send("hello");
    alice.hears("hello");
    bob.hears("hello");

    // Nobody but the admin may.
    let refused = bob.request("kick", json!({"who": "alice"})).expect_err("refused");
    assert!(
        refused.message.contains("admin and its moderators"),
        "{}",
        refused.message
    );
    let unknown = alice.request("kick", json!({"who": "nobody"})).expect_err("refused");
    assert!(unknown.message.contains("nobody of that name"), "{}", unknown.message);

    alice.request("kick", json!({"who": "carol"})).expect("done");
    carol.notice("kick", "You were removed from the room den by alice.");
    assert_eq!(carol.process().exit_code(), REMOVED);
    for member in [&mut alice, &mut bob] {
        member.notice("kick", "carol was removed from the room den by alice.");
    }
    alice.send("without carol");
    bob.hears("without carol");
    bob.send("indeed");
    alice.hears("indeed");
    assert!(!carol.heard().iter().any(|text| text == "without carol"));

    // The new Room Key lets in, the old one doesn't.
    let (key, same) = (new_room_key(&mut alice), new_room_key(&mut bob));
    assert_eq!(key, same);
    assert_ne!(key, card.room_key);
    registered(&mut alice);
    let new = RoomCard {
        room_key: key,
        ..card.clone()
    };
    let mut dave = Member::join(&homes[3], &new, "dave");
    dave.ready();
    dave.send("hello from dave");
    alice.hears("hello from dave");
    bob.hears("hello from dave");
    for home in [&homes[2], &homes[4]] {
        let mut again = Member::join(home, &card, "carol");
        assert_eq!(again.process().exit_code(), REFUSED);
        let said = again.process().stderr();
        assert!(said.contains("Room Key was changed"), "{said}");
    }
    let names: Vec<Value> = alice.members().iter().map(|member| member["name"].clone()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_member_that_was_away_comes_back_with_the_old_room_key_and_a_removed_one_does_not() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    let mut carol = Member::join(&homes[2], &card, "carol");
    let mut dave = Member::join(&homes[3], &card, "dave");
    for member in [&mut bob, &mut carol, &mut dave] {
        member.ready();
    }
    alice.sees(&["bob", "carol", "dave"]);
    dave.sees(&["alice", "bob", "carol"]);
    carol.sees(&["alice", "bob", "dave"]);
    // Both are as good as gone: they hear of nothing.
    dave.process().signal("STOP");
    carol.process().signal("STOP");
    alice.request("kick", json!({"who": "carol"})).expect("done");
    bob.notice("kick", "carol was removed from the room den by alice.");
    alice.send("said while dave was away");
    bob.hears("said while dave was away");
    registered(&mut alice);
    dave.process().signal("CONT");
    carol.process().signal("CONT");
    dave.notice("kick", "carol was removed from the room den by alice.");
    dave.send("here again");
    alice.hears("here again");
    bob.hears("here again");
    dave.hears("said while dave was away");
    assert_eq!(carol.process().exit_code(), REMOVED);
    assert!(!carol.heard().iter().any(|text| text == "said while dave was away"));
}

#[test]
fn who_was_offline_comes_back_with_the_old_room_key_and_a_removed_one_does_not() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    let mut carol = Member::join(&homes[2], &card, "carol");
    let mut dave = Member::join(&homes[3], &card, "dave");
    for member in [&mut bob, &mut carol, &mut dave] {
        member.ready();
    }
    alice.sees(&["bob", "carol", "dave"]);
    dave.sees(&["alice", "bob", "carol"]);
    carol.sees(&["alice", "bob", "dave"]);
    dave.hang_up();
    carol.hang_up();
    alice.notice("offline", "carol is offline.");
    alice.request("kick", json!({"who": "carol"})).expect("done");
    bob.notice("kick", "carol was removed from the room den by alice.");
    registered(&mut alice);
    alice.send("said while dave was away");
    bob.hears("said while dave was away");
    let mut dave = Member::join(&homes[3], &card, "dave");
    dave.ready();
    dave.send("back with the old Room Key");
    alice.hears("back with the old Room Key");
    bob.hears("back with the old Room Key");
    dave.hears("said while dave was away");
    let mut carol = Member::join(&homes[2], &card, "carol");
    assert_eq!(carol.process().exit_code(), REMOVED);
    let told = carol.process().stderr();
    assert!(told.contains("You were removed from the room den by alice."), "{told}");
}

#[test]
fn a_banned_one_is_told_so_whatever_it_comes_with() {
    let server = Rendezvous::start();
    let homes: [Home; 2] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut carol = Member::join(&homes[1], &card, "carol");
    carol.ready();
    alice.sees(&["carol"]);
    carol.sees(&["alice"]);
    alice.request("ban", json!({"who": "carol"})).expect("done");
    carol.notice("kick", "You were removed from the room den by alice.");
    assert_eq!(carol.process().exit_code(), REMOVED);
    let new = RoomCard {
        room_key: new_room_key(&mut alice),
        ..card
    };
    registered(&mut alice);
    let mut again = Member::join(&homes[1], &new, "carol");
    again.notice("kick", "You were removed from the room den by its admin.");
    assert_eq!(again.process().exit_code(), REMOVED);
    assert!(again.heard().is_empty());
    alice.send("still here");
    let names: Vec<Value> = alice.members().iter().map(|member| member["name"].clone()).collect();
    assert_eq!(names, ["alice"]);
}

#[test]
fn moderators_remove_their_juniors_from_the_plain_front_end_too() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = PlainMember::start("bob", &mut member::join_command(&homes[1], &card, "bob", "--plain"));
    bob.sees("Welcome to the room den, bob.");
    let mut carol = PlainMember::start("carol", &mut member::join_command(&homes[2], &card, "carol", "--plain"));
    carol.sees("Welcome to the room den, carol.");
    let mut dave = Member::join(&homes[3], &card, "dave");
    dave.ready();
    alice.sees(&["bob", "carol", "dave"]);

    bob.say("/kick carol");
    bob.sees("Not done: only the room's admin and its moderators may do that.");
    bob.say("/kick");
    bob.sees("Type: /kick NAME");
    alice
        .request("role", json!({"who": "bob", "role": "moderator"}))
        .expect("done");
    bob.sees("bob is a moderator of the room den now.");
    bob.say("/kick alice");
    bob.sees("you may not do that");
    bob.say("/kick carol");
    carol.sees("You were removed from the room den by bob.");
    assert_eq!(carol.process().exit_code(), REMOVED);
    alice.notice("kick", "carol was removed from the room den by bob.");
    dave.notice("kick", "carol was removed from the room den by bob.");
    dave.send("still here");
    alice.hears("still here");
    bob.hears("dave", "still here");
    // What bob hands on is the new Room Key.
    let key = new_room_key(&mut alice);
    assert_eq!(key, new_room_key(&mut dave));
}

#[test]
fn a_removal_needs_no_rendezvous_and_is_registered_when_it_is_back() {
    let mut server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    let mut carol = Member::join(&homes[2], &card, "carol");
    bob.ready();
    carol.ready();
    alice.sees(&["bob", "carol"]);
    server.process().kill();
    alice.request("ban", json!({"who": "carol"})).expect("done");
    assert_eq!(carol.process().exit_code(), REMOVED);
    bob.send("the bar is closed");
    alice.hears("the bar is closed");
    server.crash_and_restart();
    registered(&mut alice);
    let new = RoomCard {
        room_key: new_room_key(&mut alice),
        ..card
    };
    let mut dave = Member::join(&homes[3], &new, "dave");
    dave.ready();
    dave.send("open again");
    alice.hears("open again");
    bob.wait("dave's message", is_message("open again"));
}

#[test]
fn a_new_room_key_can_be_given_from_outside_and_nobody_is_shut_out() {
    let server = Rendezvous::start();
    let homes: [Home; 3] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = Member::join(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    alice.ready();
    bob.ready();
    alice.sees(&["bob"]);
    let other = &homes[2];
    let (key, password) = (
        other.secret("key", &card.room_key),
        other.secret("password", &card.password),
    );
    let mut rotate = other.snug([
        "room",
        "rotate-key",
        "--json",
        "--server",
        &server.url(),
        "--room",
        "den",
    ]);
    let output = process::run(
        "rotate-key",
        rotate
            .arg("--room-key-file")
            .arg(key)
            .arg("--password-file")
            .arg(password),
        "",
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    for member in [&mut alice, &mut bob] {
        assert_eq!(new_room_key(member), made["room_key"].as_str().expect("a Room Key"));
        member.notice("rekey", "admin gave the room den a new Room Key.");
    }
    alice.send("with the new Room Key");
    bob.hears("with the new Room Key");
    let key = other.secret("new", &new_room_key(&mut alice));
    let mut info = other.snug(["room", "info", "--json", "--server", &server.url(), "--room", "den"]);
    let output = process::run("info", info.arg("--room-key-file").arg(key), "");
    let info: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&info["room"], &info["generation"]), (&json!("den"), &json!(1)));
}

#[test]
fn the_admin_deletes_the_room_from_inside_at_once() {
    let server = Rendezvous::start();
    let homes: [Home; 3] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    let refused = bob.request("room.delete", json!({})).expect_err("refused");
    assert!(
        refused.message.contains("needs the room's Password"),
        "{}",
        refused.message
    );
    alice.request("room.delete", json!({})).expect("done");
    bob.notice("delete", "The room den has been deleted.");
    assert_eq!(bob.process().exit_code(), REMOVED);
    assert_eq!(alice.process().exit_code(), REMOVED);
    let mut late = Member::join(&homes[2], &card, "late");
    assert_eq!(late.process().exit_code(), REMOVED);
}
