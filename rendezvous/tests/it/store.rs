//! One story that every store passes.

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, Record, RegistrationId, TokenHash};
use snug_rendezvous::StoreSpec;
use snug_rendezvous::testing::{
    Capsule, Change, Changed, Entry, FIRST_GENERATION, Finish, NewRoom, OpenError, Opened, PasswordChange, Portion,
    Registered, RoomKeyChange, STORE_VERSION, Session, Settlement, Store, Tombstone, Word, check_redb, open,
};
use snug_rendezvous_api::{Exact, Generation, MAX_SUPERSEDED};

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
    starts(&*store, now).await;
    sessions(&*store, now).await;
    presence(&*store, now).await;
    changes(&*store, now).await;
    many_changes(&*store, now).await;
    directory(&*store, now).await;
    deletion(&*store, now).await;
    crate::host_story::hosting(&*store, now).await;
    races(&store, now).await;
    store.close().await.unwrap();
    drop(store);
    reopened(spec, now).await;
}

async fn open_store(spec: &StoreSpec) -> Arc<dyn Store> {
    open(spec, &[KEY_CHECK]).await.unwrap().into()
}

pub fn room(n: u8) -> KeyedHandle {
    KeyedHandle::from_bytes([n; 32])
}

pub fn token(n: u8) -> TokenHash {
    TokenHash::from_bytes([n; 32])
}

fn record(n: u8) -> Record {
    Record::from_stored(RegistrationId::from_bytes([n; 16]), [n; 192])
}

fn new_room(n: u8) -> NewRoom {
    NewRoom {
        room_record: record(n),
        admin_record: record(n ^ 0xFF),
        admin_key: [n; 32],
        capsule: Capsule {
            room: vec![n; 80_000],
            admin: vec![n, 2],
        },
        policy: POLICY,
        listing: None,
    }
}

pub async fn create(store: &dyn Store, n: u8, now: u64) {
    assert_eq!(
        store.create_room(room(n), new_room(n), now).await.unwrap(),
        Registered::Created
    );
}

pub fn finish(n: u8, kind: Kind, token_n: u8, now: u64) -> Finish {
    let new = new_room(n);
    let record = if kind == Kind::Room {
        new.room_record
    } else {
        new.admin_record
    };
    Finish {
        room: room(n),
        kind,
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
        (new.admin_key, POLICY, FIRST_GENERATION)
    );
    assert_eq!((stored.created_at_ms, stored.tombstone), (now, None));
}

fn portion(id: u8, count: u32, at_ms: u64) -> Portion {
    Portion {
        id: [id; 16],
        at_ms,
        count,
    }
}

async fn starts(store: &dyn Store, now: u64) {
    // A room that does not exist is counted like one that does.
    for room in [room(1), room(200)] {
        let take = |id, count, at| store.take_starts(room, portion(id, count, at), 10);
        assert_eq!(take(1, 4, now).await.unwrap(), 4);
        assert_eq!(take(2, 4, now + 1).await.unwrap(), 4);
        assert_eq!(take(3, 4, now + 2).await.unwrap(), 2, "what is left");
        assert_eq!(take(4, 1, now + 3).await.unwrap(), 0);
        // Of the second portion one start was used up, the rest is given back.
        let settlement = Settlement {
            room,
            dropped: vec![[2; 16]],
            kept: vec![portion(5, 1, now + 9)],
        };
        store.settle_starts(settlement, now + 10).await.unwrap();
        assert_eq!(take(6, 4, now + 11).await.unwrap(), 3);
        assert_eq!(take(7, 4, now + 12).await.unwrap(), 0);
        // After a day the first one does not count any more.
        assert_eq!(take(8, 9, now + DAY_MS - 1).await.unwrap(), 0);
        assert_eq!(take(9, 9, now + DAY_MS).await.unwrap(), 4);
        store.sweep(now + DAY_MS).await.unwrap();
        assert_eq!(take(10, 9, now + DAY_MS).await.unwrap(), 0);
        let all = Settlement {
            room,
            dropped: vec![[9; 16], [3; 16], [6; 16], [77; 16]],
            kept: vec![],
        };
        store.settle_starts(all, now + DAY_MS).await.unwrap();
        assert_eq!(take(11, 99, now + DAY_MS).await.unwrap(), 9, "one is used up");
    }
}

async fn sessions(store: &dyn Store, now: u64) {
    create(store, 2, now).await;
    let login = finish(2, Kind::Room, 1, now);
    let opened = Opened::Session {
        capsule: vec![2; 80_000],
        policy: POLICY,
    };
    assert_eq!(store.open_session(login.clone(), now).await.unwrap(), opened);
    assert_eq!(
        store.open_session(login.clone(), now).await.unwrap(),
        Opened::Refused,
        "a login finishes once"
    );
    assert_eq!(
        store.open_session(login, now + HOUR_MS).await.unwrap(),
        Opened::Refused,
        "also when its session is over"
    );
    let unknown = finish(222, Kind::Room, 7, now);
    assert_eq!(store.open_session(unknown, now).await.unwrap(), Opened::Refused);
    let stale = Finish {
        record: record(77).id(),
        ..finish(2, Kind::Room, 9, now)
    };
    assert_eq!(
        store.open_session(stale, now).await.unwrap(),
        Opened::Refused,
        "another record"
    );
    assert_eq!(store.session(token(9), now).await.unwrap(), None);

    let opened = store.open_session(finish(2, Kind::Admin, 2, now), now).await.unwrap();
    assert_eq!(
        opened,
        Opened::Session {
            capsule: vec![2, 2],
            policy: POLICY
        }
    );
    let known = store.known_sessions(vec![token(1), token(9), token(2)]).await.unwrap();
    assert!(known.len() == 2 && known.contains(&token(1)) && known.contains(&token(2)));

    let member = Session {
        room: room(2),
        kind: Kind::Room,
        record: record(2).id(),
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

fn generation(n: u8) -> Generation {
    Generation {
        count: n.into(),
        hash: Exact::new([n; 32]),
    }
}

/// A change of a room from one Room Key to another.
fn key_change(room: u8, from: u8, to: u8, until_ms: u64) -> Change {
    Change {
        room_record: record(from).id(),
        admin_record: record(room ^ 0xFF).id(),
        room_key: Some(RoomKeyChange {
            record: record(to),
            generation: generation(to),
            capsule: vec![to; 9],
            key_gen: Some(vec![to; 1000]),
            until_ms,
        }),
        password: None,
        least_serial: None,
    }
}

async fn changes(store: &dyn Store, now: u64) {
    create(store, 20, now).await;
    let with = |record_n: u8, token_n: u8| Finish {
        record: record(record_n).id(),
        ..finish(20, Kind::Room, token_n, now)
    };
    store.open_session(with(20, 100), now).await.unwrap();
    store
        .put_presence(room(20), token(100), vec![1], now + 90_000)
        .await
        .unwrap();
    assert_eq!(store.former(room(20), None, now).await.unwrap(), None);
    let change = |from, to| key_change(20, from, to, now + HOUR_MS);
    let raced = store.change_room(room(20), change(99, 21), now).await.unwrap();
    assert_eq!(raced, Changed::Raced);
    let raced = store.change_room(room(211), change(20, 21), now).await.unwrap();
    assert_eq!(raced, Changed::Raced, "no such room");
    let done = store.change_room(room(20), change(20, 21), now).await.unwrap();
    assert_eq!(done, Changed::Done);
    let raced = store.change_room(room(20), change(20, 22), now).await.unwrap();
    assert_eq!(raced, Changed::Raced, "the other change came first");

    let stored = store.room(room(20), now).await.unwrap().unwrap();
    assert_eq!((stored.room_record, stored.generation), (record(21), generation(21)));
    let session = store.session(token(100), now).await.unwrap().unwrap();
    assert_eq!(session.record, record(20).id(), "which is not the room's any more");
    let met = store.introductions(room(20), token(0), [0; 32], 9, now).await.unwrap();
    assert!(met.is_empty());
    let opened = store.open_session(with(21, 101), now).await.unwrap();
    assert!(matches!(opened, Opened::Session { capsule, .. } if capsule == [21; 9]));
    let told = |n: u8| Opened::Superseded {
        generation: generation(n),
        key_gen: Some(vec![n; 1000]),
    };
    assert_eq!(store.open_session(with(20, 102), now).await.unwrap(), told(21));
    assert_eq!(store.session(token(102), now).await.unwrap(), None, "and no token");

    store.change_room(room(20), change(21, 22), now + 1).await.unwrap();
    let former = |generation| store.former(room(20), generation, now);
    assert_eq!(former(None).await.unwrap(), Some(record(21)), "the last one");
    assert_eq!(former(Some(generation(21))).await.unwrap(), Some(record(21)));
    let first = Generation {
        count: 0,
        hash: Exact::new([7; 32]),
    };
    assert_eq!(
        former(Some(first)).await.unwrap(),
        Some(record(20)),
        "by any genesis hash"
    );
    assert_eq!(former(Some(generation(99))).await.unwrap(), None);
    assert_eq!(store.open_session(with(20, 103), now).await.unwrap(), told(21));
    assert_eq!(store.open_session(with(21, 103), now).await.unwrap(), told(22));

    let password = Change {
        room_key: None,
        password: Some(PasswordChange {
            record: record(55),
            capsule: vec![55],
        }),
        least_serial: Some(7),
        ..change(22, 0)
    };
    assert_eq!(store.change_room(room(20), password, now).await.unwrap(), Changed::Done);
    let opened = store
        .open_session(finish(20, Kind::Admin, 104, now), now)
        .await
        .unwrap();
    assert_eq!(opened, Opened::Refused, "there is no former Password");
    let admin = Finish {
        record: record(55).id(),
        ..finish(20, Kind::Admin, 105, now)
    };
    let opened = store.open_session(admin, now).await.unwrap();
    assert!(matches!(opened, Opened::Session { capsule, .. } if capsule == [55]));

    let put = |record_n: u8, serial| store.put_capsule(room(20), record(record_n).id(), vec![9; 99], serial);
    assert_eq!(put(21, None).await.unwrap(), Changed::Raced);
    assert_eq!(put(22, Some(3)).await.unwrap(), Changed::Done);
    let stored = store.room(room(20), now).await.unwrap().unwrap();
    assert_eq!(
        (stored.least_serial, stored.generation),
        (7, generation(22)),
        "never lowered"
    );
    let opened = store.open_session(with(22, 106), now).await.unwrap();
    assert!(matches!(opened, Opened::Session { capsule, .. } if capsule == [9; 99]));

    // The grace ends.
    store.sweep(now + HOUR_MS).await.unwrap();
    assert_eq!(store.former(room(20), None, now + HOUR_MS).await.unwrap(), None);
    let late = store.open_session(with(21, 107), now + HOUR_MS).await.unwrap();
    assert_eq!(late, Opened::Refused);

    let tombstone = Tombstone {
        word: Word::Admin([9; 96]),
        at_ms: now,
    };
    store.delete_room(room(20), tombstone.clone()).await.unwrap();
    let told = store.open_session(with(21, 108), now).await.unwrap();
    assert_eq!(told, Opened::Gone(tombstone), "also with a former Room Key");
    assert_eq!(put(22, None).await.unwrap(), Changed::Raced);
    let raced = store.change_room(room(20), change(22, 23), now).await.unwrap();
    assert_eq!(raced, Changed::Raced);
}

async fn many_changes(store: &dyn Store, now: u64) {
    create(store, 100, now).await;
    let changes = u8::try_from(MAX_SUPERSEDED).unwrap() + 3;
    for n in 0..changes {
        let change = key_change(100, 100 + n, 101 + n, now + HOUR_MS);
        assert_eq!(store.change_room(room(100), change, now).await.unwrap(), Changed::Done);
    }
    let told = |n: u8| {
        let former = Finish {
            record: record(n).id(),
            ..finish(100, Kind::Room, 250, now)
        };
        store.open_session(former, now)
    };
    for forgotten in 100..103 {
        assert_eq!(told(forgotten).await.unwrap(), Opened::Refused, "{forgotten}");
    }
    for known in [103, 100 + changes - 1] {
        let expected = Opened::Superseded {
            generation: generation(known + 1),
            key_gen: Some(vec![known + 1; 1000]),
        };
        assert_eq!(told(known).await.unwrap(), expected);
    }
}

async fn directory(store: &dyn Store, now: u64) {
    let list = async |search: Option<&str>, after: Option<&str>, limit| {
        let page = store
            .listed(search.map(str::to_owned), after.map(str::to_owned), limit)
            .await
            .unwrap();
        let listings = page
            .listings
            .into_iter()
            .map(|listing| String::from_utf8(listing).unwrap());
        (listings.collect::<Vec<_>>().join(" "), page.next)
    };
    assert_eq!(list(None, None, 9).await, (String::new(), None));
    for (n, room_id, text) in [
        (240, "a.b", "dots. and (brackets)"),
        (241, "aab", "plain"),
        (242, "\u{e9}t\u{e9}", "r\u{e9}sum\u{e9}"),
        (243, "Zebra", "stripes"),
    ] {
        let new = NewRoom {
            listing: Some(Entry {
                room_id: room_id.to_owned(),
                text: format!("{room_id}\n{text}").to_lowercase(),
                listing: room_id.as_bytes().to_vec(),
            }),
            ..new_room(n)
        };
        let registered = store.create_room(room(n), new, now).await.unwrap();
        assert_eq!(registered, Registered::Created);
    }
    let all = list(None, None, 9).await;
    assert_eq!(
        all,
        ("Zebra a.b aab \u{e9}t\u{e9}".to_owned(), None),
        "in the order of their bytes"
    );
    assert_eq!(
        list(None, None, 2).await,
        ("Zebra a.b".to_owned(), Some("a.b".to_owned()))
    );
    assert_eq!(list(None, Some("a.b"), 2).await, ("aab \u{e9}t\u{e9}".to_owned(), None));
    assert_eq!(list(None, Some("zzzz"), 2).await, ("\u{e9}t\u{e9}".to_owned(), None));
    assert_eq!(list(Some("a.b"), None, 9).await.0, "a.b", "a search means what it says");
    assert_eq!(list(Some("(brackets)"), None, 9).await.0, "a.b");
    assert_eq!(list(Some("stripes"), None, 9).await.0, "Zebra");
    assert_eq!(list(Some("sum\u{e9}"), None, 9).await.0, "\u{e9}t\u{e9}");
    assert_eq!(list(Some(".*"), None, 9).await.0, "");
    let counts = store.counts().await.unwrap();
    assert!(counts.rooms >= 4, "{counts:?}");
    for n in 240..243 {
        let tombstone = Tombstone {
            word: Word::Admin([9; 96]),
            at_ms: now,
        };
        store.delete_room(room(n), tombstone).await.unwrap();
    }
    assert_eq!(list(None, None, 9).await.0, "Zebra", "deleted rooms are not listed");
}

async fn deletion(store: &dyn Store, now: u64) {
    create(store, 5, now).await;
    store.open_session(finish(5, Kind::Room, 60, now), now).await.unwrap();
    store
        .put_presence(room(5), token(60), vec![60], now + 90_000)
        .await
        .unwrap();
    let first = Tombstone {
        word: Word::Admin([1; 96]),
        at_ms: now,
    };
    let second = Tombstone {
        word: Word::Admin([2; 96]),
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
    let told = store.open_session(finish(5, Kind::Room, 61, now), now).await.unwrap();
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
                word: Word::Admin([7; 96]),
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

    let taken = join_all((0..60).map(|n| store.take_starts(room(10), portion(n, 3, now), 40))).await;
    assert_eq!(taken.into_iter().map(Result::unwrap).sum::<u32>(), 40);

    let finished = join_all((0..30).map(|_| store.open_session(finish(10, Kind::Room, 90, now), now))).await;
    let sessions = finished
        .into_iter()
        .filter(|outcome| matches!(outcome.as_ref().unwrap(), Opened::Session { .. }))
        .count();
    assert_eq!(sessions, 1, "one attempt, one token");
    store
        .open_session(finish(10, Kind::Admin, 200, now), now)
        .await
        .unwrap();

    create(&**store, 30, now).await;
    let changes = (31..61).map(|n| store.change_room(room(30), key_change(30, 30, n, now + HOUR_MS), now));
    let changed = join_all(changes).await;
    let won = changed
        .into_iter()
        .filter(|outcome| *outcome.as_ref().unwrap() == Changed::Done)
        .count();
    assert_eq!(won, 1, "one change from one Room Key");
    let now_registered = store.room(room(30), now).await.unwrap().unwrap().generation;
    let told = store.open_session(finish(30, Kind::Room, 91, now), now).await.unwrap();
    let expected = Opened::Superseded {
        generation: now_registered,
        key_gen: Some(vec![now_registered.count.try_into().unwrap(); 1000]),
    };
    assert_eq!(told, expected, "the object of the change that won");
}

async fn reopened(spec: &StoreSpec, now: u64) {
    let store = open_store(spec).await;
    assert!(store.room(room(1), now).await.unwrap().is_some());
    assert!(store.session(token(200), now).await.unwrap().is_some());
    store.close().await.unwrap();
    drop(store);
    let other_key = open(spec, &[[7; 32]]).await.err().unwrap();
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
    let refused = open(&StoreSpec::Redb(path.clone()), &[KEY_CHECK]).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::Newer { found } if found == STORE_VERSION + 1),
        "{refused}"
    );
    let looked_at = check_redb(&path).unwrap_err();
    assert!(matches!(looked_at, OpenError::Newer { .. }), "{looked_at}");
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
    let refused = open(&spec, &[KEY_CHECK]).await.err().unwrap();
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
    let second = open(&StoreSpec::Redb(path), &[KEY_CHECK]).await.err().unwrap();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");

    let other = folder.path().join("letter.txt");
    std::fs::write(&other, b"Dear Sir or Madam, ".repeat(1000)).unwrap();
    let refused = open(&StoreSpec::Redb(other.clone()), &[KEY_CHECK]).await.err().unwrap();
    assert!(matches!(&refused, OpenError::File { .. }), "{refused}");
    assert_eq!(std::fs::read(&other).unwrap(), b"Dear Sir or Madam, ".repeat(1000));
}

#[tokio::test]
async fn an_unreachable_mongodb_is_a_clear_error_that_shows_no_password() {
    let uri = "mongodb://bob:opensesame@127.0.0.1:1/?serverSelectionTimeoutMS=200".to_owned();
    let refused = open(&StoreSpec::Mongo(uri), &[KEY_CHECK])
        .await
        .err()
        .unwrap()
        .to_string();
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
