//! What depends on no room: names, sizes, labels, bounds.

use serde_json::{Value, json};
use snug_crypto::{
    RoomId, RoomKey, bounds as limits, content, kdf,
    label::{self, Use},
    names::check_name,
};

use super::{Fixed, hex};

pub fn names() -> Value {
    let id = |typed: &str| {
        let id = RoomId::parse(typed).unwrap();
        json!({ "typed": typed, "room_id": id.as_str(), "handle": hex(id.handle()) })
    };
    let key = |typed: &str| json!({ "typed": typed, "room_key": hex(RoomKey::parse(typed).unwrap().reveal()) });
    let name = |name: &str| {
        check_name(name).unwrap();
        json!(name)
    };
    let bad_id = |typed: &str| json!({ "typed": typed, "error": RoomId::parse(typed).unwrap_err().to_string() });
    let bad_key = |typed: &str| json!({ "typed": typed, "error": RoomKey::parse(typed).unwrap_err().to_string() });
    let bad_name = |typed: &str| json!({ "typed": typed, "error": check_name(typed).unwrap_err().to_string() });
    let x = |count: usize| "x".repeat(count);
    json!({
        "room_ids": [id("den"), id("  den\n"), id("\u{FF44}\u{FF45}\u{FF4E}"), id("cafe\u{301}"), id("Den"), id(&x(64))],
        "room_keys": [key("12345"), key("gru\u{308}nes haus"), key(" spaces count "), key(&x(1_024))],
        "names": [name("alice"), name(&"\u{1F408}".repeat(64)), name(" spaces ")],
        "reject_room_ids": [
            bad_id(""), bad_id("a\u{7}b"), bad_id(&x(65)), bad_id(" \u{3000} "), bad_id("a\u{1b}[2J"),
            bad_id("a\u{85}b"), bad_id(&"\u{FDFA}".repeat(4)),
        ],
        "reject_room_keys": [
            bad_key("1234"), bad_key("12345\n"), bad_key("u\u{308}234"), bad_key(&x(1_025)), bad_key("12345\u{9b}"),
        ],
        "reject_names": [bad_name(""), bad_name("  "), bad_name(&x(65)), bad_name("a\nb"), bad_name("a\u{9b}31m")],
    })
}

pub fn padding() -> Value {
    let lens = [
        0, 1, 256, 257, 512, 513, 1_025, 4_096, 4_097, 5_000, 8_193, 16_385, 31_743, 31_744,
    ];
    let case = |len: usize| json!({ "len": len, "padded": content::padded_len(len).unwrap() });
    let reject = [
        31_745, 31_746, 31_800, 31_999, 32_000, 32_255, 32_256, 32_700, 32_767, 32_768, 32_769, 40_000, 65_535, 65_536,
        1_048_576,
    ];
    assert!(reject.iter().all(|len| content::padded_len(*len).is_none()));
    json!({ "cases": lens.map(case), "reject": reject })
}

pub fn bounds() -> Value {
    let row = |(name, value, unit): &(&str, u64, &str)| json!({ "name": name, "value": value, "unit": unit });
    json!({ "bounds": limits::ALL.iter().map(row).collect::<Vec<_>>() })
}

impl Fixed {
    /// Each label with two fields and what comes out, so that none can change unseen. Signatures' labels stand with what is
    /// signed, and are held by every signature in the other files.
    pub fn labels(&self) -> Value {
        let (key, one, two) = (self.b::<32>(0xA1), self.b::<3>(0xA2), self.b::<33>(0xA3));
        let fields: [&[u8]; 2] = [&one, &two];
        let row = |(label, usage, inputs): &(label::Label, Use, &str)| {
            let made = match usage {
                Use::Hash => Some(kdf::hash(*label, &fields)),
                Use::Key => Some(*kdf::expand(&key, *label, &fields)),
                Use::Mac => Some(kdf::mac(&key, *label, &fields)),
                Use::Signature => None,
            };
            json!({ "label": label.as_str(), "use": format!("{usage:?}"), "fields": inputs, "output": made.map(hex) })
        };
        json!({
            "key": hex(key),
            "one": hex(one),
            "two": hex(two),
            "labels": label::ALL.iter().map(row).collect::<Vec<_>>(),
        })
    }
}
