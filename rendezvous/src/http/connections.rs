//! Who is connected: how many in all, how many of each address, who has not asked anything yet, and who is idle.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::app::Address;
use crate::config::Limits;

/// The part of all places that is for those who have not asked yet, one in so many. While they have less, an idle
/// connection makes room rather than one of them: else few idle ones that hold all other places would leave newcomers no
/// time to ask.
const SILENT_PART: usize = 4;

/// All places for connections.
#[derive(Default)]
pub(super) struct Connections {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Counts what happens: a connection that comes, one that becomes idle.
    next: u64,
    open: usize,
    by_address: HashMap<Address, Held>,
    /// Those that have not asked anything yet, oldest first.
    silent: BTreeMap<u64, CancellationToken>,
}

/// What an address holds.
#[derive(Default)]
struct Held {
    connections: usize,
    is_proxy: bool,
    /// Those that have asked and wait for nothing, longest idle first.
    idle: BTreeMap<u64, CancellationToken>,
}

/// One connection's place, given back when it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    address: Address,
    /// Its number among the silent or the idle, whenever it is one of them. Changes only while the table is locked.
    since: AtomicU64,
    evicted: CancellationToken,
}

/// A connection's request until it is answered.
pub(super) struct InFlight(Arc<Place>);

impl Connections {
    /// A place, unless the address has too many or all are taken by requests in flight. A proxy, which connects for many,
    /// has no limit of its own.
    pub fn admit(self: &Arc<Self>, peer: IpAddr, is_proxy: bool, limits: &Limits) -> Option<Arc<Place>> {
        let is_limited = !is_proxy && (limits.limit_loopback || !Address::of(peer).is_loopback());
        // Each address of this machine is one of its own here: some may be a proxy's.
        let address = Address::forwarded(peer);
        let mut table = self.lock();
        let of_address = table.by_address.get(&address).map_or(0, |held| held.connections);
        if is_limited && of_address >= limits.connections_per_address.max(1) {
            return None;
        }
        if table.open >= limits.connections.max(1) {
            table.victim(limits.connections.max(1) / SILENT_PART)?.cancel();
        }
        let evicted = CancellationToken::new();
        let since = table.count();
        table.open += 1;
        let held = table.by_address.entry(address).or_default();
        held.connections += 1;
        held.is_proxy = is_proxy;
        table.silent.insert(since, evicted.clone());
        Some(Arc::new(Place {
            connections: Arc::clone(self),
            address,
            since: AtomicU64::new(since),
            evicted,
        }))
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The connection that makes room, taken from its list: the oldest silent one, or the longest idle one of the address
    /// that holds most.
    fn victim(&mut self, kept_silent: usize) -> Option<CancellationToken> {
        if self.silent.len() <= kept_silent
            && let Some(idle) = self.longest_idle()
        {
            return Some(idle);
        }
        self.silent.pop_first().map(|(_, silent)| silent)
    }

    /// Looks at each address; only a server that is full does.
    fn longest_idle(&mut self) -> Option<CancellationToken> {
        let greed = |held: &Held| if held.is_proxy { 0 } else { held.connections };
        let of_address = self
            .by_address
            .values_mut()
            .filter_map(|held| Some((greed(held), Reverse(*held.idle.first_key_value()?.0), held)))
            .max_by_key(|(greed, since, _)| (*greed, *since));
        of_address
            .and_then(|(_, _, held)| held.idle.pop_first())
            .map(|(_, idle)| idle)
    }
}

impl Place {
    /// A whole header has come: until it is answered, nobody makes this connection go.
    pub fn asks(self: &Arc<Self>) -> InFlight {
        self.leave_lists(&mut self.connections.lock());
        InFlight(Arc::clone(self))
    }

    fn leave_lists(&self, table: &mut Table) {
        let since = self.since.load(Ordering::Relaxed);
        table.silent.remove(&since);
        if let Some(held) = table.by_address.get_mut(&self.address) {
            held.idle.remove(&since);
        }
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
        self.leave_lists(&mut table);
        if let Some(held) = table.by_address.get_mut(&self.address) {
            held.connections -= 1;
            if held.connections == 0 {
                table.by_address.remove(&self.address);
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Self(place) = self;
        let mut table = place.connections.lock();
        let since = table.count();
        place.since.store(since, Ordering::Relaxed);
        if place.evicted.is_cancelled() {
            return;
        }
        if let Some(held) = table.by_address.get_mut(&place.address) {
            held.idle.insert(since, place.evicted.clone());
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

    fn of(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_oldest_silent_one_makes_room_and_none_that_is_being_answered() {
        let (connections, limits) = (Arc::new(Connections::default()), limits(2, 9));
        let admit = || connections.admit(of(1), false, &limits);
        let (first, second) = (admit().unwrap(), admit().unwrap());
        let asking = first.asks();
        let third = admit().unwrap();
        assert!(!first.evicted().is_cancelled() && second.evicted().is_cancelled());
        drop(second);
        let also_asking = third.asks();
        assert!(admit().is_none());
        drop(also_asking);
        let fourth = admit().unwrap();
        assert!(third.evicted().is_cancelled(), "answered, and idle");
        drop(third);
        let _last = fourth.asks();
        assert!(admit().is_none() && !first.evicted().is_cancelled());
        drop(asking);
        assert!(admit().is_some() && first.evicted().is_cancelled());
    }

    #[test]
    fn of_those_that_have_asked_the_greediest_addresss_longest_idle_one_makes_room() {
        let (connections, limits) = (Arc::new(Connections::default()), limits(8, 9));
        let admit = |last, is_proxy| connections.admit(of(last), is_proxy, &limits).unwrap();
        let idle = |last, is_proxy| {
            let place = admit(last, is_proxy);
            drop(place.asks());
            place
        };
        let modest = idle(1, false);
        let proxy: Vec<_> = (0..4).map(|_| idle(2, true)).collect();
        let greedy: Vec<_> = (0..3).map(|_| idle(3, false)).collect();
        drop(greedy[0].asks());
        let newcomer = admit(4, false);
        let gone = |places: &[Arc<Place>]| -> Vec<_> {
            let evicted = places.iter().map(|place| place.evicted().is_cancelled());
            evicted.collect()
        };
        assert_eq!(gone(&greedy), [false, true, false]);
        // Newcomers have a part of the places in which to ask, though they have not asked yet.
        let second = admit(5, false);
        assert_eq!(gone(&greedy), [false, true, true]);
        assert_eq!(gone(&[newcomer, second, modest]), [false; 3]);
        assert_eq!(gone(&proxy), [false; 4], "a proxy connects for many");
    }

    #[test]
    fn one_address_has_its_share_and_nothing_stays_behind() {
        let (connections, limits) = (Arc::new(Connections::default()), limits(9, 2));
        let admit = |last, is_proxy| connections.admit(of(last), is_proxy, &limits);
        let held = [admit(1, false).unwrap(), admit(1, false).unwrap()];
        assert!(admit(1, false).is_none());
        assert!(admit(1, true).is_some(), "a proxy connects for many");
        drop(admit(2, false).unwrap().asks());
        drop(held[0].asks());
        drop(held);
        let table = connections.lock();
        assert_eq!((table.open, table.by_address.len(), table.silent.len()), (0, 0, 0));
    }
}
