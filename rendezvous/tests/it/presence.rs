//! Presence over HTTP.

use std::collections::HashSet;

use snug_rendezvous_api::ProblemType;

use crate::support::{Running, handle, path_handle};

#[tokio::test]
async fn presence_is_one_record_a_token_for_90_seconds() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let (alice, bob) = (client.member(&den).await, client.member(&den).await);
    assert_eq!(client.put(&den, &alice, b"first").await.status, 200);
    assert_eq!(client.put(&den, &alice, b"second").await.status, 200);
    assert_eq!(client.others(&den, &bob).await, [b"second".to_vec()]);
    server.pass(89_999);
    assert_eq!(client.others(&den, &bob).await.len(), 1);
    server.pass(1);
    assert!(client.others(&den, &bob).await.is_empty());

    assert_eq!(client.put(&den, &alice, b"third").await.status, 200);
    let path = snug_rendezvous_api::presence(&path_handle(&den));
    assert_eq!(client.call("DELETE", &path, Some(&alice), &()).await.status, 204);
    assert!(client.others(&den, &bob).await.is_empty());
    assert_eq!(client.get(&den, &alice).await.status, 200, "the token is still good");
    client
        .call("PUT", &path, Some(&alice), &())
        .await
        .refused(ProblemType::BadRequest);
    for method in ["PUT", "GET", "DELETE"] {
        client
            .call(method, &path, None, &())
            .await
            .refused(ProblemType::TokenRefused);
    }
}

#[tokio::test]
async fn at_most_32_random_others_are_introduced() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let me = client.member(&den).await;
    assert_eq!(client.put(&den, &me, b"me").await.status, 200);
    for n in 0..48_u8 {
        let token = client.member(&den).await;
        assert_eq!(client.put(&den, &token, &[n, 0xEE]).await.status, 200);
    }
    let mut seen = HashSet::new();
    for _ in 0..40 {
        let others = client.others(&den, &me).await;
        let different: HashSet<_> = others.iter().cloned().collect();
        assert_eq!((others.len(), different.len()), (32, 32));
        assert!(!different.contains(&b"me"[..]));
        seen.extend(different);
    }
    assert_eq!(seen.len(), 48, "in 40 requests everybody was introduced");
}
