//! Any bytes as what is sealed: control message, presence record, capsules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto::{
    ControlKey, ExportKey, IntroKey,
    capsule::{AdminCapsule, Capsule},
    control,
    presence::PresenceRecord,
};

fuzz_target!(|bytes: &[u8]| {
    assert!(control::open(&ControlKey::from_bytes([1; 32]), bytes).is_err());
    assert!(PresenceRecord::open(&IntroKey::from_bytes([1; 32]), bytes).is_err());
    assert!(Capsule::open(&ExportKey::from_bytes([1; 64]), bytes).is_err());
    assert!(AdminCapsule::open(&ExportKey::from_bytes([1; 64]), bytes).is_err());
});
