//! What others gave us their word for: approvals, whose owners may not have heard of them yet, and the admin's certificate for our leaf,
//! which it signs again only after an hour.
//!
//! | key | value |
//! |---|---|
//! | `p` identity | `generation(40) ‖ approval(96)` |
//! | `c` | certificate(142) |

use snug_crypto::approval::Approval;
use snug_crypto::credential::SignedCertificate;
use snug_crypto::generation::Generation;
use snug_crypto::ids::{IdentityKey, OperationHash};
use snug_crypto::wire::{Reader, Writer};

use super::ledger::Changes;
use super::restore::Sorted;
use super::{APPROVAL, CERTIFICATE, key};
use crate::room::Room;

/// What was written of them.
#[derive(Default)]
pub(in crate::room) struct WordsLedger {
    approvals: u64,
    certificate: Option<Vec<u8>>,
}

impl Room {
    pub(super) fn note_words(&mut self, changes: &mut Changes) {
        let version = self.approvals.version();
        if self.ledger.words.approvals != version {
            self.ledger.words.approvals = version;
            changes.forget(vec![APPROVAL]);
            for (identity, generation, approval) in self.approvals.all() {
                let mut value = Writer::with_capacity(40 + 96);
                value.u64(generation.count).raw(generation.hash.as_bytes());
                value.raw(&approval.encode());
                changes.put(key(APPROVAL, &[identity.as_bytes()]), value);
            }
        }
        let certificate = self.certificates.own().map(|signed| signed.to_bytes().to_vec());
        if self.ledger.words.certificate != certificate {
            if let Some(bytes) = &certificate {
                let mut value = Writer::with_capacity(bytes.len());
                value.raw(bytes);
                changes.put(vec![CERTIFICATE], value);
            }
            self.ledger.words.certificate = certificate;
        }
    }

    pub(super) fn take_up_words(&mut self, sorted: &Sorted<'_>) {
        self.take_up_approvals(sorted);
        if let Some(bytes) = sorted.one(CERTIFICATE).and_then(|bytes| bytes.try_into().ok()) {
            self.restore_certificate(SignedCertificate::from_bytes(bytes));
            self.ledger.words.certificate = self.certificates.own().map(|signed| signed.to_bytes().to_vec());
        }
    }

    pub(super) fn take_up_approvals(&mut self, sorted: &Sorted<'_>) {
        for (at, value) in sorted.of(APPROVAL) {
            let read = || {
                let identity = IdentityKey::from_bytes(at.try_into().ok()?);
                let mut reader = Reader::new(value);
                let generation = Generation {
                    count: reader.u64().ok()?,
                    hash: OperationHash::from_bytes(reader.array().ok()?),
                };
                Some((identity, generation, Approval::decode(reader.rest()).ok()?))
            };
            if let Some((identity, generation, approval)) = read() {
                self.approvals.restore(identity, generation, approval);
            }
        }
        self.ledger.words.approvals = self.approvals.version();
    }
}
