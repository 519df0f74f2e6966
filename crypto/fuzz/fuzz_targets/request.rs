//! Any bytes as a direct request.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = snug_crypto::direct::DirectRequest::decode(bytes) {
        assert_eq!(value.encode().unwrap(), bytes, "one encoding of a value");
    }
});
