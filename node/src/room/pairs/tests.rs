use rand::SeedableRng;
use rand::rngs::StdRng;
use snug_crypto::ids::GenesisHash;

use super::*;

const DAY: Duration = EPOCH_LIFE;
const SECOND: Duration = Duration::from_secs(1);
const PARENT: EpochId = EpochId::from_bytes([9; 32]);

/// One of two, and the time.
struct Side {
    pairs: Pairs,
    leaf: LeafId,
    identity: IdentityKey,
    kem: KemSecret,
    rng: StdRng,
}

impl Side {
    fn new(byte: u8) -> Self {
        let mut rng = StdRng::seed_from_u64(byte.into());
        Self {
            pairs: Pairs::default(),
            leaf: LeafId::from_bytes([byte; 16]),
            identity: IdentityKey::from_bytes([byte; 32]),
            kem: KemSecret::generate(&mut rng),
            rng,
        }
    }

    fn pair(&self, other: &Self) -> PairHash {
        PairHash::of(&GenesisHash::from_bytes([0; 32]), &self.identity, &other.identity)
    }

    fn say(&mut self, to: &Self, text: &str, elapsed: Duration) -> Vec<u8> {
        let line = Line {
            pair: self.pair(to),
            speaker: self.leaf,
            reader: to.leaf,
        };
        let sealed = self.pairs.seal(
            &mut self.rng,
            &line,
            &to.kem.public(),
            &PARENT,
            &said(text),
            now(elapsed),
        );
        sealed.unwrap()
    }

    fn hear(&mut self, from: &Self, body: &[u8], elapsed: Duration) -> Option<String> {
        let came = Came {
            from: from.leaf,
            who: from.identity,
            pair: self.pair(from),
            parent: PARENT,
            mine: Some((self.leaf, &self.kem)),
        };
        match self.pairs.open(&came, body, now(elapsed))? {
            Content::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    fn with(&self, other: &Self) -> &Pair {
        &self.pairs.pairs[&(other.leaf, self.leaf)]
    }

    fn prune(&mut self, elapsed: Duration, retention: Duration) {
        self.pairs.prune(elapsed, retention, |_| true);
    }
}

fn now(elapsed: Duration) -> Now {
    Now {
        elapsed,
        unix_ms: 1_700_000_000_000 + u64::try_from(elapsed.as_millis()).unwrap(),
    }
}

fn said(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        reply_to: None,
        sent_at_ms: 0,
    }
}

fn two() -> (Side, Side) {
    (Side::new(1), Side::new(2))
}

fn form(body: &[u8]) -> Form {
    Body::decode(body).unwrap().form()
}

#[test]
fn an_epoch_ends_with_a_turn_but_not_twice_a_second() {
    let (mut alice, mut bob) = two();
    let tag = |body: &[u8]| Body::decode(body).unwrap().tag();
    let (one, two) = (alice.say(&bob, "one", SECOND), alice.say(&bob, "two", 2 * SECOND));
    assert_eq!((form(&one), tag(&one)), (Form::First, tag(&two)), "nobody has answered");
    assert_eq!(bob.hear(&alice, &two, 2 * SECOND).as_deref(), Some("two"));
    assert_eq!(bob.hear(&alice, &one, 2 * SECOND).as_deref(), Some("one"));
    let answer = bob.say(&alice, "yes", 2 * SECOND);
    assert_eq!(form(&answer), Form::Turn);
    assert_eq!(alice.hear(&bob, &answer, 2 * SECOND).as_deref(), Some("yes"));
    let three = alice.say(&bob, "three", 3 * SECOND);
    assert!(form(&three) == Form::Turn && tag(&three) != tag(&two));
    assert_eq!(bob.hear(&alice, &three, 3 * SECOND).as_deref(), Some("three"));
    // Bob's own epoch is hardly a second old: he goes on in it, and begins another one a moment later.
    let soon = bob.say(&alice, "soon", 2 * SECOND + SECOND / 2);
    assert_eq!(tag(&soon), tag(&answer));
    let later = bob.say(&alice, "later", 3 * SECOND);
    assert_ne!(tag(&later), tag(&answer));
    for (body, text) in [(&later, "later"), (&soon, "soon")] {
        assert_eq!(alice.hear(&bob, body, 4 * SECOND).as_deref(), Some(text));
        assert_eq!(alice.hear(&bob, body, 4 * SECOND), None, "once");
    }
}

#[test]
fn first_words_that_cross_both_hold_and_so_do_their_answers() {
    let (mut alice, mut bob) = two();
    let (from_alice, from_bob) = (alice.say(&bob, "hello", SECOND), bob.say(&alice, "hello", SECOND));
    assert!(alice.hear(&bob, &from_bob, SECOND).is_some() && bob.hear(&alice, &from_alice, SECOND).is_some());
    for round in 3..20 {
        let at = SECOND * round;
        let (a, b) = (alice.say(&bob, "a", at), bob.say(&alice, "b", at));
        assert_eq!((form(&a), form(&b)), (Form::Turn, Form::Turn));
        assert!(
            bob.hear(&alice, &a, at).is_some() && alice.hear(&bob, &b, at).is_some(),
            "{round}"
        );
    }
    assert!(alice.with(&bob).psks.len() == 2 && alice.with(&bob).answers.len() <= MAX_ANSWERS);
}

#[test]
fn boxes_that_open_nothing_are_tried_within_a_budget_and_never_twice() {
    let (mut alice, mut bob) = two();
    let good = alice.say(&bob, "hello", SECOND);
    let bad = |number: u64| {
        let mut bad = good.clone();
        bad[1..9].copy_from_slice(&(number + 1).to_be_bytes());
        bad
    };
    for number in 0..MAX_PAIR_TRIALS {
        assert_eq!(bob.hear(&alice, &bad(number), SECOND), None);
        // The same again costs nothing.
        assert_eq!(bob.hear(&alice, &bad(number), SECOND), None);
    }
    assert_eq!(bob.hear(&alice, &good, SECOND), None, "the budget is spent");
    // Another one's isn't, and nor is this one's for ever.
    let mut carol = Side::new(3);
    let other = carol.say(&bob, "psst", SECOND);
    assert_eq!(bob.hear(&carol, &other, SECOND).as_deref(), Some("psst"));
    assert_eq!(bob.hear(&alice, &good, 2 * SECOND).as_deref(), Some("hello"));
    assert_eq!(bob.hear(&alice, &bad(MAX_PAIR_TRIALS), 2 * SECOND), None);
    assert!(bob.pairs.strange.len() <= MAX_STRANGE);
}

#[test]
fn what_was_erased_is_never_begun_again_and_what_is_kept_is_bounded() {
    let (mut alice, mut bob) = two();
    let days = u32::try_from(MAX_EPOCHS).unwrap() + 3;
    let bodies: Vec<_> = (1..=days)
        .map(|day| {
            let body = alice.say(&bob, &day.to_string(), DAY * day);
            assert!(bob.hear(&alice, &body, DAY * day).is_some());
            body
        })
        .collect();
    let at = DAY * days;
    assert_eq!(bob.with(&alice).listening.len(), MAX_EPOCHS);
    assert!(bob.with(&alice).psks.len() <= MAX_PSKS);
    assert_eq!(bob.hear(&alice, &bodies[0], at), None, "a replay of what was erased");
    assert_eq!(
        bob.hear(&alice, bodies.last().unwrap(), at),
        None,
        "a replay of what wasn't"
    );
    bob.prune(at + SECOND, SECOND / 2);
    assert_eq!(bob.with(&alice).listening.len(), 1, "the newest stays a day");
    bob.prune(at + DAY + SECOND, SECOND / 2);
    assert!(bob.with(&alice).listening.is_empty());
    assert_eq!(bob.hear(&alice, bodies.last().unwrap(), at), None);
    // And the answer to it still reaches her.
    let answer = bob.say(&alice, "at last", at + 2 * DAY);
    assert_eq!(alice.hear(&bob, &answer, at + 2 * DAY).as_deref(), Some("at last"));
}

#[test]
fn a_key_lives_until_its_successor_is_used_and_the_retention_after() {
    let (mut alice, mut bob) = two();
    let mut at = SECOND;
    let mut turn = |alice: &mut Side, bob: &mut Side, text: &str| {
        at += 2 * SECOND;
        let body = alice.say(bob, text, at);
        assert_eq!(bob.hear(alice, &body, at).as_deref(), Some(text));
        body
    };
    turn(&mut alice, &mut bob, "one");
    turn(&mut bob, &mut alice, "two");
    // Sealed to the key that came with "two", and late.
    at += 2 * SECOND;
    let late = alice.say(&bob, "late", at);
    let given = |side: &Side, other: &Side| side.with(other).answers.len();
    assert_eq!((given(&alice, &bob), given(&bob, &alice)), (2, 1));
    // Bob goes on for days without an answer: his first key may still be used.
    for day in 1..4 {
        let body = bob.say(&alice, "hello?", at + DAY * day);
        bob.prune(at + DAY * day, SECOND);
        assert!(alice.hear(&bob, &body, at + DAY * day).is_some());
    }
    at += DAY * 4;
    assert_eq!(bob.hear(&alice, &late, at).as_deref(), Some("late"));
    assert_eq!(given(&bob, &alice), 4);
    let body = alice.say(&bob, "here I am", at);
    assert!(bob.hear(&alice, &body, at).is_some());
    bob.prune(at + SECOND, 10 * SECOND);
    assert_eq!(given(&bob, &alice), 4, "something may still be under way");
    bob.prune(at + 20 * SECOND, 10 * SECOND);
    assert_eq!(given(&bob, &alice), 1, "only the one that she has");
}

#[test]
fn what_who_is_away_answers_is_read_however_much_was_said_since() {
    let (mut a, mut b) = two();
    let hello = a.say(&b, "hello", Duration::ZERO);
    assert!(b.hear(&a, &hello, Duration::ZERO).is_some());
    let hi = b.say(&a, "hi", SECOND);
    assert!(a.hear(&b, &hi, SECOND).is_some());
    let queued = a.say(&b, "queued", 2 * SECOND);
    for day in 1..=30 {
        let _ = b.say(&a, "and another day", (day + 1) * DAY);
    }
    assert!(b.with(&a).answers.len() <= MAX_ANSWERS);
    assert_eq!(b.hear(&a, &queued, 32 * DAY).as_deref(), Some("queued"));
}

#[test]
fn a_first_word_is_read_with_a_key_that_was_rotated_away_and_not_for_ever() {
    let (mut alice, mut bob) = two();
    let (one, two) = (alice.say(&bob, "one", SECOND), alice.say(&bob, "two", SECOND));
    let old = std::mem::replace(&mut bob.kem, KemSecret::from_seed(&[5; 32]));
    bob.pairs.retire(bob.leaf, old, SECOND);
    assert_eq!(bob.hear(&alice, &two, 2 * SECOND).as_deref(), Some("two"));
    // Who has had no answer seals to the new key as soon as it is known.
    let three = alice.say(&bob, "three", 3 * SECOND);
    assert_ne!(Body::decode(&three).unwrap().tag(), Body::decode(&two).unwrap().tag());
    assert_eq!(bob.hear(&alice, &three, 3 * SECOND).as_deref(), Some("three"));
    assert_eq!(bob.hear(&alice, &one, 3 * SECOND).as_deref(), Some("one"));
    bob.prune(20 * SECOND, 10 * SECOND);
    assert!(bob.pairs.former.is_empty());
    let touched = bob.pairs.take_touched();
    assert!(touched.iter().any(|touched| matches!(touched, Touched::Former(_))));
    bob.pairs = Pairs::default();
    assert_eq!(bob.hear(&alice, &one, 20 * SECOND), None);
}

#[test]
fn what_is_shared_goes_with_the_leaf() {
    let (mut alice, mut bob) = two();
    let body = alice.say(&bob, "hello", SECOND);
    bob.hear(&alice, &body, SECOND);
    bob.pairs.take_touched();
    bob.pairs.prune(2 * SECOND, DAY, |leaf| *leaf != alice.leaf);
    assert!(bob.pairs.pairs.is_empty());
    assert_eq!(
        bob.pairs.take_touched().into_iter().collect::<Vec<_>>(),
        [Touched::Pair((alice.leaf, bob.leaf))]
    );
}
