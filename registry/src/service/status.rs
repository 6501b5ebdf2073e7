//! Maps errors to gRPC statuses; no other file of the registry uses gRPC codes.
//!
//! Every status has a `google.rpc.ErrorInfo` with a reason of `ErrorReason`, by which clients
//! distinguish errors. Details travel in trailers and stay under 4 KiB: long lists are cut, with
//! their original length.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

use tidings_wire::text::{TEXT_CHARS_MAX, shorten};

use super::report::fit;
use crate::{
    consumer::TooMany,
    error::{Damaged, NotFound, RecordError, Refusal, StorageError, WriteError},
    impact::Affected,
    proto::v1::{self, ErrorReason as Reason},
};
use tidings_schema::definition::Fault;

const DOMAIN: &str = "tidings";
/// Bytes of a report in the details. With the other details, and in base64, the details stay near 4
/// KiB.
const REPORT_BYTES_MAX: usize = 2_400;
/// Bytes of the entries of a list in the details.
const LIST_BYTES_MAX: usize = 2_000;

/// Builds a status.
struct StatusBuilder {
    code: Code,
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
    report: Option<v1::CompatibilityReport>,
}

impl StatusBuilder {
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
        let Ok(mut with_report) = pb::Status::decode(status.details()) else { return status };
        with_report.details.push(prost_types::Any {
            type_url: "type.googleapis.com/tidings.registry.v1.CompatibilityReport".into(),
            value: fit(report, REPORT_BYTES_MAX).encode_to_vec(),
        });
        Status::with_details(self.code, self.message, Bytes::from(with_report.encode_to_vec()))
    }
}

/// The status of a request with invalid fields, each with its fault.
pub fn invalid(reason: Reason, faults: &[(String, String)]) -> Status {
    let messages = faults.iter().map(|(field, message)| format!("{field} {message}"));
    let message = messages.collect::<Vec<_>>().join("; ");
    let mut builder = StatusBuilder::new(Code::InvalidArgument, reason, message);
    for (field, message) in faults.iter().take(20) {
        builder = builder.violation(field.clone(), message);
    }
    builder.status()
}

/// The status of a request for something that does not exist.
pub fn not_found(error: &NotFound) -> Status {
    let message = error.to_string();
    let (reason, kind, name) = match error {
        NotFound::Subject { name, .. } => (Reason::SubjectNotFound, "subject", name.clone()),
        NotFound::Version { subject, version, .. } => {
            (Reason::VersionNotFound, "version", format!("{subject} {version}"))
        }
        NotFound::Id { id } => (Reason::SchemaNotFound, "schema", id.to_string()),
    };
    let mut builder = StatusBuilder::new(Code::NotFound, reason, message);
    builder.details.set_resource_info(
        kind,
        shorten(name.trim()),
        "",
        "not registered in this registry",
    );
    match error {
        NotFound::Subject { name, nearest } => {
            builder = builder.with("subject", name);
            match nearest {
                Some(nearest) => builder.with("nearest", nearest),
                None => builder,
            }
        }
        NotFound::Version { subject, version, .. } => {
            builder.with("subject", subject).with("version", version)
        }
        NotFound::Id { .. } => builder,
    }
    .status()
}

/// The status of a refused draft. `field` is the prefix of its fields in the request.
pub fn refused(field: &str, refusal: &Refusal) -> Status {
    refusal_builder(field, refusal).status()
}

fn refusal_builder(field: &str, refusal: &Refusal) -> StatusBuilder {
    let new = |code| StatusBuilder::new(code, Reason::from(refusal), refusal);
    match refusal {
        Refusal::Invalid(faults) => {
            let mut builder = new(Code::InvalidArgument);
            let mut bytes = 0;
            for fault in faults {
                let (path, message) = path_and_message(field, fault);
                bytes += path.len() + message.len().min(TEXT_CHARS_MAX);
                builder = builder.violation(path, &message);
                if bytes > LIST_BYTES_MAX {
                    return builder.with("total", faults.len());
                }
            }
            builder
        }
        Refusal::TooLarge { size, limit } => new(Code::InvalidArgument)
            .violation(format!("{field}definition"), &refusal.to_string())
            .with("size", size)
            .with("limit", limit),
        Refusal::Field { field: name, message } => {
            new(Code::InvalidArgument).violation(format!("{field}{name}"), message)
        }
        Refusal::Reference { name, reason } => {
            let mut builder = new(Code::FailedPrecondition);
            builder.details.add_precondition_failure_violation("REFERENCE_NOT_FOUND", name, reason);
            builder
        }
        Refusal::Format { subject, registered, given } => new(Code::FailedPrecondition)
            .with("subject", subject)
            .with("expected", registered)
            .with("actual", given),
        Refusal::Incompatible(impact) => {
            let mut builder = new(Code::FailedPrecondition)
                .with("subject", &impact.report.subject)
                .with("total", impact.report.findings.len());
            builder.report = Some((**impact).clone().into());
            builder
        }
        Refusal::TooLow { declared, minimum, impact, .. } => {
            let mut builder = new(Code::FailedPrecondition)
                .with("subject", &impact.report.subject)
                .with("version", declared)
                .with("expected", minimum);
            builder.report = Some((**impact).clone().into());
            builder
        }
        Refusal::AffectsConsumers(impact) => {
            let mut builder = new(Code::FailedPrecondition)
                .with("subject", &impact.report.subject)
                .with("total", impact.affected.total);
            builder.report = Some((**impact).clone().into());
            builder
        }
        Refusal::VersionTaken { subject, version, next } => {
            let mut builder = new(Code::AlreadyExists)
                .with("subject", subject)
                .with("version", version)
                .with("expected", next);
            let name = format!("{subject} {version}");
            builder.details.set_resource_info(
                "version",
                name,
                "",
                "registered with another schema",
            );
            builder
        }
        Refusal::Unreadable(_) => new(Code::DataLoss),
    }
}

/// Adds the affected consumers, as many as fit.
fn with_affected(mut builder: StatusBuilder, affected: &Affected) -> StatusBuilder {
    let mut bytes = 0;
    for consumer in &affected.listed {
        let name = consumer.requirement.consumer.as_str();
        let reason = shorten(&consumer.reason);
        bytes += name.len() + reason.len();
        builder.details.add_precondition_failure_violation("CONSUMERS_LEFT_BEHIND", name, reason);
        if bytes > LIST_BYTES_MAX {
            break;
        }
    }
    builder.with("total", affected.total)
}

/// Returns the path of the field that has a fault, and the message of the fault.
fn path_and_message(field: &str, fault: &Fault) -> (String, String) {
    let file = match fault.location.file.as_str() {
        "" => "definition.text".to_owned(),
        file => format!("definition.files[\"{file}\"]"),
    };
    (format!("{field}{file}"), fault.to_string())
}

/// The status of a write that was not done.
pub fn write(error: &WriteError) -> Status {
    match error {
        WriteError::Refused(refusals) => match &refusals[..] {
            [(index, refusal)] => refused(&format!("schemas[{index}]."), refusal),
            _ => all_refused(error, refusals),
        },
        WriteError::ReferenceCycle(subjects) => {
            StatusBuilder::new(Code::InvalidArgument, Reason::InvalidRequest, error)
                .violation("schemas", &format!("break the cycle of {}", subjects.join(", ")))
                .status()
        }
        WriteError::NotFound(error) => not_found(error),
        WriteError::Invalid(faults) => invalid(Reason::InvalidRequest, faults),
        WriteError::StillReferenced { subject, by } => {
            let mut builder =
                StatusBuilder::new(Code::FailedPrecondition, Reason::StillReferenced, error)
                    .with("subject", subject)
                    .with("total", by.len());
            for by in by.iter().take(20) {
                let remedy = "delete it first, or register it without the reference";
                builder.details.add_precondition_failure_violation("STILL_REFERENCED", by, remedy);
            }
            builder.status()
        }
        WriteError::AffectsConsumers(affected) => {
            let builder =
                StatusBuilder::new(Code::FailedPrecondition, Reason::ConsumersLeftBehind, error);
            let builder = match affected.listed.first() {
                Some(first) => builder.with("subject", &first.requirement.subject),
                None => builder,
            };
            with_affected(builder, affected).status()
        }
        WriteError::RevisionMoved { expected, actual } => {
            StatusBuilder::new(Code::Aborted, Reason::RevisionMoved, error)
                .with("expected", expected)
                .with("actual", actual)
                .with("revision", actual)
                .status()
        }
        WriteError::EtagMismatch { subject, actual } => {
            StatusBuilder::new(Code::Aborted, Reason::EtagMismatch, error)
                .with("subject", subject)
                .with("etag", actual)
                .status()
        }
        WriteError::Storage(error) => storage(error),
    }
}

/// The status of several refused drafts: the code of the first refusal, and the messages of all.
fn all_refused(error: &WriteError, refusals: &[(usize, Refusal)]) -> Status {
    let mut combined: Option<StatusBuilder> = None;
    let mut bytes = 0;
    for (index, refusal) in refusals {
        let single = refusal_builder(&format!("schemas[{index}]."), refusal);
        let mut builder = combined.take().unwrap_or_else(|| {
            let mut first = StatusBuilder::new(single.code, single.reason, error);
            first.metadata.clone_from(&single.metadata);
            first.report.clone_from(&single.report);
            first.with("total", refusals.len())
        });
        let message = refusal.to_string();
        bytes += message.len().min(TEXT_CHARS_MAX);
        if bytes < LIST_BYTES_MAX / 2 {
            builder = builder.violation(format!("schemas[{index}]"), &message);
        }
        combined = Some(builder);
    }
    combined.map_or_else(|| internal(error), StatusBuilder::status)
}

/// The status of an update of a consumer that was not recorded.
pub fn record(error: &RecordError) -> Status {
    let (count, limit) = match error {
        RecordError::Storage(error) => return storage(error),
        RecordError::TooMany(
            TooMany::Consumers { count, limit } | TooMany::Requirements { count, limit, .. },
        ) => (count, limit),
    };
    StatusBuilder::new(Code::ResourceExhausted, Reason::Overloaded, error)
        .with("size", count)
        .with("limit", limit)
        .status()
}

/// The status of a failed disk.
fn storage(error: &StorageError) -> Status {
    tracing::error!(%error, "the registry's disk failed");
    // The error of the disk is for the log only.
    let message = match error {
        StorageError::Ambiguous(_) => {
            "a write failed, and whether it is on disk is unknown; read again when the registry has \
             been restarted"
        }
        StorageError::Stopped(_) => {
            "the registry accepts no writes, because an earlier write failed; it has to be restarted"
        }
    };
    StatusBuilder::new(Code::Unavailable, Reason::CommitAmbiguous, message).status()
}

/// The status of a watch that reached a change that cannot be read.
pub fn damaged(error: &Damaged) -> Status {
    tracing::error!(%error, "the registry's disk failed");
    let message = "a stored change cannot be read; the registry's log has the details";
    StatusBuilder::new(Code::DataLoss, Reason::Internal, message).status()
}

/// The status of a watch after a revision that does not exist: the registry is another one, or was
/// restored from a backup.
pub fn revision_lost(after: u64, revision: u64) -> Status {
    let message = format!(
        "revision {after} does not exist, the registry is at revision {revision}: it is another \
         registry, or was restored from a backup; watch from 0"
    );
    StatusBuilder::new(Code::OutOfRange, Reason::RevisionLost, message)
        .with("revision", revision)
        .status()
}

/// The status of a request that waited too long for a permit to compile.
pub fn overloaded() -> Status {
    let message = "too many schemas are being compiled; try again";
    let mut builder = StatusBuilder::new(Code::ResourceExhausted, Reason::Overloaded, message);
    builder.details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    builder.status()
}

/// The status of a watch when the server stops.
pub fn draining() -> Status {
    let mut builder = StatusBuilder::new(
        Code::Unavailable,
        Reason::Draining,
        "the server is stopping; connect again",
    );
    builder.details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    builder.status()
}

/// The status of a call to a remote registry that does not respond.
pub fn unreachable(mut cause: &(dyn std::error::Error + 'static)) -> Status {
    while let Some(source) = cause.source() {
        cause = source;
    }
    tracing::warn!(%cause, "the schema registry does not respond");
    let message = "the remote schema registry does not respond";
    let mut details = ErrorDetails::new();
    // A reason of the events' contract: to its clients, the event server is unavailable.
    details.set_error_info("REGISTRY_UNAVAILABLE", DOMAIN, HashMap::new());
    details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// The status of an internal error. The details are for the log only.
pub fn internal(error: impl std::fmt::Display) -> Status {
    tracing::error!(%error, "internal error");
    StatusBuilder::new(Code::Internal, Reason::Internal, "internal error").status()
}
