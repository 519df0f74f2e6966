//! One story that every store passes.

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{AttemptId, KeyedHandle, Record, TokenHash};
use snug_rendezvous::StoreSpec;
use snug_rendezvous::testing::{
    Capsule, Finish, NewRoom, OpenError, Opened, Registered, STORE_VERSION, Session, Store, Tombstone, open,
};

use crate::mongod::Mongod;
use crate::support::{DAY_MS, HOUR_MS, POLICY, real_now_ms};

const KEY_CHECK: [u8; 32] = [6; 32];

#[tokio::test(flavor = "multi_thread")]
async fn redb_passes_the_story() {
    let folder = tempfile::tempdir().unwrap();
    story(&StoreSpec::Redb(folder.path().join("rooms.redb"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mongodb_passes_the_story() {
    let Some(mongod) = Mongod::start("mongodb_passes_the_story") else {
        return;
    };
    story(&StoreSpec::Mongo(mongod.uri("story"))).await;
}

async fn story(spec: &StoreSpec) {
    let store = open_store(spec).await;
    let now = real_now_ms();
    store.ping().await.unwrap();
    rooms(&*store, now).await;
    attempts(&*store, now).await;
    sessions(&*store, now).await;
    presence(&*store, now).await;
    deletion(&*store, now).await;
    races(&store, now).await;
    store.close().await.unwrap();
    drop(store);
    reopened(spec, now).await;
}

async fn open_store(spec: &StoreSpec) -> Arc<dyn Store> {
    open(spec, KEY_CHECK).await.unwrap().into()
}

fn room(n: u8) -> KeyedHandle {
    KeyedHandle::from_bytes([n; 32])
}

fn token(n: u8) -> TokenHash {
    TokenHash::from_bytes([n; 32])
}

fn attempt(n: u8) -> AttemptId {
    AttemptId::from_bytes([n; 16])
}

fn new_room(n: u8) -> NewRoom {
    NewRoom {
        room_record: Record::from_stored([n; 192]),
        admin_record: Record::from_stored([n ^ 0xFF; 192]),
        admin_key: [n; 32],
        capsule: Capsule {
            room: vec![n; 80_000],
            admin: vec![n, 2],
        },
        policy: POLICY,
    }
}

async fn create(store: &dyn Store, n: u8, now: u64) {
    assert_eq!(
        store.create_room(room(n), new_room(n), now).await.unwrap(),
        Registered::Created
    );
}

fn finish(n: u8, kind: Kind, attempt_n: u8, token_n: u8, now: u64) -> Finish {
    let new = new_room(n);
    let record = if kind == Kind::Room {
        new.room_record
    } else {
        new.admin_record
    };
    Finish {
        room: room(n),
        kind,
        attempt: attempt(attempt_n),
        record: record.id(),
        token: token(token_n),
        expires_at_ms: now + HOUR_MS,
    }
}

async fn rooms(store: &dyn Store, now: u64) {
    assert_eq!(store.room(room(1), now).await.unwrap(), None);
    create(store, 1, now).await;
    assert_eq!(
        store.create_room(room(1), new_room(9), now + 1).await.unwrap(),
        Registered::Taken
    );
    let stored = store.room(room(1), now).await.unwrap().unwrap();
    let new = new_room(1);
    assert_eq!(
        (stored.room_record, stored.admin_record),
        (new.room_record, new.admin_record)
    );
    assert_eq!(
        (stored.admin_key, stored.policy, stored.generation),
        (new.admin_key, POLICY, 0)
    );
    assert_eq!((stored.created_at_ms, stored.tombstone), (now, None));
}

async fn attempts(store: &dyn Store, now: u64) {
    // A room that does not exist is counted like one that does.
    for room in [room(1), room(200)] {
        for n in 0..3 {
            assert!(
                store
                    .open_attempt(room, attempt(n), Some(3), now + u64::from(n))
                    .await
                    .unwrap()
            );
        }
        assert!(!store.open_attempt(room, attempt(3), Some(3), now + 3).await.unwrap());
        assert!(
            store.open_attempt(room, attempt(4), None, now + 3).await.unwrap(),
            "exempt ones are not held up"
        );
        assert!(!store.open_attempt(room, attempt(5), Some(3), now + 4).await.unwrap());
        // After a day the first one does not count any more.
        assert!(
            !store
                .open_attempt(room, attempt(6), Some(3), now + DAY_MS - 1)
                .await
                .unwrap()
        );
        assert!(
            store
                .open_attempt(room, attempt(7), Some(3), now + DAY_MS)
                .await
                .unwrap()
        );
        assert!(
            !store
                .open_attempt(room, attempt(8), Some(3), now + DAY_MS)
                .await
                .unwrap()
        );
    }
}

async fn sessions(store: &dyn Store, now: u64) {
    create(store, 2, now).await;
    let login = finish(2, Kind::Room, 1, 1, now);
    assert_eq!(
        store.open_session(login.clone(), now).await.unwrap(),
        Opened::Refused,
        "never started"
    );
    assert!(store.open_attempt(room(2), attempt(1), Some(1), now).await.unwrap());
    let opened = Opened::Session {
        capsule: vec![2; 80_000],
        policy: POLICY,
    };
    assert_eq!(store.open_session(login.clone(), now).await.unwrap(), opened);
    assert_eq!(
        store.open_session(login, now).await.unwrap(),
        Opened::Refused,
        "a login finishes once"
    );

    // Finished ones are not counted.
    assert!(store.open_attempt(room(2), attempt(2), Some(1), now).await.unwrap());
    let stale = Finish {
        record: new_room(77).room_record.id(),
        ..finish(2, Kind::Room, 2, 9, now)
    };
    assert_eq!(
        store.open_session(stale, now).await.unwrap(),
        Opened::Refused,
        "another record"
    );
    assert_eq!(store.session(token(9), now).await.unwrap(), None);

    assert!(store.open_attempt(room(2), attempt(3), None, now).await.unwrap());
    let opened = store
        .open_session(finish(2, Kind::Admin, 3, 2, now), now)
        .await
        .unwrap();
    assert_eq!(
        opened,
        Opened::Session {
            capsule: vec![2, 2],
            policy: POLICY
        }
    );

    assert!(store.open_attempt(room(2), attempt(4), None, now).await.unwrap());
    let late = finish(2, Kind::Room, 4, 8, now);
    assert_eq!(
        store.open_session(late, now + DAY_MS).await.unwrap(),
        Opened::Refused,
        "too late"
    );

    let member = Session {
        room: room(2),
        kind: Kind::Room,
        generation: 0,
        expires_at_ms: now + HOUR_MS,
    };
    assert_eq!(store.session(token(1), now).await.unwrap(), Some(member.clone()));
    assert_eq!(store.session(token(2), now).await.unwrap().unwrap().kind, Kind::Admin);
    assert_eq!(store.session(token(3), now).await.unwrap(), None);
    assert_eq!(store.session(token(1), now + HOUR_MS).await.unwrap(), None, "expired");
    store.renew_session(token(1), now + 2 * HOUR_MS).await.unwrap();
    store.renew_session(token(1), now + HOUR_MS).await.unwrap();
    let renewed = Session {
        expires_at_ms: now + 2 * HOUR_MS,
        ..member
    };
    assert_eq!(
        store.session(token(1), now + HOUR_MS).await.unwrap(),
        Some(renewed),
        "never shortened"
    );
    store.renew_session(token(99), now + HOUR_MS).await.unwrap();
    assert_eq!(
        store.session(token(99), now).await.unwrap(),
        None,
        "what is gone stays gone"
    );
    store.sweep(now + HOUR_MS).await.unwrap();
    assert!(store.session(token(1), now + HOUR_MS).await.unwrap().is_some());
}

async fn presence(store: &dyn Store, now: u64) {
    let all = |start: u8| store.introductions(room(3), token(0), [start; 32], 32, now);
    assert!(all(0).await.unwrap().is_empty());
    for n in 1..=40 {
        store
            .put_presence(room(3), token(n), vec![n; 1024], now + 90_000)
            .await
            .unwrap();
    }
    store
        .put_presence(room(4), token(50), vec![50], now + 90_000)
        .await
        .unwrap();
    // From any place in the order: 32, all different, none of another room, not one's own.
    for start in [0, 7, 39, 40, 41, 255] {
        let mut found = all(start).await.unwrap();
        assert_eq!(found.len(), 32);
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 32);
        assert!(found.iter().all(|record| record.len() == 1024));
        assert_eq!(found[0].len(), 1024);
    }
    assert_eq!(
        all(39).await.unwrap()[..3],
        [vec![39; 1024], vec![40; 1024], vec![1; 1024]]
    );
    let without = store.introductions(room(3), token(39), [39; 32], 2, now).await.unwrap();
    assert_eq!(without, [vec![40; 1024], vec![1; 1024]]);
    // One record a token; expired and withdrawn ones are not shown.
    store
        .put_presence(room(3), token(40), vec![1, 2, 3], now + 90_001)
        .await
        .unwrap();
    let later = store
        .introductions(room(3), token(0), [0; 32], 32, now + 90_000)
        .await
        .unwrap();
    assert_eq!(later, [vec![1, 2, 3]]);
    store.sweep(now + 90_000).await.unwrap();
    store.remove_presence(room(4), token(40)).await.unwrap();
    assert_eq!(
        store
            .introductions(room(3), token(0), [0; 32], 1, now + 90_000)
            .await
            .unwrap()
            .len(),
        1
    );
    store.remove_presence(room(3), token(40)).await.unwrap();
    assert!(
        store
            .introductions(room(3), token(0), [0; 32], 32, now + 90_000)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn deletion(store: &dyn Store, now: u64) {
    create(store, 5, now).await;
    assert!(store.open_attempt(room(5), attempt(1), None, now).await.unwrap());
    store
        .open_session(finish(5, Kind::Room, 1, 60, now), now)
        .await
        .unwrap();
    store
        .put_presence(room(5), token(60), vec![60], now + 90_000)
        .await
        .unwrap();
    let first = Tombstone {
        bytes: [1; 96],
        at_ms: now,
    };
    let second = Tombstone {
        bytes: [2; 96],
        at_ms: now + 1,
    };
    assert_eq!(
        store.delete_room(room(6), first.clone()).await.unwrap(),
        None,
        "no such room"
    );
    assert_eq!(
        store.delete_room(room(5), first.clone()).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(
        store.delete_room(room(5), second).await.unwrap(),
        Some(first.clone()),
        "the first one counts"
    );

    assert!(
        store
            .introductions(room(5), token(0), [0; 32], 32, now)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store.session(token(60), now).await.unwrap().is_some(),
        "holders of a token are told"
    );
    let buried = store.room(room(5), now).await.unwrap().unwrap();
    assert_eq!(buried.tombstone, Some(first.clone()));
    assert!(store.open_attempt(room(5), attempt(2), None, now).await.unwrap());
    let told = store
        .open_session(finish(5, Kind::Room, 2, 61, now), now)
        .await
        .unwrap();
    assert_eq!(told, Opened::Gone(first), "so is who logs in");
    assert_eq!(store.session(token(61), now).await.unwrap(), None);

    let free = now + 30 * DAY_MS;
    assert_eq!(
        store.create_room(room(5), new_room(5), free - 1).await.unwrap(),
        Registered::Taken
    );
    assert!(store.room(room(5), free - 1).await.unwrap().is_some());
    assert_eq!(store.room(room(5), free).await.unwrap(), None);
    create(store, 5, free).await;
    assert_eq!(store.room(room(5), free).await.unwrap().unwrap().tombstone, None);

    create(store, 7, now).await;
    store
        .delete_room(
            room(7),
            Tombstone {
                bytes: [7; 96],
                at_ms: now,
            },
        )
        .await
        .unwrap();
    store.sweep(free).await.unwrap();
    assert_eq!(store.room(room(7), free).await.unwrap(), None);
}

async fn races(store: &Arc<dyn Store>, now: u64) {
    let created = join_all((0..30).map(|_| store.create_room(room(10), new_room(10), now))).await;
    assert_eq!(
        created
            .into_iter()
            .filter(|outcome| *outcome.as_ref().unwrap() == Registered::Created)
            .count(),
        1
    );

    let opened = join_all((0..60).map(|n| store.open_attempt(room(10), attempt(n), Some(40), now))).await;
    assert_eq!(
        opened.into_iter().filter(|outcome| *outcome.as_ref().unwrap()).count(),
        40
    );

    assert!(store.open_attempt(room(10), attempt(100), None, now).await.unwrap());
    let finished = join_all((100..130).map(|n| store.open_session(finish(10, Kind::Room, 100, n, now), now))).await;
    let sessions = finished
        .into_iter()
        .filter(|outcome| matches!(outcome.as_ref().unwrap(), Opened::Session { .. }))
        .count();
    assert_eq!(sessions, 1, "one attempt, one token");

    assert!(store.open_attempt(room(10), attempt(101), None, now).await.unwrap());
    store
        .open_session(finish(10, Kind::Admin, 101, 200, now), now)
        .await
        .unwrap();
}

async fn reopened(spec: &StoreSpec, now: u64) {
    let store = open_store(spec).await;
    assert!(store.room(room(1), now).await.unwrap().is_some());
    assert!(store.session(token(200), now).await.unwrap().is_some());
    store.close().await.unwrap();
    drop(store);
    let other_key = open(spec, [7; 32]).await.err().unwrap();
    assert!(matches!(other_key, OpenError::OtherKey), "{other_key}");
}

#[tokio::test]
async fn a_newer_redb_store_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rooms.redb");
    open_store(&StoreSpec::Redb(path.clone())).await.close().await.unwrap();
    {
        let database = redb::Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        let newer = (STORE_VERSION + 1).to_be_bytes();
        write
            .open_table(meta)
            .unwrap()
            .insert("version", newer.as_slice())
            .unwrap();
        write.commit().unwrap();
    }
    let before = std::fs::read(&path).unwrap();
    let refused = open(&StoreSpec::Redb(path.clone()), KEY_CHECK).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::Newer { found } if found == STORE_VERSION + 1),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_mongodb_store_is_refused_untouched() {
    let Some(mongod) = Mongod::start("a_newer_mongodb_store_is_refused_untouched") else {
        return;
    };
    let spec = StoreSpec::Mongo(mongod.uri("newer"));
    let client = mongodb::Client::with_uri_str(mongod.uri("newer")).await.unwrap();
    let database = client.database("newer");
    let meta = database.collection::<mongodb::bson::Document>("meta");
    let newer = mongodb::bson::doc! { "_id": "store", "version": i64::from(STORE_VERSION + 1) };
    meta.insert_one(newer).await.unwrap();
    let refused = open(&spec, KEY_CHECK).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::Newer { found } if found == STORE_VERSION + 1),
        "{refused}"
    );
    assert_eq!(database.list_collection_names().await.unwrap(), ["meta"]);
}

#[tokio::test]
async fn a_redb_store_in_use_and_a_file_that_is_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rooms.redb");
    let _first = open_store(&StoreSpec::Redb(path.clone())).await;
    let second = open(&StoreSpec::Redb(path), KEY_CHECK).await.err().unwrap();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");

    let other = folder.path().join("letter.txt");
    std::fs::write(&other, b"Dear Sir or Madam, ".repeat(1000)).unwrap();
    let refused = open(&StoreSpec::Redb(other.clone()), KEY_CHECK).await.err().unwrap();
    assert!(matches!(&refused, OpenError::File { .. }), "{refused}");
    assert_eq!(std::fs::read(&other).unwrap(), b"Dear Sir or Madam, ".repeat(1000));
}

#[tokio::test]
async fn an_unreachable_mongodb_is_a_clear_error_that_shows_no_password() {
    let uri = "mongodb://bob:opensesame@127.0.0.1:1/?serverSelectionTimeoutMS=200".to_owned();
    let refused = open(&StoreSpec::Mongo(uri), KEY_CHECK).await.err().unwrap().to_string();
    assert!(
        refused.contains("MongoDB") && !refused.contains("opensesame") && !refused.contains("bob"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_redb_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rooms.redb");
    let _store = open_store(&StoreSpec::Redb(path.clone())).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
}
