use proptest::prelude::*;

use super::*;

fn code_of(line: &str) -> (Id, i32) {
    let (id, outcome) = parse(line.as_bytes());
    (id, outcome.unwrap_err().code as i32)
}

#[test]
fn calls_are_understood() {
    let id = "ab".repeat(32);
    let line = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"send","params":{{"text":"hi","reply_to":"{id}"}}}}"#);
    let (number, call) = parse(line.as_bytes());
    assert_eq!(number, Some(json!(7)));
    let reply_to = Some(MessageId::from_bytes([0xab; 32]));
    assert_eq!(
        call.unwrap(),
        Call::Send {
            text: "hi".into(),
            reply_to
        }
    );
    let line = r#"{"jsonrpc":"2.0","id":1,"method":"dm","params":{"to":"bob","text":"psst"}}"#;
    let direct = Call::Direct {
        to: "bob".into(),
        text: "psst".into(),
        reply_to: None,
    };
    assert_eq!(parse(line.as_bytes()).1, Ok(direct));
    for params in [
        r#"{"to":"bob"}"#,
        r#"{"text":"x"}"#,
        r#"{"to":"bob","text":""}"#,
        r#"{"to":1,"text":"x"}"#,
    ] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"dm","params":{params}}}"#);
        assert_eq!(code_of(&line).1, -32602, "{params}");
    }
    for (method, call) in [
        ("members", Call::Members),
        ("room.info", Call::RoomInfo),
        ("applicants", Call::Applicants),
        ("policy", Call::Policy(Change::default())),
        ("status", Call::Status),
        ("leave", Call::Leave),
    ] {
        let line = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
        assert_eq!(parse(line.as_bytes()), (None, Ok(call)));
    }
}

#[test]
fn a_weak_room_key_is_refused_unless_asked_for() {
    let rekey = |params: &str| {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"rekey","params":{params}}}"#);
        parse(line.as_bytes()).1
    };
    assert_eq!(rekey("{}"), Ok(Call::Act(Act::Rekey(None))));
    let fault = rekey(r#"{"room_key":"hello12345"}"#).unwrap_err();
    assert_eq!(fault.code, Code::InvalidParams);
    assert!(fault.message.contains("allow_weak_key") && !fault.message.contains("hello"));
    let insisted = rekey(r#"{"room_key":"hello12345","allow_weak_key":true}"#);
    assert!(matches!(insisted, Ok(Call::Act(Act::Rekey(Some(_))))));
    let strong = rekey(r#"{"room_key":"quite-another-key-entirely-77"}"#);
    assert!(matches!(strong, Ok(Call::Act(Act::Rekey(Some(_))))));
}

#[test]
fn rules_are_taken_within_their_bounds() {
    let policy = |params: &str| {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"policy","params":{params}}}"#);
        parse(line.as_bytes()).1
    };
    let asks = Change {
        approval: Some(true),
        grace_s: Some(900),
        ..Change::default()
    };
    assert_eq!(policy(r#"{"approval":true,"grace_s":900}"#), Ok(Call::Policy(asks)));
    for wrong in [
        r#"{"grace_s":1}"#,
        r#"{"max_participants":0}"#,
        r#"{"retention_s":86401}"#,
        r#"{"listed":true}"#,
    ] {
        assert_eq!(policy(wrong).unwrap_err().code, Code::InvalidParams, "{wrong}");
    }
}

#[test]
fn errors_have_their_codes_and_the_id_they_answer() {
    let null = Some(Value::Null);
    assert_eq!(code_of("hello"), (null.clone(), -32700));
    assert_eq!(code_of(""), (null.clone(), -32700));
    assert_eq!(
        code_of(r#"[{"jsonrpc":"2.0","id":1,"method":"status"}]"#),
        (null.clone(), -32600)
    );
    assert_eq!(code_of("3"), (null.clone(), -32600));
    assert_eq!(code_of(r#"{"id":1,"method":"status"}"#), (Some(json!(1)), -32600));
    assert_eq!(code_of(r#"{"jsonrpc":"2.0","id":1}"#), (Some(json!(1)), -32600));
    assert_eq!(
        code_of(r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#),
        (null.clone(), -32600)
    );
    assert_eq!(
        code_of(r#"{"jsonrpc":"2.0","id":"x","method":"status","params":3}"#),
        (Some(json!("x")), -32600)
    );
    assert_eq!(
        code_of(r#"{"jsonrpc":"2.0","id":"x","method":"dance"}"#),
        (Some(json!("x")), -32601)
    );
    for params in [
        r#"{}"#,
        r#"{"text":3}"#,
        r#"{"text":""}"#,
        r#"{"text":"a","reply_to":"zz"}"#,
        r#"{"text":"a","x":1}"#,
        r#"["a"]"#,
    ] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":2,"method":"send","params":{params}}}"#);
        assert_eq!(code_of(&line), (Some(json!(2)), -32602), "{params}");
    }
    assert_eq!(
        code_of(r#"{"jsonrpc":"2.0","id":3,"method":"members","params":{"a":1}}"#),
        (Some(json!(3)), -32602)
    );
}

proptest! {
    #[test]
    fn no_line_panics_and_each_error_can_be_written(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let (id, Err(error)) = parse(&line) {
            let written = fault(&id.unwrap_or_default(), &error).unwrap();
            let value: Value = serde_json::from_str(&written).unwrap();
            prop_assert!(value["error"]["code"].as_i64().unwrap() < 0);
        }
    }

    #[test]
    fn any_text_and_any_id_come_through_exactly(text in "\\PC{1,40}|.{1,40}", id in "\\PC{0,40}|.{0,40}") {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "send", "params": {"text": text}});
        let (got, call) = parse(request.to_string().as_bytes());
        prop_assert_eq!(got.clone(), Some(json!(id)));
        prop_assert_eq!(call.unwrap(), Call::Send { text: text.clone(), reply_to: None });
        let line = reply(&got.unwrap(), &json!({"text": text})).unwrap();
        prop_assert!(!line.contains(|c: char| c.is_control()));
        let value: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["result"]["text"].as_str().unwrap(), text);
    }
}
