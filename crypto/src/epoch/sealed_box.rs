//! An epoch's secret, sealed to one member: docs/PROTOCOL.md, "Boxes".
//!
//! ```text
//! ciphertext = X-Wing ciphertext(1120) ‖ ChaCha20-Poly1305(K, nonce = 0, AD = empty, plaintext)
//! K          = X(Extract(psk, ss), "box", ctx, leaf_id)
//! plaintext  = 01 ‖ es(32) ‖ extensions
//! box        = leaf_id(16) ‖ lp(ciphertext) ‖ path (list of 32, from the sibling upwards)
//! ```
//!
//! `K` is used for one plaintext only, since `ss` is new for each box. Extension 1 is reserved for a KeyGen's
//! `lp(room_key) ‖ r(32)`.

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Announcement, EpochSecrets};
use crate::{
    LeafId, Psk, aead, bounds,
    extensions::Extensions,
    kdf,
    kdf::Secret32,
    kem::{KEM_CIPHERTEXT, KemKey, KemSecret},
    label, merkle,
    wire::{DecodeError, Reader, Writer},
};

const VERSION: u8 = 1;

/// A box with its path: whoever holds the announcement can tell that the issuer made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedBox {
    /// The member it is for.
    pub leaf: LeafId,
    /// The sealed secret.
    pub ciphertext: Vec<u8>,
    /// From the sibling upwards.
    pub path: Vec<merkle::Node>,
}

/// Why a box gave no secret, by who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BoxError {
    /// We are no member of the epoch, or it was sealed to another KEM key than this one.
    #[error("the box is not for this key")]
    NotForUs,
    /// The issuer didn't make this box: ask somebody else for it.
    #[error("the box is not the one that the issuer made")]
    ServerFault,
    /// The issuer made it, and it doesn't open, or not to what the issuer committed to: the epoch is void.
    #[error("the issuer made a bad box")]
    IssuerFault,
}

impl SealedBox {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let sealed = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(sealed)
    }

    /// Whether the issuer made this box: to be asked before one is kept for others or handed on.
    #[must_use]
    pub fn is_of(&self, announcement: &Announcement) -> bool {
        announcement.member(&self.leaf).is_some_and(|(index, _)| {
            let leaf = merkle::leaf(&self.leaf, &self.ciphertext);
            merkle::verify(
                &announcement.header().box_root,
                leaf,
                index,
                announcement.members().len(),
                &self.path,
            )
        })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.raw(self.leaf.as_bytes()).lp(&self.ciphertext);
        writer.list(&self.path, |w, node| {
            w.raw(node);
        });
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const MAX: usize = KEM_CIPHERTEXT + bounds::MAX_BOX_PLAINTEXT + aead::TAG;
        Ok(Self {
            leaf: LeafId::from_bytes(reader.array()?),
            ciphertext: reader.lp("box", MAX)?.to_vec(),
            path: reader.list("path", bounds::MAX_PATH, Reader::array)?,
        })
    }
}

/// Opens our box of an epoch, and derives the epoch's keys from it.
///
/// # Errors
/// [`BoxError`].
pub fn open_box(
    announcement: &Announcement,
    sealed: &SealedBox,
    kem: &KemSecret,
    psk: &Psk,
) -> Result<EpochSecrets, BoxError> {
    let (_, entry) = announcement.member(&sealed.leaf).ok_or(BoxError::NotForUs)?;
    if entry.kem_hash != kem.public().hash() {
        return Err(BoxError::NotForUs);
    }
    if !sealed.is_of(announcement) {
        return Err(BoxError::ServerFault);
    }
    let context = &announcement.context;
    let secret = open(context, sealed, kem, psk).ok_or(BoxError::IssuerFault)?;
    EpochSecrets::derive_committed(psk, &secret, context, &announcement.header().commit).ok_or(BoxError::IssuerFault)
}

fn open(context: &[u8; 32], sealed: &SealedBox, kem: &KemSecret, psk: &Psk) -> Option<Secret32> {
    let (encapsulated, body) = sealed.ciphertext.split_first_chunk::<KEM_CIPHERTEXT>()?;
    let key = key(psk, &kem.decapsulate(encapsulated), context, &sealed.leaf);
    let mut text = Zeroizing::new(body.to_vec());
    aead::copen(&key, &[0; 12], &[], &mut text).ok()?;
    let mut reader = Reader::new(text.split_last_chunk::<{ aead::TAG }>()?.0);
    if reader.u8().ok()? != VERSION {
        return None;
    }
    let secret = Zeroizing::new(reader.array().ok()?);
    Extensions::read(&mut reader, &[]).ok()?;
    reader.finish().ok()?;
    Some(secret)
}

/// Seals an epoch's secret to one member. `None` if the key isn't one.
pub(super) fn seal(
    rng: &mut impl CryptoRng,
    psk: &Psk,
    context: &[u8; 32],
    leaf: &LeafId,
    kem: &KemKey,
    secret: &[u8; 32],
) -> Option<Vec<u8>> {
    let (encapsulated, shared) = kem.encapsulate(rng)?;
    let key = key(psk, &shared, context, leaf);
    let mut writer = Writer::with_capacity(64);
    writer.u8(VERSION).raw(secret);
    Extensions::none().write(&mut writer);
    let mut text = Zeroizing::new(writer.finish());
    let tag = aead::cseal(&key, &[0; 12], &[], &mut text);
    Some([&encapsulated[..], &text, &tag].concat())
}

fn key(psk: &Psk, shared: &Secret32, context: &[u8; 32], leaf: &LeafId) -> Secret32 {
    kdf::expand(
        &*kdf::extract(psk.expose(), &shared[..]),
        label::BOX,
        &[context, leaf.as_bytes()],
    )
}
