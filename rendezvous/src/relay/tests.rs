//! The relay as members meet it, over loopback.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, ping, relay, tcp, yamux};
use tokio_util::sync::CancellationToken;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
struct Client {
    relay: relay::client::Behaviour,
    ping: ping::Behaviour,
}

fn client() -> Swarm<Client> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_, relay| Client {
            relay,
            ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(100))),
        })
        .unwrap()
        .build()
}

struct Running {
    addresses: Vec<Multiaddr>,
    counters: Arc<RelayCounters>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn running(limits: RelayLimits) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    config.relay.listen = RelayListen::At(RelayListen::on(loopback));
    config.relay.limits = limits;
    let relay = Relay::bind(&config, loopback, folder.path()).unwrap().unwrap();
    let (told, counters, stop) = (relay.told(), relay.counters(), CancellationToken::new());
    tokio::spawn(relay.run(stop.clone()));
    let addresses = until(|| Some(told.get()).filter(|told| told.len() == 2)).await;
    let host = Multiaddr::from(loopback.ip());
    let whole = |address: &RelayAddress| {
        let rest: Multiaddr = address.as_str().parse().unwrap();
        rest.iter().fold(host.clone(), |address, part| address.with(part))
    };
    Running {
        addresses: addresses.iter().map(whole).collect(),
        counters,
        stop,
        _folder: folder,
    }
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it comes to pass")
}

/// Moves a client on until it says what is waited for.
async fn says<T>(client: &mut Swarm<Client>, mut pick: impl FnMut(SwarmEvent<ClientEvent>) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = pick(client.select_next_some().await) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it is said")
}

fn reserved(event: SwarmEvent<ClientEvent>) -> Option<bool> {
    match event {
        SwarmEvent::Behaviour(ClientEvent::Relay(relay::client::Event::ReservationReqAccepted { .. })) => Some(true),
        SwarmEvent::ListenerClosed { .. } => Some(false),
        _ => None,
    }
}

fn circuit(relay: &Multiaddr, to: PeerId) -> Multiaddr {
    relay.clone().with(Protocol::P2pCircuit).with(Protocol::P2p(to))
}

#[tokio::test]
async fn two_members_talk_through_it_and_it_counts_what_it_carries() {
    let relay = running(RelayLimits::default()).await;
    for address in &relay.addresses {
        let (mut called, mut caller) = (client(), client());
        let to = *called.local_peer_id();
        called.listen_on(address.clone().with(Protocol::P2pCircuit)).unwrap();
        assert!(says(&mut called, reserved).await, "{address}");
        let before = relay.counters.bytes();
        caller.dial(circuit(address, to)).unwrap();
        let driven = tokio::spawn(async move { while called.next().await.is_some() {} });
        let mut pings = 0;
        says(&mut caller, |event| match event {
            SwarmEvent::Behaviour(ClientEvent::Ping(ping::Event {
                peer, result: Ok(_), ..
            })) if peer == to => {
                pings += 1;
                (pings == 3).then_some(())
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
            _ => None,
        })
        .await;
        let after = relay.counters.bytes();
        assert!(after[0] > before[0] && after[1] > before[1]);
        assert_eq!(
            (relay.counters.circuits_open(), relay.counters.reservations_open()),
            (1, 1)
        );
        driven.abort();
        drop(caller);
        until(|| (relay.counters.circuits_open() == 0 && relay.counters.reservations_open() == 0).then_some(())).await;
        until(|| (relay.counters.connections_open() == 0).then_some(())).await;
    }
    assert_eq!(relay.counters.circuits()[0], 2);
    assert_eq!(relay.counters.reservations()[0], 2);
}

#[tokio::test]
async fn who_is_not_there_can_not_be_called() {
    let relay = running(RelayLimits::default()).await;
    let mut caller = client();
    caller.dial(circuit(&relay.addresses[1], PeerId::random())).unwrap();
    says(&mut caller, |event| {
        matches!(event, SwarmEvent::OutgoingConnectionError { .. }).then_some(())
    })
    .await;
    until(|| (relay.counters.circuits()[1] == 1).then_some(())).await;
}

#[tokio::test]
async fn when_all_reservations_are_taken_the_next_is_refused() {
    let limits = RelayLimits {
        reservations: 1,
        ..RelayLimits::default()
    };
    let relay = running(limits).await;
    let mut clients = [client(), client()];
    let mut outcomes = Vec::new();
    for client in &mut clients {
        client
            .listen_on(relay.addresses[1].clone().with(Protocol::P2pCircuit))
            .unwrap();
        outcomes.push(says(client, reserved).await);
    }
    assert_eq!(outcomes, [true, false]);
    assert_eq!(relay.counters.reservations(), [1, 0, 1]);
}

#[tokio::test]
async fn an_address_gets_no_more_connections_than_its_share() {
    let limits = RelayLimits {
        connections_per_address: 2,
        ..RelayLimits::default()
    };
    let relay = running(limits).await;
    let mut clients = [client(), client(), client()];
    let mut connected = Vec::new();
    for client in &mut clients {
        client.dial(relay.addresses[1].clone()).unwrap();
        let outcome = says(client, |event| match event {
            // A refusal comes after the transport's handshake or instead of it.
            SwarmEvent::Behaviour(ClientEvent::Ping(ping::Event { result: Ok(_), .. })) => Some(true),
            SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. } => Some(false),
            _ => None,
        });
        connected.push(outcome.await);
    }
    assert_eq!(connected, [true, true, false]);
}

#[tokio::test]
async fn its_peer_id_stays_and_a_taken_port_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    config.relay.listen = RelayListen::At(RelayListen::on(any));
    let ids: Vec<PeerId> = (0..2)
        .map(|_| Relay::bind(&config, any, folder.path()).unwrap().unwrap())
        .map(|relay| *relay.swarm.local_peer_id())
        .collect();
    assert_eq!(ids[0], ids[1]);
    let taken = std::net::TcpListener::bind(any).unwrap();
    config.relay.listen = RelayListen::At(RelayListen::on(taken.local_addr().unwrap()));
    let error = Relay::bind(&config, any, folder.path()).err().unwrap();
    assert!(error.to_string().contains("--no-relay"), "{error}");
    config.relay.listen = RelayListen::Nowhere;
    assert!(Relay::bind(&config, any, folder.path()).unwrap().is_none());
}
