//! The public directory.

use std::ops::Bound;

use redb::{ReadTransaction, WriteTransaction};
use snug_crypto::credential::server::KeyedHandle;

use super::{Fault, LISTED};
use crate::store::{Entry, Listed};

pub(super) fn enter(transaction: &WriteTransaction, room: &KeyedHandle, entry: &Entry) -> Result<(), Fault> {
    let mut listed = transaction.open_table(LISTED)?;
    let row = (room.as_bytes(), entry.text.as_str(), entry.listing.as_slice());
    listed.insert(entry.room_id.as_str(), row)?;
    Ok(())
}

/// Deletions are few, and a store knows its rooms by their handles: so this looks through the directory.
pub(super) fn remove(transaction: &WriteTransaction, room: &KeyedHandle) -> Result<(), Fault> {
    let mut listed = transaction.open_table(LISTED)?;
    listed.retain(|_, (of, _, _)| of != room.as_bytes())?;
    Ok(())
}

pub(super) fn page(
    transaction: &ReadTransaction,
    search: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Listed, Fault> {
    let listed = transaction.open_table(LISTED)?;
    let after = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = Listed::default();
    let mut last = String::new();
    for entry in listed.range::<&str>((after, Bound::Unbounded))? {
        let (room_id, row) = entry?;
        let (_, text, listing) = row.value();
        if search.is_some_and(|search| !text.contains(search)) {
            continue;
        }
        if page.listings.len() == limit {
            page.next = Some(last);
            break;
        }
        page.listings.push(listing.to_vec());
        last = room_id.value().to_owned();
    }
    Ok(page)
}
