//! A moderator's word that an identity may enter a room whose policy asks for one: docs/PROTOCOL.md, "Approval".
//!
//! ```text
//! approval  = approver_vk(32) ‖ signature(64)
//! signature = S(approver, "sign approval", genesis_hash, H("approval", identity_vk, generation(40)))
//! ```
//!
//! The approver is a moderator or an admin by the authority log, or the admin key itself. It stands in a leaf as extension 1.

use crate::{
    Generation, GenesisHash, IdentityKey, kdf, label,
    operation::Author,
    sign::{self, BadSignature, Signature},
    wire::{DecodeError, Reader, Writer},
};

/// An approval; what it approves is known from where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    /// Who signed it.
    pub approver: IdentityKey,
    signature: Signature,
}

impl Approval {
    /// Lets an identity into one generation.
    #[must_use]
    pub fn sign(author: Author<'_>, identity: &IdentityKey, generation: Generation, genesis: &GenesisHash) -> Self {
        Self {
            approver: author.key(),
            signature: author.sign(label::SIGN_APPROVAL, genesis, &digest(identity, generation)),
        }
    }

    /// Verifies the approver's signature; not whether it may.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(
        &self,
        identity: &IdentityKey,
        generation: Generation,
        genesis: &GenesisHash,
    ) -> Result<(), BadSignature> {
        let digest = digest(identity, generation);
        sign::verify(
            self.approver.as_bytes(),
            label::SIGN_APPROVAL,
            genesis,
            &digest,
            &self.signature,
        )
    }

    /// Its bytes, 96.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(96);
        writer.raw(self.approver.as_bytes()).raw(&self.signature);
        writer.finish()
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let approval = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(approval)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            approver: IdentityKey::from_bytes(reader.array()?),
            signature: reader.array()?,
        })
    }
}

fn digest(identity: &IdentityKey, generation: Generation) -> [u8; 32] {
    kdf::hash(label::APPROVAL, &[identity.as_bytes(), &generation.to_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn it_lets_one_identity_into_one_generation_of_one_room() {
        let genesis = GenesisHash::from_bytes([1; 32]);
        let generation = Generation::first(&genesis);
        let (moderator, joiner) = (Identity::from_seed(&[2; 32]), Identity::from_seed(&[3; 32]).key());
        let approval = Approval::sign(Author::Member(&moderator), &joiner, generation, &genesis);
        assert_eq!(Approval::decode(&approval.encode()), Ok(approval.clone()));
        assert_eq!(approval.verify(&joiner, generation, &genesis), Ok(()));
        let later = Generation { count: 1, ..generation };
        let elsewhere = GenesisHash::from_bytes([4; 32]);
        assert!(approval.verify(&moderator.key(), generation, &genesis).is_err());
        assert!(approval.verify(&joiner, later, &genesis).is_err());
        assert!(approval.verify(&joiner, generation, &elsewhere).is_err());
    }
}
