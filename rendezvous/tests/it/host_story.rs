//! The host's part of the story that every store passes.

use snug_crypto::credential::Kind;
use snug_rendezvous::testing::{Opened, Store, Tombstone, Word};

use crate::store::{create, finish, room, token};

/// Days since 1970, long past, so that no other room of the story counts as used later.
const DAY: u32 = 1000;

pub async fn hosting(store: &dyn Store, now: u64) {
    for n in 150..153 {
        create(store, n, now).await;
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_rooms(after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.room);
        listed.extend(page);
    }
    assert!(
        listed
            .windows(2)
            .all(|pair| pair[0].room.as_bytes() < pair[1].room.as_bytes())
    );
    for n in 150..153 {
        let found = listed.iter().find(|found| found.room == room(n)).unwrap();
        assert_eq!(
            (found.created_at_ms, found.generation, &found.tombstone),
            (now, 0, &None)
        );
        assert_eq!(found.used_on, None, "no day of use is kept unless it is asked for");
    }

    assert_eq!(store.room_details(room(159), now).await.unwrap(), None);
    store
        .open_session(finish(150, Kind::Room, 150, now), now)
        .await
        .unwrap();
    store
        .put_presence(room(150), token(150), vec![1], now + 90_000)
        .await
        .unwrap();
    let details = store.room_details(room(150), now).await.unwrap().unwrap();
    assert_eq!(
        (details.sessions, details.present, details.capsule_bytes > 0),
        (1, 1, true)
    );
    let details = store.room_details(room(150), now + 100_000).await.unwrap().unwrap();
    assert_eq!((details.sessions, details.present), (1, 0), "presence has expired");
    let details = store.room_details(room(151), now).await.unwrap().unwrap();
    assert_eq!(
        (details.sessions, details.present),
        (0, 0),
        "another room's are not counted"
    );

    // Those of which no day is known count as used on the day on which it is first asked for.
    assert_eq!(store.idle_rooms(DAY, DAY, 1000).await.unwrap(), []);
    store.touch_room(room(151), DAY + 5).await.unwrap();
    store.touch_room(room(151), DAY + 2).await.unwrap();
    store.touch_room(room(159), DAY + 2).await.unwrap();
    let idle = store.idle_rooms(DAY + 1, DAY + 1, 1000).await.unwrap();
    assert!(idle.contains(&room(150)) && idle.contains(&room(152)) && !idle.contains(&room(151)));
    assert!(!idle.contains(&room(159)), "no such room");
    assert_eq!(store.idle_rooms(DAY + 1, DAY + 1, 1).await.unwrap().len(), 1);
    let used = store
        .room_details(room(151), now)
        .await
        .unwrap()
        .unwrap()
        .summary
        .used_on;
    assert_eq!(used, Some(DAY + 5), "never earlier");

    let removal = Tombstone {
        word: Word::Host,
        at_ms: now,
    };
    let told = store.delete_room(room(152), removal.clone()).await.unwrap();
    assert_eq!(told, Some(removal.clone()));
    let refused = store
        .open_session(finish(152, Kind::Room, 152, now), now)
        .await
        .unwrap();
    assert_eq!(refused, Opened::Gone(removal.clone()));
    let details = store.room_details(room(152), now).await.unwrap().unwrap();
    assert_eq!(
        (details.summary.tombstone, details.capsule_bytes),
        (Some(removal.clone()), 0)
    );
    // The first word counts, whoever's it is.
    let admins = Tombstone {
        word: Word::Admin([7; 96]),
        at_ms: now,
    };
    assert_eq!(store.delete_room(room(152), admins).await.unwrap(), Some(removal));
    assert!(
        !store
            .idle_rooms(DAY + 1, DAY + 1, 1000)
            .await
            .unwrap()
            .contains(&room(152))
    );
    // Clocks that a store has agree with ours on this machine.
    if let Some(theirs) = store.clock_ms().await.unwrap() {
        assert!(theirs.abs_diff(crate::support::real_now_ms()) < 60_000);
    }
}
