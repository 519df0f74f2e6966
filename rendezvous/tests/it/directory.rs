//! The public directory and what operators ask, over HTTP on both stores.

use snug_crypto::credential::{Kind, Listing};
use snug_crypto::{AdminKey, GenesisHash, RoomHandle};
use snug_rendezvous::{Limits, StoreSpec};
use snug_rendezvous_api::{ByteString, Credential, Exact, Listings, ProblemType, RegisterFinish};

use crate::mongod::Mongod;
use crate::support::{Client, KEY, PASSWORD, POLICY, Reply, Running, path_handle, rng, tombstone};

fn listing(admin: &AdminKey, room_id: &str, description: &str) -> Listing {
    Listing {
        genesis_hash: GenesisHash::from_bytes([3; 32]),
        admin: admin.public(),
        room_id: room_id.to_owned(),
        description: description.to_owned(),
    }
}

async fn register(client: &Client, room: &RoomHandle, admin: &AdminKey, signed: Vec<u8>) -> Reply {
    let body = RegisterFinish {
        room: client.upload(room, Kind::Room, KEY).await,
        admin: client.upload(room, Kind::Admin, PASSWORD).await,
        admin_key: Exact::new(*admin.public().as_bytes()),
        capsule: ByteString::new(*b"sealed for members").unwrap(),
        admin_capsule: ByteString::new(*b"sealed for the admin").unwrap(),
        policy: POLICY,
        listing: Some(ByteString::new(signed).unwrap()),
    };
    let path = snug_rendezvous_api::register_finish(&path_handle(room));
    client.call("POST", &path, None, &body).await
}

async fn page(client: &Client, query: &str) -> (Vec<String>, Option<String>) {
    let path = format!("{}{query}", snug_rendezvous_api::rooms());
    let listings: Listings = client.send("GET", &path, "", b"").await.expect(200);
    let rooms = listings
        .rooms
        .iter()
        .map(|listing| Listing::open(listing.as_slice()).unwrap().room_id);
    (rooms.collect(), listings.next)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_on_redb() {
    directory(&Running::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_on_mongodb() {
    let Some(mongod) = Mongod::start("the_directory_on_mongodb") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("directory"));
    directory(&Running::with(Limits::default(), Some(store)).await).await;
}

async fn directory(server: &Running) {
    let client = server.client();
    assert_eq!(page(&client, "").await, (vec![], None));
    let admin = AdminKey::generate(&mut rng());
    for (room_id, description) in [
        ("den", "Talk of the town"),
        ("attic", "Dust"),
        ("caf\u{e9}", "Milk & sugar"),
    ] {
        let listing = listing(&admin, room_id, description);
        let made = register(&client, &listing.handle(), &admin, listing.sign(&admin)).await;
        assert_eq!(made.status, 201);
    }
    assert_eq!(page(&client, "").await.0, ["attic", "caf\u{e9}", "den"]);
    assert_eq!(
        page(&client, "?limit=2").await,
        (vec!["attic".into(), "caf\u{e9}".into()], Some("caf\u{e9}".into()))
    );
    assert_eq!(
        page(&client, "?limit=2&after=caf%C3%A9").await,
        (vec!["den".into()], None)
    );
    assert_eq!(page(&client, "?search=TOWN").await.0, ["den"]);
    assert_eq!(page(&client, "?search=milk+%26").await.0, ["caf\u{e9}"]);
    assert!(page(&client, "?search=%24where").await.0.is_empty());
    for bad in [
        "?limit=x",
        "?limit=-1",
        "?limit=0",
        "?limit=1000",
        &format!("?search={}", "x".repeat(65)),
    ] {
        let path = format!("/v1/rooms{bad}");
        client
            .send("GET", &path, "", b"")
            .await
            .refused(ProblemType::BadRequest);
    }

    // Another's signature, another room's listing, an altered one.
    let (other, theirs) = (AdminKey::generate(&mut rng()), listing(&admin, "loft", "Mine"));
    let mut altered = theirs.sign(&admin);
    altered[75] ^= 1;
    let elsewhere = listing(&admin, "den", "Not the den").sign(&admin);
    let by_other = listing(&other, "loft", "Mine").sign(&other);
    for forged in [altered, elsewhere, by_other, b"nothing".to_vec()] {
        register(&client, &theirs.handle(), &admin, forged)
            .await
            .refused(ProblemType::ListingRefused);
    }

    let den = listing(&admin, "den", "").handle();
    let token = client.log_in(&den, Credential::Admin, PASSWORD).await.token;
    assert_eq!(client.delete(&den, &token, tombstone(&den, &admin)).await.status, 204);
    assert_eq!(
        page(&client, "").await.0,
        ["attic", "caf\u{e9}"],
        "a deleted room is not listed"
    );
}

#[tokio::test]
async fn metrics_count_what_happens_and_name_nobody() {
    let server = Running::with_admin_port().await;
    let (client, admin) = (server.client(), server.admin_client());
    let den = crate::support::handle("CANARY-den");
    client.register(&den).await;
    let member = client.member(&den).await;
    client.put(&den, &member, b"alice").await;
    client
        .start(&den, Credential::Room, b"a guess", None)
        .await
        .ok()
        .unwrap();
    client.send("GET", "/v1/CANARY-path", "", b"").await;
    client.send("CANARY-METHOD", "/v1/rooms", "", b"").await;
    assert_eq!(admin.send("GET", "/health/ready", "", b"").await.status, 200);
    let scraped = admin.send("GET", "/metrics", "", b"").await;
    assert_eq!(scraped.status, 200);
    assert!(
        scraped.head.contains("application/openmetrics-text"),
        "{}",
        scraped.head
    );
    let text = String::from_utf8(scraped.body).unwrap();
    for line in [
        r#"snug_rendezvous_logins_total{outcome="started"} 2"#,
        r#"snug_rendezvous_logins_total{outcome="session"} 1"#,
        r#"snug_rendezvous_requests_total{method="PUT",route="/v1/rooms/{handle}/presence",status="200"} 1"#,
        r#"snug_rendezvous_requests_total{method="other",route="/v1/rooms",status="405"} 1"#,
        r#"snug_rendezvous_store_duration_seconds_count{operation="open_session",failed="false"} 1"#,
        "snug_rendezvous_rooms{} 1",
        "snug_rendezvous_sessions{} 1",
        "snug_rendezvous_presence{} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let handle_text = path_handle(&den).to_string();
    for secret in ["CANARY", &handle_text, "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    assert_eq!(
        client.send("GET", "/metrics", "", b"").await.status,
        404,
        "not on the public port"
    );
}
