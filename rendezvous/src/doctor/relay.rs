//! The relay: whether it runs, and whether it can be reached as far as that shows from here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::Finding;
use crate::config::Config;
use crate::control::{Relaying, Status};
use crate::relay::RelayListen;

const CHECK: &str = "relay";
/// How long the relay's port may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn relay(config: &Config, running: Option<&Status>) -> Vec<Finding> {
    let wanted = config.relay.listen.addresses(config.listen);
    match (&config.relay.listen, running) {
        (RelayListen::Nowhere, _) => vec![Finding::ok(
            CHECK,
            "switched off: members who can't reach each other can't meet",
        )],
        (RelayListen::IfPublic, None) if wanted.is_empty() => vec![none_on_loopback()],
        (_, Some(status)) => match &status.relay {
            Some(relaying) => answering(relaying, status.listen.ip()).await,
            None if wanted.is_empty() => vec![none_on_loopback()],
            None => vec![Finding::warning(
                CHECK,
                "the running server has none, though the settings want one",
                "see its log for why; most likely its port was taken: name another with --relay-listen, and start it anew",
            )],
        },
        (_, None) => free(&wanted).await,
    }
}

fn none_on_loopback() -> Finding {
    Finding::ok(
        CHECK,
        "none, as the server listens on loopback; if a proxy leads the world to it, set relay.listen = [\"[::]:7072\"]",
    )
}

/// Ports that the relay wants and doesn't have yet.
async fn free(wanted: &[Multiaddr]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in wanted {
        let Some((host, is_tcp)) = socket(address) else {
            continue;
        };
        let bound = match is_tcp {
            true => TcpListener::bind(host).await.map(drop),
            false => UdpSocket::bind(host).await.map(drop),
        };
        findings.push(match bound {
            Ok(()) => continue,
            // One family is enough, and not every machine has both.
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable && host.ip().is_unspecified() => {
                continue;
            }
            Err(error) => Finding::warning(
                CHECK,
                format!("{address}: {error}"),
                "stop what uses it (ss -lntup shows it), or name another with --relay-listen",
            ),
        });
    }
    if findings.is_empty() {
        let places: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        findings.push(Finding::ok(CHECK, format!("{} are free", places.join(", "))));
    }
    findings
}

/// What the server says of it, and whether its TCP ports answer where the world is told to find them; `api` is where the API listens.
async fn answering(relaying: &Relaying, api: IpAddr) -> Vec<Finding> {
    let places = relaying.addresses.join(", ");
    let [received, sent] = relaying.bytes;
    let mut findings = vec![if relaying.addresses.is_empty() {
        Finding::warning(
            CHECK,
            "it listens nowhere",
            "see the server's log; some containers don't let programs see their network interfaces (AF_NETLINK)",
        )
    } else {
        Finding::ok(
            CHECK,
            format!(
                "members are told {places}; {} connections, {} reservations, {} circuits; {received} bytes received, {sent} sent",
                relaying.connections, relaying.reservations, relaying.circuits
            ),
        )
    }];
    for text in &relaying.addresses {
        let Ok(address) = text.parse::<Multiaddr>() else {
            continue;
        };
        let host = match (socket(&address), address.iter().next()) {
            (Some((host, true)), _) => host,
            // On the host that members reach the server at: on this one, it is where the API is, or everywhere.
            (None, Some(Protocol::Tcp(port))) => {
                let here = if api.is_unspecified() {
                    Ipv4Addr::LOCALHOST.into()
                } else {
                    api
                };
                SocketAddr::new(here, port)
            }
            _ => continue,
        };
        let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(host)).await;
        if !matches!(connected, Ok(Ok(_))) {
            findings.push(Finding::warning(
                CHECK,
                format!("{host} can't be reached from here"),
                "try it from outside; if that fails too, open the port in the firewall, TCP and UDP, or put relay.external right",
            ));
        }
    }
    if relaying
        .addresses
        .iter()
        .any(|text| text.starts_with("/tcp") || text.starts_with("/udp"))
    {
        findings.push(Finding::ok(
            "relay ports",
            "to be open in the firewall, TCP and UDP, on the host that members reach this server at; if that is another one, set \
             relay.external",
        ));
    }
    findings
}

/// Where an address leads, and whether by TCP; nothing without a host.
fn socket(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip),
        Protocol::Ip6(ip) => IpAddr::from(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some((SocketAddr::new(ip, port), true)),
        Protocol::Udp(port) => Some((SocketAddr::new(ip, port), false)),
        _ => None,
    }
}
