//! The public directory.

use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use snug_crypto::credential::server::KeyedHandle;

use super::documents::{binary, unavailable};
use super::{DAMAGED, MongoStore, TIMEOUT};
use crate::store::{Entry, Listed, StoreError};

impl MongoStore {
    pub(super) async fn enter(&self, room: &KeyedHandle, entry: Entry) -> Result<(), StoreError> {
        let document = doc! {
            "room": binary(room.as_bytes()),
            "text": entry.text,
            "listing": binary(&entry.listing),
        };
        let id = doc! { "_id": entry.room_id };
        let entered = self.listed.replace_one(id, document).upsert(true).await;
        entered.map(|_| ()).map_err(unavailable)
    }

    pub(super) async fn unlist(&self, room: &KeyedHandle) -> Result<(), StoreError> {
        let deleted = self.listed.delete_one(doc! { "room": binary(room.as_bytes()) }).await;
        deleted.map(|_| ()).map_err(unavailable)
    }

    pub(super) async fn page(
        &self,
        search: Option<String>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Listed, StoreError> {
        let mut filter = Document::new();
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": after });
        }
        if let Some(search) = search {
            filter.insert("text", doc! { "$regex": literal(&search) });
        }
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut found: Vec<Document> = self
            .listed
            .find(filter)
            .sort(doc! { "_id": 1 })
            .limit(wanted)
            .projection(doc! { "listing": 1 })
            .max_time(TIMEOUT)
            .await
            .map_err(unavailable)?
            .try_collect()
            .await
            .map_err(unavailable)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found
            .last()
            .and_then(|last| last.get_str("_id").ok())
            .map(str::to_owned);
        let listings = found.iter().map(|document| {
            let listing = document.get_binary_generic("listing");
            listing.cloned().map_err(|_| DAMAGED)
        });
        Ok(Listed {
            listings: listings.collect::<Result<_, _>>()?,
            next: last.filter(|_| more),
        })
    }
}

/// A pattern that matches the text and nothing else.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(2 * text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_search_has_a_meaning_of_its_own() {
        assert_eq!(literal("a.*(b)[c]\\Q\u{e9} d"), "a\\.\\*\\(b\\)\\[c\\]\\\\Q\u{e9} d");
    }
}
