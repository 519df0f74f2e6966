//! Sealing and opening a signed message of 256 bytes, beside vodozemac's Megolm in the same run.
//!
//! Both sign once with Ed25519, ratchet once and encrypt once more than they need (Megolm: a MAC; here: an envelope). The
//! bytes are what each puts on the wire; decoding them is part of opening.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, Identity, LeafId, Policy, RoomId, RoomKey, RoomRandom, TransportKey,
    content::Content,
    epoch::{self, Announcement, EpochSecrets, IssueParams, MemberEntry, Round},
    frame::Epoch,
    leaf::{Leaf, LeafParams, LeafPublicKey, LeafSecrets},
};
use vodozemac::megolm::{GroupSession, InboundGroupSession, MegolmMessage, SessionConfig};

struct Member {
    secrets: LeafSecrets,
    leaf: Leaf,
}

struct Room {
    rng: ChaCha20Rng,
    genesis: Genesis,
    keys: GenerationKeys,
    members: Vec<Member>,
}

impl Room {
    fn new(members: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let admin = AdminKey::generate(&mut rng);
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "", 0, Policy::default()).unwrap();
        let (key, random) = (RoomKey::generate(&mut rng), RoomRandom::generate(&mut rng));
        let keys = GenerationKeys::derive(&key, &random, &id.handle(), Generation::first(&genesis.hash()));
        let members = (0..members)
            .map(|_| {
                let (identity, transport) = (Identity::generate(&mut rng), TransportKey::generate(&mut rng));
                let secrets = LeafSecrets::generate(&mut rng);
                let generation = keys.generation();
                let params = LeafParams {
                    name: "a".into(),
                    seq: 1,
                    incarnation: 0,
                    expires_at_ms: 1,
                    generation,
                };
                let leaf = Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash()).unwrap();
                Member { secrets, leaf }
            })
            .collect();
        Self {
            rng,
            genesis,
            keys,
            members,
        }
    }

    fn issue(&mut self) -> epoch::Issued {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|m| (MemberEntry::of(&m.leaf), m.leaf.kem()))
            .collect();
        let params = IssueParams {
            generation: self.keys.generation(),
            round: Round { day: 1, counter: 0 },
            issuer: self.members[0].leaf.id(),
            custodians: vec![],
            members: &members,
        };
        let signer = &self.members[0].secrets.signing;
        epoch::issue(&mut self.rng, self.keys.psk(), &self.genesis.hash(), params, signer).unwrap()
    }

    fn open(&self, issued: &epoch::Issued, index: usize) -> EpochSecrets {
        let member = &self.members[index];
        let sealed = issued
            .boxes
            .iter()
            .find(|sealed| sealed.leaf == member.leaf.id())
            .unwrap();
        epoch::open_box(&issued.announcement, sealed, &member.secrets.kem, self.keys.psk()).unwrap()
    }

    fn live(&self, secrets: EpochSecrets, announcement: &Announcement) -> Epoch {
        let keys: Vec<(LeafId, LeafPublicKey)> = self.members.iter().map(|m| (m.leaf.id(), *m.leaf.key())).collect();
        Epoch::new(secrets, announcement, &keys).unwrap()
    }

    /// An epoch for which every frame is signed by the wrong key: all members have that of one.
    fn live_with(&self, secrets: EpochSecrets, announcement: &Announcement, of: usize) -> Epoch {
        let key = *self.members[of].leaf.key();
        let keys: Vec<(LeafId, LeafPublicKey)> = self.members.iter().map(|m| (m.leaf.id(), key)).collect();
        Epoch::new(secrets, announcement, &keys).unwrap()
    }
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    group.throughput(Throughput::Elements(1));
    let plaintext = "x".repeat(256);
    let contents = [Content::Text {
        text: plaintext.clone(),
        reply_to: None,
        sent_at_ms: 1_700_000_000_000,
    }];

    let mut room = Room::new(10);
    let issued = room.issue();
    let mut sender = room.live(room.open(&issued, 0), &issued.announcement);
    let mut receiver = room.live(room.open(&issued, 1), &issued.announcement);
    let (me, key) = (room.members[0].leaf.id(), room.members[0].secrets.signing.clone());
    group.bench_function(BenchmarkId::new("seal", "snug"), |b| {
        b.iter(|| sender.seal(&mut room.rng, me, &key, &[], &contents).unwrap().bytes);
    });
    let mut megolm = GroupSession::new(SessionConfig::version_1());
    group.bench_function(BenchmarkId::new("seal", "megolm"), |b| {
        b.iter(|| megolm.encrypt(&plaintext).to_bytes());
    });

    // A fresh pair, whose receiver follows frame by frame as receivers do.
    let mut sender = room.live(room.open(&issued, 0), &issued.announcement);
    group.bench_function(BenchmarkId::new("open", "snug"), |b| {
        b.iter_batched(
            || sender.seal(&mut room.rng, me, &key, &[], &contents).unwrap().bytes,
            |bytes| receiver.open(&bytes).unwrap(),
            BatchSize::PerIteration,
        );
    });
    let mut megolm = GroupSession::new(SessionConfig::version_1());
    let mut inbound = InboundGroupSession::new(&megolm.session_key(), SessionConfig::version_1());
    group.bench_function(BenchmarkId::new("open", "megolm"), |b| {
        b.iter_batched(
            || megolm.encrypt(&plaintext).to_bytes(),
            |bytes| {
                inbound
                    .decrypt(&MegolmMessage::try_from(bytes.as_slice()).unwrap())
                    .unwrap()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// What somebody hostile can make a receiver do with one frame.
fn attacks(c: &mut Criterion) {
    let mut group = c.benchmark_group("attack");
    let mut room = Room::new(2);
    let issued = room.issue();
    let (me, key) = (room.members[0].leaf.id(), room.members[0].secrets.signing.clone());
    let contents = [Content::Text {
        text: "x".repeat(256),
        reply_to: None,
        sent_at_ms: 1_700_000_000_000,
    }];
    let mut sender = room.live(room.open(&issued, 0), &issued.announcement);
    let mut receiver = room.live(room.open(&issued, 1), &issued.announcement);
    let mut seal = || sender.seal(&mut room.rng, me, &key, &[], &contents).unwrap().bytes;

    let mut forged = seal();
    forged[100] ^= 1;
    group.bench_function("by a stranger: forged envelope", |b| {
        b.iter(|| receiver.open(&forged).unwrap_err())
    });
    let mut other = forged.clone();
    other[1] ^= 1;
    group.bench_function("by a stranger: unknown tag", |b| {
        b.iter(|| receiver.open(&other).unwrap_err())
    });
    let far = (0..=1_000).map(|_| seal()).next_back().unwrap();
    // A member who is not the sender signs in its name: all is paid for, chain steps included, and nothing is kept.
    let mut victim = room.live_with(room.open(&issued, 1), &issued.announcement, 1);
    group.bench_function("by a member: 1,000 skips and a bad signature", |b| {
        b.iter(|| victim.open(&far).unwrap_err())
    });
    group.finish();
}

fn epochs(c: &mut Criterion) {
    let mut group = c.benchmark_group("epoch");
    group.sample_size(10);
    for members in [10, 100] {
        let mut room = Room::new(members);
        group.bench_function(BenchmarkId::new("issue", members), |b| b.iter(|| room.issue()));
        let issued = room.issue();
        group.bench_function(BenchmarkId::new("open box", members), |b| {
            b.iter(|| room.open(&issued, 1))
        });
        let begin = || room.open(&issued, 1);
        group.bench_function(BenchmarkId::new("begin", members), |b| {
            b.iter_batched(
                begin,
                |secrets| room.live(secrets, &issued.announcement),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, frames, attacks, epochs);
criterion_main!(benches);
