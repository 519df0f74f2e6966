//! Links through a relay: they form, once and only with those of the room, give way to direct ones, and come back with the relay.

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping, relay,
    swarm::{NetworkBehaviour, SwarmEvent, behaviour::toggle::Toggle},
    tcp, yamux,
};
use tokio::task::JoinHandle;

use super::*;
use crate::net::RelayState;

#[derive(NetworkBehaviour)]
struct Server {
    relay: relay::Behaviour,
    ping: ping::Behaviour,
    /// One that doesn't tell members how it sees them lets no hole be punched.
    identify: Toggle<identify::Behaviour>,
}

/// A relay on loopback, until it is dropped.
struct Relay {
    address: Multiaddr,
    keypair: Keypair,
    tells: bool,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    async fn new(tells: bool) -> Self {
        Self::at(Keypair::generate_ed25519(), TCP.parse().unwrap(), tells).await
    }

    async fn at(keypair: Keypair, listen: Multiaddr, tells: bool) -> Self {
        let mut swarm: Swarm<Server> = SwarmBuilder::with_existing_identity(keypair.clone())
            .with_tokio()
            .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|key| {
                let mut limits = relay::Config::default();
                limits.reservation_rate_limiters.clear();
                limits.circuit_src_rate_limiters.clear();
                let mut relay = relay::Behaviour::new(key.public().into(), limits);
                relay.set_status(Some(relay::Status::Enable));
                let identify = identify::Behaviour::new(identify::Config::new("/snug/1".into(), key.public()));
                Server {
                    relay,
                    ping: ping::Behaviour::default(),
                    identify: tells.then_some(identify).into(),
                }
            })
            .unwrap()
            .build();
        swarm.listen_on(listen).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        swarm.add_external_address(address.clone());
        let address = address.with(Protocol::P2p(*swarm.local_peer_id()));
        let task = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self {
            address,
            keypair,
            tells,
            task,
        }
    }

    /// What to listen on to be the same relay again.
    fn listen(&self) -> Multiaddr {
        let mut address = self.address.clone();
        address.pop();
        address
    }

    fn peer(&self) -> PeerId {
        self.keypair.public().into()
    }
}

/// Both have been told of the relay, and the first can be called through it.
async fn reserved(world: &mut World, relay: &Relay) -> Multiaddr {
    for net in &mut world.nets {
        net.set_relays(vec![relay.address.clone()]);
    }
    while world.nets.iter().any(|net| net.relay() != RelayState::Reserved) {
        world.next().await;
    }
    // Holes are punched with that; who has no such relay waits for nothing.
    while relay.tells && world.nets.iter().any(|net| !net.is_observed()) {
        let wait = tokio::time::timeout(Duration::from_millis(20), world.next());
        drop(wait.await);
    }
    let circuit = world.nets[0]
        .dialable()
        .into_iter()
        .find(|address| address.to_string().contains("p2p-circuit"));
    circuit.expect("an address through the relay")
}

async fn link_through(world: &mut World, circuit: Multiaddr) {
    let (called, caller) = (world.key(0), world.key(1));
    world.nets[1].dial(called, vec![circuit]);
    let mut missing = HashSet::from([(0, caller), (1, called)]);
    while !missing.is_empty() {
        match world.step().await {
            (index, NetEvent::LinkUp { peer }) => drop(missing.remove(&(index, peer))),
            (_, NetEvent::LinkDown { .. } | NetEvent::DialFailed { .. }) => panic!("no link through the relay"),
            _ => {}
        }
    }
}

/// Every frame comes to the other end, and once.
async fn talk(world: &mut World, words: &str) {
    for (from, to) in [(0, 1), (1, 0)] {
        let frame = format!("{words} from {from}").into_bytes();
        world.nets[from].publish(frame.clone()).unwrap();
        let heard =
            |index, event: &NetEvent| index == to && matches!(event, NetEvent::Gossip { bytes, .. } if *bytes == frame);
        let seen = world.until(heard).await;
        let gossip = seen
            .iter()
            .filter(|(_, event)| matches!(event, NetEvent::Gossip { .. }));
        assert_eq!(gossip.count(), 1, "{seen:?}");
        assert!(
            !seen.iter().any(|(_, event)| matches!(event, NetEvent::LinkDown { .. })),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn two_peers_link_through_a_relay() {
    bounded(async {
        let relay = Relay::new(false).await;
        let mut world = World::alike(2, TCP).await;
        let circuit = reserved(&mut world, &relay).await;
        link_through(&mut world, circuit).await;
        talk(&mut world, "hello").await;
        assert!(
            world
                .nets
                .iter()
                .all(|net| (net.stats().links, net.stats().relayed) == (1, 1))
        );
        // Where we listen is told without it: it is for those who dial in this run.
        assert!(
            !world.nets[0]
                .presentable()
                .iter()
                .any(|address| address.to_string().contains("p2p-circuit"))
        );
        assert!(
            !world.nets[0]
                .addresses()
                .iter()
                .any(|address| address.to_string().contains("p2p-circuit"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_link_through_a_relay_gives_way_to_a_direct_one() {
    for listen in [TCP, QUIC] {
        bounded(async {
            let relay = Relay::new(true).await;
            let mut world = World::alike(2, listen).await;
            let circuit = reserved(&mut world, &relay).await;
            link_through(&mut world, circuit).await;
            talk(&mut world, "before").await;
            let direct = world.nets[0].addresses();
            // Over QUIC the relay is of no help here, as it speaks TCP: a dial of one's own does the same.
            let called = world.key(0).to_owned();
            if listen == QUIC {
                let peer = crate::net::peer::id_of(&called).unwrap();
                let dial = libp2p::swarm::dial_opts::DialOpts::peer_id(peer)
                    .condition(libp2p::swarm::dial_opts::PeerCondition::Always)
                    .addresses(direct)
                    .build();
                world.nets[1].swarm.dial(dial).unwrap();
            }
            while world.nets.iter().any(|net| net.stats().relayed > 0) {
                let wait = tokio::time::timeout(Duration::from_millis(100), world.next());
                if let Ok((_, event)) = wait.await {
                    assert!(
                        !matches!(event, NetEvent::LinkDown { .. } | NetEvent::LinkUp { .. }),
                        "{event:?}"
                    );
                }
            }
            talk(&mut world, "after").await;
            // Only when nothing is left of it has it given way.
            let is_circuit_gone = |world: &World| {
                let of = |net: &Net| net.swarm.network_info().connection_counters().num_established();
                // One with the other, one with the relay.
                world.nets.iter().all(|net| of(net) == 2)
            };
            while !is_circuit_gone(&world) {
                let wait = tokio::time::timeout(Duration::from_millis(100), world.next());
                if let Ok((_, event)) = wait.await {
                    assert!(!matches!(event, NetEvent::LinkDown { .. }), "{event:?}");
                }
            }
            talk(&mut world, "long after").await;
        })
        .await;
    }
}

#[tokio::test]
async fn another_rooms_key_does_not_link_through_a_relay_either() {
    bounded(async {
        let relay = Relay::new(false).await;
        let mut stranger = config(&[TCP]);
        stranger.mesh = MeshKey::from_bytes([9; 32]);
        let mut world = World::new(vec![config(&[TCP]), stranger]).await;
        let circuit = reserved(&mut world, &relay).await;
        let called = world.key(0);
        world.nets[1].dial(called, vec![circuit]);
        world
            .until(|index, event| index == 1 && *event == NetEvent::DialFailed { peer: called })
            .await;
        assert!(world.nets.iter().all(|net| net.stats().links == 0));
        assert!(world.nets[0].stats().wrong_proofs >= 1);
    })
    .await;
}

#[tokio::test]
async fn who_wants_no_relay_uses_none() {
    bounded(async {
        let relay = Relay::new(false).await;
        let own = NetConfig {
            relays: false,
            ..config(&[TCP])
        };
        let mut world = World::new(vec![config(&[TCP]), own]).await;
        world.nets[1].set_relays(vec![relay.address.clone()]);
        world.nets[0].set_relays(vec![relay.address.clone()]);
        while world.nets[0].relay() != RelayState::Reserved {
            world.next().await;
        }
        assert_eq!(world.nets[1].relay(), RelayState::Off);
        let called = world.key(0);
        let circuit = relay.address.clone().with(Protocol::P2pCircuit);
        world.nets[1].dial(called, vec![circuit]);
        world
            .until(|index, event| index == 1 && *event == NetEvent::DialFailed { peer: called })
            .await;
        assert!(!world.nets[1].swarm.is_connected(&relay.peer()));
    })
    .await;
}

#[tokio::test]
async fn a_relay_that_goes_and_comes_back_is_used_again() {
    bounded(async {
        let mut relay = Relay::new(false).await;
        let mut world = World::alike(2, TCP).await;
        let circuit = reserved(&mut world, &relay).await;
        link_through(&mut world, circuit.clone()).await;
        let (listen, keypair) = (relay.listen(), relay.keypair.clone());
        relay.task.abort();
        let ended = std::mem::replace(&mut relay.task, tokio::spawn(async {}));
        assert!(ended.await.is_err());
        let gone = NetEvent::NotListening(
            circuit
                .clone()
                .with(Protocol::P2p(crate::net::peer::id_of(&world.key(0)).unwrap())),
        );
        let mut down = HashSet::new();
        let mut told = false;
        while down.len() < 2 || !told || world.nets.iter().any(|net| net.relay() == RelayState::Reserved) {
            let (index, event) = world.next().await;
            told |= index == 0 && (event == gone || event == NetEvent::NotListening(circuit.clone()));
            if let NetEvent::LinkDown { .. } = event {
                down.insert(index);
            }
        }
        assert!(!world.nets[0].dialable().contains(&circuit));
        let _back = Relay::at(keypair, listen, false).await;
        let mut up = HashSet::new();
        while up.len() < 2 || world.nets.iter().any(|net| net.relay() != RelayState::Reserved) {
            if let (index, NetEvent::LinkUp { .. }) = world.next().await {
                up.insert(index);
            }
        }
    })
    .await;
}
