//! Several nodes on loopback, with real sockets.
//!
//! Nothing here waits for time to pass in order to be ready: tests await events, each within one overall bound. All
//! nodes of a [`World`] are driven from one task, so that every event of one cancels the `next` of all others.

mod calls;
mod direct;
mod faults;
mod gossip;
mod links;
mod members;
mod rekey;
mod relay;
mod rogue;

use std::{collections::HashSet, time::Duration};

use futures::future::select_all;
use libp2p::Multiaddr;
use snug_crypto::{
    PeerKey,
    generation::{MeshKey, Topic},
    identity::TransportKey,
};

use super::{Net, NetConfig, NetEvent, NetLimits};
use crate::room::Verdict;

/// No test takes longer, on a machine that is busy with much else.
const BOUND: Duration = Duration::from_secs(120);

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Patient, so that a busy machine is no fault.
fn patient() -> NetLimits {
    NetLimits {
        patience: BOUND,
        beat: BOUND,
        direct_timeout: BOUND,
        // Links are what a test makes of them.
        enough_links: 0,
        ..NetLimits::default()
    }
}

/// Impatient, so that what ought to time out does so within a test.
fn impatient() -> NetLimits {
    NetLimits {
        patience: Duration::from_secs(2),
        direct_timeout: Duration::from_secs(2),
        ..patient()
    }
}

fn config(listen: &[&str]) -> NetConfig {
    let mut seed = [0; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed).unwrap();
    NetConfig {
        transport: TransportKey::from_seed(&seed),
        mesh: MeshKey::from_bytes([1; 32]),
        topic: Topic([2; 32]),
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        any_port: false,
        max_participants: 20,
        relays: true,
        serves: true,
        limits: patient(),
    }
}

/// Runs a test within the bound.
async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, test).await.expect("the test took too long")
}

/// Nodes that are driven together.
struct World {
    nets: Vec<Net>,
}

impl World {
    /// Nodes that listen, each on its first address.
    async fn new(configs: Vec<NetConfig>) -> Self {
        let mut world = Self {
            nets: configs.into_iter().map(|config| Net::new(config).unwrap()).collect(),
        };
        while world.nets.iter().any(|net| net.addresses().is_empty()) {
            world.next().await;
        }
        world
    }

    async fn alike(count: usize, listen: &str) -> Self {
        Self::new((0..count).map(|_| config(&[listen])).collect()).await
    }

    async fn limited(count: usize, listen: &str, limits: NetLimits) -> Self {
        let config = || NetConfig {
            limits: limits.clone(),
            ..config(&[listen])
        };
        Self::new((0..count).map(|_| config()).collect()).await
    }

    /// The next event of any node.
    async fn next(&mut self) -> (usize, NetEvent) {
        let futures = self.nets.iter_mut().map(|net| Box::pin(net.next()));
        let (event, index, _) = select_all(futures).await;
        (index, event)
    }

    /// The next event of any node that isn't about listening; frames are accepted.
    async fn step(&mut self) -> (usize, NetEvent) {
        loop {
            let (index, event) = self.next().await;
            match &event {
                NetEvent::Listening(_) | NetEvent::NotListening(_) => continue,
                NetEvent::Gossip { id, .. } => self.nets[index].verdict(*id, Verdict::Accept),
                _ => {}
            }
            return (index, event);
        }
    }

    /// Steps until an event fits, and says what came before it.
    async fn until(&mut self, mut fits: impl FnMut(usize, &NetEvent) -> bool) -> Vec<(usize, NetEvent)> {
        let mut seen = Vec::new();
        loop {
            let (index, event) = self.step().await;
            let done = fits(index, &event);
            seen.push((index, event));
            if done {
                return seen;
            }
        }
    }

    fn key(&self, index: usize) -> PeerKey {
        self.nets[index].local()
    }

    fn dial(&mut self, from: usize, to: usize) {
        let (key, addresses) = (self.key(to), self.nets[to].addresses());
        self.nets[from].dial(key, addresses);
    }

    /// Links pairs of nodes, and waits until both ends of each know.
    async fn link(&mut self, pairs: &[(usize, usize)]) {
        let mut missing = HashSet::new();
        for &(from, to) in pairs {
            self.dial(from, to);
            missing.extend([(from, self.key(to)), (to, self.key(from))]);
        }
        while !missing.is_empty() {
            if let (index, NetEvent::LinkUp { peer }) = self.step().await {
                missing.remove(&(index, peer));
            }
        }
    }

    fn address(&self, index: usize) -> Multiaddr {
        self.nets[index].addresses().remove(0)
    }
}

/// All pairs of `count` nodes.
fn everybody(count: usize) -> Vec<(usize, usize)> {
    (0..count)
        .flat_map(|from| (0..from).map(move |to| (from, to)))
        .collect()
}
