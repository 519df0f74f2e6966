//! A room's life: entered, talked in, left, deleted, and what the rendezvous does meanwhile.

use snug_crypto::ids::{Fingerprint, MessageId};

use super::*;
use crate::room::{MemberView, Role};
use crate::text::Untrusted;

#[tokio::test]
async fn those_who_enter_talk_both_ways() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    let created = den.create(&rendezvous).await;

    let mut alice = den.enter(&rendezvous, "alice").await;
    let mut bob = den.enter(&rendezvous, "bob").await;
    assert_eq!(alice.until_system("join").await, "bob has joined the room den.");

    let sent = alice.handle.send("hello, bob", None).await.unwrap();
    let heard = bob.until_message().await;
    assert_eq!(
        (heard.id, heard.text.exact(), heard.from.name.exact()),
        (sent, "hello, bob", "alice")
    );
    let answer = bob.handle.send("hello, alice", Some(sent)).await.unwrap();
    let heard = alice
        .until("bob's answer", |kind| match kind {
            EventKind::Message(message) if !message.from.me => Some(message.clone()),
            _ => None,
        })
        .await;
    assert_eq!(
        (heard.id, heard.reply_to, heard.text.exact()),
        (answer, Some(sent), "hello, alice")
    );

    let members = alice.handle.members().await.unwrap();
    assert_eq!(members.len(), 2);
    let info = bob.handle.info().await.unwrap();
    assert_eq!((info.room.as_str(), info.members, info.generation), ("den", 2, 0));
    assert_eq!(
        (info.genesis, info.description.exact()),
        (created.genesis_hash, "a small private room")
    );
    let status = bob.handle.status().await.unwrap();
    assert!(status.epoch.is_some());
    assert_eq!((status.links.len(), status.addresses.len()), (1, 1));
    assert_eq!(status.rendezvous, RendezvousState::Connected);
}

#[tokio::test]
async fn who_leaves_is_gone_for_the_others_and_for_the_rendezvous() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = den.enter(&rendezvous, "alice").await;
    let mut bob = den.enter(&rendezvous, "bob").await;
    alice.until_system("join").await;

    timeout(Duration::from_secs(5), bob.handle.leave()).await.unwrap();
    assert_eq!(bob.until_closed().await, CloseReason::Left);
    assert!(bob.events.recv().await.is_none());
    assert!(matches!(
        bob.handle.send("too late", None).await,
        Err(SendError::Closed(_))
    ));
    assert_eq!(bob.handle.status().await.unwrap_err(), Closed);
    assert_eq!(alice.until_system("leave").await, "bob has left the room den.");

    // With the last handle gone a node leaves by itself.
    let Node { handle, events } = alice;
    drop(handle);
    let mut alice = Node {
        handle: bob.handle.clone(),
        events,
    };
    assert_eq!(alice.until_closed().await, CloseReason::Left);
    let login = rendezvous.client().login(&den.id, &den.key).await.unwrap();
    assert!(login.introductions.is_empty());

    // The empty room can be entered again.
    den.enter(&rendezvous, "carol").await;
}

#[tokio::test]
async fn a_deletion_reaches_those_who_are_inside_and_those_who_come_later() {
    let (server, data) = (folder(), folder());
    let rendezvous = Rendezvous::start(server.path()).await;
    let den = Den::new();
    let created = den.create(&rendezvous).await;
    let mut inside = Node::enter(EnterOptions {
        profile: on_disk(data.path()),
        ..den.options(&rendezvous, "alice")
    })
    .await
    .unwrap();

    rendezvous.client().delete(&den.id, &den.password).await.unwrap();
    assert_eq!(inside.until_system("delete").await, "The room den has been deleted.");
    assert_eq!(inside.until_closed().await, CloseReason::Deleted);
    assert_eq!(CloseReason::Deleted.exit_status(), 5);

    let mut profile = on_disk(data.path());
    let place = crate::profile::Place::server(&rendezvous.url);
    assert_eq!(profile.pinned(&place, &den.id), None);
    // Somebody who was away keeps the pin until the admin's word arrives.
    let genesis = &created.genesis;
    profile.pin(&place, &den.id, genesis.hash(), *genesis.admin()).unwrap();
    let late = EnterOptions {
        profile,
        ..den.options(&rendezvous, "alice")
    };
    let error = Node::enter(late).await.err().unwrap();
    assert_eq!(error.exit_status(), 5);
    assert_eq!(on_disk(data.path()).pinned(&place, &den.id), None);
}

#[tokio::test]
async fn a_room_goes_on_without_its_rendezvous_and_is_found_again_when_it_is_back() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = den.enter(&rendezvous, "alice").await;
    let mut bob = den.enter(&rendezvous, "bob").await;
    alice.until_system("join").await;

    let port = rendezvous.stop().await;
    let warning = alice.until_warning().await;
    assert!(warning.contains("can't reach the rendezvous"), "{warning}");
    assert_eq!(
        alice.handle.status().await.unwrap().rendezvous,
        RendezvousState::Unreachable
    );
    alice.handle.send("still here", None).await.unwrap();
    assert_eq!(bob.until_message().await.text.exact(), "still here");

    let rendezvous = Rendezvous::start_on(folder.path(), port).await;
    let notice = alice.until_system("rendezvous").await;
    assert!(notice.ends_with("is back."), "{notice}");
    let mut carol = den.enter(&rendezvous, "carol").await;
    alice.handle.send("welcome back", None).await.unwrap();
    assert_eq!(carol.until_message().await.text.exact(), "welcome back");
}

#[tokio::test]
async fn a_lapsed_token_is_renewed_by_a_new_login() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let _alice = den.enter(&rendezvous, "alice").await;

    rendezvous.ahead_ms.fetch_add(2 * 3_600_000, Ordering::Relaxed);
    // Her old record has lapsed, and her old token can't make a new one.
    let introduced = timeout(PATIENCE, async {
        while rendezvous
            .client()
            .login(&den.id, &den.key)
            .await
            .unwrap()
            .introductions
            .is_empty()
        {
            tokio::time::sleep(HEARTBEAT).await;
        }
    });
    introduced.await.expect("alice is introduced again");
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed_and_how_it_ended() {
    let (sender, receiver) = tokio::sync::broadcast::channel(event::EVENTS);
    let mut events = Events::new(receiver, tokio::sync::watch::Sender::default());
    let count = event::EVENTS as u64 + 10;
    for number in 0..count {
        sender.send(Event::now(EventKind::Lagged { missed: number })).unwrap();
    }
    sender.send(Event::now(EventKind::Closed(CloseReason::Left))).unwrap();
    drop(sender);

    let first = events.recv().await.unwrap();
    assert!(matches!(first.kind, EventKind::Lagged { missed: 11 }), "{first:?}");
    let next = events.recv().await.unwrap();
    assert!(
        matches!(next.kind, EventKind::Lagged { missed: 11 }),
        "the 12th event is the oldest left: {next:?}"
    );
    let mut last = next;
    while let Some(event) = events.recv().await {
        last = event;
    }
    assert!(matches!(last.kind, EventKind::Closed(CloseReason::Left)));
}

#[tokio::test]
async fn what_was_missed_is_never_confirmed_with_what_came_after() {
    let (sender, receiver) = tokio::sync::broadcast::channel(4);
    let (tell, told) = tokio::sync::watch::channel(event::Confirmed::default());
    let mut events = Events::new(receiver, tell);
    let say = |serials: std::ops::RangeInclusive<u64>| {
        for serial in serials {
            sender.send(Event::now(EventKind::Message(message(serial)))).unwrap();
        }
    };
    let take = |events: &mut Events| {
        while events.try_recv().is_some() {}
        events.told();
        told.borrow().clone()
    };
    say(1..=3);
    let confirmed = take(&mut events);
    assert_eq!((confirmed.told, confirmed.missed), (3, vec![]));
    say(4..=10);
    let confirmed = take(&mut events);
    assert_eq!((confirmed.told, confirmed.missed), (10, vec![(3, 6)]));
    events.read_to(8);
    // However often that happens, it is told in a bounded number of stretches, and all of it.
    for round in 1..200 {
        say(round * 10 + 1..=round * 10 + 10);
        take(&mut events);
    }
    let confirmed = take(&mut events);
    assert_eq!((confirmed.told, confirmed.read, confirmed.missed.len()), (2_000, 8, 64));
    for serial in 11..=2_000_u64 {
        let is_missed = confirmed
            .missed
            .iter()
            .any(|(after, to)| (after + 1..=*to).contains(&serial));
        assert!(is_missed || (serial - 1) % 10 >= 6, "{serial} was never given");
        assert!(
            !is_missed || serial < 1_400 || (serial - 1) % 10 < 6,
            "{serial} was given"
        );
    }
}

/// As a room would number it.
fn message(serial: u64) -> Message {
    Message {
        id: MessageId::from_bytes([1; 32]),
        from: MemberView {
            name: Untrusted::new("bob"),
            fingerprint: Fingerprint::from_bytes([2; 16]),
            role: Role::Member,
            verified: false,
            key_changed: false,
            online: true,
            me: false,
        },
        text: Untrusted::new("hello"),
        direct: false,
        reply_to: None,
        parents: Vec::new(),
        sent_at_ms: 0,
        serial,
        again: false,
    }
}

#[tokio::test]
async fn a_node_that_dies_without_a_word_counts_as_failed() {
    let (sender, receiver) = tokio::sync::broadcast::channel(1);
    let mut events = Events::new(receiver, tokio::sync::watch::Sender::default());
    drop(sender);
    let event = events.recv().await.unwrap();
    assert!(matches!(event.kind, EventKind::Closed(CloseReason::Failed)));
    assert!(events.recv().await.is_none());
}
