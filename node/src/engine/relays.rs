//! The rendezvous' relay: where it is, by what the server says and what we know ourselves; and what is said to people where there is none.

use std::net::IpAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::time::Instant;

use super::actor::Actor;
use crate::net::{RelayState, is_public};
use crate::rendezvous::ServerUrl;

/// Addresses of the server's host that are tried.
const MAX_HOSTS: usize = 4;
/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(10);
/// Members that could not be reached, over at least so long, before that is told: a record of one that went is there for 90 s.
const UNREACHED: u32 = 3;
const UNREACHED_FOR: Duration = Duration::from_secs(95);

/// Where relays are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Located {
    /// To be dialed: `/ip…/…/p2p/RELAY`.
    pub relays: Vec<Multiaddr>,
    /// The server is on this machine, and who uses it most likely as well.
    pub is_here: bool,
}

/// What is known of relays while a node runs.
#[derive(Debug, Default)]
pub(super) struct Relaying {
    /// The rendezvous is elsewhere, and said that it has none.
    is_missing: bool,
    /// Members in a row whom nobody could reach, and since when.
    unreached: Option<(Instant, u32)>,
    is_told: bool,
}

/// Makes addresses of what a server says. Nothing of it is believed but that there may be a relay.
pub(super) async fn locate(server: &ServerUrl, told: &[String]) -> Located {
    let hosts = hosts(server).await;
    Located {
        relays: told.iter().flat_map(|text| whole(text, &hosts)).collect(),
        is_here: !hosts.is_empty() && hosts.iter().all(IpAddr::is_loopback),
    }
}

async fn hosts(server: &ServerUrl) -> Vec<IpAddr> {
    let Some((host, port)) = server.host_and_port() else {
        return Vec::new();
    };
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((host.as_str(), port))).await;
    let Ok(Ok(found)) = found else { return Vec::new() };
    let mut hosts: Vec<IpAddr> = Vec::new();
    for address in found {
        if hosts.len() < MAX_HOSTS && !hosts.contains(&address.ip()) {
            hosts.push(address.ip());
        }
    }
    hosts
}

/// An address that begins with `/tcp` or `/udp` is on the server's hosts. One of a private network is believed only of a server that is on one
/// itself: nobody has us knock at doors at home.
fn whole(text: &str, hosts: &[IpAddr]) -> Vec<Multiaddr> {
    let Ok(address) = text.parse::<Multiaddr>() else {
        return Vec::new();
    };
    let ip = match address.iter().next() {
        Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
        Some(Protocol::Tcp(_) | Protocol::Udp(_)) => {
            let on = |host: &IpAddr| {
                address
                    .iter()
                    .fold(Multiaddr::from(*host), |whole, part| whole.with(part))
            };
            return hosts.iter().map(on).collect();
        }
        _ => return Vec::new(),
    };
    let is_fine = is_public(ip) || !hosts.iter().all(|host| is_public(*host));
    if is_fine { vec![address] } else { Vec::new() }
}

impl Actor {
    pub(super) fn on_relays(&mut self, located: Located) {
        self.relaying.is_missing = located.relays.is_empty() && !located.is_here;
        self.net.set_relays(located.relays);
    }

    /// A member that somebody named could not be reached. Where no relay helps, and it goes on so, people are told.
    pub(super) fn on_unreachable(&mut self) {
        if !self.links.is_empty() || self.relaying.is_told {
            self.relaying.unreached = None;
            return;
        }
        let now = Instant::now();
        let (since, count) = self.relaying.unreached.get_or_insert((now, 0));
        *count += 1;
        if *count < UNREACHED || now.duration_since(*since) < UNREACHED_FOR {
            return;
        }
        let why = match self.net.relay() {
            RelayState::Off => "and relays are switched off here (--no-relay)".to_owned(),
            RelayState::None if self.relaying.is_missing => {
                format!("and the rendezvous {} has no relay", self.server())
            }
            RelayState::Asking => format!(
                "and the relay of the rendezvous {} does not answer: its host should look whether its port is open",
                self.server()
            ),
            RelayState::None | RelayState::Reserved => return,
        };
        self.relaying.is_told = true;
        self.warn(format!(
            "Members that should be there can't be reached from here, {why}. To meet, one of you has to be reachable: be on one network, or \
             open a port for --listen."
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn url(text: &str) -> ServerUrl {
        ServerUrl::parse(text).unwrap()
    }

    async fn located(server: &str, told: &[String]) -> Vec<String> {
        let located = locate(&url(server), told).await;
        located.relays.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_relay_without_a_host_is_on_the_servers() {
        let told = [format!("/udp/7072/quic-v1/p2p/{ID}"), format!("/tcp/7072/p2p/{ID}")];
        assert_eq!(
            located("http://203.0.113.7:7070", &told).await,
            [
                format!("/ip4/203.0.113.7/udp/7072/quic-v1/p2p/{ID}"),
                format!("/ip4/203.0.113.7/tcp/7072/p2p/{ID}")
            ]
        );
        assert_eq!(
            located("https://[2001:db8::1]", &told[1..]).await,
            [format!("/ip6/2001:db8::1/tcp/7072/p2p/{ID}")]
        );
        assert!(locate(&url("http://127.0.0.1:1"), &told).await.is_here);
        assert!(locate(&url("http://localhost:1"), &told).await.is_here);
        assert!(!locate(&url("http://203.0.113.7"), &[]).await.is_here);
    }

    #[tokio::test]
    async fn a_server_out_there_does_not_send_us_round_our_own_network() {
        let inside = [
            format!("/ip4/192.168.1.1/tcp/80/p2p/{ID}"),
            format!("/ip6/fd00::1/tcp/80/p2p/{ID}"),
        ];
        let outside = [format!("/ip4/203.0.113.9/tcp/443/p2p/{ID}")];
        assert!(located("https://203.0.113.7", &inside).await.is_empty());
        assert_eq!(located("https://203.0.113.7", &outside).await, outside);
        assert_eq!(located("http://192.168.1.20:7070", &inside).await, inside);
    }

    #[tokio::test]
    async fn nonsense_is_passed_over() {
        let told = [
            "/",
            "/nonsense/1",
            "/dns4/example.org/tcp/1",
            "/p2p-circuit",
            "/memory/1",
            "/ip4/1",
        ];
        let told = told.map(str::to_owned);
        assert!(located("https://203.0.113.7", &told).await.is_empty());
    }
}
