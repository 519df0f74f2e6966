//! A member who can be reached relays for those of its room who can't: with no relay at the rendezvous, or none any more.

use super::*;

/// Two members behind routers through which no hole can be punched, and a third on the public network.
struct Three {
    _folders: [Home; 3],
    _routers: [AtHome; 2],
    _public: Namespace,
    alice: Member,
    bob: Member,
    carol: Member,
}

impl Three {
    fn new(internet: &mut Internet, server: &Server, carols: &[&str]) -> Self {
        let routers = [internet.home(Nat::Symmetric), internet.home(Nat::Symmetric)];
        let (public, _) = internet.host();
        let folders = [Home::new(), Home::new(), Home::new()];
        let card = make(&public, &folders[2], "carol", server);
        let invite = folders[2].secret("invite", card["invite"].as_str().expect("an invite"));
        let mut command = folders[2].snug(["join", "--name", "carol", "--no-mdns", "--json", "--invite-file"]);
        command.arg(invite).args(carols);
        let mut carol = Member::start("carol", &mut public.command(&command));
        carol.ready();
        let alice = enter(&routers[0].host, &folders[0], "alice", &card);
        let bob = enter(&routers[1].host, &folders[1], "bob", &card);
        Self {
            _folders: folders,
            _routers: routers,
            _public: public,
            alice,
            bob,
            carol,
        }
    }

    /// Everybody hears everybody, by whatever way.
    fn meet(&mut self) {
        self.alice.ready();
        self.bob.ready();
        say(&mut self.alice, "hello from alice");
        say(&mut self.bob, "hello from bob");
        for member in [&mut self.bob, &mut self.carol] {
            hear(member, "hello from alice");
        }
        for member in [&mut self.alice, &mut self.carol] {
            hear(member, "hello from bob");
        }
    }

    /// Alice and Bob have a link of their own, and it leads through Carol.
    fn linked_through_carol(&mut self) {
        for member in [&mut self.alice, &mut self.bob] {
            wait_status(member, "a link through a member", |status| {
                status["links"] == 2 && status["relayed"] == 1 && status["relay"] == "reserved"
            });
        }
        wait_status(&mut self.carol, "links of others", |status| {
            status["relaying"].as_u64().is_some_and(|links| links >= 1)
        });
    }
}

#[test]
fn a_member_who_can_be_reached_relays_where_the_rendezvous_does_not() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let mut server = Server::start(&mut internet, &["--no-relay"]);
    let mut three = Three::new(&mut internet, &server, &[]);
    three.meet();
    three.linked_through_carol();
    // Nothing of it hangs on the rendezvous.
    server.kill();
    say(&mut three.alice, "who needs a server");
    hear(&mut three.bob, "who needs a server");
    three.linked_through_carol();
    let status = status(&mut three.carol);
    assert_eq!(status["relayed"], 0, "she is linked with both directly: {status}");
}

#[test]
fn when_the_rendezvous_goes_a_member_relays_in_its_place() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let mut server = Server::start(&mut internet, &[]);
    let mut three = Three::new(&mut internet, &server, &[]);
    three.meet();
    for member in [&mut three.alice, &mut three.bob] {
        wait_status(member, "a link through the rendezvous", |status| {
            status["links"] == 2 && status["relayed"] == 1
        });
    }
    server.kill();
    let gone = Instant::now();
    three.linked_through_carol();
    eprintln!("linked again {:?} after the relay went", gone.elapsed());
    say(&mut three.alice, "still here");
    hear(&mut three.bob, "still here");
}

#[test]
fn who_does_not_want_to_relays_for_nobody() {
    if !internet::permitted() {
        return;
    }
    let mut internet = Internet::new();
    let server = Server::start(&mut internet, &["--no-relay"]);
    let mut three = Three::new(&mut internet, &server, &["--no-relay-for-members"]);
    // Carol hands on what they say all the same: that is gossip.
    three.meet();
    // Long enough for what takes seconds in the tests above; nothing is to come of it.
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        for member in [&mut three.alice, &mut three.bob] {
            let status = status(member);
            assert_eq!(
                (&status["relayed"], &status["relay"]),
                (&json!(0), &json!("none")),
                "{status}"
            );
        }
        assert_eq!(status(&mut three.carol)["relaying"], Value::Null);
        std::thread::sleep(Duration::from_millis(500));
    }
}
