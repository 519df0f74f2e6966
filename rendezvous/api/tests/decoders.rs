//! Properties of what is read from the wire: it never panics, keeps its bounds, and round-trips.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy takes only the test functions themselves for tests.

use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snug_rendezvous_api::{
    ByteString, Certified, ChangeRoom, Credential, CredentialUpload, DeleteRoom, Exact, Generation, Handle,
    Introductions, LoginFinish, LoginStart, LoginStarted, MAX_GENERATION, MAX_INTRODUCTIONS, MAX_RELAYS,
    MAX_REQUEST_BODY, MAX_RESPONSE_BODY, NewPassword, NewRoomKey, Policy, PresenceRecord, Problem, ProblemType,
    PutCapsule, PutPresence, RegisterFinish, RegisterStart, RegisterStarted, Registered, RelayAddress, Session,
    Superseded, Token,
};

/// Whatever is read is written as it would be again.
fn reads_what_it_writes<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(json: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(json) {
        let written = serde_json::to_vec(&value).unwrap();
        assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), value);
    }
}

fn every_type(json: &[u8]) {
    reads_what_it_writes::<RegisterStart>(json);
    reads_what_it_writes::<RegisterStarted>(json);
    reads_what_it_writes::<RegisterFinish>(json);
    reads_what_it_writes::<Registered>(json);
    reads_what_it_writes::<ChangeRoom>(json);
    reads_what_it_writes::<PutCapsule>(json);
    reads_what_it_writes::<Superseded>(json);
    reads_what_it_writes::<LoginStart>(json);
    reads_what_it_writes::<LoginStarted>(json);
    reads_what_it_writes::<LoginFinish>(json);
    reads_what_it_writes::<Session>(json);
    reads_what_it_writes::<Introductions>(json);
    reads_what_it_writes::<PutPresence>(json);
    reads_what_it_writes::<DeleteRoom>(json);
    reads_what_it_writes::<Problem>(json);
}

/// JSON that looks like the API's: its names, texts of its lengths, a little of everything else.
fn api_json() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "room",
        "admin",
        "credential",
        "ke1",
        "ke2",
        "ke3",
        "state",
        "token",
        "capsule",
        "admin_capsule",
        "admin_key",
        "policy",
        "introductions",
        "relays",
        "record",
        "tombstone",
        "type",
        "title",
        "status",
        "retry_after_s",
        "expires_in_s",
        "max_participants",
        "retention_s",
        "grace_s",
        "created_at_ms",
        "registration",
        "response",
        "listing",
        "room_key",
        "password",
        "generation",
        "count",
        "hash",
        "key_gen",
        "overrides",
        "least_serial",
        "certified",
        "certificate",
        "signature",
        "former",
        "superseded",
    ]);
    let bytes = prop::sample::select(vec![0_usize, 1, 16, 32, 64, 96, 128, 142, 192, 225, 320, 1024, 1025])
        .prop_flat_map(|len| vec(any::<u8>(), len))
        .prop_map(|bytes| format!("\"{}\"", data_encoding::BASE64URL_NOPAD.encode(&bytes)));
    let leaf = prop_oneof![
        4 => bytes,
        1 => Just("\"room\"".to_owned()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => Just("null".to_owned()),
        1 => ".{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            3 => vec((names.clone(), inner.clone()), 0..8).prop_map(|fields| {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
            1 => vec(inner, 0..40).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    (any::<u16>(), any::<u32>(), any::<u32>()).prop_map(|(max_participants, retention_s, grace_s)| Policy {
        max_participants,
        retention_s,
        grace_s,
    })
}

proptest! {
    #[test]
    fn any_bytes(json in vec(any::<u8>(), 0..300)) {
        every_type(&json);
    }

    #[test]
    fn anything_like_the_api(json in api_json()) {
        every_type(json.as_bytes());
    }

    #[test]
    fn a_session_round_trips(
        token in any::<[u8; 32]>(),
        capsule in vec(any::<u8>(), 1..3000),
        policy in policy(),
        records in vec(vec(any::<u8>(), 1..1024), 0..=MAX_INTRODUCTIONS),
        relays in vec("/[!-~]{0,255}", 0..=MAX_RELAYS),
    ) {
        let records = records.into_iter().map(|record| PresenceRecord::new(record).unwrap()).collect();
        let relays = relays.into_iter().map(|text| RelayAddress::new(text).unwrap()).collect();
        let session = Session {
            token: Token::from_bytes(token),
            expires_in_s: 3600,
            capsule: ByteString::new(capsule).unwrap(),
            policy,
            introductions: Introductions { introductions: records, relays },
        };
        let json = serde_json::to_vec(&session).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Session>(&json).unwrap(), session);
    }

    #[test]
    fn one_flipped_bit_of_a_request_is_another_request_or_none(
        ke1 in any::<[u8; 96]>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let start = LoginStart { credential: Credential::Room, ke1: Exact::new(ke1), former: None };
        let mut json = serde_json::to_vec(&start).unwrap();
        let at = at.index(json.len());
        json[at] ^= 1 << bit;
        if let Ok(read) = serde_json::from_slice::<LoginStart>(&json) {
            // White space and escapes aside there is one text for one value.
            prop_assert!(read != start || serde_json::to_vec(&read).unwrap() == serde_json::to_vec(&start).unwrap());
        }
        every_type(&json);
    }

    #[test]
    fn handles_have_one_text(bytes in any::<[u8; 32]>(), other in "[0-9a-fA-F]{60,70}") {
        let handle = Handle::from_bytes(bytes);
        prop_assert_eq!(handle.to_string().parse::<Handle>().unwrap(), handle);
        if let Ok(handle) = other.parse::<Handle>() {
            prop_assert_eq!(handle.to_string(), other);
        }
    }

    #[test]
    fn tokens_have_one_text(bytes in any::<[u8; 32]>(), other in "\\PC{0,60}") {
        let token = Token::from_bytes(bytes);
        prop_assert_eq!(Token::from_authorization(&token.authorization()).unwrap(), token);
        if let Ok(token) = Token::from_authorization(&other) {
            prop_assert!(token.authorization().eq_ignore_ascii_case(&other));
        }
    }
}

#[test]
fn bounds_are_kept_on_both_sides() {
    let text = |bytes: usize| {
        format!(
            "{{\"record\":\"{}\"}}",
            data_encoding::BASE64URL_NOPAD.encode(&vec![7; bytes])
        )
    };
    let reads = |bytes| serde_json::from_str::<PutPresence>(&text(bytes)).is_ok();
    assert!(reads(1) && reads(1024));
    assert!(!reads(0) && !reads(1025) && !reads(100_000));
    assert!(PresenceRecord::new(vec![]).is_err() && PresenceRecord::new(vec![0; 1025]).is_err());
    let records = |count: usize| format!("{{\"introductions\":[{}]}}", vec!["\"AA\""; count].join(","));
    assert!(serde_json::from_str::<Introductions>(&records(32)).is_ok());
    assert!(serde_json::from_str::<Introductions>(&records(33)).is_err());
    let relays = |text: String, count: usize| {
        serde_json::from_str::<Introductions>(&format!(
            "{{\"introductions\":[],\"relays\":[{}]}}",
            vec![format!("\"{text}\""); count].join(",")
        ))
    };
    assert!(relays("/tcp/1".into(), MAX_RELAYS).is_ok_and(|read| read.relays.len() == MAX_RELAYS));
    assert!(relays("/tcp/1".into(), MAX_RELAYS + 1).is_err());
    assert!(relays(format!("/{}", "a".repeat(255)), 1).is_ok() && relays(format!("/{}", "a".repeat(256)), 1).is_err());
    for wrong in ["", "tcp/1", "/tcp /1", "/tcp\\n", "/ä"] {
        assert!(relays(wrong.into(), 1).is_err(), "{wrong}");
    }
}

#[test]
fn one_value_has_one_text() {
    for text in ["AA", "AB", "A", "AAA=", "AA==", "A+", "A/", " AA", "AA\n", "ÄA"] {
        let json = serde_json::to_string(&serde_json::json!({ "record": text })).unwrap();
        assert_eq!(
            serde_json::from_str::<PutPresence>(&json).is_ok(),
            text == "AA",
            "{text:?}"
        );
    }
}

#[test]
fn the_largest_bodies_fit_their_bounds() {
    let upload = CredentialUpload {
        registration: Exact::new([0xFF; 16]),
        record: Exact::new([0xFF; 192]),
    };
    let finish = RegisterFinish {
        room: upload,
        admin: upload,
        admin_key: Exact::new([0xFF; 32]),
        capsule: ByteString::new(vec![0xFF; snug_rendezvous_api::MAX_CAPSULE]).unwrap(),
        admin_capsule: ByteString::new(vec![0xFF; snug_rendezvous_api::MAX_ADMIN_CAPSULE]).unwrap(),
        policy: Policy {
            max_participants: u16::MAX,
            retention_s: u32::MAX,
            grace_s: u32::MAX,
        },
        listing: Some(ByteString::new(vec![0xFF; snug_rendezvous_api::MAX_LISTING]).unwrap()),
    };
    assert!(serde_json::to_vec(&finish).unwrap().len() <= MAX_REQUEST_BODY);
    let generation = Generation {
        count: MAX_GENERATION,
        hash: Exact::new([0xFF; 32]),
    };
    let key_gen = ByteString::new(vec![0xFF; snug_rendezvous_api::MAX_KEY_GEN]).unwrap();
    let change = ChangeRoom {
        room_key: Some(NewRoomKey {
            credential: upload,
            generation,
            capsule: finish.capsule.clone(),
            key_gen: Some(key_gen.clone()),
            overrides: true,
        }),
        password: Some(NewPassword {
            credential: upload,
            capsule: finish.admin_capsule.clone(),
        }),
        least_serial: Some(u32::MAX),
        certified: Some(Certified {
            certificate: Exact::new([0xFF; 142]),
            signature: Exact::new([0xFF; 64]),
        }),
    };
    assert!(serde_json::to_vec(&change).unwrap().len() <= MAX_REQUEST_BODY);
    let told = Problem::new(ProblemType::RoomKeyChanged).with_superseded(Superseded {
        generation,
        key_gen: Some(key_gen),
    });
    assert!(serde_json::to_vec(&told).unwrap().len() <= MAX_RESPONSE_BODY);
    let session = Session {
        token: Token::from_bytes([0xFF; 32]),
        expires_in_s: u32::MAX,
        capsule: finish.capsule,
        policy: finish.policy,
        introductions: Introductions {
            introductions: vec![PresenceRecord::new(vec![0xFF; 1024]).unwrap(); MAX_INTRODUCTIONS],
            // Quotes and backslashes take two bytes each.
            relays: vec![RelayAddress::new(format!("/{}", "\"".repeat(255))).unwrap(); MAX_RELAYS],
        },
    };
    assert!(serde_json::to_vec(&session).unwrap().len() <= MAX_RESPONSE_BODY);
}

#[test]
fn problem_types_are_stable() {
    let listed: Vec<_> = ProblemType::ALL
        .iter()
        .map(|kind| (kind.urn(), kind.status()))
        .collect();
    assert_eq!(
        listed,
        [
            ("urn:snug:problem:bad-request", 400),
            ("urn:snug:problem:login-refused", 401),
            ("urn:snug:problem:token-refused", 401),
            ("urn:snug:problem:registration-token", 401),
            ("urn:snug:problem:wrong-credential", 403),
            ("urn:snug:problem:tombstone-refused", 403),
            ("urn:snug:problem:certificate-refused", 403),
            ("urn:snug:problem:listing-refused", 403),
            ("urn:snug:problem:registration-closed", 403),
            ("urn:snug:problem:plain-http", 403),
            ("urn:snug:problem:not-found", 404),
            ("urn:snug:problem:method-not-allowed", 405),
            ("urn:snug:problem:timeout", 408),
            ("urn:snug:problem:room-exists", 409),
            ("urn:snug:problem:generation-stale", 409),
            ("urn:snug:problem:room-key-changed", 409),
            ("urn:snug:problem:room-gone", 410),
            ("urn:snug:problem:room-removed", 410),
            ("urn:snug:problem:too-large", 413),
            ("urn:snug:problem:unsupported-media-type", 415),
            ("urn:snug:problem:too-many-requests", 429),
            ("urn:snug:problem:too-many-rooms", 429),
            ("urn:snug:problem:too-many-logins", 429),
            ("urn:snug:problem:internal", 500),
            ("urn:snug:problem:unavailable", 503),
        ]
    );
    for kind in ProblemType::ALL {
        assert_eq!(ProblemType::from_urn(kind.urn()), *kind);
        let json = serde_json::to_string(&Problem::new(*kind)).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), Problem::new(*kind));
    }
    let newer = r#"{"type":"urn:snug:problem:of-tomorrow","title":"?","status":418,"extra":[1]}"#;
    assert_eq!(
        serde_json::from_str::<Problem>(newer).unwrap().problem_type,
        ProblemType::Unknown
    );
}

#[test]
fn secrets_and_handles_do_not_show_in_debug_output() {
    let shown = format!(
        "{:?} {:?} {:?}",
        Token::from_bytes([0xAB; 32]),
        Handle::from_bytes([0xAB; 32]),
        PresenceRecord::new(vec![0xAB; 9]).unwrap()
    );
    assert_eq!(shown, "Token(..) Handle(..) ByteString(9 bytes)");
}
