//! What members ask of a keeper, over a link or at its door: docs/PROTOCOL.md, "Keepers".
//!
//! On the stream of direct requests, with kinds of their own: a keeper answers nothing else, and a member none of these.

use thiserror::Error;

use super::{MAX_SEALED_OBJECT, grant::MAX_GRANT};
use crate::{
    Generation, bounds,
    wire::{DecodeError, Reader, Writer},
};

/// Something that a keeper holds: a frame or a control message, sealed.
pub type Item = Vec<u8>;

/// What a keeper says of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptItem {
    /// Of a frame, its tag; of a control message, zeros.
    pub tag: [u8; 8],
    /// [`super::item_name`].
    pub name: [u8; 16],
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperRequest {
    /// 10: keep these; at most [`bounds::MAX_DEPOSIT`].
    Deposit(Vec<Item>),
    /// 11: what have you got beyond this number, in this store?
    Holdings {
        /// What the store was called when that was its number; another one is told from its beginning.
        store: [u8; 8],
        /// From the last answer; 0 at first.
        after: u64,
    },
    /// 12: give me these; at most [`bounds::MAX_FETCH`].
    Fetch(Vec<[u8; 16]>),
    /// 13: this is my generation; here is what lets you into it. The one thing that is asked at a keeper's door.
    Generation {
        /// The asker's.
        generation: Generation,
        /// An encoded [`super::UnverifiedGrant`], and the sealed object that goes with it.
        grant: Option<(Vec<u8>, Option<Vec<u8>>)>,
    },
}

/// What is answered, each to the request with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperReply {
    /// 10.
    Kept,
    /// 11.
    Holdings {
        /// What the store is called: it begins anew with the generation, or with a disk.
        store: [u8; 8],
        /// In the order in which they came; at most [`bounds::MAX_HOLDINGS`].
        items: Vec<KeptItem>,
        /// What to ask for next.
        next: u64,
        /// Whether there are more.
        more: bool,
    },
    /// 12: of those that it has, as many as fit.
    Items(Vec<Item>),
    /// 13: the object that ended the asker's generation, sealed under that one's control key, if it did end.
    Generation(Option<Vec<u8>>),
}

/// A list in it is above its bound, or all of it above [`bounds::MAX_DIRECT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a message for a keeper is above {} bytes, or holds too much",
    bounds::MAX_DIRECT_BYTES
)]
pub struct KeeperTooLarge;

impl KeeperRequest {
    /// Its bytes.
    ///
    /// # Errors
    /// [`KeeperTooLarge`], when no receiver would take it.
    pub fn encode(&self) -> Result<Vec<u8>, KeeperTooLarge> {
        let mut w = Writer::new();
        let fits = match self {
            Self::Deposit(items) => {
                write_items(w.u8(0x10), items);
                items.len() <= bounds::MAX_DEPOSIT && items_fit(items)
            }
            Self::Holdings { store, after } => {
                w.u8(0x11).raw(store).u64(*after);
                true
            }
            Self::Fetch(names) => {
                w.u8(0x12).list(names, |w, name| {
                    w.raw(name);
                });
                names.len() <= bounds::MAX_FETCH
            }
            Self::Generation { generation, grant } => {
                generation.write(w.u8(0x13));
                w.option(grant.as_ref(), |w, (grant, object)| {
                    w.lp(grant).option(object.as_ref(), |w, object| {
                        w.lp(object);
                    });
                });
                grant.as_ref().is_none_or(|(grant, object)| {
                    grant.len() <= MAX_GRANT && object.as_ref().is_none_or(|object| object.len() <= MAX_SEALED_OBJECT)
                })
            }
        };
        checked(w, fits)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::Unsupported`] for any other request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = sized(bytes)?;
        let request = match r.u8()? {
            0x10 => Self::Deposit(read_items(&mut r, bounds::MAX_DEPOSIT)?),
            0x11 => Self::Holdings {
                store: r.array()?,
                after: r.u64()?,
            },
            0x12 => Self::Fetch(r.list("names", bounds::MAX_FETCH, Reader::array)?),
            0x13 => Self::Generation {
                generation: Generation::read(&mut r)?,
                grant: r.option("grant", |r| {
                    let grant = r.lp("grant", MAX_GRANT)?.to_vec();
                    let object = r.option("object", |r| r.lp("object", MAX_SEALED_OBJECT).map(<[u8]>::to_vec))?;
                    Ok((grant, object))
                })?,
            },
            _ => return Err(DecodeError::Unsupported { what: "request" }),
        };
        r.finish()?;
        Ok(request)
    }
}

impl KeeperReply {
    /// Its bytes.
    ///
    /// # Errors
    /// [`KeeperTooLarge`], when no receiver would take it.
    pub fn encode(&self) -> Result<Vec<u8>, KeeperTooLarge> {
        let mut w = Writer::new();
        let fits = match self {
            Self::Kept => {
                w.u8(0x10);
                true
            }
            Self::Holdings {
                store,
                items,
                next,
                more,
            } => {
                w.u8(0x11).raw(store).list(items, |w, item| {
                    w.raw(&item.tag).raw(&item.name);
                });
                w.u64(*next).bool(*more);
                items.len() <= bounds::MAX_HOLDINGS
            }
            Self::Items(items) => {
                write_items(w.u8(0x12), items);
                items.len() <= bounds::MAX_FETCH && items_fit(items)
            }
            Self::Generation(object) => {
                w.u8(0x13).option(object.as_ref(), |w, object| {
                    w.lp(object);
                });
                object.as_ref().is_none_or(|object| object.len() <= MAX_SEALED_OBJECT)
            }
        };
        checked(w, fits)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::Unsupported`] for any other reply.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = sized(bytes)?;
        let reply = match r.u8()? {
            0x10 => Self::Kept,
            0x11 => Self::Holdings {
                store: r.array()?,
                items: r.list("items", bounds::MAX_HOLDINGS, |r| {
                    Ok(KeptItem {
                        tag: r.array()?,
                        name: r.array()?,
                    })
                })?,
                next: r.u64()?,
                more: r.bool("more")?,
            },
            0x12 => Self::Items(read_items(&mut r, bounds::MAX_FETCH)?),
            0x13 => Self::Generation(r.option("object", |r| r.lp("object", MAX_SEALED_OBJECT).map(<[u8]>::to_vec))?),
            _ => return Err(DecodeError::Unsupported { what: "reply" }),
        };
        r.finish()?;
        Ok(reply)
    }
}

fn write_items(w: &mut Writer, items: &[Item]) {
    w.list(items, |w, item| {
        w.lp(item);
    });
}

fn read_items(r: &mut Reader<'_>, max: usize) -> Result<Vec<Item>, DecodeError> {
    r.list("items", max, |r| {
        r.lp("item", bounds::MAX_GOSSIP_BYTES).map(<[u8]>::to_vec)
    })
}

fn items_fit(items: &[Item]) -> bool {
    items.iter().all(|item| item.len() <= bounds::MAX_GOSSIP_BYTES)
}

fn sized(bytes: &[u8]) -> Result<Reader<'_>, DecodeError> {
    if bytes.len() > bounds::MAX_DIRECT_BYTES {
        return Err(DecodeError::TooLong {
            what: "message for a keeper",
            max: bounds::MAX_DIRECT_BYTES,
        });
    }
    Ok(Reader::new(bytes))
}

fn checked(w: Writer, fits: bool) -> Result<Vec<u8>, KeeperTooLarge> {
    let bytes = w.finish();
    if fits && bytes.len() <= bounds::MAX_DIRECT_BYTES {
        Ok(bytes)
    } else {
        Err(KeeperTooLarge)
    }
}
