//! A MongoDB store as the first version left it. (redb's is tried beside its code, which writes the former shapes.)

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, doc};
use snug_crypto::credential::Kind;
use snug_rendezvous::StoreSpec;
use snug_rendezvous::testing::{FIRST_GENERATION, Finish, Opened, STORE_VERSION, open};

use crate::mongod::Mongod;
use crate::store::{room, token};
use crate::support::real_now_ms;

const KEY_CHECK: [u8; 32] = [6; 32];

fn binary(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

#[tokio::test]
async fn a_mongodb_store_of_version_1_keeps_its_rooms_and_forgets_its_sessions() {
    let Some(mongod) = Mongod::start("a_mongodb_store_of_version_1_keeps_its_rooms_and_forgets_its_sessions") else {
        return;
    };
    let (uri, now) = (mongod.uri("old"), real_now_ms());
    let database = mongodb::Client::with_uri_str(&uri).await.unwrap().database("old");
    let collection = |name: &str| database.collection::<Document>(name);
    let later = DateTime::from_millis(i64::try_from(now + 3_600_000).unwrap());
    let stored = [
        (
            "meta",
            doc! { "_id": "store", "version": 1_i64, "key_check": binary(&KEY_CHECK) },
        ),
        (
            "rooms",
            doc! {
                "_id": binary(room(1).as_bytes()),
                "room_record": binary(&[1; 192]),
                "admin_record": binary(&[2; 192]),
                "admin_key": binary(&[3; 32]),
                "created_at": DateTime::from_millis(4),
                "generation": 0_i64,
                "max_participants": 6,
                "retention_s": 7_i64,
                "grace_s": 8_i64,
                "room_capsule": binary(&[9]),
                "admin_capsule": binary(&[10]),
            },
        ),
        (
            "sessions",
            doc! { "_id": binary(token(1).as_bytes()), "room": binary(room(1).as_bytes()), "admin": false, "expires_at": later },
        ),
        (
            "attempts",
            doc! { "_id": binary(room(1).as_bytes()), "open": [], "expires_at": later },
        ),
    ];
    for (name, document) in stored {
        collection(name).insert_one(document).await.unwrap();
    }

    let store = open(&StoreSpec::Mongo(uri), &[KEY_CHECK]).await.unwrap();
    let found = store.room(room(1), now).await.unwrap().unwrap();
    assert_eq!(found.room_record.as_bytes(), &[1; 192]);
    assert_eq!(found.room_record.registration().as_bytes(), &[0; 16]);
    assert_eq!((found.generation, found.least_serial), (FIRST_GENERATION, 0));
    assert_eq!(store.session(token(1), now).await.unwrap(), None);
    let login = Finish {
        room: room(1),
        kind: Kind::Room,
        record: found.room_record.id(),
        token: token(2),
        expires_at_ms: now + 3_600_000,
    };
    let opened = store.open_session(login, now).await.unwrap();
    assert!(matches!(opened, Opened::Session { capsule, .. } if capsule == [9]));
    store.close().await.unwrap();

    let names = database.list_collection_names().await.unwrap();
    assert!(!names.contains(&"attempts".to_owned()), "{names:?}");
    let meta = collection("meta").find_one(doc! {}).await.unwrap().unwrap();
    assert_eq!(meta.get_i64("version").unwrap(), i64::from(STORE_VERSION));
    assert_eq!(
        collection("sessions").count_documents(doc! {}).await.unwrap(),
        1,
        "the old one is gone"
    );
}
