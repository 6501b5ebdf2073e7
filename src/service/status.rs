//! Errors on the wire: the one place that speaks gRPC codes.
//!
//! Every status carries a `google.rpc.ErrorInfo` with a reason out of `ErrorReason`; clients branch on that. Details
//! travel in trailers and stay under 4 KiB: long lists are cut, and `total` in the metadata has the count.

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
            Unsatisfied,
        },
        negotiation::Mismatch,
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
/// Bytes of the entries of a list in the details. With what stands around it, the details stay under 4 KiB.
const LIST_BYTES_MAX: usize = 2_000;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 400;
/// When a client may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A status in the making.
struct Answer {
    code: Code,
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Answer {
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

    /// As many entries as fit, and the count of all where some do not.
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

/// A text as the value of a header: what is not visible ASCII is percent-encoded.
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

/// A request that is not well formed.
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
    let mut answer = Answer::new(Code::InvalidArgument, reason, faults);
    if let Some((size, limit)) = sizes {
        answer = answer.with("size", size).with("limit", limit);
    }
    answer
        .list(faults.iter(), |details, fault| {
            let (field, description) = (shorten(&fault.field), shorten(&fault.description));
            let bytes = field.len() + description.len() + 8;
            details.add_bad_request_violation(field, description);
            bytes
        })
        .status()
}

/// The caller's deadline has passed.
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
    let mut answer = Answer::new(Code::NotFound, Reason::TopicNotFound, error)
        .with("topic", &error.topic)
        .resource("topic", &error.topic, "there is no topic of that name");
    if let Some(nearest) = &error.nearest {
        answer = answer.with("nearest", nearest);
    }
    answer.status()
}

fn draining() -> Status {
    let message = "the server is draining: try another one, or again in a moment";
    Answer::new(Code::Unavailable, Reason::Draining, message).retry().status()
}

/// Our own fault: "internal error" outside, the whole story in the log.
pub fn internal(story: &dyn std::fmt::Display) -> Status {
    tracing::error!(error = %story, "internal error");
    Answer::new(Code::Internal, Reason::Internal, "internal error; the server's log has more")
        .status()
}

fn corrupt(detail: impl ToString, resume: Option<&str>) -> Status {
    let message = format!("stored data is damaged: {}", detail.to_string());
    let mut answer = Answer::new(Code::DataLoss, Reason::CorruptEvent, message);
    if let Some(resume) = resume {
        answer = answer.with("resume_cursor", resume);
    }
    let mut status = answer.status();
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
            tracing::warn!(%error, "answered that a commit is ambiguous");
            Answer::new(Code::Unavailable, Reason::CommitAmbiguous, message).retry().status()
        }
        CommitError::StorageFull { available, reserve } => {
            Answer::new(Code::ResourceExhausted, Reason::StorageFull, error)
                .with("size", available)
                .with("limit", reserve)
                .retry()
                .status()
        }
        CommitError::Overloaded(bytes) => {
            Answer::new(Code::ResourceExhausted, Reason::Overloaded, error)
                .with("limit", bytes)
                .retry()
                .status()
        }
        CommitError::Stopped(_) => {
            let message = "the server takes no publishes any more: it is stopping";
            Answer::new(Code::Unavailable, Reason::Draining, message).retry().status()
        }
    }
}

/// A publish that appended nothing.
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
    let mut answer = Answer::new(Code::AlreadyExists, Reason::EventIdConflict, error);
    if let Some(first) = conflicts.first() {
        answer =
            answer.resource("event", &first.id, "its content is another one than was recorded");
    }
    if let Some(place) = conflicts.iter().find_map(|conflict| conflict.first) {
        let cursor = Cursor { position: place.position, horizon: place.position };
        answer = answer.with("first_cursor", cursor.text(server));
    }
    answer
        .list(conflicts.iter(), |details, conflict| {
            let field = format!("events[{}].id", conflict.index);
            let description = match conflict.first {
                Some(place) => format!(
                    "{:?} is recorded at offset {} with another content: a new fact needs a new id",
                    conflict.id, place.offset
                ),
                None => format!("{:?} stands in the batch twice, with two contents", conflict.id),
            };
            let description = shorten(&description);
            let bytes = field.len() + description.len() + 8;
            details.add_bad_request_violation(field, description);
            bytes
        })
        .status()
}

fn refusals(error: &PublishError, refused: &[(usize, Refusal)]) -> Status {
    let mut answer = match refused.first() {
        Some((_, Refusal::TooLarge { size, limit })) => {
            Answer::new(Code::InvalidArgument, Reason::EventTooLarge, error)
                .with("size", size)
                .with("limit", limit)
        }
        Some((_, Refusal::TypeNotAllowed { .. })) => {
            Answer::new(Code::FailedPrecondition, Reason::TypeNotAllowed, error)
        }
        Some((_, Refusal::SchemaRequired { event_type, .. })) => {
            Answer::new(Code::FailedPrecondition, Reason::SchemaRequired, error)
                .with("subject", event_type)
        }
        Some((_, Refusal::PayloadInvalid { event_type, version, .. })) => {
            Answer::new(Code::InvalidArgument, Reason::PayloadInvalid, error)
                .with("subject", event_type)
                .with("version", version)
        }
        Some((_, Refusal::VersionUnusable { event_type, asked, .. })) => {
            Answer::new(Code::FailedPrecondition, Reason::SchemaVersionUnusable, error)
                .with("subject", event_type)
                .with("version", asked)
        }
        Some((_, Refusal::RegistryAway { event_type, .. })) => {
            Answer::new(Code::Unavailable, Reason::RegistryUnavailable, error)
                .with("subject", event_type)
                .retry()
        }
        None => return internal(error),
    };
    let faults: Vec<(String, String)> =
        refused.iter().flat_map(|(index, refusal)| faults_of(*index, refusal)).collect();
    answer = answer.list(faults.into_iter(), |details, (field, description)| {
        let (field, description) = (shorten(&field), shorten(&description));
        let bytes = field.len() + description.len() + 8;
        details.add_bad_request_violation(field, description);
        bytes
    });
    answer.status()
}

/// What is wrong with one event of a batch, each with its field. A pointer into a payload follows the payload's field.
fn faults_of(index: usize, refusal: &Refusal) -> Vec<(String, String)> {
    let field = match refusal {
        Refusal::TooLarge { .. } => format!("events[{index}]"),
        Refusal::TypeNotAllowed { .. }
        | Refusal::SchemaRequired { .. }
        | Refusal::RegistryAway { .. } => format!("events[{index}].type"),
        Refusal::VersionUnusable { .. } => format!("events[{index}].schemaversion"),
        Refusal::PayloadInvalid { form, violations, .. } => {
            let payload = format!("events[{index}].{}", form.field());
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
    Answer::new(Code::Aborted, reason, error)
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

/// A change of a topic that was not made.
pub fn topic(error: &TopicError, server: ServerId) -> Status {
    match error {
        TopicError::Invalid(faults) => invalid(faults),
        TopicError::NotFound(error) => topic_not_found(error),
        TopicError::Exists(name) => Answer::new(Code::AlreadyExists, Reason::TopicExists, error)
            .with("topic", name)
            .resource("topic", name, "there is a topic of that name")
            .status(),
        TopicError::EtagMismatch { topic, actual } => {
            Answer::new(Code::Aborted, Reason::EtagMismatch, error)
                .with("topic", topic)
                .with("etag", actual)
                .status()
        }
        TopicError::Start(error) => start(error, server),
        TopicError::Commit(error) => commit(error),
        TopicError::Draining(_) => draining(),
    }
}

/// A read that did not begin.
pub fn start(error: &StartError, server: ServerId) -> Status {
    match error {
        StartError::Invalid(faults) => invalid(faults),
        StartError::TopicNotFound(error) => topic_not_found(error),
        StartError::PositionLost { topic, earliest, latest, .. } => {
            Answer::new(Code::OutOfRange, Reason::PositionLost, error)
                .with("topic", topic)
                .with("earliest_cursor", earliest.text(server))
                .with("latest_cursor", latest.text(server))
                .status()
        }
        StartError::PositionInFuture { earliest, latest, .. } => {
            Answer::new(Code::OutOfRange, Reason::PositionInFuture, error)
                .with("earliest_cursor", earliest.text(server))
                .with("latest_cursor", latest.text(server))
                .status()
        }
        StartError::Unsatisfiable(all) => unsatisfiable(error, all),
        StartError::RegistryAway(error) => {
            Answer::new(Code::Unavailable, Reason::RegistryUnavailable, error).retry().status()
        }
        StartError::Read(error) => read(error),
        StartError::Draining(_) => draining(),
    }
}

fn unsatisfiable(error: &StartError, all: &[Unsatisfied]) -> Status {
    let mut answer = Answer::new(Code::FailedPrecondition, Reason::RequirementUnsatisfiable, error);
    if let Some(first) = all.first() {
        answer = answer.with("subject", &first.event_type);
    }
    answer
        .list(all.iter(), |details, one| {
            let (kind, subject) = ("REQUIREMENT_UNSATISFIABLE", shorten(&one.event_type));
            let description = shorten(&one.sentence());
            let bytes = kind.len() + subject.len() + description.len() + 8;
            details.add_precondition_failure_violation(kind, subject, description);
            bytes
        })
        .status()
}

fn mismatch(mismatch: &Mismatch, resume: &str) -> Status {
    let kind = "REQUIREMENT_UNSATISFIABLE";
    let mut answer =
        Answer::new(Code::FailedPrecondition, Reason::RequirementUnsatisfiable, mismatch)
            .with("topic", &mismatch.topic)
            .with("subject", &mismatch.event_type)
            .with("resume_cursor", resume);
    answer.details.add_precondition_failure_violation(
        kind,
        shorten(&mismatch.event_type),
        shorten(&mismatch.reason),
    );
    let mut status = answer.status();
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

/// A stream that ended.
pub fn stream(error: &StreamError, server: ServerId) -> Status {
    match error {
        StreamError::TopicNotFound(error) => topic_not_found(error),
        StreamError::Corrupt { error, resume } => {
            corrupt(error, resume.map(|resume| resume.text(server).to_string()).as_deref())
        }
        StreamError::RegistryAway(error) => {
            Answer::new(Code::Unavailable, Reason::RegistryUnavailable, error).retry().status()
        }
        StreamError::Mismatch { mismatch: event, resume } => {
            mismatch(event, &resume.text(server).to_string())
        }
        StreamError::Storage(error) if error.corrupt => corrupt(error, None),
        StreamError::Storage(error) => internal(error),
        StreamError::Draining(_) => draining(),
    }
}

/// An event that could not be had.
pub fn event(error: &EventError, server: ServerId) -> Status {
    match error {
        EventError::TopicNotFound(error) => topic_not_found(error),
        EventError::NotFound { topic, event } => {
            Answer::new(Code::NotFound, Reason::EventNotFound, error)
                .with("topic", topic)
                .resource("event", event, "it was never recorded, or is not retained any more")
                .status()
        }
        EventError::Position(error) => start(error, server),
        EventError::Read(error) => read(error),
    }
}

/// A stream's end at a drain: the reader was told its cursor.
pub fn drained() -> Status {
    draining()
}

/// A status as a message, for streams in which a failure is one outcome of many.
pub fn message(status: &Status) -> tonic_types::pb::Status {
    // The details of a status are a google.rpc.Status with the same code and message.
    tonic_types::pb::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::pb::Status {
        code: status.code().into(),
        message: status.message().into(),
        details: Vec::new(),
    })
}
