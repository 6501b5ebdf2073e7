//! Encodes errors as gRPC statuses. No other file of the services builds a status.
//!
//! Every status has a `google.rpc.ErrorInfo` with a reason of `ErrorReason`, on which clients
//! branch. Details are sent in trailers and stay under 4 KiB: long lists are truncated, and `total`
//! in the metadata has their length.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use prost::Message as _;
use tonic::{
    Code, Status,
    metadata::{Ascii, MetadataValue},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    broker::{
        CommitError, ReadError,
        error::{
            EventError, PublishError, StartError, StreamError, TopicError, TopicNotFound,
            UnsatisfiedRequirement, VersionMismatch,
        },
    },
    model::{
        commit::{FailedCondition, IdConflict},
        cursor::{Cursor, ServerId},
        event::Refusal,
        fault::{FaultKind, Faults},
    },
    proto::events::v1::ErrorReason as Reason,
};

const DOMAIN: &str = "tidings";
/// Bytes of list entries after which a list in the details is truncated. With the other details,
/// all stay under 4 KiB.
const LIST_BYTES_MAX: usize = 2_000;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 400;
/// Delay after which a client may retry.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Builds a status with its details.
struct StatusBuilder {
    code: Code,
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl StatusBuilder {
    fn new(code: Code, reason: Reason, message: impl ToString) -> Self {
        Self {
            code,
            reason,
            message: shorten(&message.to_string()),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
        }
    }

    fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.into(), shorten(&value.to_string()));
        self
    }

    fn retry(mut self) -> Self {
        self.details.set_retry_info(Some(RETRY_DELAY));
        self
    }

    fn resource(mut self, kind: &str, name: &str, description: &str) -> Self {
        self.details.set_resource_info(kind, shorten(name), "", description);
        self
    }

    /// Adds the entries that fit, and the length of the list if not all do.
    fn list<T>(
        mut self,
        entries: impl ExactSizeIterator<Item = T>,
        mut add: impl FnMut(&mut ErrorDetails, T) -> usize,
    ) -> Self {
        let (total, mut bytes, mut added) = (entries.len(), 0, 0);
        for entry in entries {
            bytes += add(&mut self.details, entry);
            added += 1;
            if bytes >= LIST_BYTES_MAX {
                break;
            }
        }
        if added < total { self.with("total", total) } else { self }
    }

    fn status(mut self) -> Status {
        let reason = self.reason.as_str_name().trim_start_matches("ERROR_REASON_");
        self.details.set_error_info(reason, DOMAIN, self.metadata);
        Status::with_error_details(self.code, self.message, self.details)
    }
}

/// Encodes text as the value of a header. Bytes other than visible ASCII are percent-encoded.
pub fn header(text: &str) -> MetadataValue<Ascii> {
    let mut value = String::with_capacity(text.len());
    for byte in shorten(text).bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => value.push(char::from(byte)),
            _ => {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    MetadataValue::try_from(value).unwrap_or_else(|_| MetadataValue::from_static(""))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(DESCRIPTION_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The status of an invalid request.
pub fn invalid(faults: &Faults) -> Status {
    let (reason, sizes) = match faults.iter().next().map(|fault| fault.kind) {
        Some(FaultKind::Name) => (Reason::InvalidName, None),
        Some(FaultKind::Event) => (Reason::InvalidEvent, None),
        Some(FaultKind::Filter) => (Reason::InvalidFilter, None),
        Some(FaultKind::Cursor) => (Reason::InvalidCursor, None),
        Some(FaultKind::BatchTooLarge { size, limit }) => {
            (Reason::BatchTooLarge, Some((size, limit)))
        }
        Some(FaultKind::Request) | None => (Reason::InvalidRequest, None),
    };
    let mut builder = StatusBuilder::new(Code::InvalidArgument, reason, faults);
    if let Some((size, limit)) = sizes {
        builder = builder.with("size", size).with("limit", limit);
    }
    builder
        .list(faults.iter(), |details, fault| {
            let (field, description) = (shorten(&fault.field), shorten(&fault.description));
            let bytes = field.len() + description.len() + 8;
            details.add_bad_request_violation(field, description);
            bytes
        })
        .status()
}

/// The status of a stream whose deadline has passed.
pub fn deadline_exceeded(cursor: &str) -> Status {
    let message = "the deadline of the call has passed: subscribe again with the last cursor";
    let mut status = Status::deadline_exceeded(message);
    resume_at(&mut status, cursor);
    status
}

fn resume_at(status: &mut Status, cursor: &str) {
    if let Ok(value) = MetadataValue::try_from(cursor) {
        status.metadata_mut().insert("resume_cursor", value);
    }
}

fn topic_not_found(error: &TopicNotFound) -> Status {
    let mut builder = StatusBuilder::new(Code::NotFound, Reason::TopicNotFound, error)
        .with("topic", &error.topic)
        .resource("topic", &error.topic, "there is no topic of that name");
    if let Some(suggestion) = &error.suggestion {
        builder = builder.with("nearest", suggestion);
    }
    builder.status()
}

fn draining() -> Status {
    let message = "the server is draining: retry, or connect to another server";
    StatusBuilder::new(Code::Unavailable, Reason::Draining, message).retry().status()
}

/// The status of a bug of the server. The client gets "internal error"; the log has the error.
pub fn internal(error: &dyn std::fmt::Display) -> Status {
    tracing::error!(%error, "internal error");
    StatusBuilder::new(
        Code::Internal,
        Reason::Internal,
        "internal error; the server's log has more",
    )
    .status()
}

fn corrupt(detail: impl ToString, resume: Option<&str>) -> Status {
    let message = format!("stored data is damaged: {}", detail.to_string());
    let mut builder = StatusBuilder::new(Code::DataLoss, Reason::CorruptEvent, message);
    if let Some(resume) = resume {
        builder = builder.with("resume_cursor", resume);
    }
    let mut status = builder.status();
    if let Some(resume) = resume {
        resume_at(&mut status, resume);
    }
    status
}

fn commit(error: &CommitError) -> Status {
    match error {
        CommitError::Rejected(rejected) => internal(rejected),
        CommitError::Ambiguous(_) => {
            let message = "the batch may or may not be recorded: publish it again with the same ids, which \
                           records it once";
            tracing::warn!(%error, "outcome of a commit is unknown");
            StatusBuilder::new(Code::Unavailable, Reason::CommitAmbiguous, message).retry().status()
        }
        CommitError::StorageFull { available, reserve } => {
            StatusBuilder::new(Code::ResourceExhausted, Reason::StorageFull, error)
                .with("size", available)
                .with("limit", reserve)
                .retry()
                .status()
        }
        CommitError::Overloaded(bytes) => {
            StatusBuilder::new(Code::ResourceExhausted, Reason::Overloaded, error)
                .with("limit", bytes)
                .retry()
                .status()
        }
        CommitError::Stopped(_) => {
            let message = "the server is stopping and accepts no publishes";
            StatusBuilder::new(Code::Unavailable, Reason::Draining, message).retry().status()
        }
    }
}

/// The status of a failed publish.
pub fn publish(error: &PublishError, server: ServerId) -> Status {
    match error {
        PublishError::Invalid(faults) => invalid(faults),
        PublishError::TopicNotFound(error) => topic_not_found(error),
        PublishError::IdConflict(conflicts) => id_conflict(error, conflicts, server),
        PublishError::Refused(refused) => refusals(error, refused),
        PublishError::Conditions { topic, failed } => conditions(error, topic, failed),
        PublishError::Corrupt(detail) => corrupt(detail, None),
        PublishError::Commit(error) => commit(error),
        PublishError::Draining(_) => draining(),
    }
}

fn id_conflict(error: &PublishError, conflicts: &[IdConflict], server: ServerId) -> Status {
    let mut builder = StatusBuilder::new(Code::AlreadyExists, Reason::EventIdConflict, error);
    if let Some(first) = conflicts.first() {
        builder =
            builder.resource("event", &first.id, "its content differs from the recorded event");
    }
    if let Some(placement) = conflicts.iter().find_map(|conflict| conflict.first) {
        let cursor = Cursor { position: placement.position, horizon: placement.position };
        builder = builder.with("first_cursor", cursor.text(server));
    }
    builder
        .list(conflicts.iter(), |details, conflict| {
            let field = format!("events[{}].id", conflict.index);
            let description = match conflict.first {
                Some(placement) => format!(
                    "{:?} is recorded at offset {} with different content: use a new id for a new event",
                    conflict.id, placement.offset
                ),
                None => {
                    format!("{:?} occurs twice in the batch, with different content", conflict.id)
                }
            };
            let description = shorten(&description);
            let bytes = field.len() + description.len() + 8;
            details.add_bad_request_violation(field, description);
            bytes
        })
        .status()
}

fn refusals(error: &PublishError, refused: &[(usize, Refusal)]) -> Status {
    let mut builder = match refused.first() {
        Some((_, Refusal::TooLarge { size, limit })) => {
            StatusBuilder::new(Code::InvalidArgument, Reason::EventTooLarge, error)
                .with("size", size)
                .with("limit", limit)
        }
        Some((_, Refusal::TypeNotAllowed { .. })) => {
            StatusBuilder::new(Code::FailedPrecondition, Reason::TypeNotAllowed, error)
        }
        Some((_, Refusal::SchemaRequired { event_type, .. })) => {
            StatusBuilder::new(Code::FailedPrecondition, Reason::SchemaRequired, error)
                .with("subject", event_type)
        }
        Some((_, Refusal::PayloadInvalid { event_type, version, .. })) => {
            StatusBuilder::new(Code::InvalidArgument, Reason::PayloadInvalid, error)
                .with("subject", event_type)
                .with("version", version)
        }
        Some((_, Refusal::VersionUnusable { event_type, requested, .. })) => {
            StatusBuilder::new(Code::FailedPrecondition, Reason::SchemaVersionUnusable, error)
                .with("subject", event_type)
                .with("version", requested)
        }
        Some((_, Refusal::RegistryUnavailable { event_type, .. })) => {
            StatusBuilder::new(Code::Unavailable, Reason::RegistryUnavailable, error)
                .with("subject", event_type)
                .retry()
        }
        None => return internal(error),
    };
    let faults: Vec<(String, String)> =
        refused.iter().flat_map(|(index, refusal)| faults_of(*index, refusal)).collect();
    builder = builder.list(faults.into_iter(), |details, (field, description)| {
        let (field, description) = (shorten(&field), shorten(&description));
        let bytes = field.len() + description.len() + 8;
        details.add_bad_request_violation(field, description);
        bytes
    });
    builder.status()
}

/// The faults of an event of a batch, each with its field. A JSON pointer into a payload follows
/// the field of the payload.
fn faults_of(index: usize, refusal: &Refusal) -> Vec<(String, String)> {
    let field = match refusal {
        Refusal::TooLarge { .. } => format!("events[{index}]"),
        Refusal::TypeNotAllowed { .. }
        | Refusal::SchemaRequired { .. }
        | Refusal::RegistryUnavailable { .. } => format!("events[{index}].type"),
        Refusal::VersionUnusable { .. } => format!("events[{index}].schemaversion"),
        Refusal::PayloadInvalid { payload_field, violations, .. } => {
            let payload = format!("events[{index}].{}", payload_field.name());
            let fault = |(pointer, message): &(String, String)| {
                (format!("{payload}{pointer}"), message.clone())
            };
            return violations.iter().map(fault).collect();
        }
    };
    vec![(field, refusal.to_string())]
}

fn conditions(error: &PublishError, topic: &str, failed: &[FailedCondition]) -> Status {
    let (reason, expected, actual) = match failed.first() {
        Some(FailedCondition::KeyVersion { expected, actual, .. }) => {
            (Reason::KeyVersionMismatch, expected.0, actual.0)
        }
        Some(FailedCondition::TopicEnd { expected, actual }) => {
            (Reason::TopicEndMismatch, expected.0, actual.0)
        }
        None => return internal(error),
    };
    StatusBuilder::new(Code::Aborted, reason, error)
        .with("topic", topic)
        .with("expected", expected)
        .with("actual", actual)
        .list(failed.iter(), |details, condition| {
            let (kind, subject) = match condition {
                FailedCondition::KeyVersion { key, .. } => {
                    ("KEY_VERSION_MISMATCH", format!("topics/{topic}/keys/{key}"))
                }
                FailedCondition::TopicEnd { .. } => {
                    ("TOPIC_END_MISMATCH", format!("topics/{topic}"))
                }
            };
            let description = shorten(&condition.sentence());
            let subject = shorten(&subject);
            let bytes = kind.len() + subject.len() + description.len() + 8;
            details.add_precondition_failure_violation(kind, subject, description);
            bytes
        })
        .status()
}

/// The status of a failed call of the topic service.
pub fn topic(error: &TopicError, server: ServerId) -> Status {
    match error {
        TopicError::Invalid(faults) => invalid(faults),
        TopicError::NotFound(error) => topic_not_found(error),
        TopicError::Exists(name) => {
            StatusBuilder::new(Code::AlreadyExists, Reason::TopicExists, error)
                .with("topic", name)
                .resource("topic", name, "there is a topic of that name")
                .status()
        }
        TopicError::EtagMismatch { topic, actual } => {
            StatusBuilder::new(Code::Aborted, Reason::EtagMismatch, error)
                .with("topic", topic)
                .with("etag", actual)
                .status()
        }
        TopicError::Start(error) => start(error, server),
        TopicError::Commit(error) => commit(error),
        TopicError::Draining(_) => draining(),
    }
}

/// The status of a read or an event stream that could not start.
pub fn start(error: &StartError, server: ServerId) -> Status {
    match error {
        StartError::Invalid(faults) => invalid(faults),
        StartError::TopicNotFound(error) => topic_not_found(error),
        StartError::PositionLost { topic, earliest, latest, .. } => {
            StatusBuilder::new(Code::OutOfRange, Reason::PositionLost, error)
                .with("topic", topic)
                .with("earliest_cursor", earliest.text(server))
                .with("latest_cursor", latest.text(server))
                .status()
        }
        StartError::PositionInFuture { earliest, latest, .. } => {
            StatusBuilder::new(Code::OutOfRange, Reason::PositionInFuture, error)
                .with("earliest_cursor", earliest.text(server))
                .with("latest_cursor", latest.text(server))
                .status()
        }
        StartError::Unsatisfiable(unsatisfied) => unsatisfiable(error, unsatisfied),
        StartError::RegistryUnavailable(error) => {
            StatusBuilder::new(Code::Unavailable, Reason::RegistryUnavailable, error)
                .retry()
                .status()
        }
        StartError::Read(error) => read(error),
        StartError::Draining(_) => draining(),
    }
}

fn unsatisfiable(error: &StartError, unsatisfied: &[UnsatisfiedRequirement]) -> Status {
    let mut builder =
        StatusBuilder::new(Code::FailedPrecondition, Reason::RequirementUnsatisfiable, error);
    if let Some(first) = unsatisfied.first() {
        builder = builder.with("subject", &first.event_type);
    }
    builder
        .list(unsatisfied.iter(), |details, requirement| {
            let (kind, subject) = ("REQUIREMENT_UNSATISFIABLE", shorten(&requirement.event_type));
            let description = shorten(&requirement.sentence());
            let bytes = kind.len() + subject.len() + description.len() + 8;
            details.add_precondition_failure_violation(kind, subject, description);
            bytes
        })
        .status()
}

fn mismatch(mismatch: &VersionMismatch, resume: &str) -> Status {
    let kind = "REQUIREMENT_UNSATISFIABLE";
    let mut builder =
        StatusBuilder::new(Code::FailedPrecondition, Reason::RequirementUnsatisfiable, mismatch)
            .with("topic", &mismatch.topic)
            .with("subject", &mismatch.event_type)
            .with("resume_cursor", resume);
    builder.details.add_precondition_failure_violation(
        kind,
        shorten(&mismatch.event_type),
        shorten(&mismatch.reason),
    );
    let mut status = builder.status();
    resume_at(&mut status, resume);
    status
}

fn read(error: &ReadError) -> Status {
    match error {
        ReadError::Corrupt { .. } => corrupt(error, None),
        ReadError::Storage(error) if error.corrupt => corrupt(error, None),
        ReadError::Storage(error) => internal(error),
    }
}

/// The status of a stream that failed.
pub fn stream(error: &StreamError, server: ServerId) -> Status {
    match error {
        StreamError::TopicNotFound(error) => topic_not_found(error),
        StreamError::Corrupt { error, resume } => {
            corrupt(error, resume.map(|resume| resume.text(server).to_string()).as_deref())
        }
        StreamError::RegistryUnavailable(error) => {
            StatusBuilder::new(Code::Unavailable, Reason::RegistryUnavailable, error)
                .retry()
                .status()
        }
        StreamError::Mismatch { mismatch: event, resume } => {
            mismatch(event, &resume.text(server).to_string())
        }
        StreamError::Storage(error) if error.corrupt => corrupt(error, None),
        StreamError::Storage(error) => internal(error),
        StreamError::Draining(_) => draining(),
    }
}

/// The status of a failed GetEvent.
pub fn event(error: &EventError, server: ServerId) -> Status {
    match error {
        EventError::TopicNotFound(error) => topic_not_found(error),
        EventError::NotFound { topic, event } => {
            StatusBuilder::new(Code::NotFound, Reason::EventNotFound, error)
                .with("topic", topic)
                .resource("event", event, "it was never recorded, or is no longer retained")
                .status()
        }
        EventError::Position(error) => start(error, server),
        EventError::Read(error) => read(error),
    }
}

/// The status of a stream that a drain ended. The client has its cursor from `Draining`.
pub fn drained() -> Status {
    draining()
}

/// Encodes a status as a message, for streams in which each request has its own outcome.
pub fn message(status: &Status) -> tonic_types::pb::Status {
    // The details of a status are a google.rpc.Status with the same code and message.
    tonic_types::pb::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::pb::Status {
        code: status.code().into(),
        message: status.message().into(),
        details: Vec::new(),
    })
}
