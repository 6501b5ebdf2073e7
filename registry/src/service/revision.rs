//! Every answer says which revision the registry had reached, so that whoever keeps a mirror knows how far it has to be.

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

/// The header of an answer that has the revision, as a decimal number.
pub const HEADER: &str = "tidings-registry-revision";

/// The revision that an answer was given at.
pub fn of(headers: &HeaderMap) -> Option<u64> {
    headers.get(HEADER)?.to_str().ok()?.parse().ok()
}

/// A service whose answers carry the header.
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
        let answer = self.inner.call(request);
        let registry = self.registry.clone();
        Box::pin(async move {
            let mut answer = answer.await?;
            // Read behind the work, so that what the call itself changed is counted.
            let revision = HeaderValue::from(registry.catalog().revision);
            answer.headers_mut().insert(HEADER, revision);
            Ok(answer)
        })
    }
}
