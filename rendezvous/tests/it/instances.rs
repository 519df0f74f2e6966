//! Several instances on one MongoDB, behind a balancer that knows nothing of what passes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use snug_rendezvous::{Limits, StoreSpec};
use snug_rendezvous_api::{Credential, Session};
use tokio::net::{TcpListener, TcpStream};

use crate::mongod::Mongod;
use crate::support::{Client, KEY, PASSWORD, Running, handle, tombstone};

/// Hands connections to the backends in turn; says how many each got.
async fn balancer(backends: [SocketAddr; 2]) -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        for turn in (0..backends.len()).cycle() {
            let Ok((mut from, _)) = listener.accept().await else {
                return;
            };
            counted[turn].fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let Ok(mut to) = TcpStream::connect(backends[turn]).await else {
                    return;
                };
                // Whoever closes first ends it.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (address, counts)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_instance_goes_on_with_what_another_began() {
    let Some(mongod) = Mongod::start("any_instance_goes_on_with_what_another_began") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("instances"));
    let first = Running::with(Limits::default(), Some(store)).await;
    let second = first.beside().await;
    let den = handle("den");
    first.client().register(&den).await;

    // A login that starts at one and finishes at the other, both ways, and its token is good at both.
    for (one, other) in [(&first, &second), (&second, &first)] {
        let proof = one.client().proof(&den, Credential::Room, KEY).await;
        let session: Session = other.client().finish(&den, &proof).await.expect(200);
        for instance in [one, other] {
            assert_eq!(instance.client().put(&den, &session.token, b"here").await.status, 200);
        }
        // And not twice, wherever.
        assert_ne!(one.client().finish(&den, &proof).await.status, 200);
    }

    // A whole life through a balancer: each request is another connection, so each goes to the other instance.
    let (address, counts) = balancer([first.address, second.address]).await;
    let (client, barn) = (Client { address }, handle("barn"));
    let admin = client.register(&barn).await;
    let (alice, bob) = (client.member(&barn).await, client.member(&barn).await);
    assert_eq!(client.put(&barn, &alice, b"alice").await.status, 200);
    assert_eq!(client.others(&barn, &bob).await, [b"alice".to_vec()]);
    let token = client.log_in(&barn, Credential::Admin, PASSWORD).await.token;
    let deleted = client.delete(&barn, &token, tombstone(&barn, &admin)).await;
    assert_eq!(deleted.status, 204);
    for _ in 0..2 {
        assert_eq!(client.get(&barn, &alice).await.status, 410);
    }
    let each = counts.iter().map(|count| count.load(Ordering::SeqCst));
    assert!(each.clone().all(|count| count > 5), "{:?}", each.collect::<Vec<_>>());
}
