//! A keeper: a helper that holds what a room's absent members missed, and can't read it (docs/PROTOCOL.md, "Keepers").
//!
//! It has three keys of a generation at most: its own, the topic and the key of links with keepers. With these it proves itself on links, as members do,
//! and takes what is gossiped or left with it: sealed frames and control messages, by name. No Room Key, no key of an epoch and no
//! control key ever reaches it, so it can't tell who is in the room, who said something, or what. It forwards nothing.

mod folder;
mod meter;
mod store;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use rand::Rng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::generation::{Generation, MeshKey, Topic};
use snug_crypto::identity::TransportKey;
use snug_crypto::ids::{Fingerprint, GenesisHash, PeerKey};
use snug_crypto::keeper::{GrantError, KeeperInvite, KeeperReply, KeeperRequest, KeeperSecrets, UnverifiedGrant};
use snug_crypto::operation::Keeper as Offer;
use tokio_util::sync::CancellationToken;

use self::folder::{Folder, Held, Kept};
use self::meter::Meter;
use self::store::Store;
use crate::engine::clock::unix_ms;
use crate::net::{Net, NetConfig, NetError, NetEvent, NetLimits};
use crate::room::{RequestId, Verdict};

pub use self::store::StoreLimits;

/// Connections at once: a keeper is for one room.
const CONNECTIONS: u32 = 256;
/// How long the system may take to say where we listen.
const LISTENING: Duration = Duration::from_secs(1);
/// Between the grant of a new generation and the move there: the answer shall leave first.
const MOVE: Duration = Duration::from_millis(300);
/// What was written is synced this often.
const SYNC: Duration = Duration::from_secs(1);
/// What is too old is looked for this often, and what is held is reported, if it changed.
const LOOK: Duration = Duration::from_secs(10);

/// What stops a keeper, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The folder can't be used.
    #[error("cannot use {path}: {error}")]
    Disk {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    #[error("another snug keep uses {path} already; stop it, or choose another --data-dir")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file of ours makes no sense.
    #[error("{path} is damaged; restore it from a copy, or remove it and have the keeper named anew")]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The invite is for somebody else.
    #[error("this invite can't be used: {0}; the room's admin makes another from what `snug keep` prints")]
    Invite(#[from] GrantError),
    /// It keeps for another room.
    #[error("this keeper is another room's already; choose another --data-dir for this one")]
    OtherRoom,
    /// Nobody has named it.
    #[error(
        "this keeper has no room yet: have its offer named by the room's admin, then give the invite with --invite-file"
    )]
    NoRoom,
    /// Nothing can be listened on.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// How a keeper runs.
#[derive(Debug)]
pub struct KeepOptions {
    /// Where to listen; on the keeper's own port of all interfaces if empty.
    pub listen: Vec<Multiaddr>,
    /// What is kept at most.
    pub limits: StoreLimits,
}

/// What a running keeper reports: numbers, and nothing of whom or what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReport {
    /// It runs, and listens here.
    Keeping {
        /// Where.
        addresses: Vec<Multiaddr>,
    },
    /// What it holds, when that has changed.
    Holds {
        /// Links that are up.
        links: usize,
        /// Frames.
        frames: usize,
        /// Control messages.
        messages: usize,
        /// Bytes of both.
        bytes: usize,
        /// What was refused since the start: too much of one link, or nothing that is kept.
        refused: u64,
    },
    /// It was let into a new generation.
    Moved {
        /// Key changes since the room began.
        generation: u64,
    },
    /// The disk does not take what is to be kept.
    Trouble {
        /// Why.
        reason: String,
    },
}

/// A keeper that doesn't run.
#[derive(Debug)]
pub struct Keeper {
    folder: Folder,
    secrets: KeeperSecrets,
    port: u16,
    kept: Option<Kept>,
}

impl Keeper {
    /// Opens a keeper's folder; in an empty one a keeper is made.
    ///
    /// # Errors
    /// [`KeepError`]
    pub fn open(path: &Path) -> Result<Self, KeepError> {
        let folder = Folder::open(path)?;
        let (secrets, port) = folder.secrets()?;
        let kept = folder.room(&secrets)?;
        Ok(Self {
            folder,
            secrets,
            port,
            kept,
        })
    }

    /// What members tell it from others by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.secrets.offer(Vec::new()).key.fingerprint()
    }

    /// The room that it keeps for.
    #[must_use]
    pub fn room(&self) -> Option<GenesisHash> {
        Some(self.kept.as_ref()?.held.first()?.granted.genesis)
    }

    /// What the room's admin has to be given. Members call it at `addresses`, or, if there are none, at those of this machine.
    ///
    /// # Errors
    /// [`KeepError`]
    pub async fn offer(&mut self, listen: &[Multiaddr], mut addresses: Vec<Multiaddr>) -> Result<Offer, KeepError> {
        if self.port == 0 && listen.is_empty() {
            self.port = crate::engine::free_port();
            self.folder.write_keys(&self.secrets, self.port)?;
        }
        if addresses.is_empty() {
            // Of a mesh that nobody else knows: only to learn what this machine is called.
            let random = || {
                let mut bytes = [0; 32];
                UnwrapErr(SysRng).fill_bytes(&mut bytes);
                bytes
            };
            let (mesh, topic) = (MeshKey::from_bytes(random()), Topic(random()));
            let mut net = self.listen(listen, mesh, topic)?;
            net.listening(LISTENING).await;
            addresses = net.presentable();
            net.shutdown().await;
        }
        addresses.truncate(snug_crypto::bounds::MAX_ADDRESSES);
        Ok(self.secrets.offer(addresses.iter().map(Multiaddr::to_string).collect()))
    }

    /// Takes the admin's invite.
    ///
    /// # Errors
    /// [`KeepError::Invite`], [`KeepError::OtherRoom`], or the disk's.
    pub fn accept(&mut self, invite: &KeeperInvite) -> Result<(), KeepError> {
        let mut fresh = folder::accept(invite, &self.secrets, unix_ms())?;
        if let (Some(kept), Some(first)) = (&self.kept, fresh.held.first()) {
            let known = kept.held.iter().map(|held| &held.granted);
            if kept.admin != fresh.admin || self.room() != Some(first.granted.genesis) {
                return Err(KeepError::OtherRoom);
            }
            // The same file at each start must not take it back.
            if known.map(|granted| granted.at_ms).any(|at| at >= first.granted.at_ms) {
                return Ok(());
            }
        }
        let older = self.kept.take().map(|kept| kept.held).unwrap_or_default();
        let now = fresh.held.first().map(|held| held.granted.generation);
        fresh
            .held
            .extend(older.into_iter().filter(|held| Some(held.granted.generation) != now));
        self.folder.write_room(&mut fresh)?;
        self.kept = Some(fresh);
        Ok(())
    }

    fn listen(&self, listen: &[Multiaddr], mesh: MeshKey, topic: Topic) -> Result<Net, KeepError> {
        let is_chosen = !listen.is_empty();
        Ok(Net::new(NetConfig {
            transport: TransportKey::from_seed(&self.secrets.transport.seed()),
            mesh,
            topic,
            listen: if is_chosen {
                listen.to_vec()
            } else {
                NetConfig::listen_on(self.port)
            },
            // Members know this one: at any other it would not be found.
            any_port: false,
            // It publishes nothing, so this decides nothing.
            max_participants: u16::MAX,
            relays: false,
            serves: false,
            limits: NetLimits {
                connections: CONNECTIONS,
                ..NetLimits::default()
            },
        })?)
    }

    /// Keeps, until `stop` is cancelled.
    ///
    /// # Errors
    /// [`KeepError`], before it begins; what goes wrong later is reported.
    pub async fn run(
        self,
        options: KeepOptions,
        stop: CancellationToken,
        report: impl FnMut(KeepReport),
    ) -> Result<(), KeepError> {
        let Some(current) = self.kept.as_ref().and_then(|kept| kept.held.first()) else {
            return Err(KeepError::NoRoom);
        };
        let path = self.folder.file("items");
        let mut id = [0; 8];
        UnwrapErr(SysRng).fill_bytes(&mut id);
        let store =
            Store::open(&path, id, options.limits, unix_ms()).map_err(|error| KeepError::Disk { path, error })?;
        let (mesh, topic) = (current.granted.keep.clone(), current.granted.topic);
        let mut net = self.listen(&options.listen, mesh, topic)?;
        net.listening(LISTENING).await;
        let mut running = Running {
            folder: self.folder,
            secrets: self.secrets,
            kept: self.kept,
            store,
            net,
            links: BTreeSet::new(),
            brings: Meter::new(Instant::now()),
            takes: Meter::new(Instant::now()),
            refused: 0,
            move_at: None,
            told: None,
            report,
        };
        running.net.keep(running.doors());
        running.run(stop).await;
        Ok(())
    }
}

/// By which of our keys a link was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proven {
    /// The present one, by somebody who is in that generation.
    Here,
    /// The present one, by somebody who has gone on to another generation.
    Ahead,
    /// An earlier one.
    Behind,
}

/// A keeper at work.
struct Running<R> {
    folder: Folder,
    secrets: KeeperSecrets,
    kept: Option<Kept>,
    store: Store,
    net: Net,
    links: BTreeSet<PeerKey>,
    brings: Meter,
    takes: Meter,
    refused: u64,
    /// When we move to the newest generation that was granted.
    move_at: Option<tokio::time::Instant>,
    /// What was reported last.
    told: Option<KeepReport>,
    report: R,
}

impl<R: FnMut(KeepReport)> Running<R> {
    async fn run(mut self, stop: CancellationToken) {
        (self.report)(KeepReport::Keeping {
            addresses: self.net.addresses(),
        });
        self.tell();
        let (mut sync, mut look) = (tokio::time::interval(SYNC), tokio::time::interval(LOOK));
        loop {
            let move_at = self.move_at;
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.net.next() => self.on_net(event),
                () = async { tokio::time::sleep_until(move_at.unwrap_or_else(tokio::time::Instant::now)).await }, if move_at.is_some() => {
                    self.move_on();
                }
                _ = sync.tick() => self.sync().await,
                _ = look.tick() => {
                    self.store.expire(unix_ms());
                    self.tell();
                }
            }
        }
        self.sync().await;
        self.tell();
        self.net.shutdown().await;
    }

    async fn sync(&mut self) {
        let synced = match self.store.take_unsynced() {
            None => return,
            Some(Ok(file)) => tokio::task::spawn_blocking(move || file.sync_data())
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error))),
            Some(Err(error)) => Err(error),
        };
        if let Err(error) = synced {
            self.trouble(&error);
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::LinkUp { peer } => drop(self.links.insert(peer)),
            NetEvent::LinkDown { peer } => drop(self.links.remove(&peer)),
            NetEvent::Gossip { from, id, bytes } => {
                let _ = self.keep(from, &bytes);
                // It can't tell what is good, so nobody hears it from here.
                self.net.verdict(id, Verdict::Ignore);
            }
            NetEvent::Request { from, id, bytes } => self.on_request(from, id, &bytes, Proven::Here),
            NetEvent::Knock { from, id, bytes, ahead } => {
                let proven = if ahead { Proven::Ahead } else { Proven::Behind };
                self.on_request(from, id, &bytes, proven);
            }
            NetEvent::Listening(_)
            | NetEvent::NotListening(_)
            | NetEvent::Response { .. }
            | NetEvent::Door { .. }
            | NetEvent::DialFailed { .. }
            | NetEvent::CallFailed => {}
        }
    }

    /// Keeps something, if it is anything that is kept. `false` if it is too much of this link, or the disk doesn't take it.
    fn keep(&mut self, from: PeerKey, bytes: &[u8]) -> bool {
        if !self.brings.take(from, bytes.len(), Instant::now()) {
            self.refused += 1;
            return false;
        }
        let mut source = [0; 8];
        source.copy_from_slice(&from.as_bytes()[..8]);
        let put = self.store.put(source, bytes, unix_ms());
        if let Err(error) = &put {
            self.refused += 1;
            self.trouble(error);
        }
        put.is_ok()
    }

    fn on_request(&mut self, from: PeerKey, id: RequestId, bytes: &[u8], proven: Proven) {
        let reply = match KeeperRequest::decode(bytes) {
            Ok(KeeperRequest::Generation { generation, grant }) => {
                if let Some((grant, object)) = grant {
                    self.on_grant(&grant, object, proven);
                }
                Some(KeeperReply::Generation(self.object_after(generation)))
            }
            // At the door of another generation that is all.
            Ok(_) if proven != Proven::Here => None,
            // Nobody is told that something is kept which isn't: what of it is shows in the holdings.
            Ok(KeeperRequest::Deposit(items)) => (items.iter())
                .all(|item| self.keep(from, item))
                .then_some(KeeperReply::Kept),
            Ok(KeeperRequest::Holdings { store, after }) => {
                let (items, next, more) = self.store.holdings(store, after);
                Some(KeeperReply::Holdings {
                    store: self.store.id(),
                    items,
                    next,
                    more,
                })
            }
            Ok(KeeperRequest::Fetch(names)) => Some(KeeperReply::Items(self.store.fetch(&names))),
            // Somebody takes us for a member, or sends garbage.
            Err(_) => None,
        };
        let reply = reply.and_then(|reply| reply.encode().ok()).unwrap_or_default();
        if self.takes.take(from, reply.len(), Instant::now()) {
            self.net.respond(id, reply);
        } else {
            self.refused += 1;
            self.net.respond(id, Vec::new());
        }
    }

    /// What ended a generation, for those who are still in it.
    fn object_after(&self, generation: Generation) -> Option<Vec<u8>> {
        let held = self.kept.as_ref()?.held.iter();
        held.filter(|held| held.granted.before == generation && held.granted.generation != generation)
            .find_map(|held| held.object.clone())
    }

    fn on_grant(&mut self, bytes: &[u8], object: Option<Vec<u8>>, proven: Proven) {
        let Some(kept) = &self.kept else { return };
        let Some(current) = kept.held.first().map(|held| &held.granted) else {
            return;
        };
        let Ok(unverified) = UnverifiedGrant::decode(bytes) else {
            return;
        };
        let Ok(granted) = unverified.open(&self.secrets, &kept.admin, &current.genesis, unix_ms()) else {
            return tracing::debug!("somebody brought a grant that is none");
        };
        let object = object.filter(|object| unverified.is_with(object));
        let is_later = granted.at_ms > current.at_ms;
        let wins = granted.generation.cmp_currency(&current.generation).is_gt();
        // A moderator who was removed may still have the admin's word, and knows our key only until we have moved on without it: who proves
        // an earlier one needs the admin's own.
        let may = granted.by_admin || (wins && proven != Proven::Behind);
        if !is_later || !may || granted.generation == current.generation {
            return;
        }
        let now = granted.generation;
        let Some(kept) = &mut self.kept else { return };
        kept.held.retain(|held| held.granted.generation != now);
        kept.held.insert(
            0,
            Held {
                granted,
                grant: bytes.to_vec(),
                object,
            },
        );
        if let Err(error) = self.folder.write_room(kept) {
            (self.report)(KeepReport::Trouble {
                reason: error.to_string(),
            });
        }
        self.move_at = Some(tokio::time::Instant::now() + MOVE);
    }

    /// Takes the newest generation's topic and mesh key; who proves an earlier one is answered at the door.
    fn move_on(&mut self) {
        self.move_at = None;
        let Some(current) = self.kept.as_ref().and_then(|kept| kept.held.first()) else {
            return;
        };
        let (mesh, topic, count) = (
            current.granted.keep.clone(),
            current.granted.topic,
            current.granted.generation.count,
        );
        if let Err(error) = self.store.forget_messages() {
            self.trouble(&error);
        }
        let doors = self.doors();
        self.net.rekey(mesh, &topic, doors);
        (self.report)(KeepReport::Moved { generation: count });
    }

    fn doors(&self) -> Vec<MeshKey> {
        let held = self.kept.iter().flat_map(|kept| kept.held.iter().skip(1));
        held.map(|held| held.granted.keep.clone()).collect()
    }

    fn tell(&mut self) {
        let (frames, messages, bytes) = self.store.counts();
        let now = KeepReport::Holds {
            links: self.links.len(),
            frames,
            messages,
            bytes,
            refused: self.refused,
        };
        if self.told.as_ref() != Some(&now) {
            self.told = Some(now.clone());
            (self.report)(now);
        }
    }

    fn trouble(&mut self, error: &io::Error) {
        (self.report)(KeepReport::Trouble {
            reason: error.to_string(),
        });
    }
}
