//! A disk that fills up, and a writer that many use at once. The rest is in the story that all stores pass.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use redb::StorageBackend;
use snug_crypto::credential::server::RegistrationId;
use snug_crypto::wire::Writer;
use snug_rendezvous_api::{Exact, Policy};

use super::codec::{decode_former, encode_former};
use super::*;
use crate::store::{Capsule, Former, STARTS_TTL_MS, Word};

/// A disk in memory that outlives its database and can be full.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Mutex<Vec<u8>>,
    full: AtomicBool,
    syncs: AtomicU64,
}

impl Disk {
    fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::SeqCst)
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.bytes.lock().unwrap()
    }

    fn check(&self) -> io::Result<()> {
        if self.0.full.load(Ordering::SeqCst) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.bytes().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        let start = usize::try_from(offset).unwrap();
        self.bytes()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl Backend for Disk {
    fn open(&self, builder: &redb::Builder) -> Result<redb::Database, Fault> {
        Ok(builder.create_with_backend(self.clone())?)
    }
}

fn store(disk: &Disk) -> RedbStore {
    RedbStore::open_with(
        Arc::new(disk.clone()),
        PathBuf::from("disk"),
        &[[1; 32]],
        Purpose::Serve,
    )
    .unwrap()
}

fn room(n: u8) -> KeyedHandle {
    KeyedHandle::from_bytes([n; 32])
}

fn record(n: u8) -> Record {
    Record::from_stored(RegistrationId::from_bytes([n; 16]), [n; 192])
}

fn new_room() -> NewRoom {
    NewRoom {
        room_record: record(1),
        admin_record: record(2),
        admin_key: [3; 32],
        capsule: Capsule {
            room: vec![4; 50_000],
            admin: vec![5],
        },
        policy: Policy {
            max_participants: 1,
            retention_s: 2,
            grace_s: 3,
        },
        listing: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_clear_error_and_over_when_there_is_room_again() {
    let disk = Disk::default();
    let store = store(&disk);
    assert_eq!(
        store.create_room(room(1), new_room(), 1).await.unwrap(),
        Registered::Created
    );
    disk.set_full(true);
    for n in 2..5 {
        let refused = store.create_room(room(n), new_room(), 1).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    }
    disk.set_full(false);
    let mut tries = 0;
    while store.create_room(room(5), new_room(), 1).await.is_err() {
        tries += 1;
        assert!(tries < 100, "it does not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for n in [1, 5] {
        assert!(
            store.room(room(n), 1).await.unwrap().is_some(),
            "acknowledged, so kept: {n}"
        );
    }
    for n in 2..5 {
        assert!(
            store.room(room(n), 1).await.unwrap().is_none(),
            "refused, so not made: {n}"
        );
    }
    store.close().await.unwrap();
    let mut database = redb::Builder::new().create_with_backend(disk).unwrap();
    assert!(database.check_integrity().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_writes_share_a_sync_and_small_ones_wait_for_none() {
    let disk = Disk::default();
    let store = store(&disk);
    let before = disk.syncs();
    for n in 0..100 {
        store
            .put_presence(room(1), TokenHash::from_bytes([n; 32]), vec![n], 90)
            .await
            .unwrap();
    }
    assert!(
        disk.syncs() - before <= 4,
        "{} syncs for what may be lost",
        disk.syncs() - before
    );
    tokio::time::sleep(writer::FLUSH_AFTER + Duration::from_millis(500)).await;
    assert!(disk.syncs() > before, "and yet it is written soon");

    let before = disk.syncs();
    let created = futures::future::join_all((0..200).map(|n| store.create_room(room(n), new_room(), 1))).await;
    assert!(
        created
            .into_iter()
            .all(|outcome| outcome.unwrap() == Registered::Created)
    );
    assert!(
        disk.syncs() - before < 200,
        "{} syncs for 200 rooms",
        disk.syncs() - before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_value_is_said_to_be_damaged_and_spoils_nothing_else() {
    let disk = Disk::default();
    let store = store(&disk);
    store.create_room(room(1), new_room(), 1).await.unwrap();
    let write = store.database.write_durably(|transaction| {
        transaction
            .open_table(ROOMS)?
            .insert(room(2).as_bytes(), [9, 9].as_slice())?;
        Ok(Ok(()))
    });
    write.await.unwrap();
    assert!(matches!(store.room(room(2), 1).await, Err(StoreError::Damaged(_))));
    assert!(matches!(
        store.create_room(room(2), new_room(), 1).await,
        Err(StoreError::Damaged(_))
    ));
    assert!(store.room(room(1), 1).await.unwrap().is_some());
    store.sweep(u64::MAX).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_removes_what_has_expired_and_nothing_else() {
    let store = store(&Disk::default());
    for n in 0..=255 {
        store
            .put_presence(room(1), TokenHash::from_bytes([n; 32]), vec![n], 100 + u64::from(n))
            .await
            .unwrap();
        let portion = Portion {
            id: [n; 16],
            at_ms: 1,
            count: 1,
        };
        assert_eq!(store.take_starts(room(n), portion, 1).await.unwrap(), 1);
    }
    store.sweep(200).await.unwrap();
    let count = |store: &RedbStore| {
        let read = store.database.current().unwrap().begin_read().unwrap();
        let presence = redb::ReadableTableMetadata::len(&read.open_table(PRESENCE).unwrap()).unwrap();
        let starts = redb::ReadableTableMetadata::len(&read.open_table(STARTS).unwrap()).unwrap();
        (presence, starts)
    };
    assert_eq!(count(&store), (155, 256));
    store.sweep(1 + STARTS_TTL_MS).await.unwrap();
    assert_eq!(count(&store), (0, 0));

    let puts = (0..3_500_u32).map(|n| {
        let mut token = [0; 32];
        token[..4].copy_from_slice(&n.to_be_bytes());
        store.put_presence(room(1), TokenHash::from_bytes(token), vec![1], 100)
    });
    futures::future::try_join_all(puts).await.unwrap();
    assert_eq!(count(&store).0, 3_500);
    store.sweep(100).await.unwrap();
    assert_eq!(count(&store).0, 0, "one sweep takes as many batches as it needs");
}

#[test]
fn stored_values_round_trip_and_nothing_else_is_read() {
    let tombstone = Tombstone {
        word: Word::Admin([7; 96]),
        at_ms: 8,
    };
    for tombstone in [None, Some(tombstone)] {
        let room = Room {
            room_record: record(1),
            admin_record: record(2),
            admin_key: [3; 32],
            created_at_ms: 4,
            generation: generation(5),
            least_serial: 9,
            policy: Policy {
                max_participants: 6,
                retention_s: 7,
                grace_s: 8,
            },
            tombstone,
        };
        let bytes = encode_room(&room);
        assert_eq!(decode_room(&bytes).unwrap(), room);
        for len in 0..bytes.len() {
            assert!(decode_room(&bytes[..len]).is_err());
        }
        assert!(decode_session(&bytes).is_err());
        assert!(decode_room(&[&bytes[..], &[0]].concat()).is_err());
    }
    for kind in [Kind::Room, Kind::Admin] {
        let session = Session {
            room: room(1),
            kind,
            record: record(2).id(),
            expires_at_ms: 3,
        };
        let bytes = encode_session(&session);
        assert_eq!(decode_session(&bytes).unwrap(), session);
        assert!(decode_room(&bytes).is_err());
    }
    let former: Vec<Former> = (0..3)
        .map(|n| Former {
            record: record(n),
            generation: generation(n),
            ended_by: generation(n + 1),
            until_ms: 7,
        })
        .collect();
    let bytes = encode_former(&former);
    assert_eq!(decode_former(&bytes).unwrap(), former);
    for len in 0..bytes.len() {
        assert!(decode_former(&bytes[..len]).is_err());
    }
}

fn generation(n: u8) -> Generation {
    Generation {
        count: n.into(),
        hash: Exact::new([n; 32]),
    }
}

/// A store as version 1 left it: one room, and sessions, presence and attempts in their former shapes.
#[tokio::test]
async fn a_store_of_version_1_keeps_its_rooms_and_forgets_its_sessions() {
    let disk = Disk::default();
    let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut meta = write.open_table(META).unwrap();
        meta.insert(VERSION, 1_u32.to_be_bytes().as_slice()).unwrap();
        meta.insert(KEY_CHECK, [1; 32].as_slice()).unwrap();
        let mut old = Writer::new();
        old.u8(1).raw(&[1; 192]).raw(&[2; 192]).raw(&[3; 32]);
        old.u64(4).u64(0).u16(6).u32(7).u32(8).u8(0);
        let mut rooms = write.open_table(ROOMS).unwrap();
        rooms.insert(room(1).as_bytes(), old.finish().as_slice()).unwrap();
        let mut capsules = write.open_table(CAPSULES).unwrap();
        capsules
            .insert(&capsule_key(&room(1), Kind::Room), [9].as_slice())
            .unwrap();
        let mut sessions = write.open_table(SESSIONS).unwrap();
        sessions.insert(&[1; 32], [2; 50].as_slice()).unwrap();
        let attempts = TableDefinition::<&[u8; 49], u64>::new("attempts");
        write.open_table(attempts).unwrap().insert(&[0; 49], 5).unwrap();
    }
    write.commit().unwrap();
    drop(database);

    let store = store(&disk);
    let found = store.room(room(1), 9).await.unwrap().unwrap();
    assert_eq!(found.room_record.as_bytes(), &[1; 192]);
    assert_eq!(found.room_record.registration().as_bytes(), &[0; 16]);
    assert_eq!((found.generation, found.least_serial), (FIRST_GENERATION, 0));
    assert_eq!(store.session(TokenHash::from_bytes([1; 32]), 0).await.unwrap(), None);
    let login = Finish {
        room: room(1),
        kind: Kind::Room,
        record: found.room_record.id(),
        token: TokenHash::from_bytes([2; 32]),
        expires_at_ms: 99,
    };
    let opened = store.open_session(login, 9).await.unwrap();
    assert!(matches!(opened, Opened::Session { capsule, .. } if capsule == [9]));
    store.sweep(9).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    assert!(
        self::store(&disk).room(room(1), 9).await.unwrap().is_some(),
        "and opens again"
    );
}

#[tokio::test]
async fn every_table_is_known_to_survive_a_restore_or_not_to() {
    use redb::TableHandle;

    let store = store(&Disk::default());
    let database = store.database.current().unwrap();
    let transaction = database.begin_read().unwrap();
    let mut found: Vec<String> = transaction
        .list_tables()
        .unwrap()
        .map(|table| table.name().to_owned())
        .collect();
    let mut known = super::host::durable_names();
    known.extend(super::host::VOLATILE.iter().map(ToString::to_string));
    found.sort();
    known.sort();
    assert_eq!(
        found, known,
        "name a new table in store/redb/host.rs: does it outlive a restore?"
    );
}
