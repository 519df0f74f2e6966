//! Where a room's members were reached last, and the port at which they reach us: one JSON object for each room, in the vault only.
//!
//! A member has another peer id in each run, but often the same address. So a room finds itself again without a rendezvous, or while that is
//! away.

use serde::{Deserialize, Serialize};
use snug_crypto::ids::GenesisHash;
use snug_crypto::rest::RestBytes;

use super::{Profile, ProfileError, Purpose, entry};

/// Members that are remembered; those that were linked last.
pub const MAX_REMEMBERED: usize = 32;
/// Addresses of each.
const MAX_ADDRESSES: usize = 16;
/// Longest address, in bytes.
const MAX_ADDRESS: usize = 256;
/// Followed by the room's genesis hash.
const REACH: &[u8] = b"reach ";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// The port that we listen on, TCP and UDP, unless told otherwise; 0 before it is chosen.
    pub port: u16,
    /// The addresses of each member as multiaddresses, those that were linked last first.
    pub members: Vec<Vec<String>>,
}

impl Reach {
    /// Puts members that are linked now before those of earlier, who give way to them.
    pub fn remember(&mut self, linked: Vec<Vec<String>>) {
        let earlier = std::mem::take(&mut self.members);
        self.keep(linked.into_iter().chain(earlier));
    }

    /// Puts members that an invite named after all others: they may never have been there.
    pub fn add(&mut self, invited: Vec<Vec<String>>) {
        let known = std::mem::take(&mut self.members);
        self.keep(known.into_iter().chain(invited));
    }

    fn keep(&mut self, all: impl Iterator<Item = Vec<String>>) {
        let mut members: Vec<Vec<String>> = Vec::new();
        for addresses in all {
            let is_known = |address: &String| members.iter().any(|member| member.contains(address));
            let kept: Vec<String> = (addresses.into_iter())
                .filter(|address| address.len() <= MAX_ADDRESS && !is_known(address))
                .take(MAX_ADDRESSES)
                .collect();
            if !kept.is_empty() && members.len() < MAX_REMEMBERED {
                members.push(kept);
            }
        }
        self.members = members;
    }
}

impl Profile {
    /// Where a room's members were reached last.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn reach(&self, genesis: &GenesisHash) -> Result<Reach, ProfileError> {
        let Some(vault) = &self.vault else {
            return Ok(Reach::default());
        };
        let stored = vault.get(Purpose::Profile, &reach_key(genesis))?;
        let decoded = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(decoded.unwrap_or_default())
    }

    /// Remembers it for the next run.
    ///
    /// # Errors
    /// [`ProfileError`] if it can't be kept.
    pub fn keep_reach(&self, genesis: &GenesisHash, reach: &Reach) -> Result<(), ProfileError> {
        // Numbers and strings alone: there is nothing in them that JSON can't say.
        let bytes = serde_json::to_vec(reach).unwrap_or_default();
        self.write(vec![entry(&reach_key(genesis), RestBytes::new(bytes))])
    }
}

pub(super) fn reach_key(genesis: &GenesisHash) -> Vec<u8> {
    [REACH, genesis.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: usize) -> Vec<String> {
        vec![
            format!("/ip4/192.0.2.1/tcp/{n}"),
            format!("/ip4/192.0.2.1/udp/{n}/quic-v1"),
        ]
    }

    #[test]
    fn those_of_now_come_first_and_nobody_twice() {
        let mut reach = Reach {
            port: 4001,
            members: vec![member(1), member(2)],
        };
        reach.remember(vec![member(3), member(2)]);
        assert_eq!(reach.members, [member(3), member(2), member(1)]);
        reach.add(vec![member(4), member(3)]);
        assert_eq!(reach.members, [member(3), member(2), member(1), member(4)]);
        reach.remember((10..100).map(member).collect());
        assert_eq!(reach.members.len(), MAX_REMEMBERED);
        reach.remember(vec![vec!["x".repeat(MAX_ADDRESS + 1)], Vec::new()]);
        assert_eq!(reach.members[0], member(10));
    }
}
