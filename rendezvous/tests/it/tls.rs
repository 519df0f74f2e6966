//! https by the server itself: certificates from files, read again when they change, and from an ACME authority.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Serving, fails_with, on, run, serve, succeeds};

/// A certificate of its own authority: chain and key in PEM.
fn certificate(names: &[&str], days: i64) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let today = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        / 86_400;
    let (year, month, day) = date(today as i64 + days);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Near enough for a test.
fn date(days: i64) -> (i32, u8, u8) {
    let mut year = 1970;
    let mut rest = days;
    let length = |year: i32| {
        if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) {
            366
        } else {
            365
        }
    };
    while rest >= length(year) {
        rest -= length(year);
        year += 1;
    }
    let mut month = 1;
    for (at, of_month) in [31, length(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        .into_iter()
        .enumerate()
    {
        month = at as u8 + 1;
        if rest < of_month {
            break;
        }
        rest -= of_month;
    }
    (year, month, rest as u8 + 1)
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new((chain, key): &(String, String)) -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.put(chain, key);
        files
    }

    fn put(&self, chain: &str, key: &str) {
        // As renewal does it: whole files take the place of the former ones.
        for (name, text) in [("key.pem", key), ("chain.pem", chain)] {
            let aside = self.folder.path().join("new");
            std::fs::write(&aside, text).unwrap();
            std::fs::set_permissions(&aside, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::rename(&aside, self.folder.path().join(name)).unwrap();
        }
    }

    fn flags(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        vec![
            "--tls-certificate-file".to_owned(),
            path("chain.pem"),
            "--tls-key-file".to_owned(),
            path("key.pem"),
        ]
    }
}

fn start(data: &Path, files: &Files, more: &[&str]) -> Serving {
    let flags = files.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Serving::start(data, &flags)
}

/// Whether a client that trusts only this root gets an answer over https.
async fn answers(address: &str, name: &str, root: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let Ok(mut stream) = connector.connect(name, stream).await else {
        return false;
    };
    stream
        .write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 404")
}

async fn until_answers(address: &str, name: &str, root: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !answers(address, name, root).await {
        assert!(Instant::now() < end, "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_and_changed_certificates_are_read_again() {
    let data = tempfile::tempdir().unwrap();
    let (first, second, third) = (
        certificate(&["rooms.example.org"], 90),
        certificate(&["rooms.example.org"], 90),
        certificate(&["rooms.example.org"], 90),
    );
    let files = Files::new(&first);
    let serving = start(data.path(), &files, &["--limits-header-timeout", "1s"]);
    assert_eq!(serving.scheme, "https");
    let address = serving.address.clone();
    assert!(answers(&address, "rooms.example.org", &first.0).await);
    assert!(
        !answers(&address, "rooms.example.org", &second.0).await,
        "it serves its own"
    );
    // What is no TLS, or says nothing, is closed.
    for bytes in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"", b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok() && !answer.starts_with(b"HTTP"), "{bytes:?}");
    }
    // By themselves.
    files.put(&second.0, &second.1);
    until_answers(&address, "rooms.example.org", &second.0).await;
    // A pair that does not fit leaves the former in place, and is told.
    files.put(&third.0, &first.1);
    serving.wait_for_log("the new certificate can't be used");
    assert!(answers(&address, "rooms.example.org", &second.0).await);
    // At once, by SIGHUP.
    files.put(&third.0, &third.1);
    serving.signal(rustix::process::Signal::HUP);
    until_answers(&address, "rooms.example.org", &third.0).await;
    let log = serving.stop();
    assert!(!log.contains("PRIVATE KEY") && !log.contains("127.0.0.1:5"), "{log}");
}

#[test]
fn files_that_are_no_certificate_are_refused_and_the_doctor_knows_when_one_expires() {
    let data = tempfile::tempdir().unwrap();
    let (good, other) = (certificate(&["a.example"], 90), certificate(&["a.example"], 90));
    for (chain, key, why) in [
        (&good.0, &other.1, "is not the key of the certificate"),
        (&good.0, &good.0, "no private key can be read"),
        (&good.1, &good.1, "holds no certificate"),
        (&String::new(), &good.1, "holds no certificate"),
    ] {
        let files = Files::new(&(chain.clone(), key.clone()));
        fails_with(serve(data.path(), &[]).args(files.flags()), 1, why);
    }
    let missing = Files::new(&good);
    std::fs::remove_file(missing.folder.path().join("key.pem")).unwrap();
    fails_with(serve(data.path(), &[]).args(missing.flags()), 1, "key.pem");
    for (days, status, expected) in [
        (90, 0, "ok    certificate: for a.example"),
        (10, 0, "warn  certificate"),
        (-3, 1, "it has expired"),
    ] {
        let files = Files::new(&certificate(&["a.example"], days));
        let (code, found, _) = run(on(
            data.path(),
            &["doctor", "--listen", "127.0.0.1:0", "--admin-listen", "none"],
        )
        .args(files.flags()));
        assert!(code == Some(status) && found.contains(expected), "{expected}\n{found}");
        assert!(!found.contains("every account"), "{found}");
    }
    let open = Files::new(&good);
    let key = open.folder.path().join("key.pem");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, found, _) = run(on(
        data.path(),
        &["doctor", "--listen", "127.0.0.1:0", "--admin-listen", "none"],
    )
    .args(open.flags()));
    let expected = format!("every account of this machine can read {}", key.display());
    assert!(code == Some(0) && found.contains(&expected), "{found}");
}

/// The doctor reads what an authority gave as the server would: that a file is there says little.
#[test]
fn the_doctor_looks_into_a_kept_certificate() {
    let data = tempfile::tempdir().unwrap();
    let cache = data.path().join("acme");
    std::fs::create_dir(&cache).unwrap();
    let flags = [
        "doctor",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "none",
        "--acme-domains",
        "a.example",
    ];
    let with_key = |days| {
        let (chain, key) = certificate(&["a.example"], days);
        key + &chain
    };
    for (kept, status, expected) in [
        (None, 0, "none yet for a.example"),
        (Some("no certificate".to_owned()), 1, "FAIL  certificate"),
        (Some(certificate(&["a.example"], 90).0), 1, "no private key can be read"),
        (Some(with_key(-3)), 1, "could not renew it"),
        (Some(with_key(10)), 0, "warn  certificate: kept in"),
        (Some(with_key(80)), 0, "ok    certificate: kept in"),
    ] {
        if let Some(kept) = kept {
            std::fs::write(cache.join("cached_cert_x"), kept).unwrap();
        }
        let (code, found, _) = run(&mut on(data.path(), &flags));
        assert!(code == Some(status) && found.contains(expected), "{expected}\n{found}");
    }
}

/// A local ACME authority, by pebble; stopped by its drop.
struct Pebble {
    child: Child,
    folder: tempfile::TempDir,
    directory: String,
    root: String,
}

impl Pebble {
    /// One that validates on this port, or nothing if there is no pebble.
    fn start(tls_port: u16) -> Option<Self> {
        let named = std::env::var_os("PEBBLE").map(PathBuf::from);
        let program = named.or_else(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path)
                .map(|folder| folder.join("pebble"))
                .find(|file| file.is_file())
        });
        let Some(program) = program else {
            eprintln!("SKIPPED, no pebble in PEBBLE or on the PATH (Debian has it as a package)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = certificate(&["localhost"], 90);
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("chain.pem"), &chain).unwrap();
        std::fs::write(path("key.pem"), key).unwrap();
        let (port, management) = (free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("chain.pem"),
            "privateKey": path("key.pem"),
            "httpPort": free_port(),
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        } });
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        let child = Command::new(program)
            .arg("-config")
            .arg(path("pebble.json"))
            .env_clear()
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pebble = Self {
            child,
            folder,
            directory: format!("https://localhost:{port}/dir"),
            root: String::new(),
        };
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", management)).is_err() {
            assert!(
                Instant::now() < end && pebble.child.try_wait().unwrap().is_none(),
                "pebble does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        pebble.root = https_get(management, "/roots/0", &chain);
        Some(pebble)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The body of an answer over https.
fn https_get(port: u16, path: &str, root: &str) -> String {
    use std::io::Write;

    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_got_from_an_acme_authority_and_kept() {
    let port = free_port();
    let Some(pebble) = Pebble::start(port) else { return };
    let data = tempfile::tempdir().unwrap();
    let ca = pebble.folder.path().join("chain.pem").display().to_string();
    let directory = pebble.directory.clone();
    let listen = format!("127.0.0.1:{port}");
    let flags = [
        "--listen",
        &listen,
        "--acme-domains",
        "localhost",
        "--acme-directory",
        &directory,
        "--acme-ca-file",
        &ca,
        "--acme-contact",
        "host@example.org",
    ];
    let serving = Serving::start(data.path(), &flags);
    serving.wait_for_log("a new certificate is served");
    assert!(answers(&listen, "localhost", &pebble.root).await);
    serving.stop();
    let kept = std::fs::read_dir(data.path().join("acme")).unwrap().count();
    assert_eq!(kept, 2, "an account and a certificate");
    // The next start asks nobody: the authority is gone.
    let root = pebble.root.clone();
    std::fs::copy(&ca, data.path().join("ca.pem")).unwrap();
    let ca = data.path().join("ca.pem").display().to_string();
    drop(pebble);
    let mut flags = flags;
    flags[7] = &ca;
    let serving = Serving::start(data.path(), &flags);
    serving.wait_for_log("the certificate that was kept is served");
    assert!(answers(&listen, "localhost", &root).await);
    let doctor = succeeds(on(data.path(), &["doctor"]).args(flags));
    assert!(
        doctor.contains("ok    certificate: kept in") && doctor.contains("port 443"),
        "{doctor}"
    );
    let log = serving.stop();
    assert!(!log.contains("example.org"), "{log}");
}
