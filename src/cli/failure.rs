//! Error output: the fact, the details that the server sent, and a remedy.

use std::{collections::BTreeMap, error::Error, fmt};

use tidings::{config::Faults, proto::code_name};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::positions::quote;

/// An error as it is printed for a person.
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the process.
    pub exit_code: u8,
    message: String,
    details: Vec<String>,
    remedy: Option<String>,
}

impl Failure {
    /// An error that its user can act on; exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit_code: 1, message: message.into(), details: Vec::new(), remedy: None }
    }

    /// An invalid command line or configuration; exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: 2, ..Self::new(message) }
    }

    /// The message, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Adds a line below the message.
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Sets the remedy.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Sets the exit code.
    pub fn exit_with(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }

    /// The error of an operation that the server rejected.
    pub fn from_status(operation: &str, status: &Status) -> Self {
        let details = status.get_error_details();
        let empty = BTreeMap::new();
        let (reason, metadata) = match details.error_info() {
            Some(info) => (
                info.reason.as_str(),
                info.metadata.clone().into_iter().collect::<BTreeMap<_, _>>(),
            ),
            None => ("", empty),
        };
        let kind = if reason.is_empty() { code_name(status.code()) } else { reason };
        let message = if status.message().is_empty() { kind } else { status.message() };
        let mut failure = Self::new(if message == kind {
            format!("{operation}: {kind}")
        } else {
            format!("{operation}: {message} ({kind})")
        });
        // The message already contains a single fault.
        let is_in_message = |line: &str| message.contains(line);
        if let Some(bad_request) = details.bad_request() {
            for violation in &bad_request.field_violations {
                let line = format!("{}: {}", violation.field, violation.description);
                if !is_in_message(&line) {
                    failure = failure.detail(line);
                }
            }
        }
        if let Some(unmet) = details.precondition_failure() {
            // One of several violations needs its subject.
            let has_several = unmet.violations.len() > 1;
            for violation in &unmet.violations {
                if has_several || !is_in_message(&violation.description) {
                    let line = format!("{}: {}", violation.subject, violation.description);
                    failure = failure.detail(line);
                }
            }
        }
        for (name, value) in &metadata {
            failure = failure.detail(format!("{name}: {value}"));
        }
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        if let Some(delay) = delay {
            failure = failure.detail(format!("retry after: {}", humantime::format_duration(delay)));
        }
        failure.remedy = Some(remedy(reason, status, &metadata));
        failure
    }

    /// Prints the error to stderr.
    pub fn print(&self) {
        use std::io::Write;
        // stderr may be closed.
        let _ = writeln!(std::io::stderr().lock(), "{self}");
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for line in &self.details {
            write!(f, "\n  {line}")?;
        }
        write!(f, "\ntry: {}", self.remedy.as_deref().unwrap_or("tidings --help"))
    }
}

impl Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Failure>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        if let Some(status) = error.downcast_ref::<Status>() {
            return Self::from_status("the server responded", status);
        }
        if let Some(Faults(faults)) = error.downcast_ref::<Faults>() {
            let failure = Self::usage("the configuration is invalid")
                .with_remedy("tidings config show, tidings serve --help");
            return faults.iter().fold(failure, |failure, fault| failure.detail(fault.to_string()));
        }
        // The outermost context may have a remedy on a line of its own.
        let outermost = error.to_string();
        match outermost.split_once("\ntry: ") {
            Some((message, remedy)) => {
                let failure = Self::new(message).with_remedy(remedy);
                error
                    .chain()
                    .skip(1)
                    .fold(failure, |failure, cause| failure.detail(cause.to_string()))
            }
            None => Self::new(format!("{error:#}")),
        }
    }
}

/// The remedy for an error reason of the server.
fn remedy(reason: &str, status: &Status, metadata: &BTreeMap<String, String>) -> String {
    let get = |name: &str| metadata.get(name).map_or("", String::as_str);
    match reason {
        "TOPIC_NOT_FOUND" if !get("nearest").is_empty() => {
            format!("{}, or tidings topic create {}", quote(get("nearest")), quote(get("topic")))
        }
        "TOPIC_NOT_FOUND" if !get("topic").is_empty() => {
            format!("tidings topic create {}", quote(get("topic")))
        }
        "TOPIC_NOT_FOUND" => "tidings topic list".to_owned(),
        "TOPIC_EXISTS" => format!("tidings topic get {}", quote(get("topic"))),
        "EVENT_NOT_FOUND" => "tidings read TOPIC --from earliest".to_owned(),
        "EVENT_ID_CONFLICT" => "use a new id: an event with other content has this one".to_owned(),
        "KEY_VERSION_MISMATCH" | "TOPIC_END_MISMATCH" => {
            "read the events in between, decide again, and publish with the actual version"
                .to_owned()
        }
        "SUBJECT_NOT_FOUND" if !get("nearest").is_empty() => {
            format!("{}; tidings schema list shows all", quote(get("nearest")))
        }
        "SUBJECT_NOT_FOUND" => "tidings schema list".to_owned(),
        "VERSION_NOT_FOUND" if !get("nearest").is_empty() => {
            format!("{}; tidings schema versions shows all", quote(get("nearest")))
        }
        "VERSION_NOT_FOUND" | "VERSION_TAKEN" | "SCHEMA_NOT_FOUND"
            if !get("subject").is_empty() =>
        {
            format!("tidings schema versions {}", quote(get("subject")))
        }
        "VERSION_NOT_FOUND" | "VERSION_TAKEN" | "SCHEMA_NOT_FOUND" => {
            "tidings schema list, tidings schema versions SUBJECT".to_owned()
        }
        "VERSION_TOO_LOW" => {
            "omit --version, so that the registry chooses; or register a new major \
             version, --version 2.0.0"
                .to_owned()
        }
        "INVALID_VERSION" => "use a semantic version such as 1.4.0".to_owned(),
        "SCHEMA_TOO_LARGE" => {
            "register parts of it as separate subjects, and refer to them".to_owned()
        }
        "REFERENCE_NOT_FOUND" => {
            "register the referenced schema first, or both with tidings schema apply".to_owned()
        }
        "FORMAT_MISMATCH" => "use a separate subject for the other format".to_owned(),
        "SCHEMA_INCOMPATIBLE" => {
            "tidings schema check, which suggests an alternative; or a new major version".to_owned()
        }
        "CONSUMERS_LEFT_BEHIND" => {
            "update these consumers first, or proceed without them: --force with a --reason"
                .to_owned()
        }
        "STILL_REFERENCED" => "first change the schemas that refer to it".to_owned(),
        "REVISION_MOVED" => "tidings schema plan again: the registry has changed since".to_owned(),
        "REVISION_LOST" => "--after 0: older changes are not kept".to_owned(),
        "ETAG_MISMATCH" if !get("subject").is_empty() => {
            "read the subject again: tidings schema list".to_owned()
        }
        "ETAG_MISMATCH" => "read the topic again: tidings topic get".to_owned(),
        "POSITION_LOST" if !get("earliest_cursor").is_empty() => {
            format!("--cursor {}, or --on-lost earliest", get("earliest_cursor"))
        }
        "POSITION_LOST" => "--from earliest, or --on-lost earliest".to_owned(),
        "POSITION_IN_FUTURE" => "--from latest".to_owned(),
        "INVALID_CURSOR" => {
            "use a complete, quoted cursor of this server; or --from earliest".to_owned()
        }
        "CORRUPT_EVENT" if !get("resume_cursor").is_empty() => {
            format!("--cursor {} to continue after the damage", get("resume_cursor"))
        }
        "EVENT_TOO_LARGE" | "BATCH_TOO_LARGE" => {
            "use smaller events or a smaller --batch; the limits are the server's \
             --max-event-bytes and --max-batch-bytes"
                .to_owned()
        }
        "TYPE_NOT_ALLOWED" => "tidings topic get TOPIC, which lists the allowed types".to_owned(),
        "STORAGE_FULL" => "free space on the server's disk, or shorten retention".to_owned(),
        "OVERLOADED" => "retry in a moment, with a smaller --in-flight".to_owned(),
        "DRAINING" => "retry in a moment: the server is stopping".to_owned(),
        "COMMIT_AMBIGUOUS" => {
            "publish again with the same ids: events that are already recorded are duplicates"
                .to_owned()
        }
        "NOT_IMPLEMENTED" => "omit that field: this server does not support it".to_owned(),
        "INTERNAL" => "the server's log, which has the details".to_owned(),
        _ => remedy_by_code(status),
    }
}

fn remedy_by_code(status: &Status) -> String {
    match status.code() {
        Code::Unavailable => "tidings serve, or another --server".to_owned(),
        Code::DeadlineExceeded => "use a longer --timeout".to_owned(),
        Code::Unimplemented => {
            "use a server of this version: is --server a Tidings server?".to_owned()
        }
        Code::InvalidArgument => "correct the fields above".to_owned(),
        Code::ResourceExhausted => "retry in a moment".to_owned(),
        _ if status.source().is_some() => "retry; the connection broke".to_owned(),
        _ => "the server's log".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn server_details_are_printed_with_a_remedy() {
        let mut details = ErrorDetails::new();
        let metadata = [("topic", "ordes"), ("nearest", "orders")];
        let metadata: HashMap<_, _> =
            metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        details.set_error_info("TOPIC_NOT_FOUND", "tidings", metadata);
        let status = Status::with_error_details(Code::NotFound, "no topic ordes", details);
        assert_eq!(
            Failure::from_status("publish to ordes", &status).to_string(),
            "error: publish to ordes: no topic ordes (TOPIC_NOT_FOUND)\n  nearest: orders\n  \
             topic: ordes\ntry: orders, or tidings topic create ordes"
        );
    }

    #[test]
    fn every_field_violation_is_printed() {
        let mut details = ErrorDetails::new();
        details.set_error_info("INVALID_EVENT", "tidings", HashMap::<String, String>::new());
        details.add_bad_request_violation("events[0].id", "is empty");
        details.add_bad_request_violation("events[2].type", "is empty");
        let status = Status::with_error_details(Code::InvalidArgument, "2 faults", details);
        let text = Failure::from_status("publish", &status).to_string();
        assert!(text.contains("\n  events[0].id: is empty\n  events[2].type: is empty\ntry: "));
    }
}
