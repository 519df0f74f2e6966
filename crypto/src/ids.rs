//! Identifiers: fixed-size byte strings, each with a type of its own, so that one can't stand where another belongs.
//!
//! docs/PROTOCOL.md, "Identifiers". All are public values; `Debug` and `Display` print lower-case hex.

use crate::{kdf, label};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident[$len:literal]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Its size in bytes.
            pub const LEN: usize = $len;

            /// Takes the bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Takes a slice of exactly [`Self::LEN`] bytes; `None` for any other length.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Parses hex of either case; `None` if it isn't exactly [`Self::LEN`] bytes of it.
            #[must_use]
            pub fn from_hex(hex: &str) -> Option<Self> {
                data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok().and_then(|bytes| Self::from_slice(&bytes))
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

#[cfg(feature = "credential")]
pub(crate) use id;

id! {
    /// A room's name at the rendezvous: `H("handle", room_id)`. Whoever can guess the Room ID can compute it.
    RoomHandle[32]
}
id! {
    /// Names a room for good: `H("genesis", signed body)`. Every signature in the room covers it.
    GenesisHash[32]
}
id! {
    /// Names an operation of the authority log: `H("operation", genesis hash, signed body)`. The genesis counts as one.
    OperationHash[32]
}
id! {
    /// Names a member's place in a room for one incarnation (docs/PROTOCOL.md, "Leaves").
    LeafId[16]
}
id! {
    /// Names an epoch and commits to its secret (docs/PROTOCOL.md, "Epochs").
    EpochId[32]
}
id! {
    /// What frames of one epoch begin with, so that a receiver finds the epoch without trial decryption.
    FrameTag[8]
}
id! {
    /// Names a frame: the hash of what its sender signed (docs/PROTOCOL.md, "Frames").
    FrameHash[32]
}
id! {
    /// Names one content of a frame: `H("message", frame hash, index)`.
    MessageId[32]
}
id! {
    /// Names the room of two that two members of a room have: `H("pair", genesis hash, both identities)`.
    PairHash[32]
}
id! {
    /// What direct messages of one epoch of a room of two begin with, so that their reader finds it.
    PairTag[8]
}
id! {
    /// A member's identity: an Ed25519 public key, as it came, not yet checked to be a point.
    IdentityKey[32]
}
id! {
    /// A peer on the mesh: the Ed25519 public key of its transport. It is new for each room and run, and is never a
    /// member's identity.
    PeerKey[32]
}
id! {
    /// What people compare and programs print of an identity: 32 hex digits.
    Fingerprint[16]
}

impl IdentityKey {
    /// `H("fingerprint", identity key)[..16]`.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(kdf::first_16(&kdf::hash(label::FINGERPRINT, &[self.as_bytes()])))
    }
}

impl PairHash {
    /// `H("pair", genesis hash, the lower identity key, the higher identity key)`.
    #[must_use]
    pub fn of(genesis: &GenesisHash, one: &IdentityKey, other: &IdentityKey) -> Self {
        let (lower, higher) = (one.min(other), one.max(other));
        Self(kdf::hash(
            label::PAIR,
            &[genesis.as_bytes(), lower.as_bytes(), higher.as_bytes()],
        ))
    }
}

impl MessageId {
    /// The id of the content at `index` (from 0) in a frame.
    #[must_use]
    pub fn of(frame: &FrameHash, index: u32) -> Self {
        Self(kdf::hash(label::MESSAGE, &[frame.as_bytes(), &index.to_be_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_other_lengths() {
        let id = LeafId::from_bytes([0xAB; 16]);
        assert_eq!(LeafId::from_hex(&id.to_string()), Some(id));
        assert_eq!(LeafId::from_hex(&id.to_string().to_uppercase()), Some(id));
        assert_eq!(LeafId::from_hex("abab"), None);
        assert_eq!(LeafId::from_hex(&"zz".repeat(16)), None);
        assert_eq!(LeafId::from_slice(&[0; 17]), None);
    }

    #[test]
    fn contents_of_one_frame_have_different_ids() {
        let frame = FrameHash::from_bytes([7; 32]);
        assert_ne!(MessageId::of(&frame, 0), MessageId::of(&frame, 1));
    }
}
