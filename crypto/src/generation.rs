//! Generations and their group keys: docs/PROTOCOL.md, "Generations".
//!
//! `psk = X(Extract(salt = r, room_key), "psk", handle, count)`; each group key is `X(psk, its label)`, 32 bytes. The
//! operation that makes a generation commits to its keys: `key_commit = X(psk, "key commit")`.

use rand_core::CryptoRng;

use crate::{
    GenesisHash, OperationHash, RoomHandle, RoomKey, kdf, label,
    secret::secret,
    wire::{DecodeError, Reader, Writer},
};

/// A generation of the Room Key: how many key changes came before, and the operation that made it. The first one has
/// count 0 and the genesis hash.
///
/// Of two, the current one has the higher count, then the *lower* hash; [`Generation::cmp_currency`] says so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation {
    /// Key changes before it.
    pub count: u64,
    /// The operation that made it; of the first one, the genesis.
    pub hash: OperationHash,
}

impl Generation {
    /// The generation that a room begins with.
    #[must_use]
    pub const fn first(genesis: &GenesisHash) -> Self {
        Self {
            count: 0,
            hash: OperationHash::from_bytes(*genesis.as_bytes()),
        }
    }

    /// Which of two valid generations is current: `Greater` means that `self` is.
    #[must_use]
    pub fn cmp_currency(&self, other: &Self) -> core::cmp::Ordering {
        self.count.cmp(&other.count).then_with(|| other.hash.cmp(&self.hash))
    }

    /// `count ‖ hash`, 40 bytes.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(40);
        self.write(&mut writer);
        writer.finish()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.count).raw(self.hash.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            count: reader.u64()?,
            hash: OperationHash::from_bytes(reader.array()?),
        })
    }
}

/// A gossipsub topic, 32 bytes: known to members and to those who relay for them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Topic(pub [u8; 32]);

secret! {
    /// A generation's random half, 32 bytes: rests in the capsule or in an invite, so that a guess at the Room Key can
    /// be tested by nobody else.
    pub RoomRandom
}
secret! {
    /// The root of a generation's group keys, 32 bytes; salts every box.
    pub Psk
}
secret! {
    /// Authenticates links, 32 bytes.
    pub MeshKey
}
secret! {
    /// Authenticates admissions, 32 bytes.
    pub JoinKey
}
secret! {
    /// Seals presence records, 32 bytes.
    pub IntroKey
}
secret! {
    /// Seals control messages, 32 bytes.
    pub ControlKey
}

impl RoomRandom {
    /// 32 random bytes.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self::from_secret(&bytes)
    }
}

impl MeshKey {
    /// The name under which a room is looked for on a LAN on one day: 32 bytes, meaningless to others.
    #[must_use]
    pub fn mdns_name(&self, day: u32) -> [u8; 32] {
        *kdf::expand(self.expose(), label::MDNS, &[&day.to_be_bytes()])
    }
}

/// All group keys of one generation.
#[derive(Clone, Debug)]
pub struct GenerationKeys {
    generation: Generation,
    topic: Topic,
    mesh: MeshKey,
    keep: MeshKey,
    join: JoinKey,
    intro: IntroKey,
    control: ControlKey,
    psk: Psk,
}

impl GenerationKeys {
    /// Derives them from what the room's members share.
    #[must_use]
    pub fn derive(key: &RoomKey, random: &RoomRandom, handle: &RoomHandle, generation: Generation) -> Self {
        let root = kdf::extract(random.expose(), key.reveal().as_bytes());
        let psk = kdf::expand(
            &*root,
            label::PSK,
            &[handle.as_bytes(), &generation.count.to_be_bytes()],
        );
        let derive = |label| kdf::expand(&*psk, label, &[]);
        Self {
            generation,
            topic: Topic(*derive(label::TOPIC)),
            mesh: MeshKey::from_secret(&derive(label::MESH)),
            keep: MeshKey::from_secret(&derive(label::KEEP)),
            join: JoinKey::from_secret(&derive(label::JOIN)),
            intro: IntroKey::from_secret(&derive(label::INTRO)),
            control: ControlKey::from_secret(&derive(label::CONTROL)),
            psk: Psk::from_secret(&psk),
        }
    }

    /// Which generation they belong to.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Commits to them: what the operation that makes a generation says of its keys. Tells nothing about them to whoever
    /// lacks the random half.
    #[must_use]
    pub fn commit(&self) -> [u8; 32] {
        *kdf::expand(self.psk.expose(), label::KEY_COMMIT, &[])
    }

    /// The gossip topic.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
    }

    /// The key that authenticates links.
    #[must_use]
    pub const fn mesh(&self) -> &MeshKey {
        &self.mesh
    }

    /// The key that authenticates links between members and keepers: who has it alone can't pass for a member.
    #[must_use]
    pub const fn keep(&self) -> &MeshKey {
        &self.keep
    }

    /// The key that authenticates admissions.
    #[must_use]
    pub const fn join(&self) -> &JoinKey {
        &self.join
    }

    /// The key that seals presence records.
    #[must_use]
    pub const fn intro(&self) -> &IntroKey {
        &self.intro
    }

    /// The key that seals control messages.
    #[must_use]
    pub const fn control(&self) -> &ControlKey {
        &self.control
    }

    /// The root that salts boxes.
    #[must_use]
    pub const fn psk(&self) -> &Psk {
        &self.psk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key: &str, random: u8, handle: u8, count: u64) -> GenerationKeys {
        GenerationKeys::derive(
            &RoomKey::parse(key).unwrap(),
            &RoomRandom::from_bytes([random; 32]),
            &RoomHandle::from_bytes([handle; 32]),
            Generation {
                count,
                hash: OperationHash::from_bytes([0; 32]),
            },
        )
    }

    #[test]
    fn every_input_changes_every_key() {
        let base = keys("correct horse", 1, 2, 0);
        for other in [
            keys("correct hors", 1, 2, 0),
            keys("correct horse", 9, 2, 0),
            keys("correct horse", 1, 9, 0),
            keys("correct horse", 1, 2, 9),
        ] {
            assert_ne!(base.topic(), other.topic());
            assert_ne!(base.mesh().expose(), other.mesh().expose());
            assert_ne!(base.psk().expose(), other.psk().expose());
        }
    }

    #[test]
    fn the_current_generation_has_the_highest_count_then_the_lowest_hash() {
        let at = |count, hash| Generation {
            count,
            hash: OperationHash::from_bytes([hash; 32]),
        };
        assert!(at(2, 9).cmp_currency(&at(1, 0)).is_gt());
        assert!(at(2, 1).cmp_currency(&at(2, 2)).is_gt());
        assert!(at(2, 1).cmp_currency(&at(2, 1)).is_eq());
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = keys("correct horse", 1, 2, 0);
        let shown = format!("{:?} {:?}", keys.mesh(), keys.psk());
        assert_eq!(shown, "MeshKey(redacted) Psk(redacted)");
    }
}
