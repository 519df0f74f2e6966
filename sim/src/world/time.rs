//! What is on its way, and the passing of time.

use std::cmp::Reverse;
use std::rc::Rc;
use std::time::Duration;

use snug::room::{GossipId, Input, QueryId, RequestId};
use snug_crypto::rest::RestBytes;

use super::{Gossip, World};

/// What reaches a node at a time.
pub(super) enum Arrival {
    Gossip {
        from: usize,
        mesh: [u8; 32],
        gossip: Rc<Gossip>,
    },
    /// Two nodes that can reach each other and aren't linked try again.
    Redial(usize),
    /// A question at the door, and its answer.
    Knock {
        from: usize,
        bytes: Vec<u8>,
    },
    Door {
        from: usize,
        bytes: Vec<u8>,
    },
    Request {
        from: usize,
        query: QueryId,
        bytes: Vec<u8>,
    },
    Response {
        query: QueryId,
        bytes: Option<Vec<u8>>,
    },
    /// What it wanted back from its disk.
    Fetched(Vec<Option<RestBytes>>),
    LinkUp(usize),
    LinkDown(usize),
    Wake,
}

impl World {
    /// Runs the world for so long.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Runs until something holds, at most for so long; returns the time it took.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> Option<Duration> {
        let start = self.now;
        let until = self.now + limit;
        loop {
            if holds(self) {
                return Some(self.now - start);
            }
            if !self.step(until) {
                self.now = until;
                return holds(self).then_some(limit);
            }
        }
    }

    fn step(&mut self, until: Duration) -> bool {
        match self.queue.peek() {
            Some(Reverse((at, _, _))) if *at <= until => {}
            _ => return false,
        }
        let Some(Reverse((at, key, node))) = self.queue.pop() else {
            return false;
        };
        let Some((run, arrival)) = self.arrivals.remove(&key) else {
            return true;
        };
        self.now = self.now.max(at);
        if !self.nodes[node].alive || self.nodes[node].run != run {
            if let Arrival::Request { from, query, .. } = arrival {
                let delay = self.delay();
                self.schedule(delay, from, Arrival::Response { query, bytes: None });
            }
            return true;
        }
        if let Some(input) = self.take(node, at, arrival) {
            self.input(node, input);
            self.judged = None;
        }
        true
    }

    /// What an arrival is to the room, if anything.
    fn take(&mut self, node: usize, at: Duration, arrival: Arrival) -> Option<Input> {
        let peer = |world: &Self, index: usize| world.nodes[index].peer;
        Some(match arrival {
            Arrival::Redial(other) => {
                self.dial(node, other);
                return None;
            }
            Arrival::Knock { from, bytes } => {
                let id = RequestId(self.fresh());
                self.knocks.insert((node, id), from);
                Input::Knock {
                    from: peer(self, from),
                    id,
                    bytes,
                }
            }
            Arrival::Door { from, bytes } => Input::Door {
                from: peer(self, from),
                bytes,
            },
            Arrival::Gossip { mesh, .. } if mesh != self.nodes[node].mesh => return None,
            Arrival::Gossip { from, gossip, .. } => {
                if !self.nodes[node].seen.insert(gossip.digest) {
                    return None;
                }
                let id = GossipId(self.fresh());
                let bytes = gossip.bytes.clone();
                self.judged = Some((id, from, gossip));
                Input::Gossip {
                    from: peer(self, from),
                    id,
                    bytes,
                }
            }
            Arrival::Request { from, query, bytes } => {
                if self.withholding.contains(&node) {
                    self.answer_nothing(from, query, &bytes);
                    return None;
                }
                let id = RequestId(self.fresh());
                self.requests.insert((node, id), (from, query));
                Input::Request {
                    from: peer(self, from),
                    id,
                    bytes,
                }
            }
            Arrival::Response { query, bytes } => Input::Response { id: query, bytes },
            Arrival::LinkUp(other) => Input::LinkUp {
                peer: peer(self, other),
            },
            Arrival::LinkDown(other) => Input::LinkDown {
                peer: peer(self, other),
            },
            Arrival::Fetched(values) => Input::Fetched { values },
            Arrival::Wake => {
                if self.nodes[node].wake != Some(at) {
                    return None;
                }
                self.nodes[node].wake = None;
                Input::Tick
            }
        })
    }

    pub(super) fn delay(&mut self) -> Duration {
        self.weather.hop(&mut self.rng)
    }

    pub(super) fn schedule(&mut self, after: Duration, node: usize, arrival: Arrival) {
        let key = self.fresh();
        self.arrivals.insert(key, (self.nodes[node].run, arrival));
        self.queue.push(Reverse((self.now + after, key, node)));
    }
}
