//! One port for gRPC, gRPC-Web and HTTP: routes requests, and decides which browser pages may send
//! them.

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

/// Prefix of the content types of gRPC and gRPC-Web.
const GRPC_TYPE: &str = "application/grpc";
/// Time limit of a request body over HTTP/1. Such a connection has one request at a time, so a
/// client that sends a byte now and then would otherwise hold it forever.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long browsers cache the response to a preflight: the limit of Chromium.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7200);
/// Response headers that scripts may read in addition to those that are always readable.
const EXPOSED_HEADERS: [&str; 8] = [
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "resume_cursor",
    "retry-after",
    "tidings-registry-revision",
    "tidings-schema-deprecated",
    "allow",
];

/// The services of the port.
#[derive(Clone)]
pub struct Port {
    grpc: GrpcWebService<GrpcService<Routes>>,
    http: Router,
    /// The allowed origins if the port is on loopback, where Host is checked against them. A page
    /// whose own name resolves to a loopback address has the same origin as the server, so a
    /// browser would let it read every response.
    loopback_origins: Option<Arc<Origins>>,
}

impl Port {
    /// Creates a port from the gRPC services and the HTTP routes. `loopback_origins` has the
    /// allowed origins if the port is on loopback.
    pub fn new(
        grpc: Routes,
        http: Router,
        metrics: &Metrics,
        loopback_origins: Option<Origins>,
    ) -> Self {
        // Calls are counted inside the gRPC-Web layer, where calls of browsers are plain gRPC.
        let grpc = GrpcWebLayer::new().layer(metrics.grpc_layer().layer(grpc.prepare()));
        let loopback_origins = loopback_origins.map(Arc::new);
        Self { grpc, http: http.with_state(()), loopback_origins }
    }
}

/// The CORS headers for pages of other origins. `None` if no other origin is allowed: browsers then
/// reject all of them.
pub fn cors(origins: &Origins) -> Option<CorsLayer> {
    let allowed = match origins {
        Origins::Off => return None,
        Origins::Any => AllowOrigin::any(),
        Origins::Listed(origins) => AllowOrigin::list(Origins::headers(origins)),
    };
    // Request headers are mirrored, because gRPC-Web metadata and CloudEvents attributes are
    // headers of any name. A list of allowed headers would not protect against a page of an allowed
    // origin.
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .allow_private_network(true)
        .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
        .max_age(PREFLIGHT_MAX_AGE);
    Some(layer)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(GRPC_TYPE.as_bytes()))
}

/// The Host of a request if it is neither local nor the host of an allowed origin. A browser sends
/// the host of the URL that its page requests. HTTP/2 is not checked: browsers use HTTP/1 without
/// TLS, and other clients reach servers by many names.
fn foreign_host<B>(request: &Request<B>, origins: &Origins) -> Option<String> {
    if request.version() == Version::HTTP_2 {
        return None;
    }
    let host_header = request.headers().get(header::HOST)?;
    let text = String::from_utf8_lossy(host_header.as_bytes());
    let authority = text.parse::<Authority>();
    let host = authority.as_ref().map_or(&*text, Authority::host);
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_own = name == "localhost"
        || name.ends_with(".localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        || origins.has_host(&name);
    (!is_own).then(|| text.into_owned())
}

type HttpFuture = <Router as Service<Request<Body>>>::Future;
type WrapBody = fn(axum::response::Response) -> Response<Body>;

impl Service<Request<Body>> for Port {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        <GrpcWebService<GrpcService<Routes>> as Service<Request<Body>>>::Future,
        Either<MapOk<HttpFuture, WrapBody>, Ready<Result<Response<Body>, Infallible>>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        polled!(Service::<Request<Body>>::poll_ready(&mut self.grpc, context))?;
        Service::<Request<Body>>::poll_ready(&mut self.http, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let foreign =
            self.loopback_origins.as_ref().and_then(|origins| foreign_host(&request, origins));
        if let Some(host) = foreign {
            let response = Problem::misdirected(&host).into_response().map(Body::new);
            return Either::Right(Either::Right(ready(Ok(response))));
        }
        let request = if request.version() == Version::HTTP_2 || request.body().is_end_stream() {
            request
        } else {
            request
                .map(|body| Body::new(TimedBody { body, deadline: Box::pin(sleep(BODY_TIMEOUT)) }))
        };
        if is_grpc(request.headers()) {
            Either::Left(self.grpc.call(request))
        } else {
            let wrap: WrapBody = |response| response.map(Body::new);
            Either::Right(Either::Left(self.http.call(request).map_ok(wrap)))
        }
    }
}

/// A request body exceeded its time limit.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request took more than {} s", BODY_TIMEOUT.as_secs())]
struct BodyTimedOut;

/// A request body with a time limit.
struct TimedBody {
    body: Body,
    deadline: Pin<Box<Sleep>>,
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.deadline.as_mut().poll(context).map(|()| Some(Err(BodyTimedOut.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
