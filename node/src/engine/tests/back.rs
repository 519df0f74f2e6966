//! Going offline and coming back, from what rests on disk.

use super::*;

async fn enter(den: &Den, rendezvous: &Rendezvous, data: &TempDir, name: &str) -> Node {
    let options = EnterOptions {
        profile: on_disk(data.path()),
        ..den.options(rendezvous, name)
    };
    Node::enter(options).await.unwrap()
}

async fn go_offline(mut node: Node) {
    timeout(Duration::from_secs(5), node.handle.go_offline()).await.unwrap();
    assert_eq!(node.until_closed().await, CloseReason::Offline);
    assert_eq!(CloseReason::Offline.exit_status(), 0);
}

#[tokio::test]
async fn who_goes_offline_stays_a_member_and_finds_its_mail() {
    let (folder, data) = (folder(), folder());
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = den.enter(&rendezvous, "alice").await;
    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    alice.until_system("join").await;
    alice.handle.send("heard", None).await.unwrap();
    assert_eq!(bob.until_message().await.text.exact(), "heard");
    bob.events.told();
    let member = bob.handle.status().await.unwrap().member;
    go_offline(bob).await;

    assert_eq!(alice.until_system("offline").await, "bob is offline.");
    assert_eq!(alice.handle.members().await.unwrap().len(), 2);
    for text in ["first", "second", "third"] {
        alice.handle.send(text, None).await.unwrap();
    }
    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    for text in ["first", "second", "third"] {
        let message = bob.until_message().await;
        assert_eq!((message.text.exact(), message.again), (text, false));
    }
    assert_eq!(bob.handle.status().await.unwrap().member, member);
    assert_eq!(alice.until_system("online").await, "bob is online.");
    bob.handle.send("thanks", None).await.unwrap();
    alice
        .until("bob's thanks", |kind| match kind {
            EventKind::Message(message) if message.text.exact() == "thanks" => Some(()),
            _ => None,
        })
        .await;
}

/// Who comes back to an empty room can't know whether its disk is the newest copy, so what it says waits for somebody; and whoever asked for
/// it is told that it is kept, not that it failed.
#[tokio::test]
async fn what_is_said_to_an_empty_room_and_not_sent_by_the_end_is_kept_and_said_to_be() {
    let (folder, hers, his) = (folder(), folder(), folder());
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = enter(&den, &rendezvous, &hers, "alice").await;
    let bob = enter(&den, &rendezvous, &his, "bob").await;
    alice.until_system("join").await;
    go_offline(alice).await;
    go_offline(bob).await;

    let bob = enter(&den, &rendezvous, &his, "bob").await;
    let said = tokio::spawn(bob.handle.send("later", None));
    // What was asked before is taken before.
    bob.handle.status().await.unwrap();
    go_offline(bob).await;
    assert_eq!(said.await.unwrap(), Err(SendError::Kept));

    let mut alice = enter(&den, &rendezvous, &hers, "alice").await;
    let bob = enter(&den, &rendezvous, &his, "bob").await;
    assert_eq!(alice.until_message().await.text.exact(), "later");
    bob.handle.send("once", None).await.unwrap();
    assert_eq!(alice.until_message().await.text.exact(), "once");
}

#[tokio::test]
async fn what_the_front_end_did_not_confirm_is_told_again_and_marked() {
    let (folder, data) = (folder(), folder());
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = den.enter(&rendezvous, "alice").await;
    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    alice.until_system("join").await;
    for text in ["seen", "perhaps seen"] {
        alice.handle.send(text, None).await.unwrap();
        bob.until_message().await;
        if text == "seen" {
            bob.events.told();
        }
    }
    go_offline(bob).await;
    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    let message = bob.until_message().await;
    assert_eq!((message.text.exact(), message.again), ("perhaps seen", true));
    bob.events.told();
    go_offline(bob).await;
    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    alice.handle.send("new", None).await.unwrap();
    let message = bob.until_message().await;
    assert_eq!((message.text.exact(), message.again), ("new", false));
}

#[tokio::test]
async fn who_cannot_come_back_leaves_and_who_leaves_is_forgotten() {
    let (folder, data) = (folder(), folder());
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = den.enter(&rendezvous, "alice").await;
    let mut ghost = den.enter(&rendezvous, "ghost").await;
    alice.until_system("join").await;
    ghost.handle.go_offline().await;
    assert_eq!(ghost.until_closed().await, CloseReason::Left);
    assert_eq!(alice.until_system("leave").await, "ghost has left the room den.");

    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    bob.until("bob to be in", |kind| {
        matches!(kind, EventKind::Ready { .. }).then_some(())
    })
    .await;
    bob.handle.leave().await;
    assert_eq!(bob.until_closed().await, CloseReason::Left);
    let profile = on_disk(data.path());
    assert!(profile.memberships().unwrap().is_empty(), "the Room Key is gone");
}

#[tokio::test]
async fn thousands_of_missed_messages_come_all_and_in_order() {
    const MESSAGES: usize = 2_000;
    let (folder, data) = (folder(), folder());
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = den.enter(&rendezvous, "alice").await;
    let bob = enter(&den, &rendezvous, &data, "bob").await;
    alice.until_system("join").await;
    go_offline(bob).await;
    for n in 0..MESSAGES {
        alice.handle.send(format!("{n}"), None).await.unwrap();
    }
    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    for n in 0..MESSAGES {
        let message = bob.until_message().await;
        assert_eq!(message.text.exact(), format!("{n}"));
        bob.events.told();
    }
}

/// A front end takes nothing while more is said than a node holds for it in memory, and then takes all of it, in its order and once.
#[tokio::test]
async fn a_front_end_that_stalled_misses_nothing() {
    const MESSAGES: usize = 9_600;
    let (folder, data) = (folder(), folder());
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let mut alice = den.enter(&rendezvous, "alice").await;
    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    alice.until_system("join").await;
    bob.until("bob to be in", |kind| {
        matches!(kind, EventKind::Ready { .. }).then_some(())
    })
    .await;
    let mut last = None;
    for some in (0..MESSAGES).collect::<Vec<_>>().chunks(100) {
        let sent = some.iter().map(|n| alice.handle.send(format!("{n}"), None));
        last = futures::future::try_join_all(sent).await.unwrap().pop();
    }
    alice
        .until("bob to have it all", |kind| match kind {
            EventKind::Receipt(receipt) => (Some(receipt.id) == last && receipt.held_by == 1).then_some(()),
            _ => None,
        })
        .await;
    for n in 0..MESSAGES {
        let said = bob
            .until("the next message", |kind| match kind {
                EventKind::Message(message) => Some((message.text.exact().to_owned(), message.again)),
                EventKind::Lagged { missed } => panic!("{missed} were missed before {n}"),
                _ => None,
            })
            .await;
        assert_eq!(said, (n.to_string(), false));
    }
    bob.events.told();
    go_offline(bob).await;

    let mut bob = enter(&den, &rendezvous, &data, "bob").await;
    alice.handle.send("next", None).await.unwrap();
    assert_eq!(bob.until_message().await.text.exact(), "next", "nothing comes again");
}
