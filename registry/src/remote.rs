//! Serves a remote registry on this server's port: calls are forwarded undecoded. A response waits
//! for the mirror, so that a schema that was registered through this server applies to the next
//! publish to it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{body::Body, codegen::http, server::NamedService};
use tower::{Service, ServiceExt as _};

use crate::{
    client::Transport,
    mirror::Mirror,
    proto::v1::schema_registry_service_server::SERVICE_NAME,
    service::{revision, unreachable},
};

/// Forwards calls to a remote registry.
#[derive(Clone)]
pub struct Remote {
    transport: Transport,
    mirror: Mirror,
}

impl Remote {
    /// Forwards calls to the registry that the mirror copies.
    pub fn new(transport: Transport, mirror: Mirror) -> Self {
        Self { transport, mirror }
    }
}

impl NamedService for Remote {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Remote {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each call waits for the transport itself. A call that cannot be forwarded gets an error
        // response.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { transport, mirror } = self.clone();
        Box::pin(async move {
            let response = match transport.oneshot(request).await {
                Ok(response) => response,
                Err(error) => return Ok(unreachable(error.as_ref()).into_http()),
            };
            if let Some(revision) = revision::of(response.headers()) {
                // The response is valid even if the mirror is late.
                let _ = mirror.wait_for_revision(revision).await;
            }
            Ok(response)
        })
    }
}
