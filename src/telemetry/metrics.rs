//! The metrics, one method per thing that happens. `docs/METRICS.md` tells what they mean to an operator.

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

use super::grpc::{GrpcLayer, GrpcMetrics};

/// Everything that is counted. Clones count together.
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
    registry_away: Gauge,
    registry_misses: Counter,
    commit_events: Histogram,
    commit_seconds: Histogram,
    sync_seconds: Histogram,
    subscriptions: Gauge,
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

/// Positions and sizes never go below zero, and may be above what an i64 holds.
type UnsignedGauge = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: String,
}

/// What a request over HTTP was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `GET /`.
    Root,
    /// `POST /v1/topics/{topic}/events`.
    Publish,
    /// `GET /v1/topics/{topic}/events`.
    Events,
    /// Anything else.
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
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let grpc = GrpcMetrics::register(&mut registry);
        let mut ours = Registrar { registry: registry.sub_registry_with_prefix("tidings") };
        let shared = Shared {
            grpc,
            rpc_panics: ours.counter("rpc_panics", "Calls ended by a bug of ours"),
            http_requests: {
                let requests = Family::default();
                let help = "Requests over HTTP that were answered, by status";
                ours.registry.register("http_requests", help, requests.clone());
                requests
            },
            published_events: ours.counter("publish_events", "Events appended"),
            published_bytes: ours.counter("publish_bytes", "Bytes of events appended, encoded"),
            duplicates: ours
                .counter("publish_duplicates", "Published events that were recorded already"),
            payloads_refused: ours
                .counter("publish_payloads_refused", "Events refused for what their schema says"),
            registry_away: ours
                .gauge("registry_away", "1 while a registry elsewhere cannot be reached"),
            registry_misses: ours.counter(
                "registry_misses",
                "Events refused because the registry was away and their type not known",
            ),
            // 1 to 16,384 events.
            commit_events: ours.histogram(
                "commit_events",
                "Events written together in one group",
                exponential_buckets(1.0, 2.0, 15),
            ),
            commit_seconds: ours
                .seconds("commit_seconds", "Time to write one group, with its sync"),
            sync_seconds: ours.seconds("sync_seconds", "Time of the sync alone"),
            subscriptions: ours.gauge("subscriptions_active", "Subscribe streams open"),
            delivered_events: ours.counter("delivered_events", "Events sent to readers"),
            delivered_bytes: ours.counter("delivered_bytes", "Bytes of events sent to readers"),
            tail_misses: ours
                .counter("tail_misses", "Times a live reader had to go below the tail ring"),
            filter_errors: ours.counter(
                "filter_errors",
                "Times a CEL filter gave no answer for an event, which then does not match it",
            ),
            queue_bytes: ours.gauge("queue_bytes", "Bytes of publishes admitted, not yet durable"),
            position: ours.gauge("position", "Position up to which everything is there"),
            disk_free: ours
                .gauge("disk_free_bytes", "Space left on the disk of the data directory"),
            storage_full: ours
                .gauge("storage_full", "1 while publishes are refused for lack of space"),
            topics: ours.gauge("topics", "Topics there are"),
            retained_events: ours.gauge("retained_events", "Events kept, over all topics"),
            retained_bytes: ours.gauge("retained_bytes", "Bytes of events kept, over all topics"),
            trimmed_events: ours.counter("trimmed_events", "Events removed by retention and trims"),
            corruption: ours.counter("corruption_detected", "Stored bytes found damaged"),
            recoveries: ours.family("recoveries", "Starts, by what was found"),
            recovery_seconds: ours.gauge("recovery_seconds", "Time that the last start took"),
            registry: Registry::default(),
        };
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        ours.registry.register("build", "What is running", build);
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

    /// The layer that counts calls; goes around all gRPC services.
    pub fn grpc_layer(&self) -> GrpcLayer {
        GrpcLayer::new(self.clone())
    }

    pub(super) fn grpc(&self) -> &GrpcMetrics {
        &self.shared.grpc
    }

    /// A call ended by a panic.
    pub fn rpc_panics(&self) {
        self.shared.rpc_panics.inc();
    }

    /// A request over HTTP was answered; a stream, when it begins.
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

    /// An event's payload is not what its schema says.
    pub fn payload_refused(&self) {
        self.shared.payloads_refused.inc();
    }

    /// Whether a registry elsewhere cannot be reached.
    pub fn registry_away(&self, away: bool) {
        self.shared.registry_away.set(i64::from(away));
    }

    /// An event was refused because its type could not be looked up.
    pub fn registry_missed(&self) {
        self.shared.registry_misses.inc();
    }

    /// A publish was answered: so many events appended, with so many encoded bytes, and so many known before.
    pub fn publish_accepted(&self, events: u64, bytes: u64, duplicates: u64) {
        self.shared.published_events.inc_by(events);
        self.shared.published_bytes.inc_by(bytes);
        self.shared.duplicates.inc_by(duplicates);
    }

    /// A group was written; `sync_seconds` is absent where nothing in it asked for a sync.
    pub fn commit(&self, events: u64, seconds: f64, sync_seconds: Option<f64>) {
        self.shared.commit_events.observe(events as f64);
        self.shared.commit_seconds.observe(seconds);
        if let Some(seconds) = sync_seconds {
            self.sync_seconds(seconds);
        }
    }

    /// A sync outside of a group's write.
    pub fn sync_seconds(&self, seconds: f64) {
        self.shared.sync_seconds.observe(seconds);
    }

    /// A Subscribe stream is open until the guard is dropped.
    pub fn subscription(&self) -> SubscriptionGuard {
        self.shared.subscriptions.inc();
        SubscriptionGuard { active: self.shared.subscriptions.clone() }
    }

    /// Events went out to a reader.
    pub fn delivered(&self, events: u64, bytes: u64) {
        self.shared.delivered_events.inc_by(events);
        self.shared.delivered_bytes.inc_by(bytes);
    }

    /// A reader that had caught up found the tail ring moved on.
    pub fn tail_misses(&self) {
        self.shared.tail_misses.inc();
    }

    /// A filter in CEL gave no answer for an event.
    pub fn filter_failed(&self) {
        self.shared.filter_errors.inc();
    }

    /// Bytes of publishes admitted and not yet durable, now.
    pub fn queue_bytes(&self, bytes: i64) {
        self.shared.queue_bytes.set(bytes);
    }

    /// The watermark, now.
    pub fn position(&self, position: u64) {
        self.shared.position.set(position);
    }

    /// Free bytes on the data directory's disk, now.
    pub fn disk_free(&self, bytes: u64) {
        self.shared.disk_free.set(bytes);
    }

    /// Whether publishes are refused for lack of space, now.
    pub fn storage_full(&self, full: bool) {
        self.shared.storage_full.set(i64::from(full));
    }

    /// What is kept, now.
    pub fn retained(&self, topics: u64, events: u64, bytes: u64) {
        self.shared.topics.set(topics);
        self.shared.retained_events.set(events);
        self.shared.retained_bytes.set(bytes);
    }

    /// Events went behind a trim point.
    pub fn trimmed(&self, events: u64) {
        self.shared.trimmed_events.inc_by(events);
    }

    /// Stored bytes did not decode or did not match their checksum.
    pub fn corruption_detected(&self) {
        self.shared.corruption.inc();
    }

    /// A start found the store in this state; `outcome` is one of a few fixed words such as "clean" and "replayed".
    pub fn recovery(&self, outcome: &str, seconds: f64) {
        self.shared.recoveries.get_or_create(&Outcome { outcome: outcome.to_owned() }).inc();
        self.shared.recovery_seconds.set(seconds);
    }
}

/// Counts a subscription as active while it lives.
#[derive(Debug)]
pub struct SubscriptionGuard {
    active: Gauge<i64, AtomicI64>,
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        self.active.dec();
    }
}

/// Registers and returns in one go.
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

    /// 50 µs, a sync of a good disk, to 1.6 s, a disk in trouble.
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
    fn what_happens_is_counted() {
        let metrics = Metrics::new();
        metrics.publish_accepted(3, 300, 1);
        metrics.commit(3, 0.001, Some(0.0005));
        let open = metrics.subscription();
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
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        drop(open);
        assert!(metrics.encode().contains("tidings_subscriptions_active 0\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_metric_is_documented_and_nothing_else() {
        let document = include_str!("../../docs/METRICS.md");
        let metrics = Metrics::new();
        // A family without a member is not served.
        metrics.recovery("clean", 0.0);
        metrics.http_request(Route::Root, 200);
        drop(metrics.grpc().begin("/"));
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
