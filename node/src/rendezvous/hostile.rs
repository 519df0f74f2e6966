//! The client against servers that are none, that break off, and that never end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::capsule::Capsule;
use snug_crypto::credential::{Certificate, Rank};
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::leaf::LeafSigningKey;
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_crypto::{AdminKey, Generation, RoomRandom};
use snug_rendezvous_api::MAX_RESPONSE_BODY;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers every connection's first request with `answer`, then closes it, or, where `hangs`, doesn't.
async fn serve(answer: impl Into<Vec<u8>>, hangs: bool) -> ServerUrl {
    let answer = answer.into();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(&answer).await;
                if hangs {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    url(address)
}

/// Answers with `head`, then body bytes without end.
async fn serve_without_end(head: &'static str) -> ServerUrl {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(head.as_bytes()).await;
                let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
                while stream.write_all(&chunk).await.is_ok() {}
            });
        }
    });
    url(address)
}

async fn read_head(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut byte = [0; 512];
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(0) | Err(_) => return,
            Ok(read) => seen.extend_from_slice(&byte[..read]),
        }
    }
}

fn url(address: SocketAddr) -> ServerUrl {
    ServerUrl::parse(&format!("http://{address}")).unwrap()
}

fn answer(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn login_at(server: ServerUrl) -> LoginError {
    let client = Client::new(server).unwrap();
    let room = RoomId::parse("den").unwrap();
    let key = RoomKey::generate(&mut UnwrapErr(SysRng));
    client.login(&room, &key).await.unwrap_err()
}

async fn create_at(server: ServerUrl) -> CreateError {
    let client = Client::new(server).unwrap();
    let room = RoomId::parse("den").unwrap();
    let rng = &mut UnwrapErr(SysRng);
    let options = CreateOptions {
        description: String::new(),
        policy: Policy::default(),
        insecure_registration: false,
    };
    let created = client
        .create(&room, &RoomKey::generate(rng), &Password::generate(rng), options)
        .await;
    created.unwrap_err()
}

fn is_odd(error: &LoginError) -> bool {
    matches!(error, LoginError::Server(ServerError::NotARendezvous { .. }))
}

fn is_unreachable(error: &LoginError) -> bool {
    matches!(error, LoginError::Server(ServerError::Unreachable { .. }))
}

#[tokio::test]
async fn what_speaks_something_else_is_no_rendezvous() {
    let json = "application/json";
    for bytes in [
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"\x16\x03\x01\x00\x02\x02\x28".to_vec(),
        b"HTTP/1.1 999999 X\r\n\r\n".to_vec(),
        vec![0; 4096],
        answer("200 OK", "text/html", "<h1>It works!</h1>").into(),
        answer("200 OK", json, "").into(),
        answer("200 OK", json, "{").into(),
        answer("200 OK", json, "[]").into(),
        answer("200 OK", json, r#"{"ke2":"AAAA","state":"AAAA"}"#).into(),
        answer("200 OK", json, &"[".repeat(100_000)).into(),
        answer("404 Not Found", "text/html", "nothing here").into(),
        answer("500 Internal Server Error", "text/plain", "oops").into(),
        answer("400 Bad Request", "application/problem+json", "{").into(),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {json}\r\n{}\r\n{{}}",
            "x: y\r\n".repeat(1000)
        )
        .into(),
    ] {
        let error = login_at(serve(bytes.clone(), false).await).await;
        assert!(
            is_odd(&error),
            "{:?}: {error}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(60)])
        );
        assert_eq!(error.exit_status(), 4);
    }
}

#[tokio::test]
async fn a_well_formed_answer_with_garbage_in_it_is_no_rendezvous() {
    let ke2 = data_encoding::BASE64URL_NOPAD.encode(&[0xff; snug_rendezvous_api::KE2_LEN]);
    let body = format!(r#"{{"ke2":"{ke2}","state":"AAAA"}}"#);
    let error = login_at(serve(answer("200 OK", "application/json", &body), false).await).await;
    assert!(is_odd(&error), "{error}");

    let element = data_encoding::BASE64URL_NOPAD.encode(&[0xff; snug_rendezvous_api::REGISTRATION_RESPONSE_LEN]);
    let registration = data_encoding::BASE64URL_NOPAD.encode(&[1; snug_rendezvous_api::REGISTRATION_ID_LEN]);
    let garbage = format!(r#"{{"registration":"{registration}","response":"{element}"}}"#);
    for body in [
        format!(r#"{{"room":{garbage},"admin":{garbage}}}"#),
        // Nothing, or half of what was asked for.
        "{}".to_owned(),
        format!(r#"{{"admin":{garbage}}}"#),
    ] {
        let server = serve(answer("200 OK", "application/json", &body), false).await;
        let error = create_at(server.clone()).await;
        assert!(
            matches!(error, CreateError::Server(ServerError::NotARendezvous { .. })),
            "{error}"
        );
        let error = change_at(server).await;
        assert!(
            matches!(error, ChangeError::Server(ServerError::NotARendezvous { .. })),
            "{error}"
        );
    }
}

/// Changes the Room Key as a member with a certificate.
async fn change_at(server: ServerUrl) -> ChangeError {
    let rng = &mut UnwrapErr(SysRng);
    let client = Client::new(server).unwrap();
    let room = RoomId::parse("den").unwrap();
    let admin = AdminKey::generate(rng);
    let genesis = Genesis::create(&admin, &room, "", 1, Policy::default()).unwrap();
    let capsule = Capsule {
        generation: Generation::first(&genesis.hash()),
        random: RoomRandom::generate(rng),
        log: Vec::new(),
        genesis,
    };
    let key = LeafSigningKey::generate(rng);
    let certificate = Certificate {
        genesis_hash: capsule.genesis.hash(),
        key: *key.public().as_bytes(),
        rank: Rank::Moderator,
        serial: 0,
        expires_at_ms: u64::MAX,
    };
    let token = snug_rendezvous_api::Token::from_bytes([1; 32]);
    let session = Session::new(client.http.clone(), &room.handle(), token);
    let authority = Authority::Certified {
        session: &session,
        certificate: &certificate.sign(&admin),
        key: &key,
    };
    let change = KeyChange {
        room_key: &RoomKey::generate(rng),
        capsule: &capsule,
        key_gen: Some(vec![1; 9]),
        replaces_void: false,
        least_serial: 0,
        insecure_registration: false,
    };
    client.change_room_key(&room, authority, change).await.unwrap_err()
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target = elsewhere.local_addr().unwrap();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let redirect = format!("HTTP/1.1 {status}\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
        let error = login_at(serve(redirect, false).await).await;
        assert!(is_odd(&error), "{status}: {error}");
    }
    let nobody_came = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
    assert!(nobody_came.is_err());
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let begun = Instant::now();
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ntransfer-encoding: chunked\r\n\r\n",
    ] {
        let error = login_at(serve_without_end(head).await).await;
        assert!(is_odd(&error), "{error}");
    }
    let huge = answer(
        "200 OK",
        "application/json",
        &format!("\"{}\"", "x".repeat(MAX_RESPONSE_BODY)),
    );
    let error = login_at(serve(huge, false).await).await;
    assert!(is_odd(&error), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_breaks_off_or_is_not_there_is_unreachable() {
    let truncated = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"ke2\":";
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-", truncated] {
        let error = login_at(serve(bytes, false).await).await;
        assert!(is_unreachable(&error), "{bytes:?}: {error}");
    }
    // A port that was free a moment ago.
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let error = login_at(url(free)).await;
    assert!(is_unreachable(&error), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(error.exit_status(), 4);

    let error = login_at(ServerUrl::parse("http://nowhere.invalid").unwrap()).await;
    assert!(is_unreachable(&error), "{error}");
    // Plain HTTP where TLS is spoken, and the other way round.
    let plain = serve(answer("200 OK", "application/json", "{}"), false).await;
    let tls = ServerUrl::parse(&plain.as_str().replace("http:", "https:")).unwrap();
    if let Ok(client) = Client::new(tls) {
        let room = RoomId::parse("den").unwrap();
        let error = client
            .login(&room, &RoomKey::generate(&mut UnwrapErr(SysRng)))
            .await
            .unwrap_err();
        assert!(is_unreachable(&error), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let begun = Instant::now();
    let silent = serve("", true).await;
    let stuck = serve(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{",
        true,
    )
    .await;
    let errors = tokio::join!(login_at(silent), login_at(stuck));
    for error in [errors.0, errors.1] {
        assert!(is_unreachable(&error), "{error}");
        assert!(error.to_string().contains("in time"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn problems_are_told_apart_by_their_type_and_shown_to_nobody() {
    let problem = |status: u16, name: &str, more: &str| {
        let body = format!(
            r#"{{"type":"urn:snug:problem:{name}","title":"t","status":{status},"detail":"\u001b]0;evil\u0007"{more}}}"#
        );
        answer(&format!("{status} X"), "application/problem+json; charset=utf-8", &body)
    };
    let login = async |status, name, more| login_at(serve(problem(status, name, more), false).await).await;

    assert!(matches!(
        login(401, "login-refused", "").await,
        LoginError::WrongCredentials
    ));
    assert!(matches!(
        login(410, "room-gone", "").await,
        LoginError::Gone { tombstone: None }
    ));
    assert!(is_odd(&login(410, "room-gone", r#","tombstone":"AAAA""#).await));
    assert!(is_odd(&login(404, "not-found", "").await));
    // A change of the Room Key into nothing, into garbage, and into an object over its bound.
    assert!(is_odd(&login(409, "room-key-changed", "").await));
    assert!(is_odd(
        &login(
            409,
            "room-key-changed",
            r#","superseded":{"generation":{"count":1,"hash":"AA"}}"#
        )
        .await
    ));
    let hash = data_encoding::BASE64URL_NOPAD.encode(&[7; 32]);
    let generation = format!(r#""generation":{{"count":1,"hash":"{hash}"}}"#);
    let told = format!(r#","superseded":{{{generation},"key_gen":"AAAA"}}"#);
    assert!(matches!(
        login(409, "room-key-changed", &told).await,
        LoginError::Superseded(told) if told.generation.count == 1 && told.key_gen == Some(vec![0; 3])
    ));
    let huge = "A".repeat((snug_rendezvous_api::MAX_KEY_GEN + 3) / 3 * 4);
    let told = format!(r#","superseded":{{{generation},"key_gen":"{huge}"}}"#);
    assert!(is_odd(&login(409, "room-key-changed", &told).await));
    let beyond = format!(r#","superseded":{{"generation":{{"count":18446744073709551615,"hash":"{hash}"}}}}"#);
    assert!(is_odd(&login(409, "room-key-changed", &beyond).await));

    let change = async |status, name, more: &str| change_at(serve(problem(status, name, more), false).await).await;
    assert!(matches!(
        change(409, "generation-stale", &format!(",{generation}")).await,
        ChangeError::Stale { registered } if registered.count == 1
    ));
    assert!(matches!(
        change(409, "generation-stale", "").await,
        ChangeError::Server(ServerError::Fault { status: 409, .. })
    ));
    for (status, name) in [(401, "token-refused"), (403, "wrong-credential")] {
        assert!(matches!(change(status, name, "").await, ChangeError::Refused), "{name}");
    }
    assert!(matches!(
        change(403, "certificate-refused", "").await,
        ChangeError::CertificateRefused
    ));
    assert!(matches!(
        change(410, "room-gone", "").await,
        ChangeError::Gone { tombstone: None }
    ));
    assert!(matches!(change(413, "too-large", "").await, ChangeError::TooLarge));
    assert!(matches!(
        login(429, "too-many-logins", r#","retry_after_s":90"#).await,
        LoginError::TooManyLogins { retry_after: Some(time) } if time.as_secs() == 90
    ));
    assert!(matches!(
        login(429, "too-many-requests", r#","retry_after_s":4000000000"#).await,
        LoginError::Server(ServerError::RateLimited { retry_after: Some(time), .. }) if time.as_secs() == 24 * 3600
    ));
    for (status, name) in [
        (500, "internal"),
        (503, "unavailable"),
        (418, "of-the-future"),
        (413, "too-large"),
    ] {
        let error = login(status, name, "").await;
        assert!(
            matches!(&error, LoginError::Server(ServerError::Fault { status: found, .. }) if *found == status),
            "{name}: {error}"
        );
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let taken = create_at(serve(problem(409, "room-exists", ""), false).await).await;
    assert!(matches!(taken, CreateError::RoomExists), "{taken}");
}

#[tokio::test]
async fn a_proxys_word_for_a_rendezvous_that_is_down_counts_as_unreachable() {
    let error = login_at(serve(answer("502 Bad Gateway", "text/html", "<html>"), false).await).await;
    assert!(
        matches!(error, LoginError::Server(ServerError::Fault { status: 502, .. })),
        "{error}"
    );
    assert_eq!(error.exit_status(), 4);
}

#[tokio::test]
async fn nothing_is_registered_over_plain_http_elsewhere() {
    let error = create_at(ServerUrl::parse("http://192.0.2.1:7070").unwrap()).await;
    assert!(matches!(error, CreateError::PlainHttp { .. }), "{error}");
    assert!(error.to_string().contains("--insecure-registration"));
    assert_eq!(error.exit_status(), 2);
    let error = change_at(ServerUrl::parse("http://192.0.2.1:7070").unwrap()).await;
    assert!(matches!(error, ChangeError::PlainHttp { .. }), "{error}");
    assert_eq!(error.exit_status(), 2);
}

#[tokio::test]
async fn an_entry_of_the_directory_that_is_shown_twice_is_one_room() {
    let admin = AdminKey::from_seed(&[1; 32]);
    let entry = |room_id: &str| {
        let listing = snug_crypto::credential::Listing {
            genesis_hash: snug_crypto::GenesisHash::from_bytes([2; 32]),
            admin: admin.public(),
            room_id: room_id.to_owned(),
            description: "a room".to_owned(),
        };
        snug_rendezvous_api::ByteString::new(listing.sign(&admin)).unwrap()
    };
    let page = snug_rendezvous_api::Listings {
        rooms: vec![entry("den"), entry("den"), entry("barn"), entry("den")],
        next: None,
    };
    let body = serde_json::to_string(&page).unwrap();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    let server = serve(head + &body, false).await;
    let directory = Client::new(server).unwrap().rooms(None).await.unwrap();
    let names: Vec<&str> = directory.rooms.iter().map(|room| room.room_id.exact()).collect();
    assert_eq!(names, ["den", "barn"]);
}
