//! Load on a Tidings server over its public gRPC API, and verification of the events that it
//! returns.
//!
//! Used by `tidings bench` and, by path, by `benches/limits`: therefore it is a `mod.rs` and does
//! not depend on the command. Requests are encoded by hand and responses are received as bytes, so
//! that on a shared machine the server is measured and not the client.

pub mod latency;
pub mod publish;
pub mod subscribe;
pub mod wire;
pub mod workload;

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

/// Separates the fact from the remedy in the text of an error.
pub const TRY: &str = "\ntry: ";

/// A histogram from 1 microsecond to a minute, with three significant digits.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Whole microseconds, for a [`histogram`].
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The error of a rejected call, with a remedy.
pub fn refused(operation: &str, status: &tonic::Status) -> anyhow::Error {
    use tonic::Code;
    let remedy = match status.code() {
        Code::Unavailable => "check whether the server still runs; its log has the reason",
        Code::ResourceExhausted => {
            "lower --in-flight, --batch or --subscribers, or free disk space"
        }
        Code::InvalidArgument | Code::OutOfRange => {
            "lower --payload-bytes or --batch: the default limits are 1 MiB \
             for an event and 4 MiB for a batch"
        }
        Code::NotFound => "run it again: the topic of this run was deleted meanwhile",
        Code::Unimplemented => "use a server of this version",
        _ => "read the server's log",
    };
    anyhow::anyhow!("{operation}: {} ({:?}){TRY}{remedy}", status.message(), status.code())
}
