//! A change of the server key: rooms stay under the key that they were made with, and what is registered anew goes under the new one.

use snug_crypto::RoomHandle;
use snug_rendezvous::host::{self, Host};
use snug_rendezvous::{Config, Limits, StoreSpec};
use snug_rendezvous_api::{Credential, Former, ProblemType};

use crate::change::{Change, NEW_KEY, change, finish_former};
use crate::mongod::Mongod;
use crate::support::{Client, KEY, PASSWORD, Running, handle, path_handle};

#[tokio::test(flavor = "multi_thread")]
async fn rooms_outlive_a_change_of_the_server_key_on_redb() {
    story(Running::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_outlive_a_change_of_the_server_key_on_mongodb() {
    let Some(mongod) = Mongod::start("rooms_outlive_a_change_of_the_server_key_on_mongodb") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("keys"));
    story(Running::with(Limits::default(), Some(store)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_the_former_key_alone_makes_no_rooms() {
    let Some(mongod) = Mongod::start("an_instance_with_the_former_key_alone_makes_no_rooms") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("two"));
    let late = Running::with(Limits::default(), Some(store)).await;
    let (den, barn) = (handle("den"), handle("barn"));
    late.client().register(&den).await;
    let second = late.beside().await;
    // Looking at rooms puts no key into force.
    assert_eq!(host::rotate_key(&config_of(&second)).unwrap(), 1);
    let host = Host::reach(&config_of(&second)).await.unwrap();
    assert_eq!(host.list(None).await.unwrap().len(), 1);
    host.close().await.unwrap();
    late.client().register(&handle("pub")).await;

    let second = second.restart().await;
    second.client().register(&barn).await;
    for room in [&barn, &handle("yard")] {
        let (refused, _) = late.client().try_register(room, KEY, PASSWORD).await;
        refused.refused(ProblemType::Unavailable);
    }
    // What there was goes on at both.
    for instance in [&late, &second] {
        works(&instance.client(), &den, KEY).await;
    }
}

async fn story(server: Running) {
    let client = server.client();
    let (den, pub_, none) = (handle("den"), handle("pub"), handle("no such room"));
    client.register(&den).await;
    let token = client.member(&den).await;
    let first_key = key_file(&server);

    let server = rotated(server, 1).await;
    let client = server.client();
    assert!(key_file(&server).ends_with(&first_key) && key_file(&server).len() == 64);
    // Everybody logs in again, with what they have.
    let path = snug_rendezvous_api::presence(&path_handle(&den));
    let refused = client.call("GET", &path, Some(&token), &()).await;
    refused.refused(ProblemType::TokenRefused);
    works(&client, &den, KEY).await;
    // The room is there, for whoever would make it anew; other rooms are made under the new key.
    let (taken, _) = client.try_register(&den, KEY, PASSWORD).await;
    taken.refused(ProblemType::RoomExists);
    client.register(&pub_).await;
    works(&client, &pub_, KEY).await;
    assert!(client.start(&none, Credential::Room, KEY, None).await.is_ok());

    // What is changed moves to the new key: it needs the old one for nothing but the room's name.
    let admin = client.log_in(&den, Credential::Admin, PASSWORD).await.token;
    assert_eq!(change(&client, &den, &admin, Change::default()).await.status, 204);
    works(&client, &den, NEW_KEY).await;
    let former = finish_former(&client, &den, Former { generation: None }, KEY).await;
    former
        .expect("the Room Key that was")
        .refused(ProblemType::RoomKeyChanged);

    let mut server = rotated(server, 2).await;
    let client = server.client();
    works(&client, &den, NEW_KEY).await;
    works(&client, &pub_, KEY).await;
    server.halt().await;
    // The host finds it by the handle that a complaint carries.
    let config = config_of(&server);
    let host = Host::reach(&config).await.unwrap();
    let shown = host.show(&path_handle(&den).to_string()).await;
    assert_eq!(shown.unwrap().state, "standing");
    host.close().await.unwrap();
    if config.store.is_none() {
        let (copy, elsewhere) = (config.data_dir.join("copy"), tempfile::tempdir().unwrap());
        assert!(host::backup(&config, &copy, true).await.unwrap().with_key);
        let restored = Config::new(elsewhere.path());
        host::restore(&restored, &copy).await.unwrap();
        assert_eq!(
            std::fs::read(restored.key_file()).unwrap(),
            key_file(&server),
            "all keys are in it"
        );
    }
}

/// Members and the admin come in, are introduced, and a wrong key is refused.
async fn works(client: &Client, room: &RoomHandle, key: &[u8]) {
    let (alice, bob) = (
        client.log_in(room, Credential::Room, key).await.token,
        client.log_in(room, Credential::Room, key).await.token,
    );
    assert_eq!(client.put(room, &alice, b"alice").await.status, 200);
    assert!(client.others(room, &bob).await.contains(&b"alice".to_vec()));
    client.log_in(room, Credential::Admin, PASSWORD).await;
    let wrong = client
        .start(room, Credential::Room, b"a wrong key", None)
        .await
        .unwrap();
    assert!(
        wrong
            .login
            .finish(&mut crate::support::rng(), wrong.started.ke2.as_bytes())
            .is_err()
    );
}

async fn rotated(mut server: Running, former: usize) -> Running {
    server.halt().await;
    let config = config_of(&server);
    assert_eq!(host::rotate_key(&config).unwrap(), former);
    server.again().await
}

fn config_of(server: &Running) -> Config {
    let mut config = Config::new(server.folder());
    config.store = server.store().cloned();
    config
}

fn key_file(server: &Running) -> Vec<u8> {
    std::fs::read(server.folder().join("server.key")).unwrap()
}
