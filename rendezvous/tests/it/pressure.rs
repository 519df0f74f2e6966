//! Who takes all that the server has of something: places for connections, places for large bodies.

use std::net::SocketAddr;

use snug_crypto::AdminKey;
use snug_crypto::credential::Kind;
use snug_rendezvous::Limits;
use snug_rendezvous_api::{ByteString, Exact, ProblemType, RegisterFinish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::process::Serving;
use crate::support::{Client, KEY, PASSWORD, POLICY, Reply, Running, handle, path_handle, rng};

/// A connection from one of this machine's addresses.
async fn from(last: u8, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(server).await.unwrap()
}

/// The next answer's head and body; nothing if the connection is closed.
async fn answer(stream: &mut TcpStream) -> Option<Reply> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_lowercase();
    let length = lower
        .split("content-length: ")
        .nth(1)
        .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body,
    })
}

/// Asks, and keeps the connection.
async fn ask(stream: &mut TcpStream) -> Option<u16> {
    stream.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await.ok()?;
    answer(stream).await.map(|reply| reply.status)
}

#[tokio::test]
async fn idle_connections_of_one_address_make_room_for_another() {
    let limits = Limits {
        connections: 6,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let mut modest = from(3, server.address).await;
    assert_eq!(ask(&mut modest).await, Some(404));
    let mut greedy = Vec::new();
    for _ in 0..5 {
        let mut stream = from(2, server.address).await;
        assert_eq!(ask(&mut stream).await, Some(404));
        greedy.push(stream);
    }
    let mut newcomer = from(4, server.address).await;
    assert_eq!(ask(&mut newcomer).await, Some(404));
    assert_eq!(
        ask(&mut greedy[0]).await,
        None,
        "the greedy address's longest idle one went"
    );
    for kept in &mut greedy[1..] {
        assert_eq!(ask(kept).await, Some(404));
    }
    assert_eq!(ask(&mut modest).await, Some(404));
    assert_eq!(ask(&mut newcomer).await, Some(404));
}

/// A registration whose body does not come: the first answer is 100 once the server reads the body, which is a place taken.
async fn stalled(server: SocketAddr, headers: &str) -> (TcpStream, Reply) {
    let path = snug_rendezvous_api::register_finish(&path_handle(&handle("stalled")));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\
         {headers}\r\n"
    );
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = answer(&mut stream).await.unwrap();
    (stream, reply)
}

/// Registers a room for whom the headers name.
async fn register(client: &Client, name: &str, headers: &str) -> Reply {
    let room = handle(name);
    let body = RegisterFinish {
        room: client.upload(&room, Kind::Room, KEY).await,
        admin: client.upload(&room, Kind::Admin, PASSWORD).await,
        admin_key: Exact::new(*AdminKey::generate(&mut rng()).public().as_bytes()),
        capsule: ByteString::new(*b"sealed").unwrap(),
        admin_capsule: ByteString::new(*b"sealed").unwrap(),
        policy: POLICY,
        listing: None,
    };
    let path = snug_rendezvous_api::register_finish(&path_handle(&room));
    let headers = format!("content-type: application/json\r\n{headers}");
    let body = serde_json::to_vec(&body).unwrap();
    client.send("POST", &path, &headers, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_uploads_of_one_address_leave_places_for_another() {
    let data = tempfile::tempdir().unwrap();
    // The uploads stall for longer than the test takes.
    let serving = Serving::start(
        data.path(),
        &["--trusted-proxies", "127.0.0.1", "--limits-request-timeout", "5m"],
    );
    let client = serving.client();
    let of = |address: &str| format!("x-forwarded-for: {address}\r\nx-forwarded-proto: https\r\n");
    let (slow, other) = (of("198.51.100.1"), of("198.51.100.2"));
    let mut held = Vec::new();
    for _ in 0..8 {
        let (stream, reply) = stalled(client.address, &slow).await;
        assert_eq!(reply.status, 100, "{}", reply.head);
        held.push(stream);
    }
    let (_, refused) = stalled(client.address, &slow).await;
    refused.refused(ProblemType::TooManyRequests);
    assert!(
        refused.head.to_lowercase().contains("retry-after: "),
        "{}",
        refused.head
    );
    assert_eq!(register(&client, "den", &other).await.status, 201);
    // This machine's own have their share too, and one of their own.
    let (own, reply) = stalled(client.address, "").await;
    assert_eq!(reply.status, 100, "{}", reply.head);
    assert_eq!(register(&client, "attic", "").await.status, 201);
    let (_, refused) = stalled(client.address, &slow).await;
    refused.refused(ProblemType::TooManyRequests);
    drop((held, own));
}

#[tokio::test]
async fn an_upload_that_never_ends_counts_as_a_registration() {
    let limits = Limits {
        limit_loopback: true,
        registrations_per_hour: 2,
        ..Limits::default()
    };
    let server = Running::with(limits, None).await;
    let (_first, reply) = stalled(server.address, "").await;
    assert_eq!(reply.status, 100, "{}", reply.head);
    let (_second, reply) = stalled(server.address, "").await;
    assert_eq!(reply.status, 100, "{}", reply.head);
    let (_, refused) = stalled(server.address, "").await;
    refused.refused(ProblemType::TooManyRooms);
}
