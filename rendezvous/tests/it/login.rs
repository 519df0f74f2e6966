//! Registration and login over HTTP, on both stores.

use std::time::{Duration, Instant};

use snug_crypto::credential::client::ClientError;
use snug_rendezvous::{Limits, StoreSpec};
use snug_rendezvous_api::{ByteString, Credential, Exact, LoginFinish, ProblemType};

use crate::mongod::Mongod;
use crate::support::{Client, HOUR_MS, KEY, PASSWORD, POLICY, Running, Started, handle, rng};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_on_redb() {
    whole_life(&Running::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_on_mongodb() {
    let Some(mongod) = Mongod::start("a_room_on_mongodb") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("life"));
    let mut server = Running::with(Limits::default(), Some(store)).await;
    whole_life(&server).await;
    server.halt().await;
}

async fn whole_life(server: &Running) {
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let (taken, _) = client.try_register(&den, b"other key", b"other password").await;
    taken.refused(ProblemType::RoomExists);

    let session = client.log_in(&den, Credential::Room, KEY).await;
    assert_eq!(
        (session.capsule.as_slice(), session.policy),
        (&b"sealed for members"[..], POLICY)
    );
    assert!(session.introductions.introductions.is_empty());
    let admin = client.log_in(&den, Credential::Admin, PASSWORD).await;
    assert_eq!(admin.capsule.as_slice(), b"sealed for the admin");

    let bob = client.member(&den).await;
    assert_eq!(client.put(&den, &session.token, b"alice").await.status, 200);
    assert_eq!(client.put(&den, &bob, b"bob").await.status, 200);
    assert_eq!(client.others(&den, &session.token).await, [b"bob".to_vec()]);
    assert_eq!(client.others(&den, &bob).await, [b"alice".to_vec()]);
    let carol = client.log_in(&den, Credential::Room, KEY).await;
    assert_eq!(carol.introductions.introductions.len(), 2, "a login introduces");

    client
        .put(&den, &admin.token, b"admin")
        .await
        .refused(ProblemType::WrongCredential);
}

/// What a client can tell of a room with a secret that isn't its own.
async fn probe(client: &Client, room: &str, credential: Credential) -> (usize, u16, Vec<u8>) {
    let room = handle(room);
    let Started { login, started, size } = client.start(&room, credential, b"a guess", None).await.unwrap();
    assert_eq!(
        login.finish(&mut rng(), started.ke2.as_bytes()).unwrap_err(),
        ClientError::Refused
    );
    let body = LoginFinish {
        credential,
        ke3: Exact::new([9; 64]),
        state: started.state,
    };
    let refused = client.finish(&room, &body).await;
    refused.refused(ProblemType::LoginRefused);
    (size, refused.status, refused.body)
}

#[tokio::test]
async fn an_unknown_room_and_a_wrong_key_look_the_same() {
    let server = Running::start().await;
    let client = server.client();
    client.register(&handle("known")).await;
    for credential in [Credential::Room, Credential::Admin] {
        let known = probe(&client, "known", credential).await;
        assert_eq!(known, probe(&client, "unknown", credential).await);
        assert_eq!(known.1, 401);
    }
}

#[tokio::test]
async fn a_start_is_answered_no_earlier_for_a_room_than_for_none() {
    let server = Running::start().await;
    let client = server.client();
    client.register(&handle("known")).await;
    for room in ["known", "unknown"] {
        let asked = Instant::now();
        client
            .start(&handle(room), Credential::Room, b"a guess", None)
            .await
            .unwrap();
        // Found or not, in a store that is faster than that.
        assert!(
            asked.elapsed() >= Duration::from_millis(10),
            "{room}: {:?}",
            asked.elapsed()
        );
    }
}

#[tokio::test]
async fn a_login_state_expires_and_finishes_once() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;

    let proof = client.proof(&den, Credential::Room, KEY).await;
    server.pass(59_000);
    assert_eq!(client.finish(&den, &proof).await.status, 200);
    client.finish(&den, &proof).await.refused(ProblemType::LoginRefused);

    let proof = client.proof(&den, Credential::Room, KEY).await;
    server.pass(60_000);
    client.finish(&den, &proof).await.refused(ProblemType::LoginRefused);

    let proof = client.proof(&den, Credential::Room, KEY).await;
    let as_admin = LoginFinish {
        credential: Credential::Admin,
        ..proof.clone()
    };
    client.finish(&den, &as_admin).await.refused(ProblemType::LoginRefused);
    client
        .finish(&handle("other"), &proof)
        .await
        .refused(ProblemType::LoginRefused);
    let mut altered = proof.state.as_slice().to_vec();
    altered[100] ^= 1;
    let altered = LoginFinish {
        state: ByteString::new(altered).unwrap(),
        ..proof.clone()
    };
    client.finish(&den, &altered).await.refused(ProblemType::LoginRefused);
    assert_eq!(client.finish(&den, &proof).await.status, 200, "none of that used it up");
}

#[tokio::test]
async fn unfinished_logins_are_counted_for_rooms_known_and_unknown_and_members_are_exempt() {
    let limits = Limits {
        unfinished_logins: 5,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let client = server.client();
    let den = handle("den");
    client.register(&den).await;
    let member = client.member(&den).await;
    for _ in 0..20 {
        client.member(&den).await;
    }
    for room in [den, handle("unknown")] {
        for _ in 0..5 {
            assert!(client.start(&room, Credential::Room, b"guess", None).await.is_ok());
        }
        let refused = client.start(&room, Credential::Room, KEY, None).await.err().unwrap();
        refused.refused(ProblemType::TooManyLogins);
        assert!(
            refused.head.to_lowercase().contains("retry-after: 900"),
            "{}",
            refused.head
        );
    }
    let exempt = client
        .start(&den, Credential::Room, KEY, Some(&member))
        .await
        .ok()
        .unwrap();
    let done = exempt.login.finish(&mut rng(), exempt.started.ke2.as_bytes()).unwrap();
    let body = LoginFinish {
        credential: Credential::Room,
        ke3: Exact::new(done.ke3),
        state: exempt.started.state,
    };
    assert_eq!(client.finish(&den, &body).await.status, 200);
    // Who holds the Room Key may not try Passwords without end, and a token of another room exempts nobody.
    let refused = client.start(&den, Credential::Admin, PASSWORD, Some(&member)).await;
    refused.err().unwrap().refused(ProblemType::TooManyLogins);
    let refused = client
        .start(&handle("unknown"), Credential::Room, KEY, Some(&member))
        .await
        .err()
        .unwrap();
    refused.refused(ProblemType::TooManyLogins);
    server.pass(24 * HOUR_MS);
    assert!(client.start(&den, Credential::Room, KEY, None).await.is_ok());
}

#[tokio::test]
async fn a_malformed_ke1_uses_up_nobodys_logins() {
    let limits = Limits {
        unfinished_logins: 1,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let path = snug_rendezvous_api::login_start(&crate::support::path_handle(&den));
    for _ in 0..3 {
        let body = snug_rendezvous_api::LoginStart {
            credential: Credential::Room,
            ke1: Exact::new([0xFF; 96]),
            former: None,
        };
        client
            .call("POST", &path, None, &body)
            .await
            .refused(ProblemType::BadRequest);
    }
    client.member(&den).await;
}

#[tokio::test]
async fn tokens_live_an_hour_after_their_last_use() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let token = client.member(&den).await;
    for _ in 0..3 {
        server.pass(50 * 60_000);
        assert_eq!(client.get(&den, &token).await.status, 200);
    }
    server.pass(HOUR_MS);
    client.get(&den, &token).await.refused(ProblemType::TokenRefused);

    let token = client.member(&den).await;
    client.register(&handle("other")).await;
    client
        .get(&handle("other"), &token)
        .await
        .refused(ProblemType::TokenRefused);
    client
        .get(&handle("unknown"), &token)
        .await
        .refused(ProblemType::TokenRefused);
    let forged = snug_rendezvous_api::Token::from_bytes([1; 32]);
    client.get(&den, &forged).await.refused(ProblemType::TokenRefused);
    assert_eq!(client.get(&den, &token).await.status, 200);
}

#[tokio::test]
async fn a_restart_keeps_rooms_and_sessions() {
    let server = Running::start().await;
    let den = handle("den");
    server.client().register(&den).await;
    let token = server.client().member(&den).await;
    assert_eq!(server.client().put(&den, &token, b"alice").await.status, 200);
    let server = server.restart().await;
    let client = server.client();
    assert_eq!(client.get(&den, &token).await.status, 200);
    let bob = client.member(&den).await;
    assert_eq!(client.others(&den, &bob).await, [b"alice".to_vec()]);
}

#[tokio::test]
async fn one_login_may_start_on_one_instance_and_finish_on_another() {
    let Some(mongod) = Mongod::start("one_login_may_start_on_one_instance_and_finish_on_another") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("two"));
    let one = Running::with(Limits::default(), Some(store.clone())).await;
    // The second gets the first one's server key.
    let temporary = tempfile::tempdir().unwrap();
    std::fs::copy(one.folder().join("server.key"), temporary.path().join("server.key")).unwrap();
    let mut config = snug_rendezvous::Config::new(temporary.path());
    config.store = Some(store);
    let two = snug_rendezvous::Server::bind(config).await.unwrap();
    let two_client = Client {
        address: two.local_addr(),
    };
    tokio::spawn(two.run(std::future::pending()));

    let den = handle("den");
    one.client().register(&den).await;
    let proof = one.client().proof(&den, Credential::Room, KEY).await;
    assert_eq!(two_client.finish(&den, &proof).await.status, 200);
    one.client()
        .finish(&den, &proof)
        .await
        .refused(ProblemType::LoginRefused);
}
