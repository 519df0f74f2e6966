//! Keepers, as a member sees them: what they hold is compared with what we hold, both ways (docs/PROTOCOL.md, "Keepers").
//!
//! A keeper reads nothing, so it is asked by name: what is there that we don't know? It is nobody's word but its depositors', so what it
//! gives is verified as any gossip, and it is blamed for nothing. It counts as no link of the room: who is linked with keepers alone is
//! alone.

mod deposit;
mod grant;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::RngExt;
use snug_crypto::bounds::MAX_FETCH;
use snug_crypto::control::{self, ControlMessage};
use snug_crypto::epoch::SealedBox;
use snug_crypto::ids::{EpochId, Fingerprint, FrameTag, IdentityKey, OperationHash, PeerKey};
use snug_crypto::keeper::{KeeperReply, KeeperRequest, KeptItem};
use snug_crypto::operation::{Keeper, Operation, SignedOperation};

use super::delivery::FrameKey;
use super::exchange::Question;
use super::frames::{Asked, Way};
use super::{Now, Output, Phase, Room};

pub(super) use deposit::Deposits;

/// Keepers of a room: each costs every member a link, and a copy of all that is said.
pub const MAX_KEEPERS: usize = 4;

/// Between two looks at what a keeper holds; jittered by half. A look costs fifty bytes where nothing is new.
const LOOK_INTERVAL: Duration = Duration::from_secs(4);
/// After this long everything is looked at anew: what had to give way there is given again.
const RELIST: Duration = Duration::from_secs(3_600);
/// Names of one keeper's items that are remembered: more than it holds by default.
const MAX_NAMES: usize = 32_768;
/// Control messages of a keeper that wait for the rest of them.
const MAX_GATHERED: usize = 4_096;
/// Before a keeper has said what its store is called.
const NO_STORE: [u8; 8] = [0; 8];
/// Boxes of ours that wait for their epoch's announcement.
const MAX_BOXES: usize = 64;

/// A keeper as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperView {
    /// What tells it from others.
    pub fingerprint: Fingerprint,
    /// Whether we are linked with it.
    pub online: bool,
}

/// A keeper as the net needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperContact {
    /// Its peer.
    pub peer: PeerKey,
    /// Where it is called.
    pub addresses: Vec<String>,
    /// What it is asked where it is in another generation: an encoded `KeeperRequest`.
    pub question: Vec<u8>,
}

/// A keeper and where it is called.
type Called = (PeerKey, Vec<String>);

/// The name of an item.
type Name = [u8; 16];

/// What we know of the room's keepers.
#[derive(Default)]
pub(super) struct Keepers {
    links: BTreeMap<PeerKey, Shelf>,
    /// What the net was told of last, and in which generation that was.
    told: Option<(OperationHash, Vec<Called>)>,
    deposits: Deposits,
    /// What keepers gave us in this run.
    taken: BTreeSet<Name>,
    /// Boxes of ours whose epoch isn't here yet, or for which our leaf isn't.
    boxes: VecDeque<(PeerKey, EpochId, SealedBox)>,
}

/// What a linked keeper holds, as far as we know.
struct Shelf {
    store: [u8; 8],
    after: u64,
    has: BTreeSet<Name>,
    /// What it has and we don't, in its order.
    wanted: Vec<KeptItem>,
    /// What of it is here, until the last of them is: they build on each other.
    gathered: Vec<ControlMessage>,
    /// A question is under way.
    asking: bool,
    next_look: Duration,
    relist: Duration,
    /// Whether we have seen all that it has once.
    complete: bool,
    /// Whether it may lack something of ours.
    lacks: bool,
}

/// What a question to a keeper was about.
#[derive(Clone, Debug)]
pub(super) enum KeeperQuestion {
    Look,
    Fetch(Vec<Name>),
    Deposit(Vec<Name>),
    Hand,
}

impl Shelf {
    fn new(now: Now) -> Self {
        Self {
            store: NO_STORE,
            after: 0,
            has: BTreeSet::new(),
            wanted: Vec::new(),
            gathered: Vec::new(),
            asking: false,
            next_look: now.elapsed,
            relist: now.elapsed + RELIST,
            complete: false,
            lacks: false,
        }
    }
}

impl Keepers {
    pub(super) fn is_linked(&self, peer: &PeerKey) -> bool {
        self.links.contains_key(peer)
    }

    pub(super) fn any_linked(&self) -> bool {
        !self.links.is_empty()
    }

    /// How many that we are linked with have a frame of which we keep the ciphertext, as far as we know.
    pub(super) fn holding(&self, key: &FrameKey) -> usize {
        let name = self.deposits.frame(key);
        name.map_or(0, |name| {
            let has_it = |shelf: &&Shelf| shelf.has.contains(name);
            self.links.values().filter(has_it).count()
        })
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        let idle = self.links.values().filter(|shelf| !shelf.asking);
        idle.map(|shelf| shelf.next_look).min()
    }
}

impl Room {
    /// The keepers that count, by their peers.
    pub(super) fn valid_keepers(&self) -> impl Iterator<Item = &Keeper> {
        self.authority.evaluation().keepers.values().take(MAX_KEEPERS)
    }

    pub(super) fn is_keeper(&self, peer: &PeerKey) -> bool {
        self.valid_keepers().any(|keeper| keeper.peer() == *peer)
    }

    /// The keeper that an operation removes, if it was one.
    pub(super) fn keeper_removed_by(&self, signed: &SignedOperation) -> Option<IdentityKey> {
        let removed = signed.operation().removes()?;
        let names =
            |signed: &SignedOperation| matches!(signed.operation(), Operation::Keeper(keeper) if keeper.key == removed);
        self.authority
            .iter()
            .any(|(_, signed)| names(signed))
            .then_some(removed)
    }

    /// The room's keepers, for people.
    pub fn keepers(&self) -> Vec<KeeperView> {
        let view = |keeper: &Keeper| KeeperView {
            fingerprint: keeper.key.fingerprint(),
            online: self.keepers.is_linked(&keeper.peer()),
        };
        self.valid_keepers().map(view).collect()
    }

    /// Whether a peer that we are linked with is no member.
    pub fn is_keeper_linked(&self, peer: &PeerKey) -> bool {
        self.keepers.is_linked(peer)
    }

    /// Whom we may wait for: a keeper may tell what we missed, too.
    pub(super) fn introduced(&mut self, links_expected: usize, now: Now) {
        let keepers = self.valid_keepers().count();
        let keepers = keepers.saturating_sub(self.own.unreachable_so_far());
        self.own.introduced(links_expected + keepers, now.elapsed);
    }

    pub(super) fn on_keeper_up(&mut self, peer: PeerKey, now: Now) {
        self.own.linked(now.elapsed);
        self.keepers.links.insert(peer, Shelf::new(now));
    }

    pub(super) fn on_keeper_down(&mut self, peer: &PeerKey) -> bool {
        self.keepers.links.remove(peer).is_some()
    }

    /// Tells the net whom to call, looks after what keepers hold, and gives them what they lack.
    pub(super) fn tend_keepers(&mut self, now: Now) {
        self.tell_keepers(now);
        // On the way from one generation to the next nothing that is sealed under the new one is meant for the old one's keepers.
        if self.moving.is_some() {
            return;
        }
        self.place_boxes(now);
        let peers: Vec<PeerKey> = self.keepers.links.keys().copied().collect();
        for peer in peers {
            self.tend_shelf(peer, now);
        }
    }

    fn tend_shelf(&mut self, peer: PeerKey, now: Now) {
        let wants = self.next_wanted(&peer);
        let Some(shelf) = self.keepers.links.get_mut(&peer) else {
            return;
        };
        if shelf.asking {
            return;
        }
        if now.elapsed >= shelf.next_look {
            if now.elapsed >= shelf.relist {
                shelf.relist = now.elapsed + RELIST;
                shelf.after = 0;
                shelf.has.clear();
            }
            let (store, after) = (shelf.store, shelf.after);
            return self.ask_keeper(peer, &KeeperRequest::Holdings { store, after }, KeeperQuestion::Look);
        }
        if !wants.is_empty() {
            return self.ask_keeper(peer, &KeeperRequest::Fetch(wants.clone()), KeeperQuestion::Fetch(wants));
        }
        let gathered = std::mem::take(&mut shelf.gathered);
        let is_first = !std::mem::replace(&mut shelf.complete, true);
        if !gathered.is_empty() {
            self.take_gathered(peer, gathered, now);
            if self.is_over() {
                return;
            }
        }
        if is_first {
            // It has told all that others left there: the state at hand is no older than that. Somebody who is being dialled knows more.
            let keepers = self.valid_keepers().count();
            if self.own.expected().is_some_and(|expected| expected <= keepers) {
                self.own.synced();
            }
            self.catching_up.confirm();
        }
        self.deposit(peer, false);
    }

    /// Names to ask for: control messages first, then frames of epochs that we hold.
    fn next_wanted(&self, peer: &PeerKey) -> Vec<Name> {
        let Some(shelf) = self.keepers.links.get(peer) else {
            return Vec::new();
        };
        let is_new = |item: &&KeptItem| !self.keepers.taken.contains(&item.name);
        let some = |choose: &dyn Fn(&KeptItem) -> bool| -> Vec<Name> {
            let chosen = shelf.wanted.iter().filter(|item| choose(item)).filter(is_new);
            chosen.map(|item| item.name).take(MAX_FETCH).collect()
        };
        let messages = some(&|item| item.tag == [0; 8]);
        if !messages.is_empty() || !shelf.gathered.is_empty() {
            return messages;
        }
        some(&|item| self.epochs.by_tag(&FrameTag::from_bytes(item.tag)).is_some())
    }

    fn ask_keeper(&mut self, to: PeerKey, request: &KeeperRequest, question: KeeperQuestion) {
        let Ok(bytes) = request.encode() else {
            return tracing::debug!("a question to a keeper is too large");
        };
        let asking = self.ask_bytes(to, bytes, Question::Keeper { to, question });
        if let Some(shelf) = self.keepers.links.get_mut(&to) {
            shelf.asking = asking;
            if !asking {
                shelf.next_look += LOOK_INTERVAL;
            }
        }
    }

    pub(super) fn on_keeper_reply(&mut self, from: PeerKey, question: KeeperQuestion, bytes: Option<&[u8]>, now: Now) {
        let jitter = self.rng.random_range(0..LOOK_INTERVAL.as_millis() as u64);
        let Some(shelf) = self.keepers.links.get_mut(&from) else {
            return;
        };
        shelf.asking = false;
        let reply = bytes.and_then(|bytes| KeeperReply::decode(bytes).ok());
        match (question, reply) {
            (
                KeeperQuestion::Look,
                Some(KeeperReply::Holdings {
                    store,
                    items,
                    next,
                    more,
                }),
            ) => {
                let begins_anew = shelf.store != store && shelf.store != NO_STORE;
                if shelf.store != store {
                    shelf.store = store;
                    shelf.has.clear();
                    shelf.wanted.clear();
                }
                // One that leads us on is asked no oftener than any other.
                let goes_on = more && !items.is_empty() && !begins_anew && next > shelf.after;
                shelf.after = next;
                if !goes_on || shelf.has.len() >= MAX_NAMES {
                    shelf.next_look = now.elapsed + LOOK_INTERVAL / 2 + Duration::from_millis(jitter);
                    shelf.lacks = true;
                }
                self.note_listed(from, &items);
                if !items.is_empty() {
                    self.note_kept(now);
                }
            }
            (KeeperQuestion::Fetch(names), Some(KeeperReply::Items(items))) => {
                let (mut asked, mut came) = (BTreeSet::from_iter(names), false);
                for item in items {
                    let name = snug_crypto::keeper::item_name(&item);
                    // Nobody asked for anything else.
                    if asked.remove(&name) {
                        came = true;
                        self.keepers.taken.insert(name);
                        self.take_item(from, item, now);
                    }
                }
                // What it no longer has is not asked for again.
                if !came {
                    self.keepers.taken.extend(asked);
                }
            }
            (KeeperQuestion::Deposit(names), Some(KeeperReply::Kept)) => {
                shelf.has.extend(names);
                shelf.lacks = true;
                self.note_kept(now);
            }
            (KeeperQuestion::Hand, Some(KeeperReply::Generation(_))) => self.gave_keeper(now),
            // It refuses, or is too slow: the next look is soon enough.
            _ => {
                shelf.lacks = false;
                shelf.next_look = now.elapsed + LOOK_INTERVAL;
            }
        }
        if self.keepers.taken.len() > MAX_NAMES {
            self.keepers.taken.clear();
        }
    }

    fn note_listed(&mut self, from: PeerKey, items: &[KeptItem]) {
        if items.is_empty() {
            return;
        }
        let known = self.known_names();
        let Some(shelf) = self.keepers.links.get_mut(&from) else {
            return;
        };
        shelf.wanted.retain(|item| !self.keepers.taken.contains(&item.name));
        for item in items {
            if shelf.has.len() >= MAX_NAMES {
                return tracing::debug!("a keeper names more than it can hold");
            }
            if shelf.has.insert(item.name) && !known.contains(&item.name) && !self.keepers.taken.contains(&item.name) {
                shelf.wanted.push(*item);
            }
        }
    }

    fn take_item(&mut self, from: PeerKey, item: Vec<u8>, now: Now) {
        if !control::is_control(&item) {
            self.members.hearsay(true);
            self.take_frame(item, Asked::Yes, now);
            self.members.hearsay(false);
            return;
        }
        let opened = control::open(self.keys.control(), &item);
        if let (Ok(message), Some(shelf)) = (opened, self.keepers.links.get_mut(&from))
            && shelf.gathered.len() < MAX_GATHERED
        {
            shelf.gathered.push(message);
        }
    }

    /// What a keeper held, in an order in which each finds what it builds on: the log, whom generations carried, records, announcements,
    /// boxes. It is verified as any gossip; the keeper can't know what is wrong with it.
    fn take_gathered(&mut self, from: PeerKey, messages: Vec<ControlMessage>, now: Now) {
        let rank = |message: &ControlMessage| match message {
            ControlMessage::Operation(_) => 0,
            ControlMessage::Record(_) => 1,
            ControlMessage::Announcement(_) => 2,
            _ => 3,
        };
        for message in &messages {
            if let ControlMessage::Announcement(announcement) = message {
                self.note_carried(announcement);
            }
        }
        let (operations, mut rest): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| rank(message) == 0);
        // Children may stand before their parents.
        self.members.hearsay(true);
        let mut before = usize::MAX;
        while before != self.authority.hashes().count() && !self.is_over() {
            before = self.authority.hashes().count();
            for operation in &operations {
                self.take_control(from, operation.clone(), Way::Direct, now);
            }
        }
        rest.sort_by_key(rank);
        for message in rest {
            if self.is_over() {
                break;
            }
            match message {
                ControlMessage::Box { epoch, sealed } => self.take_kept_box(from, epoch, sealed),
                message => drop(self.take_control(from, message, Way::Direct, now)),
            }
        }
        self.members.hearsay(false);
        if !self.is_over() {
            self.place_boxes(now);
        }
    }

    pub(super) fn take_kept_box(&mut self, from: PeerKey, epoch: EpochId, sealed: SealedBox) {
        let is_ours = (self.members.leaf(&sealed.leaf)).is_some_and(|leaf| leaf.identity() == self.me);
        if !is_ours {
            self.keep_box(epoch, &sealed);
        } else if !self.epochs.holds(&epoch) {
            self.keepers.boxes.push_back((from, epoch, sealed));
            if self.keepers.boxes.len() > MAX_BOXES {
                self.keepers.boxes.pop_front();
            }
        }
    }

    /// Opens boxes of ours as soon as our leaf is out and their epoch is announced.
    fn place_boxes(&mut self, now: Now) {
        let Some(mine) = self.own.leaf_id().filter(|_| self.phase == Phase::In) else {
            return;
        };
        let epochs = &self.epochs;
        let is_ripe = |epoch: &EpochId| epochs.known(epoch).is_some_and(|known| known.lists(&mine));
        let (due, waiting): (VecDeque<_>, VecDeque<_>) =
            (self.keepers.boxes.drain(..)).partition(|(_, epoch, _)| is_ripe(epoch));
        self.keepers.boxes = waiting;
        for (from, epoch, sealed) in due {
            self.on_box(epoch, from, Some(sealed), now);
        }
    }

    /// Tells the net which keepers there are, and what they are asked at their doors; and takes links for what they are.
    fn tell_keepers(&mut self, now: Now) {
        let generation = self.keys.generation();
        let keepers: Vec<Called> = (self.valid_keepers())
            .map(|keeper| (keeper.peer(), keeper.addresses.clone()))
            .collect();
        let is_told = |(hash, told): &(OperationHash, Vec<_>)| *hash == generation.hash && *told == keepers;
        if self.moving.is_some() || self.keepers.told.as_ref().is_some_and(is_told) {
            return;
        }
        if keepers.is_empty() && self.keepers.told.is_none() {
            return;
        }
        let contacts = (keepers.iter())
            .map(|(peer, addresses)| KeeperContact {
                peer: *peer,
                addresses: addresses.clone(),
                question: self.keeper_question(peer, now),
            })
            .collect();
        self.keepers.told = Some((generation.hash, keepers.clone()));
        let earlier = self.generations.all_held().into_iter().map(|held| &held.keys);
        let earlier = earlier.filter(|keys| keys.generation() != generation);
        let keys = std::iter::once(&self.keys)
            .chain(earlier)
            .map(|keys| keys.keep().clone());
        let keys = keys.collect();
        self.out.push_back(Output::Keepers {
            keys,
            keepers: contacts,
        });
        // Somebody who was taken for a member, before it was named.
        for (peer, _) in &keepers {
            if self.members.linked(peer) {
                self.members.link_down(peer, now.elapsed);
                self.on_keeper_up(*peer, now);
            }
        }
        let gone: Vec<PeerKey> = (self.keepers.links.keys())
            .filter(|peer| !keepers.iter().any(|(keeper, _)| keeper == *peer))
            .copied()
            .collect();
        for peer in gone {
            self.keepers.links.remove(&peer);
            self.out.push_back(Output::Disconnect { peer });
        }
    }
}
