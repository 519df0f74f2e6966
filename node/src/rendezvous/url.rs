//! The address of a rendezvous.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The base URL of a rendezvous: `http` or `https`, a host, and nothing that isn't part of an address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl(Url);

/// Why a text is no [`ServerUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// `example.org:7070`, and the like.
    #[error("the server's address needs a scheme: write https://… (or http://… for a server on this machine)")]
    NoScheme,
    /// `ftp://…`, and the like.
    #[error("the server's address must begin with https:// or http://")]
    OtherScheme,
    /// User name or password in it: they would end up in logs.
    #[error("the server's address must not hold a user name or a password")]
    Credentials,
    /// `?…` or `#…` at its end.
    #[error("the server's address must end with its host or path, without '?' or '#'")]
    Extra,
    /// Anything else.
    #[error("this is no server address ({0}); it looks like https://snug.example.org")]
    Invalid(url::ParseError),
}

impl ServerUrl {
    /// Parses an address as a person types it. A path is kept (a rendezvous behind a proxy), slashes at its end are not.
    ///
    /// # Errors
    /// [`ServerUrlError`]
    pub fn parse(text: &str) -> Result<Self, ServerUrlError> {
        let text = text.trim();
        // `localhost:7070` is a valid URL of the scheme `localhost`: not what was meant.
        if !text.contains("://") {
            return Err(ServerUrlError::NoScheme);
        }
        let mut url = Url::parse(text).map_err(ServerUrlError::Invalid)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(ServerUrlError::OtherScheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ServerUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ServerUrlError::Extra);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// True if what is sent can be read on the way: plain http to a host that isn't this machine. The room's secrets can't be read
    /// even there, but its handle and token can, and a registration isn't protected (PROTOCOL, Credentials).
    pub fn is_plain_to_other_host(&self) -> bool {
        self.0.scheme() == "http" && !self.is_loopback()
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of an endpoint; `path` begins with a slash and is made of URL-safe characters.
    pub(super) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.as_str())
    }

    /// The host, a name or an address without brackets, and the port.
    pub(crate) fn host_and_port(&self) -> Option<(String, u16)> {
        let host = match self.0.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        Some((host, self.0.port_or_known_default()?))
    }

    fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
            // RFC 6761: these names never leave the machine.
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            None => false,
        }
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_people_type_and_drops_slashes_at_the_end() {
        for (typed, kept) in [
            ("https://snug.example.org", "https://snug.example.org"),
            ("https://snug.example.org/", "https://snug.example.org"),
            ("  http://127.0.0.1:7070// ", "http://127.0.0.1:7070"),
            ("https://example.org/snug/", "https://example.org/snug"),
            ("http://[::1]:7070", "http://[::1]:7070"),
            ("HTTPS://EXAMPLE.org:443", "https://example.org"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            let url = ServerUrl::parse(typed).unwrap();
            assert_eq!(url.as_str(), kept);
            assert_eq!(url.endpoint("/v1/rooms"), format!("{kept}/v1/rooms"));
            assert_eq!(ServerUrl::parse(kept).unwrap(), url);
        }
    }

    #[test]
    fn refuses_what_is_no_address_and_says_why() {
        for (typed, error) in [
            ("localhost:7070", ServerUrlError::NoScheme),
            ("127.0.0.1", ServerUrlError::NoScheme),
            ("", ServerUrlError::NoScheme),
            ("mailto:someone@example.org", ServerUrlError::NoScheme),
            ("ftp://example.org", ServerUrlError::OtherScheme),
            ("file:///etc/passwd", ServerUrlError::OtherScheme),
            ("https://bob@example.org", ServerUrlError::Credentials),
            ("https://:secret@example.org", ServerUrlError::Credentials),
            ("https://example.org/?a=b", ServerUrlError::Extra),
            ("https://example.org/#a", ServerUrlError::Extra),
        ] {
            assert_eq!(ServerUrl::parse(typed).unwrap_err(), error, "{typed}");
        }
        for typed in [
            "http://",
            "https://exa mple.org",
            "http://[::1",
            "http://example.org:70700",
        ] {
            assert!(
                matches!(ServerUrl::parse(typed), Err(ServerUrlError::Invalid(_))),
                "{typed}"
            );
        }
    }

    #[test]
    fn knows_what_can_be_read_on_the_way() {
        for (typed, plain) in [
            ("http://127.0.0.1:7070", false),
            ("http://127.9.9.9", false),
            ("http://[::1]:7070", false),
            ("http://[::ffff:127.0.0.1]", false),
            ("http://localhost", false),
            ("http://den.localhost", false),
            ("http://LOCALHOST.", false),
            ("https://example.org", false),
            ("http://example.org", true),
            ("http://192.168.1.2:7070", true),
            ("http://[fe80::1]:7070", true),
            ("http://localhost.example.org", true),
            ("http://notlocalhost", true),
        ] {
            assert_eq!(
                ServerUrl::parse(typed).unwrap().is_plain_to_other_host(),
                plain,
                "{typed}"
            );
        }
    }
}
