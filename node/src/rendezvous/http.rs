//! HTTP as we speak it with a rendezvous: JSON both ways, every answer bounded in time and size, no redirects, no proxies, no cookies,
//! and a user agent that tells nothing apart.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use snug_rendezvous_api::{MAX_RESPONSE_BODY, Problem, ProblemType, REGISTRATION_TOKEN_HEADER, Token};

use super::{ServerError, ServerUrl};
use crate::text::Untrusted;

/// TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The whole exchange; the server's slowest answer is a login's, well under a second.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A connection is kept for the next request this long: less than the server's patience, so that none is used while it closes.
const POOL_IDLE: Duration = Duration::from_secs(5);
/// Header lines read of an answer.
const MAX_HEADERS: usize = 64;
/// The longest wait a server can ask for and be taken at its word.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
const USER_AGENT: &str = "snug";

/// A connection pool to one rendezvous; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    server: Arc<ServerUrl>,
    /// What the server's host gave us to make rooms with; sent where rooms are made and nowhere else.
    registration_token: Option<HeaderValue>,
}

/// The server understood and said no, or the exchange failed.
#[derive(Debug)]
pub(super) enum Refusal {
    Problem(Box<Problem>),
    Exchange(ServerError),
}

impl Http {
    pub fn new(server: ServerUrl) -> Result<Self, ServerError> {
        // Process-wide, and harmless if the program chose another provider before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true);
        if !server.is_https() {
            // Nothing will be verified, so the system's certificates need not be loaded.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        match builder.build() {
            Ok(client) => Ok(Self {
                client,
                server: Arc::new(server),
                registration_token: None,
            }),
            Err(error) => {
                tracing::debug!(%error, "no HTTP client");
                Err(ServerError::Unreachable {
                    server,
                    why: "this system's root certificates can't be loaded",
                })
            }
        }
    }

    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The same, with a registration token. `None` if the text can't be one.
    pub fn with_registration_token(mut self, token: &str) -> Option<Self> {
        let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let mut value = HeaderValue::from_str(token).ok().filter(|_| visible)?;
        // Keeps it out of Debug output.
        value.set_sensitive(true);
        self.registration_token = Some(value);
        Some(self)
    }

    /// Whether there is a registration token.
    pub fn has_registration_token(&self) -> bool {
        self.registration_token.is_some()
    }

    /// One request, and its answer's JSON.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, Refusal> {
        let response = self.send(method, path, token, body).await?;
        if !has_type(&response, "application/json") {
            return Err(self.odd("its answer is not JSON"));
        }
        let bytes = self.body(response).await?;
        serde_json::from_slice(&bytes).map_err(|_| self.odd("its answer makes no sense"))
    }

    /// One request whose answer has no content.
    pub async fn call_for_nothing(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<(), Refusal> {
        match self.send(method, path, token, body).await?.status() {
            StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.odd("it answered where nothing was to be said")),
        }
    }

    /// Sends, and sorts every answer that isn't a success.
    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Response, Refusal> {
        let mut request = self
            .client
            .request(method, self.server.endpoint(path))
            .header(header::ACCEPT, "application/json, application/problem+json");
        if let Some(token) = self.registration_token.as_ref().filter(|_| makes_a_room(path)) {
            request = request.header(REGISTRATION_TOKEN_HEADER, token.clone());
        }
        if let Some(token) = token {
            request = request.headers(authorization(token).ok_or_else(|| self.odd("its token is none"))?);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| self.failed(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status();
        if status.is_redirection() {
            return self.odd("it sends us elsewhere; give the address it sends to");
        }
        let retry_after = retry_after(response.headers());
        if !has_type(&response, Problem::MEDIA_TYPE) {
            return match status {
                // A proxy in front of the rendezvous answers for it.
                StatusCode::TOO_MANY_REQUESTS => Refusal::Exchange(self.rate_limited(retry_after)),
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    Refusal::Exchange(self.fault(status, None))
                }
                _ => self.odd("its error is not a problem document"),
            };
        }
        let problem = match self
            .body(response)
            .await
            .map(|bytes| serde_json::from_slice::<Problem>(&bytes))
        {
            Ok(Ok(problem)) => problem,
            Ok(Err(_)) => return self.odd("its error makes no sense"),
            Err(refusal) => return refusal,
        };
        let retry_after = problem
            .retry_after_s
            .map(|s| Duration::from_secs(s.into()))
            .or(retry_after);
        match problem.problem_type {
            ProblemType::TooManyRequests => Refusal::Exchange(self.rate_limited(retry_after)),
            ProblemType::NotFound | ProblemType::MethodNotAllowed => {
                self.odd("it knows no such request; it may be older or newer")
            }
            ProblemType::Unknown | ProblemType::Internal | ProblemType::Unavailable => {
                Refusal::Exchange(self.fault(status, problem.detail.map(Untrusted::new)))
            }
            _ => Refusal::Problem(Box::new(problem)),
        }
    }

    /// Reads a body up to the API's bound, whatever length it announces.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(&e))? {
            if bytes.len() + chunk.len() > MAX_RESPONSE_BODY {
                return Err(self.odd("its answer is too long"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// An answer to a problem that the request at hand has no use for.
    pub fn unexpected(&self, problem: &Problem) -> ServerError {
        let detail = problem.detail.as_deref().map(Untrusted::new);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.fault(status, detail)
    }

    fn fault(&self, status: StatusCode, detail: Option<Untrusted>) -> ServerError {
        ServerError::Fault {
            server: self.server().clone(),
            status: status.as_u16(),
            detail,
        }
    }

    fn rate_limited(&self, retry_after: Option<Duration>) -> ServerError {
        ServerError::RateLimited {
            server: self.server().clone(),
            retry_after: retry_after.map(|time| time.min(MAX_RETRY_AFTER)),
        }
    }

    fn odd(&self, what: &'static str) -> Refusal {
        Refusal::Exchange(self.not_a_rendezvous(what))
    }

    pub fn not_a_rendezvous(&self, what: &'static str) -> ServerError {
        ServerError::NotARendezvous {
            server: self.server().clone(),
            what,
        }
    }

    /// Whether nobody was there, or somebody who doesn't speak HTTP.
    fn failed(&self, error: &reqwest::Error) -> Refusal {
        // Without the URL: it holds the room's handle.
        tracing::debug!(error = %Causes(error), "request failed");
        let why = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            match Causes(error).io_kind() {
                _ if Causes(error).is_tls() => "no trusted TLS connection",
                Some(std::io::ErrorKind::ConnectionRefused) => "connection refused",
                Some(std::io::ErrorKind::InvalidData) => "no trusted TLS connection",
                _ if error.is_dns() => "its name can't be resolved",
                _ => "no connection",
            }
        } else if Causes(error).is_malformed() {
            return self.odd("its answer is not HTTP");
        } else {
            "the connection broke"
        };
        Refusal::Exchange(ServerError::Unreachable {
            server: self.server().clone(),
            why,
        })
    }
}

/// The causes of an error, without reqwest's own line (which names the URL).
struct Causes<'a>(&'a reqwest::Error);

impl Causes<'_> {
    fn chain(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        std::iter::successors(std::error::Error::source(self.0), |error| error.source())
    }

    fn io_kind(&self) -> Option<std::io::ErrorKind> {
        self.chain()
            .find_map(|error| Some(error.downcast_ref::<std::io::Error>()?.kind()))
    }

    /// Whether TLS failed: a certificate that this machine doesn't trust, of another name, or expired, or no TLS at all.
    fn is_tls(&self) -> bool {
        /// An I/O error's `source` skips the error that it wraps, which may be one of its own kind again.
        fn holds(error: &(dyn std::error::Error + 'static)) -> bool {
            let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            error.is::<rustls::Error>() || wrapped.is_some_and(|inner| holds(inner))
        }
        self.chain().any(holds)
    }

    fn is_malformed(&self) -> bool {
        self.chain()
            .filter_map(|error| error.downcast_ref::<hyper::Error>())
            .any(|error| error.is_parse())
    }
}

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for cause in self.chain() {
            write!(f, "{separator}{cause}")?;
            separator = ": ";
        }
        Ok(())
    }
}

fn makes_a_room(path: &str) -> bool {
    path.ends_with("/register/start") || path.ends_with("/register/finish")
}

fn authorization(token: &Token) -> Option<HeaderMap> {
    let mut value = HeaderValue::try_from(token.authorization()).ok()?;
    // Keeps it out of Debug output.
    value.set_sensitive(true);
    Some(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

fn has_type(response: &Response, expected: &str) -> bool {
    let essence = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = essence.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(expected))
}

/// Seconds only: a date would need a trusted clock on both sides.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
