//! Error responses of the registry: a report, faults with locations in a text, or any other error.

use prost::Message;
use tidings_registry::proto::v1::CompatibilityReport;
use tidings_schema::{definition::Fault, schema::Schema};
use tonic::Status;
use tonic_types::{StatusExt, pb};

use super::{
    super::failure::Failure,
    ci,
    report::{Entry, ReportFormat, parse_fault},
    source::Source,
};

const REPORT: &str = "tidings.registry.v1.CompatibilityReport";

/// The report in the details of a status.
pub fn report(status: &Status) -> Option<CompatibilityReport> {
    let details = pb::Status::decode(status.details()).ok()?.details;
    let any = details.iter().find(|any| any.type_url.rsplit('/').next() == Some(REPORT))?;
    CompatibilityReport::decode(any.value.as_slice()).ok()
}

/// The error reason of a status; empty if it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The failure of a request with these schemas, in this order. The faults of an invalid schema are
/// printed with their locations.
pub fn failure(
    operation: &str,
    status: &Status,
    schemas: &[(&str, &Source)],
    output: ReportFormat,
) -> anyhow::Error {
    let details = status.get_error_details();
    let is_invalid = reason(status) == "INVALID_SCHEMA";
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice());
    let mut faults: Vec<Vec<Fault>> = vec![Vec::new(); schemas.len()];
    for violation in violations.unwrap_or_default() {
        if !is_invalid {
            break;
        }
        let fault = parse_fault(&violation.description);
        let index = match schemas.len() {
            1 => Some(0),
            _ => index_of(&violation.field).or_else(|| find_faulty_schema(&fault, schemas)),
        };
        if let Some(faults) = index.and_then(|index| faults.get_mut(index)) {
            faults.push(fault);
        }
    }
    let entries: Vec<(Entry, &Source)> = schemas
        .iter()
        .zip(&faults)
        .filter(|(_, faults)| !faults.is_empty())
        .map(|((name, source), faults)| (Entry::invalid(name, source, faults), *source))
        .collect();
    let Some(((last, source), others)) = entries.split_last() else {
        return Failure::from_status(operation, status).into();
    };
    // All entries are printed; the command ends with the last one.
    for (entry, source) in others {
        entry.failure(source.remedy()).print();
    }
    let failure = last.failure(source.remedy());
    let entries: Vec<Entry> = entries.iter().map(|(entry, _)| entry.clone()).collect();
    match ci::print(output, &entries) {
        Ok(()) => failure.into(),
        Err(error) => error,
    }
}

/// Finds which of several schemas has a fault, if the server does not report it.
fn find_faulty_schema(fault: &Fault, schemas: &[(&str, &Source)]) -> Option<usize> {
    schemas.iter().position(|(subject, source)| {
        let parsed = Schema::parse_draft(source.format, subject, &source.definition, &[]);
        parsed.is_err_and(|invalid| {
            invalid.faults.iter().any(|parsed| parsed.to_string() == fault.to_string())
        })
    })
}

/// The index of the schema that a field belongs to: 2 for `schemas[2].definition`.
fn index_of(field: &str) -> Option<usize> {
    field.strip_prefix("schemas[")?.split(']').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use prost_types::Any;
    use tonic::Code;

    use super::*;

    #[test]
    fn a_report_is_found_among_the_details() {
        let sent = CompatibilityReport { total_findings: 3, ..CompatibilityReport::default() };
        let any = |type_url: &str, value: Vec<u8>| Any { type_url: type_url.into(), value };
        let details = pb::Status {
            code: Code::FailedPrecondition.into(),
            message: String::new(),
            details: vec![
                any("type.googleapis.com/google.rpc.ErrorInfo", Vec::new()),
                any(&format!("type.googleapis.com/{REPORT}"), sent.encode_to_vec()),
            ],
        };
        let bytes = details.encode_to_vec().into();
        let status = Status::with_details(Code::FailedPrecondition, "no", bytes);
        assert_eq!(report(&status), Some(sent));
        assert_eq!(report(&Status::not_found("no")), None);
    }

    #[test]
    fn fields_say_which_schema() {
        assert_eq!(index_of("schemas[12].definition.text"), Some(12));
        assert_eq!(index_of("schema.definition"), None);
    }
}
