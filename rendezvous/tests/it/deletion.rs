//! Deletion over HTTP: who may, and who is told.

use snug_crypto::AdminKey;
use snug_crypto::credential::SignedTombstone;
use snug_rendezvous::{Limits, StoreSpec};
use snug_rendezvous_api::{Credential, ProblemType};

use crate::mongod::Mongod;
use crate::support::{DAY_MS, KEY, PASSWORD, Reply, Running, handle, rng, tombstone};

#[tokio::test(flavor = "multi_thread")]
async fn deletion_on_redb() {
    deletion(&Running::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_on_mongodb() {
    let Some(mongod) = Mongod::start("deletion_on_mongodb") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("deletion"));
    deletion(&Running::with(Limits::default(), Some(store)).await).await;
}

async fn deletion(server: &Running) {
    let (client, den, other) = (server.client(), handle("den"), handle("other"));
    let key = client.register(&den).await;
    let other_key = client.register(&other).await;
    let member = client.member(&den).await;
    let admin = client.log_in(&den, Credential::Admin, PASSWORD).await.token;
    let under_way = client.proof(&den, Credential::Room, KEY).await;
    assert_eq!(client.put(&den, &member, b"alice").await.status, 200);

    // Forged in every way that may be tried.
    let good = tombstone(&den, &key);
    let mut flipped = good;
    flipped[127] ^= 1;
    let by_stranger = tombstone(&den, &AdminKey::generate(&mut rng()));
    for forged in [
        [0; 128],
        flipped,
        by_stranger,
        tombstone(&den, &other_key),
        tombstone(&other, &key),
    ] {
        for token in [&admin, &member] {
            client
                .delete(&den, token, forged)
                .await
                .refused(ProblemType::TombstoneRefused);
        }
    }
    client
        .delete(&other, &admin, tombstone(&other, &key))
        .await
        .refused(ProblemType::TokenRefused);
    assert_eq!(client.get(&den, &member).await.status, 200);

    let deleted = client.delete(&den, &admin, good).await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));

    // Whoever holds a token, or can log in, is told with proof.
    told(&client.get(&den, &member).await, &key);
    told(&client.put(&den, &member, b"alice").await, &key);
    told(&client.delete(&den, &admin, good).await, &key);
    told(&client.finish(&den, &under_way).await, &key);
    let late = client.proof(&den, Credential::Room, KEY).await;
    told(&client.finish(&den, &late).await, &key);
    let late = client.proof(&den, Credential::Admin, PASSWORD).await;
    told(&client.finish(&den, &late).await, &key);

    // Nobody else is told anything.
    let guess = client
        .start(&den, Credential::Room, b"a guess", None)
        .await
        .ok()
        .unwrap();
    assert!(guess.login.finish(&mut rng(), guess.started.ke2.as_bytes()).is_err());
    client
        .get(&den, &snug_rendezvous_api::Token::from_bytes([1; 32]))
        .await
        .refused(ProblemType::TokenRefused);
    let (taken, _) = client.try_register(&den, KEY, PASSWORD).await;
    taken.refused(ProblemType::RoomExists);
    assert_eq!(
        client.log_in(&other, Credential::Room, KEY).await.expires_in_s,
        3600,
        "others are untouched"
    );

    server.pass(30 * DAY_MS - 1000);
    let (taken, _) = client.try_register(&den, KEY, PASSWORD).await;
    taken.refused(ProblemType::RoomExists);
    server.pass(1000);
    let (free, _) = client.try_register(&den, b"a new key", PASSWORD).await;
    assert_eq!(free.status, 201);
    client.log_in(&den, Credential::Room, b"a new key").await;
}

#[track_caller]
fn told(reply: &Reply, key: &AdminKey) {
    reply.refused(ProblemType::RoomGone);
    let bytes = reply.problem().tombstone.unwrap();
    let said = SignedTombstone::from_bytes(bytes.as_bytes())
        .verify(&key.public())
        .unwrap();
    assert_eq!(said.handle, handle("den"));
}

#[tokio::test]
async fn a_deletion_survives_a_restart() {
    let server = Running::start().await;
    let den = handle("den");
    let key = server.client().register(&den).await;
    let member = server.client().member(&den).await;
    let admin = server.client().log_in(&den, Credential::Admin, PASSWORD).await.token;
    assert_eq!(
        server.client().delete(&den, &admin, tombstone(&den, &key)).await.status,
        204
    );
    let server = server.restart().await;
    told(&server.client().get(&den, &member).await, &key);
}

/// A member who is the room's admin needs no Password to delete it: the signature is the proof.
#[tokio::test]
async fn a_member_with_the_admin_key_deletes_the_room() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    let key = client.register(&den).await;
    let member = client.member(&den).await;
    assert_eq!(client.delete(&den, &member, tombstone(&den, &key)).await.status, 204);
    client.get(&den, &member).await.refused(ProblemType::RoomGone);
}
