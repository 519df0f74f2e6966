//! Ports, certificates, sockets.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::TcpListener;

use super::Finding;
use crate::config::Config;
use crate::control::Status;
use crate::http::{Certificate, days_left, inspect, inspect_kept};

/// Fewer days than this, and renewal has failed before: authorities renew with 30 days left.
const DAYS_WARN: i64 = 21;

pub(super) async fn ports(config: &Config, running: Option<&Status>) -> Vec<Finding> {
    let mut findings = vec![port("port", config.listen, running.map(|status| status.listen)).await];
    if let Some(address) = config.admin_listen {
        findings.push(port("admin port", address, running.and_then(|status| status.admin_listen)).await);
    }
    let public = !config.listen.ip().to_canonical().is_loopback();
    findings.push(if config.serves_tls() {
        Finding::ok("transport", "https")
    } else if public && config.trusted_proxies.is_empty() {
        Finding::warning(
            "transport",
            "plain http for others, without a proxy",
            "set [tls] or [acme], or put a proxy before it, listen on 127.0.0.1 and name the proxy in trusted_proxies",
        )
    } else if config.trusted_proxies.is_empty() {
        Finding::ok(
            "transport",
            "plain http on this machine; if a proxy stands before it, name it in trusted_proxies, or no limit holds for anybody",
        )
    } else {
        let proxies: Vec<_> = config.trusted_proxies.iter().map(ToString::to_string).collect();
        Finding::ok("transport", format!("plain http behind the proxies {}", proxies.join(", ")))
    });
    if config.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        findings.push(Finding::warning(
            "proxies",
            "everybody is trusted as a proxy: anybody can name any address, and no limit of an address holds",
            "name the proxy's own address in trusted_proxies",
        ));
    }
    findings
}

async fn port(check: &'static str, wanted: SocketAddr, ours: Option<SocketAddr>) -> Finding {
    if wanted.port() == 0 {
        return Finding::ok(check, format!("any free one on {}", wanted.ip()));
    }
    if ours == Some(wanted) {
        return Finding::ok(check, format!("{wanted} is the running server's"));
    }
    match TcpListener::bind(wanted).await {
        Ok(_) => Finding::ok(check, format!("{wanted} is free")),
        Err(error) => Finding::failed(
            check,
            format!("{wanted}: {error}"),
            match error.kind() {
                std::io::ErrorKind::AddrInUse => "stop what uses it (ss -ltnp shows it), or listen elsewhere",
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need CAP_NET_BIND_SERVICE: see \"On port 443\" in docs/OPERATIONS.md"
                }
                _ => "name an address of this machine",
            },
        ),
    }
}

pub(super) fn tls(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "certificate";
    if let Some(files) = &config.tls {
        let readable = readable_for_others(&files.key_file);
        let certificate = match inspect(files) {
            Err(reason) => Finding::failed(
                CHECK,
                reason,
                "put the files right; the server account must be able to read them",
            ),
            Ok(certificate) => lifetime(CHECK, &certificate),
        };
        return std::iter::once(certificate).chain(readable).collect();
    }
    let Some(acme) = &config.acme else { return Vec::new() };
    let cache = acme.cache_dir.clone().unwrap_or_else(|| config.data_dir.join("acme"));
    let mut findings = vec![kept(CHECK, &cache, &acme.domains)];
    if config.listen.port() != 443 {
        findings.push(Finding::warning(
            "ACME",
            format!(
                "the authority comes to port 443, and the server listens on {}",
                config.listen.port()
            ),
            "lead port 443 to it (a port forward, or listen = \"[::]:443\")",
        ));
    }
    findings
}

/// A key that every account of the machine can read is nobody's.
fn readable_for_others(key_file: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(key_file).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| {
        let shown = key_file.display();
        Finding::warning(
            "certificate's key",
            format!(
                "every account of this machine can read {shown} (mode {:04o})",
                mode & 0o7777
            ),
            format!("chmod 600 {shown}, and give it to the server's account or a group of its own"),
        )
    })
}

/// The newest of the certificates that an ACME authority gave, as the server will read it.
fn kept(check: &'static str, cache: &Path, domains: &[String]) -> Finding {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let newest = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("cached_cert"))
        .max_by_key(|entry| entry.metadata().and_then(|found| found.modified()).ok());
    let Some(newest) = newest else {
        return Finding::warning(
            check,
            format!("none yet for {}", domains.join(", ")),
            "start the server and watch its log: it gets one within a minute",
        );
    };
    match inspect_kept(&newest.path()) {
        Err(reason) => Finding::failed(
            check,
            reason,
            "remove that file and start the server anew: it gets another",
        ),
        Ok(certificate) if days_left(&certificate) < 0 => Finding {
            todo: Some("the server could not renew it: its log says why".to_owned()),
            ..lifetime(check, &certificate)
        },
        Ok(certificate) => {
            let finding = lifetime(check, &certificate);
            let found = format!("kept in {}, {}", cache.display(), finding.found);
            Finding { found, ..finding }
        }
    }
}

fn lifetime(check: &'static str, certificate: &Certificate) -> Finding {
    let days = days_left(certificate);
    let found = format!("for {}, {days} days left", certificate.names.join(", "));
    let now = i64::try_from(crate::clock::Clock::system().now_ms() / 1000).unwrap_or(i64::MAX);
    if certificate.not_before > now {
        Finding::failed(check, format!("{found}; it is not valid yet"), "set the clock, or wait")
    } else if days < 0 {
        Finding::failed(check, found, "it has expired: renew it")
    } else if days < DAYS_WARN {
        Finding::warning(
            check,
            found,
            "renew it; the server reads the new one by itself, unless its unit hands it a copy: then restart it",
        )
    } else {
        Finding::ok(check, found)
    }
}

pub(super) fn open_files(config: &Config) -> Finding {
    const CHECK: &str = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .maximum
        .unwrap_or(u64::MAX);
    let wanted = config.limits.connections as u64 + 64;
    if limit >= wanted {
        Finding::ok(CHECK, format!("{} connections fit", config.limits.connections))
    } else {
        Finding::warning(
            CHECK,
            format!(
                "the system allows this account {limit} open files, so {} connections",
                limit.saturating_sub(64)
            ),
            format!("LimitNOFILE={wanted} in the unit, or ulimit -n"),
        )
    }
}
