//! Any bytes as a frame, and a genuine frame with any change: neither opens, neither changes anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto_fuzz::{Session, text};

fuzz_target!(|input: (Vec<u8>, u16, u8)| {
    let (bytes, at, flip) = input;
    let mut session = Session::new(2);
    assert!(session.members[1].epoch.open(&bytes).is_err());
    let frame = session.send(0, &[text("hello")]);
    if flip != 0 {
        let mut bad = frame.clone();
        let at = usize::from(at) % bad.len();
        bad[at] ^= flip;
        assert!(session.members[1].epoch.open(&bad).is_err());
    }
    assert!(session.members[1].epoch.open(&frame).is_ok());
});
