//! Any text as an invite; and any bytes behind a right checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto::invite::Invite;

fuzz_target!(|text: &str| {
    if let Ok(invite) = Invite::parse(text) {
        let again = invite.to_text().unwrap();
        let line: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(again.to_lowercase(), line.to_lowercase());
    }
});
