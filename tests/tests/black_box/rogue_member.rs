//! Somebody who holds the Room Key, links to the members, and then sends what no honest member would: the others talk on,
//! and see nothing of it.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, RngExt as _};
use snug::net::{Net, NetConfig, NetEvent, NetLimits};
use snug::rendezvous::{Client, MemberLogin, ServerUrl};
use snug::room::QueryId;
use snug_crypto::PeerKey;
use snug_crypto::direct::{DirectReply, DirectRequest};
use snug_crypto::generation::GenerationKeys;
use snug_crypto::identity::TransportKey;
use snug_crypto::names::{RoomId, RoomKey};
use snug_crypto::presence::PresenceRecord;
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::rendezvous::Rendezvous;
use snug_tests::{PATIENCE, plain};

#[test]
fn what_a_member_forges_is_neither_shown_nor_fatal() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let server = Rendezvous::start();
    let (maker, a, b) = (Home::new(), Home::new(), Home::new());
    let card = member::create(&maker, &server.url(), "den");
    let elsewhere = member::create(&maker, &server.url(), "barn");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut mallory = runtime.block_on(Mallory::enter(&card, seed));
    // What is said while she listens is what she has to play with.
    for n in 0..3 {
        alice.send(&format!("overheard {n}"));
        bob.hears(&format!("overheard {n}"));
    }
    runtime.block_on(mallory.overhear(3));

    let foreign = runtime.block_on(Mallory::enter(&elsewhere, seed)).own_control_frame();
    let mut said = 0;
    for junk in [
        mallory.truncated(),
        mallory.flipped(),
        mallory.noise(),
        vec![foreign],
        mallory.heard.clone(),
    ] {
        // A new peer each time: the last one may be in nobody's good books any more.
        runtime.block_on(mallory.come_again());
        runtime.block_on(mallory.publish_all(junk));
        said += 1;
        alice.send(&format!("after {said}"));
        bob.hears(&format!("after {said}"));
        bob.send(&format!("answer {said}"));
        alice.hears(&format!("answer {said}"));
    }

    let told = |texts: Vec<String>| {
        let mut texts: Vec<_> = texts.into_iter().filter(|text| !text.starts_with("welcome")).collect();
        texts.sort();
        texts
    };
    let mut from_alice: Vec<_> = (0..3).map(|n| format!("overheard {n}")).collect();
    from_alice.extend((1..=said).map(|n| format!("after {n}")));
    from_alice.sort();
    let from_bob: Vec<_> = (1..=said).map(|n| format!("answer {n}")).collect();
    assert_eq!(
        told(bob.heard()),
        from_alice,
        "each message once, and no other (seed {seed})"
    );
    assert_eq!(
        told(alice.heard()),
        from_bob,
        "each message once, and no other (seed {seed})"
    );
    alice.leave();
    bob.leave();
}

/// Knows the Room Key, has a link to each member, and answers all their questions wrongly.
struct Mallory {
    login: MemberLogin,
    keys: GenerationKeys,
    peers: Vec<PresenceRecord>,
    net: Net,
    up: Vec<PeerKey>,
    /// Frames with messages, as they came by.
    heard: Vec<Vec<u8>>,
    queries: u64,
    rng: StdRng,
}

impl Mallory {
    /// Logs in with what any member has, and links to all who are there.
    async fn enter(card: &RoomCard, seed: u64) -> Self {
        let room = RoomId::parse(&card.room).expect("a Room ID");
        let key = RoomKey::parse(&card.room_key).expect("a Room Key");
        let client = Client::new(ServerUrl::parse(&card.server).expect("a URL")).expect("a client");
        let login = client.login(&room, &key).await.expect("the Room Key opens the door");
        let keys = GenerationKeys::derive(&key, &login.capsule.random, &room.handle(), login.capsule.generation);
        let open = |record: &Vec<u8>| PresenceRecord::open(keys.intro(), record).expect("a member's presence");
        let peers: Vec<_> = login.introductions.iter().map(open).collect();
        let rng = StdRng::seed_from_u64(seed);
        let net = net(&keys);
        let mut mallory = Self {
            login,
            keys,
            peers,
            net,
            up: Vec::new(),
            heard: Vec::new(),
            queries: 0,
            rng,
        };
        mallory.link().await;
        mallory
    }

    /// Leaves the mesh, and comes back as another peer.
    async fn come_again(&mut self) {
        let old = std::mem::replace(&mut self.net, net(&self.keys));
        old.shutdown().await;
        self.up.clear();
        self.link().await;
    }

    async fn link(&mut self) {
        for peer in self.peers.clone() {
            let addresses = peer
                .addresses
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect();
            self.net.dial(peer.peer, addresses);
        }
        let all = self.peers.len();
        self.run("links to all", |mallory, _| mallory.up.len() == all).await;
    }

    /// Runs the mesh until these many frames with messages have come by.
    async fn overhear(&mut self, count: usize) {
        self.run("frames to overhear", |mallory, _| mallory.heard.len() >= count)
            .await;
    }

    /// Gives all of it to the mesh, and nonsense to each member directly; returns when every question was answered or refused.
    async fn publish_all(&mut self, frames: Vec<Vec<u8>>) {
        let mut asked = 0;
        for frame in frames {
            for peer in self.up.clone() {
                self.queries += 1;
                asked += 1;
                self.net.query(peer, QueryId(self.queries), frame.clone());
            }
            // Refused where the mesh has it already, which is what an honest gossip layer does with a replay.
            let _ = self.net.publish(frame);
        }
        let mut answered = 0;
        self.run("answers", |_, event| {
            answered += usize::from(matches!(event, Some(NetEvent::Response { .. })));
            answered == asked
        })
        .await;
    }

    async fn run(&mut self, what: &str, mut done: impl FnMut(&Self, Option<&NetEvent>) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut event = None;
        while !done(self, event.as_ref()) {
            let next = tokio::time::timeout_at(end, self.net.next()).await;
            let next = next.unwrap_or_else(|_| panic!("{what} did not come"));
            match &next {
                NetEvent::LinkUp { peer } => self.up.push(*peer),
                NetEvent::LinkDown { peer } => self.up.retain(|up| up != peer),
                NetEvent::Gossip { bytes, .. } if bytes.first() == Some(&1) => self.heard.push(bytes.clone()),
                NetEvent::Request { id, bytes, .. } => {
                    // To the question for frames: all there are, again and again. To any other: noise.
                    let reply = match DirectRequest::decode(bytes) {
                        Ok(DirectRequest::Frames { .. }) => DirectReply::Frames(self.heard.clone())
                            .encode()
                            .expect("a handful of frames"),
                        _ => self.random_bytes(300),
                    };
                    self.net.respond(*id, reply);
                }
                _ => {}
            }
            event = Some(next);
        }
    }

    fn truncated(&mut self) -> Vec<Vec<u8>> {
        let cut = |frame: &Vec<u8>| [0, 1, 8, 33, frame.len() - 1].map(|size| frame[..size].to_vec());
        self.heard.iter().flat_map(cut).collect()
    }

    fn flipped(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for frame in self.heard.clone() {
            for _ in 0..20 {
                let mut frame = frame.clone();
                let at = self.rng.random_range(0..frame.len());
                frame[at] ^= 1 << self.rng.random_range(0..8);
                frames.push(frame);
            }
        }
        frames.shuffle(&mut self.rng);
        frames
    }

    fn noise(&mut self) -> Vec<Vec<u8>> {
        (0..40)
            .map(|n| {
                let size = self.rng.random_range(1..30_000);
                let mut bytes = self.random_bytes(size);
                bytes[0] = n % 4;
                bytes
            })
            .collect()
    }

    /// A message about herself, sealed as this room's members do it.
    fn own_control_frame(&mut self) -> Vec<u8> {
        use snug_crypto::control::{self, ControlMessage};
        use snug_crypto::identity::Identity;
        use snug_crypto::leaf::{Leave, Record};

        let leave = Leave::create(
            &Identity::generate(&mut self.rng),
            1,
            1,
            &self.login.capsule.genesis.hash(),
        );
        control::seal(
            self.keys.control(),
            &ControlMessage::Record(Record::Leave(leave).to_unverified()),
        )
        .expect("a small message")
    }

    fn random_bytes(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

fn net(keys: &GenerationKeys) -> Net {
    let config = NetConfig {
        transport: TransportKey::generate(&mut rand::rng()),
        mesh: keys.mesh().clone(),
        topic: keys.topic(),
        listen: vec![plain::LOOPBACK[1].parse().expect("an address")],
        any_port: false,
        max_participants: 256,
        relays: true,
        serves: false,
        limits: NetLimits::default(),
    };
    Net::new(config).expect("a mesh on loopback")
}
