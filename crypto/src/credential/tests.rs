//! Client and server against each other, and against whoever lies. All but one test leave Argon2id out.

use opaque_ke::ksf::Identity;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_core::Rng;

use super::client::{ClientError, LoggedIn, Login, Registered, Registration};
use super::server::{
    AttemptId, LOGIN_STATE_LEN, LOGIN_STATE_TTL_MS, LoginFinished, LoginStart, LoginStarted, Record, RegistrationId,
    ServerError, ServerKey, ServerSetup,
};
use super::*;
use crate::{AdminKey, GenesisHash, RoomHandle};

const NOW: u64 = 1_800_000_000_000;
const HANDLE: RoomHandle = RoomHandle::from_bytes([7; 32]);
const ATTEMPT: AttemptId = AttemptId::from_bytes([5; 16]);
const REGISTRATION: RegistrationId = RegistrationId::from_bytes([6; 16]);

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn setup() -> ServerSetup {
    ServerSetup::new(ServerKey::from_bytes([1; 32])).unwrap()
}

fn register(server: &ServerSetup, kind: Kind, secret: &[u8]) -> (Record, Registered) {
    let (state, request) = Registration::<Identity>::start(&mut rng(), &HANDLE, kind, secret).unwrap();
    let response = server.register(&HANDLE, kind, &REGISTRATION, &request).unwrap();
    let registered = state.finish(&mut rng(), &response).unwrap();
    (
        Record::from_upload(REGISTRATION, &registered.upload).unwrap(),
        registered,
    )
}

fn start(server: &ServerSetup, record: Option<&Record>, kind: Kind, secret: &[u8]) -> (Login<Identity>, LoginStarted) {
    let (login, ke1) = Login::start(&mut rng(), &HANDLE, kind, secret).unwrap();
    let started = server
        .start_login(&mut rng(), &login_start(kind, record, &ke1))
        .unwrap();
    (login, started)
}

fn login_start<'a>(kind: Kind, record: Option<&'a Record>, ke1: &'a [u8; KE1_LEN]) -> LoginStart<'a> {
    LoginStart {
        handle: &HANDLE,
        kind,
        record,
        sought: &[],
        ke1,
        attempt: ATTEMPT,
        unix_ms: NOW,
    }
}

fn log_in(server: &ServerSetup, record: &Record, secret: &[u8]) -> (LoggedIn, LoginStarted) {
    let (login, started) = start(server, Some(record), Kind::Room, secret);
    (login.finish(&mut rng(), &started.ke2).unwrap(), started)
}

#[test]
fn registered_secret_logs_in_and_finds_its_export_key_again() {
    let server = setup();
    for kind in [Kind::Room, Kind::Admin] {
        let (record, registered) = register(&server, kind, b"correct horse");
        let (login, started) = start(&server, Some(&record), kind, b"correct horse");
        let logged_in = login.finish(&mut rng(), &started.ke2).unwrap();
        assert_eq!(logged_in.export_key.expose(), registered.export_key.expose());
        // A second server with the same key stands in for a restart, or for another instance.
        let finished = setup()
            .finish_login(&HANDLE, kind, &started.state, &logged_in.ke3, NOW + 59_999)
            .unwrap();
        assert_eq!(
            finished,
            LoginFinished {
                attempt: ATTEMPT,
                record: record.id()
            }
        );
    }
}

#[test]
fn argon2id_is_what_stretches_by_default() {
    let server = setup();
    let (state, request) = Registration::<Argon2id>::start(&mut rng(), &HANDLE, Kind::Room, b"correct horse").unwrap();
    let response = server.register(&HANDLE, Kind::Room, &REGISTRATION, &request).unwrap();
    let registered = state.finish(&mut rng(), &response).unwrap();
    let record = Record::from_upload(REGISTRATION, &registered.upload).unwrap();

    let (login, ke1) = Login::<Argon2id>::start(&mut rng(), &HANDLE, Kind::Room, b"correct horse").unwrap();
    let started = server
        .start_login(&mut rng(), &login_start(Kind::Room, Some(&record), &ke1))
        .unwrap();
    assert_eq!(
        login.finish(&mut rng(), &started.ke2).unwrap().export_key.expose(),
        registered.export_key.expose()
    );

    let (unstretched, started) = start(&server, Some(&record), Kind::Room, b"correct horse");
    assert_eq!(
        unstretched.finish(&mut rng(), &started.ke2).unwrap_err(),
        ClientError::Refused
    );
}

/// The output is OpenSSL's for the documented parameters. Without it both sides could agree on anything, nothing included.
#[test]
fn argon2id_has_the_documented_parameters() {
    use opaque_ke::{generic_array::GenericArray, ksf::Ksf};
    let input: [u8; 64] = core::array::from_fn(|at| at as u8);
    let output = Argon2id.hash(GenericArray::from(input)).unwrap();
    let expected = "97076ac1d2e29b8f16f2af338d9f0e63a0d078c2b3cce12024bc7ecdd3cbc2d4\
                    b4dcb53de561c257004dc2d756cd8abcac4efc7b764b385fd8f624d7aa447a22";
    assert_eq!(data_encoding::HEXLOWER.encode(&output), expected);
}

/// Identities and context are spelled out here: both sides take them from one function, and would agree on any.
#[test]
fn a_client_of_another_hand_registers_and_logs_in_by_what_is_documented() {
    use opaque_ke::{
        CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
        CredentialResponse, Identifiers, RegistrationResponse, Ristretto255, TripleDh,
    };

    use super::suite::{Rng06, fixed};

    struct Documented;
    impl CipherSuite for Documented {
        type OprfCs = Ristretto255;
        type KeyExchange = TripleDh<Ristretto255, sha2_010::Sha512>;
        type Ksf = Identity;
    }

    let (server, secret) = (setup(), b"correct horse");
    for (kind, byte) in [(Kind::Room, 1), (Kind::Admin, 2)] {
        let client = [&HANDLE.as_bytes()[..], &[byte]].concat();
        let identifiers = || Identifiers {
            client: Some(&client),
            server: Some(b"snug/1 rendezvous"),
        };
        let started = ClientRegistration::<Documented>::start(&mut Rng06(&mut rng()), secret).unwrap();
        let request = fixed(&started.message.serialize()).unwrap();
        let response = server.register(&HANDLE, kind, &REGISTRATION, &request).unwrap();
        let response = RegistrationResponse::deserialize(&response).unwrap();
        let parameters = ClientRegistrationFinishParameters::new(identifiers(), None);
        let registered = (started.state)
            .finish(&mut Rng06(&mut rng()), secret, response, parameters)
            .unwrap();
        let upload = fixed(&registered.message.serialize()).unwrap();
        let record = Record::from_upload(REGISTRATION, &upload).unwrap();

        let started = ClientLogin::<Documented>::start(&mut Rng06(&mut rng()), secret).unwrap();
        let ke1 = fixed(&started.message.serialize()).unwrap();
        let answer = (server.start_login(&mut rng(), &login_start(kind, Some(&record), &ke1))).unwrap();
        let response = CredentialResponse::deserialize(&answer.ke2).unwrap();
        let parameters = ClientLoginFinishParameters::new(Some(b"snug/1 opaque"), identifiers(), None);
        let logged_in = (started.state)
            .finish(&mut Rng06(&mut rng()), secret, response, parameters)
            .unwrap();
        let ke3 = fixed(&logged_in.message.serialize()).unwrap();
        let finished = server.finish_login(&HANDLE, kind, &answer.state, &ke3, NOW);
        assert!(finished.is_ok(), "{kind:?}");
    }
}

#[test]
fn wrong_secret_unknown_room_and_other_kind_are_refused_alike() {
    let server = setup();
    let (record, _) = register(&server, Kind::Room, b"correct horse");
    for (record, kind, secret) in [
        (Some(&record), Kind::Room, &b"wrong horse"[..]),
        (None, Kind::Room, b"correct horse"),
        (Some(&record), Kind::Admin, b"correct horse"),
    ] {
        let (login, started) = start(&server, record, kind, secret);
        assert_eq!(
            login.finish(&mut rng(), &started.ke2).unwrap_err(),
            ClientError::Refused
        );
        let guess = [3; KE3_LEN];
        assert_eq!(
            server
                .finish_login(&HANDLE, kind, &started.state, &guess, NOW)
                .unwrap_err(),
            ServerError::Refused
        );
    }
}

#[test]
fn another_servers_key_opens_nothing() {
    let server = setup();
    let other = ServerSetup::new(ServerKey::from_bytes([2; 32])).unwrap();
    let (record, _) = register(&server, Kind::Room, b"correct horse");
    let (login, started) = start(&other, Some(&record), Kind::Room, b"correct horse");
    assert_eq!(
        login.finish(&mut rng(), &started.ke2).unwrap_err(),
        ClientError::Refused
    );
    let (logged_in, started) = log_in(&server, &record, b"correct horse");
    assert!(
        other
            .finish_login(&HANDLE, Kind::Room, &started.state, &logged_in.ke3, NOW)
            .is_err()
    );
    assert_ne!(server.keyed_handle(&HANDLE), other.keyed_handle(&HANDLE));
    assert_ne!(server.token_hash(&[0; 32]), other.token_hash(&[0; 32]));
}

#[test]
fn state_expires_and_is_bound_to_room_and_kind() {
    let server = setup();
    let (record, _) = register(&server, Kind::Room, b"correct horse");
    let (logged_in, started) = log_in(&server, &record, b"correct horse");
    let finish = |handle, kind, now| server.finish_login(&handle, kind, &started.state, &logged_in.ke3, now);
    assert!(finish(HANDLE, Kind::Room, NOW).is_ok());
    assert!(finish(HANDLE, Kind::Room, NOW + LOGIN_STATE_TTL_MS - 1).is_ok());
    assert_eq!(
        finish(HANDLE, Kind::Room, NOW + LOGIN_STATE_TTL_MS),
        Err(ServerError::Refused)
    );
    assert_eq!(finish(HANDLE, Kind::Admin, NOW), Err(ServerError::Refused));
    assert_eq!(
        finish(RoomHandle::from_bytes([8; 32]), Kind::Room, NOW),
        Err(ServerError::Refused)
    );
}

#[test]
fn any_flipped_bit_of_state_or_ke3_is_refused() {
    let server = setup();
    let (record, _) = register(&server, Kind::Room, b"correct horse");
    let (logged_in, started) = log_in(&server, &record, b"correct horse");
    for bit in 0..LOGIN_STATE_LEN * 8 {
        let mut state = started.state;
        state[bit / 8] ^= 1 << (bit % 8);
        assert!(
            server
                .finish_login(&HANDLE, Kind::Room, &state, &logged_in.ke3, NOW)
                .is_err(),
            "bit {bit}"
        );
    }
    for bit in 0..KE3_LEN * 8 {
        let mut ke3 = logged_in.ke3;
        ke3[bit / 8] ^= 1 << (bit % 8);
        assert!(
            server
                .finish_login(&HANDLE, Kind::Room, &started.state, &ke3, NOW)
                .is_err(),
            "bit {bit}"
        );
    }
    for len in [0, 1, LOGIN_STATE_LEN - 1] {
        assert!(
            server
                .finish_login(&HANDLE, Kind::Room, &started.state[..len], &logged_in.ke3, NOW)
                .is_err()
        );
    }
}

#[test]
fn any_flipped_bit_of_ke2_is_refused_by_the_client() {
    let server = setup();
    let (record, _) = register(&server, Kind::Room, b"correct horse");
    for bit in 0..KE2_LEN * 8 {
        let (login, mut started) = start(&server, Some(&record), Kind::Room, b"correct horse");
        started.ke2[bit / 8] ^= 1 << (bit % 8);
        assert!(login.finish(&mut rng(), &started.ke2).is_err(), "bit {bit}");
    }
}

#[test]
fn garbage_is_malformed_on_both_sides() {
    let server = setup();
    let mut rng = rng();
    for _ in 0..200 {
        let (mut ke1, mut ke2, mut upload) = ([0; KE1_LEN], [0; KE2_LEN], [0; REGISTRATION_UPLOAD_LEN]);
        rng.fill_bytes(&mut ke1);
        rng.fill_bytes(&mut ke2);
        rng.fill_bytes(&mut upload);
        // Almost no 32 random bytes are a canonical ristretto255 element; the high bit makes sure.
        ke1[31] |= 0x80;
        ke2[31] |= 0x80;
        upload[31] |= 0x80;
        let answer = server.start_login(&mut rng, &login_start(Kind::Room, None, &ke1));
        assert_eq!(answer.unwrap_err(), ServerError::Malformed);
        let (login, _) = Login::<Identity>::start(&mut rng, &HANDLE, Kind::Room, b"correct horse").unwrap();
        assert_eq!(login.finish(&mut rng, &ke2).unwrap_err(), ClientError::Malformed);
        assert_eq!(
            Record::from_upload(REGISTRATION, &upload).unwrap_err(),
            ServerError::Malformed
        );
    }
    // The identity element would make every OPRF output the same.
    assert_eq!(
        server
            .register(&HANDLE, Kind::Room, &REGISTRATION, &[0; 32])
            .unwrap_err(),
        ServerError::Malformed
    );
}

#[test]
fn a_server_that_mirrors_the_request_is_caught() {
    let (state, request) = Registration::<Identity>::start(&mut rng(), &HANDLE, Kind::Room, b"correct horse").unwrap();
    let mut mirrored = [0; REGISTRATION_RESPONSE_LEN];
    mirrored[..32].copy_from_slice(&request);
    mirrored[32..].copy_from_slice(&setup().register(&HANDLE, Kind::Room, &REGISTRATION, &request).unwrap()[32..]);
    assert_eq!(state.finish(&mut rng(), &mirrored).unwrap_err(), ClientError::Malformed);
}

/// What the server makes of a secret, for whoever asks: the element in a registration's response, or in a login's KE2.
fn evaluated(server: &ServerSetup, registration: RegistrationId) -> [u8; 32] {
    let (_, request) = Registration::<Identity>::start(&mut rng(), &HANDLE, Kind::Room, b"correct horse").unwrap();
    let response = server.register(&HANDLE, Kind::Room, &registration, &request).unwrap();
    *response.first_chunk().unwrap()
}

fn evaluated_in_login(server: &ServerSetup, record: Option<&Record>, sought: &[u8]) -> [u8; 32] {
    let (_, ke1) = Login::<Identity>::start(&mut rng(), &HANDLE, Kind::Room, b"correct horse").unwrap();
    let start = LoginStart {
        sought,
        ..login_start(Kind::Room, record, &ke1)
    };
    let ke2 = server.start_login(&mut rng(), &start).unwrap().ke2;
    *ke2.first_chunk().unwrap()
}

#[test]
fn a_registration_is_no_oracle_for_another() {
    let server = setup();
    let (record, _) = register(&server, Kind::Room, b"correct horse");
    let in_login = evaluated_in_login(&server, Some(&record), &[]);
    // The same blinded secret, so the same element shows the same OPRF key.
    assert_eq!(in_login, evaluated(&server, REGISTRATION));
    let fresh = server.new_registration(&mut ChaCha20Rng::seed_from_u64(9));
    assert_ne!(in_login, evaluated(&server, fresh));
    assert_ne!(in_login, evaluated(&server, RegistrationId::from_bytes([0; 16])));
    let upload = *record.as_bytes();
    assert_eq!(
        Record::from_upload(RegistrationId::from_bytes([0; 16]), &upload).unwrap_err(),
        ServerError::Malformed
    );
    assert_ne!(record.id(), Record::from_stored(fresh, upload).id());
    // A record from before registrations had ids still answers, as it did.
    let old = Record::from_stored(RegistrationId::from_bytes([0; 16]), upload);
    assert_eq!(
        evaluated_in_login(&server, Some(&old), &[]),
        evaluated(&server, RegistrationId::from_bytes([0; 16]))
    );
}

#[test]
fn what_does_not_exist_answers_steadily_and_by_what_is_sought() {
    let server = setup();
    let unknown = |sought: &[u8]| evaluated_in_login(&server, None, sought);
    assert_eq!(unknown(&[]), unknown(&[]));
    assert_ne!(unknown(&[]), unknown(&[1]));
}

#[test]
fn a_token_is_one_for_each_attempt_and_differs_by_server() {
    let other = ServerSetup::new(ServerKey::from_bytes([2; 32])).unwrap();
    assert_eq!(setup().login_token(&ATTEMPT), setup().login_token(&ATTEMPT));
    assert_ne!(
        setup().login_token(&ATTEMPT),
        setup().login_token(&AttemptId::from_bytes([6; 16]))
    );
    assert_ne!(setup().login_token(&ATTEMPT), other.login_token(&ATTEMPT));
}

#[test]
fn certificates_verify_only_as_signed() {
    let admin = AdminKey::generate(&mut rng());
    for rank in [Rank::Moderator, Rank::Admin] {
        let certificate = Certificate {
            genesis_hash: GenesisHash::from_bytes([9; 32]),
            key: [4; 32],
            rank,
            serial: 7,
            expires_at_ms: NOW,
        };
        let bytes = certificate.sign(&admin).to_bytes();
        assert_eq!(
            SignedCertificate::from_bytes(bytes).verify(&admin.public()),
            Ok(certificate)
        );
        for bit in 0..CERTIFICATE_LEN * 8 {
            let mut forged = bytes;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                SignedCertificate::from_bytes(forged).verify(&admin.public()).is_err(),
                "bit {bit}"
            );
        }
        let other = AdminKey::from_seed(&[4; 32]);
        assert!(SignedCertificate::from_bytes(bytes).verify(&other.public()).is_err());
    }
}

#[cfg(feature = "room")]
#[test]
fn a_request_is_good_for_its_token_its_certificate_and_its_words_alone() {
    let key = crate::leaf::LeafSigningKey::from_seed(&[3; 32]);
    let genesis_hash = GenesisHash::from_bytes([9; 32]);
    let certificate = |key: [u8; 32], genesis_hash| Certificate {
        genesis_hash,
        key,
        rank: Rank::Moderator,
        serial: 0,
        expires_at_ms: NOW,
    };
    let ours = certificate(*key.public().as_bytes(), genesis_hash);
    let (registration, upload, generation) = ([1; 16], [2; REGISTRATION_UPLOAD_LEN], [3; 40]);
    let request = |capsule, key_gen, overrides, least_serial| Request::RoomKey {
        registration: &registration,
        upload: &upload,
        generation: &generation,
        capsule,
        key_gen,
        overrides,
        least_serial,
    };
    let asked = request(b"capsule", b"object", false, 0);
    let signature = asked.sign(&key, &genesis_hash, &[5; 32]);
    assert!(asked.verify(&ours, &[5; 32], &signature).is_ok());
    assert!(asked.verify(&ours, &[6; 32], &signature).is_err(), "another session's");
    for (other, what) in [
        (request(b"capsul", b"eobject", false, 0), "bytes that moved"),
        (request(b"capsule", b"object", true, 0), "more power"),
        (
            request(b"capsule", b"object", false, 1),
            "others' certificates made void",
        ),
        (
            Request::Capsule {
                generation: &generation,
                capsule: b"capsule",
                least_serial: 0,
            },
            "another request",
        ),
    ] {
        assert!(other.verify(&ours, &[5; 32], &signature).is_err(), "{what}");
    }
    let other_key = crate::leaf::LeafSigningKey::from_seed(&[4; 32]);
    let theirs = certificate(*other_key.public().as_bytes(), genesis_hash);
    assert!(asked.verify(&theirs, &[5; 32], &signature).is_err());
    let elsewhere = certificate(*key.public().as_bytes(), GenesisHash::from_bytes([8; 32]));
    assert!(asked.verify(&elsewhere, &[5; 32], &signature).is_err());
}

#[test]
fn listings_open_only_as_signed() {
    let admin = AdminKey::generate(&mut rng());
    let listing = Listing {
        genesis_hash: GenesisHash::from_bytes([9; 32]),
        admin: admin.public(),
        room_id: "den".to_owned(),
        description: "Talk of the town".to_owned(),
    };
    let bytes = listing.sign(&admin);
    assert_eq!(Listing::open(&bytes), Ok(listing.clone()));
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(Listing::open(&forged).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Listing::open(&bytes[..len]).is_err());
    }
    let sign = |room_id: &str, description: &str| {
        let listing = Listing {
            room_id: room_id.to_owned(),
            description: description.to_owned(),
            ..listing.clone()
        };
        listing.sign(&admin)
    };
    assert!(Listing::open(&sign(&"\u{1F99D}".repeat(64), &"d".repeat(512))).is_ok());
    assert!(Listing::open(&sign("x", "")).is_ok());
    assert_eq!(sign(&"\u{1F99D}".repeat(64), &"d".repeat(512)).len(), MAX_LISTING_LEN);
    for (room_id, description) in [("", ""), ("x\u{7}", ""), ("x", "\u{1b}[2J")] {
        assert!(Listing::open(&sign(room_id, description)).is_err(), "{room_id:?}");
    }
    assert!(Listing::open(&sign(&"x".repeat(65), "")).is_err());
    assert!(Listing::open(&sign("x", &"d".repeat(513))).is_err());
}

#[test]
fn tombstones_verify_only_as_signed() {
    let admin = AdminKey::generate(&mut rng());
    let tombstone = Tombstone {
        handle: HANDLE,
        genesis_hash: GenesisHash::from_bytes([9; 32]),
    };
    let bytes = tombstone.sign(&admin).to_bytes();
    assert_eq!(SignedTombstone::from_bytes(&bytes).to_bytes(), bytes);
    assert_eq!(
        SignedTombstone::from_bytes(&bytes).verify(&admin.public()),
        Ok(tombstone)
    );
    let stored = SignedTombstone::from_bytes(&bytes).to_stored();
    assert_eq!(SignedTombstone::from_stored(&HANDLE, &stored).to_bytes(), bytes);
    assert!(!stored.windows(32).any(|window| window == HANDLE.as_bytes()));
    let other = AdminKey::from_seed(&[4; 32]);
    assert_eq!(
        SignedTombstone::from_bytes(&bytes).verify(&other.public()),
        Err(TombstoneError)
    );
    for bit in 0..TOMBSTONE_LEN * 8 {
        let mut forged = bytes;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            SignedTombstone::from_bytes(&forged).verify(&admin.public()).is_err(),
            "bit {bit}"
        );
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let server = setup();
    let (login, started) = start(&server, None, Kind::Room, b"correct horse");
    let (_, registered) = register(&server, Kind::Room, b"correct horse");
    let shown = format!(
        "{server:?} {login:?} {started:?} {registered:?} {:?}",
        ServerKey::from_bytes([1; 32])
    );
    assert_eq!(
        shown,
        "ServerSetup(redacted) Login(redacted) LoginStarted(redacted) Registered(redacted) ServerKey(redacted)"
    );
}

/// `MAC` or, with 01 behind it, `X`, as PROTOCOL.md writes them.
fn documented(label: &str, fields: &[&[u8]], expands: bool) -> [u8; 32] {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[1; 32]).unwrap();
    mac.update(format!("snug/1 {label}\0").as_bytes());
    for field in fields {
        mac.update(&u32::try_from(field.len()).unwrap().to_be_bytes());
        mac.update(field);
    }
    if expands {
        mac.update(&[1]);
    }
    mac.finalize().into_bytes().into()
}

/// A server agrees with nobody but its own store, and with itself after an update: one that derived anything otherwise would have lost every room.
#[test]
fn what_a_server_derives_stays_what_it_is() {
    use sha2::Digest;
    let server = setup();
    let handle = server.keyed_handle(&HANDLE);
    assert_eq!(*handle.as_bytes(), documented("keyed handle", &[&[7; 32]], false));
    assert_eq!(
        *server.token_hash(&[9; 32]).as_bytes(),
        documented("token", &[&[9; 32]], false)
    );
    assert_eq!(
        *server.login_token(&ATTEMPT),
        documented("login token", &[&[5; 16]], false)
    );
    assert_eq!(server.key_check(), documented("key check", &[], true));
    let registration = server.new_registration(&mut rng());
    let (random, tag) = registration.as_bytes().split_at(8);
    assert_eq!(tag, &documented("registration", &[random], false)[..8]);
    assert!(server.made(&registration) && !server.made(&REGISTRATION));

    let (record, _) = register(&server, Kind::Room, b"correct horse");
    let length = |len: u32| len.to_be_bytes();
    let id = sha2::Sha256::new_with_prefix(b"snug/1 credential record")
        .chain_update(length(16))
        .chain_update([6; 16])
        .chain_update(length(192))
        .chain_update(record.as_bytes());
    assert_eq!(record.id().as_bytes()[..], id.finalize()[..]);

    // The login's state: opened with the key that the document names.
    let (_, started) = start(&server, Some(&record), Kind::Room, b"correct horse");
    let key = documented("login state", &[], true);
    let aad = [&[1][..], handle.as_bytes(), &[Kind::Room.byte()]].concat();
    let (nonce, sealed) = (&started.state[1..25], &started.state[25..]);
    let plaintext = {
        use chacha20poly1305::aead::{Aead, KeyInit, Payload};
        let cipher = chacha20poly1305::XChaCha20Poly1305::new((&key).into());
        let nonce: [u8; 24] = nonce.try_into().unwrap();
        let payload = Payload { msg: sealed, aad: &aad };
        cipher.decrypt(&nonce.into(), payload).unwrap()
    };
    assert_eq!(plaintext[..8], (NOW + LOGIN_STATE_TTL_MS).to_be_bytes());
    assert_eq!(plaintext[8..24], [5; 16]);
    assert_eq!(plaintext[24..56], *record.id().as_bytes());

    // What OPAQUE makes of the rest, as it was when this test was written: the OPRF's seed and the server's key; the fake record and
    // what stands for the registration of an unknown room.
    let digest = |bytes: &[u8]| sha2::Sha256::digest(bytes)[..8].to_vec();
    let (_, request) = Registration::<Identity>::start(&mut rng(), &HANDLE, Kind::Room, b"correct horse").unwrap();
    let response = server.register(&HANDLE, Kind::Room, &REGISTRATION, &request).unwrap();
    let (_, unknown) = start(&server, None, Kind::Room, b"correct horse");
    let made = [digest(&response[..32]), digest(&response[32..]), digest(&unknown.ke2)].concat();
    let then = [
        1, 11, 45, 17, 31, 175, 117, 241, 138, 158, 6, 31, 50, 209, 38, 16, 185, 229, 246, 111, 28, 22, 46, 5,
    ];
    assert_eq!(made, then);
}
