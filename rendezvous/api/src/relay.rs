//! Relays: where members meet who can't reach each other.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bounds::MAX_RELAY_ADDRESS;

/// Where a relay is: a multiaddr that ends in its peer id, such as `/ip4/203.0.113.7/udp/7072/quic-v1/p2p/12D3…`. One that begins with
/// `/tcp` or `/udp` is on the host under which the client reached this server.
///
/// The text is 1 to [`MAX_RELAY_ADDRESS`] visible ASCII characters that begin with a slash; whether it is a multiaddr is the reader's to
/// find out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayAddress(String);

/// A text that is no [`RelayAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAddressError;

impl fmt::Display for RelayAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an address of a relay is a slash and up to {} visible ASCII characters",
            MAX_RELAY_ADDRESS - 1
        )
    }
}

impl std::error::Error for RelayAddressError {}

impl RelayAddress {
    /// Checks length and characters.
    ///
    /// # Errors
    /// [`RelayAddressError`]
    pub fn new(text: impl Into<String>) -> Result<Self, RelayAddressError> {
        let text = text.into();
        let is_fine = text.starts_with('/')
            && text.len() <= MAX_RELAY_ADDRESS
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_fine.then_some(Self(text)).ok_or(RelayAddressError)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RelayAddress {
    type Error = RelayAddressError;

    fn try_from(text: String) -> Result<Self, RelayAddressError> {
        Self::new(text)
    }
}

impl From<RelayAddress> for String {
    fn from(address: RelayAddress) -> Self {
        address.0
    }
}
