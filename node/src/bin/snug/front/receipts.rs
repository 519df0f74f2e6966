//! Where one's own messages have got to, in words; and the newest of them, for `/sent`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snug::room::Receipt;
use snug::text::Untrusted;
use snug_crypto::ids::MessageId;

/// Messages that `/sent` knows of.
const MAX_SENT: usize = 20;
/// How much of a message's first line `/sent` shows, in cells.
const MAX_SHOWN: usize = 60;

/// How far a message has got; `None` where nobody else has it yet.
pub fn in_words(receipt: &Receipt) -> Option<String> {
    let Receipt {
        held_by,
        keepers,
        delivered,
        read,
        of,
        ..
    } = *receipt;
    if held_by == 0 || of == 0 {
        return None;
    }
    let delivery = match delivered {
        all if all >= of && of > 1 => format!("delivered to all {of}"),
        all if all >= of => "delivered".to_owned(),
        some if some >= held_by => format!("delivered to {some} of {of}"),
        some => format!("held by {}, delivered to {some} of {of}", holders(held_by, keepers)),
    };
    Some(match read {
        0 => delivery,
        all if all >= of && of > 1 => format!("read by all {of}"),
        all if all >= of => "read".to_owned(),
        some => format!("{delivery}, read by {some}"),
    })
}

/// Members and keepers who hold a message.
fn holders(held_by: usize, keepers: usize) -> String {
    let keeping = match keepers {
        0 => return held_by.to_string(),
        1 => "a keeper".to_owned(),
        some => format!("{some} keepers"),
    };
    match held_by.saturating_sub(keepers) {
        0 => keeping,
        members => format!("{members} and {keeping}"),
    }
}

/// The newest messages that were sent here, shared by the front end and the requests that it waits for.
#[derive(Clone, Default)]
pub struct Sent(Arc<Mutex<VecDeque<(String, Receipt)>>>);

impl Sent {
    /// A message is out.
    pub fn add(&self, id: MessageId, text: &str) {
        let receipt = Receipt {
            id,
            held_by: 0,
            keepers: 0,
            delivered: 0,
            read: 0,
            of: 0,
        };
        let mut sent = self.lock();
        sent.push_back((Untrusted::new(text).line_within(MAX_SHOWN), receipt));
        if sent.len() > MAX_SENT {
            sent.pop_front();
        }
    }

    /// One of them has got further.
    pub fn note(&self, receipt: &Receipt) {
        if let Some((_, known)) = self.lock().iter_mut().find(|(_, known)| known.id == receipt.id) {
            *known = *receipt;
        }
    }

    /// One of them goes by another id now.
    pub fn resent(&self, was: MessageId, id: MessageId) {
        if let Some((_, known)) = self.lock().iter_mut().find(|(_, known)| known.id == was) {
            known.id = id;
        }
    }

    /// All of them, the oldest first.
    pub fn lines(&self) -> Vec<String> {
        let sent = self.lock();
        if sent.is_empty() {
            return vec!["You have sent nothing yet.".to_owned()];
        }
        let line = |(text, receipt): &(String, Receipt)| {
            let far = in_words(receipt).unwrap_or_else(|| "nobody else has it yet".to_owned());
            format!("{far}: {text}")
        };
        sent.iter().map(line).collect()
    }

    /// Whoever panicked left it whole: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Receipt)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(held_by: usize, delivered: usize, read: usize, of: usize) -> Receipt {
        Receipt {
            id: MessageId::from_bytes([1; 32]),
            held_by,
            keepers: 0,
            delivered,
            read,
            of,
        }
    }

    #[test]
    fn words_say_what_matters_most() {
        let words = |held, delivered, read, of| in_words(&receipt(held, delivered, read, of)).unwrap_or_default();
        assert_eq!(words(0, 0, 0, 7), "");
        assert_eq!(words(3, 0, 0, 7), "held by 3, delivered to 0 of 7");
        assert_eq!(words(6, 5, 0, 7), "held by 6, delivered to 5 of 7");
        assert_eq!(words(5, 5, 2, 7), "delivered to 5 of 7, read by 2");
        assert_eq!(words(7, 7, 3, 7), "delivered to all 7, read by 3");
        assert_eq!(words(7, 7, 7, 7), "read by all 7");
        assert_eq!(words(1, 1, 0, 1), "delivered");
        assert_eq!(words(1, 1, 1, 1), "read");
    }

    #[test]
    fn a_keeper_is_told_from_members() {
        let words = |held, keepers, delivered, of| {
            in_words(&Receipt {
                keepers,
                ..receipt(held, delivered, 0, of)
            })
        };
        for (numbers, expected) in [
            ([1, 1, 0, 1], "held by a keeper, delivered to 0 of 1"),
            ([2, 2, 0, 7], "held by 2 keepers, delivered to 0 of 7"),
            ([4, 1, 3, 7], "held by 3 and a keeper, delivered to 3 of 7"),
            ([6, 2, 3, 7], "held by 4 and 2 keepers, delivered to 3 of 7"),
            ([8, 1, 7, 7], "delivered to all 7"),
        ] {
            let [held, keepers, delivered, of] = numbers;
            assert_eq!(words(held, keepers, delivered, of).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_newest_are_listed_with_how_far_they_got() {
        let sent = Sent::default();
        assert_eq!(sent.lines(), ["You have sent nothing yet."]);
        let ids: Vec<MessageId> = (0..25).map(|n| MessageId::from_bytes([n; 32])).collect();
        ids.iter().for_each(|id| sent.add(*id, "hi\nthere"));
        sent.note(&Receipt {
            id: ids[24],
            ..receipt(2, 2, 1, 3)
        });
        sent.resent(ids[23], ids[0]);
        sent.note(&Receipt {
            id: ids[0],
            ..receipt(1, 1, 1, 1)
        });
        let lines = sent.lines();
        assert_eq!(lines.len(), MAX_SENT);
        assert_eq!(lines[17], "nobody else has it yet: hi there");
        assert_eq!(lines[18], "read: hi there");
        assert_eq!(lines[19], "delivered to 2 of 3, read by 1: hi there");
    }
}
