//! An epoch's secret, sealed to one member: docs/PROTOCOL.md, "Boxes".
//!
//! ```text
//! ciphertext = X-Wing ciphertext(1120) ‖ ChaCha20-Poly1305(K, nonce = 0, AD = empty, plaintext)
//! K          = X(Extract(psk, ss), "box", ctx, leaf_id)
//! plaintext  = 01 ‖ es(32) ‖ extensions
//! box        = leaf_id(16) ‖ lp(ciphertext) ‖ path (list of 32, from the sibling upwards)
//! ```
//!
//! `K` is used for one plaintext only, since `ss` is new for each box. In an epoch of kind 02 the salt is 32 zeros in psk's
//! place, and extension 1 of the plaintext is `lp(room_key) ‖ r(32)`.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Announcement, EpochKind, EpochSecrets};
use crate::{
    GenerationKeys, LeafId, Psk, RoomHandle, RoomKey, RoomRandom, aead, bounds,
    extensions::Extensions,
    kdf,
    kdf::Secret32,
    kem::{KEM_CIPHERTEXT, KemKey, KemSecret},
    label, merkle,
    wire::{DecodeError, Reader, Writer},
};

const VERSION: u8 = 1;
/// The extension that holds a new Room Key and its r.
const NEW_KEY: u16 = 1;
/// What salts the boxes of a generation's first epoch, whose receivers have no psk yet.
const NO_PSK: [u8; 32] = [0; 32];

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
    /// It opens, and what is inside is of a later version of the protocol. Nobody is to blame, and it is of no use here.
    #[error("the box is of a later version: update Snug")]
    Unsupported,
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
    check(announcement, sealed, kem)?;
    let context = &announcement.context;
    let salt = match announcement.header().kind {
        EpochKind::Full => psk.expose(),
        EpochKind::KeyGen => &NO_PSK,
    };
    let (secret, _) = open(context, sealed, kem, salt)?;
    EpochSecrets::derive_committed(psk, &secret, context, &announcement.header().commit).ok_or(BoxError::IssuerFault)
}

/// What a box of a generation's first epoch holds.
#[derive(Debug)]
pub struct OpenedKey {
    /// The new Room Key.
    pub room_key: RoomKey,
    /// The generation's random half.
    pub random: RoomRandom,
    /// What follows from the two.
    pub keys: GenerationKeys,
    /// The epoch's keys.
    pub secrets: EpochSecrets,
}

/// Opens our box of a generation's first epoch. `key_commit` is what the operation that makes the generation commits to.
///
/// # Errors
/// [`BoxError`]; [`BoxError::IssuerFault`] also if the keys are not those committed to.
pub fn open_key_box(
    announcement: &Announcement,
    sealed: &SealedBox,
    kem: &KemSecret,
    handle: &RoomHandle,
    key_commit: &[u8; 32],
) -> Result<OpenedKey, BoxError> {
    if announcement.header().kind != EpochKind::KeyGen {
        return Err(BoxError::NotForUs);
    }
    check(announcement, sealed, kem)?;
    let context = &announcement.context;
    let header = announcement.header();
    let (secret, extensions) = open(context, sealed, kem, &NO_PSK)?;
    let opened = || {
        let (room_key, random) = read_key(extensions.get(NEW_KEY)?)?;
        let keys = GenerationKeys::derive(&room_key, &random, handle, header.generation);
        if !bool::from(keys.commit().ct_eq(key_commit)) {
            return None;
        }
        let secrets = EpochSecrets::derive_committed(keys.psk(), &secret, context, &header.commit)?;
        Some(OpenedKey {
            room_key,
            random,
            keys,
            secrets,
        })
    };
    opened().ok_or(BoxError::IssuerFault)
}

fn check(announcement: &Announcement, sealed: &SealedBox, kem: &KemSecret) -> Result<(), BoxError> {
    let (_, entry) = announcement.member(&sealed.leaf).ok_or(BoxError::NotForUs)?;
    if entry.kem_hash != kem.public().hash() {
        return Err(BoxError::NotForUs);
    }
    if !sealed.is_of(announcement) {
        return Err(BoxError::ServerFault);
    }
    Ok(())
}

fn open(
    context: &[u8; 32],
    sealed: &SealedBox,
    kem: &KemSecret,
    salt: &[u8; 32],
) -> Result<(Secret32, Extensions), BoxError> {
    let text = unseal(context, sealed, kem, salt).ok_or(BoxError::IssuerFault)?;
    read(&text).map_err(|error| match error {
        DecodeError::Unsupported { .. } => BoxError::Unsupported,
        _ => BoxError::IssuerFault,
    })
}

fn unseal(context: &[u8; 32], sealed: &SealedBox, kem: &KemSecret, salt: &[u8; 32]) -> Option<Zeroizing<Vec<u8>>> {
    let (encapsulated, body) = sealed.ciphertext.split_first_chunk::<KEM_CIPHERTEXT>()?;
    let key = key(salt, &kem.decapsulate(encapsulated), context, &sealed.leaf);
    let mut text = Zeroizing::new(body.to_vec());
    aead::copen(&key, &[0; 12], &[], &mut text).ok()?;
    let len = text.len().checked_sub(aead::TAG)?;
    text.truncate(len);
    Some(text)
}

fn read(text: &[u8]) -> Result<(Secret32, Extensions), DecodeError> {
    let mut reader = Reader::new(text);
    if reader.u8()? != VERSION {
        return Err(DecodeError::Unsupported { what: "box" });
    }
    let secret = Zeroizing::new(reader.array()?);
    let extensions = Extensions::read(&mut reader, &[])?;
    reader.finish()?;
    Ok((secret, extensions))
}

/// `lp(room_key) ‖ r(32)`.
pub(crate) fn write_key(room_key: &RoomKey, random: &RoomRandom) -> Vec<u8> {
    let mut writer = Writer::with_capacity(bounds::MAX_SECRET_BYTES + 36);
    writer.lp(room_key.reveal().as_bytes()).raw(random.expose());
    writer.finish()
}

pub(crate) fn read_key(bytes: &[u8]) -> Option<(RoomKey, RoomRandom)> {
    let mut reader = Reader::new(bytes);
    let room_key = RoomKey::from_wire(reader.text("room key", bounds::MAX_SECRET_BYTES).ok()?)?;
    let random = RoomRandom::from_bytes(reader.array().ok()?);
    reader.finish().ok()?;
    Some((room_key, random))
}

/// What all boxes of an epoch have in common.
pub(super) struct Sealing<'a> {
    pub(super) context: &'a [u8; 32],
    /// The generation's psk; `None` if the boxes carry the key that it comes from.
    pub(super) psk: Option<&'a Psk>,
    pub(super) secret: &'a [u8; 32],
    pub(super) extensions: &'a Extensions,
}

impl Sealing<'_> {
    /// Seals an epoch's secret to one member. `None` if the key isn't one.
    pub(super) fn seal(&self, rng: &mut impl CryptoRng, leaf: &LeafId, kem: &KemKey) -> Option<Vec<u8>> {
        let (encapsulated, shared) = kem.encapsulate(rng)?;
        let salt = self.psk.map_or(&NO_PSK, Psk::expose);
        let key = key(salt, &shared, self.context, leaf);
        let mut writer = Writer::with_capacity(bounds::MAX_BOX_PLAINTEXT);
        writer.u8(VERSION).raw(self.secret);
        self.extensions.write(&mut writer);
        let mut text = Zeroizing::new(writer.finish());
        let tag = aead::cseal(&key, &[0; 12], &[], &mut text);
        Some([&encapsulated[..], &text, &tag].concat())
    }
}

/// The extensions of each box of a generation's first epoch.
pub(super) fn new_key(room_key: &RoomKey, random: &RoomRandom) -> Extensions {
    Extensions::one(NEW_KEY, write_key(room_key, random))
}

fn key(salt: &[u8; 32], shared: &Secret32, context: &[u8; 32], leaf: &LeafId) -> Secret32 {
    kdf::expand(
        &*kdf::extract(salt, &shared[..]),
        label::BOX,
        &[context, leaf.as_bytes()],
    )
}
