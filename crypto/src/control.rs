//! What travels outside epochs: docs/PROTOCOL.md, "Control messages".
//!
//! `02 ‖ nonce(24) ‖ XChaCha20-Poly1305(control, nonce, AD = 02, type(1) ‖ body)`, at most 32 KiB, with
//! `nonce = MAC(control, "control nonce", type ‖ body)[..24]`: one message has one sealed form, so the mesh drops what was
//! published twice by whomever, and no two messages share a nonce.

use thiserror::Error;

use crate::{
    ControlKey, EpochId, Generation, IdentityKey,
    aead::{self, Kind},
    approval::Approval,
    bounds,
    credential::SignedCertificate,
    epoch::{SealedBox, UnverifiedAnnouncement},
    kdf, label,
    leaf::UnverifiedRecord,
    operation::UnverifiedOperation,
    wire::{DecodeError, Reader, Writer},
};

/// A control message. Nothing in it is verified but that a holder of the Room Key sent it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlMessage {
    /// Type 01: a leaf or a leave.
    Record(UnverifiedRecord),
    /// Type 02: an operation.
    Operation(UnverifiedOperation),
    /// Type 03: an epoch's announcement.
    Announcement(UnverifiedAnnouncement),
    /// Type 04, `identity_vk(32) ‖ generation(40) ‖ approval(96)`: a moderator lets somebody in.
    Approval {
        /// Whom.
        identity: IdentityKey,
        /// Into which generation.
        generation: Generation,
        /// The moderator's word.
        approval: Approval,
    },
    /// Type 05, `certificate(142)`: the admin's word for a moderator's leaf, for the rendezvous.
    Certificate(SignedCertificate),
    /// Type 06, `epoch_id(32) ‖ box`: one member's box of an epoch, for a keeper to hold.
    Box {
        /// The epoch.
        epoch: EpochId,
        /// The box.
        sealed: SealedBox,
    },
}

/// Why bytes are no control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    /// Not sealed under this generation's key: perhaps under another one's.
    #[error("not sealed under this generation's control key")]
    Forged,
    /// Sealed by a holder of the key, but not as the protocol says.
    #[error("malformed control message: {0}")]
    Malformed(#[from] DecodeError),
    /// A type of a later version: to be passed on and ignored.
    #[error("a control message of the unknown type {0}")]
    UnknownType(u8),
}

/// A message that gossip can't carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a control message of {bytes} bytes, of which gossip takes at most {}",
    bounds::MAX_GOSSIP_BYTES
)]
pub struct ControlTooLarge {
    /// Its size.
    pub bytes: usize,
}

/// Seals a message.
///
/// # Errors
/// [`ControlTooLarge`].
pub fn seal(key: &ControlKey, message: &ControlMessage) -> Result<Vec<u8>, ControlTooLarge> {
    let (kind, body) = match message {
        ControlMessage::Record(record) => (1, record.encode().to_vec()),
        ControlMessage::Operation(operation) => (2, operation.encode()),
        ControlMessage::Announcement(announcement) => (3, announcement.encode()),
        ControlMessage::Approval {
            identity,
            generation,
            approval,
        } => {
            let mut writer = Writer::new();
            generation.write(writer.raw(identity.as_bytes()));
            writer.raw(&approval.encode());
            (4, writer.finish())
        }
        ControlMessage::Certificate(certificate) => (5, certificate.to_bytes().to_vec()),
        ControlMessage::Box { epoch, sealed } => {
            let mut writer = Writer::new();
            writer.raw(epoch.as_bytes()).raw(&sealed.encode());
            (6, writer.finish())
        }
    };
    let mut plaintext = vec![kind];
    plaintext.extend_from_slice(&body);
    let bytes = plaintext.len() + aead::OVERHEAD;
    if bytes > bounds::MAX_GOSSIP_BYTES {
        return Err(ControlTooLarge { bytes });
    }
    Ok(aead::seal_with(
        key.expose(),
        Kind::Control,
        &nonce(key, &plaintext),
        &plaintext,
    ))
}

/// Opens and decodes a message.
///
/// # Errors
/// [`ControlError`].
pub fn open(key: &ControlKey, bytes: &[u8]) -> Result<ControlMessage, ControlError> {
    if bytes.len() > bounds::MAX_GOSSIP_BYTES {
        return Err(ControlError::Malformed(DecodeError::TooLong {
            what: "control message",
            max: bounds::MAX_GOSSIP_BYTES,
        }));
    }
    let plaintext = aead::open(key.expose(), Kind::Control, bytes).map_err(|aead::Forged| ControlError::Forged)?;
    if bytes[1..=aead::NONCE] != nonce(key, &plaintext) {
        return Err(ControlError::Malformed(DecodeError::Invalid { what: "nonce" }));
    }
    let (kind, body) = plaintext.split_first().ok_or(DecodeError::Truncated)?;
    Ok(match kind {
        1 => ControlMessage::Record(UnverifiedRecord::decode(body)?),
        2 => ControlMessage::Operation(UnverifiedOperation::decode(body)?),
        3 => ControlMessage::Announcement(UnverifiedAnnouncement::decode(body)?),
        4 => {
            let mut reader = Reader::new(body);
            let message = ControlMessage::Approval {
                identity: IdentityKey::from_bytes(reader.array()?),
                generation: Generation::read(&mut reader)?,
                approval: Approval::read(&mut reader)?,
            };
            reader.finish()?;
            message
        }
        5 => {
            let mut reader = Reader::new(body);
            let certificate = SignedCertificate::from_bytes(reader.array()?);
            reader.finish()?;
            ControlMessage::Certificate(certificate)
        }
        6 => {
            let mut reader = Reader::new(body);
            let epoch = EpochId::from_bytes(reader.array()?);
            let sealed = SealedBox::decode(reader.rest())?;
            ControlMessage::Box { epoch, sealed }
        }
        kind => return Err(ControlError::UnknownType(*kind)),
    })
}

/// Whether the bytes claim to be a control message.
#[must_use]
pub fn is_control(bytes: &[u8]) -> bool {
    bytes.first() == Some(&(Kind::Control as u8))
}

fn nonce(key: &ControlKey, plaintext: &[u8]) -> [u8; aead::NONCE] {
    let mut nonce = [0; aead::NONCE];
    nonce.copy_from_slice(&kdf::mac(key.expose(), label::CONTROL_NONCE, &[plaintext])[..aead::NONCE]);
    nonce
}
