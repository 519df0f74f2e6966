//! Generations at rest: their Room Keys, whom each carried over, and the current one's object, for members who come later than we do.
//!
//! | key | value |
//! |---|---|
//! | `g` `k` hash | `count u64 ‖ r(32) ‖ lp(room_key)` |
//! | `g` `c` hash | `option identity_vk of the maker ‖ list of entry` |
//! | `g` `o` hash | the object |

use std::collections::BTreeSet;

use snug_crypto::bounds::{MAX_MEMBERS, MAX_SECRET_BYTES};
use snug_crypto::epoch::MemberEntry;
use snug_crypto::generation::{Generation, GenerationKeys, RoomRandom};
use snug_crypto::ids::{IdentityKey, LeafId, OperationHash};
use snug_crypto::names::RoomKey;
use snug_crypto::object::UnverifiedObject;
use snug_crypto::rest::GenerationAtRest;
use snug_crypto::wire::{DecodeError, Reader, Writer};

use super::ledger::Changes;
use super::{GENERATION, Stored, key};
use crate::room::generations::{Carried, HeldKey};
use crate::room::{Now, Room};

const KEY: u8 = b'k';
const CARRIED: u8 = b'c';
const OBJECT: u8 = b'o';

/// What was written of generations.
#[derive(Default)]
pub(in crate::room) struct GenerationsLedger {
    version: Option<u64>,
    written: BTreeSet<Vec<u8>>,
}

impl Room {
    pub(super) fn note_generations(&mut self, changes: &mut Changes) {
        let version = Some(self.generations.version());
        if self.ledger.generations.version == version {
            return;
        }
        self.ledger.generations.version = version;
        let mut gone = std::mem::take(&mut self.ledger.generations.written);
        let mut present = BTreeSet::new();
        let mut note = |what: u8, hash: &OperationHash, value: &dyn Fn() -> Option<Writer>| {
            let at = key(GENERATION, &[&[what], hash.as_bytes()]);
            if !gone.remove(&at) {
                let Some(value) = value() else { return };
                changes.put(at.clone(), value);
            }
            present.insert(at);
        };
        for held in self.generations.all_held() {
            let generation = held.keys.generation();
            note(KEY, &generation.hash, &|| {
                let mut value = Writer::with_capacity(8 + 32 + 4 + MAX_SECRET_BYTES);
                value.u64(generation.count).raw(held.random.expose());
                value.lp(held.room_key.reveal().as_bytes());
                Some(value)
            });
        }
        for (hash, carried) in self.generations.all_carried() {
            note(CARRIED, hash, &|| {
                let mut value = Writer::new();
                value.option(carried.by.as_ref(), |w, by| {
                    w.raw(by.as_bytes());
                });
                value.list(&carried.members, |w, member| {
                    w.raw(member.leaf.as_bytes())
                        .u32(member.incarnation)
                        .raw(&member.kem_hash);
                });
                Some(value)
            });
        }
        let current = self.keys.generation().hash;
        if let Some(object) = self.generations.object(&current) {
            note(OBJECT, &current, &|| {
                let mut value = Writer::new();
                value.raw(&object.encode().ok()?);
                Some(value)
            });
        }
        gone.into_iter().for_each(|at| changes.forget(at));
        self.ledger.generations.written = present;
    }

    /// Takes up what was stored of generations, and moves to the one that counts: it may be later than what the rendezvous knows of.
    pub(super) fn take_up_generations<'a>(&mut self, stored: impl Iterator<Item = (&'a [u8], &'a [u8])>, now: Now) {
        let handle = self.genesis.handle();
        for (at, value) in stored {
            let Some((what, hash)) = at
                .split_first()
                .and_then(|(what, hash)| Some((*what, hash.try_into().ok()?)))
            else {
                continue;
            };
            let hash = OperationHash::from_bytes(hash);
            let read = match what {
                KEY => read_key(value, hash).map(|(generation, random, room_key)| {
                    let keys = GenerationKeys::derive(&room_key, &random, &handle, generation);
                    self.generations.hold(HeldKey { room_key, random, keys });
                }),
                CARRIED => read_carried(value).map(|carried| self.generations.carry(hash, carried)),
                OBJECT => {
                    UnverifiedObject::decode(value).map(|object| self.generations.keep_object(hash, object.into()))
                }
                _ => Ok(()),
            };
            if let Err(error) = read {
                tracing::debug!(%error, "a stored generation can't be read");
            }
        }
        self.prune_generations(None);
        self.settle_generation(now);
    }
}

/// The Room Keys that a room's stored state holds, the most current first: what may be tried at a rendezvous before the room is taken up.
pub fn room_keys_at_rest(stored: &[Stored]) -> Vec<GenerationAtRest> {
    let read = |(at, value): &Stored| {
        let hash = at.strip_prefix(&[GENERATION, KEY])?.try_into().ok()?;
        let (generation, random, room_key) = read_key(value, OperationHash::from_bytes(hash)).ok()?;
        Some(GenerationAtRest {
            generation,
            random,
            room_key,
        })
    };
    let mut held: Vec<GenerationAtRest> = stored.iter().filter_map(read).collect();
    held.sort_by(|a, b| b.generation.cmp_currency(&a.generation));
    held
}

fn read_key(value: &[u8], hash: OperationHash) -> Result<(Generation, RoomRandom, RoomKey), DecodeError> {
    let mut reader = Reader::new(value);
    let count = reader.u64()?;
    let random = RoomRandom::from_bytes(reader.array()?);
    let text = reader.text("room key", MAX_SECRET_BYTES)?;
    let room_key = RoomKey::parse(text).map_err(|_| DecodeError::Invalid { what: "room key" })?;
    reader.finish()?;
    Ok((Generation { count, hash }, random, room_key))
}

fn read_carried(value: &[u8]) -> Result<Carried, DecodeError> {
    let mut reader = Reader::new(value);
    let by = reader.option("maker", |r| r.array().map(IdentityKey::from_bytes))?;
    let members = reader.list("members", MAX_MEMBERS, |r| {
        Ok(MemberEntry {
            leaf: LeafId::from_bytes(r.array()?),
            incarnation: r.u32()?,
            kem_hash: r.array()?,
        })
    })?;
    reader.finish()?;
    Ok(Carried { members, by })
}
