//! Certificates from an ACME authority (RFC 8555), by the challenge TLS-ALPN-01 (RFC 8737) on the server's own port.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, AcmeState, EventError, EventOk, OrderError};
use tokio_util::sync::CancellationToken;

use super::provider;
use crate::config::Acme;

/// Orders, renews and serves.
pub(crate) type State = AcmeState<io::Error>;

/// Prepares everything; nothing is asked before [`run`].
pub(super) fn state(settings: &Acme, cache: &Path) -> Result<State, String> {
    make_private(cache).map_err(|reason| {
        format!(
            "the folder for certificates {} can't be made: {reason}",
            cache.display()
        )
    })?;
    let mut roots = RootCertStore::empty();
    match &settings.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates.map_err(|_| format!("no roots can be read from {}", path.display()))?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(format!("{} holds no certificate", path.display()));
            }
        }
    }
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| "no version of TLS is left".to_owned())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let contact = (!settings.contact.is_empty()).then(|| format!("mailto:{}", settings.contact));
    let config = AcmeConfig::new_with_client_config(&settings.domains, Arc::new(client))
        .directory(&settings.directory)
        .contact(contact)
        .cache(DirCache::<PathBuf>::new(cache.to_owned()));
    Ok(config.state())
}

/// Runs until `stop`; says what happens, not for whom.
pub(super) async fn run(mut state: State, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = state.next() => event,
        };
        match event {
            None => return,
            Some(Ok(EventOk::DeployedCachedCert)) => tracing::info!("the certificate that was kept is served"),
            Some(Ok(EventOk::DeployedNewCert)) => tracing::info!("a new certificate is served"),
            Some(Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore)) => {}
            Some(Err(error)) => {
                let reason = describe(&error);
                tracing::error!(reason, "no certificate yet; the server tries again by itself");
            }
        }
    }
}

fn describe(error: &EventError<io::Error, io::Error>) -> String {
    match error {
        EventError::Order(OrderError::TooManyAttemptsAuth(_) | OrderError::BadAuth(_)) => {
            "the authority could not reach this server: do the names lead here, and does port 443 reach the server?"
                .to_owned()
        }
        EventError::Order(OrderError::Acme(error)) => format!("the authority refuses or can't be reached: {error}"),
        EventError::CertCacheLoad(error)
        | EventError::AccountCacheLoad(error)
        | EventError::CertCacheStore(error)
        | EventError::AccountCacheStore(error) => format!("the folder for certificates fails: {error}"),
        other => other.to_string(),
    }
}

/// Makes the folder, which will hold private keys, for nobody else.
fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // One that was there may be open to others.
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}
