//! Encodes errors as problem details (RFC 9457), from the statuses that gRPC clients get.

use std::collections::BTreeMap;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    json::{Object, string},
    model::fault::{FaultKind, Faults},
    proto::code_name,
    service,
};

/// The content type of problem details.
const PROBLEM_TYPE: &str = "application/problem+json";
/// The CloudEvents content types of a publish.
pub const ACCEPTED: &str = "application/cloudevents+json, application/cloudevents-batch+json, \
                            application/cloudevents+protobuf";

/// The error response of a request.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// Members after those of the standard, with their JSON.
    members: Vec<(&'static str, String)>,
    retry_seconds: Option<u64>,
    allow: Option<&'static str>,
    accept: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let members = Vec::new();
        Self { status, detail, members, retry_seconds: None, allow: None, accept: None }
    }

    /// An invalid request.
    pub fn invalid(faults: &Faults) -> Self {
        service::invalid(faults).into()
    }

    /// An invalid request with one fault.
    pub fn fault(field: &str, description: impl Into<String>) -> Self {
        Self::invalid(&Faults::single(FaultKind::Request, field, description))
    }

    /// A path that does not decode.
    pub fn bad_path(description: &str) -> Self {
        Self::fault("topic", format!("does not decode: {description}"))
    }

    /// A path without a resource.
    pub fn not_found(path: &str, content_type: Option<&HeaderValue>) -> Self {
        let is_method = path.strip_prefix('/').is_some_and(|path| {
            path.split_once('/').is_some_and(|(service, _)| service.starts_with("tidings."))
        });
        if is_method {
            let content_type =
                content_type.and_then(|value| value.to_str().ok()).unwrap_or("missing");
            return Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "this is a method of gRPC, and Content-Type is {content_type}: call it with a gRPC client, or \
                     with gRPC-Web (application/grpc-web+proto); over HTTP, events are at /v1/topics/TOPIC/events"
                ),
            );
        }
        let detail = "no resource has this path: events are at /v1/topics/TOPIC/events, and GET / describes the server";
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// A method that the path does not support.
    pub fn method_not_allowed(methods: &'static str) -> Self {
        let detail = format!("this path supports {methods}");
        let allow = Some(methods);
        Self { allow, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// A body of an unsupported content type or encoding.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        let accept = Some(ACCEPTED);
        Self { accept, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    /// A Host header that a server on loopback rejects.
    pub fn misdirected(host: &str) -> Self {
        let detail = format!(
            "Host is {host:?}; over HTTP/1, a server on loopback accepts only localhost and IP addresses, so that no page \
             can reach it by a name of its own: use one of those, or add the origin to --cors-origins"
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, detail)
    }

    /// An Accept header without a supported content type.
    pub fn not_acceptable(detail: &str) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, detail)
    }

    /// A body that exceeds the limit of the transport.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body exceeds the limit of {limit} bytes: split the batch");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// A body that ended early or timed out.
    pub fn body_broken() -> Self {
        let detail = "the body ended early or took too long: send the request again";
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// A bug of the server.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the server's log has more")
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retry_seconds.is_some()
    }

    /// The JSON document, in one line.
    pub fn text(&self) -> String {
        let mut object = Object::new();
        object.text("type", "about:blank");
        object.text("title", self.status.canonical_reason().unwrap_or("Refused"));
        object.number("status", self.status.as_u16().into());
        object.text("detail", &self.detail);
        for (name, json) in &self.members {
            object.raw(name, json);
        }
        object.finish()
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map(|info| info.reason.as_str()).unwrap_or_default();
        let mut problem = Self::new(status_of(status.code(), reason), status.message());
        problem.members.push(("code", string(code_name(status.code()))));
        if !reason.is_empty() {
            problem.members.push(("reason", string(reason)));
        }
        if let Some(info) = info.filter(|info| !info.metadata.is_empty()) {
            let mut metadata = Object::new();
            for (name, value) in info.metadata.iter().collect::<BTreeMap<_, _>>() {
                metadata.text(name, value);
            }
            problem.members.push(("metadata", metadata.finish()));
        }
        if let Some(bad_request) = details.bad_request() {
            let violations = bad_request.field_violations.iter().map(|violation| {
                let mut object = Object::new();
                object.text("field", &client_field(&violation.field));
                object.text("description", &violation.description);
                object.finish()
            });
            problem.members.push(("violations", array(violations)));
        }
        if let Some(failed) = details.precondition_failure() {
            let violations = failed.violations.iter().map(|violation| {
                let mut object = Object::new();
                object.text("type", &violation.r#type);
                object.text("subject", &violation.subject);
                object.text("description", &violation.description);
                object.finish()
            });
            problem.members.push(("preconditions", array(violations)));
        }
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        problem.retry_seconds = delay.map(|delay| delay.as_secs().max(1));
        problem
    }
}

/// The field as the client knows it: every field of the message that holds a payload is `data`, as
/// in a CloudEvents document.
fn client_field(field: &str) -> String {
    let payloads = ["].text_data", "].binary_data", "].proto_data"];
    match payloads.into_iter().find_map(|payload| field.split_once(payload)) {
        Some((event, rest)) => format!("{event}].data{rest}"),
        None => field.to_owned(),
    }
}

fn array(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(","))
}

/// The HTTP status that `google.rpc.Code` documents for a code, with two more specific ones by
/// reason.
fn status_of(code: Code, reason: &str) -> StatusCode {
    match reason {
        "EVENT_TOO_LARGE" | "BATCH_TOO_LARGE" => return StatusCode::PAYLOAD_TOO_LARGE,
        "POSITION_LOST" => return StatusCode::GONE,
        _ => {}
    }
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut text = self.text();
        text.push('\n');
        let mut response = (self.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if let Some(seconds) = self.retry_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(accept) = self.accept {
            headers.insert("accept-post", HeaderValue::from_static(accept));
        }
        response
    }
}
