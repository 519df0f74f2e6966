//! One request, one reply, within their bounds.

use snug_crypto::bounds::MAX_DIRECT_BYTES;

use super::*;
use crate::room::{QueryId, RequestId};

/// The next request that anybody gets.
async fn request(world: &mut World) -> (usize, PeerKey, RequestId, Vec<u8>) {
    loop {
        if let (index, NetEvent::Request { from, id, bytes }) = world.step().await {
            return (index, from, id, bytes);
        }
    }
}

/// The next reply that anybody gets.
async fn response(world: &mut World) -> (usize, QueryId, Option<Vec<u8>>) {
    loop {
        if let (index, NetEvent::Response { id, bytes }) = world.step().await {
            return (index, id, bytes);
        }
    }
}

#[tokio::test]
async fn a_question_is_answered_up_to_the_largest() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut world = World::alike(2, listen).await;
            world.link(&[(0, 1)]).await;
            let (a, b) = (world.key(0), world.key(1));
            for size in [0, 1, 100_000, MAX_DIRECT_BYTES] {
                world.nets[0].query(b, QueryId(size as u64), vec![7; size]);
                let (index, from, id, bytes) = request(&mut world).await;
                assert_eq!((index, from, bytes.len()), (1, a, size));
                world.nets[1].respond(id, bytes);
                world.nets[1].respond(id, vec![]);
                assert_eq!(
                    response(&mut world).await,
                    (0, QueryId(size as u64), Some(vec![7; size]))
                );
            }
            assert!(world.nets[1].requests.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn both_ends_ask_as_much_as_they_may_at_once() {
    bounded(async {
        let mut world = World::alike(2, TCP).await;
        world.link(&[(0, 1)]).await;
        let count = world.nets[0].limits.direct_streams;
        for index in 0..2 {
            let to = world.key(1 - index);
            for number in 0..=count {
                world.nets[index].query(to, QueryId(number as u64), vec![number as u8]);
            }
        }
        let (mut answered, mut refused) = (0, 0);
        while answered + refused < 2 * (count + 1) {
            match world.step().await {
                (index, NetEvent::Request { id, bytes, .. }) => world.nets[index].respond(id, bytes),
                (_, NetEvent::Response { id, bytes: Some(bytes) }) => {
                    assert_eq!(bytes, vec![id.0 as u8]);
                    answered += 1;
                }
                (_, NetEvent::Response { id, bytes: None }) => {
                    assert_eq!(id.0, count as u64);
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((answered, refused), (2 * count, 2));
    })
    .await;
}

#[tokio::test]
async fn every_question_ends_even_without_an_answer() {
    bounded(async {
        let mut world = World::limited(3, TCP, impatient()).await;
        world.link(&[(0, 1)]).await;
        let (b, c) = (world.key(1), world.key(2));

        world.nets[0].query(c, QueryId(1), vec![]);
        assert_eq!(response(&mut world).await, (0, QueryId(1), None), "no link");

        world.nets[0].query(b, QueryId(2), vec![0; MAX_DIRECT_BYTES + 1]);
        assert_eq!(
            response(&mut world).await,
            (0, QueryId(2), None),
            "too large a question"
        );

        world.nets[0].query(b, QueryId(3), vec![]);
        let (_, _, id, _) = request(&mut world).await;
        world.nets[1].respond(id, vec![0; MAX_DIRECT_BYTES + 1]);
        assert_eq!(response(&mut world).await, (0, QueryId(3), None), "too large an answer");

        world.nets[0].query(b, QueryId(4), vec![]);
        let (_, _, late, _) = request(&mut world).await;
        assert_eq!(response(&mut world).await, (0, QueryId(4), None), "no answer in time");
        world.nets[1].respond(late, vec![]);

        world.nets[0].query(b, QueryId(5), vec![]);
        request(&mut world).await;
        world.nets.remove(1).shutdown().await;
        assert_eq!(response(&mut world).await, (0, QueryId(5), None), "the peer went");

        assert!(world.nets[0].queries.is_empty());
        assert_eq!(world.nets[0].stats().queries_failed, 5);
    })
    .await;
}
