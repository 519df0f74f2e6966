//! Opening the database: whose it is, which version, and its indexes.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::error::Error;
use mongodb::options::{Acknowledgment, ClientOptions, CollectionOptions, IndexOptions, WriteConcern};
use mongodb::{Client, Collection, IndexModel};

use super::documents::{binary, bytes, cant_open, is_duplicate};
use super::{MongoStore, TIMEOUT, Togethers};
use crate::store::{OpenError, STORE_VERSION};

/// The database, unless the connection string names one.
const DATABASE: &str = "snug";
/// Connections to each server of the deployment.
const MAX_POOL: u32 = 32;

impl MongoStore {
    /// Opens the database, or makes a store of it.
    pub async fn open(uri: &str, key_checks: &[[u8; 32]]) -> Result<Self, OpenError> {
        let store = Self::connect(uri, key_checks).await?;
        store.check_meta(key_checks).await?;
        store.ensure_indexes().await.map_err(cant_open)?;
        Ok(store)
    }

    /// Opens what is there, and changes nothing; `None` if it is no store yet.
    pub async fn visit(uri: &str, key_checks: &[[u8; 32]]) -> Result<Option<Self>, OpenError> {
        let store = Self::connect(uri, key_checks).await?;
        let found = store.meta().find_one(doc! { "_id": "store" }).await;
        let Some(found) = found.map_err(cant_open)? else {
            return Ok(None);
        };
        check(&found, key_checks)?;
        Ok(Some(store))
    }

    async fn connect(uri: &str, key_checks: &[[u8; 32]]) -> Result<Self, OpenError> {
        let mut options = ClientOptions::parse(uri).await.map_err(cant_open)?;
        // What is acknowledged must outlive the primary, whatever the connection string asks for: then it shall not seem to be heard.
        let asked = options.write_concern.as_ref().and_then(|concern| concern.w.as_ref());
        if asked.is_some_and(|asked| *asked != Acknowledgment::Majority) {
            return Err(OpenError::Mongo {
                reason: "the connection string's w= is not followed, every write waits for a majority: leave it out"
                    .to_owned(),
            });
        }
        options.app_name.get_or_insert_with(|| "snug-rendezvous".to_owned());
        options.connect_timeout.get_or_insert(TIMEOUT);
        options.server_selection_timeout.get_or_insert(TIMEOUT);
        options.max_pool_size.get_or_insert(MAX_POOL);
        options.write_concern = Some(
            WriteConcern::builder()
                .w(Acknowledgment::Majority)
                .w_timeout(TIMEOUT)
                .build(),
        );
        let name = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        let client = Client::with_options(options).map_err(cant_open)?;
        let database = client.database(&name);
        let rooms = database.collection("rooms");
        let sessions = database.collection_with_options("sessions", acknowledged(Acknowledgment::Majority));
        let presence = database.collection_with_options("presence", acknowledged(Acknowledgment::Nodes(1)));
        Ok(Self {
            key_check: *key_checks.first().ok_or(OpenError::OtherKey)?,
            together: Togethers::new(&database, &rooms, &sessions, &presence),
            rooms,
            key_gens: database.collection("key_gens"),
            listed: database.collection("listed"),
            sessions,
            presence,
            starts: database.collection("starts"),
            client,
            database,
        })
    }

    pub(super) fn meta(&self) -> Collection<Document> {
        self.database.collection("meta")
    }

    /// Looks before it writes, so that a newer store stays untouched; two instances may do this at once.
    async fn check_meta(&self, key_checks: &[[u8; 32]]) -> Result<(), OpenError> {
        let (meta, current) = (self.meta(), self.key_check);
        let ours = doc! { "_id": "store", "version": i64::from(STORE_VERSION), "key_check": binary(&current) };
        let found = match meta.find_one(doc! { "_id": "store" }).await.map_err(cant_open)? {
            Some(found) => found,
            None => match meta.insert_one(&ours).await {
                Ok(_) => ours,
                Err(error) if is_duplicate(&error) => meta
                    .find_one(doc! { "_id": "store" })
                    .await
                    .map_err(cant_open)?
                    .unwrap_or(ours),
                Err(error) => return Err(cant_open(error)),
            },
        };
        let (version, stored) = check(&found, key_checks)?;
        if stored != current {
            let change = doc! { "$set": { "key_check": binary(&current) } };
            meta.update_one(doc! { "_id": "store" }, change)
                .await
                .map_err(cant_open)?;
        }
        if version != STORE_VERSION {
            self.upgrade(&meta).await.map_err(cant_open)?;
        }
        Ok(())
    }

    /// Rooms of version 1 are read as they are. Its sessions had another form: members log in again.
    async fn upgrade(&self, meta: &Collection<Document>) -> Result<(), Error> {
        self.sessions
            .delete_many(doc! { "record": { "$exists": false } })
            .await?;
        self.database.collection::<Document>("attempts").drop().await?;
        let version = doc! { "$max": { "version": i64::from(STORE_VERSION) } };
        meta.update_one(doc! { "_id": "store" }, version).await?;
        Ok(())
    }

    async fn ensure_indexes(&self) -> Result<(), Error> {
        let expires = |field: &str| {
            IndexModel::builder()
                .keys(doc! { field: 1 })
                .options(IndexOptions::builder().expire_after(Duration::ZERO).build())
                .build()
        };
        self.rooms.create_index(expires("purge_at")).await?;
        self.sessions.create_index(expires("expires_at")).await?;
        self.starts.create_index(expires("expires_at")).await?;
        self.key_gens.create_index(expires("expires_at")).await?;
        let of_room = IndexModel::builder().keys(doc! { "room": 1 }).build();
        self.listed.create_index(of_room).await?;
        let by_room = IndexModel::builder().keys(doc! { "room": 1, "_id": 1 }).build();
        self.presence.create_indexes([expires("expires_at"), by_room]).await?;
        Ok(())
    }
}

/// Acknowledged from memory: for what lives for seconds or an hour. A journal's sync is the largest part of a small write.
fn acknowledged(by: Acknowledgment) -> CollectionOptions {
    CollectionOptions::builder()
        .write_concern(WriteConcern::builder().w(by).journal(false).w_timeout(TIMEOUT).build())
        .build()
}

/// The store's version, and whose key's it is, if we can use it.
fn check(found: &Document, key_checks: &[[u8; 32]]) -> Result<(u32, [u8; 32]), OpenError> {
    let version = found.get_i64("version").ok();
    let version = version.and_then(|version| u32::try_from(version).ok());
    match (version, bytes::<32>(found, "key_check")) {
        (Some(found), _) if found > STORE_VERSION => Err(OpenError::Newer { found }),
        (Some(version), Some(stored)) if key_checks.contains(&stored) => Ok((version, stored)),
        (Some(_), _) => Err(OpenError::OtherKey),
        (None, _) => Err(OpenError::Mongo {
            reason: "the database holds something else".to_owned(),
        }),
    }
}
