//! The metrics, with one method for each kind of occurrence. `docs/METRICS.md` documents them for
//! operators.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use super::{grpc::GrpcLayer, grpc_metrics::GrpcMetrics};

/// All metrics of the server. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    grpc: GrpcMetrics,
    rpc_panics: Counter,
    http_requests: Family<HttpLabels, Counter>,
    published_events: Counter,
    published_bytes: Counter,
    duplicates: Counter,
    payloads_refused: Counter,
    registry_unavailable: Gauge,
    registry_misses: Counter,
    commit_events: Histogram,
    commit_seconds: Histogram,
    sync_seconds: Histogram,
    open_streams: Gauge,
    delivered_events: Counter,
    delivered_bytes: Counter,
    tail_misses: Counter,
    filter_errors: Counter,
    queue_bytes: Gauge,
    position: UnsignedGauge,
    disk_free: UnsignedGauge,
    storage_full: Gauge,
    topics: UnsignedGauge,
    retained_events: UnsignedGauge,
    retained_bytes: UnsignedGauge,
    trimmed_events: Counter,
    corruption: Counter,
    recoveries: Family<Outcome, Counter>,
    recovery_seconds: Gauge<f64, AtomicU64>,
}

/// A gauge of positions and sizes, which are never negative and may exceed the range of i64.
type UnsignedGauge = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: String,
}

/// The route of a request over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `GET /`.
    Root,
    /// `POST /v1/topics/{topic}/events`.
    Publish,
    /// `GET /v1/topics/{topic}/events`.
    Events,
    /// Any other path.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    route: &'static str,
    status: u32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates all metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let grpc = GrpcMetrics::register(&mut registry);
        let mut registrar = Registrar { registry: registry.sub_registry_with_prefix("tidings") };
        let shared = Shared {
            grpc,
            rpc_panics: registrar.counter("rpc_panics", "Calls ended by a panic"),
            http_requests: {
                let requests = Family::default();
                let help = "Answered requests over HTTP, by status";
                registrar.registry.register("http_requests", help, requests.clone());
                requests
            },
            published_events: registrar.counter("publish_events", "Events appended"),
            published_bytes: registrar
                .counter("publish_bytes", "Bytes of events appended, encoded"),
            duplicates: registrar
                .counter("publish_duplicates", "Published events that were already recorded"),
            payloads_refused: registrar.counter(
                "publish_payloads_refused",
                "Events rejected because their payload does not match the schema",
            ),
            registry_unavailable: registrar
                .gauge("registry_away", "1 while a remote registry is unavailable"),
            registry_misses: registrar.counter(
                "registry_misses",
                "Events rejected because their type was unknown while the registry was unavailable",
            ),
            // 1 to 16,384 events.
            commit_events: registrar.histogram(
                "commit_events",
                "Events written together in one group",
                exponential_buckets(1.0, 2.0, 15),
            ),
            commit_seconds: registrar
                .seconds("commit_seconds", "Time to write one group, including its sync"),
            sync_seconds: registrar.seconds("sync_seconds", "Time of a sync"),
            open_streams: registrar.gauge("subscriptions_active", "Open Subscribe streams"),
            delivered_events: registrar.counter("delivered_events", "Events sent to readers"),
            delivered_bytes: registrar
                .counter("delivered_bytes", "Bytes of events sent to readers"),
            tail_misses: registrar.counter(
                "tail_misses",
                "Times a live reader had to read from the log because the tail ring had moved on",
            ),
            filter_errors: registrar.counter(
                "filter_errors",
                "Events for which a CEL filter had no result; they do not match it",
            ),
            queue_bytes: registrar
                .gauge("queue_bytes", "Bytes of publishes admitted and not yet durable"),
            position: registrar.gauge("position", "Position up to which all events are readable"),
            disk_free: registrar
                .gauge("disk_free_bytes", "Free space on the disk of the data directory"),
            storage_full: registrar
                .gauge("storage_full", "1 while publishes are rejected for lack of space"),
            topics: registrar.gauge("topics", "Topics"),
            retained_events: registrar.gauge("retained_events", "Retained events of all topics"),
            retained_bytes: registrar
                .gauge("retained_bytes", "Bytes of retained events of all topics"),
            trimmed_events: registrar
                .counter("trimmed_events", "Events removed by retention and trims"),
            corruption: registrar.counter("corruption_detected", "Stored values found corrupt"),
            recoveries: registrar.family("recoveries", "Starts, by the state of the store"),
            recovery_seconds: registrar.gauge("recovery_seconds", "Duration of the last start"),
            registry: Registry::default(),
        };
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registrar.registry.register("build", "Version of the server", build);
        let started = Gauge::<f64, AtomicU64>::default();
        started.set(
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        );
        registry.register("process_start_time_seconds", "Start of the process, Unix time", started);
        Self { shared: Arc::new(Shared { registry, ..shared }) }
    }

    /// The state of all metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &self.shared.registry);
        out
    }

    /// The layer that counts calls. It wraps all gRPC services.
    pub fn grpc_layer(&self) -> GrpcLayer {
        GrpcLayer::new(self.clone())
    }

    pub(super) fn grpc(&self) -> &GrpcMetrics {
        &self.shared.grpc
    }

    /// A call or a request ended by a panic.
    pub fn rpc_panicked(&self) {
        self.shared.rpc_panics.inc();
    }

    /// A request over HTTP was answered. A stream counts when it starts.
    pub fn http_request(&self, route: Route, status: u16) {
        let route = match route {
            Route::Root => "root",
            Route::Publish => "publish",
            Route::Events => "events",
            Route::Unknown => "unknown",
        };
        let labels = HttpLabels { route, status: status.into() };
        self.shared.http_requests.get_or_create(&labels).inc();
    }

    /// An event was rejected because its payload does not match the schema.
    pub fn payload_refused(&self) {
        self.shared.payloads_refused.inc();
    }

    /// Whether a remote registry is unavailable.
    pub fn registry_unavailable(&self, unavailable: bool) {
        self.shared.registry_unavailable.set(i64::from(unavailable));
    }

    /// An event was rejected because its type could not be looked up.
    pub fn registry_missed(&self) {
        self.shared.registry_misses.inc();
    }

    /// A publish succeeded. `events` and `bytes` count appended events, `duplicates` those that
    /// were already recorded.
    pub fn publish_accepted(&self, events: u64, bytes: u64, duplicates: u64) {
        self.shared.published_events.inc_by(events);
        self.shared.published_bytes.inc_by(bytes);
        self.shared.duplicates.inc_by(duplicates);
    }

    /// A group was written. `sync_seconds` is absent if no publish in it requested a sync.
    pub fn commit(&self, events: u64, seconds: f64, sync_seconds: Option<f64>) {
        self.shared.commit_events.observe(events as f64);
        self.shared.commit_seconds.observe(seconds);
        if let Some(seconds) = sync_seconds {
            self.sync_seconds(seconds);
        }
    }

    /// A sync outside the write of a group.
    pub fn sync_seconds(&self, seconds: f64) {
        self.shared.sync_seconds.observe(seconds);
    }

    /// A Subscribe stream is open until the guard is dropped.
    pub fn open_stream(&self) -> OpenStreamGuard {
        self.shared.open_streams.inc();
        OpenStreamGuard { open_streams: self.shared.open_streams.clone() }
    }

    /// Events were sent to a reader.
    pub fn delivered(&self, events: u64, bytes: u64) {
        self.shared.delivered_events.inc_by(events);
        self.shared.delivered_bytes.inc_by(bytes);
    }

    /// The tail ring no longer had the next events of a live reader.
    pub fn tail_misses(&self) {
        self.shared.tail_misses.inc();
    }

    /// A CEL filter had no result for an event.
    pub fn filter_failed(&self) {
        self.shared.filter_errors.inc();
    }

    /// The bytes of publishes admitted and not yet durable.
    pub fn queue_bytes(&self, bytes: i64) {
        self.shared.queue_bytes.set(bytes);
    }

    /// The position up to which all events are readable.
    pub fn position(&self, position: u64) {
        self.shared.position.set(position);
    }

    /// The free bytes on the disk of the data directory.
    pub fn disk_free(&self, bytes: u64) {
        self.shared.disk_free.set(bytes);
    }

    /// Whether publishes are rejected for lack of space.
    pub fn storage_full(&self, full: bool) {
        self.shared.storage_full.set(i64::from(full));
    }

    /// The topics, and their retained events and bytes.
    pub fn retained(&self, topics: u64, events: u64, bytes: u64) {
        self.shared.topics.set(topics);
        self.shared.retained_events.set(events);
        self.shared.retained_bytes.set(bytes);
    }

    /// Events were removed by retention or a trim.
    pub fn trimmed(&self, events: u64) {
        self.shared.trimmed_events.inc_by(events);
    }

    /// Stored bytes did not decode or did not match their checksum.
    pub fn corruption_detected(&self) {
        self.shared.corruption.inc();
    }

    /// A start ended. `outcome` is one of a few fixed words for the state of the store, such as
    /// "ok" and "corrupt".
    pub fn recovery(&self, outcome: &str, seconds: f64) {
        self.shared.recoveries.get_or_create(&Outcome { outcome: outcome.to_owned() }).inc();
        self.shared.recovery_seconds.set(seconds);
    }
}

/// Counts an open Subscribe stream until it is dropped.
#[derive(Debug)]
pub struct OpenStreamGuard {
    open_streams: Gauge<i64, AtomicI64>,
}

impl Drop for OpenStreamGuard {
    fn drop(&mut self) {
        self.open_streams.dec();
    }
}

/// Creates and registers metrics.
struct Registrar<'a> {
    registry: &'a mut Registry,
}

impl Registrar<'_> {
    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.registry.register(name, help, counter.clone());
        counter
    }

    fn gauge<N, A>(&mut self, name: &str, help: &str) -> Gauge<N, A>
    where
        Gauge<N, A>: Clone + Default + prometheus_client::registry::Metric,
    {
        let gauge = Gauge::<N, A>::default();
        self.registry.register(name, help, gauge.clone());
        gauge
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl IntoIterator<Item = f64>,
    ) -> Histogram {
        let histogram = Histogram::new(buckets);
        self.registry.register(name, help, histogram.clone());
        histogram
    }

    /// Buckets from 50 µs, a sync of a fast disk, to 1.6 s, a failing disk.
    fn seconds(&mut self, name: &str, help: &str) -> Histogram {
        self.histogram(name, help, exponential_buckets(50e-6, 2.0, 16))
    }

    fn family(&mut self, name: &str, help: &str) -> Family<Outcome, Counter> {
        let family = Family::default();
        self.registry.register(name, help, family.clone());
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_counted() {
        let metrics = Metrics::new();
        metrics.publish_accepted(3, 300, 1);
        metrics.commit(3, 0.001, Some(0.0005));
        let open = metrics.open_stream();
        metrics.position(u64::MAX);
        metrics.recovery("clean", 0.25);
        let text = metrics.encode();
        for line in [
            "tidings_publish_events_total 3",
            "tidings_publish_duplicates_total 1",
            "tidings_commit_seconds_count 1",
            "tidings_subscriptions_active 1",
            "tidings_position 18446744073709551615",
            "tidings_recoveries_total{outcome=\"clean\"} 1",
            "tidings_recovery_seconds 0.25",
        ] {
            assert!(text.lines().any(|encoded| encoded == line), "{line} is not in\n{text}");
        }
        drop(open);
        assert!(metrics.encode().contains("tidings_subscriptions_active 0\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_documented_metrics_are_those_served() {
        let document = include_str!("../../docs/METRICS.md");
        let metrics = Metrics::new();
        // A family without members is not encoded.
        metrics.recovery("clean", 0.0);
        metrics.http_request(Route::Root, 200);
        drop(metrics.grpc().start("/"));
        let encoded = metrics.encode();
        let mut served: Vec<&str> = encoded
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let mut documented: Vec<&str> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split(['`', '{']).next())
            .map(|name| name.strip_suffix("_total").unwrap_or(name))
            .map(|name| name.strip_suffix("_info").unwrap_or(name))
            .collect();
        served.sort_unstable();
        documented.sort_unstable();
        assert_eq!(served, documented);
    }
}
