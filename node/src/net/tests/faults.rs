//! Peers that vanish, and what is told and tried then.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::*;

/// Passes bytes on until it is told to swallow them.
#[derive(Clone, Default)]
struct Wire {
    cut: Arc<AtomicBool>,
}

impl Wire {
    fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// A TCP proxy; its address.
    async fn tcp(&self, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = self.clone();
        tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                if wire.is_cut() {
                    continue;
                }
                let outbound = TcpStream::connect(to).await.unwrap();
                let ((ar, aw), (br, bw)) = (inbound.into_split(), outbound.into_split());
                for (mut from, mut to) in [(ar, bw), (br, aw)] {
                    let wire = wire.clone();
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 65536];
                        while let Ok(count @ 1..) = from.read(&mut buffer).await {
                            if !wire.is_cut() && to.write_all(&buffer[..count]).await.is_err() {
                                return;
                            }
                        }
                        // A cut wire carries no farewell either.
                        if wire.is_cut() {
                            std::future::pending::<()>().await;
                        }
                    });
                }
            }
        });
        address
    }

    /// A UDP proxy for one client; its address.
    async fn udp(&self, to: SocketAddr) -> SocketAddr {
        let (front, back) = (
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        );
        let address = front.local_addr().unwrap();
        let wire = self.clone();
        tokio::spawn(async move {
            let (mut there, mut here) = (vec![0; 65536], vec![0; 65536]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((count, from)) = front.recv_from(&mut there) => {
                        client = Some(from);
                        if !wire.is_cut() {
                            back.send_to(&there[..count], to).await.unwrap();
                        }
                    }
                    Ok((count, _)) = back.recv_from(&mut here) => {
                        if let (Some(client), false) = (client, wire.is_cut()) {
                            front.send_to(&here[..count], client).await.unwrap();
                        }
                    }
                }
            }
        });
        address
    }
}

fn socket(address: &Multiaddr) -> SocketAddr {
    use libp2p::multiaddr::Protocol;
    let parts: Vec<_> = address.iter().collect();
    match parts[..] {
        [Protocol::Ip4(ip), Protocol::Tcp(port) | Protocol::Udp(port), ..] => (ip, port).into(),
        _ => panic!("{address}"),
    }
}

/// Beats so fast that silence is noticed within a test.
fn beating() -> NetLimits {
    NetLimits {
        beat: Duration::from_millis(200),
        ..patient()
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_and_dialed_again() {
    for listen in [TCP, QUIC] {
        bounded(async {
            let mut world = World::limited(2, listen, beating()).await;
            let (a, b, wire) = (world.key(0), world.key(1), Wire::default());
            let through: Multiaddr = match listen {
                TCP => format!(
                    "/ip4/127.0.0.1/tcp/{}",
                    wire.tcp(socket(&world.address(1))).await.port()
                ),
                _ => format!(
                    "/ip4/127.0.0.1/udp/{}/quic-v1",
                    wire.udp(socket(&world.address(1))).await.port()
                ),
            }
            .parse()
            .unwrap();
            world.nets[0].dial(b, vec![through]);
            let mut missing = HashSet::from([(0, b), (1, a)]);
            while !missing.is_empty() {
                if let (index, NetEvent::LinkUp { peer }) = world.step().await {
                    missing.remove(&(index, peer));
                }
            }
            wire.cut(true);
            let since = std::time::Instant::now();
            let mut missing = HashSet::from([(0, b), (1, a)]);
            while !missing.is_empty() {
                if let (index, NetEvent::LinkDown { peer }) = world.step().await {
                    missing.remove(&(index, peer));
                }
            }
            assert!(
                since.elapsed() < Duration::from_secs(3),
                "three beats of 200 ms, not the transport's ten seconds"
            );
            assert!(world.nets[0].stats().silent + world.nets[1].stats().silent >= 1);
            wire.cut(false);
            world.until(|_, event| matches!(event, NetEvent::LinkUp { .. })).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_peer_that_ends_is_noticed() {
    for listen in [TCP, QUIC] {
        bounded(async {
            let mut world = World::limited(2, listen, beating()).await;
            world.link(&[(0, 1)]).await;
            let gone = world.key(1);
            drop(world.nets.remove(1));
            world
                .until(|_, event| *event == NetEvent::LinkDown { peer: gone })
                .await;
            assert_eq!(world.nets[0].stats().links, 0);
        })
        .await;
    }
}
