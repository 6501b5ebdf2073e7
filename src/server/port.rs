//! One port for gRPC, gRPC-Web and HTTP: who gets a request, and whose pages may send one.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready as polled},
    time::Duration,
};

use axum::{Router, response::IntoResponse as _};
use bytes::Bytes;
use futures_util::future::{Either, MapOk, TryFutureExt as _};
use http::{HeaderMap, HeaderName, Method, Request, Response, Version, header, uri::Authority};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{body::Body, service::Routes};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::{
    config::Origins,
    http::Problem,
    telemetry::{GrpcService, Metrics},
};

/// What the content types of gRPC and gRPC-Web begin with.
const GRPC: &str = "application/grpc";
/// How long the body of a request over HTTP/1 may take. There is one request at a time on such a connection, so one that
/// sends a byte now and then would hold it for good.
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// How long browsers keep what a preflight answered: Chromium takes no more than this.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(7200);
/// What scripts may read of an answer, beside what they always may.
const EXPOSED: [&str; 8] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "resume_cursor",
    "retry-after",
    "tidings-registry-revision",
    "tidings-schema-deprecated",
    "allow",
];

/// All that is served on the port.
#[derive(Clone)]
pub struct Port {
    grpc: GrpcWebService<GrpcService<Routes>>,
    http: Router,
    /// Where only this machine is served: those whose pages may call. A page can have its own name resolve to a loopback
    /// address, and is of the same origin as the server then: its browser would let it read everything.
    guarded: Option<Arc<Origins>>,
}

impl Port {
    /// From gRPC services, and what is served to everybody else. `guarded`: who is let in by name, where the port is only
    /// reached from this machine.
    pub fn new(grpc: Routes, http: Router, metrics: &Metrics, guarded: Option<Origins>) -> Self {
        // Calls are counted inside: there a call from a browser is one as any other.
        let grpc = GrpcWebLayer::new().layer(metrics.grpc_layer().layer(grpc.prepare()));
        Self { grpc, http: http.with_state(()), guarded: guarded.map(Arc::new) }
    }
}

/// What browsers are told about pages of other origins; None: nothing, so that they let none through.
pub fn cors(origins: &Origins) -> Option<CorsLayer> {
    let allowed = match origins {
        Origins::Off => return None,
        Origins::Any => AllowOrigin::any(),
        Origins::Listed(origins) => AllowOrigin::list(Origins::headers(origins)),
    };
    // Request headers are mirrored: gRPC-Web sends metadata in them, and CloudEvents attributes, under any name. Nothing is
    // gained by a page that is let through and may not say what it has to say.
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .allow_private_network(true)
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(PREFLIGHT_KEPT);
    Some(layer)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|it| it.as_bytes().starts_with(GRPC.as_bytes()))
}

/// The name that a request calls this server, where it is none that it has: a browser says what stands in its page's URL.
/// Browsers speak HTTP/1 without TLS, and what speaks HTTP/2 calls servers by many names.
fn foreign_host<B>(request: &Request<B>, origins: &Origins) -> Option<String> {
    if request.version() == Version::HTTP_2 {
        return None;
    }
    let named = request.headers().get(header::HOST)?;
    let called = String::from_utf8_lossy(named.as_bytes());
    let authority = called.parse::<Authority>();
    let host = authority.as_ref().map_or(&*called, Authority::host);
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_own = name == "localhost"
        || name.ends_with(".localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        || origins.has_host(&name);
    (!is_own).then(|| called.into_owned())
}

type HttpAnswer = <Router as Service<Request<Body>>>::Future;
type Wrap = fn(axum::response::Response) -> Response<Body>;

impl Service<Request<Body>> for Port {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        <GrpcWebService<GrpcService<Routes>> as Service<Request<Body>>>::Future,
        Either<MapOk<HttpAnswer, Wrap>, Ready<Result<Response<Body>, Infallible>>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        polled!(Service::<Request<Body>>::poll_ready(&mut self.grpc, context))?;
        Service::<Request<Body>>::poll_ready(&mut self.http, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let foreign = self.guarded.as_ref().and_then(|origins| foreign_host(&request, origins));
        if let Some(host) = foreign {
            let refused = Problem::misdirected(&host).into_response().map(Body::new);
            return Either::Right(Either::Right(ready(Ok(refused))));
        }
        let request = if request.version() == Version::HTTP_2 || request.body().is_end_stream() {
            request
        } else {
            request.map(|body| Body::new(Awaited { body, end: Box::pin(sleep(BODY_PATIENCE)) }))
        };
        if is_grpc(request.headers()) {
            Either::Left(self.grpc.call(request))
        } else {
            let wrap: Wrap = |answer| answer.map(Body::new);
            Either::Right(Either::Left(self.http.call(request).map_ok(wrap)))
        }
    }
}

/// The body of a request did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request took more than {} s", BODY_PATIENCE.as_secs())]
struct TooSlow;

/// A body that is not waited for forever.
struct Awaited {
    body: Body,
    end: Pin<Box<Sleep>>,
}

impl http_body::Body for Awaited {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.end.as_mut().poll(context).map(|()| Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
