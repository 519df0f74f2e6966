//! The table itself. A new setting is one entry here, and a field of [`Config`](crate::Config).

use std::path::Path;

use super::values::{address, duration, network, number, one, path, switch, written};
use super::{AdminListen, Kind, RegistrationMode, Setting};
use crate::config::{Acme, StoreSpec};
use crate::relay::{RelayListen, parse_listen};

/// Shared by entries that say nothing else.
const PLAIN: Setting = Setting {
    key: "",
    kind: Kind::Text,
    value_name: "TEXT",
    help: "",
    default: "",
    example: "",
    reloads: false,
    secret: false,
    set: |_, _, _| Ok(()),
    show: |_| Vec::new(),
};

/// A number of `Limits`.
macro_rules! limit {
    ($field:ident, $least:literal ..= $most:literal, $help:literal) => {
        Setting {
            key: concat!("limits.", stringify!($field)),
            kind: Kind::Number,
            value_name: "N",
            help: $help,
            reloads: true,
            set: |draft, values, _| {
                draft.config().limits.$field = number(one(values)?, $least, $most)?;
                Ok(())
            },
            show: |draft| vec![draft.peek(|config| config.limits.$field.to_string())],
            ..PLAIN
        }
    };
}

/// A time of `Limits`.
macro_rules! time {
    ($field:ident, $help:literal) => {
        Setting {
            key: concat!("limits.", stringify!($field)),
            value_name: "TIME",
            help: $help,
            reloads: true,
            set: |draft, values, _| {
                draft.config().limits.$field = duration(one(values)?)?;
                Ok(())
            },
            show: |draft| vec![draft.peek(|config| written(config.limits.$field))],
            ..PLAIN
        }
    };
}

/// A number of `RelayLimits`.
macro_rules! relay_limit {
    ($field:ident, $least:literal ..= $most:literal, $help:literal) => {
        Setting {
            key: concat!("relay.", stringify!($field)),
            kind: Kind::Number,
            value_name: "N",
            help: $help,
            set: |draft, values, _| {
                draft.config().relay.limits.$field = number(one(values)?, $least, $most)?;
                Ok(())
            },
            show: |draft| vec![draft.peek(|config| config.relay.limits.$field.to_string())],
            ..PLAIN
        }
    };
}

/// A switch somewhere in `Config`.
macro_rules! flip {
    ($key:literal, $($field:ident).+, $help:literal) => {
        Setting {
            key: $key,
            kind: Kind::Switch,
            value_name: "BOOL",
            help: $help,
            reloads: true,
            set: |draft, values, _| {
                draft.config().$($field).+ = switch(one(values)?)?;
                Ok(())
            },
            show: |draft| vec![draft.peek(|config| config.$($field).+.to_string())],
            ..PLAIN
        }
    };
}

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "listen",
        value_name: "ADDR",
        help: "Address to serve on; port 0 picks a free one. [::]:7070 is every address of this machine.",
        set: |draft, values, _| {
            draft.config().listen = address(one(values)?)?;
            Ok(())
        },
        show: |draft| vec![draft.peek(|config| config.listen.to_string())],
        ..PLAIN
    },
    Setting {
        key: "admin_listen",
        value_name: "ADDR",
        help: "Loopback address for /health/live, /health/ready and /metrics; \"none\" for nowhere.",
        default: "127.0.0.1:7071, if it is free",
        example: "\"127.0.0.1:7071\"",
        set: |draft, values, _| {
            draft.admin_listen = match one(values)? {
                "none" => AdminListen::Nowhere,
                text => AdminListen::At(loopback(text)?),
            };
            Ok(())
        },
        show: |draft| match draft.admin_listen {
            AdminListen::IfFree => Vec::new(),
            AdminListen::Nowhere => vec!["none".to_owned()],
            AdminListen::At(address) => vec![address.to_string()],
        },
        ..PLAIN
    },
    Setting {
        key: "store",
        value_name: "STORE",
        help: "Where rooms are kept: redb:PATH, one file for one server; or mongodb://…, for many servers. With a password \
               in it, better from the environment or a file that only the server can read than from the command line, which \
               others on the machine can see.",
        default: "redb:rooms.redb in the data folder",
        example: "\"mongodb://snug@db1,db2,db3/snug?replicaSet=rs0\"",
        secret: true,
        set: |draft, values, base| {
            let spec: StoreSpec = one(values)?.parse().map_err(|error| format!("{error}"))?;
            draft.config().store = Some(match spec {
                StoreSpec::Redb(path) => StoreSpec::Redb(base.join(path)),
                mongo @ StoreSpec::Mongo(_) => mongo,
            });
            Ok(())
        },
        show: |draft| draft.peek(|config| config.store.iter().map(StoreSpec::redacted).collect()),
        ..PLAIN
    },
    Setting {
        key: "data_dir",
        value_name: "DIR",
        help: "The server's own folder, made if missing.",
        default: "$XDG_DATA_HOME/snug-rendezvous",
        example: "\"/var/lib/snug-rendezvous\"",
        set: |draft, values, base| {
            draft.data_dir = Some(path(one(values)?, base)?);
            Ok(())
        },
        show: |draft| shown(draft.data_dir.as_deref()),
        ..PLAIN
    },
    Setting {
        key: "server_key_file",
        value_name: "FILE",
        help: "The server key's file, made if missing. Without it no room in the store can be reached again.",
        default: "server.key in the data folder",
        example: "\"/etc/snug-rendezvous/server.key\"",
        set: |draft, values, base| {
            draft.config().server_key_file = Some(path(one(values)?, base)?);
            Ok(())
        },
        show: |draft| draft.peek(|config| shown(config.server_key_file.as_deref())),
        ..PLAIN
    },
    Setting {
        key: "registration",
        value_name: "WHO",
        help: "Who may make rooms: open (anybody), closed (nobody), or token (whoever has one of registration_token_file). It \
               does not hold for entering rooms.",
        reloads: true,
        set: |draft, values, _| {
            draft.registration = match one(values)? {
                "open" => RegistrationMode::Open,
                "closed" => RegistrationMode::Closed,
                "token" => RegistrationMode::Token,
                other => return Err(format!("{other:?} is none of open, closed, token")),
            };
            Ok(())
        },
        show: |draft| {
            let mode = match draft.registration {
                RegistrationMode::Open => "open",
                RegistrationMode::Closed => "closed",
                RegistrationMode::Token => "token",
            };
            vec![mode.to_owned()]
        },
        ..PLAIN
    },
    Setting {
        key: "registration_token_file",
        value_name: "FILE",
        help: "Tokens for registration = \"token\", one a line; lines that begin with # don't count. Not readable by everybody.",
        default: "none",
        example: "\"registration-tokens\"",
        reloads: true,
        set: |draft, values, base| {
            draft.token_file = Some(path(one(values)?, base)?);
            Ok(())
        },
        show: |draft| shown(draft.token_file.as_deref()),
        ..PLAIN
    },
    flip!(
        "insecure_registration",
        insecure_registration,
        "Let rooms be registered over plain http from other machines, although whoever listens on the way could take them over."
    ),
    Setting {
        key: "trusted_proxies",
        kind: Kind::List,
        value_name: "NETS",
        help: "Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; limits then hold for \
               the address that the proxy names. Nobody else's are read.",
        reloads: true,
        set: |draft, values, _| {
            draft.config().trusted_proxies = values.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |draft| draft.peek(|config| config.trusted_proxies.iter().map(ToString::to_string).collect()),
        ..PLAIN
    },
    Setting {
        key: "idle_room_days",
        kind: Kind::Number,
        value_name: "DAYS",
        help: "Remove rooms that nobody has entered for this many days, at least 7; 0 is never. Their members are told. While \
               it is 0, no time of use is stored.",
        reloads: true,
        set: |draft, values, _| {
            let days: u32 = number(one(values)?, 0, 36_500)?;
            if (1..7).contains(&days) {
                return Err("rooms need 7 days at least: a holiday is no sign of death".to_owned());
            }
            draft.config().idle_room_days = days;
            Ok(())
        },
        show: |draft| vec![draft.peek(|config| config.idle_room_days.to_string())],
        ..PLAIN
    },
    Setting {
        key: "tls.certificate_file",
        value_name: "FILE",
        help: "The certificate chain, PEM, the server's own certificate first.",
        default: "none",
        example: "\"/etc/letsencrypt/live/rooms.example.org/fullchain.pem\"",
        set: |draft, values, base| {
            draft.certificate_file = Some(path(one(values)?, base)?);
            Ok(())
        },
        show: |draft| shown(draft.certificate_file.as_deref()),
        ..PLAIN
    },
    Setting {
        key: "tls.key_file",
        value_name: "FILE",
        help: "Its private key, PEM.",
        default: "none",
        example: "\"/etc/letsencrypt/live/rooms.example.org/privkey.pem\"",
        set: |draft, values, base| {
            draft.key_file = Some(path(one(values)?, base)?);
            Ok(())
        },
        show: |draft| shown(draft.key_file.as_deref()),
        ..PLAIN
    },
    Setting {
        key: "acme.domains",
        kind: Kind::List,
        value_name: "NAMES",
        help: "The names to get a certificate for; naming one switches ACME on. You agree to the authority's terms with it.",
        set: |draft, values, _| {
            for name in values {
                let label = |label: &str| {
                    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                };
                if !name.split('.').all(label) || name.len() > 253 {
                    return Err(format!(
                        "{name:?} is no domain name (no wildcards: the challenge can't prove them)"
                    ));
                }
            }
            draft.acme().domains = values.to_vec();
            Ok(())
        },
        show: |draft| draft.acme.iter().flat_map(|acme| acme.domains.clone()).collect(),
        ..PLAIN
    },
    Setting {
        key: "acme.contact",
        value_name: "EMAIL",
        help: "Where the authority may write to when something is wrong with a certificate.",
        default: "none",
        example: "\"host@example.org\"",
        set: |draft, values, _| {
            let contact = one(values)?;
            if !contact.is_empty() && !contact.contains('@') {
                return Err(format!("{contact:?} is no mail address"));
            }
            draft.acme().contact = contact.trim_start_matches("mailto:").to_owned();
            Ok(())
        },
        show: |draft| {
            let contact = draft.acme.iter().map(|acme| acme.contact.clone());
            contact.filter(|contact| !contact.is_empty()).collect()
        },
        ..PLAIN
    },
    Setting {
        key: "acme.directory",
        value_name: "URL",
        help: "The authority: letsencrypt, staging (its test authority, whose certificates nobody trusts), or a directory URL.",
        set: |draft, values, _| {
            draft.acme().directory = match one(values)? {
                "letsencrypt" => Acme::LETS_ENCRYPT.to_owned(),
                "staging" => Acme::LETS_ENCRYPT_STAGING.to_owned(),
                url if url.starts_with("https://") => url.to_owned(),
                other => {
                    return Err(format!(
                        "{other:?} is neither letsencrypt nor staging, and no https:// URL"
                    ));
                }
            };
            Ok(())
        },
        show: |draft| {
            let name = match draft.acme.as_ref().map(|acme| acme.directory.as_str()) {
                None | Some(Acme::LETS_ENCRYPT) => "letsencrypt",
                Some(Acme::LETS_ENCRYPT_STAGING) => "staging",
                Some(url) => url,
            };
            vec![name.to_owned()]
        },
        ..PLAIN
    },
    Setting {
        key: "acme.ca_file",
        value_name: "FILE",
        help: "Roots, PEM, that the authority's own https is checked against, for an authority of your own.",
        default: "the public ones",
        example: "\"/etc/ssl/our-ca.pem\"",
        set: |draft, values, base| {
            draft.acme().ca_file = Some(path(one(values)?, base)?);
            Ok(())
        },
        show: |draft| shown(draft.acme.as_ref().and_then(|acme| acme.ca_file.as_deref())),
        ..PLAIN
    },
    Setting {
        key: "acme.cache_dir",
        value_name: "DIR",
        help: "Where the account and the certificates are kept, with their keys.",
        default: "acme in the data folder",
        example: "\"/var/lib/snug-rendezvous/acme\"",
        set: |draft, values, base| {
            draft.acme().cache_dir = Some(path(one(values)?, base)?);
            Ok(())
        },
        show: |draft| shown(draft.acme.as_ref().and_then(|acme| acme.cache_dir.as_deref())),
        ..PLAIN
    },
    Setting {
        key: "relay.listen",
        kind: Kind::List,
        value_name: "MULTIADDRS",
        help: "Where the relay listens: [::]:7072 for TCP and QUIC, or multiaddrs like /ip4/0.0.0.0/udp/7072/quic-v1; \"none\" for \
               no relay.",
        default: "port 7072 of the address that `listen` names, unless that is loopback or the port is taken",
        example: "[\"[::]:7072\"]",
        set: |draft, values, _| {
            draft.config().relay.listen = match values {
                [none] if none == "none" => RelayListen::Nowhere,
                values => {
                    let parsed: Result<Vec<_>, _> = values.iter().map(|text| parse_listen(text)).collect();
                    let addresses: Vec<_> = parsed?.into_iter().flatten().collect();
                    if addresses.is_empty() || addresses.len() > 8 {
                        return Err("one to eight addresses belong here, or none".to_owned());
                    }
                    RelayListen::At(addresses)
                }
            };
            Ok(())
        },
        show: |draft| {
            draft.peek(|config| match &config.relay.listen {
                RelayListen::IfPublic => Vec::new(),
                RelayListen::Nowhere => vec!["none".to_owned()],
                RelayListen::At(addresses) => addresses.iter().map(ToString::to_string).collect(),
            })
        },
        ..PLAIN
    },
    Setting {
        key: "relay.external",
        kind: Kind::List,
        value_name: "ADDRESSES",
        help: "Where the world reaches the relay, if that is not the host that members reach this server at: IP addresses, for all its \
               ports, or multiaddrs. Each instance behind a balancer needs its own.",
        set: |draft, values, _| {
            draft.config().relay.external = values.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |draft| draft.peek(|config| config.relay.external.iter().map(ToString::to_string).collect()),
        ..PLAIN
    },
    relay_limit!(
        reservations,
        1..=1_000_000,
        "Members that may be called through it at once; each is a connection that stays."
    ),
    relay_limit!(
        connections_per_address,
        1..=1_000_000,
        "Connections at once from one address."
    ),
    relay_limit!(
        circuits,
        1..=1_000_000,
        "Pairs of members that may be connected through it at once."
    ),
    relay_limit!(circuits_per_member, 1..=1_000, "Of those, with one member at an end."),
    relay_limit!(
        circuit_bytes,
        65_536..=1_000_000_000_000,
        "Bytes that one circuit may carry; then its members make another."
    ),
    Setting {
        key: "relay.circuit_duration",
        value_name: "TIME",
        help: "How long one circuit may last; then its members make another.",
        set: |draft, values, _| {
            draft.config().relay.limits.circuit_duration = duration(one(values)?)?;
            Ok(())
        },
        show: |draft| vec![draft.peek(|config| written(config.relay.limits.circuit_duration))],
        ..PLAIN
    },
    limit!(
        connections,
        16..=1_000_000,
        "Connections at once; fewer if the system allows the process fewer files. When they are all taken, the oldest that has not asked anything makes room, or the longest idle one of the address that holds most."
    ),
    limit!(
        connections_per_address,
        1..=1_000_000,
        "Connections at once from one address; trusted proxies have no such limit."
    ),
    time!(header_timeout, "A TLS handshake, and a request's header."),
    time!(request_timeout, "A request's body and the answer to it."),
    time!(write_timeout, "How long a client may refuse to take an answer."),
    time!(
        shutdown_grace,
        "How long requests in flight may take once the server is told to stop."
    ),
    limit!(
        requests_per_second,
        1..=1_000_000,
        "Requests of an address in a second, in the long run."
    ),
    limit!(request_burst, 1..=1_000_000, "Requests of an address at once."),
    limit!(
        room_requests_per_second,
        1..=1_000_000,
        "Requests of a room's members together in a second, in the long run. 1,000 members make 35."
    ),
    limit!(
        room_request_burst,
        1..=1_000_000,
        "Requests of a room's members at once."
    ),
    limit!(
        logins_per_minute,
        1..=1_000_000,
        "Logins an address may start in a minute, in the long run."
    ),
    limit!(login_burst, 1..=1_000_000, "Logins an address may start at once."),
    limit!(
        registrations_per_hour,
        1..=1_000_000,
        "Rooms an address may make in an hour."
    ),
    limit!(
        registrations_per_day,
        1..=1_000_000,
        "Rooms an address may make in a day."
    ),
    limit!(
        unfinished_logins,
        1..=100_000,
        "Logins of a room in 24 hours that are started and not finished; what slows down guessing. Shared by all servers on a store."
    ),
    flip!(
        "limits.limit_loopback",
        limits.limit_loopback,
        "Whether limits hold for programs on this machine, too."
    ),
    Setting {
        key: "log.format",
        value_name: "FORMAT",
        help: "text, or json: one object a line.",
        set: |draft, values, _| {
            draft.config().log.json = match one(values)? {
                "text" => false,
                "json" => true,
                other => return Err(format!("{other:?} is neither text nor json")),
            };
            Ok(())
        },
        show: |draft| {
            vec![
                if draft.peek(|config| config.log.json) {
                    "json"
                } else {
                    "text"
                }
                .to_owned(),
            ]
        },
        ..PLAIN
    },
    flip!(
        "log.requests",
        log.requests,
        "Log each request: method, kind of path, status, time. --verbose says the same."
    ),
    flip!(
        "log.danger_clients",
        log.danger_clients,
        "DANGER, personal data: log with each request the client's address and what the store calls the room. To find out who attacks, for an hour; it needs log.requests, too."
    ),
];

fn shown(path: Option<&Path>) -> Vec<String> {
    path.iter().map(|path| path.display().to_string()).collect()
}

fn loopback(text: &str) -> Result<std::net::SocketAddr, String> {
    let address = address(text)?;
    if address.ip().to_canonical().is_loopback() {
        Ok(address)
    } else {
        Err(format!(
            "{address} is no loopback address, and health is nobody else's business: write 127.0.0.1:7071"
        ))
    }
}
