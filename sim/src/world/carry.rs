//! The surroundings of a room: inputs go in, and what comes out is carried out.

use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;
use sha2::{Digest as _, Sha256};
use snug::room::{Change, GossipId, Input, Output, QueryId, RequestId, RoomEvent, Verdict};
use snug_crypto::direct::{Bundle, DirectReply, DirectRequest, Wants};
use snug_crypto::ids::PeerKey;

use super::time::Arrival;
use super::{Gossip, World};
use crate::weather::happens;

/// Links to which a member hands on what it accepted, where members relay: gossipsub's default degree, and two for the spread that its
/// control messages give.
const FANOUT: usize = 8;

impl World {
    /// Hands a node an input, and carries out what follows.
    pub fn input(&mut self, node: usize, input: Input) {
        let mut out = Vec::new();
        let now = self.clock_of(node);
        self.nodes[node].room.handle(input, now, &mut out);
        let doomed = !out.is_empty() && self.doomed.remove(&node);
        if doomed || happens(&mut self.rng, self.crash) {
            // Anywhere: before the commit, after it, or between two of the outputs that follow.
            out.truncate(self.rng.random_range(0..=out.len()));
            out.into_iter().for_each(|output| self.carry_out(node, output));
            self.crashed.push(node);
            return self.kill(node);
        }
        let lags = self.lagging.contains(&node);
        let (mut told, mut missed) = (None, None);
        for output in out {
            if let Output::Event(RoomEvent::Message(message)) = &output {
                if lags {
                    let (after, _) = missed.unwrap_or((message.serial - 1, 0));
                    missed = Some((after, message.serial));
                    continue;
                }
                told = Some(message.serial);
            }
            self.carry_out(node, output);
        }
        if let Some((after, to)) = missed {
            return self.input(node, Input::Missed { after, to });
        }
        if let Some(serial) = told {
            self.nodes[node].serial = serial;
        }
        if let Some(serial) = told.filter(|_| self.persist)
            && !happens(&mut self.rng, self.slow_to_tell)
        {
            return self.input(node, Input::Told { serial });
        }
        let wake = self.nodes[node]
            .room
            .next_wake(now)
            .map(|at| at.max(self.now + Duration::from_micros(100)));
        if wake != self.nodes[node].wake {
            self.nodes[node].wake = wake;
            if let Some(at) = wake {
                self.schedule(at.saturating_sub(self.now), node, Arrival::Wake);
            }
        }
    }

    /// What a node says that withholds what it knows: there is nothing, and nothing is missing.
    pub(super) fn answer_nothing(&mut self, from: usize, query: QueryId, question: &[u8]) {
        let reply = match DirectRequest::decode(question) {
            Ok(DirectRequest::Compare { .. }) => DirectReply::Compare { same: true },
            Ok(DirectRequest::Sync { .. }) => DirectReply::Sync {
                bundle: Bundle::default(),
                wants: Wants::default(),
                more: false,
            },
            Ok(DirectRequest::Frames { .. }) => DirectReply::Frames(Vec::new()),
            Ok(DirectRequest::Push(_)) => DirectReply::Done,
            _ => DirectReply::Box(None),
        };
        let bytes = reply.encode().ok();
        let delay = self.delay();
        self.traffic.exchange += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.schedule(delay, from, Arrival::Response { query, bytes });
    }

    pub(super) fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Persist(changes) => self.commit(node, changes),
            Output::Publish { bytes } => self.publish(node, bytes),
            Output::Verdict { id, verdict } => self.judge(node, id, verdict),
            Output::Query { to, id, bytes } => self.ask(node, to, id, bytes),
            Output::Fetch { keys } => {
                let values = keys.iter().map(|key| self.nodes[node].disk.get(key).cloned()).collect();
                self.schedule(Duration::ZERO, node, Arrival::Fetched(values));
            }
            Output::Respond { id, bytes } => self.respond(node, id, bytes),
            Output::Commanded { result, .. } => self.nodes[node].commanded.push(result),
            Output::Audited { report, .. } => self.nodes[node].reports.push(*report),
            Output::Knock(knock) => self.nodes[node].knock = Some(knock),
            Output::Move(there) => {
                self.nodes[node].mesh = *there.keys.mesh().expose();
                self.nodes[node].doors = there.doors.iter().map(|door| *door.expose()).collect();
                self.nodes[node].room_key = there.room_key.reveal().to_owned();
                for other in 0..self.nodes.len() {
                    self.cut(node, other);
                    if self.reach.contains(&(node.min(other), node.max(other))) {
                        let pause = Duration::from_millis(self.rng.random_range(30..90));
                        self.schedule(pause, node, Arrival::Redial(other));
                    }
                }
            }
            Output::DeleteAtRendezvous { .. } | Output::Remember(_) | Output::Keepers { .. } => {}
            Output::Disconnect { peer } => {
                if let Some(other) = self.peers.get(&peer).copied() {
                    self.unlink(node, other);
                }
            }
            Output::Sent { ticket, result } => self.nodes[node].sent.push((ticket, result.is_ok())),
            Output::Event(event) => self.nodes[node].events.push((self.now, event)),
        }
    }

    fn publish(&mut self, node: usize, bytes: Vec<u8>) {
        if self.records {
            self.frames.insert(bytes.clone());
            self.recording.push(bytes.clone());
            self.nodes[node].published.clone_from(&bytes);
        }
        let digest = Sha256::digest(&bytes).into();
        self.nodes[node].seen.insert(digest);
        let neighbours = self.neighbours(node);
        self.spread(node, &Rc::new(Gossip { digest, bytes }), neighbours);
    }

    fn judge(&mut self, node: usize, id: GossipId, verdict: Verdict) {
        let word = match verdict {
            Verdict::Accept => "accept",
            Verdict::Ignore => "ignore",
            Verdict::Reject => "reject",
        };
        *self.nodes[node].verdicts.entry(word).or_default() += 1;
        let judged = self.judged.take().filter(|(of, ..)| *of == id);
        if let Some((_, from, gossip)) =
            judged.filter(|_| self.relays && verdict == Verdict::Accept && !self.withholding.contains(&node))
        {
            let mut others = self.neighbours(node);
            others.retain(|other| *other != from && !self.nodes[*other].seen.contains(&gossip.digest));
            while others.len() > FANOUT {
                let one = self.rng.random_range(0..others.len());
                others.swap_remove(one);
            }
            self.spread(node, &gossip, others);
        }
    }

    fn spread(&mut self, from: usize, gossip: &Rc<Gossip>, to: Vec<usize>) {
        let mesh = self.nodes[from].mesh;
        for other in to {
            if self.deaf.contains(&(from, other)) {
                continue;
            }
            for delay in self.weather.copies(&mut self.rng) {
                self.traffic.gossip += gossip.bytes.len() as u64;
                let gossip = Rc::clone(gossip);
                self.schedule(delay, other, Arrival::Gossip { from, mesh, gossip });
            }
        }
    }

    fn ask(&mut self, node: usize, to: PeerKey, query: QueryId, bytes: Vec<u8>) {
        self.questions += 1;
        self.traffic.exchange += bytes.len() as u64;
        let delay = self.delay();
        match self.peers.get(&to).copied().filter(|target| self.linked(node, *target)) {
            Some(target) => self.schedule(
                delay,
                target,
                Arrival::Request {
                    from: node,
                    query,
                    bytes,
                },
            ),
            None => self.schedule(delay, node, Arrival::Response { query, bytes: None }),
        }
    }

    fn respond(&mut self, node: usize, id: RequestId, bytes: Vec<u8>) {
        self.traffic.exchange += bytes.len() as u64;
        // Replies with a box, boxes, an object, or what a door gives.
        let gives = matches!(bytes.first(), Some(4 | 5 | 8 | 9));
        let withheld = gives && self.only_server.is_some_and(|only| only != node);
        let delay = self.delay();
        if let Some(asker) = self.knocks.remove(&(node, id)) {
            if !withheld {
                self.schedule(delay, asker, Arrival::Door { from: node, bytes });
            }
        } else if let Some((from, query)) = self.requests.remove(&(node, id)) {
            let bytes = (!withheld).then_some(bytes);
            self.schedule(delay, from, Arrival::Response { query, bytes });
        }
    }

    fn commit(&mut self, node: usize, changes: Vec<Change>) {
        let node = &mut self.nodes[node];
        node.written.1 += 1;
        for Change { key, value } in changes {
            node.written.0 += key.len() + value.as_ref().map_or(0, |value| value.len());
            match value {
                Some(value) => drop(node.disk.insert(key, value)),
                None => node.disk.retain(|other, _| !other.starts_with(&key)),
            }
        }
    }
}
