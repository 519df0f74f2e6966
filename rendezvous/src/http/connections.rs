//! Who is connected: how many in all, how many of each address, and who has not asked anything yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::app::Address;
use crate::config::Limits;

/// All places for connections.
pub(super) struct Connections {
    max: usize,
    max_per_address: usize,
    limit_loopback: bool,
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
    pub fn new(limits: &Limits) -> Self {
        Self {
            max: limits.connections.max(1),
            max_per_address: limits.connections_per_address.max(1),
            limit_loopback: limits.limit_loopback,
            table: Mutex::default(),
        }
    }

    /// A place, unless the address has too many or all are taken by those who have asked something.
    pub fn admit(self: &Arc<Self>, address: Address) -> Option<Place> {
        let mut table = self.lock();
        let of_address = table.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.max_per_address && (self.limit_loopback || !address.is_loopback()) {
            return None;
        }
        if table.open >= self.max {
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

    fn connections(max: usize, max_per_address: usize) -> Arc<Connections> {
        let limits = Limits {
            connections: max,
            connections_per_address: max_per_address,
            ..Limits::default()
        };
        Arc::new(Connections::new(&limits))
    }

    #[test]
    fn the_oldest_silent_one_makes_room() {
        let connections = connections(2, 9);
        let address = Address::V4([192, 0, 2, 1]);
        let (first, second) = (connections.admit(address).unwrap(), connections.admit(address).unwrap());
        first.has_asked();
        let third = connections.admit(address).unwrap();
        assert!(!first.evicted().is_cancelled() && second.evicted().is_cancelled());
        drop(second);
        third.has_asked();
        assert!(connections.admit(address).is_none());
        drop(third);
        assert!(connections.admit(address).is_some());
    }

    #[test]
    fn one_address_has_its_share_and_nothing_stays_behind() {
        let connections = connections(9, 2);
        let (one, other) = (Address::V4([192, 0, 2, 1]), Address::V4([192, 0, 2, 2]));
        let held = [connections.admit(one).unwrap(), connections.admit(one).unwrap()];
        assert!(connections.admit(one).is_none());
        drop(connections.admit(other).unwrap());
        drop(held);
        let table = connections.lock();
        assert_eq!((table.open, table.by_address.len(), table.silent.len()), (0, 0, 0));
    }
}
