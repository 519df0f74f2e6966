//! Messages on their way out: they wait for an epoch that we can send under, and briefly for one that includes those who just joined.

use std::collections::VecDeque;
use std::time::Duration;

use snug_crypto::bounds::MAX_TEXT_BYTES;
use snug_crypto::content::Content;
use snug_crypto::frame::ParentRef;
use snug_crypto::ids::{EpochId, MessageId};

use super::timing::{MAX_OUTBOX, SEND_HOLD};
use super::{Now, Output, Room, SendRefused, Ticket};

/// What waits.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    ticket: Ticket,
    content: Content,
    since: Duration,
}

impl Outbox {
    /// When the oldest message stops waiting for the others.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.waiting.front().map(|waiting| waiting.since + SEND_HOLD)
    }
}

impl Room {
    pub(super) fn on_send(&mut self, ticket: Ticket, text: String, reply_to: Option<MessageId>, now: Now) {
        let refusal = if text.is_empty() {
            Some(SendRefused::Empty)
        } else if text.len() > MAX_TEXT_BYTES {
            Some(SendRefused::TooLong { max: MAX_TEXT_BYTES })
        } else if self.outbox.waiting.len() >= MAX_OUTBOX {
            Some(SendRefused::QueueFull {
                waiting: self.outbox.waiting.len(),
            })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.out.push_back(Output::Sent {
                ticket,
                result: Err(refusal),
            });
        }
        let content = Content::Text {
            text,
            reply_to,
            sent_at_ms: now.unix_ms,
        };
        self.outbox.waiting.push_back(Waiting {
            ticket,
            content,
            since: now.elapsed,
        });
    }

    /// Sends what may go: at once under an exact epoch, else when the oldest has waited long enough.
    pub(super) fn flush_outbox(&mut self, now: Now) {
        let Some(oldest) = self.outbox.waiting.front().map(|waiting| waiting.since) else {
            return;
        };
        let judged = self.judge(now);
        let Some(epoch) = judged.send else { return };
        if !judged.send_exact && now.elapsed.saturating_sub(oldest) < SEND_HOLD {
            return;
        }
        while let Some(waiting) = self.outbox.waiting.pop_front() {
            let result = self.seal(epoch, &waiting.content, now);
            self.out.push_back(Output::Sent {
                ticket: waiting.ticket,
                result,
            });
        }
    }

    fn seal(&mut self, id: EpochId, content: &Content, now: Now) -> Result<MessageId, SendRefused> {
        let mine = self.own.leaf_id().ok_or(SendRefused::Closed)?;
        let parents = self.timeline.tips();
        let epoch = self.epochs.held_mut(&id).ok_or(SendRefused::Closed)?;
        let tag = epoch.tag();
        let sealed = epoch
            .seal(
                &mut self.rng,
                mine,
                &self.own.secrets().signing,
                &parents,
                std::slice::from_ref(content),
            )
            .map_err(|_| SendRefused::TooLong { max: MAX_TEXT_BYTES })?;
        self.timeline.sent(ParentRef { tag, hash: sealed.hash });
        self.delivery
            .record(id, mine, sealed.counter, sealed.bytes.clone(), now.elapsed);
        self.out.push_back(Output::Publish { bytes: sealed.bytes });
        Ok(MessageId::of(&sealed.hash, 0))
    }
}
