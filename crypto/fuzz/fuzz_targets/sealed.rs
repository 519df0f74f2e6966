//! Any bytes inside of what is sealed: control message, presence record, capsules, by somebody who holds the key. And any
//! bytes as what is sealed, which nobody's key opens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    ControlKey, ExportKey, IntroKey,
    capsule::{AdminCapsule, Capsule},
    control, kdf, label,
    presence::PresenceRecord,
};
use snug_crypto_fuzz::seal;

const KEY: [u8; 32] = [1; 32];
const NONCE: [u8; 24] = [2; 24];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else {
        return;
    };
    let (control, intro, export) = (
        ControlKey::from_bytes(KEY),
        IntroKey::from_bytes(KEY),
        ExportKey::from_bytes([1; 64]),
    );
    let rng = || ChaCha20Rng::seed_from_u64(1);
    match kind % 5 {
        0 => {
            let nonce = kdf::mac(&KEY, label::CONTROL_NONCE, &[text]);
            let sealed = seal(&KEY, 2, nonce[..24].try_into().unwrap(), text);
            if let Ok(message) = control::open(&control, &sealed) {
                assert_eq!(
                    control::seal(&control, &message).unwrap(),
                    sealed,
                    "one sealed form of a message"
                );
            }
        }
        1 => {
            if let Ok(record) = PresenceRecord::open(&intro, &seal(&KEY, 3, &NONCE, text)) {
                let again = PresenceRecord::open(&intro, &record.seal(&intro, &mut rng()));
                assert_eq!(again.unwrap(), record);
            }
        }
        2 => {
            let key = kdf::expand(&[1; 64], label::CAPSULE, &[]);
            if let Ok(capsule) = Capsule::open(&export, &seal(&key, 4, &NONCE, text)) {
                let again = Capsule::open(&export, &capsule.seal(&export, &mut rng()).unwrap()).unwrap();
                assert_eq!((again.genesis, again.log), (capsule.genesis, capsule.log));
            }
        }
        3 => {
            let key = kdf::expand(&[1; 64], label::ADMIN_CAPSULE, &[]);
            if let Ok(capsule) = AdminCapsule::open(&export, &seal(&key, 5, &NONCE, text)) {
                assert_eq!(
                    capsule.admin_key.public(),
                    *capsule.genesis.admin(),
                    "the key that the genesis names"
                );
            }
        }
        _ => {
            assert!(control::open(&control, text).is_err());
            assert!(PresenceRecord::open(&intro, text).is_err());
            assert!(Capsule::open(&export, text).is_err());
            assert!(AdminCapsule::open(&export, text).is_err());
        }
    }
});
