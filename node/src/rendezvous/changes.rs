//! The client's changes of a room against a real rendezvous.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::capsule::Capsule;
use snug_crypto::credential::{Certificate, Rank, SignedCertificate};
use snug_crypto::genesis::Policy;
use snug_crypto::leaf::LeafSigningKey;
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_crypto::{AdminKey, Generation, OperationHash, RoomRandom};
use snug_rendezvous::{Config, Server};

use super::*;
use crate::engine::clock::unix_ms;

struct Room {
    client: Client,
    id: RoomId,
    key: RoomKey,
    password: Password,
    created: Created,
    _folder: tempfile::TempDir,
}

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

async fn room() -> Room {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(Config::new(folder.path())).await.unwrap();
    let url = ServerUrl::parse(&format!("http://{}", server.local_addr())).unwrap();
    tokio::spawn(server.run(std::future::pending()));
    let client = Client::new(url).unwrap();
    let (id, key) = (RoomId::parse("den").unwrap(), RoomKey::generate(&mut rng()));
    let password = Password::generate(&mut rng());
    let options = CreateOptions {
        description: String::new(),
        policy: Policy::default(),
        insecure_registration: false,
    };
    let created = client.create(&id, &key, &password, options).await.unwrap();
    Room {
        client,
        id,
        key,
        password,
        created,
        _folder: folder,
    }
}

/// The room in a later generation, with a new r.
fn next(capsule: &Capsule, hash: u8) -> Capsule {
    Capsule {
        generation: generation(capsule.generation.count + 1, hash),
        random: RoomRandom::generate(&mut rng()),
        ..capsule.clone()
    }
}

fn generation(count: u64, hash: u8) -> Generation {
    Generation {
        count,
        hash: OperationHash::from_bytes([hash; 32]),
    }
}

fn change<'a>(room_key: &'a RoomKey, capsule: &'a Capsule) -> KeyChange<'a> {
    KeyChange {
        room_key,
        capsule,
        key_gen: Some(b"what ended it".to_vec()),
        replaces_void: false,
        least_serial: 0,
        insecure_registration: false,
    }
}

fn certificate(admin: &AdminKey, capsule: &Capsule, key: &LeafSigningKey) -> SignedCertificate {
    let certificate = Certificate {
        genesis_hash: capsule.genesis.hash(),
        key: *key.public().as_bytes(),
        rank: Rank::Moderator,
        serial: 0,
        expires_at_ms: unix_ms() + 24 * 3600 * 1000,
    };
    certificate.sign(admin)
}

fn superseded(login: Result<MemberLogin, LoginError>) -> Superseded {
    match login {
        Err(LoginError::Superseded(told)) => *told,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_changes_the_room_key_and_an_absent_member_is_told() {
    let room = room().await;
    let login = room.client.login(&room.id, &room.key).await.unwrap();
    let first = login.capsule.generation;
    let key = LeafSigningKey::generate(&mut rng());
    let certificate = certificate(&room.created.admin, &login.capsule, &key);
    let authority = Authority::Certified {
        session: &login.session,
        certificate: &certificate,
        key: &key,
    };
    room.client
        .refresh_capsule(&room.id, authority, &login.capsule_key, &login.capsule, 0)
        .await
        .unwrap();

    let (new_key, capsule) = (RoomKey::generate(&mut rng()), next(&login.capsule, 5));
    let changed = room
        .client
        .change_room_key(&room.id, authority, change(&new_key, &capsule))
        .await;
    let capsule_key = changed.unwrap();
    let refused = room
        .client
        .refresh_capsule(&room.id, authority, &capsule_key, &capsule, 0)
        .await;
    assert!(
        matches!(refused, Err(ChangeError::Refused)),
        "the session ended with its key"
    );

    let told = superseded(room.client.login(&room.id, &room.key).await);
    assert_eq!(told.generation, capsule.generation);
    assert_eq!(told.key_gen.as_deref(), Some(&b"what ended it"[..]));
    let again = room.client.login(&room.id, &new_key).await.unwrap();
    assert_eq!(again.capsule.generation, capsule.generation);
    assert_eq!(again.capsule.random.expose(), capsule.random.expose());

    // Another change: who was away for both asks for its own generation.
    let admin = room.client.login_admin(&room.id, &room.password).await.unwrap();
    let (newest, later) = (RoomKey::generate(&mut rng()), next(&capsule, 6));
    room.client
        .change_room_key(&room.id, Authority::Admin(&admin), change(&newest, &later))
        .await
        .unwrap();
    let told = superseded(room.client.login_since(&room.id, &room.key, &first).await);
    assert_eq!(told.generation, capsule.generation, "the next one, not the last");
    let told = superseded(room.client.login_since(&room.id, &new_key, &capsule.generation).await);
    assert_eq!(told.generation, later.generation);
    let stranger = room.client.login(&room.id, &RoomKey::generate(&mut rng())).await;
    assert!(matches!(stranger, Err(LoginError::WrongCredentials)));

    // Too late, and then by force.
    let (void, late) = (RoomKey::generate(&mut rng()), next(&login.capsule, 1));
    let refused = room
        .client
        .change_room_key(&room.id, Authority::Admin(&admin), change(&void, &late))
        .await;
    assert!(matches!(refused, Err(ChangeError::Stale { registered }) if registered == later.generation));
    let forced = KeyChange {
        replaces_void: true,
        least_serial: 1,
        ..change(&void, &late)
    };
    room.client
        .change_room_key(&room.id, Authority::Admin(&admin), forced)
        .await
        .unwrap();
    let login = room.client.login(&room.id, &void).await.unwrap();
    let authority = Authority::Certified {
        session: &login.session,
        certificate: &certificate,
        key: &key,
    };
    let refused = room
        .client
        .refresh_capsule(&room.id, authority, &login.capsule_key, &login.capsule, 0)
        .await;
    assert!(
        matches!(refused, Err(ChangeError::CertificateRefused)),
        "its serial is too low now"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_changes_the_password() {
    let room = room().await;
    let admin = room.client.login_admin(&room.id, &room.password).await.unwrap();
    let password = Password::generate(&mut rng());
    room.client.change_password(&admin, &password, false).await.unwrap();
    let old = room.client.login_admin(&room.id, &room.password).await;
    assert!(matches!(old, Err(LoginError::WrongCredentials)));
    let again = room
        .client
        .change_password(&admin, &Password::generate(&mut rng()), false)
        .await;
    assert!(matches!(again, Err(ChangeError::Refused)), "its login ended with it");
    let admin = room.client.login_admin(&room.id, &password).await.unwrap();
    assert_eq!(
        admin.admin.public(),
        room.created.admin.public(),
        "the same key, sealed anew"
    );
    room.client.delete(&room.id, &password).await.unwrap();
    let gone = room.client.change_password(&admin, &room.password, false).await;
    assert!(matches!(gone, Err(ChangeError::Gone { tombstone: Some(_) })));
}
