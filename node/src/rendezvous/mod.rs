//! Client of a rendezvous (docs/PROTOCOL.md, "Rendezvous"): create, log in, be introduced, change, delete.
//!
//! Everything that matters about a room comes out of its capsule, which the server can't read or make; what the server says in clear
//! (policy numbers, problem texts) is shown at most. Stretching a secret takes about 0.1 s of a CPU and 64 MiB, on a thread of its own.

mod change;
mod client;
mod directory;
mod error;
mod http;
mod opaque;
mod session;
mod url;

#[cfg(test)]
mod changes;
#[cfg(test)]
mod hostile;

pub use change::{Authority, CapsuleKey, KeyChange, Superseded};
pub use client::{AdminLogin, Client, CreateOptions, Created, MemberLogin};
pub use directory::{Directory, ListedRoom};
pub use error::{ChangeError, CreateError, DeleteError, LoginError, PresenceError, ServerError};
pub use session::{Introduced, Session};
pub use url::{ServerUrl, ServerUrlError};
