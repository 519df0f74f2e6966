//! The key-stretching function: Argon2id, 64 MiB, 3 passes, 1 lane, salt of 16 zero bytes (RFC 9807, section 7: the
//! OPRF output is already unique to room and secret, so a salt adds nothing), 64 bytes out.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;
use zeroize::Zeroize;

const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
const SALT: [u8; 16] = [0; 16];

/// Argon2id with the protocol's parameters: about 0.1 s and 64 MiB, wiped and freed before it returns. Never runs on a
/// server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Argon2id;

impl Ksf for Argon2id {
    fn hash<L: ArrayLength<u8>>(&self, input: GenericArray<u8, L>) -> Result<GenericArray<u8, L>, InternalError> {
        let mut output = GenericArray::default();
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(output.len())).map_err(|_| InternalError::KsfError)?;
        let mut memory = vec![Block::default(); params.block_count()];
        let stretched = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            &input,
            &SALT,
            &mut output,
            &mut memory,
        );
        memory.zeroize();
        stretched.map_err(|_| InternalError::KsfError)?;
        Ok(output)
    }
}

/// No stretching at all, for benchmarks that measure a server and not their own Argon2id. A credential registered with
/// it is worth no more than a fast hash: the feature `danger-no-stretching` is off in everything that is shipped.
#[cfg(feature = "danger-no-stretching")]
#[derive(Clone, Copy, Debug, Default)]
pub struct DangerNoStretching;

#[cfg(feature = "danger-no-stretching")]
impl Ksf for DangerNoStretching {
    fn hash<L: ArrayLength<u8>>(&self, input: GenericArray<u8, L>) -> Result<GenericArray<u8, L>, InternalError> {
        Ok(input)
    }
}
