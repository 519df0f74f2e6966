//! A rendezvous that turns on the rooms it serves.

use std::net::SocketAddr;

use snug_crypto::AdminKey;
use snug_crypto::credential::{SignedTombstone, Tombstone};
use snug_rendezvous_api::{Problem, ProblemType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;

/// What is answered to requests whose head contains the first text.
type Lies = Vec<(&'static str, String)>;

/// Stands before a real rendezvous and passes everything on but what it was told to answer itself.
struct Liar {
    url: ServerUrl,
    lies: watch::Sender<Lies>,
}

impl Liar {
    async fn before(rendezvous: &Rendezvous) -> Self {
        let upstream = SocketAddr::from(([127, 0, 0, 1], rendezvous.port()));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = ServerUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (lies, told) = watch::channel(Lies::new());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, upstream, told.clone()));
            }
        });
        Self { url, lies }
    }

    /// From now on such requests are answered with this problem.
    fn say(&self, to: &'static str, problem: &Problem) {
        let body = serde_json::to_string(problem).unwrap();
        let answer = format!(
            "HTTP/1.1 {} X\r\ncontent-type: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            problem.status,
            Problem::MEDIA_TYPE,
            body.len()
        );
        self.lies.send_modify(|lies| lies.push((to, answer)));
    }

    /// A member who enters through it.
    async fn enter(&self, rendezvous: &Rendezvous, den: &Den) -> Node {
        let options = EnterOptions {
            meeting: Meeting::Rendezvous(Client::new(self.url.clone()).unwrap()),
            ..den.options(rendezvous, "alice")
        };
        let mut alice = Node::enter(options).await.unwrap();
        alice
            .until("ready", |kind| matches!(kind, EventKind::Ready { .. }).then_some(()))
            .await;
        alice
    }
}

async fn serve(mut stream: TcpStream, upstream: SocketAddr, mut told: watch::Receiver<Lies>) {
    let mut request = vec![0; 4096];
    let read = stream.read(&mut request).await.unwrap_or(0);
    request.truncate(read);
    let head = String::from_utf8_lossy(&request).into_owned();
    let lie = told
        .borrow_and_update()
        .iter()
        .find(|(to, _)| head.contains(to))
        .cloned();
    if let Some((_, answer)) = lie {
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    // One request a connection, so that each is looked at.
    let request = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut upstream = TcpStream::connect(upstream).await.unwrap();
    upstream.write_all(request.as_bytes()).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut upstream).await;
}

#[tokio::test]
async fn a_deletion_that_the_admin_did_not_sign_is_not_believed() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    let created = den.create(&rendezvous).await;
    let handle = den.id.handle();
    let sign = |handle, genesis_hash, admin: &AdminKey| Tombstone { handle, genesis_hash }.sign(admin);
    let stranger = AdminKey::generate(&mut UnwrapErr(SysRng));
    let attic = RoomId::parse("attic").unwrap().handle();
    let forged: [Option<SignedTombstone>; 4] = [
        None,
        Some(sign(handle, created.genesis_hash, &stranger)),
        // The admin's own word, about another room.
        Some(sign(attic, created.genesis_hash, &created.admin)),
        Some(sign(
            handle,
            snug_crypto::GenesisHash::from_bytes([9; 32]),
            &created.admin,
        )),
    ];
    for tombstone in forged {
        let liar = Liar::before(&rendezvous).await;
        let mut alice = liar.enter(&rendezvous, &den).await;
        let mut gone = Problem::new(ProblemType::RoomGone);
        if let Some(tombstone) = tombstone {
            gone = gone.with_tombstone(tombstone.to_bytes());
        }
        liar.say("PUT ", &gone);
        let warning = alice.until_warning().await;
        assert!(warning.contains("can't prove it"), "{warning}");
        alice.handle.send("still here", None).await.unwrap();
        alice.handle.leave().await;
        assert_eq!(alice.until_closed().await, CloseReason::Left);
    }
}

#[tokio::test]
async fn a_server_that_lets_us_in_no_more_is_told_of_and_left_alone() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let no_token = Problem::new(ProblemType::TokenRefused);
    let no_login = Problem::new(ProblemType::LoginRefused);
    for (login, why) in [
        (None, "it doesn't take its own tokens"),
        (Some(&no_login), "it no longer takes the Room Key"),
    ] {
        let liar = Liar::before(&rendezvous).await;
        let mut alice = liar.enter(&rendezvous, &den).await;
        if let Some(problem) = login {
            liar.say("/login/", problem);
        }
        liar.say("PUT ", &no_token);
        let warning = alice.until_warning().await;
        assert!(warning.contains(why), "{warning}");
        assert_eq!(
            alice.handle.status().await.unwrap().rendezvous,
            RendezvousState::Unreachable
        );
        alice.handle.send("still here", None).await.unwrap();
        alice.handle.leave().await;
    }
}

#[tokio::test]
async fn a_login_that_others_used_up_is_tried_again() {
    let folder = folder();
    let rendezvous = Rendezvous::start(folder.path()).await;
    let den = Den::new();
    den.create(&rendezvous).await;
    let liar = Liar::before(&rendezvous).await;
    let mut alice = liar.enter(&rendezvous, &den).await;
    liar.say("/login/", &Problem::new(ProblemType::TooManyLogins).with_retry_after(1));
    liar.say("PUT ", &Problem::new(ProblemType::TokenRefused));
    let warning = alice.until_warning().await;
    assert!(warning.contains("asks to be left alone"), "{warning}");
    liar.lies.send_replace(Lies::new());
    let notice = alice.until_system("rendezvous").await;
    assert!(notice.ends_with(" is back."), "{notice}");
    alice.handle.leave().await;
}
