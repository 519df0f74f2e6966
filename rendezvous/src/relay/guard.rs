//! Who may connect, and who is dialed back.
//!
//! An address has so many connections and no more, whatever peer ids it makes up. And AutoNAT, which dials addresses that clients name,
//! dials a client only where it comes from: nobody has the server knock at doors for them, inside its own network least of all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::relay::RateLimiter;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use crate::app::{Address, Limiter, Rate};

/// See the module.
pub(super) struct Guard {
    per_address: usize,
    /// Where each connection comes from, those in their handshake included.
    connections: HashMap<ConnectionId, (Option<PeerId>, IpAddr)>,
    counts: HashMap<Address, usize>,
}

#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("that address has as many connections as it may")]
    TooMany,
    #[error("nobody is connected from there")]
    Elsewhere,
}

impl Guard {
    pub fn new(per_address: usize) -> Self {
        Self {
            per_address,
            connections: HashMap::new(),
            counts: HashMap::new(),
        }
    }

    fn enter(&mut self, id: ConnectionId, ip: IpAddr) -> Result<(), ConnectionDenied> {
        let count = self.counts.entry(counted(ip)).or_default();
        if *count >= self.per_address {
            return Err(ConnectionDenied::new(Denied::TooMany));
        }
        *count += 1;
        self.connections.insert(id, (None, ip));
        Ok(())
    }

    fn leave(&mut self, id: ConnectionId) {
        let Some((_, ip)) = self.connections.remove(&id) else {
            return;
        };
        let address = counted(ip);
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }
}

/// Loopback is one address among others here: a relay has no business with it.
fn counted(ip: IpAddr) -> Address {
    Address::forwarded(ip)
}

pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(IpAddr::from(ip).to_canonical()),
        _ => None,
    }
}

/// So many at once for an address, and one more each interval.
pub(super) fn rate(burst: u32, interval: Duration) -> Box<dyn RateLimiter> {
    let rate = Rate::new(1, interval, burst);
    let limiter: Limiter<Address> = Limiter::default();
    Box::new(move |_: PeerId, address: &Multiaddr, _: std::time::Instant| {
        ip_of(address).is_some_and(|ip| limiter.admit(counted(ip), rate, Instant::now()).is_ok())
    })
}

impl NetworkBehaviour for Guard {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let ip = ip_of(remote).ok_or_else(|| ConnectionDenied::new(Denied::Elsewhere))?;
        self.enter(id, ip)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if let Some((known, _)) = self.connections.get_mut(&id) {
            *known = Some(peer);
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let comes_from = |ip: IpAddr| {
            let mut known = self.connections.values();
            peer.is_some() && known.any(|(other, from)| *other == peer && from.to_canonical() == ip)
        };
        let is_theirs = |address: &Multiaddr| ip_of(address).is_some_and(comes_from);
        if addresses.is_empty() || !addresses.iter().all(is_theirs) {
            return Err(ConnectionDenied::new(Denied::Elsewhere));
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.leave(closed.connection_id),
            FromSwarm::ListenFailure(failure) => self.leave(failure.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(2)
    }

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    fn comes(guard: &mut Guard, n: usize, from: &str) -> bool {
        let local = "/ip4/192.0.2.1/tcp/7072".parse().unwrap();
        let remote = from.parse().unwrap();
        guard.handle_pending_inbound_connection(id(n), &local, &remote).is_ok()
    }

    #[test]
    fn an_address_has_so_many_connections() {
        let mut guard = guard();
        assert!(comes(&mut guard, 1, "/ip6/2001:db8::1/tcp/1"));
        assert!(comes(&mut guard, 2, "/ip6/2001:db8::2/udp/1/quic-v1"), "one /64");
        assert!(!comes(&mut guard, 3, "/ip6/2001:db8::3/tcp/1"));
        assert!(comes(&mut guard, 4, "/ip6/2001:db8:0:1::1/tcp/1"));
        assert!(comes(&mut guard, 5, "/ip4/192.0.2.7/tcp/1"));
        guard.leave(id(1));
        guard.leave(id(1));
        assert!(comes(&mut guard, 6, "/ip6/2001:db8::3/tcp/1"));
        assert!(!comes(&mut guard, 7, "/ip6/2001:db8::3/tcp/1"));
        assert!(!comes(&mut guard, 8, "/memory/1"));
        for n in 1..8 {
            guard.leave(id(n));
        }
        assert!(guard.counts.is_empty() && guard.connections.is_empty());
    }

    #[test]
    fn a_client_is_dialed_back_only_where_it_comes_from() {
        let (mut guard, peer, other) = (guard(), PeerId::random(), PeerId::random());
        let home: Multiaddr = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
        let inside: Multiaddr = "/ip4/10.0.0.1/tcp/22".parse().unwrap();
        assert!(comes(&mut guard, 1, "/ip4/192.0.2.7/tcp/50000"));
        let mut may = |peer, addresses: &[Multiaddr]| {
            guard
                .handle_pending_outbound_connection(id(9), peer, addresses, Endpoint::Dialer)
                .is_ok()
        };
        assert!(
            !may(Some(peer), std::slice::from_ref(&home)),
            "nobody knows yet who that is"
        );
        guard
            .handle_established_inbound_connection(id(1), peer, &home, &home)
            .unwrap();
        let mut may = |peer, addresses: &[Multiaddr]| {
            guard
                .handle_pending_outbound_connection(id(9), peer, addresses, Endpoint::Dialer)
                .is_ok()
        };
        assert!(may(Some(peer), std::slice::from_ref(&home)));
        assert!(!may(Some(peer), &[home.clone(), inside.clone()]));
        assert!(!may(Some(peer), &[inside]));
        assert!(!may(Some(peer), &[]));
        assert!(!may(Some(other), std::slice::from_ref(&home)));
        assert!(!may(None, &[home]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_makes_so_many_circuits() {
        let mut limiter = rate(2, Duration::from_secs(1));
        let home: Multiaddr = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
        let mut next = || limiter.try_next(PeerId::random(), &home, std::time::Instant::now());
        assert_eq!([next(), next(), next()], [true, true, false]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([next(), next()], [true, false]);
    }
}
