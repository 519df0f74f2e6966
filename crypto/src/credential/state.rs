//! The server's login state between KE2 and KE3, sealed to the client for safe-keeping: the server stays stateless.
//!
//! `state = 01 ‖ nonce(24) ‖ XChaCha20-Poly1305(k, nonce, AD = 01 ‖ keyed_handle ‖ kind, expires_at_ms(8) ‖ attempt(16) ‖
//! record_id(32) ‖ ke2_state(128))` with `k = X(server_key, "login state")`: 225 bytes, always.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::Kind;
use super::server::{AttemptId, KeyedHandle, RecordId};

const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
/// The key exchange's own state: session key and expected MAC, SHA-512 each.
pub(super) const KE2_STATE_LEN: usize = 128;
const PLAINTEXT_LEN: usize = 8 + 16 + 32 + KE2_STATE_LEN;

/// Length of a sealed login state, for known and unknown rooms alike.
pub const LOGIN_STATE_LEN: usize = 1 + NONCE_LEN + PLAINTEXT_LEN + TAG_LEN;

/// What a login's finish needs of its start.
pub(super) struct LoginState {
    pub expires_at_ms: u64,
    pub attempt: AttemptId,
    pub record: RecordId,
    pub ke2_state: Zeroizing<[u8; KE2_STATE_LEN]>,
}

/// Seals and opens login states.
#[derive(Clone)]
pub(super) struct StateKey(XChaCha20Poly1305);

impl StateKey {
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals for the room and credential; `None` only if the cipher fails, which it can't at this length.
    pub fn seal(
        &self,
        rng: &mut impl CryptoRng,
        room: &KeyedHandle,
        kind: Kind,
        state: &LoginState,
    ) -> Option<[u8; LOGIN_STATE_LEN]> {
        let mut plaintext = Zeroizing::new([0; PLAINTEXT_LEN]);
        plaintext[..8].copy_from_slice(&state.expires_at_ms.to_be_bytes());
        plaintext[8..24].copy_from_slice(state.attempt.as_bytes());
        plaintext[24..56].copy_from_slice(state.record.as_bytes());
        plaintext[56..].copy_from_slice(&*state.ke2_state);

        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let aad = associated_data(room, kind);
        let sealed = self
            .0
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: &*plaintext,
                    aad: &aad,
                },
            )
            .ok()?;

        let mut bytes = [0; LOGIN_STATE_LEN];
        bytes[0] = VERSION;
        bytes[1..=NONCE_LEN].copy_from_slice(&nonce);
        bytes[1 + NONCE_LEN..].copy_from_slice(&sealed);
        Some(bytes)
    }

    /// Opens what this key sealed for the room and credential. Expiry is the caller's to judge.
    pub fn open(&self, room: &KeyedHandle, kind: Kind, bytes: &[u8]) -> Option<LoginState> {
        let bytes: &[u8; LOGIN_STATE_LEN] = bytes.try_into().ok()?;
        let [VERSION, rest @ ..] = bytes else { return None };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let aad = associated_data(room, kind);
        let plaintext = Zeroizing::new(
            self.0
                .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
                .ok()?,
        );
        let (expires_at_ms, rest) = plaintext.split_first_chunk::<8>()?;
        let (attempt, rest) = rest.split_first_chunk::<16>()?;
        let (record, rest) = rest.split_first_chunk::<32>()?;
        Some(LoginState {
            expires_at_ms: u64::from_be_bytes(*expires_at_ms),
            attempt: AttemptId::from_bytes(*attempt),
            record: RecordId::from_bytes(*record),
            ke2_state: Zeroizing::new(rest.try_into().ok()?),
        })
    }
}

fn associated_data(room: &KeyedHandle, kind: Kind) -> [u8; 34] {
    let mut data = [0; 34];
    data[0] = VERSION;
    data[1..33].copy_from_slice(room.as_bytes());
    data[33] = kind.byte();
    data
}
