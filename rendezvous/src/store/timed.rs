//! A store whose operations are timed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId, TokenHash};
use snug_rendezvous_api::Generation;
use tokio::sync::mpsc;

use super::{
    Change, Changed, Counts, Finish, HostStore, Listed, NewRoom, Opened, Piece, Portion, Registered, Room, RoomDetails,
    RoomSummary, Session, Settlement, Store, StoreError, Tombstone,
};

/// Who is told how long operations take.
pub trait Observer: Send + Sync + 'static {
    /// An operation has ended.
    fn observe(&self, operation: &'static str, took: Duration, failed: bool);
}

/// Times another store.
pub struct Timed {
    store: Arc<dyn Store>,
    observer: Arc<dyn Observer>,
}

impl Timed {
    /// Passes everything on.
    pub fn new(store: Arc<dyn Store>, observer: Arc<dyn Observer>) -> Self {
        Self { store, observer }
    }

    fn timed<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        run: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(async move {
            let since = Instant::now();
            let outcome = run.await;
            self.observer.observe(operation, since.elapsed(), outcome.is_err());
            outcome
        })
    }
}

/// Each operation of the trait, by its own name.
macro_rules! pass_on {
    ($trait:ident: $($name:ident($($argument:ident: $type:ty),*) -> $value:ty;)*) => {
        impl $trait for Timed {
            $(fn $name(&self, $($argument: $type),*) -> BoxFuture<'_, Result<$value, StoreError>> {
                self.timed(stringify!($name), self.store.$name($($argument),*))
            })*
        }
    };
}

pass_on! { HostStore:
    list_rooms(after: Option<KeyedHandle>, limit: usize) -> Vec<RoomSummary>;
    room_details(room: KeyedHandle, now_ms: u64) -> Option<RoomDetails>;
    touch_room(room: KeyedHandle, day: u32) -> ();
    forget_days() -> ();
    idle_rooms(before_day: u32, today: u32, limit: usize) -> Vec<KeyedHandle>;
    snapshot(pieces: mpsc::Sender<Piece>) -> ();
    clock_ms() -> Option<u64>;
}

pass_on! { Store:
    create_room(room: KeyedHandle, new: NewRoom, now_ms: u64) -> Registered;
    room(room: KeyedHandle, now_ms: u64) -> Option<Room>;
    take_starts(room: KeyedHandle, portion: Portion, limit: u32) -> u32;
    settle_starts(settlement: Settlement, now_ms: u64) -> ();
    former(room: KeyedHandle, generation: Option<Generation>, now_ms: u64) -> Option<Record>;
    open_session(finish: Finish, now_ms: u64) -> Opened;
    change_room(room: KeyedHandle, change: Change, now_ms: u64) -> Changed;
    put_capsule(room: KeyedHandle, record: RecordId, capsule: Vec<u8>, least_serial: Option<u32>) -> Changed;
    known_sessions(tokens: Vec<TokenHash>) -> Vec<TokenHash>;
    session(token: TokenHash, now_ms: u64) -> Option<Session>;
    renew_session(token: TokenHash, expires_at_ms: u64) -> ();
    put_presence(room: KeyedHandle, token: TokenHash, record: Vec<u8>, expires_at_ms: u64) -> ();
    remove_presence(room: KeyedHandle, token: TokenHash) -> ();
    introductions(room: KeyedHandle, except: TokenHash, start: [u8; 32], limit: usize, now_ms: u64) -> Vec<Vec<u8>>;
    delete_room(room: KeyedHandle, tombstone: Tombstone) -> Option<Tombstone>;
    listed(search: Option<String>, after: Option<String>, limit: usize) -> Listed;
    counts() -> Counts;
    sweep(now_ms: u64) -> ();
    ping() -> ();
    close() -> ();
}
