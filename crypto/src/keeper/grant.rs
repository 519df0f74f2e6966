//! What lets a keeper into a generation: its topic and the key of its links, sealed to the keeper and signed by whoever may.
//!
//! ```text
//! body   = 01 ‖ genesis_hash(32) ‖ vk(32) ‖ generation(40) ‖ before(40) ‖ at u64 ‖ object(32) ‖ sealed(1200) ‖ option certificate(142)
//! grant  = body ‖ S(the admin key, or the certificate's, "sign grant", genesis_hash, H("grant", body))
//! sealed = X-Wing ciphertext(1120) ‖ ChaCha20-Poly1305(K, nonce = 0, AD empty, topic(32) ‖ keep(32))
//! K      = X(Extract(zeros(32), ss), "keeper", genesis_hash, generation(40), vk)
//! ```
//!
//! `object` is the hash of the sealed object that goes with it, which members who come back under `before` are given; zeros if none does.

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::KeeperSecrets;
use crate::{
    AdminKey, AdminPublicKey, Generation, GenesisHash, MeshKey, PeerKey, Topic, aead,
    credential::{CERTIFICATE_LEN, SignedCertificate},
    kdf::{self, Secret32},
    kem::KEM_CIPHERTEXT,
    label,
    leaf::LeafSigningKey,
    operation::Keeper,
    sign::{self, Signature},
    wire::{DecodeError, Reader, Writer},
};

const VERSION: u8 = 1;
const KEYS: usize = 64;
const SEALED: usize = KEM_CIPHERTEXT + KEYS + aead::TAG;

/// Largest encoding: 1,592 bytes.
pub(super) const MAX_GRANT: usize = 1 + 32 + 32 + 40 + 40 + 8 + 32 + SEALED + 1 + CERTIFICATE_LEN + 64;

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub enum Granter<'a> {
    /// The room's admin key.
    Admin(&'a AdminKey),
    /// A moderator: its leaf key, and the admin's word for it.
    Certified(&'a LeafSigningKey, SignedCertificate),
}

/// What is granted.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The generation that the keeper is let into.
    pub generation: Generation,
    /// Its gossip topic.
    pub topic: Topic,
    /// What authenticates links with keepers.
    pub keep: &'a MeshKey,
    /// The generation that the keeper is in, or the same in the first grant.
    pub before: Generation,
    /// When, in milliseconds since 1970: a later one counts.
    pub at_ms: u64,
    /// The sealed object that goes with it.
    pub object: Option<&'a [u8]>,
}

/// A grant as it travels, decoded and not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct UnverifiedGrant {
    genesis: GenesisHash,
    keeper: PeerKey,
    generation: Generation,
    before: Generation,
    at_ms: u64,
    object: [u8; 32],
    sealed: Vec<u8>,
    certificate: Option<SignedCertificate>,
    signature: Signature,
}

/// What a keeper was granted.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The room.
    pub genesis: GenesisHash,
    /// The generation.
    pub generation: Generation,
    /// The one before it.
    pub before: Generation,
    /// When it was signed.
    pub at_ms: u64,
    /// Whether the admin key itself signed.
    pub by_admin: bool,
    /// The gossip topic.
    pub topic: Topic,
    /// What authenticates links with keepers.
    pub keep: MeshKey,
}

/// Why a keeper refuses a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    /// It is another keeper's, or another room's.
    #[error("the grant is for another keeper, or of another room")]
    NotForUs,
    /// Nobody signed it who may.
    #[error("the grant is not signed by the room's admin, nor by a moderator with the admin's word")]
    NotSigned,
    /// It doesn't open with our key.
    #[error("the grant does not open with this keeper's key")]
    Sealed,
}

impl Grant<'_> {
    /// Seals and signs. `None` if the keeper's KEM key isn't one.
    #[must_use]
    pub fn create(
        &self,
        granter: Granter<'_>,
        keeper: &Keeper,
        genesis: &GenesisHash,
        rng: &mut impl CryptoRng,
    ) -> Option<UnverifiedGrant> {
        let generation = self.generation;
        let (encapsulated, shared) = keeper.kem.encapsulate(rng)?;
        let mut text = Zeroizing::new([self.topic.0, *self.keep.expose()].concat());
        let tag = aead::cseal(
            &key(&shared, genesis, generation, &keeper.peer()),
            &[0; 12],
            &[],
            &mut text,
        );
        let mut grant = UnverifiedGrant {
            genesis: *genesis,
            keeper: keeper.peer(),
            generation,
            before: self.before,
            at_ms: self.at_ms,
            object: self.object.map_or([0; 32], digest),
            sealed: [&encapsulated[..], &text, &tag].concat(),
            certificate: match granter {
                Granter::Admin(_) => None,
                Granter::Certified(_, certificate) => Some(certificate),
            },
            signature: [0; 64],
        };
        let hash = grant.digest();
        grant.signature = match granter {
            Granter::Admin(admin) => admin.sign(label::SIGN_GRANT, genesis, &hash),
            Granter::Certified(key, _) => key.sign(label::SIGN_GRANT, genesis, &hash),
        };
        Some(grant)
    }
}

impl UnverifiedGrant {
    /// The room, which is not verified yet.
    #[must_use]
    pub const fn unverified_genesis(&self) -> GenesisHash {
        self.genesis
    }

    /// Whether this is the sealed object that goes with it.
    #[must_use]
    pub fn is_with(&self, object: &[u8]) -> bool {
        self.object == digest(object)
    }

    /// Verifies and opens it, as the keeper. `now_ms` is the keeper's clock: a certificate that has expired by then is none.
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn open(
        &self,
        secrets: &KeeperSecrets,
        admin: &AdminPublicKey,
        genesis: &GenesisHash,
        now_ms: u64,
    ) -> Result<Granted, GrantError> {
        if self.genesis != *genesis || self.keeper != secrets.peer() {
            return Err(GrantError::NotForUs);
        }
        self.verify(admin, now_ms)?;
        let (encapsulated, body) = self
            .sealed
            .split_first_chunk::<KEM_CIPHERTEXT>()
            .ok_or(GrantError::Sealed)?;
        let key = key(
            &secrets.kem.decapsulate(encapsulated),
            genesis,
            self.generation,
            &self.keeper,
        );
        let mut text = Zeroizing::new(body.to_vec());
        aead::copen(&key, &[0; 12], &[], &mut text).map_err(|aead::Forged| GrantError::Sealed)?;
        let mut reader = Reader::new(&text);
        let mut secret = || reader.array::<32>().map_err(|_| GrantError::Sealed);
        Ok(Granted {
            genesis: self.genesis,
            generation: self.generation,
            before: self.before,
            at_ms: self.at_ms,
            by_admin: self.certificate.is_none(),
            topic: Topic(secret()?),
            keep: MeshKey::from_bytes(secret()?),
        })
    }

    fn verify(&self, admin: &AdminPublicKey, now_ms: u64) -> Result<(), GrantError> {
        let hash = self.digest();
        let Some(certificate) = self.certificate else {
            return admin
                .verify(label::SIGN_GRANT, &self.genesis, &hash, &self.signature)
                .map_err(|_| GrantError::NotSigned);
        };
        let certificate = certificate.verify(admin).map_err(|_| GrantError::NotSigned)?;
        if certificate.genesis_hash != self.genesis || certificate.expires_at_ms <= now_ms {
            return Err(GrantError::NotSigned);
        }
        sign::verify(
            &certificate.key,
            label::SIGN_GRANT,
            &self.genesis,
            &hash,
            &self.signature,
        )
        .map_err(|_| GrantError::NotSigned)
    }

    fn body(&self) -> Writer {
        let mut writer = Writer::with_capacity(MAX_GRANT);
        writer
            .u8(VERSION)
            .raw(self.genesis.as_bytes())
            .raw(self.keeper.as_bytes());
        self.generation.write(&mut writer);
        self.before.write(&mut writer);
        writer.u64(self.at_ms).raw(&self.object).raw(&self.sealed);
        writer.option(self.certificate.as_ref(), |w, certificate| {
            w.raw(&certificate.to_bytes());
        });
        writer
    }

    fn digest(&self) -> [u8; 32] {
        kdf::hash(label::GRANT, &[self.body().as_slice()])
    }

    /// Its bytes, 1,450 or 1,592.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = self.body();
        writer.raw(&self.signature);
        writer.finish()
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Unsupported { what: "grant" });
        }
        let grant = Self {
            genesis: GenesisHash::from_bytes(reader.array()?),
            keeper: PeerKey::from_bytes(reader.array()?),
            generation: Generation::read(&mut reader)?,
            before: Generation::read(&mut reader)?,
            at_ms: reader.u64()?,
            object: reader.array()?,
            sealed: reader.raw(SEALED)?.to_vec(),
            certificate: reader.option("certificate", |r| r.array().map(SignedCertificate::from_bytes))?,
            signature: reader.array()?,
        };
        reader.finish()?;
        Ok(grant)
    }
}

impl fmt::Debug for UnverifiedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedGrant")
            .field("keeper", &self.keeper)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

fn digest(object: &[u8]) -> [u8; 32] {
    kdf::hash(label::KEPT_OBJECT, &[object])
}

fn key(shared: &Secret32, genesis: &GenesisHash, generation: Generation, keeper: &PeerKey) -> Secret32 {
    kdf::expand(
        &*kdf::extract(&[0; 32], &shared[..]),
        label::KEEPER,
        &[genesis.as_bytes(), &generation.to_bytes(), keeper.as_bytes()],
    )
}
