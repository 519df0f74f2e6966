//! The OpenAPI document against the server that hands it out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use snug_crypto::RoomHandle;
use snug_rendezvous_api::{Credential, ProblemType};

use crate::support::{PASSWORD, Running, handle, path_handle};

#[tokio::test(flavor = "multi_thread")]
async fn a_path_takes_the_methods_that_the_document_names_and_no_others() {
    let server = Running::start().await;
    let client = server.client();
    let document: Value = client.send("GET", "/openapi.json", "", b"").await.expect(200);
    let handle = path_handle(&RoomHandle::from_bytes([5; 32]));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 7, "{paths:?}");
    let mut needing_a_token = 0;
    for (path, operations) in paths {
        let path = path.replace("{handle}", &handle.to_string());
        let named: BTreeSet<String> = operations
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let reply = client.send(method, &path, "", b"").await;
            if !named.contains(method) {
                reply.refused(ProblemType::MethodNotAllowed);
                continue;
            }
            assert!(![404, 405].contains(&reply.status), "{method} {path}: {}", reply.status);
            let operation = &operations[method.to_lowercase()];
            // Who needs a token and has none is told so before anything else is looked at; who may have one, or none, is not.
            let must = operation["security"].as_array().is_some_and(|ways| ways.len() == 1);
            assert_eq!(reply.status == 401, must, "{method} {path}: {}", reply.status);
            needing_a_token += usize::from(must);
        }
    }
    assert!(needing_a_token > 4, "{needing_a_token}");
}

/// Drives the API by nothing but its document: as a stranger, then as holders of a member's and of the admin's token in a room that
/// there is. Requests that fit the document and requests that don't must be answered as it says.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs schemathesis: tests/api/run.sh fetches it and runs this"]
async fn whoever_knows_only_the_document_is_answered_as_it_says() {
    let program = std::env::var_os("SCHEMATHESIS").expect("tests/api/run.sh sets SCHEMATHESIS");
    let examples = std::env::var("MAX_EXAMPLES").unwrap_or_else(|_| "15".into());
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let member = client.member(&den).await;
    let admin = client.log_in(&den, Credential::Admin, PASSWORD).await.token;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let common = std::fs::read_to_string(root.join("tests/api/schemathesis.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (who, token) in [
        ("a stranger", None),
        ("a member", Some(member)),
        ("the admin", Some(admin)),
    ] {
        let path = folder.path().join("schemathesis.toml");
        let mut command = Command::new(&program);
        command
            .args(["--config-file".as_ref(), path.as_os_str()])
            .args(["run", &format!("http://{}/openapi.json", server.address)])
            .args(["--url", &format!("http://{}", server.address)])
            .args(["--max-examples", &examples])
            .current_dir(folder.path());
        let mut config = common.clone();
        if let Some(token) = token {
            config += &format!("\n[parameters]\n\"path.handle\" = \"{}\"\n", path_handle(&den));
            command.args(["--header", &format!("Authorization: {}", token.authorization())]);
            // The rest asks for no token.
            command.args(["--include-path-regex", r"\{handle\}(/change|/capsule|/presence)?$"]);
        }
        std::fs::write(&path, config).unwrap();
        let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap();
        assert!(
            status.unwrap().success(),
            "{who} was answered in a way that the document doesn't name"
        );
    }
    // What they asked for was the real room: its members' token still opens it.
    assert_eq!(client.get(&den, &client.member(&den).await).await.status, 200);
}
