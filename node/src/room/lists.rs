//! Lists of members that travel apart from the announcements of large epochs (docs/PROTOCOL.md, "Epochs").
//!
//! An announcement of hundreds says only how many members it has, and the hash of their list. Who knows the same roster makes that list
//! itself; anybody else asks those who told it of the epoch. They may have heard of it a moment ago and lack the list as well, so a source
//! that has none is asked again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use snug_crypto::direct::DirectRequest;
use snug_crypto::epoch::{MemberEntry, UnverifiedAnnouncement};
use snug_crypto::ids::{EpochId, PeerKey};

use super::exchange::Question;
use super::keys::Announced;
use super::timing::{LIST_PATIENCE, LIST_REPLY, LIST_RETRY, LIST_RETRY_MAX, MAX_LIST_SOURCES, MAX_LISTS};
use super::{Now, Room};

/// Announcements whose lists are looked for.
#[derive(Default)]
pub(super) struct Lists {
    wanted: BTreeMap<EpochId, Wanted>,
}

struct Wanted {
    announcement: UnverifiedAnnouncement,
    /// Who told us of it first.
    from: PeerKey,
    /// Who told us of it, the one that is asked next first.
    sources: VecDeque<PeerKey>,
    since: Duration,
    next: Duration,
    /// How long a source that has none is left alone.
    wait: Duration,
}

impl Lists {
    pub(super) fn wants(&self, id: &EpochId) -> bool {
        self.wanted.contains_key(id)
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.wanted.values().map(|wanted| wanted.next).min()
    }
}

impl Room {
    /// The announcement, with the list that follows from our own roster if it lacks one and that is what it was signed over.
    pub(super) fn with_own_list(&self, announcement: UnverifiedAnnouncement, now: Now) -> UnverifiedAnnouncement {
        let header = announcement.unverified_header();
        if !announcement.needs_members() || header.generation != self.keys.generation() {
            return announcement;
        }
        let roster = self.members.roster(&self.admission(), now.unix_ms);
        if roster.len() != header.member_count as usize {
            return announcement;
        }
        let mut entries: Vec<MemberEntry> = roster.values().map(|leaf| MemberEntry::of(leaf)).collect();
        entries.sort_unstable_by_key(|entry| entry.leaf);
        announcement.clone().with_members(entries).unwrap_or(announcement)
    }

    /// Looks for an announcement's list, with `from` as one who may have it.
    pub(super) fn want_list(&mut self, from: PeerKey, announcement: UnverifiedAnnouncement, now: Now) {
        let id = announcement.epoch_id(&self.genesis_hash);
        let wanted = self.lists.wanted.entry(id).or_insert_with(|| Wanted {
            announcement,
            from,
            sources: VecDeque::new(),
            since: now.elapsed,
            next: now.elapsed,
            wait: LIST_RETRY,
        });
        if wanted.sources.len() < MAX_LIST_SOURCES && !wanted.sources.contains(&from) {
            wanted.sources.push_back(from);
        }
        while self.lists.wanted.len() > MAX_LISTS {
            let oldest = self.lists.wanted.iter().min_by_key(|(_, wanted)| wanted.since);
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            self.lists.wanted.remove(&id);
        }
    }

    /// Asks for the lists that are due, each at one source after the other.
    pub(super) fn tend_lists(&mut self, now: Now) {
        let (epochs, members) = (&self.epochs, &self.members);
        self.lists
            .wanted
            .retain(|id, wanted| !epochs.is_known(id) && now.elapsed.saturating_sub(wanted.since) < LIST_PATIENCE);
        let mut due = Vec::new();
        for (id, wanted) in &mut self.lists.wanted {
            if wanted.next > now.elapsed {
                continue;
            }
            wanted.next = now.elapsed + LIST_REPLY;
            wanted.sources.retain(|peer| members.linked(peer));
            let source = wanted.sources.pop_front();
            wanted.sources.extend(source);
            due.push((*id, source));
        }
        for (epoch, source) in due {
            if let Some(to) = source.or_else(|| self.random_link()) {
                self.ask(to, DirectRequest::Members { epoch }, Question::Members { epoch });
            }
        }
    }

    /// A reply to our question for a list; none of a source that hasn't it, or that didn't answer.
    pub(super) fn on_list(&mut self, id: EpochId, members: Vec<MemberEntry>, now: Now) {
        let Some(wanted) = self.lists.wanted.get_mut(&id) else {
            return;
        };
        let Ok(announcement) = wanted.announcement.clone().with_members(members) else {
            wanted.next = now.elapsed + wanted.wait;
            wanted.wait = (wanted.wait * 2).min(LIST_RETRY_MAX);
            return;
        };
        let from = wanted.from;
        // Everybody was told of it when it came.
        match self.accept_announcement(announcement, now) {
            Announced::New => self.epochs.heard_from(&id, from),
            other => tracing::debug!(epoch = %id, ?other, "an epoch is not taken up, now that its members are known"),
        }
        self.lists.wanted.remove(&id);
    }
}
