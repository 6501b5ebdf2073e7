//! Compares two schemas: resolves them in both directions, and turns the issues into findings.

use std::collections::HashMap;

use super::{
    canonical::{self, Detail},
    compatible_changes, counterexample,
    findings::{LocatedIssue, SchemaPair, issue_finding, locate},
    limits::{COUNTEREXAMPLES_MAX, FINDINGS_MAX},
    model::{Model, TypeId},
    resolve::{Issue, Resolution, TypePair, resolve},
};
use crate::{
    counterexample::Counterexample,
    finding::{Change, Comparison, Direction, Finding},
};

/// Compares an old schema with a new one.
pub fn compare(old: &Model, new: &Model) -> Comparison {
    let all = |model| canonical::write(model, Detail::All);
    let noticeable = |model| canonical::write(model, Detail::Noticeable);
    if all(old) == all(new) {
        return Comparison { change: Change::None, findings: Vec::new() };
    }
    let schemas = SchemaPair { old, new };
    let backward = resolve(old, new);
    if noticeable(old) == noticeable(new) {
        let findings = compatible_changes::find(&schemas, &backward, FINDINGS_MAX);
        return Comparison { change: Change::Unnoticeable, findings };
    }
    let forward = resolve(new, old);
    let mut findings = issue_findings(&schemas, &backward, &forward);
    let limit = FINDINGS_MAX.saturating_sub(findings.len());
    findings.extend(compatible_changes::find(&schemas, &backward, limit));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Comparison { change: Change::Noticeable, findings }
}

/// The findings of all issues, errors first. An issue of both directions is one finding.
fn issue_findings(
    schemas: &SchemaPair<'_>,
    backward: &Resolution,
    forward: &Resolution,
) -> Vec<Finding> {
    let mut issues: Vec<(Direction, &Issue, TypePair, &Resolution)> = Vec::new();
    let mut mutual: HashMap<(&Issue, TypeId, TypeId), usize> = HashMap::new();
    for found in &backward.issues {
        if found.issue.is_mutual() {
            mutual.insert((&found.issue, found.pair.writer, found.pair.reader), issues.len());
        }
        issues.push((Direction::Backward, &found.issue, found.pair, backward));
    }
    for found in &forward.issues {
        let key = (&found.issue, found.pair.reader, found.pair.writer);
        let counterpart = mutual.get(&key).and_then(|index| issues.get_mut(*index));
        match counterpart {
            Some(counterpart) => counterpart.0 = Direction::Both,
            None => issues.push((Direction::Forward, &found.issue, found.pair, forward)),
        }
    }
    issues.sort_by_key(|(_, issue, ..)| !issue.breaks());
    issues.truncate(FINDINGS_MAX);
    let mut findings = Vec::with_capacity(issues.len());
    for (direction, issue, pair, resolution) in issues {
        let located = locate_issue(schemas, direction, issue, pair, resolution);
        let mut finding = issue_finding(schemas, &located);
        if findings.len() < COUNTEREXAMPLES_MAX && issue.breaks() && issue.is_proven() {
            let (writer, reader) = match direction {
                Direction::Backward | Direction::Both => (schemas.old, schemas.new),
                Direction::Forward => (schemas.new, schemas.old),
            };
            let segments = resolution.writer_paths.segments(pair.writer_path);
            let payload = counterexample::find(writer, reader, issue, pair, &segments);
            finding.counterexample = payload.map(Counterexample::new);
        }
        findings.push(finding);
    }
    findings
}

/// Locates an issue in both schemas.
fn locate_issue<'r>(
    schemas: &SchemaPair<'_>,
    direction: Direction,
    issue: &'r Issue,
    pair: TypePair,
    resolution: &Resolution,
) -> LocatedIssue<'r> {
    let (writer, reader) = (&resolution.writer_paths, &resolution.reader_paths);
    let (old, new, old_path, new_path, old_paths, new_paths) = match direction {
        Direction::Backward | Direction::Both => {
            (pair.writer, pair.reader, pair.writer_path, pair.reader_path, writer, reader)
        }
        Direction::Forward => {
            (pair.reader, pair.writer, pair.reader_path, pair.writer_path, reader, writer)
        }
    };
    let location = locate(schemas, (old_paths, old_path), (new_paths, new_path), new);
    LocatedIssue { issue, direction, old, new, location }
}
