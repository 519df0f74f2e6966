//! What no client may do to the server: garbage, too much, too slow, too often.

use std::time::{Duration, Instant};

use snug_rendezvous::Limits;
use snug_rendezvous_api::{Credential, MAX_REQUEST_BODY, ProblemType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{KEY, Running, handle, path_handle};

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn garbage_gets_a_problem_document_of_its_kind() {
    let server = Running::start().await;
    let client = server.client();
    let room = path_handle(&handle("den"));
    let start = snug_rendezvous_api::login_start(&room);
    let finish = snug_rendezvous_api::register_finish(&room);
    let upper = start
        .to_uppercase()
        .replace("/V1/ROOMS", "/v1/rooms")
        .replace("/LOGIN/START", "/login/start");
    let deep = "[".repeat(3000);
    let long = format!("{{\"x\": \"{}\"}}", "x".repeat(5000));
    let huge = vec![b' '; MAX_REQUEST_BODY + 1];
    use ProblemType::{BadRequest, MethodNotAllowed, NotFound, TooLarge, UnsupportedMediaType};
    for (method, path, headers, body, expected) in [
        ("POST", &*start, JSON, &b"{}"[..], BadRequest),
        ("POST", &start, JSON, b"", BadRequest),
        ("POST", &start, JSON, b"\xFF\xFE\0", BadRequest),
        (
            "POST",
            &start,
            JSON,
            b"{\"credential\":\"root\",\"ke1\":\"\"}",
            BadRequest,
        ),
        ("POST", &start, JSON, deep.as_bytes(), BadRequest),
        ("POST", &start, JSON, long.as_bytes(), TooLarge),
        ("POST", &finish, JSON, &huge, TooLarge),
        ("POST", &start, "", b"{}", UnsupportedMediaType),
        (
            "POST",
            &start,
            "content-type: text/plain\r\n",
            b"{}",
            UnsupportedMediaType,
        ),
        ("GET", &start, "", b"", MethodNotAllowed),
        ("POST", "/v1/rooms/zz/login/start", JSON, b"{}", BadRequest),
        ("POST", &upper, JSON, b"{}", BadRequest),
        ("GET", "/", "", b"", NotFound),
        ("GET", "/v1", "", b"", NotFound),
        ("POST", "/v1/rooms", JSON, b"{}", MethodNotAllowed),
        ("GET", "/health/ready", "", b"", NotFound),
        ("POST", "/v1/rooms/%00%ff/login/start", JSON, b"{}", BadRequest),
    ] {
        let reply = client.send(method, path, headers, body).await;
        assert_eq!(
            reply.problem().problem_type,
            expected,
            "{method} {path} {}",
            String::from_utf8_lossy(&reply.body)
        );
        assert!(reply.head.contains("cache-control: no-store"), "{}", reply.head);
        assert!(reply.body.len() < 400);
    }
    // What a body says is not said again.
    let echo = client.send("POST", &start, JSON, b"{\"credential\":\"CANARY\"}").await;
    assert!(!String::from_utf8_lossy(&echo.body).contains("CANARY"));
}

#[tokio::test]
async fn what_is_no_http_or_has_endless_headers_is_cut_off() {
    let server = Running::start().await;
    let client = server.client();
    assert!(client.raw(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await.len() < 200);
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(500));
    let answer = client.raw(many.as_bytes()).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let long = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(100_000));
    let answer = client.raw(long.as_bytes()).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 431") || answer.is_empty(),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let both = b"POST /v1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = client.raw(both).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// How long the server lets a connection be after these bytes.
async fn patience(server: &Running, bytes: &[u8]) -> (Duration, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (since, mut answer) = (Instant::now(), Vec::new());
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open after 10 s");
    (since.elapsed(), answer)
}

#[tokio::test]
async fn silent_and_slow_connections_are_closed() {
    let limits = Limits {
        header_timeout: Duration::from_millis(400),
        request_timeout: Duration::from_millis(400),
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let body = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\n{JSON}content-length: 100\r\n\r\n{{",
        snug_rendezvous_api::login_start(&path_handle(&handle("den")))
    );
    for (bytes, status) in [
        (&b""[..], ""),
        (b"GET / HT", ""),
        (b"GET / HTTP/1.1\r\nhost: x\r\n", ""),
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 404"),
        (body.as_bytes(), "HTTP/1.1 408"),
    ] {
        let (time, answer) = patience(&server, bytes).await;
        let shown = String::from_utf8_lossy(&answer);
        assert!(shown.starts_with(status), "{shown}");
        assert!(
            time > Duration::from_millis(300) && time < Duration::from_secs(5),
            "{time:?} {shown}"
        );
    }
    // Dripping bytes buys no time.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let since = Instant::now();
    let dripping = async {
        loop {
            if stream.write_all(b"X").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), dripping)
        .await
        .expect("closed");
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let limits = Limits {
        write_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /nothing/here HTTP/1.1\r\nhost: x\r\n\r\n";
    // Pipelined requests whose answers nobody reads fill both buffers; then the server gives up, and writing fails.
    let flooding = async { while stream.write_all(request).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), flooding)
        .await
        .expect("the server gives up");
}

#[tokio::test]
async fn silent_connections_make_room_for_those_who_ask() {
    let limits = Limits {
        connections: 20,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let since = Instant::now();
    server.client().register(&handle("den")).await;
    server.client().log_in(&handle("den"), Credential::Room, KEY).await;
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_address_has_a_budget_of_requests_and_of_registrations() {
    let limits = Limits {
        limit_loopback: true,
        requests_per_second: 1,
        request_burst: 12,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let client = server.client();
    let replies = futures::future::join_all((0..20).map(|_| client.send("GET", "/x", "", b""))).await;
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert!((7..=8).contains(&refused.len()), "{}", refused.len());
    refused[0].refused(ProblemType::TooManyRequests);
    assert!(
        refused[0].head.to_lowercase().contains("retry-after: "),
        "{}",
        refused[0].head
    );

    let limits = Limits {
        limit_loopback: true,
        registrations_per_hour: 2,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    server.client().register(&handle("one")).await;
    server.client().register(&handle("two")).await;
    let (refused, _) = server.client().try_register(&handle("three"), KEY, b"a password").await;
    refused.refused(ProblemType::TooManyRooms);

    let limits = Limits {
        limit_loopback: true,
        login_burst: 3,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    for n in 0..3 {
        let room = handle(&format!("room {n}"));
        assert!(server.client().start(&room, Credential::Room, KEY, None).await.is_ok());
    }
    let refused = server
        .client()
        .start(&handle("another"), Credential::Room, KEY, None)
        .await;
    refused.err().unwrap().refused(ProblemType::TooManyRequests);
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end() {
    let mut server = Running::start().await;
    let room = snug_rendezvous_api::login_start(&path_handle(&handle("den")));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST {room} HTTP/1.1\r\nhost: x\r\n{JSON}content-length: 2\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let address = server.address;
    let rest = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(TcpStream::connect(address).await.is_err(), "nothing new is taken");
        stream.write_all(b"}").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (answer, ()) = tokio::join!(rest, server.halt());
    assert!(
        answer.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
