//! The table of all settings.

use std::time::Duration;

use super::{
    setting::{Setting, Slot},
    units::{GIB, KIB, MIB, TIB},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "data-dir",
        doc: "Directory of all data",
        slot: Slot::Path(|c| &mut c.data_dir),
    },
    Setting {
        name: "listen",
        doc: "Address that serves gRPC, gRPC-Web and HTTP; with port 0 the system chooses a free one",
        slot: Slot::Address(|c| &mut c.listen),
    },
    Setting {
        name: "admin-listen",
        doc: "Address of /metrics, /healthz and /readyz",
        slot: Slot::AddressOrOff(|c| &mut c.admin_listen),
    },
    Setting {
        name: "cors-origins",
        doc: "Origins whose pages may call from a browser, separated by commas; \"*\" is any, \"off\" none",
        slot: Slot::Origins(|c| &mut c.cors_origins),
    },
    Setting {
        name: "registry",
        doc: "Schema registry: \"embedded\", the address of a remote one, or \"off\"",
        slot: Slot::Registry(|c| &mut c.registry),
    },
    Setting {
        name: "reflection",
        doc: "Whether clients may request descriptors: of the services, and of every registered Protobuf schema",
        slot: Slot::OnOrOff(|c| &mut c.reflection),
    },
    Setting {
        name: "auto-create-topics",
        doc: "Create a topic when a client publishes to it",
        slot: Slot::Switch(|c| &mut c.auto_create_topics),
    },
    // 3 MiB and 12 MiB: a message with the largest event or batch stays below the limits of the
    // transport, so that the error of a larger one comes from the service and has a reason.
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
        doc: "Most events in a batch",
        slot: Slot::Count(|c| &mut c.max_batch_events, 1..=100_000),
    },
    Setting {
        name: "in-flight-bytes",
        doc: "Publishes admitted and not yet durable; above this size, publishes wait",
        slot: Slot::Size(|c| &mut c.in_flight_bytes, MIB..=64 * GIB),
    },
    Setting {
        name: "tail-bytes",
        doc: "Memory for the newest events, which live subscribers read",
        slot: Slot::Size(|c| &mut c.tail_bytes, MIB..=TIB),
    },
    Setting {
        name: "block-cache-bytes",
        doc: "Memory for blocks read from disk",
        slot: Slot::Size(|c| &mut c.block_cache_bytes, MIB..=TIB),
    },
    Setting {
        name: "write-buffer-bytes",
        doc: "Memory for writes before they are flushed to files",
        slot: Slot::Size(|c| &mut c.write_buffer_bytes, MIB..=64 * GIB),
    },
    Setting {
        name: "wal-bytes",
        doc: "Largest write-ahead log; a start after a kill reads all of it",
        slot: Slot::Size(|c| &mut c.wal_bytes, MIB..=64 * GIB),
    },
    Setting {
        name: "worker-threads",
        doc: "Threads that serve requests; the default is one per processor",
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
        doc: "Interval of heartbeats on idle streams, unless the request sets one",
        slot: Slot::Time(|c| &mut c.heartbeat_interval, SECOND..=MINUTE),
    },
    Setting {
        name: "retention-interval",
        doc: "Interval at which retention is enforced",
        slot: Slot::Time(|c| &mut c.retention_interval, Duration::from_millis(10)..=MINUTE),
    },
    Setting {
        name: "drain-timeout",
        doc: "Time for open streams to end when the server stops",
        slot: Slot::Time(|c| &mut c.drain_timeout, Duration::ZERO..=Duration::from_secs(600)),
    },
    Setting {
        name: "disk-reserve-bytes",
        doc: "Free space on the disk below which publishes are rejected",
        slot: Slot::Space(|c| &mut c.disk_reserve_bytes, 0..=1_024 * TIB),
    },
    Setting {
        name: "log-filter",
        doc: "Log filter, such as \"info\" or \"info,tidings::store=debug\"",
        slot: Slot::Filter(|c| &mut c.log_filter),
    },
    Setting {
        name: "log-format",
        doc: "Format of log lines",
        slot: Slot::Format(|c| &mut c.log_format),
    },
];
