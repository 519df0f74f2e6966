//! Moderators who lose their role, with real processes: what the admin's word allowed them at the rendezvous is over, and the others' is not.

use std::time::{Duration, Instant};

use serde_json::json;
use snug::rendezvous::{Authority, ChangeError, Client, KeyChange, MemberLogin, ServerUrl};
use snug_crypto::OperationHash;
use snug_crypto::capsule::Capsule;
use snug_crypto::credential::{CERTIFICATE_TTL_MS, Certificate, Rank, SignedCertificate};
use snug_crypto::generation::{Generation, RoomRandom};
use snug_crypto::leaf::LeafSigningKey;
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_tests::PATIENCE;
use snug_tests::home::Home;
use snug_tests::member::{Member, RoomCard};
use snug_tests::rendezvous::Rendezvous;

use crate::approval::{admin, create, new_room_key, registered};

const HOUR_MS: u64 = 3_600_000;

/// A client that does what a moderator's could before it lost its role, whatever the room says: it has the word that the admin gave it then.
struct Stubborn {
    client: Client,
    room: RoomId,
    login: MemberLogin,
    key: LeafSigningKey,
    word: SignedCertificate,
}

impl Stubborn {
    async fn enter(card: &RoomCard) -> Self {
        let client = Client::new(ServerUrl::parse(&card.server).expect("a URL")).expect("a client");
        let room = RoomId::parse(&card.room).expect("a Room ID");
        let password = Password::parse(&card.password).expect("a Password");
        let admin = client.login_admin(&room, &password).await.expect("the Password opens");
        let key = LeafSigningKey::generate(&mut rand::rng());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
        let word = Certificate {
            genesis_hash: admin.genesis.hash(),
            key: *key.public().as_bytes(),
            rank: Rank::Moderator,
            // Of the time in which nobody had lost a role.
            serial: 0,
            expires_at_ms: u64::try_from(now.as_millis()).expect("this century") + CERTIFICATE_TTL_MS - HOUR_MS,
        };
        let word = word.sign(&admin.admin);
        let login = log_in(&client, &room, card).await;
        Self {
            client,
            room,
            login,
            key,
            word,
        }
    }

    fn authority(&self) -> Authority<'_> {
        Authority::Certified {
            session: &self.login.session,
            certificate: &self.word,
            key: &self.key,
        }
    }

    /// The capsule as it was when it logged in; or one of a later generation, which is never taken, and tells only whether its word is.
    async fn refresh(&self, later: u64) -> Result<(), ChangeError> {
        let MemberLogin {
            capsule, capsule_key, ..
        } = &self.login;
        let mut capsule = capsule.clone();
        capsule.generation.count += later;
        let refreshed = self
            .client
            .refresh_capsule(&self.room, self.authority(), capsule_key, &capsule, 0);
        refreshed.await
    }

    /// A generation that nobody else has heard of.
    async fn usurp(&self) -> Result<(), ChangeError> {
        let capsule = Capsule {
            generation: Generation {
                count: self.login.capsule.generation.count + 1,
                hash: OperationHash::from_bytes([0; 32]),
            },
            random: RoomRandom::generate(&mut rand::rng()),
            ..self.login.capsule.clone()
        };
        let change = KeyChange {
            room_key: &RoomKey::generate(&mut rand::rng()),
            capsule: &capsule,
            key_gen: None,
            replaces_void: false,
            least_serial: 0,
            insecure_registration: false,
        };
        let changed = self.client.change_room_key(&self.room, self.authority(), change).await;
        changed.map(|_| ())
    }
}

async fn log_in(client: &Client, room: &RoomId, card: &RoomCard) -> MemberLogin {
    let key = RoomKey::parse(&card.room_key).expect("a Room Key");
    client.login(room, &key).await.expect("the Room Key opens")
}

/// Waits until the capsule holds so many operations.
async fn in_capsule(card: &RoomCard, operations: usize) -> Stubborn {
    let end = Instant::now() + PATIENCE;
    loop {
        let stubborn = Stubborn::enter(card).await;
        if stubborn.login.capsule.log.len() == operations {
            return stubborn;
        }
        assert!(
            Instant::now() < end,
            "the capsule doesn't come to hold {operations} operations"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn a_moderator_that_loses_its_role_registers_nothing_more_and_one_that_keeps_it_does() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = create(&homes[0], &server.url(), &[]);
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    let mut carol = Member::join(&homes[2], &card, "carol");
    bob.ready();
    carol.ready();
    alice.sees(&["bob", "carol"]);
    for who in ["bob", "carol"] {
        let given = alice.request("role", json!({"who": who, "role": "moderator"}));
        given.expect("done");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // The admin's own role, and these two.
    let stubborn = runtime.block_on(in_capsule(&card, 3));
    runtime.block_on(stubborn.refresh(0)).expect("a moderator may");

    alice
        .request("role", json!({"who": "bob", "role": "member"}))
        .expect("done");
    bob.notice("role", "bob is a simple member of the room den now.");
    let end = Instant::now() + PATIENCE;
    loop {
        // Nothing that it changes: it would cross the admin's own change.
        match runtime.block_on(stubborn.refresh(1)) {
            Err(ChangeError::CertificateRefused) => break,
            other => assert!(Instant::now() < end, "its word still holds: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let refreshed = runtime.block_on(stubborn.refresh(0));
    assert!(
        matches!(refreshed, Err(ChangeError::CertificateRefused)),
        "{refreshed:?}"
    );
    let usurped = runtime.block_on(stubborn.usurp());
    assert!(matches!(usurped, Err(ChangeError::CertificateRefused)), "{usurped:?}");
    // Newcomers come in as before, and learn of it.
    let now = runtime.block_on(log_in(&stubborn.client, &stubborn.room, &card));
    assert_eq!(now.capsule.log.len(), 4);

    // The new certificate follows the role, and this follows both.
    alice.send("over to you");
    carol.hears("over to you");
    alice.hang_up();
    carol.request("kick", json!({"who": "bob"})).expect("done");
    registered(&mut carol);
    let card = RoomCard {
        room_key: new_room_key(&mut carol),
        ..card
    };
    let mut dave = Member::join(&homes[3], &card, "dave");
    dave.ready();
    dave.send("with the moderator's Room Key");
    carol.hears("with the moderator's Room Key");
}
