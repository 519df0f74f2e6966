//! What must not be in a store's files, and the proof that the search would find it.

use std::collections::BTreeSet;
use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use snug_crypto::RoomHandle;
use snug_rendezvous::{Limits, StoreSpec};
use snug_rendezvous_api::{Credential, Token};

use crate::mongod::Mongod;
use crate::support::{Running, handle, tombstone};

const KEY: &[u8] = b"CANARY-room-key-0a1b2c3d";
const PASSWORD: &[u8] = b"CANARY-password-4e5f6a7b";
/// A sealed record is stored as it comes: if the search finds this one, it would find the others.
const SEALED: &[u8] = b"SEALED-presence-8c9d0e1f";
const CAPSULE: &[u8] = b"sealed for members";

#[tokio::test(flavor = "multi_thread")]
async fn redb_files_hold_no_canary() {
    let mut server = Running::start().await;
    let planted = plant(&server).await;
    server.halt().await;
    search(server.folder(), &planted);
}

#[tokio::test(flavor = "multi_thread")]
async fn mongodb_files_hold_no_canary() {
    let Some(mut mongod) = Mongod::start("mongodb_files_hold_no_canary") else {
        return;
    };
    let store = StoreSpec::Mongo(mongod.uri("canary"));
    let mut server = Running::with(Limits::default(), Some(store)).await;
    let planted = plant(&server).await;
    server.halt().await;
    mongod.stop();
    search(mongod.folder(), &planted);
}

struct Planted {
    rooms: Vec<RoomHandle>,
    tokens: Vec<Token>,
}

async fn plant(server: &Running) -> Planted {
    let client = server.client();
    let rooms = vec![
        handle("CANARY-handle-of-a-live-room"),
        handle("CANARY-handle-of-a-deleted-one"),
    ];
    let mut tokens = Vec::new();
    for (room, stays) in rooms.iter().zip([true, false]) {
        let (reply, admin) = client.try_register(room, KEY, PASSWORD).await;
        assert_eq!(reply.status, 201);
        let member = client.log_in(room, Credential::Room, KEY).await.token;
        assert_eq!(client.put(room, &member, SEALED).await.status, 200);
        assert!(
            client
                .start(room, Credential::Room, b"CANARY-a-wrong-guess", None)
                .await
                .is_ok()
        );
        let admin_token = client.log_in(room, Credential::Admin, PASSWORD).await.token;
        if !stays {
            assert_eq!(
                client.delete(room, &admin_token, tombstone(room, &admin)).await.status,
                204
            );
        }
        tokens.extend([member, admin_token]);
    }
    assert!(
        client
            .start(&handle("CANARY-handle-of-no-room"), Credential::Room, KEY, None)
            .await
            .is_ok()
    );
    Planted { rooms, tokens }
}

fn search(folder: &Path, planted: &Planted) {
    let mut forbidden = vec![KEY.to_vec(), PASSWORD.to_vec(), b"CANARY-a-wrong-guess".to_vec()];
    for room in planted.rooms.iter().chain([&handle("CANARY-handle-of-no-room")]) {
        forbidden.extend([room.as_bytes().to_vec(), HEXLOWER.encode(room.as_bytes()).into_bytes()]);
    }
    for token in &planted.tokens {
        forbidden.extend([
            token.as_bytes().to_vec(),
            BASE64URL_NOPAD.encode(token.as_bytes()).into_bytes(),
        ]);
    }
    let mut patterns = vec![SEALED.to_vec(), CAPSULE.to_vec()];
    let wanted = patterns.len();
    patterns.extend(forbidden);
    let search = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(&patterns)
        .unwrap();
    let stored = files(folder);
    let found: BTreeSet<usize> = stored
        .iter()
        .flat_map(|bytes| search.find_overlapping_iter(bytes))
        .map(|hit| hit.pattern().as_usize())
        .collect();
    let shown: Vec<_> = found.iter().map(|at| String::from_utf8_lossy(&patterns[*at])).collect();
    assert_eq!(found, (0..wanted).collect(), "found in the files: {shown:?}");
}

/// The contents of all files beneath.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            contents.extend(files(&path));
        } else {
            contents.push(std::fs::read(path).unwrap());
        }
    }
    contents
}
