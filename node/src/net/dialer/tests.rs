//! Whom the dialer dials, where and when, told a time at a time.

use super::*;

fn address(port: u16) -> Multiaddr {
    format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
}

fn dialer(max_dials: usize) -> Dialer {
    Dialer::new(max_dials, [7; 32])
}

#[test]
fn a_peer_is_dialed_once_at_all_its_addresses() {
    let (mut dialer, peer, now) = (dialer(4), PeerId::random(), Instant::now());
    assert!(dialer.want(peer, vec![address(1), address(2), address(1)], false, now));
    assert!(dialer.want(peer, vec![address(3)], false, now));
    let (dialed, addresses) = dialer.next(now).unwrap();
    assert_eq!((dialed, addresses), (peer, vec![address(3), address(1), address(2)]));
    assert!(dialer.want(peer, vec![address(3)], false, now));
    assert_eq!(dialer.next(now), None);
    assert_eq!(dialer.wake(true), None);
}

#[test]
fn dials_at_once_are_bounded() {
    let (mut dialer, now) = (dialer(2), Instant::now());
    for _ in 0..5 {
        dialer.want(PeerId::random(), vec![address(1)], false, now);
    }
    let (first, _) = dialer.next(now).unwrap();
    assert!(dialer.next(now).is_some());
    assert_eq!(dialer.next(now), None);
    dialer.linked(&first);
    assert!(dialer.next(now).is_some());
}

#[test]
fn failure_is_told_once_and_tried_again_later_and_later_and_then_no_more() {
    let (mut dialer, peer, mut now) = (dialer(1), PeerId::random(), Instant::now());
    dialer.want(peer, vec![address(1)], false, now);
    assert!(dialer.next(now).is_some());
    assert!(dialer.lost(&peer, now), "who named it is told");
    let mut tries = 0;
    while let Some(wake) = dialer.wake(true) {
        assert!(wake - now >= FIRST_PAUSE / 2 && wake - now <= LAST_PAUSE);
        now = wake;
        assert!(dialer.next(now).is_some());
        tries += 1;
        assert!(!dialer.lost(&peer, now), "and only once");
    }
    assert_eq!(tries, MAX_TRIES);
    assert!(dialer.peers.is_empty());
    assert!(dialer.take_forgotten().is_empty(), "it never was of the room");
}

#[test]
fn the_addresses_of_a_member_that_is_given_up_are_handed_on() {
    let (mut dialer, peer, mut now) = (dialer(1), PeerId::random(), Instant::now());
    dialer.learn_connected(peer, vec![address(1), address(2)], now);
    dialer.linked(&peer);
    assert!(dialer.is_connected_at(&address(2)));
    assert_eq!(dialer.addresses(&peer), [address(1), address(2)]);
    dialer.lost(&peer, now);
    assert!(!dialer.is_connected_at(&address(2)));
    while let Some(wake) = dialer.wake(true) {
        now = wake;
        dialer.next(now).unwrap();
        dialer.lost(&peer, now);
    }
    assert_eq!(dialer.take_forgotten(), [[address(1), address(2)]]);
    assert!(dialer.take_forgotten().is_empty());
}

#[test]
fn who_failed_waits_for_who_did_not() {
    let (mut dialer, now) = (dialer(1), Instant::now());
    let [dead, fresh] = [(); 2].map(|()| PeerId::random());
    dialer.want(dead, vec![address(1)], false, now);
    dialer.next(now).unwrap();
    dialer.lost(&dead, now);
    let later = dialer.wake(true).unwrap();
    dialer.want(fresh, vec![address(2)], false, later);
    assert_eq!(dialer.next(later).unwrap().0, fresh);
}

#[test]
fn a_link_that_is_lost_is_dialed_again() {
    let (mut dialer, peer, now) = (dialer(1), PeerId::random(), Instant::now());
    dialer.learn_connected(peer, vec![address(1)], now);
    assert_eq!(dialer.wake(true), None);
    assert!(!dialer.lost(&peer, now));
    assert!(dialer.wake(true).is_some());
    dialer.forget(&peer);
    assert_eq!(dialer.wake(true), None);
}

fn through(relay: PeerId, peer: PeerId) -> Multiaddr {
    let text = format!("/ip4/192.0.2.9/udp/7072/quic-v1/p2p/{relay}/p2p-circuit/p2p/{peer}");
    text.parse().unwrap()
}

#[test]
fn relays_are_tried_a_moment_after_a_peers_own_addresses() {
    let (mut dialer, peer, now) = (dialer(1), PeerId::random(), Instant::now());
    let relayed = through(PeerId::random(), peer);
    dialer.want(peer, vec![relayed.clone(), address(1)], false, now);
    assert_eq!(dialer.next(now), Some((peer, vec![address(1)])));
    assert_eq!(dialer.next_through_relays(true, now), None);
    let later = dialer.wake(true).unwrap();
    assert_eq!(later - now, HEAD_START);
    assert_eq!(
        dialer.next_through_relays(false, later),
        None,
        "nobody has told us how he sees us"
    );
    assert_eq!(dialer.wake(false), Some(later + UNOBSERVED));
    assert_eq!(dialer.next_through_relays(true, later), Some((peer, vec![relayed])));
    assert_eq!(
        (dialer.next_through_relays(true, later), dialer.wake(true)),
        (None, None)
    );
    assert!(!dialer.lost(&peer, later), "the other dial is under way");
    assert_eq!(dialer.wake(true), None);
    assert!(dialer.lost(&peer, later));
    assert!(dialer.wake(true).is_some());
}

#[test]
fn relays_are_tried_at_once_where_nothing_else_answers() {
    let (mut dialer, peer, now) = (dialer(1), PeerId::random(), Instant::now());
    let relayed = through(PeerId::random(), peer);
    dialer.want(peer, vec![relayed.clone(), address(1)], false, now);
    dialer.next(now).unwrap();
    assert!(!dialer.lost(&peer, now));
    assert_eq!(
        dialer.next_through_relays(true, now),
        Some((peer, vec![relayed.clone()]))
    );
    assert!(dialer.lost(&peer, now));
    // Who has nothing but relays is dialed there.
    let other = PeerId::random();
    let relayed = through(PeerId::random(), other);
    dialer.want(other, vec![relayed.clone()], false, now);
    assert_eq!(dialer.next(now), None);
    assert_eq!(dialer.next_through_relays(false, now), None);
    assert_eq!(dialer.next_through_relays(true, now), Some((other, vec![relayed])));
    assert!(dialer.lost(&other, now));
}

#[test]
fn who_is_linked_meanwhile_is_dialed_through_no_relay() {
    let (mut dialer, peer, now) = (dialer(1), PeerId::random(), Instant::now());
    dialer.want(peer, vec![through(PeerId::random(), peer), address(1)], false, now);
    dialer.next(now).unwrap();
    dialer.connected(&peer);
    assert_eq!(dialer.next_through_relays(true, now + HEAD_START), None);
}

#[test]
fn only_addresses_that_can_be_dialed_are_kept() {
    let (peer, other) = (PeerId::random(), PeerId::random());
    let kept = |text: String| dialable(text.parse().unwrap(), peer).is_some();
    assert!(kept("/ip6/::1/udp/9/quic-v1".into()));
    assert!(kept(format!("/ip4/192.0.2.1/tcp/9/p2p/{peer}")));
    assert!(kept(format!("/ip4/192.0.2.1/tcp/9/p2p/{other}/p2p-circuit/p2p/{peer}")));
    assert!(kept(format!("/ip6/::1/udp/9/quic-v1/p2p/{other}/p2p-circuit")));
    for text in [
        format!("/ip4/192.0.2.1/tcp/9/p2p/{other}"),
        format!("/ip4/192.0.2.1/tcp/9/p2p/{other}/p2p-circuit/p2p/{other}"),
        format!("/ip4/192.0.2.1/tcp/9/p2p/{peer}/p2p-circuit"),
        format!("/ip4/192.0.2.1/tcp/9/p2p/{other}/p2p-circuit/p2p-circuit"),
        format!("/ip4/192.0.2.1/tcp/9/p2p-circuit/p2p/{peer}"),
        format!("/dns4/example.org/tcp/9/p2p/{other}/p2p-circuit"),
        "/p2p-circuit".into(),
        "/ip4/0.0.0.0/tcp/9".into(),
        "/ip4/192.0.2.1/tcp/0".into(),
        "/ip4/192.0.2.1/udp/9".into(),
        "/dns4/example.org/tcp/9".into(),
        "/memory/5".into(),
    ] {
        assert!(!kept(text.clone()), "{text}");
    }
}

#[test]
fn the_list_of_peers_is_bounded() {
    let (mut dialer, now) = (dialer(1), Instant::now());
    for _ in 0..MAX_PEERS + 10 {
        dialer.want(PeerId::random(), vec![address(1)], false, now);
    }
    assert_eq!(dialer.peers.len(), MAX_PEERS);
}
