//! Any parents and contents inside a frame that a member signed and sealed with all the right keys: it opens to what it
//! says, or is refused and nothing moves.
#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use snug_crypto::content;
use snug_crypto_fuzz::Session;

static SESSION: LazyLock<Mutex<Session>> = LazyLock::new(|| Mutex::new(Session::new(2)));

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (how, parents, mut padded) = input;
    let mut session = SESSION.lock().unwrap();
    let from = session.members[0].leaf.id();
    if session.members[1].epoch.progress(&from).unwrap().next > 200 {
        *session = Session::new(2);
    }
    let parents = if how & 1 == 0 { vec![0; 4] } else { parents };
    if how & 2 == 0 && padded.len() <= 4_096 {
        padded.resize(content::padded_len(padded.len()).unwrap(), 0);
    }
    let next = session.members[1].epoch.progress(&from).unwrap().next;
    let frame = session.forge(0, next, &parents, &padded);
    let receiver = &mut session.members[1].epoch;
    match receiver.open(&frame) {
        Ok(opened) => {
            assert_eq!((opened.sender, opened.counter), (from, next));
            let len = content::contents_len(&opened.contents);
            assert_eq!(
                content::padded_len(len),
                Some(padded.len()),
                "one encoding of the contents"
            );
            assert_eq!(receiver.open(&frame), Err(snug_crypto::frame::FrameError::Duplicate));
        }
        Err(_) => assert_eq!(receiver.progress(&from).unwrap().next, next, "nothing moves"),
    }
});
