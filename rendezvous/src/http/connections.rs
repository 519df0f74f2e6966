//! Who is connected: how many in all, how many of each address, and who has not asked anything yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::app::Address;
use crate::config::Limits;

/// All places for connections.
#[derive(Default)]
pub(super) struct Connections {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: usize,
    by_address: HashMap<Address, usize>,
    /// Those that have not asked anything yet, oldest first.
    silent: BTreeMap<u64, CancellationToken>,
}

/// One connection's place, given back when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    address: Address,
    number: u64,
    evicted: CancellationToken,
}

impl Connections {
    /// A place, unless the address has too many or all are taken by those who have asked something. A proxy, which
    /// connects for many, has no limit of its own.
    pub fn admit(self: &Arc<Self>, address: Address, is_proxy: bool, limits: &Limits) -> Option<Place> {
        let mut table = self.lock();
        let of_address = table.by_address.get(&address).copied().unwrap_or(0);
        let is_limited = !is_proxy && (limits.limit_loopback || !address.is_loopback());
        if is_limited && of_address >= limits.connections_per_address.max(1) {
            return None;
        }
        if table.open >= limits.connections.max(1) {
            let (_, silent) = table.silent.pop_first()?;
            silent.cancel();
        }
        let evicted = CancellationToken::new();
        let number = table.next;
        table.next += 1;
        table.open += 1;
        *table.by_address.entry(address).or_default() += 1;
        table.silent.insert(number, evicted.clone());
        Some(Place {
            connections: Arc::clone(self),
            address,
            number,
            evicted,
        })
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A whole header has come: nobody makes this connection go any more.
    pub fn has_asked(&self) {
        self.connections.lock().silent.remove(&self.number);
    }

    /// Cancelled when the place is needed for another.
    pub fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.lock();
        table.open -= 1;
        table.silent.remove(&self.number);
        if let Some(count) = table.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                table.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_per_address: usize) -> Limits {
        Limits {
            connections,
            connections_per_address,
            ..Limits::default()
        }
    }

    #[test]
    fn the_oldest_silent_one_makes_room() {
        let (connections, limits) = (Arc::new(Connections::default()), limits(2, 9));
        let address = Address::V4([192, 0, 2, 1]);
        let admit = || connections.admit(address, false, &limits);
        let (first, second) = (admit().unwrap(), admit().unwrap());
        first.has_asked();
        let third = admit().unwrap();
        assert!(!first.evicted().is_cancelled() && second.evicted().is_cancelled());
        drop(second);
        third.has_asked();
        assert!(admit().is_none());
        drop(third);
        assert!(admit().is_some());
    }

    #[test]
    fn one_address_has_its_share_and_nothing_stays_behind() {
        let (connections, limits) = (Arc::new(Connections::default()), limits(9, 2));
        let (one, other) = (Address::V4([192, 0, 2, 1]), Address::V4([192, 0, 2, 2]));
        let admit = |address, is_proxy| connections.admit(address, is_proxy, &limits);
        let held = [admit(one, false).unwrap(), admit(one, false).unwrap()];
        assert!(admit(one, false).is_none());
        assert!(admit(one, true).is_some(), "a proxy connects for many");
        drop(admit(other, false).unwrap());
        drop(held);
        let table = connections.lock();
        assert_eq!((table.open, table.by_address.len(), table.silent.len()), (0, 0, 0));
    }
}
