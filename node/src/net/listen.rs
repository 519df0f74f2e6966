//! Addresses to listen on.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use libp2p::{Multiaddr, TransportError, multiaddr::Protocol};
use socket2::{Domain, Socket, Type};

/// Fails if another socket listens on a TCP port that was asked for by number.
///
/// libp2p sets `SO_REUSEPORT`, so that dials can come from the port it listens on; but then a second node of the same
/// user gets the port too, and each of the two receives half of the connections that are meant for either.
pub(crate) fn check_free(address: &Multiaddr) -> io::Result<()> {
    match (host(address), address.iter().nth(1)) {
        (Some(ip), Some(Protocol::Tcp(port))) if port != 0 => try_to_listen(SocketAddr::new(ip, port)),
        _ => Ok(()),
    }
}

fn try_to_listen(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // As libp2p does: IPv4 has a listener of its own, on the same port.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(1)
}

/// The same address with the port left to the system.
pub(crate) fn on_any_port(address: &Multiaddr) -> Multiaddr {
    let freed = address.iter().map(|part| match part {
        Protocol::Tcp(_) => Protocol::Tcp(0),
        Protocol::Udp(_) => Protocol::Udp(0),
        part => part,
    });
    freed.collect()
}

/// What is said about an address that can't be listened on.
pub(crate) fn told(address: &Multiaddr, error: &TransportError<io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => {
            format!(
                "{address} is no address of TCP or QUIC, such as /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic-v1"
            )
        }
        TransportError::Other(error) => format!("{address}: {error}"),
    }
}

/// Whether only this host can reach the address.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    host(address).is_some_and(|ip| ip.is_loopback())
}

/// Whether the whole internet could reach the address, as far as its form says.
pub(crate) fn is_public(address: &Multiaddr) -> bool {
    !super::dialer::is_circuit(address) && host(address).is_some_and(super::reach::is_public)
}

/// The addresses of a peer that are worth telling others, the likeliest first: loopback only where there is nothing else (a node elsewhere
/// would dial itself), nothing link-local (it needs a scope), nothing through a relay (that holds for this run alone), TCP after QUIC.
pub(crate) fn presentable(addresses: &[Multiaddr]) -> Vec<Multiaddr> {
    let reach = |address: &Multiaddr| match host(address) {
        Some(ip) if ip.is_loopback() => 2,
        Some(ip) if ip.is_unspecified() => 3,
        Some(IpAddr::V4(ip)) if ip.is_link_local() => 3,
        Some(IpAddr::V6(ip)) if ip.is_unicast_link_local() => 3,
        Some(IpAddr::V4(ip)) if !ip.is_private() => 0,
        _ => 1,
    };
    let is_tcp = |address: &Multiaddr| address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
    let own = addresses.iter().filter(|address| !super::dialer::is_circuit(address));
    let mut sorted: Vec<&Multiaddr> = own.filter(|address| reach(address) < 3).collect();
    sorted.sort_by_key(|address| (reach(address), is_tcp(address)));
    if sorted.first().is_some_and(|best| reach(best) < 2) {
        sorted.retain(|address| reach(address) < 2);
    }
    sorted.into_iter().cloned().collect()
}

/// Addresses of one host belong to one member, as far as one can see.
pub(crate) fn by_host(addresses: Vec<Multiaddr>) -> Vec<Vec<Multiaddr>> {
    let mut groups: Vec<Vec<Multiaddr>> = Vec::new();
    for address in addresses {
        let group = groups
            .iter_mut()
            .find(|group| group.first().and_then(host) == host(&address));
        match group {
            Some(group) => group.push(address),
            None => groups.push(vec![address]),
        }
    }
    groups
}

pub(super) fn host(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_in_use_is_not_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let address = |text: String| text.parse::<Multiaddr>().unwrap();
        assert!(check_free(&address(format!("/ip4/127.0.0.1/tcp/{port}"))).is_err());
        assert!(check_free(&address("/ip4/127.0.0.1/tcp/0".into())).is_ok());
        assert!(check_free(&address(format!("/ip4/127.0.0.1/udp/{port}/quic-v1"))).is_ok());
        drop(taken);
        assert!(check_free(&address(format!("/ip4/127.0.0.1/tcp/{port}"))).is_ok());
    }

    fn parsed(addresses: &[&str]) -> Vec<Multiaddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn loopback_is_presented_only_where_there_is_nothing_else() {
        let loopback = parsed(&["/ip4/127.0.0.1/tcp/4001", "/ip6/::1/udp/4001/quic-v1"]);
        assert_eq!(presentable(&loopback), [loopback[1].clone(), loopback[0].clone()]);
        let mixed = parsed(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/192.168.1.2/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip4/169.254.0.1/tcp/1",
        ]);
        assert_eq!(presentable(&mixed), [mixed[1].clone()]);
    }

    #[test]
    fn what_most_can_reach_comes_first() {
        let addresses = parsed(&[
            "/ip4/10.0.0.1/udp/1/quic-v1",
            "/ip4/198.51.100.1/tcp/1",
            "/ip4/198.51.100.1/udp/1/quic-v1",
        ]);
        let wanted = [2, 1, 0].map(|at: usize| addresses[at].clone());
        assert_eq!(presentable(&addresses), wanted);
        assert!(presentable(&parsed(&["/ip4/0.0.0.0/tcp/1"])).is_empty());
    }

    #[test]
    fn a_port_is_left_to_the_system() {
        for (text, free) in [
            ("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/tcp/0"),
            ("/ip6/::/udp/4001/quic-v1", "/ip6/::/udp/0/quic-v1"),
        ] {
            assert_eq!(on_any_port(&text.parse().unwrap()), free.parse().unwrap());
        }
    }

    #[test]
    fn one_hosts_addresses_belong_together() {
        let addresses = parsed(&[
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/10.0.0.2/tcp/1",
            "/ip4/10.0.0.1/udp/1/quic-v1",
        ]);
        let [a, b, c] = [0, 1, 2].map(|at: usize| addresses[at].clone());
        assert_eq!(by_host(addresses), [vec![a, c], vec![b]]);
    }

    #[test]
    fn an_address_that_fails_is_told_with_its_reason() {
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/0".parse().unwrap();
        let refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let words = told(&address, &TransportError::Other(refused));
        assert!(
            words.starts_with("/ip4/192.0.2.1/tcp/0: ") && words.len() > 24,
            "{words}"
        );
    }

    #[test]
    fn loopback_is_known() {
        for (text, loopback) in [
            ("/ip4/127.0.0.1/tcp/1", true),
            ("/ip6/::1/tcp/1", true),
            ("/ip4/192.0.2.1/tcp/1", false),
        ] {
            assert_eq!(is_loopback(&text.parse().unwrap()), loopback);
        }
    }
}
