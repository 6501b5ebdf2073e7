//! What the server says about itself: log lines, metrics, probes.
//!
//! Payloads and secrets are never logged. Labels are bounded: methods of our own services, gRPC's codes, and a few fixed
//! words; nothing that a client can invent becomes a label.

mod grpc;
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
    metrics::{Metrics, Route, SubscriptionGuard},
};
use crate::config::LogFormat;

/// The content type of [`Metrics::encode`].
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter's directives do not parse.
    #[error("log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something in this process has set up a log before.
    #[error("log: {0}")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends log lines to stderr, in colour where that is a terminal and `NO_COLOR` is not set.
///
/// # Errors
/// Where the filter does not parse, and where it is called a second time.
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

/// What the admin port serves: `/metrics`, `/healthz` (the process answers) and `/readyz` (it takes requests).
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
