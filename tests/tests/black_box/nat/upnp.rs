//! A router that opens a port when it is asked lets members in who could reach nobody there otherwise.

use super::*;
use snug_tests::igd::Igd;

/// A member at home behind a router that opens ports, one behind a router that doesn't, and neither relay nor hole between them.
struct Homes {
    _internet: Internet,
    _server: Server,
    _folders: [Home; 3],
    routers: [AtHome; 2],
    igd: Process,
    alice: Member,
    bob: Member,
}

impl Homes {
    fn new(mut internet: Internet, igd: &Igd, flags: &[&str]) -> Self {
        let server = Server::start(&mut internet, &["--no-relay"]);
        let routers = [internet.home(Nat::Symmetric), internet.home(Nat::Symmetric)];
        let folders = [Home::new(), Home::new(), Home::new()];
        let igd = igd.start(&routers[0].router, &folders[2]);
        let card = make(&routers[0].host, &folders[0], "alice", &server);
        let invite = folders[0].secret("invite", card["invite"].as_str().expect("an invite"));
        let mut command = folders[0].snug(["join", "--name", "alice", "--no-mdns", "--json", "--invite-file"]);
        command.arg(invite).args(flags).env_remove("SNUG_NO_UPNP");
        let mut alice = Member::start("alice", &mut routers[0].host.command(&command));
        alice.ready();
        let bob = enter(&routers[1].host, &folders[1], "bob", &card);
        Self {
            _internet: internet,
            _server: server,
            _folders: folders,
            routers,
            igd,
            alice,
            bob,
        }
    }
}

fn a_port_is_opened_used_and_closed(internet: Internet, igd: &Igd) {
    let mut homes = Homes::new(internet, igd, &[]);
    let Homes { alice, bob, .. } = &mut homes;
    wait_status(alice, "a port of the router", |status| status["upnp"] == "mapped");
    say(alice, "the door is open");
    hear(bob, "the door is open");
    say(bob, "so I see");
    hear(alice, "so I see");
    let Homes {
        routers,
        mut alice,
        mut bob,
        ..
    } = homes;
    let router = &routers[0].router;
    for member in [&mut alice, &mut bob] {
        let status = status(member);
        assert_eq!(
            (&status["links"], &status["relayed"]),
            (&json!(1), &json!(0)),
            "{status}"
        );
    }
    let status = status(&mut alice);
    let addresses = status["addresses"].as_array().expect("addresses");
    let outside = format!("/ip4/{}/", router.wan);
    let told = addresses
        .iter()
        .filter(|address| address.as_str().is_some_and(|text| text.starts_with(&outside)));
    assert_eq!(told.count(), 2, "TCP and QUIC: {status}");
    assert_eq!(router.open_ports(), 2);
    alice.hang_up();
    assert_eq!(router.open_ports(), 0, "what was opened is closed at an orderly end");
    bob.hang_up();
}

#[test]
fn a_router_is_asked_for_a_port_through_which_members_come_and_closes_it_again() {
    if internet::permitted() {
        a_port_is_opened_used_and_closed(Internet::new(), &Igd::Small);
    }
}

#[test]
fn what_many_routers_run_is_asked_as_it_wants_to_be() {
    if internet::permitted()
        && let Some(igd) = Igd::miniupnpd()
    {
        a_port_is_opened_used_and_closed(Internet::unreserved(), &igd);
    }
}

#[test]
fn who_does_not_want_it_asks_no_router_and_is_not_reached() {
    if !internet::permitted() {
        return;
    }
    let mut homes = Homes::new(Internet::new(), &Igd::Small, &["--no-upnp"]);
    let Homes { alice, bob, .. } = &mut homes;
    // That nobody can be reached is told after a minute and a half; a router would have been asked in the first second.
    for member in [alice, bob] {
        member.wait_within(FOUND, "a warning", |event| {
            let text = event["message"].as_str().filter(|_| event["type"] == "warning")?;
            text.contains("can't be reached from here").then_some(())
        });
        let status = status(member);
        assert_eq!(
            (&status["links"], &status["upnp"]),
            (&json!(0), &json!("off")),
            "{status}"
        );
    }
    assert_eq!(homes.routers[0].router.open_ports(), 0);
    assert!(homes.igd.is_running(), "there was a router to be asked");
}
