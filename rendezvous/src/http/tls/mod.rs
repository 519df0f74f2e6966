//! TLS 1.2 and 1.3 by rustls: a certificate from files, read again when they change, or from an ACME authority.

mod acme;
mod files;

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::ResolvesServerCert;
use rustls_acme::is_tls_alpn_challenge;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

pub(crate) use self::files::{Certificate, days_left, inspect, inspect_kept};

use self::files::FileCertificate;
use crate::config::Config;
use crate::error::StartError;

/// How connections are secured; clones share certificates.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    /// What answers an ACME authority's challenge.
    challenge: Option<Arc<ServerConfig>>,
    files: Option<Arc<FileCertificate>>,
}

/// What has to run beside the listener.
pub(crate) enum Upkeep {
    /// Looks whether the files changed.
    Files(Arc<FileCertificate>),
    /// Orders and renews certificates.
    Acme(Box<acme::State>),
}

impl Tls {
    /// As configured, with what must run for it; `None` for plain http.
    pub fn new(config: &Config) -> Result<Option<(Self, Upkeep)>, StartError> {
        if let Some(files) = &config.tls {
            let files = Arc::new(FileCertificate::load(files).map_err(StartError::Tls)?);
            let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&files) as _;
            let tls = Self {
                config: server_config(resolver)?,
                challenge: None,
                files: Some(Arc::clone(&files)),
            };
            return Ok(Some((tls, Upkeep::Files(files))));
        }
        let Some(settings) = &config.acme else { return Ok(None) };
        let cache = settings
            .cache_dir
            .clone()
            .unwrap_or_else(|| config.data_dir.join("acme"));
        let state = acme::state(settings, &cache).map_err(StartError::Tls)?;
        let tls = Self {
            config: server_config(state.resolver())?,
            challenge: Some(state.challenge_rustls_config_with_provider(provider())),
            files: None,
        };
        Ok(Some((tls, Upkeep::Acme(Box::new(state)))))
    }

    /// Does the handshake; `None` if it was an ACME authority's challenge, which is over with it.
    pub async fn accept<T>(&self, stream: T) -> io::Result<Option<TlsStream<T>>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        match &self.challenge {
            Some(challenge) if is_tls_alpn_challenge(&hello.client_hello()) => {
                let mut stream = hello.into_stream(Arc::clone(challenge)).await?;
                stream.shutdown().await?;
                Ok(None)
            }
            _ => hello.into_stream(Arc::clone(&self.config)).await.map(Some),
        }
    }

    /// Reads certificate files again, now; one that can't be used leaves the former one in place.
    pub fn reload(&self) -> Result<(), String> {
        self.files.as_ref().map_or(Ok(()), |files| files.reload())
    }
}

impl Upkeep {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        match self {
            Self::Files(files) => files.watch(stop).await,
            Self::Acme(state) => acme::run(*state, stop).await,
        }
    }
}

fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, StartError> {
    let versions = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| StartError::Internal("no version of TLS is left"))?;
    let mut config = versions.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
