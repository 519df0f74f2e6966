//! A new Room Key, a new Password and capsules that grow, over HTTP on both stores.

use snug_crypto::credential::client::ClientError;
use snug_crypto::credential::{Certificate, Kind, Rank, Request};
use snug_crypto::leaf::LeafSigningKey;
use snug_crypto::{AdminKey, GenesisHash, RoomHandle};
use snug_rendezvous::{Limits, StoreSpec};
use snug_rendezvous_api::{
    ByteString, Certified, ChangeRoom, Credential, Exact, Former, Generation, LoginFinish, MAX_GENERATION, NewPassword,
    NewRoomKey, ProblemType, PutCapsule, Token,
};

use crate::mongod::Mongod;
use crate::support::{Client, DAY_MS, KEY, PASSWORD, Reply, Running, handle, path_handle, real_now_ms, rng, tombstone};

pub const NEW_KEY: &[u8] = b"copper-meadow-lantern";
const GENESIS: GenesisHash = GenesisHash::from_bytes([3; 32]);

fn generation(count: u64, hash: u8) -> Generation {
    Generation {
        count,
        hash: Exact::new([hash; 32]),
    }
}

fn moderator() -> LeafSigningKey {
    LeafSigningKey::from_seed(&[8; 32])
}

fn certificate(rank: Rank, serial: u32) -> Certificate {
    Certificate {
        genesis_hash: GENESIS,
        key: *moderator().public().as_bytes(),
        rank,
        serial,
        expires_at_ms: real_now_ms() + 29 * DAY_MS,
    }
}

pub struct Change<'a> {
    key: &'a [u8],
    generation: Generation,
    overrides: bool,
    least_serial: Option<u32>,
    certified: Option<(&'a AdminKey, Certificate)>,
}

impl Default for Change<'_> {
    fn default() -> Self {
        Self {
            key: NEW_KEY,
            generation: generation(1, 9),
            overrides: false,
            least_serial: None,
            certified: None,
        }
    }
}

async fn body(client: &Client, room: &RoomHandle, token: &Token, change: Change<'_>) -> ChangeRoom {
    let new = NewRoomKey {
        credential: client.upload(room, Kind::Room, change.key).await,
        generation: change.generation,
        capsule: ByteString::new(*b"sealed anew").unwrap(),
        key_gen: Some(ByteString::new(*b"what ended it").unwrap()),
        overrides: change.overrides,
    };
    let certified = change.certified.map(|(admin, certificate)| {
        let request = Request::RoomKey {
            registration: new.credential.registration.as_bytes(),
            upload: new.credential.record.as_bytes(),
            generation: &new.generation.to_bytes(),
            capsule: new.capsule.as_slice(),
            key_gen: b"what ended it",
            overrides: new.overrides,
            least_serial: change.least_serial.unwrap_or(0),
        };
        Certified {
            certificate: Exact::new(certificate.sign(admin).to_bytes()),
            signature: Exact::new(request.sign(&moderator(), &GENESIS, token.as_bytes())),
        }
    });
    ChangeRoom {
        room_key: Some(new),
        password: None,
        least_serial: change.least_serial,
        certified,
    }
}

async fn send(client: &Client, room: &RoomHandle, token: &Token, body: &ChangeRoom) -> Reply {
    let path = snug_rendezvous_api::change(&path_handle(room));
    client.call("POST", &path, Some(token), body).await
}

pub async fn change(client: &Client, room: &RoomHandle, token: &Token, change: Change<'_>) -> Reply {
    let body = body(client, room, token, change).await;
    send(client, room, token, &body).await
}

async fn admin_token(client: &Client, room: &RoomHandle) -> Token {
    client.log_in(room, Credential::Admin, PASSWORD).await.token
}

/// The finish of a login with a former Room Key; `None` if its start shows it to be wrong.
pub async fn finish_former(client: &Client, room: &RoomHandle, former: Former, secret: &[u8]) -> Option<Reply> {
    let started = client
        .start_as(room, Credential::Room, Some(former), secret, None)
        .await
        .unwrap();
    let done = started.login.finish(&mut rng(), started.started.ke2.as_bytes()).ok()?;
    let body = LoginFinish {
        credential: Credential::Room,
        ke3: Exact::new(done.ke3),
        state: started.started.state,
    };
    Some(client.finish(room, &body).await)
}

const LAST: Former = Former { generation: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_new_room_key_on_redb() {
    new_room_key(&Running::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_room_key_on_mongodb() {
    let Some(mongod) = Mongod::start("a_new_room_key_on_mongodb") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("change"));
    let mut server = Running::with(Limits::default(), Some(store)).await;
    new_room_key(&server).await;
    server.halt().await;
}

async fn new_room_key(server: &Running) {
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let member = client.member(&den).await;
    assert_eq!(client.put(&den, &member, b"alice").await.status, 200);
    let admin = admin_token(&client, &den).await;

    // A member without a certificate changes nothing, and nobody does without a token.
    let refused = change(&client, &den, &member, Change::default()).await;
    refused.refused(ProblemType::WrongCredential);
    let forged = Token::from_bytes([1; 32]);
    let refused = change(&client, &den, &forged, Change::default()).await;
    refused.refused(ProblemType::TokenRefused);
    let stale = Change {
        generation: generation(0, 0),
        ..Change::default()
    };
    change(&client, &den, &admin, stale)
        .await
        .refused(ProblemType::GenerationStale);

    assert_eq!(change(&client, &den, &admin, Change::default()).await.status, 204);

    // The old key's tokens are void, and don't exempt from counting; the admin's token stays good.
    client.get(&den, &member).await.refused(ProblemType::TokenRefused);
    let session = client.log_in(&den, Credential::Room, NEW_KEY).await;
    assert_eq!(session.capsule.as_slice(), b"sealed anew");
    assert!(
        session.introductions.introductions.is_empty(),
        "their keys are the old ones"
    );
    let wrong = client.start(&den, Credential::Room, KEY, None).await.unwrap();
    let refused = wrong.login.finish(&mut rng(), wrong.started.ke2.as_bytes());
    assert_eq!(refused.unwrap_err(), ClientError::Refused, "the old key opens nothing");

    // Who comes with the old key gets what there is for its holders, and nothing else.
    let first = Former {
        generation: Some(generation(0, 77)),
    };
    for former in [LAST, first] {
        let told = finish_former(&client, &den, former, KEY).await.unwrap();
        told.refused(ProblemType::RoomKeyChanged);
        let superseded = told.problem().superseded.unwrap();
        assert_eq!(superseded.generation, generation(1, 9));
        assert_eq!(superseded.key_gen.unwrap().as_slice(), b"what ended it");
        let text = String::from_utf8_lossy(&told.body);
        for nothing_else in ["token", "capsule", "introductions"] {
            assert!(!text.contains(nothing_else), "{text}");
        }
    }
    assert!(
        finish_former(&client, &den, LAST, NEW_KEY).await.is_none(),
        "the new key is none of them"
    );
    assert!(finish_former(&client, &den, LAST, b"a guess").await.is_none());

    // At the same count the lower hash wins, the higher and the same do not.
    for hash in [9, 10] {
        let late = Change {
            generation: generation(1, hash),
            ..Change::default()
        };
        let refused = change(&client, &den, &admin, late).await;
        refused.refused(ProblemType::GenerationStale);
        assert_eq!(refused.problem().generation, Some(generation(1, 9)));
    }
    let lower = Change {
        key: b"third-key-of-the-room",
        generation: generation(1, 8),
        ..Change::default()
    };
    assert_eq!(change(&client, &den, &admin, lower).await.status, 204);
    client.log_in(&den, Credential::Room, b"third-key-of-the-room").await;
    // A chain: the first key still leads to what ended it.
    let told = finish_former(&client, &den, first, KEY).await.unwrap().problem();
    assert_eq!(told.superseded.unwrap().generation, generation(1, 9));

    // The admin may replace a generation that is void, whatever its count.
    let void = Change {
        key: b"fourth-key-of-the-room",
        generation: generation(MAX_GENERATION, 0),
        ..Change::default()
    };
    assert_eq!(change(&client, &den, &admin, void).await.status, 204);
    let again = Change {
        key: b"fifth-key-of-the-room",
        generation: generation(2, 5),
        overrides: true,
        ..Change::default()
    };
    assert_eq!(change(&client, &den, &admin, again).await.status, 204);
    client.log_in(&den, Credential::Room, b"fifth-key-of-the-room").await;

    // After the grace the old keys are forgotten.
    server.pass(7 * DAY_MS);
    assert!(
        finish_former(&client, &den, LAST, b"fourth-key-of-the-room")
            .await
            .is_none()
    );
}

#[tokio::test]
async fn a_certificate_allows_what_its_rank_says_as_long_as_it_is_good() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    let admin_key = client.register(&den).await;
    let member = client.member(&den).await;
    let with = |certificate| Change {
        certified: Some((&admin_key, certificate)),
        ..Change::default()
    };
    let good = certificate(Rank::Moderator, 5);
    let refused = ProblemType::CertificateRefused;

    let other_admin = AdminKey::generate(&mut rng());
    let forged = Change {
        certified: Some((&other_admin, good)),
        ..Change::default()
    };
    change(&client, &den, &member, forged).await.refused(refused);
    for expires_at_ms in [real_now_ms() - DAY_MS, real_now_ms() + 32 * DAY_MS] {
        let certificate = Certificate { expires_at_ms, ..good };
        change(&client, &den, &member, with(certificate)).await.refused(refused);
    }
    let another_key = Certificate { key: [4; 32], ..good };
    change(&client, &den, &member, with(another_key)).await.refused(refused);
    let overriding = Change {
        overrides: true,
        ..with(good)
    };
    change(&client, &den, &member, overriding).await.refused(refused);
    let raising = Change {
        least_serial: Some(5),
        ..with(good)
    };
    change(&client, &den, &member, raising).await.refused(refused);
    let far = Change {
        generation: generation(100_000, 0),
        ..with(good)
    };
    change(&client, &den, &member, far)
        .await
        .refused(ProblemType::BadRequest);

    // What is signed for one session is no good in another, nor with another word in it.
    let other = client.member(&den).await;
    let signed = body(&client, &den, &member, with(good)).await;
    send(&client, &den, &other, &signed).await.refused(refused);
    let mut altered = signed.clone();
    altered.room_key.as_mut().unwrap().capsule = ByteString::new(*b"swapped").unwrap();
    send(&client, &den, &member, &altered).await.refused(refused);

    assert_eq!(send(&client, &den, &member, &signed).await.status, 204);
    // Again: its token is void by its own doing.
    send(&client, &den, &member, &signed)
        .await
        .refused(ProblemType::TokenRefused);

    // The admin raises the serial: the certificate is void, a newer one is not.
    let admin = admin_token(&client, &den).await;
    let raise = ChangeRoom {
        room_key: None,
        password: None,
        least_serial: Some(6),
        certified: None,
    };
    assert_eq!(send(&client, &den, &admin, &raise).await.status, 204);
    let member = client.log_in(&den, Credential::Room, NEW_KEY).await.token;
    let next = |certificate| Change {
        key: b"another-new-key",
        generation: generation(2, 2),
        ..with(certificate)
    };
    change(&client, &den, &member, next(good)).await.refused(refused);
    let overriding = Change {
        overrides: true,
        ..next(certificate(Rank::Admin, 6))
    };
    assert_eq!(change(&client, &den, &member, overriding).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_made_void_on_redb() {
    certificates_made_void(&Running::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_made_void_on_mongodb() {
    let Some(mongod) = Mongod::start("certificates_made_void_on_mongodb") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("certificates"));
    let mut server = Running::with(Limits::default(), Some(store)).await;
    certificates_made_void(&server).await;
    server.halt().await;
}

/// Whoever holds the admin key needs no Password for it: its word for its own leaf, of rank admin, is enough, with either request.
async fn certificates_made_void(server: &Running) {
    let (client, den) = (server.client(), handle("den"));
    let admin_key = client.register(&den).await;
    let member = client.member(&den).await;
    let of = |rank, serial| Some((&admin_key, certificate(rank, serial)));
    let put = async |least_serial, by| put(&client, &den, &member, &refresh(&member, 0, least_serial, by)).await;
    let refused = ProblemType::CertificateRefused;
    assert_eq!(put(None, of(Rank::Moderator, 0)).await.status, 204);

    // Not with a moderator's word, not beyond what the admin's key has signed, and not with words that another said.
    put(Some(1), of(Rank::Moderator, 1)).await.refused(refused);
    put(Some(2), of(Rank::Admin, 1)).await.refused(refused);
    let mut altered = refresh(&member, 0, Some(1), of(Rank::Admin, 2));
    altered.least_serial = Some(2);
    self::put(&client, &den, &member, &altered).await.refused(refused);
    assert_eq!(
        put(Some(0), of(Rank::Moderator, 0)).await.status,
        204,
        "nothing is raised"
    );
    assert_eq!(put(Some(2), of(Rank::Admin, 2)).await.status, 204);
    for (rank, serial) in [(Rank::Moderator, 0), (Rank::Moderator, 1), (Rank::Admin, 1)] {
        put(None, of(rank, serial)).await.refused(refused);
        let by = Change {
            certified: of(rank, serial),
            ..Change::default()
        };
        change(&client, &den, &member, by).await.refused(refused);
    }
    assert_eq!(put(None, of(Rank::Moderator, 2)).await.status, 204);
    // It never goes back.
    assert_eq!(put(Some(1), of(Rank::Admin, 3)).await.status, 204);
    put(None, of(Rank::Moderator, 1)).await.refused(refused);

    // With a new Room Key, in one: whoever comes first with the new token finds it done.
    let by = |rank, serial, least_serial| Change {
        least_serial,
        certified: of(rank, serial),
        ..Change::default()
    };
    let without = body(&client, &den, &member, by(Rank::Moderator, 2, None)).await;
    let altered = ChangeRoom {
        least_serial: Some(2),
        ..without
    };
    send(&client, &den, &member, &altered).await.refused(refused);
    let done = change(&client, &den, &member, by(Rank::Admin, 3, Some(3))).await;
    assert_eq!(done.status, 204);
    let member = client.log_in(&den, Credential::Room, NEW_KEY).await.token;
    let next = |serial| Change {
        key: b"another-new-key",
        generation: generation(2, 2),
        ..by(Rank::Moderator, serial, None)
    };
    change(&client, &den, &member, next(2)).await.refused(refused);
    assert_eq!(change(&client, &den, &member, next(3)).await.status, 204);
}

fn refresh(token: &Token, count: u64, least_serial: Option<u32>, by: Option<(&AdminKey, Certificate)>) -> PutCapsule {
    let capsule = format!("capsule {count}");
    let generation = generation(count, 4);
    let certified = by.map(|(admin, certificate)| {
        let request = Request::Capsule {
            generation: &generation.to_bytes(),
            capsule: capsule.as_bytes(),
            least_serial: least_serial.unwrap_or(0),
        };
        Certified {
            certificate: Exact::new(certificate.sign(admin).to_bytes()),
            signature: Exact::new(request.sign(&moderator(), &GENESIS, token.as_bytes())),
        }
    });
    PutCapsule {
        generation,
        capsule: ByteString::new(capsule.as_bytes()).unwrap(),
        least_serial,
        certified,
    }
}

async fn put(client: &Client, room: &RoomHandle, token: &Token, body: &PutCapsule) -> Reply {
    let path = snug_rendezvous_api::capsule(&path_handle(room));
    client.call("PUT", &path, Some(token), body).await
}

#[tokio::test]
async fn a_capsule_is_refreshed_by_who_may_and_for_the_registered_generation_alone() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    let admin_key = client.register(&den).await;
    let (member, admin) = (client.member(&den).await, admin_token(&client, &den).await);
    let put = async |token: &Token, count, least_serial, by: Option<Certificate>| {
        let by = by.map(|certificate| (&admin_key, certificate));
        put(&client, &den, token, &refresh(token, count, least_serial, by)).await
    };
    let good = certificate(Rank::Moderator, 0);
    put(&member, 0, None, None).await.refused(ProblemType::WrongCredential);
    put(&member, 0, Some(1), Some(good))
        .await
        .refused(ProblemType::CertificateRefused);
    put(&member, 1, None, Some(good))
        .await
        .refused(ProblemType::GenerationStale);
    assert_eq!(put(&member, 0, None, Some(good)).await.status, 204);
    let session = client.log_in(&den, Credential::Room, KEY).await;
    assert_eq!(session.capsule.as_slice(), b"capsule 0");
    assert_eq!(client.get(&den, &member).await.status, 200, "tokens stay good");
    assert_eq!(put(&admin, 0, Some(1), None).await.status, 204);
    put(&member, 0, None, Some(good))
        .await
        .refused(ProblemType::CertificateRefused);
}

#[tokio::test]
async fn a_new_password_takes_the_old_one() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    let admin_key = client.register(&den).await;
    let (member, admin) = (client.member(&den).await, admin_token(&client, &den).await);
    let change = ChangeRoom {
        room_key: None,
        password: Some(NewPassword {
            credential: client.upload(&den, Kind::Admin, b"another password").await,
            capsule: ByteString::new(*b"sealed for the admin anew").unwrap(),
        }),
        least_serial: None,
        certified: None,
    };
    send(&client, &den, &member, &change)
        .await
        .refused(ProblemType::WrongCredential);
    assert_eq!(send(&client, &den, &admin, &change).await.status, 204);
    send(&client, &den, &admin, &change)
        .await
        .refused(ProblemType::TokenRefused);
    assert_eq!(client.get(&den, &member).await.status, 200, "members notice nothing");
    let old = client.start(&den, Credential::Admin, PASSWORD, None).await.unwrap();
    assert!(old.login.finish(&mut rng(), old.started.ke2.as_bytes()).is_err());
    let session = client.log_in(&den, Credential::Admin, b"another password").await;
    assert_eq!(session.capsule.as_slice(), b"sealed for the admin anew");
    let path = path_handle(&den);
    let nothing = ChangeRoom {
        room_key: None,
        password: None,
        least_serial: None,
        certified: None,
    };
    let refused = client
        .call(
            "POST",
            &snug_rendezvous_api::change(&path),
            Some(&session.token),
            &nothing,
        )
        .await;
    refused.refused(ProblemType::BadRequest);
    let gone = client.delete(&den, &session.token, tombstone(&den, &admin_key)).await;
    assert_eq!(gone.status, 204);
    send(&client, &den, &session.token, &change)
        .await
        .refused(ProblemType::RoomGone);
}

/// What an outsider sees of a login as holder of a former Room Key: the size of the start's answer, what the finish says, and
/// what the server makes of one blinded guess, twice.
async fn probe(client: &Client, room: &str, former: Former) -> (usize, u16, Vec<u8>, bool) {
    let room = handle(room);
    let started = client
        .start_as(&room, Credential::Room, Some(former), b"a guess", None)
        .await
        .unwrap();
    let body = LoginFinish {
        credential: Credential::Room,
        ke3: Exact::new([9; 64]),
        state: started.started.state.clone(),
    };
    let refused = client.finish(&room, &body).await;
    let steady = client.same_element_twice(&room, Some(former)).await;
    (started.size, refused.status, refused.body, steady)
}

#[tokio::test]
async fn outsiders_cant_tell_a_room_with_former_keys_from_none() {
    let server = Running::start().await;
    let client = server.client();
    for room in ["changed", "unchanged"] {
        client.register(&handle(room)).await;
    }
    let admin = admin_token(&client, &handle("changed")).await;
    let changed = change(&client, &handle("changed"), &admin, Change::default()).await;
    assert_eq!(changed.status, 204);
    let by_generation = Former {
        generation: Some(generation(0, 1)),
    };
    for former in [LAST, by_generation] {
        let expected = probe(&client, "unknown", former).await;
        assert_eq!((expected.1, expected.3), (401, true));
        assert_eq!(probe(&client, "changed", former).await, expected);
        assert_eq!(probe(&client, "unchanged", former).await, expected);
    }
    // There is no former Password, of no room.
    for room in ["changed", "unknown"] {
        let refused = client
            .start_as(&handle(room), Credential::Admin, Some(LAST), b"a guess", None)
            .await;
        refused.err().unwrap().refused(ProblemType::BadRequest);
    }
}

#[tokio::test]
async fn registering_again_is_no_oracle_for_guesses() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    // The same blinded guess: what a login makes of it, no registration does.
    let in_login = client.element_in_login(&den, None).await;
    for _ in 0..3 {
        assert_ne!(client.element_in_registration(&den).await, in_login);
    }
}

#[tokio::test]
async fn starts_as_holder_of_a_former_key_are_counted_with_the_others() {
    let limits = Limits {
        unfinished_logins: 4,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let old = client.member(&den).await;
    let admin = admin_token(&client, &den).await;
    assert_eq!(change(&client, &den, &admin, Change::default()).await.status, 204);
    for _ in 0..9 {
        let told = finish_former(&client, &den, LAST, KEY).await.unwrap();
        told.refused(ProblemType::RoomKeyChanged);
    }
    for n in 0..4 {
        let former = (n % 2 == 0).then_some(LAST);
        assert!(
            client
                .start_as(&den, Credential::Room, former, b"a guess", None)
                .await
                .is_ok()
        );
    }
    for (former, token) in [
        (None, None),
        (Some(LAST), None),
        (None, Some(&old)),
        (Some(LAST), Some(&old)),
    ] {
        let refused = client.start_as(&den, Credential::Room, former, KEY, token).await;
        refused.err().unwrap().refused(ProblemType::TooManyLogins);
    }
}
