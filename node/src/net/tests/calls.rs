//! Calls to whoever lives at an address, and peers that links tell of.

use libp2p::PeerId;

use super::*;

/// Until every one of these is linked with every other.
async fn all_linked(world: &mut World) {
    let count = world.nets.len();
    while world.nets.iter().any(|net| net.stats().links < count - 1) {
        world.step().await;
    }
}

#[tokio::test]
async fn who_lives_at_an_address_is_linked_whatever_its_id() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let mut world = World::alike(2, listen).await;
            let foreign = world.address(1).with_p2p(PeerId::random()).unwrap();
            assert_eq!(world.nets[0].call(vec![foreign]), 1);
            world
                .until(|index, event| index == 1 && matches!(event, NetEvent::LinkUp { .. }))
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_addresses_one_that_answers_is_enough() {
    bounded(async {
        let mut world = World::new(vec![config(&[TCP]), config(&[TCP, QUIC])]).await;
        while world.nets[1].addresses().len() < 2 {
            world.next().await;
        }
        let mut addresses = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()];
        addresses.extend(world.nets[1].addresses());
        assert_eq!(world.nets[0].call(addresses), 1, "one host counts as one member");
        let seen = world
            .until(|index, event| index == 0 && matches!(event, NetEvent::LinkUp { .. }))
            .await;
        assert!(!seen.iter().any(|(_, event)| matches!(event, NetEvent::CallFailed)));
    })
    .await;
}

#[tokio::test]
async fn nobody_a_stranger_and_ourselves_are_told_once() {
    bounded(async {
        let mut stranger = config(&[TCP]);
        stranger.mesh = MeshKey::from_bytes([9; 32]);
        let mut world = World::new(vec![config(&[TCP]), stranger]).await;
        let (own, theirs) = (world.address(0), world.address(1));
        let nobody: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        for address in [own, theirs, nobody] {
            assert!(world.nets[0].call_member(vec![address.clone()]));
            assert!(!world.nets[0].call_member(vec![address]), "called already");
            world
                .until(|index, event| index == 0 && matches!(event, NetEvent::CallFailed))
                .await;
        }
        assert_eq!(world.nets[0].stats().links, 0);
    })
    .await;
}

#[tokio::test]
async fn whoever_comes_later_is_still_called() {
    bounded(async {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", port.local_addr().unwrap().port())
            .parse()
            .unwrap();
        drop(port);
        let mut world = World::alike(1, TCP).await;
        world.nets[0].call(vec![address.clone()]);
        world.until(|_, event| matches!(event, NetEvent::CallFailed)).await;
        let mut late = config(&[]);
        late.listen = vec![address];
        world.nets.push(Net::new(late).unwrap());
        world
            .until(|index, event| index == 1 && matches!(event, NetEvent::LinkUp { .. }))
            .await;
    })
    .await;
}

#[tokio::test]
async fn all_meet_who_know_one_of_them() {
    bounded(async {
        for listen in [TCP, QUIC] {
            let limits = NetLimits {
                enough_links: 8,
                ..patient()
            };
            let mut world = World::limited(5, listen, limits).await;
            let known = world.address(0);
            for net in &mut world.nets[1..] {
                net.call(vec![known.clone()]);
            }
            all_linked(&mut world).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_taken_port_gives_way_to_a_free_one() {
    bounded(async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wish = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
        assert!(Net::new(config(&[&wish])).is_err());
        let mut obliging = config(&[&wish]);
        obliging.any_port = true;
        let mut net = Net::new(obliging).unwrap();
        net.listening(BOUND).await;
        assert_eq!(net.presentable().len(), 1);
        assert_ne!(net.presentable()[0].to_string(), wish);
    })
    .await;
}
