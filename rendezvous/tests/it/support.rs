//! A server in this process with a clock of its own, and a client that speaks plain HTTP/1.1 and OPAQUE without stretching.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snug_crypto::credential::client::{Login, Registration};
use snug_crypto::credential::{DangerNoStretching, Kind, Tombstone};
use snug_crypto::{AdminKey, GenesisHash, RoomHandle};
use snug_rendezvous::{Clock, Config, Limits, RelayListen, Server, StoreSpec};
use snug_rendezvous_api::{
    ByteString, Credential, CredentialUpload, DeleteRoom, Exact, Former, Handle, Introductions, LoginFinish,
    LoginStart, LoginStarted, Policy, Problem, ProblemType, PutPresence, RegisterFinish, RegisterStart,
    RegisterStarted, Registered, Session, Token,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const HOUR_MS: u64 = 3_600_000;
pub const DAY_MS: u64 = 24 * HOUR_MS;
pub const POLICY: Policy = Policy {
    max_participants: 100,
    retention_s: 86_400,
    grace_s: 604_800,
};
pub const KEY: &[u8] = b"fennel-harbor-quilt";
pub const PASSWORD: &[u8] = b"walnut-signal-otter";

pub fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Blinds a secret the same way each time.
fn same() -> rand::rngs::StdRng {
    rand::SeedableRng::seed_from_u64(7)
}

pub fn handle(name: &str) -> RoomHandle {
    let mut bytes = [0x5A; 32];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    RoomHandle::from_bytes(bytes)
}

pub fn real_now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
        .try_into()
        .unwrap()
}

/// A server that runs in this process.
pub struct Running {
    pub address: SocketAddr,
    clock: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    admin: Option<SocketAddr>,
    folder: PathBuf,
    store: Option<StoreSpec>,
    _temporary: Option<tempfile::TempDir>,
}

impl Running {
    pub async fn start() -> Self {
        Self::with(Limits::default(), None).await
    }

    pub async fn with(limits: Limits, store: Option<StoreSpec>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        let clock = Arc::new(AtomicU64::new(real_now_ms()));
        Self::run(limits, store, folder, clock, Some(temporary)).await
    }

    /// One that operators can ask.
    pub async fn with_admin_port() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut config = Config::new(temporary.path());
        config.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let clock = Arc::new(AtomicU64::new(real_now_ms()));
        Self::run_config(config, clock, Some(temporary)).await
    }

    /// One with a relay on free ports of loopback, with its data in this folder.
    pub async fn with_relay(folder: &Path) -> Self {
        let mut config = Config::new(folder);
        config.relay.listen = RelayListen::At(RelayListen::on(SocketAddr::from(([127, 0, 0, 1], 0))));
        let clock = Arc::new(AtomicU64::new(real_now_ms()));
        Self::run_config(config, clock, None).await
    }

    /// A client of the operators' port.
    pub fn admin_client(&self) -> Client {
        Client {
            address: self.admin.unwrap(),
        }
    }

    async fn run(
        limits: Limits,
        store: Option<StoreSpec>,
        folder: PathBuf,
        clock: Arc<AtomicU64>,
        temporary: Option<tempfile::TempDir>,
    ) -> Self {
        let mut config = Config::new(&folder);
        config.limits = limits;
        config.store = store;
        Self::run_config(config, clock, temporary).await
    }

    /// Another instance on the same MongoDB: with the same server key, and nothing else in common.
    pub async fn beside(&self) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let key = std::fs::read(self.folder.join("server.key")).unwrap();
        let path = temporary.path().join("server.key");
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut config = Config::new(temporary.path());
        config.store = self.store.clone();
        Self::run_config(config, Arc::clone(&self.clock), Some(temporary)).await
    }

    async fn run_config(mut config: Config, clock: Arc<AtomicU64>, temporary: Option<tempfile::TempDir>) -> Self {
        let (folder, store) = (config.data_dir.clone(), config.store.clone());
        let now = Arc::clone(&clock);
        config.clock = Clock::new(move || now.load(Ordering::SeqCst));
        let server = Server::bind(config).await.unwrap();
        let (address, admin) = (server.local_addr(), server.admin_addr());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            clock,
            stop: Some(stop),
            task,
            admin,
            folder,
            store,
            _temporary: temporary,
        }
    }

    /// Ends it in order and starts another one on its files.
    pub async fn restart(mut self) -> Self {
        self.halt().await;
        self.again().await
    }

    /// Starts another one on the files of one that has ended.
    pub async fn again(self) -> Self {
        Self::run(Limits::default(), self.store, self.folder, self.clock, self._temporary).await
    }

    /// Ends it in order.
    pub async fn halt(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap();
    }

    pub fn store(&self) -> Option<&StoreSpec> {
        self.store.as_ref()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn client(&self) -> Client {
        Client { address: self.address }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads it as the type, and insists on the status.
    #[track_caller]
    pub fn expect<T: DeserializeOwned>(self, status: u16) -> T {
        assert_eq!(
            self.status,
            status,
            "{} {}",
            self.head,
            String::from_utf8_lossy(&self.body)
        );
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem document.
    #[track_caller]
    pub fn problem(&self) -> Problem {
        assert!(
            self.head
                .to_lowercase()
                .contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }

    #[track_caller]
    pub fn refused(&self, problem_type: ProblemType) {
        assert_eq!(
            self.problem().problem_type,
            problem_type,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
    }
}

/// A client without any state of its own.
#[derive(Clone, Copy)]
pub struct Client {
    pub address: SocketAddr,
}

impl Client {
    /// Writes the bytes to a new connection and reads everything until it closes, or what an answer has.
    pub async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
            .await
            .unwrap();
        answer
    }

    /// One request with headers of one's own.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        let answer = self.raw(&request).await;
        let split = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let split = split.unwrap_or_else(|| panic!("no HTTP answer: {}", String::from_utf8_lossy(&answer)));
        let head = String::from_utf8(answer[..split].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply {
            status,
            head,
            body: answer[split + 4..].to_vec(),
        }
    }

    /// One JSON request.
    pub async fn call(&self, method: &str, path: &str, token: Option<&Token>, body: &impl Serialize) -> Reply {
        let mut headers = "content-type: application/json\r\n".to_owned();
        if let Some(token) = token {
            headers += &format!("authorization: {}\r\n", token.authorization());
        }
        self.send(method, path, &headers, &serde_json::to_vec(body).unwrap())
            .await
    }

    /// Registers a credential as far as the upload.
    pub async fn upload(&self, room: &RoomHandle, kind: Kind, secret: &[u8]) -> CredentialUpload {
        let (state, request) = Registration::<DangerNoStretching>::start(&mut rng(), room, kind, secret).unwrap();
        let request = Some(Exact::new(request));
        let body = match kind {
            Kind::Room => RegisterStart {
                room: request,
                admin: None,
            },
            Kind::Admin => RegisterStart {
                room: None,
                admin: request,
            },
        };
        let path = snug_rendezvous_api::register_start(&path_handle(room));
        let started: RegisterStarted = self.call("POST", &path, None, &body).await.expect(200);
        let answer = started.room.or(started.admin).unwrap();
        CredentialUpload {
            registration: answer.registration,
            record: Exact::new(state.finish(&mut rng(), answer.response.as_bytes()).unwrap().upload),
        }
    }

    /// Registers a room; returns the answer and the admin's key.
    pub async fn try_register(&self, room: &RoomHandle, key: &[u8], password: &[u8]) -> (Reply, AdminKey) {
        let path = path_handle(room);
        let admin = AdminKey::generate(&mut rng());
        let body = RegisterFinish {
            room: self.upload(room, Kind::Room, key).await,
            admin: self.upload(room, Kind::Admin, password).await,
            admin_key: Exact::new(*admin.public().as_bytes()),
            capsule: ByteString::new(*b"sealed for members").unwrap(),
            admin_capsule: ByteString::new(*b"sealed for the admin").unwrap(),
            policy: POLICY,
            listing: None,
        };
        (
            self.call("POST", &snug_rendezvous_api::register_finish(&path), None, &body)
                .await,
            admin,
        )
    }

    pub async fn register(&self, room: &RoomHandle) -> AdminKey {
        let (reply, admin) = self.try_register(room, KEY, PASSWORD).await;
        let _: Registered = reply.expect(201);
        admin
    }

    /// Starts a login; `Err` is the refusal.
    pub async fn start(
        &self,
        room: &RoomHandle,
        credential: Credential,
        secret: &[u8],
        token: Option<&Token>,
    ) -> Result<Started, Reply> {
        self.start_as(room, credential, None, secret, token).await
    }

    /// The same, with a former Room Key.
    pub async fn start_as(
        &self,
        room: &RoomHandle,
        credential: Credential,
        former: Option<Former>,
        secret: &[u8],
        token: Option<&Token>,
    ) -> Result<Started, Reply> {
        let (login, ke1) = Login::<DangerNoStretching>::start(&mut rng(), room, kind(credential), secret).unwrap();
        let path = snug_rendezvous_api::login_start(&path_handle(room));
        let reply = self
            .call(
                "POST",
                &path,
                token,
                &LoginStart {
                    credential,
                    ke1: Exact::new(ke1),
                    former,
                },
            )
            .await;
        if reply.status != 200 {
            return Err(reply);
        }
        let size = reply.body.len();
        Ok(Started {
            login,
            size,
            started: reply.expect(200),
        })
    }

    /// What the server makes of one and the same blinded guess: the element in a login's KE2, which shows the OPRF key.
    pub async fn element_in_login(&self, room: &RoomHandle, former: Option<Former>) -> [u8; 32] {
        let (_, ke1) = Login::<DangerNoStretching>::start(&mut same(), room, Kind::Room, b"a guess").unwrap();
        let body = LoginStart {
            credential: Credential::Room,
            ke1: Exact::new(ke1),
            former,
        };
        let path = snug_rendezvous_api::login_start(&path_handle(room));
        let started: LoginStarted = self.call("POST", &path, None, &body).await.expect(200);
        *started.ke2.as_bytes().first_chunk().unwrap()
    }

    /// The same for a registration.
    pub async fn element_in_registration(&self, room: &RoomHandle) -> [u8; 32] {
        let started = Registration::<DangerNoStretching>::start(&mut same(), room, Kind::Room, b"a guess");
        let body = RegisterStart {
            room: Some(Exact::new(started.unwrap().1)),
            admin: None,
        };
        let path = snug_rendezvous_api::register_start(&path_handle(room));
        let started: RegisterStarted = self.call("POST", &path, None, &body).await.expect(200);
        *started.room.unwrap().response.as_bytes().first_chunk().unwrap()
    }

    /// Whether a guess is treated alike each time.
    pub async fn same_element_twice(&self, room: &RoomHandle, former: Option<Former>) -> bool {
        self.element_in_login(room, former).await == self.element_in_login(room, former).await
    }

    /// The finish of a login that went well on the client's side.
    pub async fn proof(&self, room: &RoomHandle, credential: Credential, secret: &[u8]) -> LoginFinish {
        let Started { login, started, .. } = self.start(room, credential, secret, None).await.unwrap();
        let done = login.finish(&mut rng(), started.ke2.as_bytes()).unwrap();
        LoginFinish {
            credential,
            ke3: Exact::new(done.ke3),
            state: started.state,
        }
    }

    pub async fn finish(&self, room: &RoomHandle, body: &LoginFinish) -> Reply {
        self.call(
            "POST",
            &snug_rendezvous_api::login_finish(&path_handle(room)),
            None,
            body,
        )
        .await
    }

    pub async fn log_in(&self, room: &RoomHandle, credential: Credential, secret: &[u8]) -> Session {
        let proof = self.proof(room, credential, secret).await;
        self.finish(room, &proof).await.expect(200)
    }

    pub async fn member(&self, room: &RoomHandle) -> Token {
        self.log_in(room, Credential::Room, KEY).await.token
    }

    pub async fn put(&self, room: &RoomHandle, token: &Token, record: &[u8]) -> Reply {
        let body = PutPresence {
            record: ByteString::new(record).unwrap(),
        };
        self.call(
            "PUT",
            &snug_rendezvous_api::presence(&path_handle(room)),
            Some(token),
            &body,
        )
        .await
    }

    pub async fn get(&self, room: &RoomHandle, token: &Token) -> Reply {
        self.call(
            "GET",
            &snug_rendezvous_api::presence(&path_handle(room)),
            Some(token),
            &(),
        )
        .await
    }

    pub async fn others(&self, room: &RoomHandle, token: &Token) -> Vec<Vec<u8>> {
        let introductions: Introductions = self.get(room, token).await.expect(200);
        introductions
            .introductions
            .into_iter()
            .map(ByteString::into_vec)
            .collect()
    }

    pub async fn delete(&self, room: &RoomHandle, token: &Token, tombstone: [u8; 128]) -> Reply {
        let body = DeleteRoom {
            tombstone: Exact::new(tombstone),
        };
        self.call(
            "DELETE",
            &snug_rendezvous_api::room(&path_handle(room)),
            Some(token),
            &body,
        )
        .await
    }
}

/// A login between its two requests.
pub struct Started {
    pub login: Login<DangerNoStretching>,
    pub started: LoginStarted,
    pub size: usize,
}

pub fn tombstone(room: &RoomHandle, admin: &AdminKey) -> [u8; 128] {
    Tombstone {
        handle: *room,
        genesis_hash: GenesisHash::from_bytes([3; 32]),
    }
    .sign(admin)
    .to_bytes()
}

pub fn path_handle(room: &RoomHandle) -> Handle {
    Handle::from_bytes(*room.as_bytes())
}

pub fn kind(credential: Credential) -> Kind {
    match credential {
        Credential::Room => Kind::Room,
        Credential::Admin => Kind::Admin,
    }
}
