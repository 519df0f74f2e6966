//! Starts of logins, counted until they finish: an instance's accounts of rooms, over the portions it took from the store.
//!
//! A start needs a place of a portion. A finish gives the place back, to be used again; so a room whose logins finish costs
//! the store nothing. A start that did not finish within its 60 s has used its place up, unless another instance finished
//! it, which its session shows. What stands in the store for us is always at least what we let through: a crash or a kill
//! costs a room the places of the portions it had open, for a day.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use snug_crypto::credential::server::{AttemptId, KeyedHandle, LOGIN_STATE_TTL_MS, ServerSetup, TokenHash};

use super::random_bytes;
use crate::store::{Portion, PortionId, Settlement, Store, StoreError};

/// Places taken from the store at once: few, as a crash uses them up and other instances can't have them.
const PORTION: u32 = 8;
/// A room that nobody logs in to gives its places back after this long.
const IDLE_MS: u64 = 10 * 60 * 1000;
/// No portion is held longer, as the store counts a day from when it was taken.
const HELD_MS: u64 = 10 * 60 * 1000;
/// A room that has no starts left is not asked after again for this long.
const EXHAUSTED_MS: u64 = 5_000;
/// Rooms that are accounted for at once, 300 bytes each. Further ones take single places and don't get them back.
const MAX_ROOMS: usize = 65_536;

/// This instance's accounts.
#[derive(Default)]
pub(super) struct Starts {
    rooms: Mutex<HashMap<KeyedHandle, Arc<tokio::sync::Mutex<Account>>>>,
}

/// One room's: `taken` places are free, pending or used up.
#[derive(Default)]
struct Account {
    portions: Vec<Portion>,
    free: u32,
    pending: VecDeque<(AttemptId, u64)>,
    used: u32,
    last_used_ms: u64,
    active_ms: u64,
    exhausted_ms: Option<u64>,
}

impl Starts {
    /// Whether the room has a start left for this attempt. `limit` is of all instances together.
    pub async fn admit(
        &self,
        store: &dyn Store,
        setup: &ServerSetup,
        room: KeyedHandle,
        attempt: AttemptId,
        limit: u32,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let Some(account) = self.account(room) else {
            let single = portion(1, now_ms);
            return Ok(store.take_starts(room, single, limit).await? > 0);
        };
        let mut account = account.lock().await;
        account.active_ms = now_ms;
        if account.free == 0 {
            account.review(store, setup, now_ms).await?;
        }
        if account.free == 0 && !account.is_exhausted(now_ms) {
            let mut asked = portion(PORTION.min(limit), now_ms);
            asked.count = store.take_starts(room, asked, limit).await?;
            account.exhausted_ms = (asked.count == 0).then_some(now_ms);
            account.free = asked.count;
            if asked.count > 0 {
                account.portions.push(asked);
            }
        }
        let admitted = account.free > 0;
        if admitted {
            account.free -= 1;
            account.pending.push_back((attempt, now_ms));
        }
        Ok(admitted)
    }

    /// The attempt has finished: its place is free again, if it is ours.
    pub async fn finished(&self, room: KeyedHandle, attempt: AttemptId) {
        let account = {
            let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            rooms.get(&room).cloned()
        };
        let Some(account) = account else { return };
        let mut account = account.lock().await;
        // The latest ones finish.
        if let Some(at) = account.pending.iter().rposition(|(pending, _)| *pending == attempt) {
            account.pending.remove(at);
            account.free += 1;
        }
    }

    /// Settles with the store what is due; with `all`, everything, as before an end.
    pub async fn settle(
        &self,
        store: &dyn Store,
        setup: &ServerSetup,
        now_ms: u64,
        all: bool,
    ) -> Result<(), StoreError> {
        let accounts: Vec<_> = {
            let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            rooms
                .iter()
                .map(|(room, account)| (*room, Arc::clone(account)))
                .collect()
        };
        for (room, account) in accounts {
            let mut account = account.lock().await;
            account
                .review(store, setup, if all { u64::MAX } else { now_ms })
                .await?;
            let Some(settlement) = account.settlement(room, now_ms, all) else {
                continue;
            };
            store.settle_starts(settlement.clone(), now_ms).await?;
            account.settled(settlement);
        }
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may hold an account that has become empty, and is about to take a portion for it.
        rooms.retain(|_, account| {
            Arc::strong_count(account) > 1 || account.try_lock().is_ok_and(|account| !account.portions.is_empty())
        });
        rooms.shrink_to(1024);
        Ok(())
    }

    fn account(&self, room: KeyedHandle) -> Option<Arc<tokio::sync::Mutex<Account>>> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() >= MAX_ROOMS && !rooms.contains_key(&room) {
            return None;
        }
        Some(Arc::clone(rooms.entry(room).or_default()))
    }
}

impl Account {
    /// Sorts the attempts that can't finish any more: those with a session did, at another instance.
    async fn review(&mut self, store: &dyn Store, setup: &ServerSetup, now_ms: u64) -> Result<(), StoreError> {
        let over = |at_ms: u64| now_ms.saturating_sub(at_ms) >= LOGIN_STATE_TTL_MS;
        let count = self.pending.iter().take_while(|(_, at_ms)| over(*at_ms)).count();
        if count == 0 {
            return Ok(());
        }
        let token = |attempt: &AttemptId| setup.token_hash(&setup.login_token(attempt));
        let tokens: Vec<TokenHash> = self
            .pending
            .iter()
            .take(count)
            .map(|(attempt, _)| token(attempt))
            .collect();
        let known = store.known_sessions(tokens.clone()).await?;
        for (token, (_, at_ms)) in tokens.iter().zip(self.pending.drain(..count)) {
            if known.contains(token) {
                self.free += 1;
            } else {
                self.used += 1;
                self.last_used_ms = self.last_used_ms.max(at_ms);
            }
        }
        Ok(())
    }

    /// What the store is to be told: places that are used up stand for themselves from now on, and idle or old portions go.
    fn settlement(&self, room: KeyedHandle, now_ms: u64, all: bool) -> Option<Settlement> {
        let idle = all || now_ms.saturating_sub(self.active_ms) >= IDLE_MS;
        let old = self
            .portions
            .iter()
            .any(|portion| now_ms.saturating_sub(portion.at_ms) >= HELD_MS);
        if self.portions.is_empty() || !(idle || old || self.used > 0) {
            return None;
        }
        let mut kept = Vec::new();
        if self.used > 0 {
            kept.push(portion(self.used, self.last_used_ms));
        }
        let pending = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        let held = pending.saturating_add(if idle { 0 } else { self.free });
        if held > 0 {
            kept.push(portion(held, now_ms));
        }
        Some(Settlement {
            room,
            dropped: self.portions.iter().map(|portion| portion.id).collect(),
            kept,
        })
    }

    /// The store has taken the settlement: what is used up is no longer ours, the rest is one portion.
    fn settled(&mut self, settlement: Settlement) {
        let mut kept = settlement.kept;
        if self.used > 0 {
            kept.remove(0);
            self.used = 0;
        }
        let pending = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        let held: u32 = kept.iter().map(|portion| portion.count).sum();
        self.free = held.saturating_sub(pending);
        self.portions = kept;
    }

    fn is_exhausted(&self, now_ms: u64) -> bool {
        self.exhausted_ms
            .is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < EXHAUSTED_MS)
    }
}

fn portion(count: u32, at_ms: u64) -> Portion {
    let id: PortionId = random_bytes();
    Portion { id, at_ms, count }
}
