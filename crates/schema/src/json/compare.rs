//! Comparison of two schemas: failures in both directions, and compatible changes.

use super::{
    Schema,
    compatible_changes::CompatibleChanges,
    findings::finding,
    limits::COMPARISON_STEPS_MAX,
    literal::SchemaPair,
    shrink::Shrinker,
    subsumption::{Failure, SubsumptionCheck},
};
use crate::{
    counterexample::{PAYLOADS_BYTES_MAX, PayloadBudget},
    finding::{Change, Comparison, ContentModel, Finding, Options, Severity},
};

/// The failures of one direction.
pub(super) fn failures(writer: &Schema, reader: &Schema, strict: bool) -> Vec<Failure> {
    let validators = (&writer.validator, &reader.validator);
    let schemas = SchemaPair { writer: &writer.model, reader: &reader.model };
    SubsumptionCheck::new(schemas, validators, strict, COMPARISON_STEPS_MAX).run()
}

/// The failures of one direction, with shrunk counterexamples.
fn shrunk_failures(writer: &Schema, reader: &Schema, strict: bool) -> Vec<Failure> {
    let mut failures = failures(writer, reader, strict);
    let validators = (&writer.validator, &reader.validator);
    let schemas = SchemaPair { writer: &writer.model, reader: &reader.model };
    let mut shrinker = Shrinker::new(schemas, validators);
    failures.iter_mut().for_each(|failure| shrinker.shrink(failure));
    failures
}

pub(super) fn compare(old: &Schema, new: &Schema, options: Options) -> Comparison {
    if old.has_same_text(new) {
        return Comparison { change: Change::None, findings: Vec::new() };
    }
    let strict = options.content_model == ContentModel::Strict;
    let mut findings: Vec<Finding> = Vec::new();
    for backward in [true, false] {
        let (writer, reader) = if backward { (old, new) } else { (new, old) };
        let failures = shrunk_failures(writer, reader, strict);
        let models = (&writer.model, &reader.model);
        let mut budget = PayloadBudget(PAYLOADS_BYTES_MAX / 2);
        findings.extend(failures.iter().map(|failure| {
            let locate = |path: &str| new.source.location_of(path);
            let mut finding = finding(failure, models, backward, locate);
            budget.charge(&mut finding.counterexample);
            finding
        }));
    }
    let changes = CompatibleChanges::between(old, new);
    let is_unnoticeable = findings.is_empty()
        && (strict || !changes.declarations_changed)
        && [(old, new), (new, old)].iter().all(|(writer, reader)| {
            // LENIENT found no failure. A change is unnoticeable only if STRICT finds none either.
            strict || failures(writer, reader, true).is_empty()
        });
    findings.extend(changes.findings);
    findings.sort_by_key(|finding| match finding.severity {
        Severity::Error if finding.proven => 0,
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Info => 3,
    });
    Comparison {
        change: if is_unnoticeable { Change::Unnoticeable } else { Change::Noticeable },
        findings,
    }
}
