//! Portions of a room's starts.

use redb::{ReadableTable, WriteTransaction};
use snug_crypto::credential::server::KeyedHandle;

use super::{Fault, STARTS};
use crate::store::{Portion, PortionId, Settlement};

/// Takes what is left of the limit, up to what is asked for.
pub(super) fn take(
    transaction: &WriteTransaction,
    room: &KeyedHandle,
    portion: Portion,
    limit: u32,
) -> Result<u32, Fault> {
    let mut starts = transaction.open_table(STARTS)?;
    let mut taken = 0_u32;
    for entry in starts.range::<&[u8; 48]>(&key(room, &[0; 16])..=&key(room, &[0xFF; 16]))? {
        let (id, value) = entry?;
        let (at_ms, count) = value.value();
        let mut other = Portion {
            id: [0; 16],
            at_ms,
            count,
        };
        other.id.copy_from_slice(&id.value()[32..]);
        if other.counts(portion.at_ms) {
            taken = taken.saturating_add(count);
        }
    }
    let granted = limit.saturating_sub(taken).min(portion.count);
    if granted > 0 {
        starts.insert(&key(room, &portion.id), (portion.at_ms, granted))?;
    }
    Ok(granted)
}

pub(super) fn settle(transaction: &WriteTransaction, settlement: &Settlement) -> Result<(), Fault> {
    let mut starts = transaction.open_table(STARTS)?;
    for id in &settlement.dropped {
        starts.remove(&key(&settlement.room, id))?;
    }
    for portion in &settlement.kept {
        starts.insert(&key(&settlement.room, &portion.id), (portion.at_ms, portion.count))?;
    }
    Ok(())
}

fn key(room: &KeyedHandle, portion: &PortionId) -> [u8; 48] {
    let mut key = [0; 48];
    key[..32].copy_from_slice(room.as_bytes());
    key[32..].copy_from_slice(portion);
    key
}
