//! The address at which others on the local network reach this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses for documentation (RFC 5737, RFC 3849): connecting a datagram socket to one asks the routing table and sends nothing.
const SOMEWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The base URL of a server that listens on `bound`: as it is, or for all interfaces by the address that the default route leaves from.
pub fn url(bound: SocketAddr) -> String {
    let host = if bound.ip().is_unspecified() {
        primary().unwrap_or(loopback(bound.ip()))
    } else {
        bound.ip()
    };
    format!("http://{}", SocketAddr::new(host, bound.port()))
}

/// The same server from this machine itself.
pub fn local_url(bound: SocketAddr) -> String {
    let host = if bound.ip().is_unspecified() {
        loopback(bound.ip())
    } else {
        bound.ip()
    };
    format!("http://{}", SocketAddr::new(host, bound.port()))
}

/// A socket for all IPv6 addresses takes IPv4 too, where the system says so; it takes IPv6 in any case.
fn loopback(unspecified: IpAddr) -> IpAddr {
    match unspecified {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn primary() -> Option<IpAddr> {
    SOMEWHERE.into_iter().find_map(|target| {
        let any: IpAddr = if target.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((target, 9)).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_unspecified() && !address.is_loopback()).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_becomes_a_url_that_can_be_opened() {
        let bound: SocketAddr = "127.0.0.1:7070".parse().unwrap();
        assert_eq!(url(bound), "http://127.0.0.1:7070");
        let all: SocketAddr = "[::]:7070".parse().unwrap();
        assert_eq!(local_url(all), "http://[::1]:7070");
        assert!(!url(all).contains("[::]") && url(all).ends_with(":7070"));
    }
}
