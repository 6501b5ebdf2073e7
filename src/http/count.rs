//! Counts requests, and answers those that a bug of ours ended.

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

/// Goes around all routes.
pub async fn requests(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
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
        // It was logged where it happened.
        Err(_) => Problem::internal().into_response(),
    };
    metrics.http_request(route, response.status().as_u16());
    response
}
