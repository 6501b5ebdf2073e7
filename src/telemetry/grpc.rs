//! Counts gRPC calls under the names that dashboards know.
//!
//! A method's series are looked up once, when the metrics are made; a call is then a few atomic additions, and a message of
//! a stream one, found by walking the five-byte prefixes of the frames without looking at what is in them. Paths that name
//! no method of ours share one set of labels.

use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::error;

use super::Metrics;
use crate::proto::DESCRIPTORS;

/// Methods that are served beside those of `proto/`.
const OTHER_METHODS: [(&str, &str, MethodType); 4] = [
    ("grpc.health.v1.Health", "Check", MethodType::UNARY),
    ("grpc.health.v1.Health", "Watch", MethodType::SERVER_STREAM),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", MethodType::BIDI_STREAM),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", MethodType::BIDI_STREAM),
];

/// Codes as they are counted, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Which sides of a method are streams.
#[derive(Debug, Clone, Copy)]
struct MethodType {
    client_streams: bool,
    server_streams: bool,
}

impl MethodType {
    const UNARY: Self = Self { client_streams: false, server_streams: false };
    const SERVER_STREAM: Self = Self { client_streams: false, server_streams: true };
    const BIDI_STREAM: Self = Self { client_streams: true, server_streams: true };

    fn label(self) -> &'static str {
        match (self.client_streams, self.server_streams) {
            (false, false) => "unary",
            (true, false) => "client_stream",
            (false, true) => "server_stream",
            (true, true) => "bidi_stream",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    grpc_type: &'static str,
    grpc_service: String,
    grpc_method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandledLabels {
    grpc_type: &'static str,
    grpc_service: String,
    grpc_method: String,
    grpc_code: &'static str,
}

/// The series of all methods.
#[derive(Debug)]
pub(super) struct GrpcMetrics {
    methods: HashMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

/// The series of one method.
#[derive(Debug)]
struct Method {
    kind: MethodType,
    labels: MethodLabels,
    started: Counter,
    handled: Family<HandledLabels, Counter>,
    /// Found in the family when a code first comes up.
    handled_by_code: [OnceLock<Counter>; CODES.len()],
    received: Counter,
    sent: Counter,
    seconds: Histogram,
}

impl GrpcMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Families::register(registry);
        let mut methods = HashMap::new();
        for (service, method, kind) in served() {
            methods
                .insert(format!("/{service}/{method}"), families.method(&service, &method, kind));
        }
        let unknown = families.method("unknown", "unknown", MethodType::UNARY);
        Self { methods, unknown }
    }

    /// Counts a call of this path as begun; it ends when the call is told so or dropped.
    pub(super) fn begin(&self, path: &str) -> Call {
        Call::begin(self.method(path))
    }

    fn method(&self, path: &str) -> Arc<Method> {
        Arc::clone(self.methods.get(path).unwrap_or(&self.unknown))
    }
}

/// Service, method and kind of everything that can be called.
fn served() -> Vec<(String, String, MethodType)> {
    let mut methods: Vec<_> = OTHER_METHODS
        .iter()
        .map(|(service, method, kind)| ((*service).to_owned(), (*method).to_owned(), *kind))
        .collect();
    // They are compiled into the binary; a test sees that they decode.
    let files = [DESCRIPTORS, tidings_registry::proto::DESCRIPTORS]
        .map(|set| FileDescriptorSet::decode(set).unwrap_or_default());
    for file in files.iter().flat_map(|set| &set.file) {
        for service in &file.service {
            for method in &service.method {
                methods.push((
                    format!("{}.{}", file.package(), service.name()),
                    method.name().to_owned(),
                    MethodType {
                        client_streams: method.client_streaming(),
                        server_streams: method.server_streaming(),
                    },
                ));
            }
        }
    }
    methods
}

struct Families {
    started: Family<MethodLabels, Counter>,
    handled: Family<HandledLabels, Counter>,
    received: Family<MethodLabels, Counter>,
    sent: Family<MethodLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            started: Family::default(),
            handled: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            // 100 µs to 26 s, by four: a dozen series per method are enough to see a shape.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(100e-6, 4.0, 10))
            }),
        };
        registry.register("grpc_server_started", "Calls begun", families.started.clone());
        registry.register("grpc_server_handled", "Calls ended, by code", families.handled.clone());
        registry.register(
            "grpc_server_msg_received",
            "Messages received from clients",
            families.received.clone(),
        );
        registry.register(
            "grpc_server_msg_sent",
            "Messages sent to clients",
            families.sent.clone(),
        );
        registry.register(
            "grpc_server_handling_seconds",
            "Time from a call's begin to its end; of streams, how long they were open",
            families.seconds.clone(),
        );
        families
    }

    fn method(&self, service: &str, method: &str, kind: MethodType) -> Arc<Method> {
        let labels = MethodLabels {
            grpc_type: kind.label(),
            grpc_service: service.to_owned(),
            grpc_method: method.to_owned(),
        };
        Arc::new(Method {
            kind,
            started: self.started.get_or_create_owned(&labels),
            handled: self.handled.clone(),
            handled_by_code: Default::default(),
            received: self.received.get_or_create_owned(&labels),
            sent: self.sent.get_or_create_owned(&labels),
            seconds: self.seconds.get_or_create_owned(&labels),
            labels,
        })
    }
}

impl Method {
    fn handled(&self, code: Code) {
        let index = usize::try_from(i32::from(code)).unwrap_or_default();
        let Some((cached, name)) = self.handled_by_code.get(index).zip(CODES.get(index)) else {
            return;
        };
        cached
            .get_or_init(|| {
                self.handled.get_or_create_owned(&HandledLabels {
                    grpc_type: self.labels.grpc_type,
                    grpc_service: self.labels.grpc_service.clone(),
                    grpc_method: self.labels.grpc_method.clone(),
                    grpc_code: name,
                })
            })
            .inc();
    }
}

/// One call, from its begin to its end. Dropped without an end, its client went away.
#[derive(Debug)]
pub(super) struct Call {
    method: Arc<Method>,
    begun: Instant,
    ended: bool,
}

impl Call {
    fn begin(method: Arc<Method>) -> Self {
        method.started.inc();
        Self { method, begun: Instant::now(), ended: false }
    }

    fn end(&mut self, code: Code) {
        if !self.ended {
            self.ended = true;
            self.method.handled(code);
            self.method.seconds.observe(self.begun.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// Puts [`GrpcService`] around a service.
#[derive(Clone, Debug)]
pub struct GrpcLayer {
    metrics: Metrics,
}

impl GrpcLayer {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for GrpcLayer {
    type Service = GrpcService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcService { inner, metrics: self.metrics.clone() }
    }
}

/// Counts the calls of the service inside, and answers INTERNAL where it panics.
#[derive(Clone, Debug)]
pub struct GrpcService<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B> Service<Request<tonic::body::Body>> for GrpcService<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: Body<Data = Bytes> + Default + Unpin + Send + 'static,
{
    type Response = Response<MeteredBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let mut call = self.metrics.grpc().begin(request.uri().path());
        let method = &call.method;
        let request = if method.kind.client_streams {
            let received = method.received.clone();
            request.map(|body| {
                tonic::body::Body::new(CountedBody { body, received, frames: Frames::default() })
            })
        } else {
            method.received.inc();
            request
        };
        let metrics = self.metrics.clone();
        let answer = CatchPanic { inner: Box::pin(self.inner.call(request)) };
        Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    call.end(Code::Unknown);
                    return Err(error);
                }
                Err(panic) => {
                    tell_panic(&metrics, &call, &*panic);
                    Status::internal("internal error").into_http()
                }
            };
            // An error without a message is a response of headers only.
            if let Some(code) = code_of(response.headers()) {
                call.end(code);
            }
            Ok(response.map(|body| MeteredBody { body, call, metrics, frames: Frames::default() }))
        })
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

fn tell_panic(metrics: &Metrics, call: &Call, panic: &(dyn Any + Send)) {
    metrics.rpc_panics();
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let labels = &call.method.labels;
    error!(service = %labels.grpc_service, method = %labels.grpc_method, panic = %message, "call panicked");
}

/// A future that tells of a panic instead of passing it on: it would end the client's call without a word.
struct CatchPanic<F> {
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is not polled again after a panic, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| self.inner.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// A response's body that counts its messages and knows how the call ended.
#[derive(Debug)]
pub struct MeteredBody<B> {
    body: B,
    call: Call,
    metrics: Metrics,
    frames: Frames,
}

impl<B: Body<Data = Bytes> + Unpin> Body for MeteredBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.call.ended && this.body.is_end_stream() {
            return Poll::Ready(None);
        }
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.body).poll_frame(cx)));
        let frame = match polled {
            Ok(poll) => ready!(poll),
            Err(panic) => {
                tell_panic(&this.metrics, &this.call, &*panic);
                this.call.end(Code::Internal);
                let mut trailers = HeaderMap::new();
                // Three valid ASCII words: this cannot fail, and without it the client sees a broken stream.
                let _ = Status::internal("internal error").add_header(&mut trailers);
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.call.method.sent.inc_by(this.frames.walk(data));
                } else if let Some(code) = frame.trailers_ref().and_then(code_of) {
                    this.call.end(code);
                }
            }
            Some(Err(_)) => this.call.end(Code::Unknown),
            None => this.call.end(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body that counts its messages.
struct CountedBody {
    body: tonic::body::Body,
    received: Counter,
    frames: Frames,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let messages = self.frames.walk(data);
            self.received.inc_by(messages);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Follows gRPC's frames (a flag, four bytes of length, the message) through pieces cut anywhere.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes of the present message still to come.
    left: usize,
    prefix: [u8; 5],
    prefix_len: usize,
}

impl Frames {
    /// How many messages begin in this piece.
    fn walk(&mut self, mut piece: &[u8]) -> u64 {
        let mut begun = 0;
        while !piece.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(piece.len());
                piece.advance(skipped);
                self.left -= skipped;
                continue;
            }
            let missing = self.prefix.len() - self.prefix_len;
            let taken = missing.min(piece.len());
            self.prefix[self.prefix_len..self.prefix_len + taken].copy_from_slice(&piece[..taken]);
            self.prefix_len += taken;
            piece.advance(taken);
            if self.prefix_len == self.prefix.len() {
                let [_flag, length @ ..] = self.prefix;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.prefix_len = 0;
                begun += 1;
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn messages_are_counted_wherever_the_pieces_are_cut() {
        let mut wire = Vec::new();
        for length in [0_u32, 1, 7, 300] {
            wire.push(0);
            wire.extend(length.to_be_bytes());
            wire.extend(vec![9; length as usize]);
        }
        for size in 1..wire.len() {
            let mut frames = Frames::default();
            let counted: u64 = wire.chunks(size).map(|piece| frames.walk(piece)).sum();
            assert_eq!(counted, 4, "pieces of {size}");
        }
    }

    #[test]
    fn our_methods_are_known_by_path() {
        let metrics = Metrics::new();
        let publish = metrics.grpc().method("/tidings.events.v1.EventService/PublishStream");
        assert_eq!(publish.labels.grpc_type, "bidi_stream");
        assert_eq!(metrics.grpc().method("/../etc").labels.grpc_method, "unknown");
    }

    async fn call<F, Fut>(
        metrics: &Metrics,
        path: &str,
        answer: F,
    ) -> Response<MeteredBody<tonic::body::Body>>
    where
        F: FnMut(Request<tonic::body::Body>) -> Fut + Clone,
        Fut: Future<Output = Result<Response<tonic::body::Body>, Infallible>> + Send + 'static,
    {
        let mut service = metrics.grpc_layer().layer(tower::service_fn(answer));
        let request = Request::builder().uri(path).body(tonic::body::Body::empty()).unwrap();
        service.call(request).await.unwrap()
    }

    #[tokio::test]
    async fn calls_are_counted_with_their_code() {
        let metrics = Metrics::new();
        let path = "/tidings.events.v1.EventService/Publish";
        call(&metrics, path, |_| async { Ok(Status::not_found("x").into_http()) }).await;
        // Dropped before its body ended.
        call(&metrics, path, |_| async { Ok(Response::default()) }).await;
        let panicked = call(&metrics, path, |_| async { panic!("a bug, on purpose") }).await;
        assert_eq!(code_of(panicked.headers()), Some(Code::Internal));
        let text = metrics.encode();
        let labels = "grpc_type=\"unary\",grpc_service=\"tidings.events.v1.EventService\",grpc_method=\"Publish\"";
        for (code, count) in [("NotFound", 1), ("Canceled", 1), ("Internal", 1)] {
            let line =
                format!("grpc_server_handled_total{{{labels},grpc_code=\"{code}\"}} {count}");
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(text.contains(&format!("grpc_server_started_total{{{labels}}} 3")));
        assert!(text.contains("tidings_rpc_panics_total 1"));
    }
}
