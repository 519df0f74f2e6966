//! Where others reach us, besides where we listen; and what follows from that: whether we relay for members, and whether members have to for us.

use std::{net::IpAddr, time::Instant};

use libp2p::{Multiaddr, PeerId, identify, relay};

use super::{Net, NetEvent, dialer, listen, ways::relay_of};

/// Addresses of ours that a relay has reached us at.
const MAX_EXTERNAL: usize = 4;

/// Addresses that a router leads to us.
const MAX_MAPPED: usize = 8;

impl Net {
    /// A relay has confirmed that we can be reached: through it, or where it sees us.
    pub(super) fn on_reachable(&mut self, address: Multiaddr) {
        let is_news = if dialer::is_circuit(&address) {
            self.relays.reserved(address.clone())
        } else if self.external.len() < MAX_EXTERNAL && !self.external.contains(&address) {
            self.external.push(address.clone());
            true
        } else {
            false
        };
        if is_news {
            self.ready.push_back(NetEvent::Listening(address));
            self.curiosity.soon(Instant::now());
            self.judge_reach();
        }
    }

    pub(super) fn on_unreachable(&mut self, address: Multiaddr) {
        self.external.retain(|other| *other != address);
        self.ready.push_back(NetEvent::NotListening(address));
        self.judge_reach();
    }

    /// The machine has this address no more, whatever a relay confirmed when it had.
    pub(super) fn no_longer_confirmed(&mut self, gone: &Multiaddr) {
        let is_gone = |address: &&Multiaddr| listen::host(address) == listen::host(gone);
        let gone: Vec<Multiaddr> = self.external.iter().filter(is_gone).cloned().collect();
        for address in gone {
            self.swarm.remove_external_address(&address);
            self.on_unreachable(address);
        }
    }

    /// A router leads these addresses of its own to where we listen, and no others any more.
    pub fn set_mapped(&mut self, mut addresses: Vec<Multiaddr>) {
        addresses.truncate(MAX_MAPPED);
        let gone: Vec<Multiaddr> = (self.mapped.iter())
            .filter(|known| !addresses.contains(known))
            .cloned()
            .collect();
        let new: Vec<Multiaddr> = (addresses.iter())
            .filter(|address| !self.mapped.contains(address))
            .cloned()
            .collect();
        self.mapped = addresses;
        for address in gone {
            self.swarm.remove_external_address(&address);
            self.ready.push_back(NetEvent::NotListening(address));
        }
        for address in new {
            self.swarm.add_external_address(address.clone());
            self.ready.push_back(NetEvent::Listening(address));
        }
        self.judge_reach();
    }

    /// Whether a router leads to us.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        !self.mapped.is_empty()
    }

    /// Something changed of where others reach us.
    pub(super) fn judge_reach(&mut self) {
        let listening = self.listeners.values().flatten();
        let public: Vec<Multiaddr> = listening
            .filter(|address| listen::is_public(address))
            .cloned()
            .collect();
        for address in public.iter().filter(|address| !self.public.contains(address)) {
            self.swarm.add_external_address(address.clone());
        }
        for address in self.public.iter().filter(|address| !public.contains(address)) {
            self.swarm.remove_external_address(address);
        }
        self.public = public;
        let is_confirmed = !self.external.is_empty() || !self.mapped.is_empty();
        // A public address may stand behind a firewall, which a relay for members would only notice when nobody comes; but who needs one should
        // not be without.
        self.relays.set_reachable(is_confirmed, Instant::now());
        let serves = self.serves && (is_confirmed || !self.public.is_empty());
        if !self.serving.set(serves) {
            return;
        }
        let status = if serves {
            tracing::info!("we can be reached, and relay for members who can't reach each other");
            relay::Status::Enable
        } else {
            tracing::info!("we can't be reached any more, and relay for nobody");
            relay::Status::Disable
        };
        if let Some(relay) = self.swarm.behaviour_mut().gate.inner_mut().relay.as_mut() {
            relay.set_status(Some(status));
        }
    }

    /// A member says what it speaks. Who relays, and whom we reached ourselves, may be asked to relay for us.
    pub(super) fn on_identified(&mut self, member: PeerId, info: &identify::Info) {
        let relays = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        let dialed = self.swarm.behaviour().gate.dialed_address(&member);
        let Some(dialed) = dialed.and_then(dialer::plain).filter(|_| relays) else {
            return self.relays.remove_member(&member);
        };
        // Where it is to be found by others: not on the network that we two share, if it says where else.
        let told = || {
            listen::presentable(&info.listen_addrs)
                .into_iter()
                .find(listen::is_public)
        };
        let address = if listen::is_public(&dialed) {
            dialed
        } else {
            told().unwrap_or(dialed)
        };
        self.relays.add_member(member, address, Instant::now());
    }

    /// Says whose the circuits of these addresses are, just before they are used, and leaves out those through ourselves.
    pub(super) fn sorted_circuits(&self, mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
        addresses.retain(|address| {
            let Some(relay) = relay_of(address) else { return true };
            let is_member = self.links.is_up(&relay) || self.dialer.knows(&relay);
            self.member_relays
                .mark(relay, is_member && !self.relays.is_named(&relay));
            relay != *self.swarm.local_peer_id()
        });
        addresses
    }

    pub(super) fn ask_relays(&mut self) {
        let now = Instant::now();
        if let Some(listener) = self.relays.overdue(now) {
            // Its end is told as an event.
            self.swarm.remove_listener(listener);
            self.relays.closed(listener, now);
        }
        while let Some(address) = self.relays.next(now) {
            if let Some(relay) = relay_of(&address) {
                self.member_relays.mark(relay, !self.relays.is_named(&relay));
            }
            match self.swarm.listen_on(address) {
                Ok(listener) => self.relays.asked(listener, now),
                Err(error) => {
                    tracing::debug!(%error, "a relay can't be asked");
                    self.relays.failed(now);
                }
            }
        }
    }
}

/// Whether the whole internet could reach an address, as far as its form says.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            let is_local = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            !(is_local || is_shared || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            let is_local = ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local();
            !(is_local || ip.is_unspecified() || ip.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_is_what_is_not_some_ones_own() {
        for (ip, public) in [
            ("203.0.113.1", true),
            ("2001:db8::1", true),
            ("::ffff:10.0.0.1", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("169.254.0.1", false),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("fd00::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }
}
