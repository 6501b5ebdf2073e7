//! What changed from one schema to another, and which readers it breaks.
//!
//! Pairs of types are compared structurally, each once, from the roots down. Numbers pair fields, for that is what
//! bytes carry; names count where JSON does.

mod enums;
mod fields;
mod messages;
mod roots;

use std::collections::{HashMap, HashSet};

use crate::finding::{Direction, Finding, Severity, Surface};

use super::{
    report::{Note, Report, Spot},
    types::{Field, Types},
};

pub(super) use messages::json_form;
pub(super) use roots::Roots;

/// Fields and values compared, at most. Two cycles of types without a common factor make as many pairs as their
/// product; a million is a second of work.
const STEPS_MAX: usize = 1_000_000;

/// Two messages, by their indices in the old schema and in the new one.
pub(super) type Pair = (usize, usize);

/// How pairs of messages are reached. Those that a comparison begins with are not in it.
pub(super) type Ways = HashMap<Pair, (Pair, u32)>;

/// One comparison under way.
pub(super) struct Walk<'a> {
    old: &'a Types,
    new: &'a Types,
    surface: Surface,
    report: Report,
    queue: Vec<Pair>,
    messages: HashSet<Pair>,
    /// The first way to each pair of messages: the pair that has them in a field, and the field's
    /// number.
    ways: Ways,
    /// The pair and the field that are being compared. None: what the comparison begins with.
    here: Option<(Pair, u32)>,
    enums: HashSet<(usize, usize)>,
    likeness: HashMap<(usize, usize), messages::Likeness>,
    steps: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(old: &'a Types, new: &'a Types, surface: Surface) -> Self {
        Self {
            old,
            new,
            surface,
            report: Report::default(),
            queue: Vec::new(),
            messages: HashSet::new(),
            ways: HashMap::new(),
            here: None,
            enums: HashSet::new(),
            likeness: HashMap::new(),
            steps: 0,
        }
    }

    /// Compares everything that is queued and all that it leads to.
    pub(super) fn finish(mut self) -> (Vec<(Finding, Spot)>, Ways) {
        while let Some((old, new)) = self.queue.pop() {
            if self.steps > STEPS_MAX {
                self.report.add(
                    Note::unproven("PROTOBUF_TOO_COMPLEX", Direction::Both)
                        .says(format!(
                            "The types of the two versions meet in so many combinations that the comparison stopped \
                             after {STEPS_MAX} fields, and what is left could not be shown to be compatible."
                        ))
                        .advises("Let fewer message types refer to each other."),
                );
                break;
            }
            self.compare_messages(old, new);
        }
        (self.report.finish(), self.ways)
    }

    /// Whether two fields hold what the readers of both understand.
    pub(super) fn agrees(mut self, old: &'a Field, new: &'a Field) -> bool {
        self.compare_kinds(old, new);
        self.finish().0.iter().all(|(it, _)| it.severity != Severity::Error)
    }

    /// All pairs of messages that meet, without a comparison of them: what the ledger needs.
    pub(super) fn pairs(self) -> HashSet<Pair> {
        let (old, new) = (self.old, self.new);
        let mut pairs = self.messages;
        let mut queue = self.queue;
        let mut steps = 0;
        while let Some((old_index, new_index)) = queue.pop() {
            let (Some(a), Some(b)) = (old.message(old_index), new.message(new_index)) else {
                continue;
            };
            steps += 1 + a.fields.len();
            if steps > STEPS_MAX {
                break;
            }
            for (number, field) in &a.fields {
                let Some(other) = b.fields.get(number) else { continue };
                let (Some(from), Some(to)) = (field.kind.message(), other.kind.message()) else {
                    continue;
                };
                if pairs.insert((from, to)) {
                    queue.push((from, to));
                }
            }
        }
        pairs
    }

    /// Queues a pair of messages, once.
    fn meet(&mut self, old: usize, new: usize) {
        if self.messages.insert((old, new)) {
            self.queue.push((old, new));
            if let Some(here) = self.here {
                self.ways.insert((old, new), here);
            }
        }
    }

    /// What is found from here on is about a pair of messages, and about a field of theirs.
    fn stand(&mut self, pair: Pair, field: Option<u32>) {
        self.here = field.map(|number| (pair, number));
        self.report.stand(pair, field.as_slice());
    }

    fn json(&self) -> bool {
        match self.surface {
            Surface::WireJson => true,
            Surface::Wire => false,
        }
    }
}

/// The directions in which something breaks.
fn directions(backward: bool, forward: bool) -> Option<Direction> {
    match (backward, forward) {
        (true, true) => Some(Direction::Both),
        (true, false) => Some(Direction::Backward),
        (false, true) => Some(Direction::Forward),
        (false, false) => None,
    }
}

/// Whom it hurts, where each direction has a reason of its own.
fn whom(backward: Option<&str>, forward: Option<&str>) -> String {
    match (backward, forward) {
        (Some(backward), Some(forward)) if backward == forward => {
            format!(
                "new readers of old data and running readers of new data are both hurt: {backward}"
            )
        }
        (Some(backward), Some(forward)) => format!(
            "where new readers meet old data, {backward}, and where running readers meet new data, {forward}"
        ),
        (Some(backward), None) => format!("where new readers meet old data, {backward}"),
        (None, Some(forward)) => format!("where running readers meet new data, {forward}"),
        (None, None) => "nobody is hurt".to_owned(),
    }
}

/// The last part of a full name.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
