//! Another mouth of the same service, for whoever speaks HTTP and no gRPC.

use axum::Router;

/// What is served to everybody who does not speak gRPC.
pub fn router() -> Router {
    Router::new()
}
