//! Who can reach whom, and who is linked.

use std::time::Duration;

use super::World;
use super::time::Arrival;
use crate::node::Node;

impl World {
    /// Two nodes can reach each other from now on, and are linked if they are of one generation.
    pub fn link(&mut self, a: usize, b: usize) {
        self.reach.insert((a.min(b), a.max(b)));
        self.dial(a, b);
    }

    /// Two nodes can't reach each other any more.
    pub fn unlink(&mut self, a: usize, b: usize) {
        self.reach.remove(&(a.min(b), a.max(b)));
        self.cut(a, b);
    }

    /// Two sides that can't reach each other; returns the links that this cut.
    pub fn part(&mut self, one: &[usize], other: &[usize]) -> Vec<(usize, usize)> {
        let mut cut = Vec::new();
        for a in one {
            for b in other {
                if self.reach.contains(&(*a.min(b), *a.max(b))) {
                    cut.push((*a, *b));
                }
                self.unlink(*a, *b);
            }
        }
        cut
    }

    /// Everybody of one side can reach everybody of the other.
    pub fn heal(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            for b in other {
                self.link(*a, *b);
            }
        }
    }

    /// What two nets do that can reach each other: a link, if they are of one generation, else a question at the door of the one that has
    /// moved on; again and again, as nets redial.
    pub(super) fn dial(&mut self, a: usize, b: usize) {
        if !self.reach.contains(&(a.min(b), a.max(b))) || self.linked(a, b) {
            return;
        }
        let (one, other) = (&self.nodes[a], &self.nodes[b]);
        if !one.alive || !other.alive {
            return;
        }
        if one.mesh == other.mesh {
            self.links[a].insert(b);
            self.links[b].insert(a);
            let delay = self.delay();
            self.schedule(delay, a, Arrival::LinkUp(b));
            self.schedule(delay, b, Arrival::LinkUp(a));
            return;
        }
        let plain = |node: &Node| node.knock.as_ref().map(|knock| knock.plain.clone());
        let telling = |node: &Node| node.knock.as_ref().map(|knock| knock.telling.clone());
        let questions = if other.doors.contains(&one.mesh) {
            vec![(a, b, plain(one))]
        } else if one.doors.contains(&other.mesh) {
            vec![(b, a, plain(other))]
        } else if one.doors.iter().any(|door| other.doors.contains(door)) {
            vec![(a, b, telling(one)), (b, a, telling(other))]
        } else {
            Vec::new()
        };
        for (asker, at, question) in questions {
            if let Some(bytes) = question {
                let delay = self.delay();
                self.schedule(delay, at, Arrival::Knock { from: asker, bytes });
            }
        }
        self.schedule(Duration::from_millis(500), a, Arrival::Redial(b));
    }

    pub(super) fn cut(&mut self, a: usize, b: usize) {
        if self.links[a].remove(&b) {
            self.links[b].remove(&a);
            self.schedule(Duration::ZERO, a, Arrival::LinkDown(b));
            self.schedule(Duration::ZERO, b, Arrival::LinkDown(a));
        }
    }

    pub(super) fn linked(&self, a: usize, b: usize) -> bool {
        self.links[a].contains(&b)
    }

    pub(super) fn neighbours(&self, node: usize) -> Vec<usize> {
        self.links[node].iter().copied().collect()
    }
}
