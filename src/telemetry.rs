//! Log lines, metrics and health probes.
//!
//! Payloads and secrets are never logged. The values of labels are bounded: served methods, gRPC
//! codes and a few fixed words. A value that a client chooses never becomes a label.

mod frames;
mod grpc;
mod grpc_metrics;
mod metrics;

use std::io::{self, IsTerminal};

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::{
    grpc::{GrpcLayer, GrpcService, MeteredBody},
    metrics::{Metrics, OpenStreamGuard, Route},
};
use crate::config::LogFormat;

/// The content type of [`Metrics::encode`].
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directives of the filter do not parse.
    #[error("log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process already has a log.
    #[error("log: {0}")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends log lines to stderr, in colour if stderr is a terminal and `NO_COLOR` is not set.
///
/// # Errors
/// Returns an error if the filter does not parse, or if the process already has a log.
pub fn init_log(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let colour = io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            lines.with(fmt::layer().with_writer(io::stderr).with_ansi(colour)).try_init()?;
        }
        LogFormat::Json => {
            let json = fmt::layer().json().flatten_event(true).with_writer(io::stderr);
            lines.with(json).try_init()?;
        }
    }
    Ok(())
}

/// The routes of the admin port: `/metrics`, `/healthz` (the process responds) and `/readyz` (it
/// accepts requests).
pub fn admin_router(
    metrics: Metrics,
    ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Router {
    let scrape = move || {
        let metrics = metrics.clone();
        async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.encode()) }
    };
    let readiness = move || {
        let ready = ready.clone();
        async move {
            if ready() {
                (StatusCode::OK, "ready\n").into_response()
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
            }
        }
    };
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
}
