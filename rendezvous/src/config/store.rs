//! Where rooms are kept, as text.

use std::path::PathBuf;
use std::str::FromStr;

/// Where rooms are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreSpec {
    /// An embedded redb file.
    Redb(PathBuf),
    /// A MongoDB connection string. May hold a password.
    Mongo(String),
}

/// The text names no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a store is redb:PATH, mongodb://… or mongodb+srv://…")]
pub struct StoreSpecError;

impl FromStr for StoreSpec {
    type Err = StoreSpecError;

    fn from_str(text: &str) -> Result<Self, StoreSpecError> {
        match text.split_once(':') {
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(PathBuf::from(path))),
            Some(("mongodb" | "mongodb+srv", rest)) if rest.starts_with("//") => Ok(Self::Mongo(text.to_owned())),
            _ => Err(StoreSpecError),
        }
    }
}

/// Options of a connection string that say nothing secret.
const PUBLIC_OPTIONS: &[&str] = &[
    "replicaset",
    "authsource",
    "authmechanism",
    "tls",
    "ssl",
    "directconnection",
    "loadbalanced",
    "maxpoolsize",
    "minpoolsize",
    "readpreference",
    "retrywrites",
    "retryreads",
    "appname",
];

impl StoreSpec {
    /// The store as it may be shown: without the password, and without options that may hold one.
    #[must_use]
    pub fn redacted(&self) -> String {
        let uri = match self {
            Self::Redb(path) => return format!("redb:{}", path.display()),
            Self::Mongo(uri) => uri,
        };
        let Some((scheme, rest)) = uri.split_once("://") else {
            return "mongodb:(redacted)".to_owned();
        };
        let (place, options) = rest
            .split_once('?')
            .map_or((rest, None), |(place, options)| (place, Some(options)));
        // A password may hold an unescaped @, which the driver refuses: what is before the last one is never shown.
        let place = match place.rsplit_once('@') {
            None => place.to_owned(),
            Some((user, hosts)) => {
                let user = user.split(':').next().unwrap_or_default();
                format!("{user}:(redacted)@{hosts}")
            }
        };
        let Some(options) = options else {
            return format!("{scheme}://{place}");
        };
        let shown: Vec<String> = options
            .split('&')
            .map(|option| {
                let name = option.split('=').next().unwrap_or_default();
                let public = PUBLIC_OPTIONS.contains(&name.to_ascii_lowercase().as_str());
                if public {
                    option.to_owned()
                } else {
                    format!("{name}=(redacted)")
                }
            })
            .collect();
        format!("{scheme}://{place}?{}", shown.join("&"))
    }
}

impl std::fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
            Self::Mongo(_) => f.write_str("mongodb:(redacted)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (given, shown) in [
            ("redb:/srv/x", "redb:/srv/x"),
            ("mongodb://db/snug", "mongodb://db/snug"),
            (
                "mongodb://u:hunter2@db1,db2/snug",
                "mongodb://u:(redacted)@db1,db2/snug",
            ),
            ("mongodb://u:hun@ter2@db", "mongodb://u:(redacted)@db"),
            (
                "mongodb+srv://u:hunter2@db/?replicaSet=a&tlsCertificateKeyFilePassword=hunter2&authMechanismProperties=A:hunter2",
                "mongodb+srv://u:(redacted)@db/?replicaSet=a&tlsCertificateKeyFilePassword=(redacted)&authMechanismProperties=(redacted)",
            ),
        ] {
            let spec: StoreSpec = given.parse().unwrap();
            assert_eq!(spec.redacted(), shown);
            assert!(!spec.redacted().contains("hunter2") && !format!("{spec:?}").contains("hunter2"));
        }
    }
}
