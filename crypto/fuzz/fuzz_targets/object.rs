//! Any bytes as a new generation's object, an approval, a statement or a listing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto::{approval::Approval, credential::Listing, frame::UnverifiedStatement, object::UnverifiedObject};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = UnverifiedObject::decode(bytes) {
        assert_eq!(value.encode().unwrap(), bytes, "one encoding of a value");
    }
    if let Ok(value) = Approval::decode(bytes) {
        assert_eq!(value.encode(), bytes, "one encoding of a value");
    }
    if let Ok(value) = UnverifiedStatement::decode(bytes) {
        assert_eq!(value.encode(), bytes, "one encoding of a value");
    }
    let _ = Listing::open(bytes);
});
