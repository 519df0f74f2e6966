//! Who on a network says that it is its router (SSDP, UPnP Device Architecture 1.1, section 1.3).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};
use url::{Host, Url};

/// Where routers listen.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), 1900);
/// How far the question goes: section 1.3.2 says two networks.
const TTL: u32 = 2;
/// What is looked for; a router of version 2 answers to version 1 as well, if it does what it should.
const KINDS: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];
/// The question is asked again after these, since a packet may get lost; then answers are waited for once more.
const ASK: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(1)];
const WAIT: Duration = Duration::from_secs(3);
/// Answers that are looked at: networks have one router, or two.
const MAX_FOUND: usize = 4;
/// Bytes of one answer.
const MAX_ANSWER: usize = 2048;

/// Where those describe themselves who answered on the network of this address of ours, each on its own machine.
pub(super) async fn search(local: Ipv4Addr) -> std::io::Result<Vec<Url>> {
    let socket = UdpSocket::bind((local, 0)).await?;
    SockRef::from(&socket).set_multicast_if_v4(&local)?;
    socket.set_multicast_ttl_v4(TTL)?;
    let mut found: Vec<Url> = Vec::new();
    let mut buffer = [0; MAX_ANSWER];
    let mut at = Instant::now();
    for (index, pause) in ASK.iter().enumerate() {
        at += *pause;
        sleep_until(at).await;
        for kind in KINDS {
            socket.send_to(question(kind).as_bytes(), GROUP).await?;
        }
        let until = ASK.get(index + 1).map_or(at + WAIT, |pause| at + *pause);
        while let Ok(answer) = timeout_at(until, socket.recv_from(&mut buffer)).await {
            let (length, from) = answer?;
            if let Some(location) = location(&buffer[..length], from)
                && !found.contains(&location)
                && found.len() < MAX_FOUND
            {
                found.push(location);
            }
        }
        // Who was there answered the first question.
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn question(kind: &str) -> String {
    let (group, port) = GROUP;
    format!("M-SEARCH * HTTP/1.1\r\nHOST: {group}:{port}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {kind}\r\n\r\n")
}

/// Where whoever answered describes itself. It must be on a private network, and there where the answer comes from: nobody has us knock at doors
/// for them.
fn location(answer: &[u8], from: SocketAddr) -> Option<Url> {
    let text = std::str::from_utf8(answer).ok()?;
    let mut lines = text.split("\r\n");
    let (version, status) = lines.next()?.split_once(' ')?;
    if !version.starts_with("HTTP/1.") || !status.starts_with("200") {
        return None;
    }
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |name: &str| {
        let found = headers.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    header("ST").filter(|kind| KINDS.contains(kind))?;
    let url = Url::parse(header("LOCATION")?).ok()?;
    is_at(&url, from.ip()).then_some(url)
}

/// Whether a URL is one of http on that machine of a private network.
pub(super) fn is_at(url: &Url, machine: IpAddr) -> bool {
    let IpAddr::V4(machine) = machine else { return false };
    url.scheme() == "http" && url.host() == Some(Host::Ipv4(machine)) && machine.is_private()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, kind: &str, location: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\nCACHE-CONTROL: max-age=120\r\nst: {kind}\r\nLocation: {location}\r\n\r\n")
            .into_bytes()
    }

    #[test]
    fn a_router_is_found_where_it_answers_and_nowhere_else() {
        let from = "192.168.1.1:1900".parse().unwrap();
        let here = "http://192.168.1.1:5000/rootDesc.xml";
        assert_eq!(
            location(&answer("200 OK", KINDS[0], here), from).unwrap().as_str(),
            here
        );
        for elsewhere in [
            "http://192.168.1.2:5000/",
            "http://127.0.0.1:80/",
            "http://router.example/",
            "https://192.168.1.1/",
            "file:///etc/passwd",
            "192.168.1.1",
        ] {
            assert_eq!(
                location(&answer("200 OK", KINDS[0], elsewhere), from),
                None,
                "{elsewhere}"
            );
        }
        assert_eq!(location(&answer("404 Not Found", KINDS[0], here), from), None);
        assert_eq!(location(&answer("200 OK", "upnp:rootdevice", here), from), None);
        assert_eq!(location(b"\xff\xfe", from), None);
        assert_eq!(location(b"NOTIFY * HTTP/1.1\r\n\r\n", from), None);
        let outside = "203.0.113.1:1900".parse().unwrap();
        assert_eq!(
            location(&answer("200 OK", KINDS[0], "http://203.0.113.1:5000/"), outside),
            None
        );
    }
}
