//! Names of frames that aren't here: whoever invents many loses its own.

use super::*;

fn at(ms: u64) -> Now {
    Now {
        elapsed: Duration::from_millis(ms),
        unix_ms: ms,
    }
}

/// A frame's name; the number decides where it stands among others.
fn frame(of: u8, number: u64) -> FrameHash {
    let mut bytes = [of; 32];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    FrameHash::from_bytes(bytes)
}

/// Names a frame as the member of this number, in one of its incarnations.
fn name(audit: &mut Audit, who: u8, frame: FrameHash, ms: u64) {
    let leaf = LeafId::from_bytes([ms.to_be_bytes()[7]; 16]);
    audit.name(frame, leaf, Some(IdentityKey::from_bytes([who; 32])), at(ms));
}

fn count(audit: &Audit, who: u8) -> usize {
    audit.named(Some(IdentityKey::from_bytes([who; 32])))
}

#[test]
fn whoever_names_most_pushes_out_its_own_names_and_nobody_elses() {
    let mut audit = Audit::default();
    // Said first, and so the oldest, by many members.
    for who in 1..=20 {
        for number in 0..5 {
            name(&mut audit, who, frame(who, number), u64::from(who));
        }
    }
    for number in 0..4_000 {
        name(&mut audit, 99, frame(99, number), 1_000 + number);
    }
    assert_eq!(audit.unmet.len(), MAX_UNMET);
    assert_eq!(audit.overflown, 100 + 4_000 - MAX_UNMET as u64);
    for who in 1..=20 {
        assert_eq!(count(&audit, who), 5, "member {who}");
    }
    // Its newest stay, as they are all that is known of what it saw.
    assert!(audit.unmet.contains_key(&frame(99, 3_999)) && !audit.unmet.contains_key(&frame(99, 0)));

    // Several of them share what is left.
    for number in 0..4_000 {
        name(&mut audit, 98, frame(98, number), 10_000 + number);
    }
    assert_eq!(count(&audit, 98) + count(&audit, 99), MAX_UNMET - 100);
    assert!(count(&audit, 98).abs_diff(count(&audit, 99)) <= 1);
    assert_eq!(count(&audit, 1), 5);
    // And who says more later has its place.
    for number in 5..20 {
        name(&mut audit, 1, frame(1, number), 20_000 + number);
    }
    assert_eq!(count(&audit, 1), 20);
}

#[test]
fn a_name_stays_with_whoever_names_less_whoever_was_first() {
    let mut audit = Audit::default();
    for number in 0..100 {
        name(&mut audit, 99, frame(1, number), number);
    }
    for number in 0..10 {
        name(&mut audit, 1, frame(1, number), 1_000);
        name(&mut audit, 99, frame(1, number), 1_001);
    }
    assert_eq!((count(&audit, 1), count(&audit, 99)), (10, 90));
    for number in 0..1_000 {
        name(&mut audit, 99, frame(99, number), 2_000 + number);
    }
    for number in 0..10 {
        let unmet = &audit.unmet[&frame(1, number)];
        assert_eq!(unmet.namer, Some(IdentityKey::from_bytes([1; 32])));
    }
    assert!((10..100).all(|number| !audit.unmet.contains_key(&frame(1, number))));
}
