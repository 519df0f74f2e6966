//! Links form, once, with those of the room, and end.

use super::*;

#[tokio::test]
async fn two_peers_link_over_tcp_and_quic() {
    for listen in [TCP, QUIC] {
        bounded(async {
            let mut world = World::alike(2, listen).await;
            world.link(&[(0, 1)]).await;
            assert_eq!((world.nets[0].stats().links, world.nets[1].stats().links), (1, 1));
        })
        .await;
    }
}

#[tokio::test]
async fn whoever_hears_of_a_link_can_publish() {
    bounded(async {
        for _ in 0..5 {
            let mut world = World::alike(2, TCP).await;
            world.dial(0, 1);
            let (mut linked, mut heard) = (0, 0);
            while heard < 2 {
                match world.step().await {
                    (index, NetEvent::LinkUp { .. }) => {
                        linked += 1;
                        world.nets[index].publish(vec![index as u8]).unwrap();
                    }
                    (_, NetEvent::Gossip { .. }) => heard += 1,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(linked, 2);
        }
    })
    .await;
}

#[tokio::test]
async fn dialing_at_once_from_both_ends_makes_one_link() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut world = World::alike(2, listen).await;
            world.dial(0, 1);
            world.dial(1, 0);
            let seen = world
                .until({
                    let mut up = 0;
                    move |_, event| {
                        up += usize::from(matches!(event, NetEvent::LinkUp { .. }));
                        up == 2
                    }
                })
                .await;
            assert_eq!(seen.len(), 2, "{seen:?}");
            // Later connections add no link, and a frame still comes once.
            world.nets[0].publish(b"one".to_vec()).unwrap();
            world.nets[1].publish(b"two".to_vec()).unwrap();
            let fence = |event: &NetEvent| matches!(event, NetEvent::Gossip { bytes, .. } if bytes == b"fence");
            world.until(|_, event| matches!(event, NetEvent::Gossip { .. })).await;
            world.until(|_, event| matches!(event, NetEvent::Gossip { .. })).await;
            world.nets[0].publish(b"fence".to_vec()).unwrap();
            let rest = world.until(|_, event| fence(event)).await;
            assert_eq!(rest.len(), 1, "{rest:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn another_rooms_key_never_links() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut stranger = config(&[listen]);
            stranger.mesh = MeshKey::from_bytes([9; 32]);
            let mut world = World::new(vec![config(&[listen]), stranger]).await;
            let (us, them) = (world.key(0), world.key(1));
            world.dial(0, 1);
            let seen = world
                .until(|index, event| index == 0 && *event == NetEvent::DialFailed { peer: them })
                .await;
            assert_eq!(seen.len(), 1, "{seen:?}");
            world.dial(1, 0);
            let seen = world
                .until(|index, event| index == 1 && *event == NetEvent::DialFailed { peer: us })
                .await;
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert_eq!((world.nets[0].stats().links, world.nets[1].stats().links), (0, 0));
            assert!(world.nets[0].stats().wrong_proofs >= 1);
        }
    })
    .await;
}

#[tokio::test]
async fn several_addresses_of_which_one_answers() {
    bounded(async {
        let mut world = World::alike(2, TCP).await;
        let (key, address) = (world.key(1), world.address(1));
        let dead = ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1"].map(|dead| dead.parse().unwrap());
        world.nets[0].dial(key, [dead.to_vec(), vec![address]].concat());
        world
            .until(|index, event| index == 0 && *event == NetEvent::LinkUp { peer: key })
            .await;
    })
    .await;
}

#[tokio::test]
async fn nobody_there_is_told_and_tried_again() {
    bounded(async {
        let mut world = World::alike(1, TCP).await;
        let absent = config(&[]).transport.peer_key();
        world.nets[0].dial(absent, vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()]);
        assert_eq!(world.step().await, (0, NetEvent::DialFailed { peer: absent }));
        world.nets[0].dial(absent, vec![]);
        let _ = tokio::time::timeout(Duration::from_secs(2), world.step()).await;
        assert!(world.nets[0].stats().dials >= 2, "{:?}", world.nets[0].stats());
    })
    .await;
}

#[tokio::test]
async fn nothing_to_dial_is_told_at_once_and_ourselves_are_passed_over() {
    bounded(async {
        let mut world = World::alike(1, TCP).await;
        let (absent, us, own) = (config(&[]).transport.peer_key(), world.key(0), world.address(0));
        world.nets[0].dial(us, vec![own]);
        world.nets[0].dial(absent, vec!["/memory/1".parse().unwrap()]);
        assert_eq!(world.step().await, (0, NetEvent::DialFailed { peer: absent }));
        assert_eq!(world.nets[0].stats().dials, 0);
    })
    .await;
}

#[tokio::test]
async fn a_node_without_listeners_links_too() {
    bounded(async {
        let mut world = World {
            nets: vec![Net::new(config(&[])).unwrap(), Net::new(config(&[TCP])).unwrap()],
        };
        while world.nets[1].addresses().is_empty() {
            world.next().await;
        }
        world.link(&[(0, 1)]).await;
    })
    .await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    bounded(async {
        let world = World::alike(1, TCP).await;
        let taken = world.address(0).to_string();
        assert!(matches!(
            Net::new(config(&[&taken])),
            Err(super::super::NetError::Listen { .. })
        ));
        assert!(Net::new(config(&[&taken, TCP])).is_ok(), "one way in is enough");
    })
    .await;
}

#[tokio::test]
async fn disconnecting_ends_the_link_at_both_ends() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut world = World::alike(2, listen).await;
            world.link(&[(0, 1)]).await;
            let (a, b) = (world.key(0), world.key(1));
            world.nets[0].disconnect(b);
            let mut missing = HashSet::from([(0, b), (1, a)]);
            while !missing.is_empty() {
                if let (index, NetEvent::LinkDown { peer }) = world.step().await {
                    missing.remove(&(index, peer));
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_farewell_takes_the_last_words_along() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut world = World::alike(2, listen).await;
            world.link(&[(1, 0)]).await;
            let mut leaver = world.nets.remove(0);
            let key = leaver.local();
            leaver.publish(b"bye".to_vec()).unwrap();
            let farewell = tokio::spawn(leaver.shutdown());
            let seen = world.until(|_, event| *event == NetEvent::LinkDown { peer: key }).await;
            assert!(
                matches!(&seen[0].1, NetEvent::Gossip { bytes, .. } if bytes == b"bye"),
                "{seen:?}"
            );
            farewell.await.unwrap();
            // It said goodbye, so nobody looks for it.
            let dials = world.nets[0].stats().dials;
            let _ = tokio::time::timeout(Duration::from_secs(1), world.step()).await;
            assert_eq!(world.nets[0].stats().dials, dials);
        }
    })
    .await;
}
