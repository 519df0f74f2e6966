//! A whole run from a few numbers: members join, talk through whatever the network does, and are judged when it is quiet again.

mod judge;
mod outcome;
#[cfg(test)]
mod tests;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::weather::Weather;
use crate::world::World;
use judge::Judge;

pub use outcome::{Failure, Outcome, Spread};

/// Links that a member looks for: as the engine does, which leaves introductions alone once it has so many.
const DEGREE: usize = 24;
/// How long it may take until all who join are in one epoch; a room of a thousand needs most of it.
const JOIN_LIMIT: Duration = Duration::from_secs(600);
/// How long it may take after the last disturbance until everybody holds everything.
const SETTLE_LIMIT: Duration = Duration::from_secs(600);
/// Between two looks at the members.
const LOOK: Duration = Duration::from_millis(100);
/// Between two rounds of crashes.
const CRASH_ROUND: Duration = Duration::from_secs(10);
/// How long who crashed is away, at most; it waits for nobody.
const AWAY: Duration = Duration::from_secs(5);
/// Talk after a partition has healed.
const AFTER_HEALING: Duration = Duration::from_secs(10);
/// Quiet before the talk begins, for links and records to go round.
const CALM_BEFORE: Duration = Duration::from_secs(10);
/// What keeps two generators of one seed apart: the world's, and ours, which decides who says what when.
const STORY: u64 = 0x736e_7567;

/// What happens in a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Members, 2 to 4,096.
    pub members: usize,
    /// What everything follows from.
    pub seed: u64,
    /// What the network does, once everybody has joined. Joining happens with its delay, and without losses.
    pub weather: Weather,
    /// How long members talk.
    pub talk: Duration,
    /// Messages a second, of all members together.
    pub rate: f64,
    /// How long two random halves can't reach each other, after the talk; they talk on.
    pub partition: Duration,
    /// How often a third of the members is killed in the middle of a write, while they talk.
    pub crashes: u32,
    /// Members' wall clocks are off by up to this, either way.
    pub skew: Duration,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            members: 10,
            seed: 1,
            weather: Weather::CALM,
            talk: Duration::from_secs(60),
            rate: 10.0,
            partition: Duration::ZERO,
            crashes: 0,
            skew: Duration::ZERO,
        }
    }
}

impl Scenario {
    /// Runs it to its end. Two runs of one scenario have the same outcome.
    pub fn run(&self) -> Outcome {
        Run::new(self).finish()
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    world: World,
    judge: Judge,
    rng: StdRng,
    next_word: Duration,
    next_crash: Duration,
    /// Who is away, and when it comes back.
    away: Vec<(Duration, usize)>,
    rounds: u32,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let most = u16::try_from(scenario.members).unwrap_or(u16::MAX);
        let calm = Weather {
            delay: scenario.weather.delay,
            ..Weather::CALM
        };
        let mut world = World::silent(scenario.seed, calm, most.max(2));
        world.persist = scenario.crashes > 0;
        world.records = false;
        if scenario.members > DEGREE {
            world.degree = Some(DEGREE / 2);
            world.relays = true;
        }
        Self {
            scenario,
            world,
            judge: Judge::new(scenario.members),
            rng: StdRng::seed_from_u64(scenario.seed ^ STORY),
            next_word: Duration::ZERO,
            next_crash: Duration::ZERO,
            away: Vec::new(),
            rounds: 0,
        }
    }

    fn finish(mut self) -> Outcome {
        let joined = self.join();
        if joined.is_none() {
            return self.judge.outcome(self.scenario, &self.world, None, None, None);
        }
        self.world.run(CALM_BEFORE);
        self.world.weather = self.scenario.weather;
        (self.next_word, self.next_crash) = (self.world.now, self.world.now + CRASH_ROUND / 2);
        let before = self.world.traffic;
        let crashing = CRASH_ROUND * self.scenario.crashes;
        self.talk(self.scenario.talk.max(crashing));
        self.everybody_back();
        let healed = self.part_and_heal();
        let settled = self.settle();
        self.judge.traffic(before, self.world.traffic);
        self.judge.outcome(self.scenario, &self.world, joined, healed, settled)
    }

    /// Everybody enters, a few at a time, and waits until all are in one epoch.
    fn join(&mut self) -> Option<Duration> {
        let start = self.world.now;
        let skew = i64::try_from(self.scenario.skew.as_millis()).unwrap_or(i64::MAX);
        for number in 0..self.scenario.members {
            let off = match skew {
                0 => 0,
                skew => self.rng.random_range(-skew..=skew),
            };
            let node = self.world.add_skewed(&format!("m{number}"), off);
            self.world.enter(node);
            self.world
                .run(Duration::from_millis(if number == 0 { 500 } else { 10 }));
        }
        let members = self.scenario.members;
        let until = self.world.now + JOIN_LIMIT;
        while !self.world.settled(members) {
            if self.world.now >= until {
                return None;
            }
            self.world.run(LOOK);
            self.judge.look(&mut self.world);
        }
        Some(self.world.now - start)
    }

    fn talk(&mut self, time: Duration) {
        let until = self.world.now + time;
        while self.world.now < until {
            let next = (self.world.now + LOOK).min(until);
            while self.next_word < next {
                let pause = self.next_word.saturating_sub(self.world.now);
                self.world.run(pause);
                self.say_something();
                let mean = 1.0 / self.scenario.rate.max(0.001);
                self.next_word += Duration::from_secs_f64(self.rng.random_range(0.0..2.0) * mean);
            }
            self.world.run(next.saturating_sub(self.world.now));
            self.crash_some();
            self.some_back();
            self.judge.look(&mut self.world);
        }
    }

    fn say_something(&mut self) {
        let alive = self.world.alive();
        if !alive.is_empty() {
            let author = alive[self.rng.random_range(0..alive.len())];
            let text = self.judge.said(author, self.world.now);
            self.world.send(author, &text);
        }
    }

    fn crash_some(&mut self) {
        if self.rounds < self.scenario.crashes && self.world.now >= self.next_crash {
            self.rounds += 1;
            self.next_crash += CRASH_ROUND;
            let mut victims = self.world.alive();
            victims.shuffle(&mut self.rng);
            victims.truncate((self.scenario.members / 3).max(1));
            victims.into_iter().for_each(|victim| self.world.doom(victim));
        }
    }

    /// Whoever was killed comes back after a while.
    fn some_back(&mut self) {
        for node in std::mem::take(&mut self.world.crashed) {
            self.judge.crashes += 1;
            let away = self.rng.random_range(Duration::ZERO..=AWAY);
            self.away.push((self.world.now + away, node));
        }
        let now = self.world.now;
        let (due, later) = std::mem::take(&mut self.away)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.away = later;
        for (_, node) in due {
            self.back(node);
        }
    }

    fn back(&mut self, node: usize) {
        self.world.restart(node);
        if self.world.nodes[node].alive {
            self.world.enter(node);
        }
    }

    fn everybody_back(&mut self) {
        self.world.pardon();
        while !self.world.crashed.is_empty() || !self.away.is_empty() {
            self.some_back();
            self.world.run(LOOK);
            self.judge.look(&mut self.world);
        }
    }

    /// Two halves talk on among themselves, meet again, and talk a little more. Returns when they met.
    fn part_and_heal(&mut self) -> Option<Duration> {
        if self.scenario.partition.is_zero() {
            return None;
        }
        let mut one = self.world.alive();
        one.shuffle(&mut self.rng);
        let other = one.split_off(one.len() / 2);
        let cut = self.world.part(&one, &other);
        self.judge.sides = Some(one.into_iter().collect());
        self.talk(self.scenario.partition);
        self.judge.sides = None;
        for (a, b) in cut {
            self.world.link(a, b);
        }
        let healed = self.world.now;
        self.judge.healed();
        self.talk(AFTER_HEALING);
        Some(healed)
    }

    /// Waits until everybody holds one epoch and everything that was said; returns how long that took.
    fn settle(&mut self) -> Option<Duration> {
        let start = self.world.now;
        loop {
            self.judge.look(&mut self.world);
            if self.judge.is_complete(&self.world) && self.world.settled(self.scenario.members) {
                break;
            }
            if self.world.now >= start + SETTLE_LIMIT {
                return None;
            }
            self.world.run(LOOK);
        }
        let took = self.world.now - start;
        // What came twice would come now.
        self.world.run(Duration::from_secs(20));
        self.judge.look(&mut self.world);
        Some(took)
    }
}
