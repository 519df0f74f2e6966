//! Any bytes as a keeper's request, reply and grant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto::keeper::{KeeperReply, KeeperRequest, UnverifiedGrant};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = KeeperRequest::decode(bytes) {
        assert_eq!(value.encode().unwrap(), bytes, "one encoding of a value");
    }
    if let Ok(value) = KeeperReply::decode(bytes) {
        assert_eq!(value.encode().unwrap(), bytes, "one encoding of a value");
    }
    if let Ok(value) = UnverifiedGrant::decode(bytes) {
        assert_eq!(value.encode(), bytes, "one encoding of a value");
    }
});
