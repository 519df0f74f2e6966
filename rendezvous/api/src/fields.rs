//! The byte strings of the API, each by its name.

use crate::bounds::{
    ADMIN_KEY_LEN, CERTIFICATE_LEN, KE1_LEN, KE2_LEN, KE3_LEN, MAX_ADMIN_CAPSULE, MAX_CAPSULE, MAX_KEY_GEN,
    MAX_LOGIN_STATE, REGISTRATION_ID_LEN, REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN, REGISTRATION_UPLOAD_LEN,
    SIGNATURE_LEN, TOMBSTONE_LEN,
};
use crate::bytes::{ByteString, Exact};

/// OPAQUE registration request.
pub type RegistrationRequest = Exact<REGISTRATION_REQUEST_LEN>;
/// OPAQUE registration response.
pub type RegistrationResponse = Exact<REGISTRATION_RESPONSE_LEN>;
/// OPAQUE registration record.
pub type RegistrationRecord = Exact<REGISTRATION_UPLOAD_LEN>;
/// What separates one registration's OPRF from another's.
pub type RegistrationId = Exact<REGISTRATION_ID_LEN>;
/// OPAQUE KE1.
pub type Ke1 = Exact<KE1_LEN>;
/// OPAQUE KE2.
pub type Ke2 = Exact<KE2_LEN>;
/// OPAQUE KE3.
pub type Ke3 = Exact<KE3_LEN>;
/// A server's sealed login state.
pub type LoginState = ByteString<1, MAX_LOGIN_STATE>;
/// A sealed capsule, of either credential.
pub type SealedCapsule = ByteString<1, MAX_CAPSULE>;
/// The admin's sealed capsule.
pub type SealedAdminCapsule = ByteString<1, MAX_ADMIN_CAPSULE>;
/// What ended a generation.
pub type KeyGenObject = ByteString<1, MAX_KEY_GEN>;
/// A moderator's certificate.
pub type CertificateBytes = Exact<CERTIFICATE_LEN>;
/// An Ed25519 signature.
pub type SignatureBytes = Exact<SIGNATURE_LEN>;
/// A signed tombstone.
pub type TombstoneBytes = Exact<TOMBSTONE_LEN>;
/// An Ed25519 public key.
pub type AdminKeyBytes = Exact<ADMIN_KEY_LEN>;
/// A SHA-256 hash.
pub type Hash = Exact<32>;
