//! Frames reach everybody once, and go no further than their verdict lets them.

use std::collections::HashMap;

use super::*;
use crate::{net::PublishError, room::GossipId};

/// The next frame of one node, without a verdict.
async fn frame(world: &mut World, at: usize) -> (GossipId, Vec<u8>) {
    loop {
        if let (index, NetEvent::Gossip { id, bytes, .. }) = world.next().await {
            assert_eq!(index, at);
            return (id, bytes);
        }
    }
}

/// Returns when everything that `from` sent `to` before has arrived, or never will.
async fn fence(world: &mut World, from: usize, to: usize) -> Vec<(usize, NetEvent)> {
    let key = world.key(to);
    let mut seen = Vec::new();
    for round in 0..3 {
        let id = crate::room::QueryId(1_000_000 + round);
        world.nets[from].query(key, id, vec![]);
        loop {
            match world.next().await {
                (index, NetEvent::Request { id, .. }) => world.nets[index].respond(id, vec![]),
                (_, NetEvent::Response { .. }) => break,
                other => seen.push(other),
            }
        }
    }
    seen
}

#[tokio::test]
async fn twenty_peers_form_a_mesh_and_each_gets_each_frame_once() {
    const PEERS: usize = 20;
    bounded(async {
        let mut world = World::alike(PEERS, TCP).await;
        world.link(&everybody(PEERS)).await;
        for index in 0..PEERS {
            world.nets[index].publish(vec![index as u8; 300]).unwrap();
        }
        let mut heard = HashMap::new();
        let mut count = 0;
        while count < PEERS * (PEERS - 1) {
            if let (index, NetEvent::Gossip { bytes, .. }) = world.step().await {
                *heard.entry((index, bytes[0])).or_insert(0) += 1;
                count += 1;
            }
        }
        assert!(heard.values().all(|times| *times == 1));
        assert!(
            (0..PEERS).all(|index| !heard.contains_key(&(index, index as u8))),
            "not one's own"
        );
        for net in &world.nets {
            assert_eq!(net.stats().received, PEERS as u64 - 1);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_accepted_is_forwarded_and_what_is_ignored_is_not() {
    bounded(async {
        let mut world = World::alike(3, TCP).await;
        world.link(&[(0, 1), (1, 2)]).await;
        // The ends aren't linked, so a frame must pass the middle; it is in the middle's mesh after a heartbeat.
        let mut number = 0u64;
        loop {
            number += 1;
            world.nets[0].publish(number.to_be_bytes().to_vec()).unwrap();
            let (id, _) = frame(&mut world, 1).await;
            world.nets[1].verdict(id, Verdict::Accept);
            world.nets[1].verdict(id, Verdict::Reject);
            if let Ok((id, _)) = tokio::time::timeout(Duration::from_millis(200), frame(&mut world, 2)).await {
                world.nets[2].verdict(id, Verdict::Accept);
                break;
            }
        }
        world.nets[0].publish(b"ignored".to_vec()).unwrap();
        let (id, _) = frame(&mut world, 1).await;
        world.nets[1].verdict(id, Verdict::Ignore);
        let seen = fence(&mut world, 1, 2).await;
        assert!(seen.is_empty(), "{seen:?}");
        assert_eq!(world.nets[1].stats().rejected, 0, "a second verdict means nothing");
    })
    .await;
}

#[tokio::test]
async fn five_rejected_frames_graylist_a_peer_and_four_do_not() {
    bounded(async {
        let mut world = World::alike(2, TCP).await;
        world.link(&[(0, 1)]).await;
        for number in 0..5u8 {
            world.nets[0].publish(vec![number; 100]).unwrap();
            let (id, bytes) = frame(&mut world, 1).await;
            assert_eq!(bytes, vec![number; 100]);
            world.nets[1].verdict(id, Verdict::Reject);
        }
        assert_eq!(world.nets[1].stats().rejected, 5);
        world.nets[0].publish(b"unheard".to_vec()).unwrap();
        let seen = fence(&mut world, 0, 1).await;
        assert!(seen.is_empty(), "{seen:?}");
        assert_eq!(world.nets[1].stats().received, 5);
    })
    .await;
}

#[tokio::test]
async fn publishing_is_refused_for_a_reason() {
    bounded(async {
        let mut world = World::alike(2, TCP).await;
        assert_eq!(world.nets[0].publish(vec![1]), Err(PublishError::NoPeers));
        world.link(&[(0, 1)]).await;
        let size = snug_crypto::bounds::MAX_GOSSIP_BYTES + 1;
        assert_eq!(
            world.nets[0].publish(vec![0; size]),
            Err(PublishError::TooLarge { size })
        );
        assert_eq!(world.nets[0].publish(vec![1]), Ok(()));
        assert_eq!(world.nets[0].publish(vec![1]), Err(PublishError::Duplicate));
        assert_eq!(world.nets[0].stats().published, 1);
        // Nobody reads while this runs: the queue fills and says so.
        let mut number = 0u64;
        let refused = loop {
            number += 1;
            if let Err(error) = world.nets[0].publish(number.to_be_bytes().to_vec()) {
                break error;
            }
        };
        assert_eq!(refused, PublishError::QueueFull);
    })
    .await;
}

#[tokio::test]
async fn a_burst_of_the_largest_frames_gets_through() {
    // Under gossipsub's defaults ten pipelined frames of 60 kB kill the link without a word.
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut world = World::alike(2, listen).await;
            world.link(&[(0, 1)]).await;
            let size = snug_crypto::bounds::MAX_GOSSIP_BYTES;
            for number in 0..100u8 {
                world.nets[0].publish(vec![number; size]).unwrap();
            }
            let mut heard = 0;
            while heard < 100 {
                if let (1, NetEvent::Gossip { bytes, .. }) = world.step().await {
                    assert_eq!(bytes, vec![heard; size]);
                    heard += 1;
                }
            }
            assert_eq!((world.nets[0].stats().dropped, world.nets[1].stats().wedged), (0, 0));
        }
    })
    .await;
}

#[tokio::test]
async fn frames_without_a_verdict_do_not_pile_up() {
    bounded(async {
        let mut world = World::alike(2, TCP).await;
        world.link(&[(0, 1)]).await;
        let max = crate::net::MAX_UNJUDGED;
        let (mut sent, mut heard) = (0u64, 0);
        while heard < max + 10 {
            // No more at once than a queue holds.
            while sent < (max + 10) as u64 && sent < heard as u64 + 500 {
                world.nets[0].publish(sent.to_be_bytes().to_vec()).unwrap();
                sent += 1;
            }
            if let (1, NetEvent::Gossip { .. }) = world.next().await {
                heard += 1;
            }
        }
        assert_eq!(
            (world.nets[1].unjudged.len(), world.nets[1].stats().unjudged),
            (max, 10)
        );
    })
    .await;
}
