//! Load on a Tidings server over its public gRPC API, and the check of what it gives back.
//!
//! Used by `tidings bench` and, by path, by `benches/limits`: that is why it is a `mod.rs` and knows nothing of the command.
//! Requests are encoded by hand and responses taken as bytes, so that on a shared machine the server is measured and
//! not the client.

pub mod latency;
pub mod publish;
pub mod subscribe;
pub mod wire;
pub mod workload;

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

/// Stands between what went wrong and what to try, in the text of an error.
pub const TRY: &str = "\ntry: ";

/// Microseconds from 1 to a minute, three digits.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Whole microseconds, for a [`histogram`].
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A refused call, with what to try.
pub fn refused(what: &str, status: &tonic::Status) -> anyhow::Error {
    use tonic::Code;
    let remedy = match status.code() {
        Code::Unavailable => "see whether the server still runs; its log says why it went away",
        Code::ResourceExhausted => {
            "lower --in-flight, --batch or --subscribers, or free disk space"
        }
        Code::InvalidArgument | Code::OutOfRange => {
            "lower --payload-bytes or --batch: by default an event has 1 MiB at most, a batch 4 MiB"
        }
        Code::NotFound => "run it again: somebody deleted the topic of this run meanwhile",
        Code::Unimplemented => "use a server of this version",
        _ => "read the server's log",
    };
    anyhow::anyhow!("{what}: {} ({:?}){TRY}{remedy}", status.message(), status.code())
}
