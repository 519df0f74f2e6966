//! The gate's stages, without a network.

use std::task::Poll;

use futures::task::noop_waker_ref;
use libp2p::{
    Multiaddr,
    core::{Endpoint, transport::PortUse},
    identity::Keypair,
    swarm::dummy,
};

use super::*;
use link::Progress;

/// What the gate asked of the swarm.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Up,
    Down,
    Failed(Failure),
    Close(ConnectionId),
    Admit,
    Ready,
    Release,
}

struct Rig {
    gate: Gate<dummy::Behaviour>,
    remote: PeerId,
    next: usize,
}

impl Rig {
    /// A gate whose key is lower, or higher, than its peer's.
    fn new(is_ours_lower: bool) -> Self {
        loop {
            let [ours, theirs] = [(); 2].map(|()| Keypair::generate_ed25519().public().to_peer_id());
            let (local, remote) = (peer::key_of(&ours).unwrap(), peer::key_of(&theirs).unwrap());
            if (local < remote) == is_ours_lower {
                let config = GateConfig {
                    patience: AT_ONCE,
                    beat: AT_ONCE,
                    ban: AT_ONCE,
                    max_unproven: 2,
                    max_handshakes_per_host: 2,
                };
                let gate = Gate::new(
                    dummy::Behaviour,
                    MeshKey::from_bytes([1; 32]),
                    local,
                    config,
                    crate::net::outside::ToRelays::default(),
                );
                return Self {
                    gate,
                    remote: theirs,
                    next: 0,
                };
            }
        }
    }

    fn endpoint(is_ours: bool) -> ConnectedPoint {
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        if is_ours {
            ConnectedPoint::Dialer {
                address,
                role_override: Endpoint::Dialer,
                port_use: PortUse::Reuse,
            }
        } else {
            ConnectedPoint::Listener {
                local_addr: address.clone(),
                send_back_addr: address,
            }
        }
    }

    /// A new connection, dialed by us or by the peer.
    fn connect(&mut self, is_ours: bool) -> ConnectionId {
        self.next += 1;
        let connection_id = ConnectionId::new_unchecked(self.next);
        self.gate
            .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: self.remote,
                connection_id,
                endpoint: &Self::endpoint(is_ours),
                failed_addresses: &[],
                other_established: 0,
            }));
        connection_id
    }

    fn close(&mut self, connection_id: ConnectionId) {
        self.gate.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: self.remote,
            connection_id,
            endpoint: &Self::endpoint(true),
            cause: None,
            remaining_established: 0,
        }));
    }

    fn progress(&mut self, id: ConnectionId, progress: Progress) {
        self.gate
            .on_connection_handler_event(self.remote, id, Either::Left(progress));
    }

    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        let mut cx = std::task::Context::from_waker(noop_waker_ref());
        while let Poll::Ready(event) = self.gate.poll(&mut cx) {
            told.push(match event {
                ToSwarm::GenerateEvent(Event::Up { .. }) => Told::Up,
                ToSwarm::GenerateEvent(Event::Down { .. }) => Told::Down,
                ToSwarm::GenerateEvent(Event::Failed { failure, .. }) => Told::Failed(failure),
                ToSwarm::CloseConnection {
                    connection: CloseConnection::One(id),
                    ..
                } => Told::Close(id),
                ToSwarm::NotifyHandler {
                    event: Either::Left(link::Told::Ready),
                    ..
                } => Told::Ready,
                ToSwarm::NotifyHandler {
                    event: Either::Right(Order::Admit(_)),
                    ..
                } => Told::Admit,
                ToSwarm::NotifyHandler {
                    event: Either::Right(Order::Release),
                    ..
                } => Told::Release,
                event => panic!("{event:?}"),
            });
        }
        told
    }

    fn open(&mut self, is_ours: bool) -> ConnectionId {
        let id = self.connect(is_ours);
        self.progress(id, Progress::Proven);
        self.progress(id, Progress::Open);
        id
    }
}

#[test]
fn a_connection_is_admitted_then_released_and_the_link_told_once() {
    let mut rig = Rig::new(true);
    let id = rig.connect(true);
    assert_eq!(rig.told(), []);
    rig.progress(id, Progress::Open);
    assert_eq!(rig.told(), [], "not before its proof");
    rig.progress(id, Progress::Proven);
    assert_eq!(rig.told(), [Told::Admit, Told::Ready]);
    rig.progress(id, Progress::Proven);
    assert_eq!(rig.told(), [], "admitted once");
    rig.progress(id, Progress::Open);
    assert_eq!(rig.told(), [Told::Release, Told::Up]);
    let second = rig.open(true);
    assert_eq!(
        rig.told(),
        [Told::Admit, Told::Ready, Told::Release],
        "one link, however many connections"
    );
    rig.close(id);
    assert_eq!(rig.told(), []);
    rig.close(second);
    assert_eq!(rig.told(), [Told::Down]);
    assert!(rig.gate.connections.is_empty() && rig.gate.admitted.is_empty());
}

#[test]
fn a_failure_closes_and_a_wrong_proof_bans() {
    for (failure, is_banned) in [
        (Failure::WrongProof, true),
        (Failure::Unsupported, true),
        (Failure::TimedOut, false),
        (Failure::Ended, false),
    ] {
        let mut rig = Rig::new(true);
        let id = rig.connect(false);
        assert_eq!(rig.gate.unproven(), 1);
        rig.progress(id, Progress::Failed(failure));
        assert_eq!(rig.told(), [Told::Close(id), Told::Failed(failure)]);
        rig.progress(id, Progress::Proven);
        assert_eq!(rig.told(), [], "nothing it says counts any more");
        assert_eq!(rig.gate.unproven(), 0);
        assert_eq!(rig.gate.bans.contains(&rig.remote, Instant::now()), is_banned);
    }
}

#[test]
fn of_two_dials_at_once_the_higher_keys_is_given_up() {
    for is_ours_lower in [true, false] {
        let mut rig = Rig::new(is_ours_lower);
        rig.open(is_ours_lower);
        rig.told();
        let second = rig.connect(!is_ours_lower);
        rig.progress(second, Progress::Proven);
        assert_eq!(rig.told(), [Told::Close(second), Told::Failed(Failure::Redundant)]);
        assert!(!rig.gate.bans.contains(&rig.remote, Instant::now()));
    }
}

#[test]
fn what_is_open_stays_and_a_second_dial_of_the_lower_key_too() {
    for is_ours_lower in [true, false] {
        let mut rig = Rig::new(is_ours_lower);
        rig.open(!is_ours_lower);
        rig.open(is_ours_lower);
        rig.open(is_ours_lower);
        assert!(!rig.told().iter().any(|told| matches!(told, Told::Close(_))));
    }
}

#[test]
fn an_old_link_gives_way_to_a_new_one() {
    let mut rig = Rig::new(true);
    let old = rig.open(true);
    rig.gate.connections.get_mut(&old).unwrap().stage = Stage::Open(Instant::now().checked_sub(AT_ONCE).unwrap());
    rig.told();
    rig.open(false);
    assert_eq!(rig.told(), [Told::Admit, Told::Ready, Told::Release]);
}

#[test]
fn unproven_connections_are_bounded() {
    let mut rig = Rig::new(true);
    let first = rig.connect(false);
    rig.connect(false);
    rig.connect(true);
    assert_eq!(rig.told(), [], "what we dialed ourselves isn't counted");
    rig.connect(false);
    assert_eq!(rig.told(), [Told::Close(first), Told::Failed(Failure::TimedOut)]);
    assert_eq!(rig.gate.unproven(), 2);
}

#[test]
fn handshakes_of_one_host_are_bounded() {
    let mut rig = Rig::new(true);
    let [here, there]: [Multiaddr; 2] =
        ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1"].map(|text| text.parse().unwrap());
    let mut pending = |number, from: &Multiaddr| {
        rig.gate
            .handle_pending_inbound_connection(ConnectionId::new_unchecked(number), &here, from)
            .is_ok()
    };
    assert!(pending(1, &here) && pending(2, &here));
    assert!(!pending(3, &here));
    assert!(pending(4, &there));
    rig.gate.handshakes.remove(ConnectionId::new_unchecked(1));
    let again = rig
        .gate
        .handle_pending_inbound_connection(ConnectionId::new_unchecked(5), &there, &here);
    assert!(again.is_ok());
}
