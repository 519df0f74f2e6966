//! The API as an OpenAPI 3.1 document, at `/openapi.json`: the schemas come from the types that are read and written, the
//! operations from the table below.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use snug_rendezvous_api::{
    ChangeRoom, DeleteRoom, Introductions, Listings, LoginFinish, LoginStart, LoginStarted, MAX_PAGE, Problem,
    ProblemType, PutCapsule, PutPresence, REGISTRATION_TOKEN_HEADER, RegisterFinish, RegisterStart, RegisterStarted,
    Registered, Session, components,
};

/// One operation of the API.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    token: Needs,
    request: Option<&'static str>,
    status: u16,
    answer: Option<&'static str>,
    problems: &'static [ProblemType],
}

/// Which bearer token an operation takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    None,
    May,
    Must,
}

const START: Operation = Operation {
    method: "post",
    path: "",
    id: "",
    summary: "",
    token: Needs::None,
    request: None,
    status: 200,
    answer: None,
    problems: &[],
};

const REGISTRATION: &[ProblemType] = &[
    ProblemType::RegistrationClosed,
    ProblemType::RegistrationToken,
    ProblemType::PlainHttp,
    ProblemType::TooManyRooms,
];

/// Every operation.
const OPERATIONS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/v1/rooms",
        id: "listRooms",
        summary: "The public directory: listings that their rooms' admins signed",
        answer: Some("Listings"),
        ..START
    },
    Operation {
        path: "/v1/rooms/{handle}/register/start",
        id: "startRegistration",
        summary: "Begin to register credentials, of a new room or for one that exists",
        request: Some("RegisterStart"),
        answer: Some("RegisterStarted"),
        problems: REGISTRATION,
        ..START
    },
    Operation {
        path: "/v1/rooms/{handle}/register/finish",
        id: "finishRegistration",
        summary: "Make a room",
        request: Some("RegisterFinish"),
        status: 201,
        answer: Some("Registered"),
        problems: &[
            ProblemType::RegistrationClosed,
            ProblemType::RegistrationToken,
            ProblemType::PlainHttp,
            ProblemType::TooManyRooms,
            ProblemType::ListingRefused,
            ProblemType::RoomExists,
        ],
        ..START
    },
    Operation {
        path: "/v1/rooms/{handle}/login/start",
        id: "startLogin",
        summary: "Begin a login; a live token of the same credential exempts it from the room's count of unfinished ones",
        token: Needs::May,
        request: Some("LoginStart"),
        answer: Some("LoginStarted"),
        problems: &[ProblemType::TooManyLogins],
        ..START
    },
    Operation {
        path: "/v1/rooms/{handle}/login/finish",
        id: "finishLogin",
        summary: "Finish a login, for a token, the capsule and introductions",
        request: Some("LoginFinish"),
        answer: Some("Session"),
        problems: &[
            ProblemType::LoginRefused,
            ProblemType::RoomKeyChanged,
            ProblemType::RoomGone,
        ],
        ..START
    },
    Operation {
        path: "/v1/rooms/{handle}/change",
        id: "changeRoom",
        summary: "Give a room a new Room Key or Password",
        token: Needs::Must,
        request: Some("ChangeRoom"),
        status: 204,
        problems: &[
            ProblemType::WrongCredential,
            ProblemType::CertificateRefused,
            ProblemType::GenerationStale,
            ProblemType::RoomGone,
            ProblemType::PlainHttp,
        ],
        ..START
    },
    Operation {
        method: "put",
        path: "/v1/rooms/{handle}/capsule",
        id: "putCapsule",
        summary: "Replace the capsule of the Room Key",
        token: Needs::Must,
        request: Some("PutCapsule"),
        status: 204,
        problems: &[
            ProblemType::WrongCredential,
            ProblemType::CertificateRefused,
            ProblemType::GenerationStale,
            ProblemType::RoomGone,
        ],
        ..START
    },
    Operation {
        method: "put",
        path: "/v1/rooms/{handle}/presence",
        id: "putPresence",
        summary: "Leave a sealed presence record for 90 seconds, and be introduced to others",
        token: Needs::Must,
        request: Some("PutPresence"),
        answer: Some("Introductions"),
        problems: &[ProblemType::WrongCredential, ProblemType::RoomGone],
        ..START
    },
    Operation {
        method: "get",
        path: "/v1/rooms/{handle}/presence",
        id: "getPresence",
        summary: "Be introduced to others",
        token: Needs::Must,
        answer: Some("Introductions"),
        problems: &[ProblemType::WrongCredential, ProblemType::RoomGone],
        ..START
    },
    Operation {
        method: "delete",
        path: "/v1/rooms/{handle}/presence",
        id: "deletePresence",
        summary: "Withdraw the presence record",
        token: Needs::Must,
        status: 204,
        problems: &[ProblemType::WrongCredential, ProblemType::RoomGone],
        ..START
    },
    Operation {
        method: "delete",
        path: "/v1/rooms/{handle}",
        id: "deleteRoom",
        summary: "Delete a room for everybody, with its admin's signed tombstone",
        token: Needs::Must,
        request: Some("DeleteRoom"),
        status: 204,
        problems: &[ProblemType::TombstoneRefused, ProblemType::RoomGone],
        ..START
    },
];

/// What any operation may answer.
const ALWAYS: &[ProblemType] = &[
    ProblemType::BadRequest,
    ProblemType::Timeout,
    ProblemType::TooManyRequests,
    ProblemType::Internal,
    ProblemType::Unavailable,
];

/// The document.
pub(super) fn document() -> Value {
    let mut paths = BTreeMap::<&str, Map<String, Value>>::new();
    for operation in OPERATIONS {
        let at = paths.entry(operation.path).or_default();
        at.insert(operation.method.to_owned(), operation.describe());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Snug rendezvous",
            "version": "1",
            "description": "Checks credentials of rooms that it can't read, and introduces members to each other. What the bytes are, docs/PROTOCOL.md says.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "32 bytes, base64url without padding, from a finished login" },
            },
        },
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let mut described = json!({
            "operationId": self.id,
            "summary": self.summary,
            "parameters": self.parameters(),
            "responses": self.responses(),
        });
        if let Some(request) = self.request {
            let content = json!({ "application/json": { "schema": schema(request) } });
            described["requestBody"] = json!({ "required": true, "content": content });
        }
        match self.token {
            Needs::None => {}
            Needs::May => described["security"] = json!([{}, { "token": [] }]),
            Needs::Must => described["security"] = json!([{ "token": [] }]),
        }
        described
    }

    fn parameters(&self) -> Value {
        if self.path.contains("{handle}") {
            let handle = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
            let handle = json!({
                "name": "handle", "in": "path", "required": true, "schema": handle,
                "description": "The hash of the Room ID",
            });
            let token = json!({
                "name": REGISTRATION_TOKEN_HEADER, "in": "header", "required": false, "schema": { "type": "string" },
                "description": "Where the host gives out tokens to make rooms with",
            });
            let registers = self.problems.contains(&ProblemType::RegistrationToken);
            return json!(if registers { vec![handle, token] } else { vec![handle] });
        }
        let text = json!({ "type": "string", "maxLength": 64 });
        let query = |name: &str, schema: &Value, description: &str| json!({ "name": name, "in": "query", "required": false, "schema": schema, "description": description });
        json!([
            query("search", &text, "In the Room ID or the description, of either case"),
            query("after", &text, "The former page's `next`"),
            query(
                "limit",
                &json!({ "type": "integer", "minimum": 1, "maximum": MAX_PAGE }),
                "Rooms on the page",
            ),
        ])
    }

    fn responses(&self) -> Value {
        let answer = match self.answer {
            None => json!({ "description": "Done" }),
            Some(answer) => json!({
                "description": "Done",
                "content": { "application/json": { "schema": schema(answer) } },
            }),
        };
        let mut responses = Map::from_iter([(self.status.to_string(), answer)]);
        let mut problems = BTreeMap::<u16, BTreeSet<&str>>::new();
        let with_body = [ProblemType::TooLarge, ProblemType::UnsupportedMediaType];
        let with_token = [ProblemType::TokenRefused];
        let more = with_body.iter().filter(|_| self.request.is_some());
        let more = more.chain(with_token.iter().filter(|_| self.token == Needs::Must));
        // Who may know that a room is gone is told, too, if its host removed it.
        let removed = [ProblemType::RoomRemoved];
        let more = more.chain(
            removed
                .iter()
                .filter(|_| self.problems.contains(&ProblemType::RoomGone)),
        );
        for problem in self.problems.iter().chain(ALWAYS).chain(more) {
            problems.entry(problem.status()).or_default().insert(problem.title());
        }
        for (status, titles) in problems {
            let titles: Vec<_> = titles.into_iter().collect();
            let content = json!({ Problem::MEDIA_TYPE: { "schema": schema("Problem") } });
            let problem = json!({ "description": titles.join(", or: "), "content": content });
            responses.insert(status.to_string(), problem);
        }
        responses.into()
    }
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn schemas() -> Value {
    let all = [
        components::<ChangeRoom>(),
        components::<DeleteRoom>(),
        components::<Introductions>(),
        components::<Listings>(),
        components::<LoginFinish>(),
        components::<LoginStart>(),
        components::<LoginStarted>(),
        components::<Problem>(),
        components::<PutCapsule>(),
        components::<PutPresence>(),
        components::<RegisterFinish>(),
        components::<RegisterStart>(),
        components::<RegisterStarted>(),
        components::<Registered>(),
        components::<Session>(),
    ];
    let schemas = all
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()));
    schemas.collect()
}

/// `GET /openapi.json`.
pub(super) async fn serve() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&document()).unwrap_or_default().into());
    let mut response = Response::new(Body::from(TEXT.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SNUG_BLESS=1 cargo test --workspace --lib openapi` writes it anew: a change of the file is a change of the API.
    #[test]
    fn the_committed_document_is_what_the_types_give() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let made = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("SNUG_BLESS").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == made,
            "docs/openapi.json differs: the API changed. If it should, bless it."
        );
    }

    #[test]
    fn every_reference_has_its_schema() {
        let document = document();
        let known = document["components"]["schemas"].as_object().unwrap().clone();
        let text = document.to_string();
        let mut found = 0;
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(known.contains_key(name), "{name}");
            found += 1;
        }
        assert!(found > 50, "{found}");
        assert!(!known.values().any(Value::is_null));
    }
}
