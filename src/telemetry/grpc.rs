//! The layer that counts gRPC calls and answers INTERNAL if a handler panics.
//!
//! A call costs a few atomic additions, and a message of a stream one: messages are found by the
//! five-byte prefixes of their frames, without decoding them.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::error;

use super::{Metrics, frames::FrameCounter, grpc_metrics::Call};

/// Wraps a service in [`GrpcService`].
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

/// Counts the calls of the inner service, and answers INTERNAL if it panics.
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
        let mut call = self.metrics.grpc().start(request.uri().path());
        let method = &call.method;
        let request = if method.method_type.client_streams {
            let received = method.received.clone();
            request.map(|body| {
                tonic::body::Body::new(CountedBody {
                    body,
                    received,
                    frames: FrameCounter::default(),
                })
            })
        } else {
            method.received.inc();
            request
        };
        let metrics = self.metrics.clone();
        let response = CatchPanic { inner: Box::pin(self.inner.call(request)) };
        Box::pin(async move {
            let response = match response.await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    call.end(Code::Unknown);
                    return Err(error);
                }
                Err(panic) => {
                    record_panic(&metrics, &call, &*panic);
                    Status::internal("internal error").into_http()
                }
            };
            // An error without a message is a response with headers only.
            if let Some(code) = code_of(response.headers()) {
                call.end(code);
            }
            Ok(response.map(|body| MeteredBody {
                body,
                call,
                metrics,
                frames: FrameCounter::default(),
            }))
        })
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

fn record_panic(metrics: &Metrics, call: &Call, panic: &(dyn Any + Send)) {
    metrics.rpc_panicked();
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let labels = &call.method.labels;
    error!(service = %labels.grpc_service, method = %labels.grpc_method, panic = %message, "call panicked");
}

/// A future that returns a panic instead of propagating it, which would end the client's call
/// without a status.
struct CatchPanic<F> {
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Unwind safe: the future is not polled again after a panic.
        match catch_unwind(AssertUnwindSafe(|| self.inner.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// A response body that counts its messages and records the end of the call.
#[derive(Debug)]
pub struct MeteredBody<B> {
    body: B,
    call: Call,
    metrics: Metrics,
    frames: FrameCounter,
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
                record_panic(&this.metrics, &this.call, &*panic);
                this.call.end(Code::Internal);
                let mut trailers = HeaderMap::new();
                // Cannot fail with this message. Without trailers the client sees a broken stream.
                let _ = Status::internal("internal error").add_header(&mut trailers);
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.call.method.sent.inc_by(this.frames.count(data));
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

/// A request body that counts its messages.
struct CountedBody {
    body: tonic::body::Body,
    received: Counter,
    frames: FrameCounter,
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
            let messages = self.frames.count(data);
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn call<F, Fut>(
        metrics: &Metrics,
        path: &str,
        handler: F,
    ) -> Response<MeteredBody<tonic::body::Body>>
    where
        F: FnMut(Request<tonic::body::Body>) -> Fut + Clone,
        Fut: Future<Output = Result<Response<tonic::body::Body>, Infallible>> + Send + 'static,
    {
        let mut service = metrics.grpc_layer().layer(tower::service_fn(handler));
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
