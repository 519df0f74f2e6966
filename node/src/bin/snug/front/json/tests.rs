use snug::text::Untrusted;
use snug_crypto::ids::{EpochId, MessageId};

use super::super::people::tests::member as somebody;
use super::*;

fn shown(kind: EventKind) -> Value {
    let event = Event {
        at_unix_ms: 1_700_000_000_123,
        kind,
    };
    let (room, at) = ("den", rfc3339(event.at_unix_ms));
    let line = match &event.kind {
        EventKind::Message(said) => rpc::event(&Params {
            room,
            at,
            body: Said::of(said),
        }),
        kind => rpc::event(&Params {
            room,
            at,
            body: body(kind).unwrap(),
        }),
    };
    serde_json::from_str(&line.unwrap()).unwrap()
}

#[test]
fn events_have_the_members_that_bots_rely_on() {
    let alice = somebody("alice\u{1b}[2J", 1);
    let ready = EventKind::Ready {
        member: alice.fingerprint,
        members: vec![alice.clone()],
        epoch: EpochId::from_bytes([9; 32]),
    };
    let value = shown(ready);
    assert_eq!(value["method"], "event");
    assert_eq!(value["params"]["room"], "den");
    assert_eq!(value["params"]["at"], "2023-11-14T22:13:20.123Z");
    assert_eq!(value["params"]["member"], "01".repeat(16));
    assert_eq!(value["params"]["members"][0]["name"], "alice\u{1b}[2J");
    assert_eq!(value["params"]["members"][0]["role"], "member");
    let said = Message {
        direct: true,
        id: MessageId::from_bytes([2; 32]),
        from: alice,
        text: Untrusted::new("a\u{202e}b\u{9b}"),
        reply_to: None,
        parents: vec![[3; 32]],
        sent_at_ms: 0,
        serial: 1,
        again: false,
    };
    let line = rpc::event(&Said::of(&said)).unwrap();
    assert!(!line.contains(['\u{202e}', '\u{9b}', '\u{1b}']), "{line}");
    let value = &shown(EventKind::Message(said))["params"];
    assert_eq!(value["text"], "a\u{202e}b\u{9b}");
    assert_eq!(value["reply_to"], Value::Null);
    assert_eq!(value["parents"][0], "03".repeat(32));
    assert_eq!(value["direct"], true);
}

#[test]
fn times_are_rfc_3339_whatever_they_are() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00.000Z");
}
