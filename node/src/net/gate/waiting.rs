//! Inbound connections that haven't proven anything yet, by the host that they come from.
//!
//! Whoever holds places on purpose does so from few hosts, so none may hold more than a share of them, and when all are
//! taken, the host that holds most loses its oldest.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
};

use libp2p::{Multiaddr, multiaddr::Protocol, swarm::ConnectionId};

/// Who is at the other end, as far as an address says: an IPv6 host has a whole /64 to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host(Option<IpAddr>);

impl Host {
    pub(crate) fn of(address: &Multiaddr) -> Self {
        Self(match address.iter().next() {
            Some(Protocol::Ip4(ip)) => Some(ip.into()),
            Some(Protocol::Ip6(ip)) => {
                let network = u128::from(ip) & (u128::MAX << 64);
                Some(ip.to_ipv4_mapped().map_or(Ipv6Addr::from(network).into(), Into::into))
            }
            _ => None,
        })
    }
}

/// Connections in one stage, oldest first.
#[derive(Default)]
pub(crate) struct Waiting {
    connections: VecDeque<(ConnectionId, Host)>,
}

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn push(&mut self, id: ConnectionId, host: Host) {
        self.connections.push_back((id, host));
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) {
        self.connections.retain(|(other, _)| *other != id);
    }

    /// How many come from one host.
    pub(crate) fn of(&self, host: Host) -> usize {
        self.connections.iter().filter(|(_, other)| *other == host).count()
    }

    /// Takes out the oldest of the host that has most.
    pub(crate) fn pop(&mut self) -> Option<ConnectionId> {
        let most = self.connections.iter().map(|(_, host)| self.of(*host)).max()?;
        let index = self.connections.iter().position(|(_, host)| self.of(*host) == most)?;
        self.connections.remove(index).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::of(&text.parse().unwrap())
    }

    #[test]
    fn a_host_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(host("/ip4/192.0.2.1/tcp/1"), host("/ip4/192.0.2.1/udp/2/quic-v1"));
        assert_ne!(host("/ip4/192.0.2.1/tcp/1"), host("/ip4/192.0.2.2/tcp/1"));
        assert_eq!(host("/ip6/2001:db8::1/tcp/1"), host("/ip6/2001:db8::ffff:2/tcp/1"));
        assert_ne!(host("/ip6/2001:db8::1/tcp/1"), host("/ip6/2001:db8:0:1::1/tcp/1"));
        assert_eq!(host("/ip6/::ffff:192.0.2.1/tcp/1"), host("/ip4/192.0.2.1/tcp/1"));
    }

    #[test]
    fn the_host_that_holds_most_loses_its_oldest() {
        let (greedy, honest) = (host("/ip4/192.0.2.1/tcp/1"), host("/ip4/192.0.2.2/tcp/1"));
        let ids: Vec<_> = (0..5).map(ConnectionId::new_unchecked).collect();
        let mut waiting = Waiting::default();
        assert_eq!(waiting.pop(), None);
        for (id, host) in ids.iter().zip([honest, greedy, greedy, honest, greedy]) {
            waiting.push(*id, host);
        }
        assert_eq!((waiting.of(greedy), waiting.of(honest)), (3, 2));
        assert_eq!(waiting.pop(), Some(ids[1]));
        assert_eq!(waiting.pop(), Some(ids[0]), "as many of both: the oldest of all");
        waiting.remove(ids[2]);
        assert_eq!(waiting.pop(), Some(ids[3]));
        assert_eq!(waiting.len(), 1);
    }
}
