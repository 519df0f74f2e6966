//! Finding members on the same local network, without a rendezvous: multicast DNS under a name that is derived from the room's link key and
//! changes daily. Others see that machines look for the same thing; what, they don't (docs/PROTOCOL.md, "On a local network").
//!
//! It speaks only on private networks on which the node listens, so a node on loopback opens no socket for it.

mod packet;
mod socket;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::generation::{IntroKey, MeshKey};
use snug_crypto::ids::PeerKey;
use snug_crypto::presence::PresenceRecord;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use self::packet::MAX_PACKET;
use self::socket::Multicast;
use crate::engine::clock::unix_ms;

/// Batches of records that wait for the actor; what comes meanwhile is lost, and asked for again.
pub(crate) const FOUND: usize = 4;
/// After the first question, the next ones: a packet may get lost, and a network may just have come up.
const FIRST: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];
/// From then on; jittered by a quarter.
const INTERVAL: Duration = Duration::from_secs(60);
/// Before an answer, so that many don't answer at once (RFC 6762, section 6).
const ANSWER_AFTER: std::ops::Range<u64> = 20..120;
/// Between two answers, and between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// Records of others that are handed on within a second: each costs a try to open it.
const MAX_RECORDS: usize = 64;
/// Before the socket is tried again.
const RETRY: Duration = Duration::from_secs(30);
const DAY_MS: u64 = 86_400_000;

/// What is looked for, and told to those who look for the same.
#[derive(Clone)]
pub(crate) struct Looking {
    pub(crate) mesh: MeshKey,
    pub(crate) intro: IntroKey,
    pub(crate) peer: PeerKey,
    /// Where we listen, as others on the network should dial it.
    pub(crate) addresses: Vec<Multiaddr>,
    /// Rises when links get few: those who are lost may be elsewhere on the network now.
    pub(crate) lost: u64,
}

impl Looking {
    fn networks(&self) -> BTreeSet<Ipv4Addr> {
        let hosts: Vec<IpAddr> = (self.addresses.iter())
            .filter_map(|address| match address.iter().next()? {
                Protocol::Ip4(ip) => Some(ip.into()),
                Protocol::Ip6(ip) => Some(ip.into()),
                _ => None,
            })
            .collect();
        socket::networks(hosts.iter())
    }

    /// The names under which we are found: today's, and those of the days beside it, for clocks that differ.
    fn services(&self) -> [String; 3] {
        let today = u32::try_from(unix_ms() / DAY_MS).unwrap_or(u32::MAX - 1);
        [today, today.saturating_sub(1), today + 1].map(|day| packet::service(&self.mesh, day))
    }

    fn record(&self) -> Vec<u8> {
        let record = PresenceRecord {
            peer: self.peer,
            addresses: self.addresses.iter().map(Multiaddr::to_string).collect(),
            at_ms: unix_ms(),
        };
        record.seal(&self.intro, &mut UnwrapErr(SysRng))
    }
}

/// Looks for members until nobody wants to know any more. What is found is sealed presence records, by whomever.
pub(crate) async fn run(mut looking: watch::Receiver<Looking>, found: mpsc::Sender<Vec<Vec<u8>>>) {
    loop {
        let networks = looking.borrow_and_update().networks();
        if networks.is_empty() {
            if looking.changed().await.is_err() {
                return;
            }
            continue;
        }
        match Multicast::open() {
            Ok(socket) => {
                if look(socket, &mut looking, &found).await.is_none() {
                    return;
                }
            }
            Err(error) => tracing::debug!(%error, "multicast DNS can't be spoken here"),
        }
        // Its port may be another program's alone.
        tokio::select! {
            () = sleep(RETRY) => {}
            changed = looking.changed() => if changed.is_err() { return },
            () = found.closed() => return,
        }
    }
}

/// Asks and answers; `None` when nobody wants to know any more.
async fn look(
    mut socket: Multicast,
    looking: &mut watch::Receiver<Looking>,
    found: &mpsc::Sender<Vec<Vec<u8>>>,
) -> Option<()> {
    let instance: [u8; 8] = UnwrapErr(SysRng).random();
    let mut buffer = vec![0; MAX_PACKET + 1];
    let mut current = looking.borrow_and_update().clone();
    socket.join(&current.networks());
    let mut asked = 0;
    let mut ask_at = Instant::now() + answer_delay();
    let mut answer: Option<(Instant, String)> = None;
    let mut quiet_until = Instant::now();
    let mut silent_until = Instant::now();
    let mut records = (Instant::now(), 0);
    loop {
        let answer_at = answer.as_ref().map_or_else(|| Instant::now() + INTERVAL, |(at, _)| *at);
        tokio::select! {
            heard = socket.hear(&mut buffer) => match heard {
                Ok(length) => {
                    let heard = packet::hear(&buffer[..length], &current.services());
                    if let (None, Some(service)) = (&answer, heard.asked.into_iter().next()) {
                        answer = Some((quiet_until.max(Instant::now() + answer_delay()), service));
                    }
                    if records.0.elapsed() >= Duration::from_secs(1) {
                        records = (Instant::now(), 0);
                    }
                    records.1 += heard.records.len();
                    if !heard.records.is_empty() && records.1 <= MAX_RECORDS {
                        // Full: what is lost is asked for again.
                        let _ = found.try_send(heard.records);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "multicast DNS ended");
                    return Some(());
                }
            },
            () = sleep_until(ask_at) => {
                if let [today, ..] = &current.services()
                    && let Some(question) = packet::question(today)
                {
                    socket.say(&question).await;
                }
                silent_until = Instant::now() + PAUSE;
                let pause = FIRST.get(asked).copied().unwrap_or(INTERVAL);
                asked += 1;
                ask_at = Instant::now() + pause.mul_f64(UnwrapErr(SysRng).random_range(0.75..1.25));
            }
            () = sleep_until(answer_at), if answer.is_some() => {
                if let Some((_, service)) = answer.take()
                    && let Some(packet) = packet::answer(&service, instance, &current.record())
                {
                    socket.say(&packet).await;
                }
                quiet_until = Instant::now() + PAUSE;
            }
            changed = looking.changed() => {
                changed.ok()?;
                current = looking.borrow_and_update().clone();
                let networks = current.networks();
                if networks.is_empty() {
                    return Some(());
                }
                socket.join(&networks);
                // Another network, or another generation of the room: somebody else may be there. Or those who were linked are elsewhere.
                asked = 0;
                ask_at = silent_until.max(Instant::now() + answer_delay());
            }
            () = found.closed() => return None,
        }
    }
}

fn answer_delay() -> Duration {
    Duration::from_millis(UnwrapErr(SysRng).random_range(ANSWER_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looking(addresses: &[&str]) -> Looking {
        Looking {
            mesh: MeshKey::from_bytes([1; 32]),
            intro: IntroKey::from_bytes([2; 32]),
            peer: PeerKey::from_bytes([3; 32]),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            lost: 0,
        }
    }

    #[test]
    fn a_node_on_loopback_or_on_the_internet_alone_looks_for_nobody() {
        let nowhere = looking(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip6/::1/tcp/1",
            "/ip4/198.51.100.1/udp/1/quic-v1",
        ]);
        assert!(nowhere.networks().is_empty());
        let home = looking(&["/ip4/192.168.1.2/tcp/1", "/ip4/192.168.1.2/udp/1/quic-v1"]);
        assert_eq!(home.networks().len(), 1);
    }

    #[test]
    fn what_is_told_is_sealed() {
        let home = looking(&["/ip4/192.168.1.2/tcp/4001"]);
        let record = home.record();
        let text = b"192.168.1.2";
        assert!(!record.windows(text.len()).any(|window| window == text));
        let opened = PresenceRecord::open(&home.intro, &record).unwrap();
        assert_eq!((opened.peer, opened.addresses.len()), (home.peer, 1));
        assert!(home.services().iter().all(|name| name.starts_with('_')));
    }

    #[tokio::test]
    async fn it_ends_when_nobody_wants_to_know() {
        let (state, receiver) = watch::channel(looking(&["/ip4/127.0.0.1/tcp/1"]));
        let (found, records) = mpsc::channel(FOUND);
        let task = tokio::spawn(run(receiver, found));
        drop((state, records));
        tokio::time::timeout(Duration::from_secs(60), task)
            .await
            .unwrap()
            .unwrap();
    }
}
