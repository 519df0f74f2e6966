//! Where the relay listens, and what members are told of that.
//!
//! A member is told multiaddrs that end in the relay's peer id. Where they would only repeat the host that the member has reached the
//! rendezvous at, the host is left out: `/udp/7072/quic-v1/p2p/12D3…`. So a server that doesn't know under which address the world sees it
//! needs no settings.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use snug_rendezvous_api::{MAX_RELAYS, RelayAddress};

use super::guard::ip_of;

/// The relay's port unless said otherwise, TCP and UDP.
const PORT: u16 = 7072;

/// Where the relay listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RelayListen {
    /// On the address of the API, port 7072 (any free one if the API's is), unless that is loopback, where nobody needs a relay.
    IfPublic,
    /// There is no relay.
    #[default]
    Nowhere,
    /// There, or the server does not start.
    At(Vec<Multiaddr>),
}

impl RelayListen {
    /// TCP and QUIC on this address; on `[::]`, of IPv4 too.
    #[must_use]
    pub fn on(address: SocketAddr) -> Vec<Multiaddr> {
        let mut ips = vec![address.ip()];
        if address.ip() == IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED) {
            ips.push(Ipv4Addr::UNSPECIFIED.into());
        }
        let both = |ip: IpAddr| {
            let host = Multiaddr::from(ip);
            [
                host.clone().with(Protocol::Udp(address.port())).with(Protocol::QuicV1),
                host.with(Protocol::Tcp(address.port())),
            ]
        };
        ips.into_iter().flat_map(both).collect()
    }

    /// The same with the API's address taken into account.
    pub(crate) fn addresses(&self, http: SocketAddr) -> Vec<Multiaddr> {
        match self {
            Self::Nowhere => Vec::new(),
            Self::At(addresses) => addresses.clone(),
            Self::IfPublic if http.ip().to_canonical().is_loopback() => Vec::new(),
            Self::IfPublic => Self::on(SocketAddr::new(http.ip(), if http.port() == 0 { 0 } else { PORT })),
        }
    }
}

/// `ADDR:PORT` for TCP and QUIC, or a multiaddr of either.
pub(crate) fn parse_listen(text: &str) -> Result<Vec<Multiaddr>, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(RelayListen::on(address));
    }
    let address: Multiaddr = text.parse().map_err(|_| no_listen(text))?;
    (ip_of(&address).is_some() && suffix(&address).is_some_and(|(rest, _)| rest.is_empty()))
        .then(|| vec![address])
        .ok_or_else(|| no_listen(text))
}

fn no_listen(text: &str) -> String {
    format!(
        "{text:?} is no place for a relay: write [::]:{PORT} for TCP and QUIC, or multiaddrs like /ip4/0.0.0.0/tcp/{PORT} and \
         /ip4/0.0.0.0/udp/{PORT}/quic-v1"
    )
}

/// An address under which the world reaches the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum External {
    /// This host, at the relay's own ports.
    Host(IpAddr),
    /// Exactly there.
    Address(Multiaddr),
}

impl FromStr for External {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Host(ip));
        }
        let wrong = || {
            format!(
                "{text:?} is no address of a relay: write 203.0.113.7 (for all its ports), or multiaddrs like \
                 /ip4/203.0.113.7/udp/{PORT}/quic-v1"
            )
        };
        let address: Multiaddr = text.parse().map_err(|_| wrong())?;
        let is_whole = ip_of(&address).is_some()
            && suffix(&address).is_some_and(|(rest, of)| rest.is_empty() && !matches!(port(&of), None | Some(0)));
        is_whole.then_some(Self::Address(address)).ok_or_else(wrong)
    }
}

impl fmt::Display for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(ip) => write!(f, "{ip}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What follows the host if that is TCP or QUIC, as `(what follows that, it)`.
fn suffix(address: &Multiaddr) -> Option<(Multiaddr, Multiaddr)> {
    let (transport, length) = match (address.iter().nth(1)?, address.iter().nth(2)) {
        (Protocol::Tcp(port), _) => (Multiaddr::from(Protocol::Tcp(port)), 1),
        (Protocol::Udp(port), Some(Protocol::QuicV1)) => {
            (Multiaddr::from(Protocol::Udp(port)).with(Protocol::QuicV1), 2)
        }
        _ => return None,
    };
    Some((address.iter().skip(1 + length).collect(), transport))
}

fn port(transport: &Multiaddr) -> Option<u16> {
    match transport.iter().next()? {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    }
}

/// Fails if another program listens there: libp2p shares TCP ports among the programs of one account, and each would get half.
pub(super) fn check_free(address: &Multiaddr) -> io::Result<()> {
    match (ip_of(address), address.iter().nth(1)) {
        (Some(ip), Some(Protocol::Tcp(port))) if port != 0 => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

/// The address without its host, which is nobody's business: for where the protocol wants one.
pub(super) fn unnamed(address: &Multiaddr) -> Multiaddr {
    let host = Multiaddr::from(Ipv4Addr::LOCALHOST);
    suffix(address).map_or(host.clone(), |(_, transport)| {
        transport.iter().fold(host, |address, part| address.with(part))
    })
}

/// What members are told: QUIC first, as it gets through more routers.
///
/// `listening` is each place that was asked for, with what it stands for.
pub(super) fn told(
    listening: &[(Multiaddr, Multiaddr)],
    external: &[External],
    http: IpAddr,
    relay: PeerId,
) -> Vec<RelayAddress> {
    let mut told: Vec<Multiaddr> = Vec::new();
    let mut add = |host: Option<IpAddr>, transport: &Multiaddr| {
        let host = host.map_or_else(Multiaddr::empty, Multiaddr::from);
        let address = transport.iter().fold(host, |address, part| address.with(part));
        if !told.contains(&address) {
            told.push(address);
        }
    };
    let listening = || {
        let known = listening.iter();
        known.filter_map(|(wanted, address)| Some((ip_of(wanted)?, ip_of(address)?, suffix(address)?.1)))
    };
    for external in external {
        match external {
            External::Host(host) => {
                let family = listening().filter(|(_, ip, _)| ip.is_ipv4() == host.is_ipv4());
                family.for_each(|(_, _, transport)| add(Some(*host), &transport));
            }
            External::Address(address) => {
                if let (Some(ip), Some((_, transport))) = (ip_of(address), suffix(address)) {
                    add(Some(ip), &transport);
                }
            }
        }
    }
    if external.is_empty() {
        for (wanted, ip, transport) in listening() {
            // Where the API listens on one address and the relay on another, the member can't guess the other.
            let is_same_host = wanted.is_unspecified() || ip == http || ip.is_loopback() || http.is_loopback();
            add((!is_same_host).then_some(ip), &transport);
        }
    }
    told.sort_by_key(|address| address.iter().any(|part| matches!(part, Protocol::Tcp(_))));
    let texts = told
        .into_iter()
        .map(|address| address.with(Protocol::P2p(relay)).to_string());
    texts
        .filter_map(|text| RelayAddress::new(text).ok())
        .take(MAX_RELAYS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_loopback_server_has_no_relay_of_itself() {
        let at = |http: &str| RelayListen::IfPublic.addresses(http.parse().unwrap());
        assert!(at("127.0.0.1:7070").is_empty() && at("[::1]:7070").is_empty());
        assert_eq!(
            at("192.0.2.1:8080"),
            parsed(&["/ip4/192.0.2.1/udp/7072/quic-v1", "/ip4/192.0.2.1/tcp/7072"])
        );
        assert_eq!(at("[::]:7070").len(), 4);
        assert!(at("0.0.0.0:0").contains(&"/ip4/0.0.0.0/tcp/0".parse().unwrap()));
        assert!(
            RelayListen::Nowhere
                .addresses("192.0.2.1:1".parse().unwrap())
                .is_empty()
        );
    }

    #[test]
    fn places_to_listen_are_read() {
        assert_eq!(parse_listen("192.0.2.1:1").unwrap().len(), 2);
        for good in ["/ip6/::/tcp/7072", "/ip4/0.0.0.0/udp/0/quic-v1"] {
            assert_eq!(parse_listen(good).unwrap(), parsed(&[good]));
        }
        for wrong in [
            "",
            "7072",
            "/dns4/example.org/tcp/1",
            "/ip4/0.0.0.0/udp/1",
            "/ip4/0.0.0.0/tcp/1/ws",
            "/ip4/0.0.0.0",
        ] {
            assert!(parse_listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn external_addresses_are_read() {
        for good in ["203.0.113.7", "2001:db8::7", "/ip4/203.0.113.7/tcp/443"] {
            assert_eq!(good.parse::<External>().unwrap().to_string(), good);
        }
        for wrong in [
            "",
            "relay.example.org",
            "203.0.113.7:7072",
            "/ip4/203.0.113.7/tcp/0",
            "/ip4/203.0.113.7/udp/7072",
        ] {
            assert!(wrong.parse::<External>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn members_are_told_what_they_can_not_know() {
        let relay = PeerId::random();
        let everywhere = [
            ("/ip4/0.0.0.0/tcp/7072", "/ip4/127.0.0.1/tcp/7072"),
            ("/ip4/0.0.0.0/tcp/7072", "/ip4/10.0.0.1/tcp/7072"),
            ("/ip4/0.0.0.0/udp/7072/quic-v1", "/ip4/10.0.0.1/udp/7072/quic-v1"),
            ("/ip6/::/tcp/7073", "/ip6/2001:db8::1/tcp/7073"),
        ];
        let texts_of = |listening: &[(&str, &str)], external: &[External], http: &str| -> Vec<String> {
            let pairs: Vec<_> = listening
                .iter()
                .map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()))
                .collect();
            let told = told(&pairs, external, http.parse().unwrap(), relay);
            let of = told.iter().map(|address| address.as_str().to_owned());
            of.map(|text| text.replace(&format!("/p2p/{relay}"), "")).collect()
        };
        let texts = |external: &[External], http: &str| texts_of(&everywhere, external, http);
        assert_eq!(texts(&[], "::"), ["/udp/7072/quic-v1", "/tcp/7072", "/tcp/7073"]);
        assert_eq!(
            texts(&[External::Host("203.0.113.7".parse().unwrap())], "::"),
            ["/ip4/203.0.113.7/udp/7072/quic-v1", "/ip4/203.0.113.7/tcp/7072"]
        );
        assert_eq!(
            texts(&["/ip4/203.0.113.7/tcp/443".parse().unwrap()], "::"),
            ["/ip4/203.0.113.7/tcp/443"]
        );
        let here = [("/ip4/10.0.0.1/tcp/7072", "/ip4/10.0.0.1/tcp/7072")];
        assert_eq!(texts_of(&here, &[], "192.0.2.1"), ["/ip4/10.0.0.1/tcp/7072"]);
        for same in ["10.0.0.1", "127.0.0.1"] {
            assert_eq!(texts_of(&here, &[], same), ["/tcp/7072"]);
        }
    }

    #[test]
    fn what_the_protocol_wants_names_no_host() {
        let unnamed = |text: &str| unnamed(&text.parse().unwrap()).to_string();
        assert_eq!(
            unnamed("/ip4/10.0.0.1/udp/7072/quic-v1"),
            "/ip4/127.0.0.1/udp/7072/quic-v1"
        );
        assert_eq!(unnamed("/ip6/fd00::1/tcp/1"), "/ip4/127.0.0.1/tcp/1");
    }

    #[test]
    fn a_port_in_use_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(check_free(&format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()).is_err());
        assert!(check_free(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).is_ok());
    }
}
