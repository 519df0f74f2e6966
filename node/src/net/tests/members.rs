//! Members who relay: for those who are linked with them, and for nobody else.

use futures::StreamExt;
use libp2p::{
    SwarmBuilder,
    multiaddr::Protocol,
    noise, relay,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};

use super::*;
use crate::net::{RelayState, peer};

/// Two who are linked with a third and not with each other; the third can be reached, as far as it knows.
async fn three(configs: Vec<NetConfig>) -> World {
    let mut world = World::new(configs).await;
    let addresses = world.nets[2].addresses();
    world.nets[2].set_mapped(addresses);
    world.link(&[(0, 2), (1, 2)]).await;
    world
}

async fn reserved(world: &mut World) -> Multiaddr {
    while world.nets[..2].iter().any(|net| net.relay() != RelayState::Reserved) {
        world.next().await;
    }
    let dialable = world.nets[0].dialable();
    let circuit = dialable
        .into_iter()
        .find(|address| address.to_string().contains("p2p-circuit"));
    circuit.expect("an address through the member")
}

/// Steps until all of these links are as told.
async fn linked(world: &mut World, links: &[(usize, usize)]) {
    let mut missing: HashSet<_> = links.iter().map(|&(at, with)| (at, world.key(with))).collect();
    while !missing.is_empty() {
        if let (index, NetEvent::LinkUp { peer }) = world.step().await {
            missing.remove(&(index, peer));
        }
    }
}

#[tokio::test]
async fn a_member_who_can_be_reached_relays_for_two_who_can_not() {
    bounded(async {
        let mut world = three((0..3).map(|_| config(&[TCP])).collect()).await;
        let circuit = reserved(&mut world).await;
        assert!(world.nets[2].stats().serves && !world.nets[0].stats().serves);
        let called = world.key(0);
        world.nets[1].dial(called, vec![circuit]);
        linked(&mut world, &[(0, 1), (1, 0)]).await;
        // Nobody told where they listen, so it led through the member, even if a hole was punched since.
        while world.nets[2].stats().carried_ever == 0 {
            let wait = tokio::time::timeout(Duration::from_millis(100), world.next());
            drop(wait.await);
        }
        assert!(world.nets.iter().all(|net| net.stats().links == 2));
        assert_eq!(
            (world.nets[2].stats().carried_ever, world.nets[2].stats().relayed),
            (1, 0)
        );
    })
    .await;
}

#[tokio::test]
async fn when_the_member_goes_another_relays() {
    bounded(async {
        let mut world = World::alike(4, TCP).await;
        for index in [2, 3] {
            let addresses = world.nets[index].addresses();
            world.nets[index].set_mapped(addresses);
        }
        world.link(&[(0, 2), (1, 2)]).await;
        let circuit = reserved(&mut world).await;
        let first = peer::id_of(&world.key(2)).unwrap();
        assert!(circuit.to_string().contains(&first.to_string()));
        world.link(&[(0, 3), (1, 3)]).await;
        let gone = world.nets.remove(2);
        gone.shutdown().await;
        let other = peer::id_of(&world.key(2)).unwrap().to_string();
        let is_there = |net: &Net| {
            let dialable = net.dialable();
            dialable.iter().any(|address| address.to_string().contains(&other))
        };
        while !world.nets[..2].iter().all(is_there) {
            let wait = tokio::time::timeout(Duration::from_millis(100), world.next());
            drop(wait.await);
        }
    })
    .await;
}

#[tokio::test]
async fn who_does_not_want_to_or_can_not_be_reached_relays_for_nobody() {
    bounded(async {
        let unwilling = NetConfig {
            serves: false,
            ..config(&[TCP])
        };
        let mut world = three(vec![config(&[TCP]), config(&[TCP]), unwilling]).await;
        assert!(!world.nets[2].stats().serves);
        assert!(!world.nets[0].stats().serves, "nobody says that it can be reached");
        world.nets[0].set_mapped(vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()]);
        assert!(world.nets[0].stats().serves);
        world.nets[0].set_mapped(Vec::new());
        assert!(!world.nets[0].stats().serves, "nor any more");
    })
    .await;
}

#[derive(NetworkBehaviour)]
struct Stranger {
    client: relay::client::Behaviour,
}

#[tokio::test]
async fn a_stranger_finds_no_relay_in_a_member() {
    bounded(async {
        let limits = impatient();
        let mut world = World::limited(3, TCP, limits).await;
        let addresses = world.nets[2].addresses();
        world.nets[2].set_mapped(addresses);
        world.link(&[(0, 2), (1, 2)]).await;
        reserved(&mut world).await;
        let relay = peer::id_of(&world.key(2)).unwrap();
        let member = peer::id_of(&world.key(0)).unwrap();
        let through = world.address(2).with(Protocol::P2p(relay)).with(Protocol::P2pCircuit);
        let mut stranger = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_relay_client(noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_, client| Stranger { client })
            .unwrap()
            .build();
        // Neither can it be called through the member, nor call another.
        let listener = stranger.listen_on(through.clone()).unwrap();
        let call = DialOpts::peer_id(member).addresses(vec![through]).build();
        let called = call.connection_id();
        stranger.dial(call).unwrap();
        let (mut reserving, mut calling) = (true, true);
        while reserving || calling {
            tokio::select! {
                event = stranger.select_next_some() => match event {
                    SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                        assert!(reason.is_err());
                        reserving = false;
                    }
                    SwarmEvent::OutgoingConnectionError { connection_id, .. } if connection_id == called => calling = false,
                    SwarmEvent::NewListenAddr { address, .. } => panic!("a reservation for a stranger: {address}"),
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => assert_eq!(peer_id, relay, "a circuit for a stranger"),
                    _ => {}
                },
                _ = world.next() => {}
            }
        }
        assert_eq!(world.nets[2].stats().carried_ever, 0);
    })
    .await;
}
