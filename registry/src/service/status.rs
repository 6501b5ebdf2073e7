//! Errors on the wire: the one place of the registry that speaks gRPC codes.
//!
//! Every status carries a `google.rpc.ErrorInfo` with a reason out of `ErrorReason`; clients branch on that. Details
//! travel in trailers and stay under 4 KiB: long lists are cut, and say how long they were.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

use super::report::{TEXT_CHARS_MAX, fit, shorten};
use crate::{
    error::{Damaged, NotFound, RecordError, Refusal, StorageError, TooMany, WriteError},
    impact::Affected,
    proto::v1::{self, ErrorReason as Reason},
};
use tidings_schema::definition::Fault;

const DOMAIN: &str = "tidings";
/// Bytes of a report in the details. With what stands around it, and in base64, the details stay near 4 KiB.
const REPORT_BYTES_MAX: usize = 2_400;
/// Bytes of the entries of a list in the details.
const LIST_BYTES_MAX: usize = 2_000;

/// A status in the making.
struct Answer {
    code: Code,
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
    report: Option<v1::CompatibilityReport>,
}

impl Answer {
    fn new(code: Code, reason: Reason, message: impl ToString) -> Self {
        Self {
            code,
            reason,
            message: shorten(&message.to_string()),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
            report: None,
        }
    }

    fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.into(), shorten(&value.to_string()));
        self
    }

    fn violation(mut self, field: impl Into<String>, description: &str) -> Self {
        self.details.add_bad_request_violation(field, shorten(description));
        self
    }

    fn status(mut self) -> Status {
        let reason = self.reason.as_str_name().trim_start_matches("ERROR_REASON_");
        self.details.set_error_info(reason, DOMAIN, self.metadata);
        let status = Status::with_error_details(self.code, self.message.clone(), self.details);
        let Some(report) = self.report else { return status };
        let Ok(mut whole) = pb::Status::decode(status.details()) else { return status };
        whole.details.push(prost_types::Any {
            type_url: "type.googleapis.com/tidings.registry.v1.CompatibilityReport".into(),
            value: fit(report, REPORT_BYTES_MAX).encode_to_vec(),
        });
        Status::with_details(self.code, self.message, Bytes::from(whole.encode_to_vec()))
    }
}

/// A request whose bytes are not the message that they should be, or too much of it.
pub fn undecodable(why: &str) -> Status {
    let message = format!("the request {why}");
    Answer::new(Code::InvalidArgument, Reason::InvalidRequest, message).status()
}

/// Fields of a request that are not well formed: the field and why.
pub fn invalid(reason: Reason, faults: &[(String, String)]) -> Status {
    let words = faults.iter().map(|(field, why)| format!("{field} {why}"));
    let message = words.collect::<Vec<_>>().join("; ");
    let mut answer = Answer::new(Code::InvalidArgument, reason, message);
    for (field, why) in faults.iter().take(20) {
        answer = answer.violation(field.clone(), why);
    }
    answer.status()
}

/// What was asked for is not there.
pub fn not_found(error: &NotFound) -> Status {
    let message = error.to_string();
    let (reason, kind, name) = match error {
        NotFound::Subject { name, .. } => (Reason::SubjectNotFound, "subject", name.clone()),
        NotFound::Version { subject, version, .. } => {
            (Reason::VersionNotFound, "version", format!("{subject} {version}"))
        }
        NotFound::Id { id } => (Reason::SchemaNotFound, "schema", id.to_string()),
    };
    let mut answer = Answer::new(Code::NotFound, reason, message);
    answer.details.set_resource_info(kind, shorten(name.trim()), "", "not registered here");
    match error {
        NotFound::Subject { name, nearest } => {
            answer = answer.with("subject", name);
            match nearest {
                Some(nearest) => answer.with("nearest", nearest),
                None => answer,
            }
        }
        NotFound::Version { subject, version, .. } => {
            answer.with("subject", subject).with("version", version)
        }
        NotFound::Id { .. } => answer,
    }
    .status()
}

/// A draft that is refused, at its place in the request.
pub fn refused(field: &str, refusal: &Refusal) -> Status {
    answer(field, refusal).status()
}

fn answer(field: &str, refusal: &Refusal) -> Answer {
    let new = |code| Answer::new(code, Reason::from(refusal), refusal);
    match refusal {
        Refusal::Invalid(faults) => {
            let mut answer = new(Code::InvalidArgument);
            let mut bytes = 0;
            for fault in faults {
                let (place, text) = in_text(field, fault);
                bytes += place.len() + text.len().min(TEXT_CHARS_MAX);
                answer = answer.violation(place, &text);
                if bytes > LIST_BYTES_MAX {
                    return answer.with("total", faults.len());
                }
            }
            answer
        }
        Refusal::TooLarge { size, limit } => new(Code::InvalidArgument)
            .violation(format!("{field}definition"), &refusal.to_string())
            .with("size", size)
            .with("limit", limit),
        Refusal::Field { field: of, message } => {
            new(Code::InvalidArgument).violation(format!("{field}{of}"), message)
        }
        Refusal::Reference { name, reason } => {
            let mut answer = new(Code::FailedPrecondition);
            answer.details.add_precondition_failure_violation("REFERENCE_NOT_FOUND", name, reason);
            answer
        }
        Refusal::Format { subject, registered, given } => new(Code::FailedPrecondition)
            .with("subject", subject)
            .with("expected", registered)
            .with("actual", given),
        Refusal::Incompatible(impact) => {
            let mut answer = new(Code::FailedPrecondition)
                .with("subject", &impact.report.subject)
                .with("total", impact.report.findings.len());
            answer.report = Some((**impact).clone().into());
            answer
        }
        Refusal::TooLow { declared, least, impact, .. } => {
            let mut answer = new(Code::FailedPrecondition)
                .with("subject", &impact.report.subject)
                .with("version", declared)
                .with("expected", least);
            answer.report = Some((**impact).clone().into());
            answer
        }
        Refusal::AffectsConsumers(impact) => {
            let mut answer = new(Code::FailedPrecondition)
                .with("subject", &impact.report.subject)
                .with("total", impact.affected.total);
            answer.report = Some((**impact).clone().into());
            answer
        }
        Refusal::Taken { subject, version, next } => {
            let mut answer = new(Code::AlreadyExists)
                .with("subject", subject)
                .with("version", version)
                .with("expected", next);
            let name = format!("{subject} {version}");
            answer.details.set_resource_info("version", name, "", "registered with another schema");
            answer
        }
        Refusal::Unreadable(_) => new(Code::DataLoss),
    }
}

/// Names those who would be left behind, as far as it fits.
fn left_behind(mut answer: Answer, affected: &Affected) -> Answer {
    let mut bytes = 0;
    for it in &affected.listed {
        let (name, reason) = (it.need.consumer.as_str(), shorten(&it.reason));
        bytes += name.len() + reason.len();
        answer.details.add_precondition_failure_violation("CONSUMERS_LEFT_BEHIND", name, reason);
        if bytes > LIST_BYTES_MAX {
            break;
        }
    }
    answer.with("total", affected.total)
}

/// Where a fault is, and its text without the place.
fn in_text(field: &str, fault: &Fault) -> (String, String) {
    let place = &fault.place;
    let file = match place.file.as_str() {
        "" => "definition.text".to_owned(),
        file => format!("definition.files[\"{file}\"]"),
    };
    (format!("{field}{file}"), fault.to_string())
}

/// A write that was not done.
pub fn write(error: &WriteError) -> Status {
    match error {
        WriteError::Refused(refusals) => match &refusals[..] {
            [(at, refusal)] => refused(&format!("schemas[{at}]."), refusal),
            _ => all(error, refusals),
        },
        WriteError::Circle(subjects) => {
            Answer::new(Code::InvalidArgument, Reason::InvalidRequest, error)
                .violation("schemas", &format!("break the circle of {}", subjects.join(", ")))
                .status()
        }
        WriteError::NotFound(error) => not_found(error),
        WriteError::Invalid(faults) => invalid(Reason::InvalidRequest, faults),
        WriteError::StillReferenced { subject, by } => {
            let mut answer = Answer::new(Code::FailedPrecondition, Reason::StillReferenced, error)
                .with("subject", subject)
                .with("total", by.len());
            for by in by.iter().take(20) {
                let what = "delete it first, or register it without the reference";
                answer.details.add_precondition_failure_violation("STILL_REFERENCED", by, what);
            }
            answer.status()
        }
        WriteError::AffectsConsumers(affected) => {
            let new = Answer::new(Code::FailedPrecondition, Reason::ConsumersLeftBehind, error);
            let first = affected.listed.first();
            let new = match first {
                Some(it) => new.with("subject", &it.need.subject),
                None => new,
            };
            left_behind(new, affected).status()
        }
        WriteError::RevisionMoved { expected, actual } => {
            Answer::new(Code::Aborted, Reason::RevisionMoved, error)
                .with("expected", expected)
                .with("actual", actual)
                .with("revision", actual)
                .status()
        }
        WriteError::EtagMismatch { subject, actual } => {
            Answer::new(Code::Aborted, Reason::EtagMismatch, error)
                .with("subject", subject)
                .with("etag", actual)
                .status()
        }
        WriteError::Storage(error) => storage(error),
    }
}

/// Several drafts of one request: the code of the first, and all in words.
fn all(error: &WriteError, refusals: &[(usize, Refusal)]) -> Status {
    let mut whole: Option<Answer> = None;
    let mut bytes = 0;
    for (at, refusal) in refusals {
        let one = answer(&format!("schemas[{at}]."), refusal);
        let mut answer = whole.take().unwrap_or_else(|| {
            let mut first = Answer::new(one.code, one.reason, error);
            first.metadata.clone_from(&one.metadata);
            first.report.clone_from(&one.report);
            first.with("total", refusals.len())
        });
        let text = refusal.to_string();
        bytes += text.len().min(TEXT_CHARS_MAX);
        if bytes < LIST_BYTES_MAX / 2 {
            answer = answer.violation(format!("schemas[{at}]"), &text);
        }
        whole = Some(answer);
    }
    whole.map_or_else(|| internal(error), Answer::status)
}

/// What a consumer said was not recorded.
pub fn record(error: &RecordError) -> Status {
    let (count, limit) = match error {
        RecordError::Storage(error) => return storage(error),
        RecordError::TooMany(
            TooMany::Consumers { count, limit } | TooMany::Needs { count, limit, .. },
        ) => (count, limit),
    };
    Answer::new(Code::ResourceExhausted, Reason::Overloaded, error)
        .with("size", count)
        .with("limit", limit)
        .status()
}

/// The disk.
fn storage(error: &StorageError) -> Status {
    tracing::error!(%error, "the registry's disk");
    // What the disk said is for the log.
    let message = match error {
        StorageError::Ambiguous(_) => {
            "a write failed, and whether it is on disk is not known; ask again when the registry is back"
        }
        StorageError::Stopped(_) => {
            "the registry writes nothing any more, because a write failed; it has to be started again"
        }
    };
    Answer::new(Code::Unavailable, Reason::CommitAmbiguous, message).status()
}

/// A change that cannot be told any more.
pub fn damaged(error: &Damaged) -> Status {
    tracing::error!(%error, "the registry's disk");
    let message = "a change is stored and cannot be read; the registry's log says more";
    Answer::new(Code::DataLoss, Reason::Internal, message).status()
}

/// A watch from a revision that is not reached: another registry, or one restored from a backup.
pub fn revision_lost(after: u64, revision: u64) -> Status {
    let message = format!(
        "revision {after} is not reached, the registry is at {revision}: it is another one, or was restored; watch from 0"
    );
    Answer::new(Code::OutOfRange, Reason::RevisionLost, message).with("revision", revision).status()
}

/// More work than is taken at once.
pub fn overloaded() -> Status {
    let message = "too many schemas are being compiled; try again";
    let mut answer = Answer::new(Code::ResourceExhausted, Reason::Overloaded, message);
    answer.details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    answer.status()
}

/// The server stops.
pub fn draining() -> Status {
    let mut answer =
        Answer::new(Code::Unavailable, Reason::Draining, "the server is stopping; connect again");
    answer.details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    answer.status()
}

/// A registry elsewhere that does not answer.
pub fn unreachable(mut cause: &(dyn std::error::Error + 'static)) -> Status {
    while let Some(source) = cause.source() {
        cause = source;
    }
    tracing::warn!(%cause, "the registry does not answer");
    let message = "the schema registry does not answer; it runs elsewhere and is not reached";
    let mut details = ErrorDetails::new();
    // The events' contract has this reason: to whoever asks, it is their server that cannot go on.
    details.set_error_info("REGISTRY_UNAVAILABLE", DOMAIN, HashMap::new());
    details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// A fault of ours: the story is for the log.
pub fn internal(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "internal error");
    Answer::new(Code::Internal, Reason::Internal, "internal error").status()
}
