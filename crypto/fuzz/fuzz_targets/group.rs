//! A whole group of 2 to 8 members, any four bytes a step: epochs, boxes, lost state, removals, newcomers, and at the end
//! everybody reads everybody (crypto/tests/protocol/group.rs).
#![no_main]

use libfuzzer_sys::fuzz_target;
use snug_crypto_fuzz::group::{Group, Step};

fuzz_target!(|bytes: &[u8]| {
    let Some((members, steps)) = bytes.split_first() else {
        return;
    };
    let mut group = Group::new(u64::from(*members), 2 + usize::from(members % 7));
    for step in steps.chunks_exact(4).take(200) {
        group.step(Step::from_bytes(step.try_into().unwrap()));
    }
    group.heal();
});
