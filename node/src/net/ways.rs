//! Circuits through relays of two kinds: those that are of no room, spoken with `outside`, and members who relay, spoken with over their
//! links. Each kind has a client of libp2p's relay protocol of its own; here is decided whose a circuit is, by the relay's peer id.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent},
    multiaddr::Protocol,
    relay::client,
};

/// Members whose circuits are known at once: as many as the dialer remembers.
const MAX_MEMBERS: usize = 4096;

/// The relays that are members; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemberRelays(Arc<Mutex<HashSet<PeerId>>>);

impl MemberRelays {
    /// From here on circuits of this relay are a member's, or not.
    pub(crate) fn mark(&self, relay: PeerId, is_member: bool) {
        self.with(|members| {
            if !is_member {
                members.remove(&relay);
            } else if members.len() < MAX_MEMBERS {
                members.insert(relay);
            }
        });
    }

    fn contains(&self, relay: &PeerId) -> bool {
        self.with(|members| members.contains(relay))
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashSet<PeerId>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The relay that an address leads through.
pub(crate) fn relay_of(address: &Multiaddr) -> Option<PeerId> {
    let mut parts = address.iter().take_while(|part| *part != Protocol::P2pCircuit);
    let relay = parts.find_map(|part| match part {
        Protocol::P2p(relay) => Some(relay),
        _ => None,
    });
    relay.filter(|_| super::dialer::is_circuit(address))
}

/// Both clients' transports as one.
pub(crate) struct Ways {
    pub(crate) members: client::Transport,
    pub(crate) others: client::Transport,
    pub(crate) which: MemberRelays,
}

impl Ways {
    fn of(&mut self, address: &Multiaddr) -> &mut client::Transport {
        if relay_of(address).is_some_and(|relay| self.which.contains(&relay)) {
            &mut self.members
        } else {
            &mut self.others
        }
    }
}

impl Transport for Ways {
    type Output = <client::Transport as Transport>::Output;
    type Error = <client::Transport as Transport>::Error;
    type ListenerUpgrade = <client::Transport as Transport>::ListenerUpgrade;
    type Dial = <client::Transport as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.of(&address).listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.members.remove_listener(id) || self.others.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.of(&address).dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        match Pin::new(&mut self.members).poll(cx) {
            Poll::Pending => Pin::new(&mut self.others).poll(cx),
            ready => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_is_who_stands_before_the_circuit() {
        let (relay, called) = (PeerId::random(), PeerId::random());
        let circuit = format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit");
        for (text, expected) in [
            (circuit.clone(), Some(relay)),
            (format!("{circuit}/p2p/{called}"), Some(relay)),
            (format!("/ip4/192.0.2.1/tcp/1/p2p/{called}"), None),
            (format!("/p2p-circuit/p2p/{called}"), None),
        ] {
            assert_eq!(relay_of(&text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn who_is_a_member_is_known_by_all_clones() {
        let (known, peer) = (MemberRelays::default(), PeerId::random());
        let other = known.clone();
        known.mark(peer, true);
        assert!(other.contains(&peer) && !other.contains(&PeerId::random()));
        other.mark(peer, false);
        assert!(!known.contains(&peer));
    }
}
