//! A certificate and its key in PEM files.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::provider;
use crate::clock::Clock;
use crate::config::TlsFiles;

/// Between two looks at the files: two calls of the system.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Certificates with fewer days left are warned of.
const WARN_DAYS: i64 = 14;
/// Between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is served, and where it came from.
#[derive(Debug)]
pub(crate) struct FileCertificate {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
    stamps: Mutex<Stamps>,
}

/// When the files were last written, and how long they are.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// What is worth knowing of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The names it is for.
    pub names: Vec<String>,
}

impl FileCertificate {
    pub fn load(files: &TlsFiles) -> Result<Self, String> {
        let stamps = stamps(files);
        Ok(Self {
            current: RwLock::new(Arc::new(load(files)?)),
            files: files.clone(),
            stamps: Mutex::new(stamps),
        })
    }

    pub fn reload(&self) -> Result<(), String> {
        *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) = stamps(&self.files);
        let loaded = Arc::new(load(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Looks at the files until `stop`, reads them again when they changed, and warns before they expire.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut warned = None;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if stamps(&self.files) != *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) {
                match self.reload() {
                    Ok(()) => tracing::info!("the certificate was read again"),
                    Err(reason) => tracing::error!(reason, "the new certificate can't be used; the former one stays"),
                }
            }
            if warned.is_none_or(|at: tokio::time::Instant| at.elapsed() >= WARN_EVERY) {
                warned = Some(tokio::time::Instant::now());
                let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
                if let Some(days) = current
                    .cert
                    .first()
                    .and_then(|der| parse(der).ok())
                    .map(|found| days_left(&found))
                    && days < WARN_DAYS
                {
                    tracing::warn!(days, "the certificate expires soon: renew it");
                }
            }
        }
    }
}

impl ResolvesServerCert for FileCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    [&files.certificate_file, &files.key_file].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn load(files: &TlsFiles) -> Result<CertifiedKey, String> {
    let chain = chain(&files.certificate_file)?;
    let key_file = files.key_file.display();
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|error| format!("no private key can be read from {key_file}: {}", reason(&error)))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!(
                "{key_file} is not the key of the certificate in {}",
                files.certificate_file.display()
            )
        }
        error => format!("the key in {key_file} can't be used: {error}"),
    })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error| format!("no certificate can be read from {}: {}", path.display(), reason(&error));
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(chain)
}

/// In our own words, as the error's may quote the file.
fn reason(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "there is none in it".to_owned(),
        _ => "it is not in PEM format".to_owned(),
    }
}

/// Reads both files as the server would, and says what the certificate is.
pub(crate) fn inspect(files: &TlsFiles) -> Result<Certificate, String> {
    let loaded = load(files)?;
    let first = loaded.cert.first().ok_or("there is no certificate")?;
    parse(first)
}

/// What the certificate in a file that an ACME authority's answer was kept in is, and whether its key is there.
pub(crate) fn inspect_kept(path: &Path) -> Result<Certificate, String> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| format!("no private key can be read from {}: {}", path.display(), reason(&error)))?;
    parse(chain(path)?.first().ok_or("there is no certificate")?)
}

fn parse(der: &CertificateDer<'_>) -> Result<Certificate, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| "the certificate is no X.509 certificate".to_owned())?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    Ok(Certificate {
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        names: names
            .filter_map(|name| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => {
                    Some(name.chars().filter(|c| c.is_ascii_graphic()).collect())
                }
                _ => None,
            })
            .collect(),
    })
}

/// Whole days until it expires; negative if it has.
pub(crate) fn days_left(certificate: &Certificate) -> i64 {
    let now = i64::try_from(Clock::system().now_ms() / 1000).unwrap_or(i64::MAX);
    (certificate.not_after - now).div_euclid(24 * 3600)
}
