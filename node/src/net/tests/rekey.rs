//! Nets that move from one generation to the next: links end and stand again, and who is late meets nothing but the door.

use super::*;

const NEW: [u8; 32] = [21; 32];
const OTHER: [u8; 32] = [22; 32];

fn first() -> MeshKey {
    MeshKey::from_bytes([1; 32])
}

/// Moves a net to a generation of its own topic; the first one's key opens its door.
fn move_to(net: &mut Net, mesh: [u8; 32]) {
    net.set_questions(b"plain".to_vec(), b"telling".to_vec());
    net.rekey(MeshKey::from_bytes(mesh), &Topic(mesh), vec![first()]);
}

#[tokio::test]
async fn who_moves_is_linked_again_on_the_new_topic() {
    for listen in [TCP, QUIC] {
        bounded(async {
            let mut world = World::alike(4, listen).await;
            world.link(&everybody(4)).await;
            world.nets.iter_mut().for_each(|net| move_to(net, NEW));
            let mut down = 0;
            let mut up = HashSet::new();
            while up.len() < 12 {
                match world.step().await {
                    (index, NetEvent::LinkUp { peer }) => drop(up.insert((index, peer))),
                    (_, NetEvent::LinkDown { .. }) => down += 1,
                    (_, NetEvent::Knock { .. } | NetEvent::Door { .. }) => panic!("all have moved"),
                    _ => {}
                }
            }
            assert!(down >= 12);
            world.nets[0].publish(vec![7; 300]).unwrap();
            let mut heard = HashSet::new();
            while heard.len() < 3 {
                if let (index, NetEvent::Gossip { bytes, .. }) = world.step().await {
                    assert_eq!(bytes, vec![7; 300]);
                    heard.insert(index);
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_late_asks_at_the_door_and_hears_nothing_else() {
    bounded(async {
        let mut world = World::alike(3, TCP).await;
        world.link(&everybody(3)).await;
        world.nets[2].set_questions(b"what now?".to_vec(), Vec::new());
        for index in 0..2 {
            move_to(&mut world.nets[index], NEW);
        }
        let (mut answers, mut number) = (0, 0_u32);
        while answers < 2 {
            // Whatever the two say meanwhile is for themselves.
            number += 1;
            let _ = world.nets[0].publish(number.to_be_bytes().repeat(16));
            match tokio::time::timeout(Duration::from_millis(20), world.step()).await {
                Ok((index, NetEvent::Knock { from, id, bytes, .. })) => {
                    assert!(index < 2 && from == world.key(2));
                    assert_eq!(bytes, b"what now?");
                    world.nets[index].respond(id, b"this".to_vec());
                }
                Ok((index, NetEvent::Door { bytes, .. })) => {
                    assert_eq!((index, bytes), (2, b"this".to_vec()));
                    answers += 1;
                }
                Ok((2, event @ (NetEvent::Gossip { .. } | NetEvent::LinkUp { .. } | NetEvent::Request { .. }))) => {
                    panic!("{event:?}")
                }
                _ => {}
            }
        }
        assert_eq!(world.nets[2].stats().links, 0);
        let late = crate::net::peer::id_of(&world.key(2)).unwrap();
        assert!(world.nets[0].gossip().all_peers().all(|(peer, _)| *peer != late));
        // With the new key it is let in.
        move_to(&mut world.nets[2], NEW);
        world
            .until(|index, event| index == 2 && matches!(event, NetEvent::LinkUp { .. }))
            .await;
    })
    .await;
}

#[tokio::test]
async fn two_branches_find_each_other_by_the_key_that_both_had() {
    bounded(async {
        let mut world = World::alike(2, TCP).await;
        world.link(&[(0, 1)]).await;
        move_to(&mut world.nets[0], NEW);
        move_to(&mut world.nets[1], OTHER);
        // Whichever of the two dials first with the key that both had: its question tells the other as much as it is told.
        let asked = loop {
            match world.step().await {
                (index, NetEvent::Knock { id, bytes, .. }) => {
                    assert_eq!(bytes, b"telling");
                    world.nets[index].respond(id, b"mine".to_vec());
                    break index;
                }
                (_, event @ (NetEvent::LinkUp { .. } | NetEvent::Door { .. })) => panic!("{event:?}"),
                _ => {}
            }
        };
        loop {
            match world.step().await {
                (index, NetEvent::Door { bytes, .. }) => {
                    assert_eq!((index, bytes), (1 - asked, b"mine".to_vec()));
                    break;
                }
                (_, NetEvent::LinkUp { .. }) => panic!("they are of different generations"),
                _ => {}
            }
        }
    })
    .await;
}
