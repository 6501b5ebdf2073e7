//! The configuration of the server. One table has the name, unit, range and help text of every
//! setting.
//!
//! The table drives all sources of settings: keys of a TOML file, `TIDINGS_` variables, flags of
//! `tidings serve`. Later sources override earlier ones, each value records its source, and all
//! faults are reported together.

mod origins;
mod setting;
mod settings;
mod sources;
mod units;

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    path::PathBuf,
    thread,
    time::Duration,
};

use self::units::MIB;

pub use self::{
    origins::Origins,
    setting::Setting,
    settings::SETTINGS,
    sources::{
        Fault, Faults, Origin, Resolved, Sources, default_file, default_file_name, nearest, resolve,
    },
};

/// Prefix of environment variables.
pub const ENV_PREFIX: &str = "TIDINGS_";

/// Variables with this prefix that are not settings of the server.
const OTHER_VARIABLES: [&str; 7] = [
    "TIDINGS_SERVER",
    "TIDINGS_CONFIG",
    "TIDINGS_FAULT",
    "TIDINGS_REGISTRY_LISTEN",
    "TIDINGS_REGISTRY_DATA_DIR",
    "TIDINGS_REGISTRY_LOG",
    "TIDINGS_REGISTRY_REFLECTION",
];

/// The settings of the server, which do not change while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directory of all data.
    pub data_dir: PathBuf,
    /// Address that serves gRPC, gRPC-Web and HTTP.
    pub listen: SocketAddr,
    /// Address of metrics and probes. `None` is "off".
    pub admin_listen: Option<SocketAddr>,
    /// Origins whose pages may call from a browser.
    pub cors_origins: Origins,
    /// The schema registry.
    pub registry: RegistrySource,
    /// Whether clients may request descriptors: of the services, and of all registered Protobuf
    /// schemas.
    pub reflection: bool,
    /// Whether a publish to a topic that does not exist creates it.
    pub auto_create_topics: bool,
    /// Largest event, encoded.
    pub max_event_bytes: usize,
    /// Largest batch, encoded.
    pub max_batch_bytes: usize,
    /// Most events in a batch.
    pub max_batch_events: usize,
    /// Bytes of publishes admitted and not yet durable.
    pub in_flight_bytes: usize,
    /// Memory of all tail rings together.
    pub tail_bytes: usize,
    /// RocksDB's block cache.
    pub block_cache_bytes: usize,
    /// RocksDB's memtables.
    pub write_buffer_bytes: usize,
    /// Largest write-ahead log before memtables are flushed. Bounds the time of a start after a
    /// kill.
    pub wal_bytes: usize,
    /// Threads that run async tasks.
    pub worker_threads: usize,
    /// Connections served at the same time.
    pub max_connections: usize,
    /// Calls open at the same time on one connection.
    pub max_streams_per_connection: u32,
    /// Interval of heartbeats on idle streams, unless the request sets one.
    pub heartbeat_interval: Duration,
    /// Interval at which retention is enforced.
    pub retention_interval: Duration,
    /// Time for open streams to end when the server stops.
    pub drain_timeout: Duration,
    /// Free space below which publishes are rejected.
    pub disk_reserve_bytes: u64,
    /// Directives of the log filter.
    pub log_filter: String,
    /// Format of log lines.
    pub log_format: LogFormat,
}

/// The schema registry that the server uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrySource {
    /// A registry in this process, on the same port, stored in `registry` in the data directory.
    Embedded,
    /// A registry at this address. The server forwards registry calls on its own port to it.
    Remote(String),
    /// No registry.
    Off,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: dirs::data_dir()
                .map_or_else(|| PathBuf::from("tidings-data"), |dir| dir.join("tidings")),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7171)),
            admin_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 7172))),
            cors_origins: Origins::default(),
            registry: RegistrySource::Embedded,
            reflection: true,
            auto_create_topics: false,
            max_event_bytes: 1 << 20,
            max_batch_bytes: 4 << 20,
            max_batch_events: 10_000,
            in_flight_bytes: 64 << 20,
            tail_bytes: 64 << 20,
            block_cache_bytes: 128 << 20,
            write_buffer_bytes: 64 << 20,
            wal_bytes: 128 << 20,
            worker_threads: thread::available_parallelism().map_or(1, NonZero::get),
            max_connections: 16_384,
            max_streams_per_connection: 2_000,
            heartbeat_interval: Duration::from_secs(10),
            retention_interval: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(30),
            disk_reserve_bytes: 256 * MIB,
            log_filter: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// The defaults for a test: a directory of its own, a port chosen by the system, no admin port.
    pub fn for_tests(data_dir: impl Into<PathBuf>) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { data_dir: data_dir.into(), listen: any_port, admin_listen: None, ..Self::default() }
    }
}
