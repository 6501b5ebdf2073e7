//! Middleware that counts requests, and answers requests whose handler panicked.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;

use super::problem::Problem;
use crate::telemetry::{Metrics, Route};

/// Counts a request by route and status. Wraps all routes.
pub async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_topic = path.starts_with("/v1/topics/") && path.ends_with("/events");
    let route = match path {
        "/" => Route::Root,
        _ if is_topic && request.method() == Method::POST => Route::Publish,
        _ if is_topic => Route::Events,
        _ => Route::Unknown,
    };
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        // The panic hook has logged it.
        Err(_) => Problem::internal().into_response(),
    };
    metrics.http_request(route, response.status().as_u16());
    response
}
