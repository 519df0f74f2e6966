//! Certificates: whom the admin lets speak for a room at its rendezvous. docs/PROTOCOL.md, "Certificates".
//!
//! ```text
//! body        = 01 ‖ genesis_hash(32) ‖ key(32) ‖ rank(1): 01 moderator, 02 admin ‖ serial u32 ‖ expires_at u64
//! certificate = body ‖ S(admin, "sign certificate", genesis_hash, H("certificate", body)), 142 bytes
//! request     = S(key, "sign request", genesis_hash, H("request", what(1), token, what it says…))
//! ```
//!
//! The key is the one that the holder's leaf signs frames with. Members know it from the leaf; to the rendezvous it is a
//! key that stands for nobody, in no other room. The rendezvous holds a certificate against the admin key that was
//! registered, against the least serial that the admin allows, and against its clock.

use crate::sign::Signature;
use crate::{AdminKey, AdminPublicKey, GenesisHash, kdf, label, sign};

/// A certificate's size on the wire.
pub const CERTIFICATE_LEN: usize = BODY_LEN + 64;
/// What a certificate may live at most, in milliseconds: 30 days. A rendezvous refuses longer ones.
pub const CERTIFICATE_TTL_MS: u64 = 30 * 24 * 3600 * 1000;

const VERSION: u8 = 1;
const BODY_LEN: usize = 1 + 32 + 32 + 1 + 4 + 8;

/// What the holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Registers a new Room Key, and refreshes the capsule.
    Moderator,
    /// The same, and overrides the registration of a generation that is void.
    Admin,
}

/// The admin's word for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The room.
    pub genesis_hash: GenesisHash,
    /// The key of the holder's leaf (Ed25519).
    pub key: [u8; 32],
    /// What it may do.
    pub rank: Rank,
    /// Void once the admin allows only higher ones.
    pub serial: u32,
    /// Void from then on, in milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// A certificate as it travels, not yet verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedCertificate {
    bytes: [u8; CERTIFICATE_LEN],
}

/// The bytes are no valid certificate of the room, or the request is not signed by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is not signed by the room's admin key, or the request not by the certificate's")]
pub struct CertificateError;

impl Certificate {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, admin: &AdminKey) -> SignedCertificate {
        let mut bytes = [0; CERTIFICATE_LEN];
        bytes[0] = VERSION;
        bytes[1..33].copy_from_slice(self.genesis_hash.as_bytes());
        bytes[33..65].copy_from_slice(&self.key);
        bytes[65] = match self.rank {
            Rank::Moderator => 1,
            Rank::Admin => 2,
        };
        bytes[66..70].copy_from_slice(&self.serial.to_be_bytes());
        bytes[70..BODY_LEN].copy_from_slice(&self.expires_at_ms.to_be_bytes());
        let digest = kdf::hash(label::CERTIFICATE, &[&bytes[..BODY_LEN]]);
        bytes[BODY_LEN..].copy_from_slice(&admin.sign(label::SIGN_CERTIFICATE, &self.genesis_hash, &digest));
        SignedCertificate { bytes }
    }
}

impl SignedCertificate {
    /// Takes the bytes; nothing is verified yet.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; CERTIFICATE_LEN]) -> Self {
        Self { bytes }
    }

    /// The bytes on the wire.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; CERTIFICATE_LEN] {
        self.bytes
    }

    /// What it says, if the admin key said it. Serial and expiry are the caller's to judge.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(&self, admin: &AdminPublicKey) -> Result<Certificate, CertificateError> {
        let (body, signature) = self.bytes.split_first_chunk::<BODY_LEN>().ok_or(CertificateError)?;
        let (version, rest) = body.split_first().ok_or(CertificateError)?;
        let (genesis_hash, rest) = rest.split_first_chunk::<32>().ok_or(CertificateError)?;
        let (key, rest) = rest.split_first_chunk::<32>().ok_or(CertificateError)?;
        let (rank, rest) = rest.split_first().ok_or(CertificateError)?;
        let (serial, rest) = rest.split_first_chunk::<4>().ok_or(CertificateError)?;
        let expires_at_ms = u64::from_be_bytes(rest.try_into().map_err(|_| CertificateError)?);
        let signature: &Signature = signature.try_into().map_err(|_| CertificateError)?;
        let rank = match (version, rank) {
            (&VERSION, 1) => Rank::Moderator,
            (&VERSION, 2) => Rank::Admin,
            _ => return Err(CertificateError),
        };
        let genesis_hash = GenesisHash::from_bytes(*genesis_hash);
        let digest = kdf::hash(label::CERTIFICATE, &[body]);
        admin
            .verify(label::SIGN_CERTIFICATE, &genesis_hash, &digest, signature)
            .map_err(|_| CertificateError)?;
        Ok(Certificate {
            genesis_hash,
            key: *key,
            rank,
            serial: u32::from_be_bytes(*serial),
            expires_at_ms,
        })
    }
}

/// What the holder of a certificate asks of a rendezvous. The token that goes with it makes each request's signature good
/// for one session alone.
#[derive(Clone, Copy)]
pub enum Request<'a> {
    /// 01: a new Room Key.
    RoomKey {
        /// Separates the new credential's OPRF.
        registration: &'a [u8; 16],
        /// The new credential.
        upload: &'a [u8; super::REGISTRATION_UPLOAD_LEN],
        /// `count u64 ‖ hash(32)` of the new generation.
        generation: &'a [u8; 40],
        /// The new capsule.
        capsule: &'a [u8],
        /// What ended the generation that is registered; empty if it is not handed over.
        key_gen: &'a [u8],
        /// Whether a registration that would win is overridden.
        overrides: bool,
        /// Certificates with a lower serial are void from then on; 0 if nothing changes. Takes [`Rank::Admin`].
        least_serial: u32,
    },
    /// 02: a new capsule of the registered generation.
    Capsule {
        /// `count u64 ‖ hash(32)` of that generation.
        generation: &'a [u8; 40],
        /// The new capsule.
        capsule: &'a [u8],
        /// As with a new Room Key.
        least_serial: u32,
    },
}

impl Request<'_> {
    /// From which serial on certificates stay good; 0 if nothing changes.
    #[must_use]
    pub const fn least_serial(&self) -> u32 {
        match self {
            Self::RoomKey { least_serial, .. } | Self::Capsule { least_serial, .. } => *least_serial,
        }
    }

    /// Verifies the signature of the certificate's key.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(
        &self,
        certificate: &Certificate,
        token: &[u8; 32],
        signature: &Signature,
    ) -> Result<(), CertificateError> {
        let Certificate { genesis_hash, key, .. } = certificate;
        sign::verify(key, label::SIGN_REQUEST, genesis_hash, &self.digest(token), signature)
            .map_err(|_| CertificateError)
    }

    /// Signs it with the key that the certificate is for.
    #[cfg(feature = "room")]
    #[must_use]
    pub fn sign(&self, key: &crate::leaf::LeafSigningKey, genesis: &GenesisHash, token: &[u8; 32]) -> Signature {
        key.sign(label::SIGN_REQUEST, genesis, &self.digest(token))
    }

    fn digest(&self, token: &[u8; 32]) -> [u8; 32] {
        match *self {
            Self::RoomKey {
                registration,
                upload,
                generation,
                capsule,
                key_gen,
                overrides,
                least_serial,
            } => kdf::hash(
                label::REQUEST,
                &[
                    &[1],
                    token,
                    registration,
                    upload,
                    generation,
                    capsule,
                    key_gen,
                    &[u8::from(overrides)],
                    &least_serial.to_be_bytes(),
                ],
            ),
            Self::Capsule {
                generation,
                capsule,
                least_serial,
            } => kdf::hash(
                label::REQUEST,
                &[&[2], token, generation, capsule, &least_serial.to_be_bytes()],
            ),
        }
    }
}
