//! The admin's word for moderators' leaves, by which these register a new Room Key at the rendezvous (docs/PROTOCOL.md, "Certificates").
//!
//! Whoever holds the admin's key signs one for each moderator on the roster and tells it by gossip; nobody but the leaf's owner can use it.
//! Once somebody's role was taken, all that were signed before are made void at the rendezvous, and those who keep theirs are given others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use snug_crypto::capsule::Capsule;
use snug_crypto::control::ControlMessage;
use snug_crypto::credential::{CERTIFICATE_TTL_MS, Certificate, Rank, SignedCertificate};
use snug_crypto::generation::Generation;
use snug_crypto::ids::{OperationHash, PeerKey};
use snug_crypto::leaf::{Leaf, LeafSigningKey};
use snug_crypto::operation::Role;

use super::judgement::Versions;
use super::timing::{CERTIFICATE_AGAIN, CERTIFICATE_INTERVAL, CLOCK_SKEW_MS, look_pause};
use super::{Now, Phase, Room, Verdict};

/// Certificates given, and the one that we were given.
#[derive(Default)]
pub(super) struct Certificates {
    /// Leaves that were told their own.
    given: BTreeMap<[u8; 32], Given>,
    /// The serial of these.
    serial: u32,
    /// For our leaf.
    own: Option<(Certificate, SignedCertificate)>,
    /// Rises with each that is for our leaf.
    version: u64,
    /// In which state of the room it was looked last who lacks one, and when that is asked again.
    looked_at: Option<Versions>,
    next_look: Duration,
    /// Until when it has to wait, because the last look was long.
    pause: Duration,
}

/// When a leaf is told its certificate again.
struct Given {
    /// Where its owner was: in another run it may not have heard it.
    peer: PeerKey,
    next: Duration,
    pause: Duration,
}

/// What it takes to register a generation at the rendezvous.
#[derive(Debug)]
pub struct Registering {
    /// The generation and the log, for newcomers.
    pub capsule: Capsule,
    /// The object, for members that come with the Room Key before.
    pub object: Option<Vec<u8>>,
    /// The admin's word for our leaf.
    pub certificate: SignedCertificate,
    /// Our leaf's key, which signs the request.
    pub key: LeafSigningKey,
    /// Certificates with a lower serial are to be void; 0 if that isn't for us to say.
    pub least_serial: u32,
    /// How long others have to do it first: its maker, for whom it is none, then the admin.
    pub after: Duration,
}

/// What it takes to bring the capsule at the rendezvous up to date.
#[derive(Debug)]
pub struct Refreshing {
    /// The generation, and the log as it is now.
    pub capsule: Capsule,
    /// The admin's word for our leaf.
    pub certificate: SignedCertificate,
    /// Our leaf's key, which signs the request.
    pub key: LeafSigningKey,
    /// Certificates with a lower serial are to be void; 0 if that isn't for us to say.
    pub least_serial: u32,
    /// Whether something that is missing there is of our making.
    pub ours: bool,
}

/// Between two looks at who lacks a certificate, when nothing else changed.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(60);

/// A certificate takes the place of one of the same serial if it lives so much longer.
const WORTH_KEEPING_MS: u64 = 30 * 60 * 1000;

/// An admin that did not make the generation registers it if its maker could not.
const MAKERS_TIME: Duration = Duration::from_secs(4);
/// Who holds no more than the admin's word does if neither could.
const ADMINS_TIME: Duration = Duration::from_secs(8);

impl Certificates {
    /// The admin's word for our leaf.
    pub(super) fn own(&self) -> Option<&SignedCertificate> {
        self.own.as_ref().map(|(_, signed)| signed)
    }
}

impl Room {
    /// Signs certificates for moderators, if we hold the admin's key.
    pub(super) fn tend_certificates(&mut self, now: Now) {
        let (Some(admin), Phase::In, None) = (self.own.admin(), self.phase, &self.moving) else {
            return;
        };
        // All members are gone through for it: not with each message.
        let (people, _, _, authority, generations) = self.versions();
        let state = (people, 0, 0, authority, generations);
        let is_due = self.certificates.looked_at != Some(state) || now.elapsed >= self.certificates.next_look;
        if !is_due || now.elapsed < self.certificates.pause {
            return;
        }
        let serial = self.authority.serial();
        let renewed = std::mem::replace(&mut self.certificates.serial, serial) != serial;
        if renewed {
            self.certificates.given.clear();
        }
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        self.certificates.looked_at = Some(state);
        self.certificates.pause = now.elapsed + look_pause(roster.len());
        let entitled: BTreeMap<[u8; 32], PeerKey> = (roster.values())
            .filter(|leaf| leaf.identity() != self.me && self.authority.role(&leaf.identity()) >= Role::Moderator)
            .map(|leaf| (*leaf.key().as_bytes(), leaf.peer()))
            .collect();
        let given = &mut self.certificates.given;
        given.retain(|key, given| entitled.get(key) == Some(&given.peer));
        let mut lacking = Vec::new();
        for (key, peer) in entitled {
            let pause = match given.get(&key) {
                Some(given) if given.next > now.elapsed => continue,
                Some(given) => (given.pause * 2).min(CERTIFICATE_INTERVAL),
                None => CERTIFICATE_AGAIN,
            };
            let next = now.elapsed + pause;
            given.insert(key, Given { peer, next, pause });
            lacking.push(key);
        }
        let next = given.values().map(|given| given.next).min();
        self.certificates.next_look = (now.elapsed + CERTIFICATE_LOOK).min(next.unwrap_or(Duration::MAX));
        let signed: Vec<SignedCertificate> = (lacking.iter())
            .map(|key| self.certificate(*key, Rank::Moderator, now).sign(admin))
            .collect();
        for certificate in signed {
            self.publish_control(&ControlMessage::Certificate(certificate));
        }
        if renewed && self.certificates.own.is_some() {
            self.certify_own(now);
        }
    }

    fn certificate(&self, key: [u8; 32], rank: Rank, now: Now) -> Certificate {
        Certificate {
            genesis_hash: self.genesis_hash,
            key,
            rank,
            serial: self.authority.serial(),
            // The rendezvous' clock may be behind ours.
            expires_at_ms: now.unix_ms.saturating_add(CERTIFICATE_TTL_MS - CLOCK_SKEW_MS),
        }
    }

    pub(super) fn take_certificate(&mut self, signed: SignedCertificate, now: Now) -> Verdict {
        let Ok(certificate) = signed.verify(self.genesis.admin()) else {
            return Verdict::Reject;
        };
        if certificate.genesis_hash != self.genesis_hash {
            return Verdict::Reject;
        }
        let is_ours = self
            .own
            .leaf()
            .is_some_and(|leaf| *leaf.key().as_bytes() == certificate.key);
        // One with a lower serial is void already, or soon, however long it lives; and one that lives hardly longer is no news.
        let is_better = (self.certificates.own.as_ref()).is_none_or(|(known, _)| {
            let lasts = certificate.expires_at_ms.saturating_sub(known.expires_at_ms) >= WORTH_KEEPING_MS;
            known.key != certificate.key
                || known.expires_at_ms <= now.unix_ms
                || known.serial < certificate.serial
                || (known.serial == certificate.serial && lasts)
        });
        if is_ours && is_better {
            self.hold_certificate(certificate, signed);
        }
        Verdict::Accept
    }

    fn hold_certificate(&mut self, certificate: Certificate, signed: SignedCertificate) {
        self.certificates.own = Some((certificate, signed));
        self.certificates.version += 1;
    }

    /// Takes up the word for our leaf that an earlier run was given, if our leaf is still the same.
    pub(super) fn restore_certificate(&mut self, signed: SignedCertificate) {
        let Ok(certificate) = signed.verify(self.genesis.admin()) else {
            return;
        };
        let ours = self.own.secrets().signing.public();
        if certificate.genesis_hash == self.genesis_hash && certificate.key == *ours.as_bytes() {
            self.hold_certificate(certificate, signed);
        }
    }

    /// The word for our own leaf: our own, if we hold the admin's key.
    pub(super) fn own_certificate(&self, leaf: &Leaf, now: Now) -> Option<SignedCertificate> {
        let key = *leaf.key().as_bytes();
        if let Some(admin) = self.own.admin() {
            return Some(self.certificate(key, Rank::Admin, now).sign(admin));
        }
        let (certificate, signed) = self.certificates.own.as_ref()?;
        (certificate.key == key && certificate.expires_at_ms > now.unix_ms).then_some(*signed)
    }

    /// Gives our own leaf the word that a moderator's has, if we hold the admin's key. It rests with the room's state, as that key does not:
    /// so a generation that the rendezvous has not heard of yet can be registered after a restart without the Password.
    pub(super) fn certify_own(&mut self, now: Now) {
        let Some((admin, leaf)) = self.own.admin().zip(self.own.leaf()) else {
            return;
        };
        let certificate = self.certificate(*leaf.key().as_bytes(), Rank::Moderator, now);
        let signed = certificate.sign(admin);
        self.hold_certificate(certificate, signed);
    }

    /// Certificates with a lower serial are to be void at the rendezvous; 0 if that isn't for us to say.
    fn least_serial(&self) -> u32 {
        self.own.admin().map_or(0, |_| self.authority.serial())
    }

    /// The generation that we are in.
    pub fn generation(&self) -> Generation {
        self.keys.generation()
    }

    /// What registers the generation that we are in, if we may.
    pub fn registering(&self, now: Now) -> Option<Registering> {
        let leaf = self.own.leaf()?;
        let generation = self.keys.generation();
        let ours = self.generations.carried(&generation.hash)?.by == Some(self.me);
        Some(Registering {
            capsule: self.capsule()?,
            object: self.generation_object(),
            certificate: self.own_certificate(leaf, now)?,
            key: self.own.secrets().signing.clone(),
            least_serial: self.least_serial(),
            after: match (ours, self.own.admin()) {
                (true, _) => Duration::ZERO,
                (false, Some(_)) => MAKERS_TIME,
                (false, None) => ADMINS_TIME,
            },
        })
    }

    /// A higher number with every operation, and whenever we are given the admin's word: what [`Self::refreshing`] rests on.
    pub fn log_version(&self) -> u64 {
        self.authority.version() + self.certificates.version
    }

    /// A higher number whenever the rendezvous may take our word again that refused it.
    pub fn word_version(&self) -> u64 {
        u64::from(self.authority.serial()) + self.certificates.version
    }

    /// Whether our membership stands, and nothing about it is in the air.
    pub fn is_settled_in(&self) -> bool {
        self.phase == Phase::In && self.moving.is_none() && self.own.leaf().is_some()
    }

    /// What brings the capsule of a generation up to date that holds these operations, at a rendezvous that is known to take certificates from
    /// this serial on: nothing if both are as they should be, if it is another generation's capsule, or if we may not.
    pub fn refreshing(
        &self,
        generation: &Generation,
        log: &BTreeSet<OperationHash>,
        least_serial: u32,
        now: Now,
    ) -> Option<Refreshing> {
        if !self.is_settled_in() || self.keys.generation() != *generation {
            return None;
        }
        let lacking = || {
            self.authority
                .iter()
                .filter(|(hash, _)| !log.contains(*hash))
                .map(|(_, signed)| signed)
        };
        let raises = self.least_serial() > least_serial;
        if lacking().next().is_none() && !raises {
            return None;
        }
        let leaf = self.own.leaf()?;
        Some(Refreshing {
            capsule: self.capsule()?,
            certificate: self.own_certificate(leaf, now)?,
            key: self.own.secrets().signing.clone(),
            least_serial: self.least_serial(),
            ours: raises
                || lacking().any(|signed| {
                    signed.author() == self.me || (signed.is_by_admin_key(&self.genesis) && self.own.admin().is_some())
                }),
        })
    }

    /// Whether a generation is known not to count: a registration of it may be overridden.
    pub fn is_void(&self, hash: &snug_crypto::ids::OperationHash) -> bool {
        self.authority.contains(hash) && !self.authority.evaluation().valid.contains(hash)
    }
}
