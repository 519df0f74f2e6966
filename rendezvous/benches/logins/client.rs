//! Members that cost as little as OPAQUE lets them.

use std::net::SocketAddr;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snug_crypto::credential::client::{Login, Registration};
use snug_crypto::credential::{DangerNoStretching, Kind};
use snug_crypto::{AdminKey, RoomHandle};
use snug_rendezvous_api::{
    ByteString, Credential, CredentialUpload, Exact, Handle, Introductions, LoginFinish, LoginStart, LoginStarted,
    Policy, PutPresence, RegisterFinish, RegisterStart, RegisterStarted, Registered, RegistrationAnswer, Session,
    Token, login_finish, login_start, presence, register_finish, register_start,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECRET: &[u8] = b"ten words that a generator would have picked for a room";
/// About what a room's capsule with an empty log takes.
const CAPSULE: usize = 400;

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn path(room: &RoomHandle) -> Handle {
    Handle::from_bytes(*room.as_bytes())
}

/// A connection that is kept open.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::with_capacity(8192),
        }
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&Token>,
        body: &impl Serialize,
    ) -> T {
        let body = serde_json::to_vec(body).unwrap();
        let authorization = token.map_or_else(String::new, |token| {
            format!("authorization: {}\r\n", token.authorization())
        });
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{authorization}content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        self.stream.write_all(&request).await.unwrap();
        let (status, body) = self.answer().await;
        assert!(status < 300, "{status} {}", String::from_utf8_lossy(body));
        serde_json::from_slice(body).unwrap()
    }

    async fn answer(&mut self) -> (u16, &[u8]) {
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            assert!(
                self.stream.read_buf(&mut self.buffer).await.unwrap() > 0,
                "the server closed"
            );
        };
        let text = std::str::from_utf8(&self.buffer[..head]).unwrap();
        let status = text[9..12].parse().unwrap();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let end = head + 4 + length.parse::<usize>().unwrap();
        while self.buffer.len() < end {
            assert!(
                self.stream.read_buf(&mut self.buffer).await.unwrap() > 0,
                "the server closed"
            );
        }
        (status, &self.buffer[head + 4..end])
    }
}

/// Registers so many rooms.
pub async fn register_rooms(address: SocketAddr, count: usize) -> Vec<RoomHandle> {
    let mut rooms = Vec::new();
    let mut connection = Connection::open(address).await;
    for n in 0..count {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        let room = RoomHandle::from_bytes(bytes);
        register(&mut connection, &room).await;
        rooms.push(room);
    }
    rooms
}

async fn register(connection: &mut Connection, room: &RoomHandle) {
    let start = |kind| Registration::<DangerNoStretching>::start(&mut rng(), room, kind, SECRET).unwrap();
    let ((room_state, room_request), (admin_state, admin_request)) = (start(Kind::Room), start(Kind::Admin));
    let body = RegisterStart {
        room: Some(Exact::new(room_request)),
        admin: Some(Exact::new(admin_request)),
    };
    let started: RegisterStarted = connection.call("POST", &register_start(&path(room)), None, &body).await;
    let upload = |state: Registration<DangerNoStretching>, answer: Option<RegistrationAnswer>| {
        let answer = answer.unwrap();
        CredentialUpload {
            registration: answer.registration,
            record: Exact::new(state.finish(&mut rng(), answer.response.as_bytes()).unwrap().upload),
        }
    };
    let body = RegisterFinish {
        room: upload(room_state, started.room),
        admin: upload(admin_state, started.admin),
        admin_key: Exact::new(*AdminKey::generate(&mut rng()).public().as_bytes()),
        capsule: ByteString::new(vec![7; CAPSULE]).unwrap(),
        admin_capsule: ByteString::new(vec![7; CAPSULE]).unwrap(),
        policy: Policy {
            max_participants: 100,
            retention_s: 86_400,
            grace_s: 604_800,
        },
        listing: None,
    };
    let _: Registered = connection
        .call("POST", &register_finish(&path(room)), None, &body)
        .await;
}

/// A login whose KE1 is ready.
pub struct Prepared {
    room: RoomHandle,
    login: Login<DangerNoStretching>,
    body: LoginStart,
}

/// Prepares so many logins, spread over the rooms.
pub fn prepare(rooms: &[RoomHandle], count: usize) -> Vec<Prepared> {
    let prepare = |room: &RoomHandle| {
        let (login, ke1) = Login::start(&mut rng(), room, Kind::Room, SECRET).unwrap();
        Prepared {
            room: *room,
            login,
            body: LoginStart {
                credential: Credential::Room,
                ke1: Exact::new(ke1),
                former: None,
            },
        }
    };
    rooms.iter().cycle().take(count).map(prepare).collect()
}

/// What a start's answer took, in nanoseconds, and its size in bytes.
pub async fn start(connection: &mut Connection, prepared: &Prepared) -> (f64, usize) {
    let path = login_start(&path(&prepared.room));
    let since = std::time::Instant::now();
    let started: LoginStarted = connection.call("POST", &path, None, &prepared.body).await;
    #[allow(clippy::cast_precision_loss)] // Far below 2^52.
    let time = since.elapsed().as_nanos() as f64;
    (time, serde_json::to_vec(&started).unwrap().len())
}

/// A member with its token.
pub struct Member {
    room: RoomHandle,
    token: Token,
}

/// Connects and logs in.
pub async fn log_in(address: SocketAddr, prepared: Prepared) -> Member {
    let Prepared { room, login, body } = prepared;
    let mut connection = Connection::open(address).await;
    let started: LoginStarted = connection.call("POST", &login_start(&path(&room)), None, &body).await;
    let done = login.finish(&mut rng(), started.ke2.as_bytes()).unwrap();
    let body = LoginFinish {
        credential: Credential::Room,
        ke3: Exact::new(done.ke3),
        state: started.state,
    };
    let session: Session = connection.call("POST", &login_finish(&path(&room)), None, &body).await;
    assert_eq!(session.capsule.as_slice().len(), CAPSULE);
    Member {
        room,
        token: session.token,
    }
}

impl Member {
    /// Puts a presence record and takes introductions.
    pub async fn heartbeat(&self, connection: &mut Connection) {
        let body = PutPresence {
            record: ByteString::new(vec![9; 300]).unwrap(),
        };
        let _: Introductions = connection
            .call("PUT", &presence(&path(&self.room)), Some(&self.token), &body)
            .await;
    }
}
