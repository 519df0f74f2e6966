//! Finding each other without a rendezvous: where members were reached is kept in the vault, and called when nobody else names anybody.

use std::time::Duration;

use libp2p::Multiaddr;
use snug_crypto::bounds::MAX_ADDRESSES;
use tokio::time::Instant;

use super::actor::Actor;

/// From a new link to the moment it is remembered: by then its peer has said where it listens, and links that come together are kept
/// together.
const REMEMBER_AFTER: Duration = Duration::from_secs(5);
/// Addresses of ours in an invite, so that others' have a place there too.
const MAX_OWN: usize = 8;
/// Addresses of each linked member in an invite: that it can be reached at all is what counts.
const MAX_OF_MEMBER: usize = 2;

impl Actor {
    /// Calls those who were linked in an earlier run. Returns how many calls begin.
    pub(super) fn call_remembered(&mut self) -> usize {
        let parse = |addresses: &Vec<String>| addresses.iter().filter_map(|text| text.parse().ok()).collect();
        let members: Vec<Vec<Multiaddr>> = self.known.members.iter().map(parse).collect();
        let called = members
            .into_iter()
            .filter(|addresses| self.net.call_member(addresses.clone()));
        called.count()
    }

    pub(super) fn remember_soon(&mut self) {
        if !self.profile.is_ephemeral() {
            self.remember_at.get_or_insert(Instant::now() + REMEMBER_AFTER);
        }
    }

    /// Keeps where those can be reached that are linked now.
    pub(super) fn keep_reach(&mut self) {
        self.remember_at = None;
        let mut linked = self.net.linked_addresses();
        linked.sort();
        let texts = |addresses: Vec<Multiaddr>| addresses.iter().map(Multiaddr::to_string).collect();
        let mut known = self.known.clone();
        known.remember(linked.into_iter().map(|(_, addresses)| texts(addresses)).collect());
        if known == self.known {
            return;
        }
        self.known = known;
        if let Err(error) = self.profile.keep_reach(&self.genesis.hash(), &self.known) {
            tracing::warn!(%error, "where the members are could not be stored");
        }
    }

    /// Where a newcomer may find somebody of the room: us, those whom we are linked with, or those of whom we knew.
    pub(super) fn reach(&self) -> Vec<Multiaddr> {
        let own = self.net.presentable().into_iter().take(MAX_OWN);
        let linked = self.net.linked_addresses().into_iter();
        let others = linked.flat_map(|(_, addresses)| addresses.into_iter().take(MAX_OF_MEMBER));
        let earlier = self
            .known
            .members
            .iter()
            .filter_map(|addresses| addresses.first()?.parse().ok());
        let mut reach: Vec<Multiaddr> = Vec::new();
        for address in own.chain(others).chain(earlier) {
            if reach.len() < MAX_ADDRESSES && !reach.contains(&address) {
                reach.push(address);
            }
        }
        reach
    }
}
