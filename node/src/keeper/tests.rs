//! A keeper on loopback, with guests that hold the keys of its links and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use snug_crypto::AdminKey;
use snug_crypto::credential::{Certificate, Rank};
use snug_crypto::direct::DirectRequest;
use snug_crypto::ids::OperationHash;
use snug_crypto::keeper::{Grant, Granter, item_name};
use snug_crypto::leaf::LeafSigningKey;
use tokio::sync::watch;

use super::*;
use crate::room::QueryId;

/// No test takes longer, on a machine that is busy with much else.
const BOUND: Duration = Duration::from_secs(120);
const GENESIS: GenesisHash = GenesisHash::from_bytes([9; 32]);

fn generation(count: u64) -> Generation {
    let hash = OperationHash::from_bytes([count as u8; 32]);
    Generation { count, hash }
}

fn mesh(count: u64) -> MeshKey {
    MeshKey::from_bytes([100 + count as u8; 32])
}

fn topic(count: u64) -> Topic {
    Topic([200 + count as u8; 32])
}

/// Who may sign, and a keeper that runs.
struct House {
    admin: AdminKey,
    offer: Offer,
    at: Vec<Multiaddr>,
    reports: Arc<Mutex<Vec<KeepReport>>>,
    news: watch::Receiver<usize>,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<Result<(), KeepError>>,
    _folder: tempfile::TempDir,
}

impl House {
    async fn new(limits: StoreLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admin = AdminKey::from_seed(&[1; 32]);
        let listen: Vec<Multiaddr> = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let mut keeper = Keeper::open(folder.path()).unwrap();
        assert!(matches!(Keeper::open(folder.path()), Err(KeepError::InUse { .. })));
        let offer = keeper.offer(&listen, Vec::new()).await.unwrap();
        let grant = grant(Granter::Admin(&admin), &offer, 0, 0, 1_000, None);
        keeper
            .accept(&KeeperInvite {
                admin: admin.public(),
                grant,
            })
            .unwrap();
        let (reports, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (tell, mut news) = watch::channel(0);
        let told = Arc::clone(&reports);
        let options = KeepOptions { listen, limits };
        let done = tokio::spawn(keeper.run(options, stop.clone(), move |report| {
            let mut told = told.lock().unwrap();
            told.push(report);
            tell.send_replace(told.len());
        }));
        news.wait_for(|count| *count > 0).await.unwrap();
        let at = match &reports.lock().unwrap()[0] {
            KeepReport::Keeping { addresses } => addresses.clone(),
            other => panic!("{other:?}"),
        };
        Self {
            admin,
            offer,
            at,
            reports,
            news,
            stop,
            done,
            _folder: folder,
        }
    }

    /// Waits until it reports that it moved, and says where it has been.
    async fn moved(&mut self, times: usize) -> Vec<u64> {
        let reports = Arc::clone(&self.reports);
        let moves = || -> Vec<u64> {
            let reports = reports.lock().unwrap();
            let count = |report: &KeepReport| match report {
                KeepReport::Moved { generation } => Some(*generation),
                _ => None,
            };
            reports.iter().filter_map(count).collect()
        };
        self.news.wait_for(|_| moves().len() >= times).await.unwrap();
        moves()
    }

    async fn end(self) {
        self.stop.cancel();
        self.done.await.unwrap().unwrap();
    }
}

fn grant(
    granter: Granter<'_>,
    offer: &Offer,
    before: u64,
    count: u64,
    at_ms: u64,
    object: Option<&[u8]>,
) -> UnverifiedGrant {
    let grant = Grant {
        generation: generation(count),
        topic: topic(count),
        keep: &mesh(count),
        before: generation(before),
        at_ms,
        object,
    };
    grant.create(granter, offer, &GENESIS, &mut UnwrapErr(SysRng)).unwrap()
}

/// Somebody who can prove a generation's mesh key.
struct Guest {
    net: Net,
    queries: u64,
}

impl Guest {
    fn new(count: u64) -> Self {
        let net = Net::new(NetConfig {
            transport: TransportKey::generate(&mut UnwrapErr(SysRng)),
            // That of members among each other, which a keeper lacks.
            mesh: MeshKey::from_bytes([77; 32]),
            topic: topic(count),
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            any_port: false,
            max_participants: 10,
            relays: false,
            serves: false,
            limits: NetLimits {
                patience: BOUND,
                direct_timeout: BOUND,
                enough_links: 0,
                ..NetLimits::default()
            },
        });
        Self {
            net: net.unwrap(),
            queries: 0,
        }
    }

    async fn linked(count: u64, house: &House) -> Self {
        let mut guest = Self::new(count);
        let questions = BTreeMap::from([(house.offer.peer(), Vec::new())]);
        guest.net.set_keepers(vec![mesh(count)], questions);
        guest.net.call_member(house.at.clone());
        while guest.net.next().await
            != (NetEvent::LinkUp {
                peer: house.offer.peer(),
            })
        {}
        guest
    }

    async fn ask(&mut self, house: &House, bytes: Vec<u8>) -> Vec<u8> {
        self.queries += 1;
        let query = QueryId(self.queries);
        self.net.query(house.offer.peer(), query, bytes);
        loop {
            match self.net.next().await {
                NetEvent::Response { id, bytes } if id == query => return bytes.expect("an answer"),
                NetEvent::LinkDown { .. } => panic!("the link ended"),
                _ => {}
            }
        }
    }

    async fn request(&mut self, house: &House, request: &KeeperRequest) -> KeeperReply {
        let answer = self.ask(house, request.encode().unwrap()).await;
        KeeperReply::decode(&answer).unwrap()
    }

    /// What it is told at the keeper's door.
    async fn at_the_door(count: u64, house: &House, question: &KeeperRequest) -> Option<Vec<u8>> {
        let mut guest = Self::new(count);
        let question = question.encode().unwrap();
        guest
            .net
            .set_questions(b"nothing that a keeper shall see".to_vec(), b"nor this".to_vec());
        let questions = BTreeMap::from([(house.offer.peer(), question)]);
        guest.net.set_keepers(vec![mesh(count)], questions);
        guest.net.call_member(house.at.clone());
        loop {
            match guest.net.next().await {
                NetEvent::Door { bytes, .. } => match KeeperReply::decode(&bytes).unwrap() {
                    KeeperReply::Generation(object) => return object,
                    other => panic!("{other:?}"),
                },
                NetEvent::LinkUp { .. } => panic!("let in with a key of a former generation"),
                _ => {}
            }
        }
    }
}

fn frame(number: u32, size: usize) -> Vec<u8> {
    [&[1][..], &number.to_be_bytes(), &vec![7; size]].concat()
}

#[tokio::test]
async fn what_was_left_is_there_for_others_whatever_a_link_brings() {
    tokio::time::timeout(BOUND, async {
        let house = House::new(StoreLimits {
            frames: 100,
            frame_bytes: 200_000,
            ..StoreLimits::default()
        })
        .await;
        let (mut alice, mut mallory) = (Guest::linked(0, &house).await, Guest::linked(0, &house).await);
        let said = frame(1_000_000, 500);
        let deposit = KeeperRequest::Deposit(vec![said.clone(), vec![3; 100], vec![], vec![1; 8]]);
        assert_eq!(alice.request(&house, &deposit).await, KeeperReply::Kept);
        // Garbage in the shape of frames, by the hundred; requests that members ask each other; and bytes.
        for round in 0..20 {
            let items = (0..30).map(|number| frame(round * 30 + number, 10_000)).collect();
            mallory.request(&house, &KeeperRequest::Deposit(items)).await;
        }
        let members = DirectRequest::Compare { digest: [5; 32] }.encode().unwrap();
        for bytes in [members, vec![0x10, 0xFF, 0xFF, 0xFF, 0xFF], vec![], vec![0x12; 1 << 20]] {
            assert_eq!(mallory.ask(&house, bytes).await, Vec::<u8>::new());
        }
        let fetch = KeeperRequest::Fetch(vec![item_name(&said), [0; 16]]);
        assert_eq!(mallory.request(&house, &fetch).await, KeeperReply::Items(vec![said]));
        let looked = alice
            .request(
                &house,
                &KeeperRequest::Holdings {
                    store: [0; 8],
                    after: 0,
                },
            )
            .await;
        let KeeperReply::Holdings { items, more, .. } = looked else {
            panic!("{looked:?}")
        };
        assert!((2..=20).contains(&items.len()) && !more, "{}", items.len());
        // What is gossiped is kept, too, and goes no further.
        let gossiped = frame(2_000_000, 300);
        alice.net.publish(gossiped.clone()).unwrap();
        let fetch = KeeperRequest::Fetch(vec![item_name(&gossiped)]);
        while alice.request(&house, &fetch).await != KeeperReply::Items(vec![gossiped.clone()]) {}
        house.end().await;
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn it_moves_with_the_admins_word_and_tells_the_late_what_it_cannot_read() {
    tokio::time::timeout(BOUND, async {
        let mut house = House::new(StoreLimits::default()).await;
        let (said, record) = (frame(1, 100), [&[2][..], &[8; 80]].concat());
        let object = vec![10; 5_000];
        let mut alice = Guest::linked(0, &house).await;
        let deposit = KeeperRequest::Deposit(vec![said.clone(), record.clone()]);
        alice.request(&house, &deposit).await;
        let stranger = AdminKey::from_seed(&[2; 32]);
        let asked = |grant: UnverifiedGrant, object: Option<Vec<u8>>| KeeperRequest::Generation {
            generation: generation(0),
            grant: Some((grant.encode(), object)),
        };
        // Another's word, an older one, and one whose object is another: nothing, nothing, and no object.
        let forged = grant(Granter::Admin(&stranger), &house.offer, 0, 1, 2_000, None);
        let older = grant(Granter::Admin(&house.admin), &house.offer, 0, 1, 999, None);
        for grant in [forged, older] {
            let answer = alice.request(&house, &asked(grant, None)).await;
            assert_eq!(answer, KeeperReply::Generation(None));
        }
        let good = grant(Granter::Admin(&house.admin), &house.offer, 0, 1, 3_000, Some(&object));
        alice.request(&house, &asked(good, Some(object.clone()))).await;
        assert_eq!(house.moved(1).await, [1]);

        // Whoever is late gets the object, and is let in no further.
        let late = KeeperRequest::Generation {
            generation: generation(0),
            grant: None,
        };
        assert_eq!(Guest::at_the_door(0, &house, &late).await, Some(object));
        let mut alice = Guest::linked(1, &house).await;
        let fetch = KeeperRequest::Fetch(vec![item_name(&record), item_name(&said)]);
        let there = alice.request(&house, &fetch).await;
        assert_eq!(
            there,
            KeeperReply::Items(vec![said]),
            "frames stay, and messages of the former key don't"
        );

        // A moderator's word counts over a link of the present, and not at the door.
        let key = LeafSigningKey::from_seed(&[3; 32]);
        let certificate = Certificate {
            genesis_hash: GENESIS,
            key: *key.public().as_bytes(),
            rank: Rank::Moderator,
            serial: 0,
            expires_at_ms: u64::MAX,
        };
        let certified = || Granter::Certified(&key, certificate.sign(&house.admin));
        let usurped = grant(certified(), &house.offer, 0, 7, 4_000, None);
        Guest::at_the_door(0, &house, &asked(usurped, None)).await;
        let second = grant(certified(), &house.offer, 1, 2, 5_000, None);
        alice.request(&house, &asked(second, None)).await;
        assert_eq!(house.moved(2).await, [1, 2]);
        // The admin's counts anywhere, even back to a lower one: what is at hand may be void.
        let back = grant(Granter::Admin(&house.admin), &house.offer, 0, 1, 6_000, None);
        Guest::at_the_door(0, &house, &asked(back, None)).await;
        assert_eq!(house.moved(3).await, [1, 2, 1]);
        house.end().await;
    })
    .await
    .unwrap();
}
