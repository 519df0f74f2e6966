//! Direct messages on their way out of and into frames (docs/PROTOCOL.md, "Direct messages"). What the two share is in `pairs`.

use snug_crypto::content::Content;
use snug_crypto::frame::OpenedFrame;
use snug_crypto::ids::{EpochId, Fingerprint, IdentityKey, MessageId, PairHash};
use snug_crypto::pair::Line;

use super::outbox::Reader;
use super::pairs::Came;
use super::{Now, Output, Room, RoomEvent, SendRefused, Ticket, Warning};
use crate::text::Untrusted;

impl Room {
    /// The user says something to one other.
    pub(super) fn on_direct(
        &mut self,
        ticket: Ticket,
        to: Fingerprint,
        text: String,
        reply_to: Option<MessageId>,
        now: Now,
    ) {
        let result = match self.refusal(&text) {
            Some(refusal) => Err(refusal),
            None => self.reader(to, now),
        };
        match result {
            Ok(with) => {
                let said = Box::new(Content::Text {
                    text,
                    reply_to,
                    sent_at_ms: now.unix_ms,
                });
                self.wait_to_send(ticket, Content::Private { with, said }, now);
            }
            Err(refusal) => self.out.push_back(Output::Sent {
                ticket,
                result: Err(refusal),
            }),
        }
    }

    /// Somebody whom we may say something alone.
    fn reader(&self, to: Fingerprint, now: Now) -> Result<IdentityKey, SendRefused> {
        let identity = self.identity_of(to).map_err(|_| SendRefused::NoSuchMember)?;
        if identity == self.me {
            return Err(SendRefused::Yourself);
        }
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        roster
            .contains_key(&identity)
            .then_some(identity)
            .ok_or(SendRefused::Gone)
    }

    /// Sees to it that nothing leaves that its reader couldn't read: it waits until this epoch has a place for the reader, and where the
    /// reader has gone, whoever said it is told.
    pub(super) fn settle_readers(&mut self, epoch: EpochId, now: Now) {
        let readers = self.outbox.readers();
        if readers.is_empty() {
            return;
        }
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        let known = self.epochs.known(&epoch);
        let found: Vec<(IdentityKey, Reader)> = (readers.into_iter())
            .map(|identity| {
                let reader = match roster.get(&identity) {
                    None => Reader::Gone,
                    Some(leaf) if known.is_some_and(|known| known.lists(&leaf.id())) => Reader::Here,
                    Some(_) => Reader::Expected,
                };
                (identity, reader)
            })
            .collect();
        for (identity, reader) in found {
            for ticket in self.outbox.settle_reader(&identity, reader) {
                match ticket {
                    Some(ticket) => self.out.push_back(Output::Sent {
                        ticket,
                        result: Err(SendRefused::Gone),
                    }),
                    // Who said it in an earlier run isn't there to be answered.
                    None => {
                        let leaf = self.known_leaf(&identity);
                        let name =
                            leaf.map_or_else(|| identity.fingerprint().to_string(), |leaf| leaf.name().to_owned());
                        self.event(RoomEvent::Warning(Warning::NotDelivered {
                            name: Untrusted::new(name),
                            fingerprint: identity.fingerprint(),
                        }));
                    }
                }
            }
        }
    }

    /// What goes into a frame of this epoch: what is for one member's eyes is sealed to that one.
    pub(super) fn seal_privates(
        &mut self,
        epoch: &EpochId,
        contents: &[Content],
        now: Now,
    ) -> Result<Vec<Content>, SendRefused> {
        let mut wire = Vec::with_capacity(contents.len());
        for content in contents {
            let Content::Private { with, said } = content else {
                wire.push(content.clone());
                continue;
            };
            let leaf = self.members.current_leaf(with).ok_or(SendRefused::Gone)?;
            let line = Line {
                pair: PairHash::of(&self.genesis_hash, &self.me, with),
                speaker: self.own.leaf_id().ok_or(SendRefused::Closed)?,
                reader: leaf.id(),
            };
            let sealed = self.pairs.seal(&mut self.rng, &line, leaf.kem(), epoch, said, now);
            wire.push(Content::direct(sealed.map_err(|error| {
                tracing::error!(%error, "a direct message can't be sealed");
                SendRefused::Gone
            })?));
        }
        Ok(wire)
    }

    /// Opens what of a frame is for our eyes alone. The rest stays as it came, and is nobody's business here.
    pub(super) fn open_privates(&mut self, parent: EpochId, frame: &mut OpenedFrame, now: Now) {
        if !frame.contents.iter().any(|content| content.as_direct().is_some()) {
            return;
        }
        let Some(who) = self.members.leaf(&frame.sender).map(|leaf| leaf.identity()) else {
            return;
        };
        if who == self.me {
            return;
        }
        let came = Came {
            from: frame.sender,
            who,
            pair: PairHash::of(&self.genesis_hash, &self.me, &who),
            parent,
            mine: self.own.known_leaf_id().map(|leaf| (leaf, &self.own.secrets().kem)),
        };
        for content in &mut frame.contents {
            let said = content.as_direct().and_then(|body| self.pairs.open(&came, body, now));
            if let Some(said) = said {
                *content = Content::Private {
                    with: who,
                    said: Box::new(said),
                };
            }
        }
    }

    /// Our leaf's KEM key is about to be replaced.
    pub(super) fn retire_kem(&mut self, now: Now) {
        if let Some(leaf) = self.own.known_leaf_id() {
            self.pairs.retire(leaf, self.own.secrets().kem.clone(), now.elapsed);
        }
    }
}
