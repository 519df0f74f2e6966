//! Any bytes as what rests on a disk: no form panics, and each has one encoding. And any bytes in the place of a chunk or a head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto::rest::{
    self, ChainAtRest, EpochAtRest, FormerKemAtRest, ListeningAtRest, MembershipAtRest, OwnAtRest, PairAtRest,
    log::{Chunk, LogKey, Place},
    vault::{Head, Passphrase},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = EpochAtRest::decode(bytes) {
        assert_eq!(value.encode().as_slice(), bytes, "one encoding of an epoch");
    }
    if let Ok(value) = ChainAtRest::decode(bytes) {
        assert_eq!(value.encode().as_slice(), bytes, "one encoding of a chain");
    }
    if let Ok(value) = OwnAtRest::decode(bytes) {
        assert_eq!(value.encode().as_slice(), bytes, "one encoding of a leaf");
    }
    if let Ok(value) = MembershipAtRest::decode(bytes) {
        assert_eq!(value.encode().as_slice(), bytes, "one encoding of a membership");
    }
    if let Ok(value) = PairAtRest::decode(bytes) {
        assert_eq!(value.encode().as_slice(), bytes, "one encoding of a pair");
    }
    if let Ok(value) = ListeningAtRest::decode(bytes) {
        assert_eq!(value.encode().as_slice(), bytes, "one encoding of a pair's epoch");
    }
    if let Ok(value) = FormerKemAtRest::decode(bytes) {
        assert_eq!(value.encode().as_slice(), bytes, "one encoding of a former key");
    }
    if let Ok(value) = rest::decode_contents(bytes) {
        assert_eq!(
            rest::encode_contents(&value).as_slice(),
            bytes,
            "one encoding of contents"
        );
    }
    if let Ok((epoch, frame)) = rest::decode_opened(bytes) {
        assert_eq!(
            rest::encode_opened(&epoch, &frame).as_slice(),
            bytes,
            "one encoding of a frame"
        );
    }
    if let Ok(value) = rest::decode_parents(bytes) {
        assert_eq!(
            rest::encode_parents(&value).as_slice(),
            bytes,
            "one encoding of parents"
        );
    }
    if let Ok(head) = Head::decode(bytes) {
        assert_eq!(head.encode(), bytes, "one encoding of a head");
        // Whatever it asks for, it is refused before it costs anything.
        if !head.slot().needs_passphrase() {
            assert!(head.slot().unwrap(&Passphrase::none()).is_err());
        }
    }
    let place = Place {
        purpose: 1,
        number: 1,
        index: 0,
    };
    assert!(Chunk::open(&LogKey::from_bytes([7; 32]), place, bytes).is_err());
    assert!(rest::import_identity(bytes.get(..40).unwrap_or(bytes), &Passphrase::none()).is_err());
});
