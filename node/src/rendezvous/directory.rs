//! The public directory of a rendezvous. Whoever runs it can leave rooms out and make some up; what stands in a room's entry,
//! its admin signed.

use reqwest::Method;
use snug_crypto::GenesisHash;
use snug_crypto::credential::Listing;
use snug_crypto::names::RoomId;
use snug_rendezvous_api::{self as api, Listings, Search};

use super::http::Refusal;
use super::{Client, ServerError};
use crate::text::Untrusted;

/// Pages asked for at most: a server could go on for ever.
const MAX_PAGES: usize = 10;

/// A room that wants to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRoom {
    /// What it goes by.
    pub room_id: Untrusted,
    /// What it is for.
    pub description: Untrusted,
    /// Names its founding record: who enters the room compares.
    pub genesis_hash: GenesisHash,
}

/// What a directory says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Rooms, in the server's order.
    pub rooms: Vec<ListedRoom>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// Entries that are none: not signed by the key they name, or not of a possible room.
    pub refused: usize,
}

impl Client {
    /// Rooms whose Room ID or description holds the text, of either case: up to 1,000.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn rooms(&self, search: Option<&str>) -> Result<Directory, ServerError> {
        let mut directory = Directory::default();
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let query = Search {
                search: search.map(str::to_owned),
                after: after.take(),
                limit: Some(api::MAX_PAGE),
            };
            let page = self.page(&query).await?;
            for listing in &page.rooms {
                match read(listing.as_slice()) {
                    // The server can show an entry as often as it likes.
                    Some(room) if directory.rooms.contains(&room) => {}
                    Some(room) => directory.rooms.push(room),
                    None => directory.refused += 1,
                }
            }
            after = page.next;
            directory.more = after.is_some();
            if after.is_none() || page.rooms.is_empty() {
                break;
            }
        }
        Ok(directory)
    }

    async fn page(&self, query: &Search) -> Result<Listings, ServerError> {
        let mut path = url::form_urlencoded::Serializer::new(format!("{}?", api::rooms()));
        for (name, value) in [("search", &query.search), ("after", &query.after)] {
            if let Some(value) = value {
                path.append_pair(name, value);
            }
        }
        if let Some(limit) = query.limit {
            path.append_pair("limit", &limit.to_string());
        }
        let answer: Result<Listings, Refusal> = self.http.call(Method::GET, &path.finish(), None, None::<&()>).await;
        let page = answer.map_err(|refusal| match refusal {
            Refusal::Exchange(error) => error,
            Refusal::Problem(problem) => self.http.unexpected(&problem),
        })?;
        if page.rooms.len() > usize::from(api::MAX_PAGE) {
            return Err(self
                .http
                .not_a_rendezvous("its directory is longer than it was asked for"));
        }
        Ok(page)
    }
}

fn read(listing: &[u8]) -> Option<ListedRoom> {
    let listing = Listing::open(listing).ok()?;
    let room_id = RoomId::parse(&listing.room_id).ok()?;
    // In another form it would be another room's handle, or two rooms that look alike.
    (room_id.as_str() == listing.room_id).then(|| ListedRoom {
        room_id: Untrusted::new(listing.room_id),
        description: Untrusted::new(listing.description),
        genesis_hash: listing.genesis_hash,
    })
}

#[cfg(test)]
mod tests {
    use snug_crypto::AdminKey;

    use super::*;

    #[test]
    fn only_possible_rooms_with_their_admins_word_are_shown() {
        let admin = AdminKey::from_seed(&[1; 32]);
        let sign = |room_id: &str| {
            let listing = Listing {
                genesis_hash: GenesisHash::from_bytes([2; 32]),
                admin: admin.public(),
                room_id: room_id.to_owned(),
                description: "a \u{202e}line".to_owned(),
            };
            listing.sign(&admin)
        };
        let room = read(&sign("den")).unwrap();
        assert_eq!(
            (room.room_id.exact(), room.description.exact()),
            ("den", "a \u{202e}line")
        );
        assert!(!room.description.line().contains('\u{202e}'));
        assert_eq!(read(&sign(" den")), None, "not in normal form");
        assert_eq!(read(&sign("\u{fb01}ne")), None, "a ligature, which NFKC takes apart");
        let mut altered = sign("den");
        altered[80] ^= 1;
        assert_eq!(read(&altered), None);
        assert_eq!(read(&[]), None);
    }
}
