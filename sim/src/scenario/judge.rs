//! Holds what members were shown against what was said.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use snug::room::{Message, RoomEvent};
use snug_crypto::ids::{FrameHash, MessageId};

use super::{Failure, Outcome, Scenario, Spread};
use crate::world::{Traffic, World};

/// Something that was said.
struct Word {
    author: usize,
    at: Duration,
    /// On which side of the partition, if it was said during one.
    side: Option<bool>,
    /// Whether it was said before the partition healed (if there was one).
    before_healing: bool,
    /// Its author was told that it is out.
    out: bool,
}

/// One showing of a word to a member.
struct Showing {
    at: Duration,
    /// How often it was shown as if it were new.
    times: u32,
}

pub(super) struct Judge {
    words: Vec<Word>,
    /// By member, then by word.
    shown: Vec<HashMap<usize, Showing>>,
    /// By member: the messages that it was shown; those that ones it was shown name as parents, and it wasn't; how many of these came late.
    places: Vec<HashSet<MessageId>>,
    late: Vec<u64>,
    unplaced: Vec<HashSet<MessageId>>,
    /// Acknowledgements that were looked at, by member.
    looked: Vec<usize>,
    /// One side of the partition, while there is one.
    pub(super) sides: Option<BTreeSet<usize>>,
    pub(super) crashes: u32,
    refused: u32,
    traffic: Traffic,
}

impl Judge {
    pub(super) fn new(members: usize) -> Self {
        Self {
            words: Vec::new(),
            shown: (0..members).map(|_| HashMap::new()).collect(),
            places: vec![HashSet::new(); members],
            late: vec![0; members],
            unplaced: vec![HashSet::new(); members],
            looked: vec![0; members],
            sides: None,
            crashes: 0,
            refused: 0,
            traffic: Traffic::default(),
        }
    }

    /// Notes what a member is about to say; returns its words.
    pub(super) fn said(&mut self, author: usize, at: Duration) -> String {
        self.words.push(Word {
            author,
            at,
            side: self.sides.as_ref().map(|side| side.contains(&author)),
            before_healing: false,
            out: false,
        });
        format!("word {}", self.words.len() - 1)
    }

    /// The partition has healed.
    pub(super) fn healed(&mut self) {
        self.words.iter_mut().for_each(|word| word.before_healing = true);
    }

    pub(super) fn traffic(&mut self, before: Traffic, after: Traffic) {
        self.traffic = Traffic {
            gossip: after.gossip - before.gossip,
            exchange: after.exchange - before.exchange,
        };
    }

    /// Takes in what members were shown and told since the last look, and forgets it there.
    pub(super) fn look(&mut self, world: &mut World) {
        for node in 0..world.nodes.len() {
            for (at, event) in std::mem::take(&mut world.nodes[node].events) {
                if let RoomEvent::Message(message) = event {
                    self.note(node, at, &message);
                }
            }
            for index in self.looked[node]..world.nodes[node].sent.len() {
                let (ticket, out) = world.nodes[node].sent[index];
                match world.text_of(ticket).and_then(number) {
                    Some(word) if out => self.words[word].out = true,
                    _ => self.refused += 1,
                }
            }
            self.looked[node] = world.nodes[node].sent.len();
        }
    }

    fn note(&mut self, node: usize, at: Duration, message: &Message) {
        let Some(word) = number(message.text.exact()) else {
            return;
        };
        let showing = self.shown[node].entry(word).or_insert(Showing { at, times: 0 });
        if message.again {
            return;
        }
        showing.times += 1;
        self.places[node].insert(message.id);
        if self.unplaced[node].remove(&message.id) {
            self.late[node] += 1;
        }
        for parent in &message.parents {
            // The first of a frame's messages stands for it: all of it is shown together.
            let parent = MessageId::of(&FrameHash::from_bytes(*parent), 0);
            if !self.places[node].contains(&parent) {
                self.unplaced[node].insert(parent);
            }
        }
    }

    /// Whether everybody was shown all that was acknowledged, and nobody something that others weren't.
    pub(super) fn is_complete(&self, world: &World) -> bool {
        world.alive().len() == self.shown.len() && self.lost() == 0 && self.diverged() == 0
    }

    /// Words that somebody wasn't shown although their authors were told that they are out, counted for each member.
    fn lost(&self) -> u64 {
        let missing = |index: &usize, word: &Word| {
            let others = (0..self.shown.len()).filter(|node| *node != word.author);
            others.filter(|node| !self.shown[*node].contains_key(index)).count() as u64
        };
        let out = self.words.iter().enumerate().filter(|(_, word)| word.out);
        out.map(|(index, word)| missing(&index, word)).sum()
    }

    /// Words that some were shown and others not, without anybody having promised them.
    fn diverged(&self) -> u64 {
        let rumours = self.words.iter().enumerate().filter(|(_, word)| !word.out);
        rumours
            .filter(|(index, word)| {
                let others = (0..self.shown.len()).filter(|node| *node != word.author);
                let holders = others.filter(|node| self.shown[*node].contains_key(index)).count();
                holders > 0 && holders < self.shown.len() - 1
            })
            .count() as u64
    }

    pub(super) fn outcome(
        self,
        scenario: &Scenario,
        world: &World,
        joined: Option<Duration>,
        healed: Option<Duration>,
        settled: Option<Duration>,
    ) -> Outcome {
        let (mut latencies, mut whole) = (Vec::new(), Duration::ZERO);
        let mut doubled = 0;
        for (node, shown) in self.shown.iter().enumerate() {
            for (index, showing) in shown {
                let word = &self.words[*index];
                doubled += u64::from(showing.times.saturating_sub(1));
                if let Some(healed) = healed.filter(|_| word.before_healing) {
                    whole = whole.max(showing.at.saturating_sub(healed));
                }
                // Who couldn't be reached is no matter of latency.
                if word.side.is_none() || showing.at < healed.unwrap_or(Duration::MAX) {
                    latencies.push(showing.at.saturating_sub(word.at));
                }
                debug_assert_ne!(node, word.author, "nobody is shown what it said itself");
            }
        }
        let mut failures = Vec::new();
        let (lost, diverged) = (self.lost(), self.diverged());
        if joined.is_none() {
            failures.push(Failure::NotJoined);
        } else if settled.is_none() {
            failures.push(Failure::Unsettled);
        }
        failures.extend((lost > 0).then_some(Failure::Lost { count: lost }));
        failures.extend((doubled > 0).then_some(Failure::Doubled { count: doubled }));
        failures.extend((diverged > 0).then_some(Failure::Diverged { count: diverged }));
        let members = self.shown.len() as u64;
        let words = self.words.len() as u64;
        Outcome {
            seed: scenario.seed,
            members,
            messages: words,
            refused: self.refused,
            deliveries: self.shown.iter().map(|shown| shown.len() as u64).sum(),
            lost,
            doubled,
            diverged,
            late: self.late.iter().sum(),
            crashes: self.crashes,
            latency: Spread::of(latencies),
            joined_ms: joined.map(millis),
            healed_ms: healed.map(|_| millis(whole)),
            settled_ms: settled.map(millis),
            gossip_bytes: self.traffic.gossip.checked_div(words * members).unwrap_or(0),
            exchange_bytes: self.traffic.exchange.checked_div(words * members).unwrap_or(0),
            virtual_s: world.now.as_secs(),
            failures,
        }
    }
}

/// Which word a text is.
fn number(text: &str) -> Option<usize> {
    text.strip_prefix("word ")?.parse().ok()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
