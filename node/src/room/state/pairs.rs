//! What we share with each other member, at rest.

use snug_crypto::ids::{LeafId, PairTag};
use snug_crypto::pair::{Listening, Speaking};
use snug_crypto::rest::{FormerKemAtRest, HeardAtRest, ListeningAtRest, PairAtRest, SpokenAtRest};
use snug_crypto::wire::{Reader, Writer};

use super::ledger::Changes;
use super::{FORMER_KEM, PAIR, key, moment, wall};
use crate::room::pairs::{Answer, Former, Heard, Leaves, Listened, Pair, Spoken, Touched};
use crate::room::{Now, Room};

// Behind the two leaves.
const CORE: u8 = b'a';
const EPOCH: u8 = b'c';

fn pair_key((other, own): &Leaves) -> Vec<u8> {
    key(PAIR, &[other.as_bytes(), own.as_bytes()])
}

fn core_key(leaves: &Leaves) -> Vec<u8> {
    [pair_key(leaves), vec![CORE]].concat()
}

fn epoch_key(leaves: &Leaves, tag: &PairTag) -> Vec<u8> {
    [pair_key(leaves), vec![EPOCH], tag.as_bytes().to_vec()].concat()
}

impl Room {
    pub(super) fn note_pairs(&mut self, now: Now, changes: &mut Changes) {
        for touched in self.pairs.take_touched() {
            match touched {
                Touched::Pair(leaves) => match self.pairs.get(&leaves) {
                    Some(pair) => changes.put_bytes(core_key(&leaves), at_rest(pair, now).encode()),
                    None => changes.forget(pair_key(&leaves)),
                },
                Touched::Epoch(leaves, tag) => {
                    let heard = self.pairs.get(&leaves).and_then(|pair| pair.listening.get(&tag));
                    match heard {
                        Some(heard) => {
                            let epoch = heard.epoch.at_rest().encode();
                            let mut value = Writer::with_capacity(8 + epoch.len());
                            value.u64(wall(now, heard.since)).raw(&epoch);
                            changes.put(epoch_key(&leaves, &tag), value);
                        }
                        None => changes.forget(epoch_key(&leaves, &tag)),
                    }
                }
                Touched::Former(hash) => {
                    let key = key(FORMER_KEM, &[&hash]);
                    match self.pairs.former(&hash) {
                        Some(former) => {
                            let former = FormerKemAtRest {
                                retired_ms: wall(now, former.retired),
                                leaf: former.leaf,
                                kem: former.kem.clone(),
                            };
                            changes.put_bytes(key, former.encode());
                        }
                        None => changes.forget(key),
                    }
                }
            }
        }
    }

    /// Time away doesn't count here either: what could be read when we went still can.
    pub(super) fn take_up_pairs<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        former: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        now: Now,
        alive_ms: u64,
    ) {
        let away = now.unix_ms.saturating_sub(alive_ms);
        let since = |at_ms: u64| moment(now, at_ms.saturating_add(away));
        let mut epochs = Vec::new();
        for (key, value) in pairs {
            let Some((leaves, what)) = leaves_of(key) else { continue };
            if what.first() == Some(&EPOCH) {
                epochs.push((leaves, value));
            } else if let Ok(stored) = PairAtRest::decode(value) {
                self.pairs.restore(leaves, from_rest(stored, since));
            }
        }
        for (leaves, value) in epochs {
            let mut reader = Reader::new(value);
            let Ok(at_ms) = reader.u64() else { continue };
            if let Ok(stored) = ListeningAtRest::decode(reader.rest()) {
                let heard = Listened {
                    since: since(at_ms),
                    epoch: Listening::restore(stored),
                };
                self.pairs.restore_epoch(&leaves, heard);
            }
        }
        for (_, value) in former {
            if let Ok(stored) = FormerKemAtRest::decode(value) {
                self.pairs.restore_former(Former {
                    retired: since(stored.retired_ms),
                    leaf: stored.leaf,
                    hash: stored.kem.public().hash(),
                    kem: stored.kem,
                });
            }
        }
    }
}

fn leaves_of(key: &[u8]) -> Option<(Leaves, &[u8])> {
    let (other, rest) = key.split_first_chunk::<16>()?;
    let (own, rest) = rest.split_first_chunk::<16>()?;
    Some(((LeafId::from_bytes(*other), LeafId::from_bytes(*own)), rest))
}

fn at_rest(pair: &Pair, now: Now) -> PairAtRest {
    let Pair {
        used,
        seq,
        floor,
        psks,
        answers,
        heard,
        speaking,
        // Each apart.
        listening: _,
    } = pair;
    PairAtRest {
        used_ms: wall(now, *used),
        seq: *seq,
        floor: *floor,
        psks: psks.clone(),
        answers: (answers.iter())
            .map(|answer| (answer.passed.map_or(0, |at| wall(now, at).max(1)), answer.kem.clone()))
            .collect(),
        heard: heard.as_ref().map(|heard| HeardAtRest {
            seq: heard.seq,
            psk: heard.psk.clone(),
            answer: heard.answer.clone(),
        }),
        speaking: speaking.as_ref().map(|spoken| SpokenAtRest {
            begun_ms: wall(now, spoken.since),
            turned: spoken.turned,
            epoch: spoken.epoch.at_rest(),
        }),
    }
}

fn from_rest(stored: PairAtRest, since: impl Fn(u64) -> std::time::Duration) -> Pair {
    Pair {
        used: since(stored.used_ms),
        seq: stored.seq,
        floor: stored.floor,
        psks: stored.psks,
        answers: (stored.answers.into_iter())
            .map(|(passed_ms, kem)| Answer {
                kem,
                passed: (passed_ms > 0).then(|| since(passed_ms)),
            })
            .collect(),
        heard: stored.heard.map(|heard| Heard {
            seq: heard.seq,
            psk: heard.psk,
            answer: heard.answer,
        }),
        speaking: stored.speaking.map(|spoken| Spoken {
            since: since(spoken.begun_ms),
            turned: spoken.turned,
            sealed_to: None,
            epoch: Speaking::restore(spoken.epoch),
        }),
        listening: Default::default(),
    }
}
