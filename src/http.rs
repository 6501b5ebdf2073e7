//! Another mouth of the same service, for whoever speaks HTTP and no gRPC: curl, webhooks, `EventSource` in a browser.
//!
//! Requests become those of `EventService` and are answered by its own functions, so that limits, checks, schemas and
//! refusals are the same. `docs/HTTP.md` is the reference.

mod binary;
mod count;
mod json;
mod posted;
mod problem;
mod query;
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
use self::{json::Schema, query::Query};
use crate::{
    proto::servers::v1::event_service_server::EventService as _, service::Events,
    telemetry::Metrics,
};

/// The methods of the one resource.
const METHODS: &str = "GET, HEAD, POST";

/// What the handlers share.
struct Mouth {
    events: Arc<Events>,
    batch_events_max: usize,
    schema: Schema,
}

/// What is served to everybody who does not speak gRPC.
pub fn router(events: Arc<Events>, batch_events_max: usize, metrics: Metrics) -> Router {
    let mouth = Arc::new(Mouth { events, batch_events_max, schema: Schema::new() });
    Router::new()
        .route("/", only("GET, HEAD", get(about)))
        .route("/v1/topics/{topic}/events", only(METHODS, get(read).post(publish)))
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(metrics, count::requests))
        .with_state(mouth)
}

/// Other methods are told which ones there are.
fn only(methods: &'static str, router: MethodRouter<Arc<Mouth>>) -> MethodRouter<Arc<Mouth>> {
    router.fallback(move || async move { Problem::method_not_allowed(methods) })
}

async fn nowhere(uri: Uri, headers: HeaderMap) -> Problem {
    Problem::nowhere(uri.path(), headers.get(header::CONTENT_TYPE))
}

async fn about(headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or("localhost:7171");
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "This is Tidings {version}, an event streaming service. It speaks gRPC, gRPC-Web and HTTP on this port.

What is here, by gRPC (reflection says what is asked and answered):
  grpcurl -plaintext {host} list
  grpcurl -plaintext {host} tidings.events.v1.TopicService/ListTopics

A topic's events, by HTTP:
  curl -N '{host}/v1/topics/TOPIC/events?from=earliest'

Publish one:
  curl {host}/v1/topics/TOPIC/events -H 'Content-Type: application/cloudevents+json' \\
    -d '{{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"/curl\", \"type\": \"Hello\", \"data\": {{\"to\": \"you\"}}}}'

Create a topic:  tidings topic create TOPIC --server http://{host}
"
    );
    let plain = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (plain, text).into_response()
}

type Topic = Result<Path<String>, PathRejection>;

async fn publish(
    State(mouth): State<Arc<Mouth>>,
    topic: Topic,
    request: Request,
) -> Result<Response, Problem> {
    let Path(topic) = topic.map_err(|error| Problem::bad_path(&error.body_text()))?;
    let query = Query::of(request.uri())?;
    let options = query::publish(query)?;
    let events = posted::events(request, mouth.batch_events_max).await?;
    // A batch of CloudEvents may be empty, a PublishRequest may not.
    let answer = if events.is_empty() && !options.is_conditional() {
        mouth.events.publish_nothing(&topic).await?
    } else {
        mouth.events.publish(Call::new(options.request(topic, events))).await?
    };
    let (metadata, response, _) = answer.into_parts();
    let mut body = mouth.schema.text("tidings.events.v1.PublishResponse", &response);
    body.push('\n');
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((metadata.into_headers(), json, body).into_response())
}

async fn read(
    State(mouth): State<Arc<Mouth>>,
    topic: Topic,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path(topics) = topic.map_err(|error| Problem::bad_path(&error.body_text()))?;
    let framing = stream::Framing::accepted(&headers)?;
    let wanted = query::read(Query::of(&uri)?, &headers)?;
    stream::open(mouth, &topics, wanted, framing).await
}
