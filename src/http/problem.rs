//! Refusals as problem details (RFC 9457), made from the same statuses that gRPC clients get.

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

/// The content type of a problem.
const PROBLEM: &str = "application/problem+json";
/// What a publish may be sent as.
pub const ACCEPTED: &str = "application/cloudevents+json, application/cloudevents-batch+json, \
                            application/cloudevents+protobuf";

/// Why a request was not done.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// Members of the document behind those of the standard, and their JSON.
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

    /// Everything that is wrong with a request.
    pub fn invalid(faults: &Faults) -> Self {
        service::invalid(faults).into()
    }

    /// One thing that is wrong with a request.
    pub fn fault(field: &str, description: impl Into<String>) -> Self {
        Self::invalid(&Faults::one(FaultKind::Request, field, description))
    }

    /// The path does not decode.
    pub fn bad_path(why: &str) -> Self {
        Self::fault("topic", format!("does not decode: {why}"))
    }

    /// There is nothing under this path.
    pub fn nowhere(path: &str, content_type: Option<&HeaderValue>) -> Self {
        let is_method = path.strip_prefix('/').is_some_and(|path| {
            path.split_once('/').is_some_and(|(service, _)| service.starts_with("tidings."))
        });
        if is_method {
            let given = content_type.and_then(|it| it.to_str().ok()).unwrap_or("missing");
            return Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "this is a method of gRPC, and Content-Type is {given}: call it with a gRPC client, or with \
                     gRPC-Web (application/grpc-web+proto); events are at /v1/topics/TOPIC/events for everybody else"
                ),
            );
        }
        let detail = "there is nothing under this path: events are at /v1/topics/TOPIC/events, and GET / says more";
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The path has other methods.
    pub fn method_not_allowed(methods: &'static str) -> Self {
        let detail = format!("this path takes {methods}");
        let allow = Some(methods);
        Self { allow, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// The body is nothing that can be read.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        let accept = Some(ACCEPTED);
        Self { accept, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    /// The name that was called is not one of this server's.
    pub fn misdirected(host: &str) -> Self {
        let detail = format!(
            "Host is {host:?}, and a server on loopback answers over HTTP/1 to localhost and to IP addresses, so that no page \
             can point a name of its own at it: call one of those, or name the origin in --cors-origins"
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, detail)
    }

    /// The answer cannot be had so.
    pub fn not_acceptable(detail: &str) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, detail)
    }

    /// The body is longer than any batch may be.
    pub fn too_large(limit: usize) -> Self {
        let detail =
            format!("the body has more than {limit} bytes, which is more than any batch: split it");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// The body did not come.
    pub fn body_broken() -> Self {
        let detail = "the body did not come to its end, or took too long: send the request again";
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// A bug of ours.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the server's log has more")
    }

    /// Whether the same request may do at another moment.
    pub fn may_pass(&self) -> bool {
        self.retry_seconds.is_some()
    }

    /// The document, in one line.
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
        if let Some(bad) = details.bad_request() {
            let all = bad.field_violations.iter().map(|violation| {
                let mut object = Object::new();
                object.text("field", &as_posted(&violation.field));
                object.text("description", &violation.description);
                object.finish()
            });
            problem.members.push(("violations", array(all)));
        }
        if let Some(failed) = details.precondition_failure() {
            let all = failed.violations.iter().map(|violation| {
                let mut object = Object::new();
                object.text("type", &violation.r#type);
                object.text("subject", &violation.subject);
                object.text("description", &violation.description);
                object.finish()
            });
            problem.members.push(("preconditions", array(all)));
        }
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        problem.retry_seconds = delay.map(|delay| delay.as_secs().max(1));
        problem
    }
}

/// The field as whoever posted it knows it: a payload is `data` in a CloudEvents document, or the body itself, whichever
/// field of the message it went into.
fn as_posted(field: &str) -> String {
    let payloads = ["].text_data", "].binary_data", "].proto_data"];
    match payloads.into_iter().find_map(|payload| field.split_once(payload)) {
        Some((event, rest)) => format!("{event}].data{rest}"),
        None => field.to_owned(),
    }
}

fn array(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(","))
}

/// The status of HTTP that `google.rpc.Code` documents for a code, and two that HTTP says better.
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
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
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
