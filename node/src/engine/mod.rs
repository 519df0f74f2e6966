//! The actor that owns the room, the mesh and the rendezvous session; its handle, commands and events.

pub(crate) mod clock;
