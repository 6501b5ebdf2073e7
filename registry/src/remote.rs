//! A registry that runs elsewhere, on this server's port: calls are passed on as they are, undecoded.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{body::Body, codegen::http, server::NamedService};
use tower::{Service, ServiceExt as _};

use crate::{
    client::Transport, proto::v1::schema_registry_service_server::SERVICE_NAME,
    service::unreachable,
};

/// Passes calls on.
#[derive(Clone)]
pub struct Remote(Transport);

impl Remote {
    /// To this registry.
    pub fn new(transport: Transport) -> Self {
        Self(transport)
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
        // Each call waits for its own turn: one that cannot be passed on is answered.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let transport = self.0.clone();
        Box::pin(async move {
            let answer = transport.oneshot(request).await;
            Ok(answer.unwrap_or_else(|error| unreachable(error.as_ref()).into_http()))
        })
    }
}
