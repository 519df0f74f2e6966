//! Who asks, and whether nobody on the way could read it: as the socket says, or as a trusted proxy does.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use ipnet::IpNet;

use crate::app::{Address, Transport};

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
/// Hops that are looked at. Longer chains are made up.
const MAX_HOPS: usize = 32;

/// Whether the log says already that a proxy is missing: once is enough.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Whether the address is one of the proxies.
pub(super) fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(&address))
}

/// The client of a request that came from `peer`. Headers count only if `peer` is a trusted proxy: then the client is the
/// last hop that is none, as nobody can forge what the proxies themselves appended.
pub(super) fn client(peer: IpAddr, is_tls: bool, headers: &HeaderMap, proxies: &[IpNet]) -> (Address, Transport) {
    if !is_trusted(peer, proxies) {
        if Address::of(peer).is_loopback() && headers.contains_key(FOR) && !TOLD.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a proxy on this machine forwards requests, and is not among trusted_proxies: no limit per address holds for \
                 anybody behind it"
            );
        }
        let transport = if is_tls { Transport::Secure } else { Transport::Plain };
        return (Address::of(peer), transport);
    }
    // The proxy's word for how it was reached; its own connection to us is the host's business.
    let secure = values(headers, PROTO)
        .last()
        .is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    let transport = if secure { Transport::Secure } else { Transport::Plain };
    let hops: Vec<&str> = values(headers, FOR).collect();
    let mut client = None;
    for hop in hops.iter().rev().take(MAX_HOPS) {
        let Some(address) = parse(hop) else { break };
        client = Some(address);
        if !is_trusted(address, proxies) {
            break;
        }
    }
    let address = client.map_or_else(|| Address::of(peer), Address::forwarded);
    (address, transport)
}

/// All values of a header, in order, whether in one line or in several.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

/// An address, perhaps with a port, as proxies write it.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(hop);
    bare.parse().ok().or_else(|| {
        let (address, _port) = hop.rsplit_once(':')?;
        address.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(peer: &str, forwarded_for: &[&str], proto: Option<&str>, proxies: &[&str]) -> (Address, Transport) {
        let mut headers = HeaderMap::new();
        for line in forwarded_for {
            headers.append(FOR, line.parse().unwrap());
        }
        if let Some(proto) = proto {
            headers.append(PROTO, proto.parse().unwrap());
        }
        let proxies: Vec<IpNet> = proxies.iter().map(|network| network.parse().unwrap()).collect();
        client(peer.parse().unwrap(), false, &headers, &proxies)
    }

    fn v4(text: &str) -> Address {
        Address::forwarded(text.parse().unwrap())
    }

    #[test]
    fn nobody_else_is_believed() {
        for (peer, proxies) in [
            ("192.0.2.9", &[][..]),
            ("192.0.2.9", &["10.0.0.0/8"]),
            ("127.0.0.1", &[]),
        ] {
            let (address, transport) = ask(peer, &["198.51.100.1"], Some("https"), proxies);
            assert!(address == Address::of(peer.parse().unwrap()) && transport == Transport::Plain);
        }
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_counts() {
        let proxies = &["127.0.0.0/8", "10.0.0.0/8", "::1/128"];
        for (lines, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            // What the client made up stands before what the proxy appended.
            (&["203.0.113.5, 198.51.100.1"], "198.51.100.1"),
            (&["203.0.113.5", "198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["nonsense, 198.51.100.1"], "198.51.100.1"),
            (&["198.51.100.1, nonsense, 10.0.0.1"], "10.0.0.1"),
            (&["10.0.0.7"], "10.0.0.7"),
            // The proxy's own loopback is not ours.
            (&["127.0.0.1"], "127.0.0.1"),
        ] {
            let (address, transport) = ask("127.0.0.1", lines, Some("https"), proxies);
            assert!(address == v4(expected), "{lines:?}: {address}");
            assert_eq!(transport, Transport::Secure);
        }
        let (address, _) = ask("::1", &["[2001:db8:1:2::9]:443"], None, proxies);
        assert!(address == Address::of("2001:db8:1:2::1".parse().unwrap()));
        assert!(ask("127.0.0.1", &[], None, proxies).0.is_loopback());
        assert!(ask("127.0.0.1", &["garbage"], None, proxies).0.is_loopback());
    }

    #[test]
    fn the_nearest_proxys_word_for_https_counts() {
        let proxies = &["127.0.0.1/32"];
        for (proto, transport) in [
            (None, Transport::Plain),
            (Some("http"), Transport::Plain),
            (Some("https"), Transport::Secure),
            (Some("HTTPS"), Transport::Secure),
            (Some("https, http"), Transport::Plain),
        ] {
            assert_eq!(
                ask("127.0.0.1", &["198.51.100.1"], proto, proxies).1,
                transport,
                "{proto:?}"
            );
        }
    }
}
