//! From two resolutions, one in each direction, to what a report says.

use std::collections::HashMap;

use super::{
    canonical::{self, Detail},
    changes,
    model::{At, Model, TypeId},
    path::Paths,
    resolve::{Issue, Pair, Resolution, resolve},
    witness, wording,
};
use crate::{
    counterexample::Counterexample,
    definition::SourceLocation,
    finding::{Change, Comparison, Direction, Finding, Severity},
};

/// Findings that are told. A report is read by people.
const FINDINGS_MAX: usize = 500;

/// Findings that get a payload that shows them.
const WITNESSES_MAX: usize = 20;

/// Both schemas.
pub struct Sides<'m> {
    pub old: &'m Model,
    pub new: &'m Model,
}

/// Where something is on both sides.
#[derive(Debug, Clone, Default)]
pub struct Spot {
    pub old_path: String,
    pub new_path: String,
    pub place: SourceLocation,
}

/// An issue in terms of old and new.
pub struct Break<'r> {
    pub issue: &'r Issue,
    pub direction: Direction,
    pub old: TypeId,
    pub new: TypeId,
    pub spot: Spot,
}

/// What changed from an old schema to a new one.
pub fn compare(old: &Model, new: &Model) -> Comparison {
    let all = |model| canonical::write(model, Detail::All);
    let essence = |model| canonical::write(model, Detail::Essence);
    if all(old) == all(new) {
        return Comparison { change: Change::None, findings: Vec::new() };
    }
    let sides = Sides { old, new };
    let backward = resolve(old, new);
    if essence(old) == essence(new) {
        let findings = changes::find(&sides, &backward, FINDINGS_MAX);
        return Comparison { change: Change::Unnoticeable, findings };
    }
    let forward = resolve(new, old);
    let mut findings = breaks(&sides, &backward, &forward);
    let room = FINDINGS_MAX.saturating_sub(findings.len());
    findings.extend(changes::find(&sides, &backward, room));
    findings.sort_by_key(|it| std::cmp::Reverse(it.severity));
    Comparison { change: Change::Noticeable, findings }
}

/// Everything that the resolutions found, errors first, what holds in both directions once.
fn breaks(sides: &Sides<'_>, backward: &Resolution, forward: &Resolution) -> Vec<Finding> {
    let mut drafts: Vec<(Direction, &Issue, Pair, &Resolution)> = Vec::new();
    let mut mutual: HashMap<(&Issue, TypeId, TypeId), usize> = HashMap::new();
    for found in &backward.found {
        if found.issue.mutual() {
            mutual.insert((&found.issue, found.pair.writer, found.pair.reader), drafts.len());
        }
        drafts.push((Direction::Backward, &found.issue, found.pair, backward));
    }
    for found in &forward.found {
        let key = (&found.issue, found.pair.reader, found.pair.writer);
        let twin = mutual.get(&key).and_then(|at| drafts.get_mut(*at));
        match twin {
            Some(twin) => twin.0 = Direction::Both,
            None => drafts.push((Direction::Forward, &found.issue, found.pair, forward)),
        }
    }
    drafts.sort_by_key(|(_, issue, ..)| !issue.breaks());
    drafts.truncate(FINDINGS_MAX);
    let mut findings = Vec::with_capacity(drafts.len());
    for (direction, issue, pair, resolution) in drafts {
        let it = located(sides, direction, issue, pair, resolution);
        let mut finding = wording::tell(sides, &it);
        if findings.len() < WITNESSES_MAX && issue.breaks() && issue.proven() {
            let (writer, reader) = match direction {
                Direction::Backward | Direction::Both => (sides.old, sides.new),
                Direction::Forward => (sides.new, sides.old),
            };
            let steps = resolution.writer_paths.steps(pair.writer_path);
            let witness = witness::find(writer, reader, issue, pair, &steps);
            finding.counterexample = witness.map(Counterexample::whole);
        }
        findings.push(finding);
    }
    findings
}

/// An issue with its paths and its place.
fn located<'r>(
    sides: &Sides<'_>,
    direction: Direction,
    issue: &'r Issue,
    pair: Pair,
    resolution: &Resolution,
) -> Break<'r> {
    let (writer, reader) = (&resolution.writer_paths, &resolution.reader_paths);
    let (old, new, old_path, new_path, old_paths, new_paths) = match direction {
        Direction::Backward | Direction::Both => {
            (pair.writer, pair.reader, pair.writer_path, pair.reader_path, writer, reader)
        }
        Direction::Forward => {
            (pair.reader, pair.writer, pair.reader_path, pair.writer_path, reader, writer)
        }
    };
    let spot = spot(sides, (old_paths, old_path), (new_paths, new_path), new);
    Break { issue, direction, old, new, spot }
}

/// Where a pair of types is. A type with a name is looked for where it is used, not where it is defined.
pub fn spot(
    sides: &Sides<'_>,
    (old_paths, old_path): (&Paths, u32),
    (new_paths, new_path): (&Paths, u32),
    new: TypeId,
) -> Spot {
    let of = sides.new.get(new);
    let used = new_paths.last_field(new_path).and_then(|id| sides.new.field(id));
    let at: At = match (of.name(), used) {
        (Some(_), Some(field)) => field.at,
        _ => of.at,
    };
    let old_path = old_paths.show(old_path, sides.old);
    let new_path = new_paths.show(new_path, sides.new);
    let place = sides.new.place(at, &new_path);
    Spot { old_path, new_path, place }
}

/// A finding of something that breaks nothing.
pub fn note(
    rule: &'static str,
    severity: Severity,
    spot: Spot,
    (old_value, new_value): (String, String),
    message: String,
) -> Finding {
    let Spot { old_path, new_path, place } = spot;
    Finding {
        rule,
        severity,
        direction: Direction::Both,
        proven: true,
        old_path,
        new_path,
        old_value: wording::short(&old_value),
        new_value: wording::short(&new_value),
        message,
        suggestion: String::new(),
        counterexample: None,
        place,
    }
}
