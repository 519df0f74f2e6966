//! A membership at rest: what it takes to enter a room again. docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! membership = 01 ‖ option lp(server URL) ‖ lp(room_id) ‖ lp(genesis) ‖ lp(name) ‖ list of (generation(40) ‖ r(32) ‖ lp(room_key))
//! ```
//!
//! The generations stand oldest first, the current one last.

use super::{RestBytes, begin, finish, open};
use crate::{
    Generation, GenerationKeys, Genesis, RoomHandle, RoomId, RoomKey, RoomRandom, bounds,
    wire::{DecodeError, Reader, Writer},
};

/// Generations of which keys are kept, at most: those that leaves and epochs of the grace may still name.
const MAX_GENERATIONS: usize = 64;
/// Largest encoded genesis.
const MAX_GENESIS: usize = 4 * 1024;

/// A room that its member can enter again.
#[derive(Clone, Debug)]
pub struct MembershipAtRest {
    /// The rendezvous, if there is one.
    pub server: Option<String>,
    /// The Room ID.
    pub room_id: RoomId,
    /// The room's signed beginning.
    pub genesis: Genesis,
    /// The member's name in the room.
    pub name: String,
    /// The Room Keys that it knows, oldest first: the last one is current.
    pub generations: Vec<GenerationAtRest>,
}

/// A Room Key with its random half.
#[derive(Clone, Debug)]
pub struct GenerationAtRest {
    /// Which one.
    pub generation: Generation,
    /// Its random half.
    pub random: RoomRandom,
    /// The Room Key.
    pub room_key: RoomKey,
}

impl GenerationAtRest {
    /// The group keys that follow.
    #[must_use]
    pub fn keys(&self, handle: &RoomHandle) -> GenerationKeys {
        GenerationKeys::derive(&self.room_key, &self.random, handle, self.generation)
    }

    fn write(&self, writer: &mut Writer) {
        self.generation.write(writer);
        writer.raw(self.random.expose()).lp(self.room_key.reveal().as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let generation = Generation::read(reader)?;
        let random = RoomRandom::from_secret(&super::secret(reader)?);
        let text = reader.text("room key", bounds::MAX_SECRET_BYTES)?;
        let room_key = RoomKey::parse(text)
            .ok()
            .filter(|key| key.reveal() == text)
            .ok_or(DecodeError::Invalid { what: "room key" })?;
        Ok(Self {
            generation,
            random,
            room_key,
        })
    }
}

impl MembershipAtRest {
    /// The current generation.
    #[must_use]
    pub fn current(&self) -> Option<&GenerationAtRest> {
        self.generations.last()
    }

    /// Its bytes, some 600.
    #[must_use]
    pub fn encode(&self) -> RestBytes {
        let genesis = self.genesis.encode();
        let generations = self.generations.len() * (40 + 32 + 4 + bounds::MAX_SECRET_BYTES);
        let mut writer = begin(1_024 + genesis.len() + self.name.len() + generations);
        writer.option(self.server.as_ref(), |w, server| {
            w.lp(server.as_bytes());
        });
        writer
            .lp(self.room_id.as_str().as_bytes())
            .lp(&genesis)
            .lp(self.name.as_bytes());
        let surplus = self.generations.len().saturating_sub(MAX_GENERATIONS);
        writer.list(&self.generations[surplus..], |w, generation| generation.write(w));
        finish(writer)
    }

    /// Decodes, and verifies the genesis.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored membership", bytes)?;
        let server = reader.option("server", |r| r.text("server", bounds::MAX_URL_BYTES).map(str::to_owned))?;
        let text = reader.text("room id", 4 * bounds::MAX_ROOM_ID_CHARS)?;
        let room_id = RoomId::parse(text)
            .ok()
            .filter(|id| id.as_str() == text)
            .ok_or(DecodeError::Invalid { what: "room id" })?;
        let genesis = Genesis::decode(reader.lp("genesis", MAX_GENESIS)?)
            .map_err(|_| DecodeError::Invalid { what: "genesis" })?;
        let name = reader.text("name", bounds::MAX_NAME_BYTES)?.to_owned();
        let generations = reader.list("generations", MAX_GENERATIONS, GenerationAtRest::read)?;
        reader.finish()?;
        Ok(Self {
            server,
            room_id,
            genesis,
            name,
            generations,
        })
    }
}
