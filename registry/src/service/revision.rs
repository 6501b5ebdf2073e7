//! Adds the revision of the registry to every response, so that the owner of a mirror knows the
//! revision to wait for.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::http::{HeaderMap, HeaderValue, Request, Response},
    server::NamedService,
};
use tower::Service;

use crate::registry::Registry;

/// The header of a response that has the revision, as a decimal number.
pub const HEADER: &str = "tidings-registry-revision";

/// Returns the revision of a response.
pub fn of(headers: &HeaderMap) -> Option<u64> {
    headers.get(HEADER)?.to_str().ok()?.parse().ok()
}

/// A service that adds the header to its responses.
#[derive(Clone)]
pub struct AtRevision<S> {
    inner: S,
    registry: Registry,
}

impl<S> AtRevision<S> {
    pub(super) fn new(inner: S, registry: Registry) -> Self {
        Self { inner, registry }
    }
}

impl<S: NamedService> NamedService for AtRevision<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for AtRevision<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.inner.call(request);
        let registry = self.registry.clone();
        Box::pin(async move {
            let mut response = response.await?;
            // Read after the call, so that the changes of the call itself are included.
            let revision = HeaderValue::from(registry.catalog().revision);
            response.headers_mut().insert(HEADER, revision);
            Ok(response)
        })
    }
}
