//! Where the vectors' secrets and randomness come from.

use core::convert::Infallible;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng},
};

/// The secrets of the room that the vectors speak of.
#[derive(Clone, Copy)]
pub enum Inputs {
    /// One byte repeated, for the committed files.
    Committed,
    /// Others for each seed, for the second implementation to read.
    Fresh(u64),
}

impl Inputs {
    /// The secret that is called by this byte.
    pub fn bytes<const N: usize>(self, name: u8) -> [u8; N] {
        let mut bytes = [name; N];
        if let Self::Fresh(_) = self {
            self.rng(0x100 + u64::from(name)).fill_bytes(&mut bytes);
        }
        bytes
    }

    /// What is drawn while something is made, by its number.
    pub fn rng(self, number: u64) -> ChaCha20Rng {
        match self {
            Self::Committed => ChaCha20Rng::seed_from_u64(number),
            Self::Fresh(seed) => {
                let mut rng = ChaCha20Rng::seed_from_u64(seed);
                rng.set_stream(number);
                rng
            }
        }
    }
}

/// Randomness that is written down as it is drawn.
pub struct Recorded {
    rng: ChaCha20Rng,
    pub drawn: Vec<Vec<u8>>,
}

impl Recorded {
    pub fn new(rng: ChaCha20Rng) -> Self {
        Self { rng, drawn: Vec::new() }
    }
}

impl TryRng for Recorded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.rng.fill_bytes(bytes);
        self.drawn.push(bytes.to_vec());
        Ok(())
    }
}

impl TryCryptoRng for Recorded {}
