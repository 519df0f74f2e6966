//! Which peers are linked.
//!
//! The gate opens a link when both sides have proven themselves; it is *up*, and its owner is told, once the peer has
//! subscribed to the room's topic too, which takes one more half round trip. So whoever hears of a link can publish to
//! it at once. What a peer sends before that waits here.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::event::NetEvent;

/// Events of one peer that wait for its link to be up. Requests are bounded by their streams anyway.
const MAX_EARLY: usize = 64;

#[derive(Default)]
pub(crate) struct Links {
    links: HashMap<PeerId, Link>,
}

struct Link {
    open_since: Instant,
    up: bool,
    closing: bool,
    early: Vec<NetEvent>,
}

impl Links {
    /// Both sides have proven themselves.
    pub(crate) fn opened(&mut self, peer: PeerId) {
        self.links.entry(peer).or_insert_with(|| Link {
            open_since: Instant::now(),
            up: false,
            closing: false,
            early: Vec::new(),
        });
    }

    /// The peer takes our gossip. Hands out what waited for this, if the link is up from now on.
    pub(crate) fn subscribed(&mut self, peer: &PeerId) -> Option<Vec<NetEvent>> {
        let link = self.links.get_mut(peer).filter(|link| !link.up)?;
        link.up = true;
        Some(std::mem::take(&mut link.early))
    }

    /// The last open connection is gone. Says whether the link was up.
    pub(crate) fn closed(&mut self, peer: &PeerId) -> bool {
        self.links.remove(peer).is_some_and(|link| link.up)
    }

    /// Passes an event of a peer on if its link is up; else keeps it, or drops it if there is no link or too much.
    pub(crate) fn in_order(&mut self, peer: &PeerId, event: NetEvent) -> Option<NetEvent> {
        let link = self.links.get_mut(peer)?;
        if link.up {
            return Some(event);
        }
        if link.early.len() < MAX_EARLY {
            link.early.push(event);
        }
        None
    }

    pub(crate) fn is_up(&self, peer: &PeerId) -> bool {
        self.links.get(peer).is_some_and(|link| link.up)
    }

    /// The peers whose link is up.
    pub(crate) fn peers(&self) -> Vec<PeerId> {
        let up = self.links.iter().filter(|(_, link)| link.up);
        up.map(|(peer, _)| *peer).collect()
    }

    pub(crate) fn up(&self) -> usize {
        self.links.values().filter(|link| link.up).count()
    }

    /// When to ask for [`Links::mute`] again.
    pub(crate) fn wake(&self, patience: Duration) -> Option<Instant> {
        self.links
            .values()
            .filter(|link| !link.up && !link.closing)
            .map(|link| link.open_since + patience)
            .min()
    }

    /// Peers that have been linked for this long without taking our gossip; each is named once.
    pub(crate) fn mute(&mut self, patience: Duration) -> Vec<PeerId> {
        let now = Instant::now();
        let late = |link: &Link| !link.up && !link.closing && link.open_since + patience <= now;
        let mute: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| late(link))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &mute {
            if let Some(link) = self.links.get_mut(peer) {
                link.closing = true;
            }
        }
        mute
    }
}
