//! What the rendezvous keeps without being able to read it: docs/PROTOCOL.md, "Capsules".
//!
//! ```text
//! capsule       = 04 ‖ nonce(24) ‖ XChaCha20-Poly1305(X(export_key_room, "capsule"), nonce, AD = 04,
//!                    lp(genesis) ‖ generation(40) ‖ r(32) ‖ list of lp(operation) ‖ extensions), at most 80 KiB
//! admin_capsule = 05 ‖ nonce(24) ‖ XChaCha20-Poly1305(X(export_key_admin, "admin"), nonce, AD = 05,
//!                    admin_seed(32) ‖ lp(genesis) ‖ extensions), at most 4 KiB
//! ```

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    AdminKey, ExportKey, Generation, Genesis, RoomRandom,
    aead::{self, Kind},
    bounds,
    extensions::Extensions,
    genesis::GenesisError,
    kdf, label,
    operation::{OperationError, SignedOperation, UnverifiedOperation},
    wire::{DecodeError, Reader, Writer},
};

/// What somebody who knows the Room Key needs to become a member.
#[derive(Clone, Debug)]
pub struct Capsule {
    /// The room.
    pub genesis: Genesis,
    /// The current generation.
    pub generation: Generation,
    /// Its random half.
    pub random: RoomRandom,
    /// The authority log, parents before children.
    pub log: Vec<SignedOperation>,
}

/// What somebody who knows the Password needs to be the admin.
#[derive(Clone, Debug)]
pub struct AdminCapsule {
    /// The admin key.
    pub admin_key: AdminKey,
    /// The room.
    pub genesis: Genesis,
}

/// Why a capsule is not believed: it came from a rendezvous that we don't trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CapsuleError {
    /// Not sealed under this credential's export key.
    #[error("the capsule isn't sealed under this credential")]
    Forged,
    /// It doesn't decode.
    #[error("malformed capsule: {0}")]
    Malformed(#[from] DecodeError),
    /// Its genesis isn't valid.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// An operation of its log isn't valid.
    #[error("{0}")]
    Operation(#[from] OperationError),
    /// The admin key in it is not the one that the genesis names.
    #[error("the admin key isn't this room's")]
    WrongAdminKey,
}

/// The capsule is above [`bounds::MAX_CAPSULE_BYTES`]: its log is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the room's log of operations is too long for a capsule")]
pub struct CapsuleTooLarge;

impl Capsule {
    /// Seals the capsule under the room credential's export key.
    ///
    /// # Errors
    /// [`CapsuleTooLarge`].
    pub fn seal(&self, key: &ExportKey, rng: &mut impl CryptoRng) -> Result<Vec<u8>, CapsuleTooLarge> {
        let log: Vec<Vec<u8>> = self.log.iter().map(SignedOperation::encode).collect();
        let log_bytes: usize = log.iter().map(|operation| operation.len() + 4).sum();
        if log.len() > bounds::MAX_LOG_OPERATIONS || log_bytes > bounds::MAX_LOG_BYTES {
            return Err(CapsuleTooLarge);
        }
        let mut writer = Writer::with_capacity(bounds::MAX_CAPSULE_BYTES);
        writer.lp(&self.genesis.encode());
        self.generation.write(&mut writer);
        writer.raw(self.random.expose());
        writer.list(&log, |w, operation| {
            w.lp(operation);
        });
        Extensions::none().write(&mut writer);
        let plaintext = Zeroizing::new(writer.finish());
        let key = kdf::expand(key.expose(), label::CAPSULE, &[]);
        Ok(aead::seal(&key, Kind::Capsule, rng, &plaintext))
    }

    /// Opens a capsule and verifies what it holds.
    ///
    /// # Errors
    /// [`CapsuleError`].
    pub fn open(key: &ExportKey, bytes: &[u8]) -> Result<Self, CapsuleError> {
        check_size(bytes, bounds::MAX_CAPSULE_BYTES)?;
        let key = kdf::expand(key.expose(), label::CAPSULE, &[]);
        let plaintext = aead::open(&key, Kind::Capsule, bytes).map_err(|aead::Forged| CapsuleError::Forged)?;
        let mut reader = Reader::new(&plaintext);
        let genesis = Genesis::decode(reader.lp("genesis", bounds::MAX_ADMIN_CAPSULE_BYTES)?)?;
        let generation = Generation::read(&mut reader)?;
        let random = RoomRandom::from_bytes(reader.array()?);
        let log = reader.list("log", bounds::MAX_LOG_OPERATIONS, |r| {
            UnverifiedOperation::decode(r.lp("operation", bounds::MAX_LOG_BYTES)?)
        })?;
        Extensions::read(&mut reader, &[])?;
        reader.finish()?;
        let log_bytes: usize = log.iter().map(|operation| operation.encode().len() + 4).sum();
        if log_bytes > bounds::MAX_LOG_BYTES {
            let (what, max) = ("log", bounds::MAX_LOG_BYTES);
            return Err(DecodeError::TooLong { what, max }.into());
        }
        let log = log
            .into_iter()
            .map(|operation| operation.verify(&genesis))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            genesis,
            generation,
            random,
            log,
        })
    }
}

impl AdminCapsule {
    /// Seals the capsule under the admin credential's export key.
    #[must_use]
    pub fn seal(&self, key: &ExportKey, rng: &mut impl CryptoRng) -> Vec<u8> {
        let mut writer = Writer::with_capacity(bounds::MAX_ADMIN_CAPSULE_BYTES);
        writer.raw(&*self.admin_key.to_seed()).lp(&self.genesis.encode());
        Extensions::none().write(&mut writer);
        let plaintext = Zeroizing::new(writer.finish());
        let key = kdf::expand(key.expose(), label::ADMIN_CAPSULE, &[]);
        aead::seal(&key, Kind::AdminCapsule, rng, &plaintext)
    }

    /// Opens a capsule, and checks that the key is the one that the genesis names.
    ///
    /// # Errors
    /// [`CapsuleError`].
    pub fn open(key: &ExportKey, bytes: &[u8]) -> Result<Self, CapsuleError> {
        check_size(bytes, bounds::MAX_ADMIN_CAPSULE_BYTES)?;
        let key = kdf::expand(key.expose(), label::ADMIN_CAPSULE, &[]);
        let plaintext = aead::open(&key, Kind::AdminCapsule, bytes).map_err(|aead::Forged| CapsuleError::Forged)?;
        let mut reader = Reader::new(&plaintext);
        let seed = Zeroizing::new(reader.array()?);
        let genesis = Genesis::decode(reader.lp("genesis", bounds::MAX_ADMIN_CAPSULE_BYTES)?)?;
        Extensions::read(&mut reader, &[])?;
        reader.finish()?;
        let admin_key = AdminKey::from_seed(&seed);
        if admin_key.public() == *genesis.admin() {
            Ok(Self { admin_key, genesis })
        } else {
            Err(CapsuleError::WrongAdminKey)
        }
    }
}

fn check_size(bytes: &[u8], max: usize) -> Result<(), DecodeError> {
    if bytes.len() > max {
        Err(DecodeError::TooLong { what: "capsule", max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::{
        Identity, Policy, RoomId,
        operation::{Author, Operation, Role},
    };

    fn room() -> (AdminKey, Genesis) {
        let admin = AdminKey::from_seed(&[1; 32]);
        let genesis = Genesis::create(&admin, &RoomId::parse("den").unwrap(), "", 7, Policy::default()).unwrap();
        (admin, genesis)
    }

    #[test]
    fn a_capsule_opens_under_its_export_key_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (admin, genesis) = room();
        let role = Operation::Role {
            identity: Identity::from_seed(&[2; 32]).key(),
            role: Role::Admin,
        };
        let role = SignedOperation::create(Author::Admin(&admin), vec![], role, &genesis.hash()).unwrap();
        let generation = Generation::first(&genesis.hash());
        let random = RoomRandom::from_bytes([3; 32]);
        let capsule = Capsule {
            genesis: genesis.clone(),
            generation,
            random,
            log: vec![role.clone()],
        };
        let key = ExportKey::from_bytes([4; 64]);
        let sealed = capsule.seal(&key, &mut rng).unwrap();
        let opened = Capsule::open(&key, &sealed).unwrap();
        assert_eq!(
            (opened.genesis, opened.generation, opened.log),
            (genesis, generation, vec![role])
        );
        assert_eq!(opened.random.expose(), &[3; 32]);
        assert_eq!(
            Capsule::open(&ExportKey::from_bytes([5; 64]), &sealed).unwrap_err(),
            CapsuleError::Forged
        );
        assert_eq!(AdminCapsule::open(&key, &sealed).unwrap_err(), CapsuleError::Forged);
    }

    #[test]
    fn an_admin_capsule_must_hold_the_key_that_its_genesis_names() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (admin_key, genesis) = room();
        let key = ExportKey::from_bytes([4; 64]);
        let good = AdminCapsule {
            admin_key,
            genesis: genesis.clone(),
        }
        .seal(&key, &mut rng);
        assert_eq!(AdminCapsule::open(&key, &good).unwrap().genesis, genesis);
        let bad = AdminCapsule {
            admin_key: AdminKey::from_seed(&[9; 32]),
            genesis,
        }
        .seal(&key, &mut rng);
        assert_eq!(AdminCapsule::open(&key, &bad).unwrap_err(), CapsuleError::WrongAdminKey);
    }
}
