//! Every knob of the server: its unit, default, bounds and meaning, in one table.
//!
//! The table drives all ways to set one: keys of a TOML file, `TIDINGS_` variables, flags of `tidings serve`. Later ways
//! win over earlier ones, each value remembers where it came from, and all faults are reported together.

mod origins;
mod sources;

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZero,
    ops::RangeInclusive,
    path::PathBuf,
    thread,
    time::Duration,
};

use bytesize::ByteSize;
use tracing_subscriber::EnvFilter;

pub use origins::Origins;
pub use sources::{
    Fault, Faults, Origin, Resolved, Sources, default_file, default_file_name, nearest, resolve,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

/// What variables of the environment begin with.
pub const ENV_PREFIX: &str = "TIDINGS_";

/// Variables with our prefix that are not settings of the server.
const OTHER_VARIABLES: [&str; 7] = [
    "TIDINGS_SERVER",
    "TIDINGS_CONFIG",
    "TIDINGS_FAULT",
    "TIDINGS_REGISTRY_LISTEN",
    "TIDINGS_REGISTRY_DATA_DIR",
    "TIDINGS_REGISTRY_LOG",
    "TIDINGS_REGISTRY_REFLECTION",
];

/// What the server is told once, when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where metrics and probes are served; `None` is "off".
    pub admin_listen: Option<SocketAddr>,
    /// Whose pages may call from a browser.
    pub cors_origins: Origins,
    /// Which schema registry is used.
    pub registry: RegistrySource,
    /// Whether clients may ask for descriptors: of the services, and of everything that is registered in Protobuf.
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
    /// Budget of all tail rings together.
    pub tail_bytes: usize,
    /// RocksDB's block cache.
    pub block_cache_bytes: usize,
    /// RocksDB's memtables.
    pub write_buffer_bytes: usize,
    /// Write-ahead log kept before memtables are flushed; bounds the time a start takes after a kill.
    pub wal_bytes: usize,
    /// Threads that run async tasks.
    pub worker_threads: usize,
    /// Connections served at the same time.
    pub max_connections: usize,
    /// Calls open at the same time on one connection.
    pub max_streams_per_connection: u32,
    /// How often an idle subscription is told its progress, where it does not ask.
    pub heartbeat_interval: Duration,
    /// How often retention is enforced.
    pub retention_interval: Duration,
    /// How long open streams may take to end when the server stops.
    pub drain_timeout: Duration,
    /// Free space below which publishes are refused.
    pub disk_reserve_bytes: u64,
    /// Directives of the log filter.
    pub log_filter: String,
    /// Form of log lines.
    pub log_format: LogFormat,
}

/// Which schema registry is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrySource {
    /// One in this process, on the same port, kept in the folder `registry` of the data directory.
    Embedded,
    /// One that runs elsewhere, at this address. Calls of the registry on this server's port are passed on to it.
    Remote(String),
    /// None.
    Off,
}

/// Form of log lines.
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
    /// The defaults, over a directory of the test's own, on ports that the system picks, without an admin port.
    pub fn for_tests(data_dir: impl Into<PathBuf>) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { data_dir: data_dir.into(), listen: any_port, admin_listen: None, ..Self::default() }
    }
}

/// One knob: a row of [`SETTINGS`].
pub struct Setting {
    /// Key in the file and name of the flag; the variable is `TIDINGS_` and the name in capitals.
    pub name: &'static str,
    /// What it does, for help texts.
    pub doc: &'static str,
    slot: Slot,
}

/// Where a setting is kept, what may be in there, and thereby how it is read and shown.
enum Slot {
    Path(fn(&mut Config) -> &mut PathBuf),
    Address(fn(&mut Config) -> &mut SocketAddr),
    AddressOrOff(fn(&mut Config) -> &mut Option<SocketAddr>),
    Origins(fn(&mut Config) -> &mut Origins),
    Registry(fn(&mut Config) -> &mut RegistrySource),
    Switch(fn(&mut Config) -> &mut bool),
    OnOrOff(fn(&mut Config) -> &mut bool),
    Size(fn(&mut Config) -> &mut usize, RangeInclusive<u64>),
    Space(fn(&mut Config) -> &mut u64, RangeInclusive<u64>),
    Count(fn(&mut Config) -> &mut usize, RangeInclusive<u64>),
    SmallCount(fn(&mut Config) -> &mut u32, RangeInclusive<u64>),
    Time(fn(&mut Config) -> &mut Duration, RangeInclusive<Duration>),
    Filter(fn(&mut Config) -> &mut String),
    Format(fn(&mut Config) -> &mut LogFormat),
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Every setting there is, in the order in which it is shown.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "data-dir",
        doc: "Directory that holds everything",
        slot: Slot::Path(|c| &mut c.data_dir),
    },
    Setting {
        name: "listen",
        doc: "Address that serves gRPC, gRPC-Web and HTTP; port 0 lets the system pick",
        slot: Slot::Address(|c| &mut c.listen),
    },
    Setting {
        name: "admin-listen",
        doc: "Address of /metrics, /healthz and /readyz",
        slot: Slot::AddressOrOff(|c| &mut c.admin_listen),
    },
    Setting {
        name: "cors-origins",
        doc: "Origins whose pages may call from a browser, with commas between them; \"*\" is any, \"off\" none",
        slot: Slot::Origins(|c| &mut c.cors_origins),
    },
    Setting {
        name: "registry",
        doc: "Schema registry: \"embedded\", the address of one that runs elsewhere, or \"off\"",
        slot: Slot::Registry(|c| &mut c.registry),
    },
    Setting {
        name: "reflection",
        doc: "Whether clients may ask for descriptors: of the services, and of every registered Protobuf schema",
        slot: Slot::OnOrOff(|c| &mut c.reflection),
    },
    Setting {
        name: "auto-create-topics",
        doc: "Create a topic when somebody publishes to it",
        slot: Slot::Switch(|c| &mut c.auto_create_topics),
    },
    // 3 MiB and 12 MiB: with the largest event or batch and what gRPC puts around it, a message stays below the
    // transport's limits, so that a refusal is ours and says why.
    Setting {
        name: "max-event-bytes",
        doc: "Largest event that is accepted",
        slot: Slot::Size(|c| &mut c.max_event_bytes, KIB..=3 * MIB),
    },
    Setting {
        name: "max-batch-bytes",
        doc: "Largest batch that is accepted",
        slot: Slot::Size(|c| &mut c.max_batch_bytes, KIB..=12 * MIB),
    },
    Setting {
        name: "max-batch-events",
        doc: "Most events that a batch may have",
        slot: Slot::Count(|c| &mut c.max_batch_events, 1..=100_000),
    },
    Setting {
        name: "in-flight-bytes",
        doc: "Publishes admitted and not yet durable; above it they wait",
        slot: Slot::Size(|c| &mut c.in_flight_bytes, MIB..=64 * GIB),
    },
    Setting {
        name: "tail-bytes",
        doc: "Memory for the newest events, from which live subscribers are served",
        slot: Slot::Size(|c| &mut c.tail_bytes, MIB..=TIB),
    },
    Setting {
        name: "block-cache-bytes",
        doc: "Memory for blocks read from disk",
        slot: Slot::Size(|c| &mut c.block_cache_bytes, MIB..=TIB),
    },
    Setting {
        name: "write-buffer-bytes",
        doc: "Memory for writes before they go into files",
        slot: Slot::Size(|c| &mut c.write_buffer_bytes, MIB..=64 * GIB),
    },
    Setting {
        name: "wal-bytes",
        doc: "Write-ahead log to keep at most; a start after a kill reads all of it",
        slot: Slot::Size(|c| &mut c.wal_bytes, MIB..=64 * GIB),
    },
    Setting {
        name: "worker-threads",
        doc: "Threads that serve requests; by default one per processor",
        slot: Slot::Count(|c| &mut c.worker_threads, 1..=1_024),
    },
    Setting {
        name: "max-connections",
        doc: "Connections served at the same time",
        slot: Slot::Count(|c| &mut c.max_connections, 1..=1_000_000),
    },
    Setting {
        name: "max-streams-per-connection",
        doc: "Calls open at the same time on one connection",
        slot: Slot::SmallCount(|c| &mut c.max_streams_per_connection, 1..=1_000_000),
    },
    Setting {
        name: "heartbeat-interval",
        doc: "How often a quiet subscription is told its progress, where it does not ask",
        slot: Slot::Time(|c| &mut c.heartbeat_interval, SECOND..=MINUTE),
    },
    Setting {
        name: "retention-interval",
        doc: "How often retention is enforced",
        slot: Slot::Time(|c| &mut c.retention_interval, Duration::from_millis(10)..=MINUTE),
    },
    Setting {
        name: "drain-timeout",
        doc: "How long open streams may take to end when the server stops",
        slot: Slot::Time(|c| &mut c.drain_timeout, Duration::ZERO..=Duration::from_secs(600)),
    },
    Setting {
        name: "disk-reserve-bytes",
        doc: "Free space on the disk below which publishes are refused",
        slot: Slot::Space(|c| &mut c.disk_reserve_bytes, 0..=1_024 * TIB),
    },
    Setting {
        name: "log-filter",
        doc: "What is logged, such as \"info\" or \"info,tidings::store=debug\"",
        slot: Slot::Filter(|c| &mut c.log_filter),
    },
    Setting {
        name: "log-format",
        doc: "Form of log lines",
        slot: Slot::Format(|c| &mut c.log_format),
    },
];

impl Setting {
    /// The environment's name for it.
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.replace('-', "_").to_uppercase())
    }

    /// What a value looks like, for help texts.
    pub fn unit(&self) -> &'static str {
        match self.slot {
            Slot::Path(_) => "DIR",
            Slot::Address(_) => "ADDR",
            Slot::AddressOrOff(_) => "ADDR|off",
            Slot::Origins(_) => "ORIGIN,...|*|off",
            Slot::Registry(_) => "embedded|URL|off",
            Slot::Switch(_) => "true|false",
            Slot::OnOrOff(_) => "on|off",
            Slot::Size(..) | Slot::Space(..) => "SIZE",
            Slot::Count(..) | Slot::SmallCount(..) => "N",
            Slot::Time(..) => "DURATION",
            Slot::Filter(_) => "FILTER",
            Slot::Format(_) => "text|json",
        }
    }

    /// Whether it can be set by naming it alone.
    pub fn is_switch(&self) -> bool {
        matches!(self.slot, Slot::Switch(_))
    }

    /// What it may be, where it has bounds.
    pub fn bounds(&self) -> Option<String> {
        match &self.slot {
            Slot::Size(_, range) | Slot::Space(_, range) => {
                Some(format!("{} to {}", show_size(*range.start()), show_size(*range.end())))
            }
            Slot::Count(_, range) | Slot::SmallCount(_, range) => {
                Some(format!("{} to {}", range.start(), range.end()))
            }
            Slot::Time(_, range) => {
                Some(format!("{} to {}", show_time(*range.start()), show_time(*range.end())))
            }
            Slot::Path(_)
            | Slot::Address(_)
            | Slot::AddressOrOff(_)
            | Slot::Origins(_)
            | Slot::Registry(_)
            | Slot::Switch(_)
            | Slot::OnOrOff(_)
            | Slot::Filter(_)
            | Slot::Format(_) => None,
        }
    }

    /// Its value in this configuration, in a form that can be set again.
    pub fn show(&self, config: &Config) -> String {
        // The slots lend for writing; a copy of a start-up value costs nothing that matters.
        let config = &mut config.clone();
        match &self.slot {
            Slot::Path(at) => at(config).display().to_string(),
            Slot::Address(at) => at(config).to_string(),
            Slot::AddressOrOff(at) => {
                at(config).map_or_else(|| "off".to_owned(), |address| address.to_string())
            }
            Slot::Origins(at) => at(config).to_string(),
            Slot::Registry(at) => match at(config) {
                RegistrySource::Embedded => "embedded".to_owned(),
                RegistrySource::Remote(address) => address.clone(),
                RegistrySource::Off => "off".to_owned(),
            },
            Slot::Switch(at) => at(config).to_string(),
            Slot::OnOrOff(at) => if *at(config) { "on" } else { "off" }.to_owned(),
            Slot::Size(at, _) => show_size(*at(config) as u64),
            Slot::Space(at, _) => show_size(*at(config)),
            Slot::Count(at, _) => at(config).to_string(),
            Slot::SmallCount(at, _) => at(config).to_string(),
            Slot::Time(at, _) => show_time(*at(config)),
            Slot::Filter(at) => at(config).clone(),
            Slot::Format(at) => match at(config) {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            },
        }
    }

    /// Reads a value into its place, or says what it should have been.
    fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match &self.slot {
            Slot::Path(at) => {
                if text.is_empty() {
                    return Err("expected a directory".to_owned());
                }
                *at(config) = PathBuf::from(text);
            }
            Slot::Address(at) => *at(config) = parse_address(text)?,
            Slot::AddressOrOff(at) => {
                *at(config) = if text == "off" {
                    None
                } else {
                    Some(
                        parse_address(text)
                            .map_err(|expected| format!("{expected}, or \"off\""))?,
                    )
                };
            }
            Slot::Origins(at) => *at(config) = Origins::parse(text)?,
            Slot::Registry(at) => {
                *at(config) = match text {
                    "embedded" => RegistrySource::Embedded,
                    "off" => RegistrySource::Off,
                    _ if text.starts_with("http://") => RegistrySource::Remote(text.to_owned()),
                    _ => {
                        return Err(
                            "expected embedded, off, or an address such as http://127.0.0.1:7173"
                                .to_owned(),
                        );
                    }
                };
            }
            Slot::Switch(at) => {
                *at(config) = match text {
                    "true" => true,
                    "false" => false,
                    _ => return Err("expected true or false".to_owned()),
                };
            }
            Slot::OnOrOff(at) => {
                *at(config) = match text {
                    "on" => true,
                    "off" => false,
                    _ => return Err("expected on or off".to_owned()),
                };
            }
            Slot::Size(at, range) => {
                *at(config) = narrow(within(parse_size(text)?, range, show_size)?)?
            }
            Slot::Space(at, range) => *at(config) = within(parse_size(text)?, range, show_size)?,
            Slot::Count(at, range) => {
                *at(config) = narrow(within(parse_count(text)?, range, |n| n.to_string())?)?;
            }
            Slot::SmallCount(at, range) => {
                *at(config) = narrow(within(parse_count(text)?, range, |n| n.to_string())?)?;
            }
            Slot::Time(at, range) => {
                let time = humantime::parse_duration(text)
                    .map_err(|_| "expected a duration such as 10s or 500ms".to_owned())?;
                *at(config) = within(time, range, show_time)?;
            }
            Slot::Filter(at) => {
                EnvFilter::builder()
                    .parse(text)
                    .map_err(|error| format!("no log filter: {error}"))?;
                *at(config) = text.to_owned();
            }
            Slot::Format(at) => {
                *at(config) = match text {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err("expected text or json".to_owned()),
                };
            }
        }
        Ok(())
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:7171".to_owned())
}

fn parse_size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "expected a size such as 64MiB or a number of bytes".to_owned())
}

fn parse_count(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "expected a whole number".to_owned())
}

fn within<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Result<T, String> {
    if value < *range.start() {
        Err(format!("must be at least {}", show(*range.start())))
    } else if value > *range.end() {
        Err(format!("must be at most {}", show(*range.end())))
    } else {
        Ok(value)
    }
}

fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, String> {
    T::try_from(value).map_err(|_| "does not fit this machine's numbers".to_owned())
}

/// The shortest form that is exact.
fn show_size(bytes: u64) -> String {
    for (unit, name) in [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

fn show_time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Sources {
        Sources { file: Some(("test.toml".to_owned(), text.to_owned())), ..Sources::default() }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn messages(sources: &Sources) -> Vec<String> {
        resolve(sources).unwrap_err().0.iter().map(Fault::to_string).collect()
    }

    fn origin_of(resolved: &Resolved, name: &str) -> Origin {
        resolved.entries().find(|(setting, ..)| setting.name == name).unwrap().2.clone()
    }

    #[test]
    fn defaults_pass_their_own_checks_and_can_be_set_again() {
        let shown = resolve(&Sources::default()).unwrap();
        assert_eq!(shown.config, Config::default());
        let flags = shown.entries().map(|(s, value, _)| (s.name.to_owned(), value)).collect();
        let again = resolve(&Sources { flags, ..Sources::default() }).unwrap();
        assert_eq!(again.config, shown.config);
    }

    #[test]
    fn flags_win_over_variables_over_file_over_defaults() {
        let mut sources = file("tail-bytes = \"1MiB\"\nwal-bytes = \"2MiB\"\nmax-connections = 3");
        sources.variables = pairs(&[("TIDINGS_TAIL_BYTES", "4MiB"), ("TIDINGS_WAL_BYTES", "5MiB")]);
        sources.flags = pairs(&[("tail-bytes", "6MiB")]);
        let resolved = resolve(&sources).unwrap();
        assert_eq!(resolved.config.tail_bytes, 6 << 20);
        assert_eq!(resolved.config.wal_bytes, 5 << 20);
        assert_eq!(resolved.config.max_connections, 3);
        assert_eq!(origin_of(&resolved, "tail-bytes"), Origin::Flag("tail-bytes".to_owned()));
        assert_eq!(
            origin_of(&resolved, "wal-bytes"),
            Origin::Variable("TIDINGS_WAL_BYTES".to_owned())
        );
        assert_eq!(origin_of(&resolved, "max-connections"), Origin::File("test.toml".to_owned()));
        assert_eq!(origin_of(&resolved, "listen"), Origin::Default);
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let mut sources = file("data_dir = \"x\"\nnothing-like-it = 1");
        sources.variables = pairs(&[
            ("TIDINGS_LISTN", "127.0.0.1:1"),
            ("TIDINGS_SERVER", "http://elsewhere"),
            ("HOME", "/"),
        ]);
        assert_eq!(
            messages(&sources),
            [
                "data_dir = \"x\" (file test.toml): no such setting; did you mean data-dir?",
                "nothing-like-it = \"1\" (file test.toml): no such setting; `tidings config show` lists them",
                "TIDINGS_LISTN = \"127.0.0.1:1\" (variable TIDINGS_LISTN): no such setting; \
                 did you mean TIDINGS_LISTEN?",
            ]
        );
    }

    #[test]
    fn all_faults_come_at_once_with_value_and_limit() {
        let mut sources =
            file("max-event-bytes = \"5MiB\"\nheartbeat-interval = \"2m\"\nlisten = [1]");
        sources.flags =
            pairs(&[("log-format", "xml"), ("worker-threads", "0"), ("listen", "here")]);
        assert_eq!(
            messages(&sources),
            [
                "heartbeat-interval = \"2m\" (file test.toml): must be at most 1m",
                "listen (file test.toml): expected a string, a number or true or false, found array",
                "max-event-bytes = \"5MiB\" (file test.toml): must be at most 3MiB",
                "log-format = \"xml\" (flag --log-format): expected text or json",
                "worker-threads = \"0\" (flag --worker-threads): must be at least 1",
                "listen = \"here\" (flag --listen): expected an IP address and a port, \
                 such as 127.0.0.1:7171",
            ]
        );
    }

    #[test]
    fn values_that_do_not_go_together_are_refused() {
        let sources = Sources {
            flags: pairs(&[("max-batch-bytes", "64KiB"), ("admin-listen", "127.0.0.1:7171")]),
            ..Sources::default()
        };
        assert_eq!(
            messages(&sources),
            [
                "max-batch-bytes = \"64KiB\" (flag --max-batch-bytes): must be at least \
                 max-event-bytes, which is 1MiB: an event would fit no batch",
                "admin-listen = \"127.0.0.1:7171\" (flag --admin-listen): is the address that \
                 serves gRPC; take another or \"off\"",
            ]
        );
    }

    #[test]
    fn broken_toml_names_the_line() {
        let messages = messages(&file("listen = \"127.0.0.1:1\"\nwal-bytes = \n"));
        assert_eq!(messages.len(), 1);
        assert!(messages[0].starts_with("line 2 (file test.toml): no TOML: "), "{messages:?}");
    }

    #[test]
    fn a_list_is_a_toml_array_too() {
        let sources = file("cors-origins = [\"https://a.example\", \"http://b.example:8080\"]");
        let origins = resolve(&sources).unwrap().config.cors_origins;
        assert_eq!(origins.to_string(), "https://a.example,http://b.example:8080");
    }

    #[test]
    fn off_and_true_are_understood() {
        let sources =
            file("admin-listen = \"off\"\nauto-create-topics = true\nreflection = \"off\"");
        let config = resolve(&sources).unwrap().config;
        assert_eq!(config.admin_listen, None);
        assert!(!config.reflection);
        assert!(config.auto_create_topics);
    }
}
