//! What the server counts, as OpenMetrics text at `/metrics` on the admin port. No label names a room, an address or a token:
//! the labels' values are all written here, or are routes and statuses.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::http::Counters;
use crate::relay::{self, RelayCounters};
use crate::store::{Counts, Observer};

/// The media type of OpenMetrics 1.0.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: from a read in memory to the store's time-out.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0];

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<OfRequest, Counter>,
    durations: Family<OfRoute, Histogram, fn() -> Histogram>,
    logins: Family<OfLogin, Counter>,
    changes: Counter,
    store: Family<OfStore, Histogram, fn() -> Histogram>,
    connections: Family<OfConnection, Counter>,
    open: Gauge<u64, AtomicU64>,
    rooms: Stored,
    sessions: Stored,
    presence: Stored,
    relay: OfRelay,
}

/// What the relay counts; left out where there is none.
#[derive(Default)]
struct OfRelay {
    connections: Stored,
    reservations: Stored,
    circuits: Stored,
    reservation_outcomes: Family<OfOutcome, Counter>,
    circuit_outcomes: Family<OfOutcome, Counter>,
    bytes: Family<OfDirection, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDirection {
    direction: &'static str,
}

/// A number of the store's or the relay's, which is left out while that doesn't say it.
type Stored = Family<Vec<(String, String)>, Gauge<u64, AtomicU64>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLogin {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConnection {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStore {
    operation: &'static str,
    failed: &'static str,
}

/// What became of a login, or of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// A start was answered. Those that no other outcome follows were not finished.
    Started,
    /// It earned a session.
    Session,
    /// It proved a former Room Key.
    Superseded,
    /// Its room is deleted.
    Gone,
    /// It proved nothing, or too late, or again.
    Refused,
    /// Its room had no starts left.
    TooMany,
}

/// The words for [`Login`]'s variants, in their order.
const OUTCOMES: [&str; 6] = ["started", "session", "superseded", "gone", "refused", "too_many"];

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("snug_rendezvous")),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            logins: Family::default(),
            changes: Counter::default(),
            store: Family::new_with_constructor(histogram),
            connections: Family::default(),
            open: Gauge::default(),
            rooms: Stored::default(),
            sessions: Stored::default(),
            presence: Stored::default(),
            relay: OfRelay::default(),
        };
        metrics.register();
        // All there from the start: what appears with its first count has not increased by it.
        for outcome in OUTCOMES {
            drop(metrics.logins.get_or_create(&OfLogin { outcome }));
        }
        metrics
    }
}

impl Metrics {
    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        registry.register(
            "requests",
            "Requests answered, by method, route and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From a request's head to its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("logins", "Logins, by what became of them", self.logins.clone());
        registry.register("room_changes", "New Room Keys and Passwords", self.changes.clone());
        registry.register_with_unit(
            "store_duration",
            "Operations of the store",
            Unit::Seconds,
            self.store.clone(),
        );
        registry.register(
            "connections",
            "Connections, by what became of them",
            self.connections.clone(),
        );
        registry.register("connections_open", "Connections open now", self.open.clone());
        registry.register(
            "rooms",
            "Rooms in the store, deleted ones for 30 days",
            self.rooms.clone(),
        );
        registry.register("sessions", "Live tokens in the store", self.sessions.clone());
        registry.register("presence", "Presence records in the store", self.presence.clone());
        self.relay.register(&mut registry);
    }

    /// A request was answered.
    pub fn request(&self, method: &http::Method, route: Option<&str>, status: u16, took: Duration) {
        let route = route.unwrap_or("other").to_owned();
        // A client may make up methods.
        let method = match method.as_str() {
            method @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => method,
            _ => "other",
        };
        self.durations
            .get_or_create(&OfRoute { route: route.clone() })
            .observe(took.as_secs_f64());
        self.requests
            .get_or_create(&OfRequest {
                method: method.to_owned(),
                route,
                status,
            })
            .inc();
    }

    /// A login came so far.
    pub fn login(&self, outcome: Login) {
        let outcome = OUTCOMES[outcome as usize];
        self.logins.get_or_create(&OfLogin { outcome }).inc();
    }

    /// A room was changed.
    pub fn changed(&self) {
        self.changes.inc();
    }

    /// The whole text. What the store holds stands in it if the store said so.
    pub fn text(&self, counts: Option<Counts>, connections: &Counters, relay: Option<&RelayCounters>) -> String {
        for (outcome, count) in [
            ("accepted", connections.accepted()),
            ("refused", connections.refused()),
            ("evicted", connections.evicted()),
            ("handshake_failed", connections.handshakes_failed()),
        ] {
            let counter = self.connections.get_or_create(&OfConnection { outcome });
            counter.inner().store(count, Ordering::Relaxed);
        }
        self.open.set(connections.open());
        if let Some(relay) = relay {
            self.relay.take(relay);
        }
        let stored = [&self.rooms, &self.sessions, &self.presence];
        match counts {
            Some(counts) => {
                for (gauge, count) in stored.into_iter().zip([counts.rooms, counts.sessions, counts.presence]) {
                    gauge.get_or_create(&Vec::new()).set(count);
                }
            }
            None => stored.into_iter().for_each(Stored::clear),
        }
        let mut written = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if text::encode(&mut written, &registry).is_err() {
            // A String takes whatever is written to it.
            written.clear();
            let _ = writeln!(written, "# EOF");
        }
        written
    }
}

impl OfRelay {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "relay_connections",
            "Connections to the relay now",
            self.connections.clone(),
        );
        registry.register(
            "relay_reservations_open",
            "Members that can be called through the relay now",
            self.reservations.clone(),
        );
        registry.register(
            "relay_circuits_open",
            "Pairs of members connected through the relay now",
            self.circuits.clone(),
        );
        registry.register(
            "relay_reservations",
            "Reservations at the relay, by what became of them",
            self.reservation_outcomes.clone(),
        );
        registry.register(
            "relay_circuits",
            "Circuits through the relay, by what became of them",
            self.circuit_outcomes.clone(),
        );
        registry.register_with_unit(
            "relay",
            "Bytes on the relay's streams: circuits, and some hundred for each reservation",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }

    /// Takes over what the relay has counted.
    fn take(&self, relay: &RelayCounters) {
        let gauges = [&self.connections, &self.reservations, &self.circuits];
        let open = [
            relay.connections_open(),
            relay.reservations_open(),
            relay.circuits_open(),
        ];
        for (gauge, count) in gauges.into_iter().zip(open) {
            gauge.get_or_create(&Vec::new()).set(count);
        }
        let store = |family: &Family<OfOutcome, Counter>, outcome, count| {
            let counter = family.get_or_create(&OfOutcome { outcome });
            counter.inner().store(count, Ordering::Relaxed);
        };
        for (outcome, count) in relay::RESERVATIONS.into_iter().zip(relay.reservations()) {
            store(&self.reservation_outcomes, outcome, count);
        }
        for (outcome, count) in relay::CIRCUITS.into_iter().zip(relay.circuits()) {
            store(&self.circuit_outcomes, outcome, count);
        }
        for (direction, count) in ["in", "out"].into_iter().zip(relay.bytes()) {
            let counter = self.bytes.get_or_create(&OfDirection { direction });
            counter.inner().store(count, Ordering::Relaxed);
        }
    }
}

impl Observer for Metrics {
    fn observe(&self, operation: &'static str, took: Duration, failed: bool) {
        let [fine, bad] = ["false", "true"].map(|failed| OfStore { operation, failed });
        // Both are there with the first operation, so that the first failure shows as an increase.
        drop(self.store.get_or_create(&bad));
        let outcome = if failed { bad } else { fine };
        self.store.get_or_create(&outcome).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_open_metrics_and_names_what_was_counted() {
        let metrics = Metrics::default();
        let took = Duration::from_millis(2);
        metrics.request(&http::Method::GET, Some("/v1/rooms"), 200, took);
        metrics.request(&http::Method::from_bytes(b"INVENTED").unwrap(), None, 404, took);
        metrics.login(Login::TooMany);
        metrics.observe("room", took, true);
        let counts = Counts {
            rooms: 1,
            sessions: 2,
            presence: 3,
        };
        let text = metrics.text(Some(counts), &Counters::default(), Some(&RelayCounters::default()));
        for line in [
            r#"snug_rendezvous_requests_total{method="GET",route="/v1/rooms",status="200"} 1"#,
            r#"snug_rendezvous_requests_total{method="other",route="other",status="404"} 1"#,
            r#"snug_rendezvous_logins_total{outcome="too_many"} 1"#,
            r#"snug_rendezvous_store_duration_seconds_count{operation="room",failed="true"} 1"#,
            r#"snug_rendezvous_connections_total{outcome="refused"} 0"#,
            "snug_rendezvous_connections_open 0",
            "snug_rendezvous_rooms{} 1",
            "snug_rendezvous_sessions{} 2",
            "snug_rendezvous_presence{} 3",
            "snug_rendezvous_relay_circuits_open{} 0",
            r#"snug_rendezvous_relay_circuits_total{outcome="opened"} 0"#,
            r#"snug_rendezvous_relay_reservations_total{outcome="too_many"} 0"#,
            r#"snug_rendezvous_relay_bytes_total{direction="out"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        // A store that doesn't answer has no numbers, and none of its former ones.
        let text = metrics.text(None, &Counters::default(), None);
        assert!(!text.contains("snug_rendezvous_rooms{}"), "{text}");
        // What has not happened yet is there, so that its first time shows as an increase.
        let never = r#"snug_rendezvous_logins_total{outcome="superseded"} 0"#;
        assert!(text.lines().any(|line| line == never), "{text}");
    }
}
