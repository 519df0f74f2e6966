//! Sealing and opening a signed message of 256 bytes, beside vodozemac's Megolm in the same run.
//!
//! Both sign once with Ed25519, ratchet once and encrypt once more than they need (Megolm: a MAC; here: an envelope). The
//! bytes are what each puts on the wire; decoding them is part of opening.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use snug_crypto::content::Content;
use vodozemac::megolm::{GroupSession, InboundGroupSession, MegolmMessage, SessionConfig};

mod room;

use room::Room;

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
    let mut far = seal();
    for _ in 2..1_000 {
        far = seal();
    }
    // A member who is not the sender signs in its name: all is paid for, chain steps included, and nothing is kept.
    let mut victim = room.live_with(room.open(&issued, 1), &issued.announcement, 1);
    group.bench_function("by a member: 999 skips and a bad signature", |b| {
        b.iter(|| victim.open(&far).unwrap_err())
    });
    group.finish();
}

fn epochs(c: &mut Criterion) {
    let mut group = c.benchmark_group("epoch");
    group.sample_size(10);
    for members in [10, 100, 1_000] {
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
