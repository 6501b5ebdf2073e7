//! A registry that runs elsewhere, on this server's port: calls are passed on as they are, undecoded. An answer waits for
//! the mirror, so that what was registered through this server holds for the next publish to it.

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

/// Passes calls on.
#[derive(Clone)]
pub struct Remote {
    transport: Transport,
    mirror: Mirror,
}

impl Remote {
    /// To the registry that the mirror is of.
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
        // Each call waits for its own turn: one that cannot be passed on is answered.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { transport, mirror } = self.clone();
        Box::pin(async move {
            let answer = match transport.oneshot(request).await {
                Ok(answer) => answer,
                Err(error) => return Ok(unreachable(error.as_ref()).into_http()),
            };
            if let Some(revision) = revision::of(answer.headers()) {
                // A mirror that is late does not make the answer untrue.
                let _ = mirror.reach(revision).await;
            }
            Ok(answer)
        })
    }
}
