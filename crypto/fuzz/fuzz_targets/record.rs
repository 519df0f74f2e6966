//! Any bytes as a leaf or a leave.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = snug_crypto::leaf::UnverifiedRecord::decode(bytes) {
        assert_eq!(value.encode(), bytes, "one encoding of a value");
    }
});
