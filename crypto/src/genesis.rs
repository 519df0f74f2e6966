//! What a room is from its first moment: docs/PROTOCOL.md, "Genesis".
//!
//! `body = version(1) ‖ room_id ‖ description ‖ created_at ‖ policy ‖ admin_vk ‖ extensions`,
//! `genesis_hash = H("genesis", body)`, followed by the admin's signature over it.

use crate::{
    AdminKey, AdminPublicKey, GenesisHash, RoomHandle, RoomId, bounds,
    extensions::Extensions,
    kdf, label,
    sign::Signature,
    wire::{DecodeError, Reader, Writer},
};
use thiserror::Error;

const VERSION: u8 = 1;

/// What a room's admin decided about it. Soft limits: honest members keep them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Most members, 1 to [`bounds::MAX_MEMBERS`].
    pub max_participants: u16,
    /// Whether the rendezvous lists the room by its id.
    pub listed: bool,
    /// How long members keep ciphertext for the absent, in seconds.
    pub retention_s: u32,
    /// Whether newcomers may be given what was said before.
    pub history: bool,
    /// Whether a moderator must approve newcomers.
    pub approval: bool,
    /// How long an offline member stays one, in seconds.
    pub grace_s: u32,
}

impl Default for Policy {
    /// 100 people, unlisted, a day's retention, a week's grace.
    fn default() -> Self {
        Self {
            max_participants: 100,
            listed: false,
            retention_s: 24 * 60 * 60,
            history: false,
            approval: false,
            grace_s: 7 * 24 * 60 * 60,
        }
    }
}

/// A room's genesis, its signature verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genesis {
    room_id: RoomId,
    description: String,
    created_at_ms: u64,
    policy: Policy,
    admin: AdminPublicKey,
    extensions: Extensions,
    hash: GenesisHash,
    signature: Signature,
}

/// Why bytes are no genesis, or a room can't have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// They don't decode.
    #[error("the room's genesis is malformed: {0}")]
    Malformed(#[from] DecodeError),
    /// The admin key in it didn't sign it.
    #[error("the room's genesis isn't signed by its admin key")]
    BadSignature,
    /// The description has more than [`bounds::MAX_DESCRIPTION_BYTES`] bytes or control characters.
    #[error(
        "a description has at most {} bytes and no control characters",
        bounds::MAX_DESCRIPTION_BYTES
    )]
    Description,
    /// No room has so many members, or none.
    #[error("a room takes 1 to {} participants", bounds::MAX_MEMBERS)]
    Participants,
}

impl Genesis {
    /// Makes a room's genesis and signs it.
    ///
    /// # Errors
    /// [`GenesisError::Description`] and [`GenesisError::Participants`].
    pub fn create(
        admin: &AdminKey,
        room_id: &RoomId,
        description: &str,
        unix_ms: u64,
        policy: Policy,
    ) -> Result<Self, GenesisError> {
        check(description, &policy)?;
        let mut genesis = Self {
            room_id: room_id.clone(),
            description: description.to_owned(),
            created_at_ms: unix_ms,
            policy,
            admin: admin.public(),
            extensions: Extensions::none(),
            hash: GenesisHash::from_bytes([0; 32]),
            signature: [0; 64],
        };
        genesis.hash = hash(&genesis.body());
        genesis.signature = admin.sign(label::SIGN_GENESIS, &genesis.hash, genesis.hash.as_bytes());
        Ok(genesis)
    }

    /// Decodes and verifies.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut reader = Reader::new(bytes);
        let genesis = Self::read(&mut reader)?;
        reader.finish()?;
        check(&genesis.description, &genesis.policy)?;
        let signed = genesis.hash.as_bytes();
        genesis
            .admin
            .verify(label::SIGN_GENESIS, &genesis.hash, signed, &genesis.signature)
            .map_err(|_| GenesisError::BadSignature)?;
        Ok(genesis)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.rest();
        if reader.u8()? != VERSION {
            return Err(DecodeError::Unsupported { what: "genesis" });
        }
        let room_id = reader.text("room id", bounds::MAX_ROOM_ID_CHARS * 4)?;
        let room_id = RoomId::from_wire(room_id).ok_or(DecodeError::Invalid { what: "room id" })?;
        let description = reader.text("description", bounds::MAX_DESCRIPTION_BYTES)?.to_owned();
        let created_at_ms = reader.u64()?;
        let policy = Policy::read(reader)?;
        let admin = AdminPublicKey::from_bytes(reader.array()?);
        let extensions = Extensions::read(reader, &[])?;
        let body = &start[..start.len() - reader.remaining()];
        let signature = reader.array()?;
        Ok(Self {
            room_id,
            description,
            created_at_ms,
            policy,
            admin,
            extensions,
            hash: hash(body),
            signature,
        })
    }

    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u8(VERSION)
            .lp(self.room_id.as_str().as_bytes())
            .lp(self.description.as_bytes());
        writer.u64(self.created_at_ms);
        self.policy.write(&mut writer);
        writer.raw(self.admin.as_bytes());
        self.extensions.write(&mut writer);
        writer.finish()
    }

    /// Its bytes: body and signature.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// What names the room for good.
    #[must_use]
    pub const fn hash(&self) -> GenesisHash {
        self.hash
    }

    /// The Room ID.
    #[must_use]
    pub const fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// The room's name at the rendezvous.
    #[must_use]
    pub fn handle(&self) -> RoomHandle {
        self.room_id.handle()
    }

    /// What the admin wrote about the room; may be empty. Not fit for a terminal as it is.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// When the room was made, by its maker's clock.
    #[must_use]
    pub const fn created_at_ms(&self) -> u64 {
        self.created_at_ms
    }

    /// The first policy; operations may change it.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The admin's public key.
    #[must_use]
    pub const fn admin(&self) -> &AdminPublicKey {
        &self.admin
    }
}

impl Policy {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .u16(self.max_participants)
            .bool(self.listed)
            .u32(self.retention_s);
        writer.bool(self.history).bool(self.approval).u32(self.grace_s);
    }

    /// Reads one that no genesis checks: from an operation.
    pub(crate) fn read_valid(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let policy = Self::read(reader)?;
        if policy.max_participants == 0 || usize::from(policy.max_participants) > bounds::MAX_MEMBERS {
            return Err(DecodeError::Invalid { what: "policy" });
        }
        Ok(policy)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            max_participants: reader.u16()?,
            listed: reader.bool("listed")?,
            retention_s: reader.u32()?,
            history: reader.bool("history")?,
            approval: reader.bool("approval")?,
            grace_s: reader.u32()?,
        })
    }
}

fn hash(body: &[u8]) -> GenesisHash {
    GenesisHash::from_bytes(kdf::hash(label::GENESIS, &[body]))
}

fn check(description: &str, policy: &Policy) -> Result<(), GenesisError> {
    if description.len() > bounds::MAX_DESCRIPTION_BYTES || description.chars().any(char::is_control) {
        Err(GenesisError::Description)
    } else if policy.max_participants == 0 || usize::from(policy.max_participants) > bounds::MAX_MEMBERS {
        Err(GenesisError::Participants)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn genesis() -> Genesis {
        let id = RoomId::parse("den").unwrap();
        Genesis::create(
            &AdminKey::from_seed(&[1; 32]),
            &id,
            "a quiet place",
            1_700_000_000_000,
            Policy::default(),
        )
        .unwrap()
    }

    #[test]
    fn round_trips() {
        assert_eq!(Genesis::decode(&genesis().encode()), Ok(genesis()));
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let bytes = genesis().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Genesis::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_admin_can_not_take_the_room() {
        let mut taken = genesis();
        taken.admin = AdminKey::from_seed(&[2; 32]).public();
        assert_eq!(Genesis::decode(&taken.encode()), Err(GenesisError::BadSignature));
    }

    #[test]
    fn rooms_for_nobody_or_far_too_many_are_refused() {
        let id = RoomId::parse("den").unwrap();
        let key = AdminKey::from_seed(&[1; 32]);
        for max_participants in [0, 4_097] {
            let policy = Policy {
                max_participants,
                ..Policy::default()
            };
            assert_eq!(
                Genesis::create(&key, &id, "", 0, policy),
                Err(GenesisError::Participants)
            );
        }
        assert_eq!(
            Genesis::create(&key, &id, "a\u{7}", 0, Policy::default()),
            Err(GenesisError::Description)
        );
    }
}
