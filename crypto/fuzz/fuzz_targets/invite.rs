//! Any text as an invite, a keeper's offer or its invite; and any bytes behind a right checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto::{invite::Invite, keeper::KeeperInvite, operation::Keeper};
use snug_crypto_fuzz::bech32m;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    let text = match kind % 4 {
        0 => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
        1 => bech32m("snug", bytes),
        2 => bech32m("snugoffer", bytes),
        _ => bech32m("snugkeep", bytes),
    };
    let line: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if let Ok(invite) = Invite::parse(&text) {
        // Extensions of a later version are not written again.
        let again = invite.to_text().unwrap();
        assert!(again.len() <= line.len());
        assert_eq!(*Invite::parse(&again).unwrap().to_text().unwrap(), *again);
    }
    if let Ok(offer) = Keeper::parse(&text) {
        assert_eq!(
            offer.to_text().unwrap(),
            line.to_lowercase(),
            "one encoding of an offer"
        );
    }
    if let Ok(invite) = KeeperInvite::parse(&text) {
        assert_eq!(
            invite.to_text(),
            line.to_lowercase(),
            "one encoding of a keeper's invite"
        );
    }
});
