//! Has the home's router open a port for us, so that members elsewhere reach us (UPnP, docs/PROTOCOL.md, "Behind a router").
//!
//! It speaks only on private IPv4 networks on which the node listens, so a node on loopback, or on the internet itself, asks nobody. What it asks
//! for lasts an hour, is renewed, and is taken back at an orderly end. libp2p's own (libp2p-upnp 0.7) asks whomever an answer names, reads
//! answers of any size, never looks again when a laptop changes its network, and gives nothing back.

mod gateway;
mod search;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::gateway::{CONFLICT, Gateway, ONLY_PERMANENT, Refused};
use crate::net::is_public;

/// Lists of addresses that wait for the actor.
pub(crate) const MAPPED: usize = 4;
/// When no address came or went for this long, those were all.
const SETTLED: Duration = Duration::from_millis(300);
/// Networks of ours on which a router is looked for.
const MAX_NETWORKS: usize = 4;
/// Ports of ours that one is asked to open: TCP and QUIC, of two listeners.
const MAX_PORTS: usize = 4;
/// How long the router leads a port to us: one that we leave without a word closes within the hour.
const LEASE_S: u32 = 3600;
/// A router that was started anew has forgotten us.
const RENEW: Duration = Duration::from_secs(10 * 60);
/// Other ports that are tried where another machine has ours.
const OTHER_PORTS: usize = 3;
/// …and where they are from.
const FREE_PORTS: std::ops::Range<u16> = 20_000..60_000;
/// Where no router opened a port, it is asked again after these: it may just be starting.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
];
/// How long the end waits for the router to close what it opened.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    Tcp,
    Quic,
}

/// A port of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    transport: Transport,
    number: u16,
}

impl Port {
    /// The address of this port, or of the one that leads to it, on that machine.
    fn at(self, host: Ipv4Addr, number: u16) -> Multiaddr {
        let host = Multiaddr::from(host);
        match self.transport {
            Transport::Tcp => host.with(Protocol::Tcp(number)),
            Transport::Quic => host.with(Protocol::Udp(number)).with(Protocol::QuicV1),
        }
    }
}

type Ports = BTreeSet<Port>;

/// Our ports on each private network.
fn ports(addresses: &[Multiaddr]) -> BTreeMap<Ipv4Addr, Ports> {
    let mut networks: BTreeMap<Ipv4Addr, Ports> = BTreeMap::new();
    for address in addresses {
        let mut parts = address.iter();
        let Some(Protocol::Ip4(host)) = parts
            .next()
            .filter(|host| matches!(host, Protocol::Ip4(ip) if ip.is_private()))
        else {
            continue;
        };
        let port = match (parts.next(), parts.next(), parts.next()) {
            (Some(Protocol::Tcp(number)), None, None) => Port {
                transport: Transport::Tcp,
                number,
            },
            (Some(Protocol::Udp(number)), Some(Protocol::QuicV1), None) => Port {
                transport: Transport::Quic,
                number,
            },
            _ => continue,
        };
        if networks.len() < MAX_NETWORKS || networks.contains_key(&host) {
            let ports = networks.entry(host).or_default();
            if ports.len() < MAX_PORTS {
                ports.insert(port);
            }
        }
    }
    networks
}

/// A router that leads ports to us.
#[derive(Debug)]
struct Opened {
    gateway: Gateway,
    local: Ipv4Addr,
    external: Ipv4Addr,
    /// What it was asked for.
    asked: Ports,
    /// Of those that it opened: ours, and the router's that lead to them.
    ports: BTreeMap<Port, u16>,
}

impl Opened {
    fn addresses(&self) -> Vec<Multiaddr> {
        let each = self.ports.iter();
        each.map(|(port, number)| port.at(self.external, *number)).collect()
    }

    /// Takes everything back, as far as the router can be reached.
    async fn close(self) {
        let closing = async {
            for (port, number) in &self.ports {
                if let Err(error) = self.gateway.close(port.transport, *number).await {
                    tracing::debug!(%error, "a port of the router stays open until its time is over");
                }
            }
        };
        drop(timeout(FAREWELL, closing).await);
    }
}

/// Keeps ports open, as addresses come and go, until `stop` or until nobody wants to know any more. All addresses that lead to us go to
/// `mapped` whenever they change.
pub(crate) async fn run(
    mut listening: watch::Receiver<Vec<Multiaddr>>,
    mapped: mpsc::Sender<Vec<Multiaddr>>,
    stop: CancellationToken,
) {
    let mut failures = 0;
    loop {
        // An error is noticed below.
        while let Ok(Ok(())) = timeout(SETTLED, listening.changed()).await {}
        let networks = ports(&listening.borrow_and_update());
        let found = tokio::select! {
            found = find(&networks) => found,
            () = stop.cancelled() => return,
        };
        let Some(opened) = found else {
            let again = AGAIN.get(failures).or(AGAIN.last()).copied().unwrap_or(RENEW);
            failures += 1;
            tokio::select! {
                // Without a private network there is nobody to ask.
                () = sleep(again), if !networks.is_empty() => {}
                changed = listening.changed() => match changed {
                    Ok(()) => failures = 0,
                    Err(_) => return,
                },
                () = stop.cancelled() => return,
            }
            continue;
        };
        failures = 0;
        let addresses = opened.addresses();
        tracing::info!(
            router = opened.gateway.host(),
            ?addresses,
            "the router leads to us (UPnP)"
        );
        if mapped.send(addresses).await.is_err() {
            return opened.close().await;
        }
        if hold(opened, &mut listening, &mapped, &stop).await.is_none() || mapped.send(Vec::new()).await.is_err() {
            return;
        }
    }
}

/// Renews until the router is lost, or we listen elsewhere; `None` if it is over for good.
async fn hold(
    mut opened: Opened,
    listening: &mut watch::Receiver<Vec<Multiaddr>>,
    mapped: &mpsc::Sender<Vec<Multiaddr>>,
    stop: &CancellationToken,
) -> Option<()> {
    loop {
        tokio::select! {
            () = sleep(RENEW) => match renewed(opened).await {
                Some((renewed, is_news)) => {
                    opened = renewed;
                    if is_news && mapped.send(opened.addresses()).await.is_err() {
                        opened.close().await;
                        return None;
                    }
                }
                None => {
                    tracing::info!("the router leads to us no more");
                    return Some(());
                }
            },
            changed = listening.changed() => {
                if changed.is_err() {
                    opened.close().await;
                    return None;
                }
                let networks = ports(&listening.borrow_and_update());
                if networks.get(&opened.local) != Some(&opened.asked) {
                    tracing::info!("we listen elsewhere: the router is asked anew");
                    opened.close().await;
                    return Some(());
                }
            }
            () = stop.cancelled() => {
                opened.close().await;
                return None;
            }
        }
    }
}

/// Asks for the same once more. Says whether the addresses are others than before; `None` if nothing leads to us any more.
async fn renewed(opened: Opened) -> Option<(Opened, bool)> {
    let before = opened.addresses();
    let Opened {
        gateway,
        local,
        asked,
        ports,
        ..
    } = opened;
    let opened = open(gateway, local, &asked, &ports).await?;
    let is_news = opened.addresses() != before;
    Some((opened, is_news))
}

/// The first router that opens a port.
async fn find(networks: &BTreeMap<Ipv4Addr, Ports>) -> Option<Opened> {
    for (local, ports) in networks {
        let found = search::search(*local).await.unwrap_or_else(|error| {
            tracing::debug!(%local, %error, "no router can be looked for");
            Vec::new()
        });
        for location in found {
            let gateways = Gateway::at(&location, *local).await.unwrap_or_else(|error| {
                tracing::debug!(%location, %error, "that is no router");
                Vec::new()
            });
            for gateway in gateways {
                if let Some(opened) = open(gateway, *local, ports, &BTreeMap::new()).await {
                    return Some(opened);
                }
            }
        }
    }
    None
}

/// Has a router open as many of these ports as it will, those of before where it can.
async fn open(gateway: Gateway, local: Ipv4Addr, ports: &Ports, before: &BTreeMap<Port, u16>) -> Option<Opened> {
    let external = match gateway.external_address().await {
        Ok(external) if is_public(external.into()) => external,
        Ok(external) => {
            tracing::info!(router = gateway.host(), %external, "the router is behind another one: a port of it would lead nobody here");
            return None;
        }
        Err(error) => {
            tracing::debug!(router = gateway.host(), %error, "the router does not say where it is");
            return None;
        }
    };
    let mut opened = BTreeMap::new();
    for port in ports {
        match open_port(&gateway, *port, before.get(port).copied().unwrap_or(port.number)).await {
            Ok(number) => drop(opened.insert(*port, number)),
            Err(error) => tracing::info!(router = gateway.host(), ?port, %error, "the router opens no port"),
        }
    }
    (!opened.is_empty()).then_some(Opened {
        gateway,
        local,
        external,
        asked: ports.clone(),
        ports: opened,
    })
}

async fn open_port(gateway: &Gateway, port: Port, wanted: u16) -> Result<u16, Refused> {
    let mut number = wanted;
    let mut lease = LEASE_S;
    let mut others = OTHER_PORTS;
    loop {
        match gateway.open(port, number, lease).await {
            Ok(()) => return Ok(number),
            Err(Refused::Error(CONFLICT)) if others > 0 => {
                others -= 1;
                number = UnwrapErr(SysRng).random_range(FREE_PORTS);
            }
            Err(Refused::Error(ONLY_PERMANENT)) if lease > 0 => lease = 0,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ports_on_private_networks_are_asked_for_and_no_others() {
        let networks = ports(&addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/fd00::1/tcp/1",
            "/ip4/203.0.113.7/tcp/1",
            "/ip4/169.254.1.1/tcp/1",
            "/ip4/192.168.1.2/tcp/4001",
            "/ip4/192.168.1.2/udp/4001/quic-v1",
            "/ip4/10.0.0.2/udp/4001",
            "/ip4/10.0.0.2/tcp/4001/ws",
        ]));
        let tcp = Port {
            transport: Transport::Tcp,
            number: 4001,
        };
        let quic = Port {
            transport: Transport::Quic,
            number: 4001,
        };
        assert_eq!(
            networks,
            BTreeMap::from([([192, 168, 1, 2].into(), Ports::from([tcp, quic]))])
        );
        let outside = Ipv4Addr::new(203, 0, 113, 1);
        assert_eq!(tcp.at(outside, 1).to_string(), "/ip4/203.0.113.1/tcp/1");
        assert_eq!(quic.at(outside, 2).to_string(), "/ip4/203.0.113.1/udp/2/quic-v1");
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        let texts: Vec<String> = (1..=50)
            .flat_map(|n| (1..=50).map(move |port| format!("/ip4/10.0.0.{n}/tcp/{port}")))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let networks = ports(&addresses(&texts));
        assert_eq!(networks.len(), MAX_NETWORKS);
        assert!(networks.values().all(|ports| ports.len() == MAX_PORTS));
    }

    #[tokio::test]
    async fn it_ends_when_told_or_when_nobody_wants_to_know() {
        let loopback = addresses(&["/ip4/127.0.0.1/tcp/1"]);
        let (sender, receiver) = mpsc::channel(MAPPED);
        let (listening, known) = watch::channel(loopback);
        let stop = CancellationToken::new();
        let told = tokio::spawn(run(known.clone(), sender.clone(), stop.clone()));
        stop.cancel();
        let left = tokio::spawn(run(known, sender, CancellationToken::new()));
        drop((listening, receiver));
        for task in [told, left] {
            tokio::time::timeout(Duration::from_secs(60), task)
                .await
                .unwrap()
                .unwrap();
        }
    }
}
