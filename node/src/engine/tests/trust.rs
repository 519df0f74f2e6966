//! Who is let in, and which room is believed to be the one that was meant.

use snug_crypto::ids::GenesisHash;

use super::*;
use crate::profile::PinError;
use crate::rendezvous::LoginError;

#[tokio::test]
async fn a_wrong_key_and_an_unknown_room_are_the_same_to_whoever_asks() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;

    let wrong_key = EnterOptions {
        room_key: RoomKey::generate(&mut UnwrapErr(SysRng)),
        ..den.options(&rendezvous, "mallory")
    };
    let no_room = EnterOptions {
        room_id: RoomId::parse("attic").unwrap(),
        ..den.options(&rendezvous, "mallory")
    };
    let wrong_password = EnterOptions {
        admin: Some(AdminAccess::Password(Password::generate(&mut UnwrapErr(SysRng)))),
        ..den.options(&rendezvous, "mallory")
    };
    let mut told = Vec::new();
    for options in [wrong_key, no_room, wrong_password] {
        let error = Node::enter(options).await.err().unwrap();
        assert!(
            matches!(error, EnterError::Login(LoginError::WrongCredentials)),
            "{error}"
        );
        assert_eq!(error.exit_status(), 3);
        told.push(error.to_string());
    }
    assert!(told.iter().all(|text| *text == told[0]));
}

#[tokio::test]
async fn the_admin_is_who_has_the_password_or_made_the_room() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    let created = den.create(&rendezvous).await;
    for admin in [
        AdminAccess::Password(den.password.clone()),
        AdminAccess::Key(created.admin),
    ] {
        let options = EnterOptions {
            admin: Some(admin),
            ..den.options(&rendezvous, "alice")
        };
        let mut alice = Node::enter(options).await.unwrap();
        let members = alice
            .until("ready", |kind| match kind {
                EventKind::Ready { members, .. } => Some(members.clone()),
                _ => None,
            })
            .await;
        assert_eq!(members[0].role, crate::room::Role::Admin);
        alice.handle.leave().await;
    }
    let elsewhere = Den {
        id: RoomId::parse("attic").unwrap(),
        ..Den::new()
    };
    let other = elsewhere.create(&rendezvous).await;
    let options = EnterOptions {
        admin: Some(AdminAccess::Key(other.admin)),
        ..den.options(&rendezvous, "mallory")
    };
    let error = Node::enter(options).await.err().unwrap();
    assert!(matches!(error, EnterError::NotItsAdmin), "{error}");
}

#[tokio::test]
async fn another_room_than_the_invites_is_refused() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    let created = den.create(&rendezvous).await;
    let invited = |genesis| EnterOptions {
        expected_genesis: Some(genesis),
        ..den.options(&rendezvous, "bob")
    };
    let other = GenesisHash::from_bytes([9; 32]);
    let error = Node::enter(invited(other)).await.err().unwrap();
    assert!(
        matches!(error, EnterError::OtherThanInvited { expected, found } if expected == other && found == created.genesis_hash),
        "{error}"
    );
    Node::enter(invited(created.genesis_hash)).await.unwrap();
}

#[tokio::test]
async fn a_room_that_was_swapped_under_its_id_is_refused() {
    let (first, second, data) = (folder(), folder(), folder());
    let rendezvous = Rendezvous::start(first.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let options = |rendezvous: &Rendezvous| EnterOptions {
        profile: on_disk(data.path()),
        ..den.options(rendezvous, "bob")
    };
    let bob = Node::enter(options(&rendezvous)).await.unwrap();
    let in_use = Profile::open(ProfileOptions {
        data_dir: data.path().to_owned(),
        name: "default".to_owned(),
        ephemeral: false,
        passphrase: None,
    });
    assert!(matches!(in_use, Err(crate::profile::ProfileError::InUse { .. })));
    bob.handle.leave().await;

    // Whoever runs the server knows the key somehow, and makes the room anew, with an admin key of their own.
    let port = rendezvous.stop().await;
    let rendezvous = Rendezvous::start_on(second.path(), port).await;
    den.create(&rendezvous).await;
    let error = Node::enter(options(&rendezvous)).await.err().unwrap();
    assert!(matches!(error, EnterError::Pin(PinError::Changed { .. })), "{error}");
    assert!(error.to_string().contains("not the room you entered before"), "{error}");
}

#[tokio::test]
async fn a_room_is_made_once() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let options = CreateOptions {
        description: String::new(),
        policy: Policy::default(),
        insecure_registration: false,
    };
    let again = Den::new();
    let error = rendezvous
        .client()
        .create(&again.id, &again.key, &again.password, options)
        .await
        .unwrap_err();
    assert!(matches!(error, crate::rendezvous::CreateError::RoomExists), "{error}");
    // The first one's secrets still hold.
    rendezvous.client().login(&den.id, &den.key).await.unwrap();
}
