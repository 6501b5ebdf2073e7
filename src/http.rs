//! Events over HTTP without gRPC: for curl, webhooks and `EventSource` in a browser.
//!
//! Requests are converted to those of `EventService` and handled by its methods, so that limits,
//! checks, schemas and errors are the same. `docs/HTTP.md` is the reference.

mod binary;
mod json;
mod problem;
mod publish_body;
mod query;
mod request_metrics;
mod stream;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use tonic::Request as Call;

pub use self::problem::Problem;
use self::{json::JsonEncoder, query::Query};
use crate::{
    proto::servers::v1::event_service_server::EventService as _, service::Events,
    telemetry::Metrics,
};

/// The methods of the events of a topic.
const METHODS: &str = "GET, HEAD, POST";

/// The state shared by the handlers.
struct HttpState {
    events: Arc<Events>,
    batch_events_max: usize,
    encoder: JsonEncoder,
}

/// The routes of requests other than gRPC.
pub fn router(events: Arc<Events>, batch_events_max: usize, metrics: Metrics) -> Router {
    let state = Arc::new(HttpState { events, batch_events_max, encoder: JsonEncoder::new() });
    Router::new()
        .route("/", with_allow("GET, HEAD", get(about)))
        .route("/v1/topics/{topic}/events", with_allow(METHODS, get(read).post(publish)))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(metrics, request_metrics::count))
        .with_state(state)
}

/// Answers other methods with the list of supported ones.
fn with_allow(
    methods: &'static str,
    router: MethodRouter<Arc<HttpState>>,
) -> MethodRouter<Arc<HttpState>> {
    router.fallback(move || async move { Problem::method_not_allowed(methods) })
}

async fn not_found(uri: Uri, headers: HeaderMap) -> Problem {
    Problem::not_found(uri.path(), headers.get(header::CONTENT_TYPE))
}

async fn about(headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or("localhost:7171");
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "This is Tidings {version}, an event streaming service. It serves gRPC, gRPC-Web and HTTP on this port.

List services and topics, by gRPC (reflection describes requests and responses):
  grpcurl -plaintext {host} list
  grpcurl -plaintext {host} tidings.events.v1.TopicService/ListTopics

Read the events of a topic, by HTTP:
  curl -N '{host}/v1/topics/TOPIC/events?from=earliest'

Publish an event, by HTTP:
  curl {host}/v1/topics/TOPIC/events -H 'Content-Type: application/cloudevents+json' \\
    -d '{{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"/curl\", \"type\": \"Hello\", \"data\": {{\"to\": \"you\"}}}}'

Create a topic:  tidings topic create TOPIC --server http://{host}
"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

type Topic = Result<Path<String>, PathRejection>;

async fn publish(
    State(state): State<Arc<HttpState>>,
    topic: Topic,
    request: Request,
) -> Result<Response, Problem> {
    let Path(topic) = topic.map_err(|error| Problem::bad_path(&error.body_text()))?;
    let query = Query::of(request.uri())?;
    let options = query::publish_options(query)?;
    let events = publish_body::events(request, state.batch_events_max).await?;
    // A batch of CloudEvents may be empty, a PublishRequest may not.
    let response = if events.is_empty() && !options.is_conditional() {
        state.events.publish_nothing(&topic).await?
    } else {
        state.events.publish(Call::new(options.request(topic, events))).await?
    };
    let (metadata, response, _) = response.into_parts();
    let mut body = state.encoder.encode("tidings.events.v1.PublishResponse", &response);
    body.push('\n');
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok((metadata.into_headers(), content_type, body).into_response())
}

async fn read(
    State(state): State<Arc<HttpState>>,
    topic: Topic,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(topics) = topic.map_err(|error| Problem::bad_path(&error.body_text()))?;
    let framing = stream::Framing::accepted(&headers)?;
    let request = query::stream_request(Query::of(&uri)?, &headers)?;
    stream::open(state, &topics, request, framing).await
}
