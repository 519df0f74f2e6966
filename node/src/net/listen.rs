//! Addresses to listen on.

use std::{
    io,
    net::{IpAddr, TcpListener},
};

use libp2p::{Multiaddr, multiaddr::Protocol};

/// Fails if another socket listens on a TCP port that was asked for by number.
///
/// libp2p sets `SO_REUSEPORT`, so that dials can come from the port it listens on; but then a second node of the same
/// user gets the port too, and each of the two receives half of the connections that are meant for either.
pub(crate) fn check_free(address: &Multiaddr) -> io::Result<()> {
    match (host(address), address.iter().nth(1)) {
        (Some(ip), Some(Protocol::Tcp(port))) if port != 0 => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

/// Whether only this host can reach the address.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    host(address).is_some_and(|ip| ip.is_loopback())
}

fn host(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
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
