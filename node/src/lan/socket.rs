//! The socket for multicast DNS: shared with whoever else on this machine speaks it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// RFC 6762, section 3.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;

/// See the module.
pub(super) struct Multicast {
    socket: UdpSocket,
    /// Our own addresses, on whose networks we speak.
    joined: BTreeSet<Ipv4Addr>,
}

impl Multicast {
    /// Opens the socket; on no network yet.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        // Other programs on this machine, and other rooms of ours, hear it too.
        socket.set_multicast_loop_v4(true)?;
        socket.set_multicast_ttl_v4(255)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            joined: BTreeSet::new(),
        })
    }

    /// Speaks on the networks of these addresses of ours, and on no others.
    pub(super) fn join(&mut self, addresses: &BTreeSet<Ipv4Addr>) {
        let socket = SockRef::from(&self.socket);
        for gone in self.joined.difference(addresses) {
            // An error means that the address has gone already.
            let _ = socket.leave_multicast_v4(&GROUP, gone);
        }
        // All of them again: a membership is the interface's, and leaving for one of its addresses ends it for the others.
        let joined = addresses.iter().filter(|address| {
            let joined = socket.join_multicast_v4(&GROUP, address);
            joined
                .or_else(|error| match error.kind() {
                    // Of another address, which the interface may have no more: that could not be left.
                    io::ErrorKind::AddrInUse => Ok(()),
                    _ => Err(error),
                })
                .inspect_err(|error| tracing::debug!(%address, %error, "no multicast there"))
                .is_ok()
        });
        self.joined = joined.copied().collect();
    }

    /// Says something on every network. What can't be sent is lost, as anything may be.
    pub(super) async fn say(&self, bytes: &[u8]) {
        for address in &self.joined {
            let said = async {
                SockRef::from(&self.socket).set_multicast_if_v4(address)?;
                self.socket.send_to(bytes, (GROUP, PORT)).await
            };
            if let Err(error) = said.await {
                tracing::debug!(%address, %error, "nothing can be said there");
            }
        }
    }

    /// The next packet that a full speaker of multicast DNS sent, by its length.
    pub(super) async fn hear(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (length, from) = self.socket.recv_from(buffer).await?;
            let is_local = |ip: Ipv4Addr| is_private(ip) || self.joined.contains(&ip);
            if let SocketAddr::V4(from) = from
                && from.port() == PORT
                && is_local(*from.ip())
            {
                return Ok(length);
            }
        }
    }
}

/// Whether the address is of a private network (RFC 1918, RFC 3927): at home, at work, in a VPN.
pub(super) fn is_private(ip: Ipv4Addr) -> bool {
    ip.is_private() || ip.is_link_local()
}

/// The private IPv4 addresses among those that we listen on.
pub(super) fn networks<'a>(hosts: impl Iterator<Item = &'a IpAddr>) -> BTreeSet<Ipv4Addr> {
    hosts
        .filter_map(|ip| match ip {
            IpAddr::V4(ip) if is_private(*ip) => Some(*ip),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_networks_hear_of_us() {
        let hosts = [
            "127.0.0.1",
            "192.168.1.2",
            "10.0.0.1",
            "169.254.3.4",
            "198.51.100.1",
            "fe80::1",
        ];
        let hosts: Vec<IpAddr> = hosts.iter().map(|ip| ip.parse().unwrap()).collect();
        let kept: Vec<String> = networks(hosts.iter()).iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["10.0.0.1", "169.254.3.4", "192.168.1.2"]);
    }
}
