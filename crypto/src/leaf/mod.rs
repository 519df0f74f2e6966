//! A member in a room: docs/PROTOCOL.md, "Leaves".
//!
//! ```text
//! leaf  = 01 ‖ identity_vk(32) ‖ leaf_vk(32) ‖ xwing_ek(1216) ‖ peer(32) ‖ peer_signature(64) ‖ lp(name) ‖ seq(8)
//!            ‖ incarnation(4) ‖ expires_at(8) ‖ generation(40) ‖ extensions ‖ admission(32) ‖ signature(64)
//! leave = 02 ‖ identity_vk(32) ‖ seq(8) ‖ incarnation(4) ‖ signature(64)
//! leaf_id   = H("leaf", genesis_hash, identity_vk, leaf_vk, incarnation)[..16]
//! admission = MAC(join, "admission", genesis_hash, all before it)
//! signature = S(identity, "sign record", genesis_hash, H("record", genesis_hash, all before it))
//! ```

mod record;
mod secrets;

use core::fmt;

pub use record::{Admit, Leave, Record, RecordError, UnverifiedRecord};
pub use secrets::{LeafPublicKey, LeafSecrets, LeafSigningKey};

use crate::{
    Generation, GenesisHash, Identity, IdentityKey, JoinKey, LeafId, PeerKey, TransportKey,
    approval::Approval,
    extensions::Extensions,
    kdf,
    kem::KemKey,
    label,
    names::{NameError, check_name},
    sign::Signature,
    wire::Writer,
};

/// The first byte of an encoded leaf.
const LEAF: u8 = 1;
/// The extension that holds an approval.
const APPROVAL: u16 = 1;

/// A member's record in a room, made by us or verified. Cheap enough to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    identity: IdentityKey,
    key: LeafPublicKey,
    kem: KemKey,
    peer: PeerKey,
    peer_signature: Signature,
    name: String,
    seq: u64,
    incarnation: u32,
    expires_at_ms: u64,
    generation: Generation,
    extensions: Extensions,
    admission: [u8; 32],
    signature: Signature,
    id: LeafId,
}

/// What the owner decides about a new leaf.
#[derive(Clone, Debug)]
pub struct LeafParams {
    /// Display name: see [`check_name`].
    pub name: String,
    /// Higher than that of the identity's last record: `max(now in ms, last + 1)`.
    pub seq: u64,
    /// Higher than the highest stored or seen when state was lost; else as before.
    pub incarnation: u32,
    /// From when on it no longer counts.
    pub expires_at_ms: u64,
    /// The generation whose `join` key admits it.
    pub generation: Generation,
    /// A moderator's word that its identity may enter, where the policy asks for one.
    pub approval: Option<Approval>,
}

impl Leaf {
    /// Makes a leaf: bound to its peer, admitted by the Room Key, signed by its identity.
    ///
    /// # Errors
    /// [`NameError`] if the name can't be one.
    pub fn create(
        params: LeafParams,
        identity: &Identity,
        transport: &TransportKey,
        secrets: &LeafSecrets,
        join: &JoinKey,
        genesis: &GenesisHash,
    ) -> Result<Self, NameError> {
        check_name(&params.name)?;
        let key = secrets.signing.public();
        let (identity_key, peer) = (identity.key(), transport.peer_key());
        let mut leaf = Self {
            identity: identity_key,
            key,
            kem: secrets.kem.public(),
            peer,
            peer_signature: transport.sign(label::SIGN_PEER, genesis, &peer_digest(genesis, &identity_key, &peer)),
            name: params.name,
            seq: params.seq,
            incarnation: params.incarnation,
            expires_at_ms: params.expires_at_ms,
            generation: params.generation,
            extensions: params.approval.map_or_else(Extensions::none, |approval| {
                Extensions::one(APPROVAL, approval.encode())
            }),
            admission: [0; 32],
            signature: [0; 64],
            id: leaf_id(genesis, &identity_key, &key, params.incarnation),
        };
        let mut body = leaf.body();
        leaf.admission = admission(join, genesis, &body);
        body.extend_from_slice(&leaf.admission);
        leaf.signature = identity.sign(label::SIGN_RECORD, genesis, &record_digest(genesis, &body));
        Ok(leaf)
    }

    /// All before the admission.
    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(1_600);
        writer
            .u8(LEAF)
            .raw(self.identity.as_bytes())
            .raw(self.key.as_bytes())
            .raw(self.kem.as_bytes());
        writer
            .raw(self.peer.as_bytes())
            .raw(&self.peer_signature)
            .lp(self.name.as_bytes());
        writer.u64(self.seq).u32(self.incarnation).u64(self.expires_at_ms);
        self.generation.write(&mut writer);
        self.extensions.write(&mut writer);
        writer.finish()
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        bytes.extend_from_slice(&self.admission);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Names the member's place for this incarnation.
    #[must_use]
    pub const fn id(&self) -> LeafId {
        self.id
    }

    /// Whose it is.
    #[must_use]
    pub const fn identity(&self) -> IdentityKey {
        self.identity
    }

    /// The key that verifies the member's frames.
    #[must_use]
    pub const fn key(&self) -> &LeafPublicKey {
        &self.key
    }

    /// The key to box to.
    #[must_use]
    pub const fn kem(&self) -> &KemKey {
        &self.kem
    }

    /// The peer that the member is on the mesh; proven by that peer's signature.
    #[must_use]
    pub const fn peer(&self) -> PeerKey {
        self.peer
    }

    /// The name that the member chose: not unique, and not fit for a terminal as it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Orders the identity's records.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Which life of the member's state it is.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// From when on it no longer counts, in Unix milliseconds.
    #[must_use]
    pub const fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// The approval that it shows; its signature is not verified here.
    #[must_use]
    pub fn unverified_approval(&self) -> Option<Approval> {
        Approval::decode(self.extensions.get(APPROVAL)?).ok()
    }

    /// The generation that admitted it.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, seq, incarnation) = (self.id, self.seq, self.incarnation);
        write!(
            f,
            "Leaf({id} of {}, seq {seq}, incarnation {incarnation})",
            self.identity.fingerprint()
        )
    }
}

fn leaf_id(genesis: &GenesisHash, identity: &IdentityKey, key: &LeafPublicKey, incarnation: u32) -> LeafId {
    let fields: [&[u8]; 4] = [
        genesis.as_bytes(),
        identity.as_bytes(),
        key.as_bytes(),
        &incarnation.to_be_bytes(),
    ];
    LeafId::from_bytes(kdf::first_16(&kdf::hash(label::LEAF, &fields)))
}

fn peer_digest(genesis: &GenesisHash, identity: &IdentityKey, peer: &PeerKey) -> [u8; 32] {
    kdf::hash(label::PEER, &[genesis.as_bytes(), identity.as_bytes(), peer.as_bytes()])
}

fn record_digest(genesis: &GenesisHash, body: &[u8]) -> [u8; 32] {
    kdf::hash(label::RECORD, &[genesis.as_bytes(), body])
}

fn admission(join: &JoinKey, genesis: &GenesisHash, body: &[u8]) -> [u8; 32] {
    kdf::mac(join.expose(), label::ADMISSION, &[genesis.as_bytes(), body])
}
