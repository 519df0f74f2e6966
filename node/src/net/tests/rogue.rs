//! Peers that are not of the room get nothing: no topic, no frame, no stream but `/snug/link/1`.

use std::{collections::HashMap, time::Instant};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, gossipsub, identify, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use libp2p_stream::{self as stream, OpenStreamError};
use snug_crypto::link;
use tokio::sync::mpsc;

use super::*;
use crate::net::{
    gate::{Gate, GateConfig},
    gossip, peer,
};

/// Everything that a node of ours speaks once the gate is open, and what gossipsub spoke before.
const BEHIND_THE_GATE: [&str; 7] = [
    "/meshsub/1.3.0",
    "/meshsub/1.2.0",
    "/meshsub/1.1.0",
    "/meshsub/1.0.0",
    "/floodsub/1.0.0",
    "/snug/direct/1",
    "/ipfs/id/1.0.0",
];

const LINK: StreamProtocol = StreamProtocol::new("/snug/link/1");

/// A stranger that speaks plain libp2p, and knows the topic.
#[derive(NetworkBehaviour)]
struct Plain {
    gossip: gossipsub::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: stream::Behaviour,
}

fn swarm<B: NetworkBehaviour>(behaviour: impl FnOnce(&libp2p::identity::Keypair) -> B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(behaviour)
        .unwrap()
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(BOUND))
        .build()
}

fn plain() -> Swarm<Plain> {
    let mut swarm = swarm(|key| Plain {
        gossip: gossipsub::Behaviour::new(
            gossipsub::MessageAuthenticity::Signed(key.clone()),
            gossipsub::ConfigBuilder::default()
                .validation_mode(gossipsub::ValidationMode::None)
                .build()
                .unwrap(),
        )
        .unwrap(),
        identify: identify::Behaviour::new(identify::Config::new("/ipfs/0.1.0".into(), key.public())),
        ping: ping::Behaviour::default(),
        stream: stream::Behaviour::new(),
    });
    swarm
        .behaviour_mut()
        .gossip
        .subscribe(&gossip::topic(&Topic([2; 32])))
        .unwrap();
    swarm
}

/// What reached a stranger that runs in a task of its own.
#[derive(Debug, PartialEq, Eq)]
enum Leak {
    Gossip(String),
    Identify,
    Ping,
    Stream(String),
}

/// Runs a stranger; says what it was told, and when it was connected and disconnected.
struct Stranger {
    leaks: mpsc::Receiver<Leak>,
    connected: mpsc::Receiver<bool>,
    control: stream::Control,
    address: Multiaddr,
    peer: PeerId,
}

impl Stranger {
    async fn start(dial: Option<Multiaddr>) -> Self {
        let mut swarm = plain();
        let peer = *swarm.local_peer_id();
        let control = swarm.behaviour().stream.new_control();
        let (leak, leaks) = mpsc::channel(100);
        let (connect, connected) = mpsc::channel(100);
        for name in BEHIND_THE_GATE {
            let protocol = StreamProtocol::new(name);
            // gossipsub's and identify's own handlers take theirs; whatever they hear is an event of theirs.
            let Ok(mut incoming) = control.clone().accept(protocol) else {
                continue;
            };
            let leak = leak.clone();
            tokio::spawn(async move {
                while let Some((_, _stream)) = incoming.next().await {
                    leak.send(Leak::Stream(name.into())).await.unwrap();
                }
            });
        }
        swarm.listen_on(TCP.parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        if let Some(dial) = dial {
            swarm.dial(dial).unwrap();
        }
        tokio::spawn(async move {
            loop {
                let told = match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { .. } => {
                        let _ = connect.send(true).await;
                        continue;
                    }
                    SwarmEvent::ConnectionClosed { .. } => {
                        let _ = connect.send(false).await;
                        continue;
                    }
                    SwarmEvent::Behaviour(PlainEvent::Gossip(gossipsub::Event::GossipsubNotSupported { .. })) => {
                        continue;
                    }
                    SwarmEvent::Behaviour(PlainEvent::Gossip(event)) => Leak::Gossip(format!("{event:?}")),
                    SwarmEvent::Behaviour(PlainEvent::Identify(identify::Event::Error { .. })) => continue,
                    SwarmEvent::Behaviour(PlainEvent::Identify(_)) => Leak::Identify,
                    SwarmEvent::Behaviour(PlainEvent::Ping(ping::Event { result: Ok(_), .. })) => Leak::Ping,
                    _ => continue,
                };
                let _ = leak.send(told).await;
            }
        });
        Self {
            leaks,
            connected,
            control,
            address,
            peer,
        }
    }
}

/// Two linked nodes, the second of which publishes whenever the world turns.
async fn chatter(world: &mut World, number: &mut u64) {
    *number += 1;
    let _ = world.nets[1].publish(number.to_be_bytes().to_vec());
    let _ = tokio::time::timeout(Duration::from_millis(5), world.step()).await;
}

#[tokio::test]
async fn a_stranger_that_dials_is_offered_nothing_and_told_nothing() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut world = World::limited(2, listen, impatient()).await;
            world.link(&[(0, 1)]).await;
            let victim = peer::id_of(&world.key(0)).unwrap();
            let mut stranger = Stranger::start(Some(world.address(0))).await;
            let mut number = 0;
            while stranger.connected.try_recv() != Ok(true) {
                chatter(&mut world, &mut number).await;
            }
            // It asks for every protocol while frames fly by, and once more after its own attempts have failed.
            let mut control = stranger.control.clone();
            let asked = tokio::spawn(async move {
                let mut answers = HashMap::new();
                for name in BEHIND_THE_GATE {
                    let answer = control.open_stream(victim, StreamProtocol::new(name)).await;
                    answers.insert(name, matches!(answer, Err(OpenStreamError::UnsupportedProtocol(_))));
                }
                answers
            });
            while !asked.is_finished() {
                chatter(&mut world, &mut number).await;
            }
            let answers = asked.await.unwrap();
            assert!(answers.values().all(|refused| *refused), "{answers:?}");
            // It never proves itself, so it is thrown out; until then it heard nothing.
            while stranger.connected.try_recv() != Ok(false) {
                chatter(&mut world, &mut number).await;
            }
            assert_eq!(stranger.leaks.try_recv().ok(), None);
            assert!(
                number > 10 && world.nets[1].stats().published == number,
                "frames did fly by"
            );
            assert_eq!(world.nets[0].stats().links, 1);
            assert_eq!(
                world.nets[0].gossip().all_peers().count(),
                1,
                "gossipsub never heard of it"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_stranger_that_is_dialed_is_asked_for_its_proof_and_nothing_else() {
    bounded(async {
        let mut world = World::limited(2, TCP, impatient()).await;
        world.link(&[(0, 1)]).await;
        // This one takes the link's stream too, listens to the nonce, and says nothing.
        let mut stranger = Stranger::start(None).await;
        let mut link = stranger.control.clone().accept(LINK).unwrap();
        let listener = tokio::spawn(async move {
            let (_, mut stream) = link.next().await.unwrap();
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
            heard
        });
        let key = peer::key_of(&stranger.peer).unwrap();
        world.nets[0].dial(key, vec![stranger.address.clone()]);
        let mut number = 0;
        while !listener.is_finished() {
            chatter(&mut world, &mut number).await;
        }
        assert_eq!(listener.await.unwrap().len(), 40, "a nonce and a hint");
        assert_eq!(stranger.leaks.try_recv().ok(), None);
        assert_eq!(world.nets[0].gossip().all_peers().count(), 1);
    })
    .await;
}

/// A swarm with streams only, run in a task.
fn streams(dial: Option<Multiaddr>) -> (stream::Control, PeerId, tokio::task::JoinHandle<()>) {
    let mut swarm = swarm(|_| stream::Behaviour::new());
    let (control, peer) = (swarm.behaviour().new_control(), *swarm.local_peer_id());
    if let Some(dial) = dial {
        swarm.dial(dial).unwrap();
    }
    let run = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    (control, peer, run)
}

async fn link_stream(control: &mut stream::Control, victim: PeerId) -> libp2p::Stream {
    loop {
        match control.open_stream(victim, LINK).await {
            Ok(stream) => return stream,
            // Not connected yet.
            Err(OpenStreamError::Io(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn no_answer_but_the_right_one_opens_the_gate() {
    // What a stranger can make of the listener's answer: its proof back, noise, nothing, half of it.
    type Answer = fn(&[u8]) -> Vec<u8>;
    let answers: [Answer; 5] = [
        |heard| heard[32..].to_vec(),
        |_| vec![0; 32],
        |_| vec![],
        |heard| heard[32..48].to_vec(),
        |heard| [&heard[32..], &[1; 1]].concat(),
    ];
    bounded(async {
        let mut world = World::limited(1, TCP, impatient()).await;
        let victim = peer::id_of(&world.key(0)).unwrap();
        for answer in answers {
            let (mut control, _, run) = streams(Some(world.address(0)));
            let attempt = tokio::spawn(async move {
                let mut stream = link_stream(&mut control, victim).await;
                // A hello that some member said to somebody.
                let hello = [&[5; 32][..], &link::hint(&MeshKey::from_bytes([1; 32]), &[5; 32])].concat();
                stream.write_all(&hello).await.unwrap();
                stream.flush().await.unwrap();
                let mut heard = vec![0; 64];
                stream.read_exact(&mut heard).await.unwrap();
                let _ = stream.write_all(&answer(&heard)).await;
                let _ = stream.flush().await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                rest
            });
            while !attempt.is_finished() {
                let _ = tokio::time::timeout(Duration::from_millis(5), world.step()).await;
            }
            assert_eq!(
                attempt.await.unwrap(),
                b"",
                "nothing is said after a wrong proof, not even that the gate is open"
            );
            run.abort();
        }
        let stats = world.nets[0].stats();
        assert_eq!(
            (stats.links, stats.wrong_proofs, stats.unproven_closed),
            (0, 3, 5),
            "{stats:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_second_link_stream_is_refused() {
    bounded(async {
        let mut world = World::limited(1, TCP, impatient()).await;
        let victim = peer::id_of(&world.key(0)).unwrap();
        let (mut control, _, run) = streams(Some(world.address(0)));
        let attempt = tokio::spawn(async move {
            let _first = link_stream(&mut control, victim).await;
            matches!(
                control.open_stream(victim, LINK).await,
                Err(OpenStreamError::UnsupportedProtocol(_))
            )
        });
        while !attempt.is_finished() {
            let _ = tokio::time::timeout(Duration::from_millis(5), world.step()).await;
        }
        assert!(attempt.await.unwrap());
        run.abort();
    })
    .await;
}

#[tokio::test]
async fn silent_connections_are_bounded_and_thrown_out_and_keep_nobody_out() {
    const SILENT: usize = 60;
    bounded(async {
        let mut small = config(&[TCP]);
        small.limits = impatient();
        small.limits.unproven = 8;
        let mut world = World::new(vec![small, config(&[TCP])]).await;
        let (address, since) = (world.address(0), Instant::now());
        let silent: Vec<_> = (0..SILENT).map(|_| streams(Some(address.clone())).2).collect();
        while world.nets[0].stats().unproven_closed < (SILENT - 8) as u64 {
            let _ = tokio::time::timeout(Duration::from_millis(5), world.step()).await;
            assert!(world.nets[0].stats().unproven <= 8);
        }
        world.link(&[(1, 0)]).await;
        while world.nets[0].stats().unproven > 0 {
            let _ = tokio::time::timeout(Duration::from_millis(5), world.step()).await;
        }
        assert!(since.elapsed() < BOUND / 2);
        for run in silent {
            run.abort();
        }
    })
    .await;
}

/// A member's gate with nothing but streams behind it: it proves itself, and then does as it likes.
fn member(mesh: MeshKey) -> Swarm<Gate<stream::Behaviour>> {
    swarm(|key| {
        let local = peer::key_of(&key.public().to_peer_id()).unwrap();
        let config = GateConfig {
            patience: BOUND,
            beat: BOUND,
            ban: BOUND,
            max_unproven: 1,
            max_handshakes_per_host: 1,
        };
        Gate::new(
            stream::Behaviour::new(),
            mesh,
            local,
            config,
            crate::net::outside::ToRelays::default(),
        )
    })
}

#[tokio::test]
async fn a_connection_on_which_gossipsub_would_give_up_is_closed() {
    bounded(async {
        let mut world = World::alike(1, TCP).await;
        let victim = peer::id_of(&world.key(0)).unwrap();
        let mut swarm = member(MeshKey::from_bytes([1; 32]));
        let mut control = swarm.behaviour().inner().new_control();
        // It takes gossipsub's stream, or it would be thrown out for that already.
        let mut gossip = control.clone().accept(StreamProtocol::new("/meshsub/1.2.0")).unwrap();
        swarm.dial(world.address(0)).unwrap();
        let run = tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                tokio::select! {
                    _ = swarm.select_next_some() => {}
                    Some(stream) = gossip.next() => taken.push(stream),
                }
            }
        });
        let attempt = tokio::spawn(async move {
            loop {
                if let Ok(mut stream) = control.open_stream(victim, StreamProtocol::new("/meshsub/1.2.0")).await {
                    let _ = stream.close().await;
                }
                tokio::task::yield_now().await;
            }
        });
        while world.nets[0].stats().wedged == 0 {
            let _ = tokio::time::timeout(Duration::from_millis(5), world.step()).await;
        }
        attempt.abort();
        run.abort();
    })
    .await;
}

#[tokio::test]
async fn a_member_that_takes_no_gossip_is_no_link_and_is_thrown_out() {
    bounded(async {
        let mut world = World::limited(1, TCP, impatient()).await;
        let mut swarm = member(MeshKey::from_bytes([1; 32]));
        let mut gossip = swarm
            .behaviour()
            .inner()
            .new_control()
            .accept(StreamProtocol::new("/meshsub/1.2.0"))
            .unwrap();
        swarm.dial(world.address(0)).unwrap();
        let run = tokio::spawn(async move {
            let mut taken = Vec::new();
            let mut up = false;
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::Behaviour(crate::net::gate::Event::Up { .. }) => up = true,
                        SwarmEvent::ConnectionClosed { .. } => return up,
                        _ => {}
                    },
                    Some(stream) = gossip.next() => taken.push(stream),
                }
            }
        });
        while !run.is_finished() {
            let event = tokio::time::timeout(Duration::from_millis(5), world.step()).await;
            assert!(event.is_err(), "{event:?}");
        }
        assert!(run.await.unwrap(), "it did get past the gate");
    })
    .await;
}
