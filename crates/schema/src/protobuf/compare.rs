//! Compares two schemas: the changes, and the readers that they break.
//!
//! Pairs of types are compared structurally, each once, from the roots down. Fields are paired by
//! number, because bytes contain numbers; names are compared only if JSON is part of the contract.

mod enums;
mod fields;
mod messages;
mod roots;

use std::collections::{HashMap, HashSet};

use crate::finding::{Direction, Finding, Severity, Surface};

use super::{
    findings::{FindingBuilder, FindingContext, Findings},
    types::{Field, Types},
};

pub(super) use roots::Roots;

/// Limit of compared fields and values. Two type cycles of coprime lengths have as many pairs as
/// the product of the lengths; a million steps take a second.
const STEPS_MAX: usize = 1_000_000;

/// The indices of a message in the old schema and of one in the new schema.
pub(super) type MessagePair = (usize, usize);

/// For each pair of messages that is not a root: the pair and the field number that reached it
/// first.
pub(super) type ParentFields = HashMap<MessagePair, (MessagePair, u32)>;

/// One comparison.
pub(super) struct Comparer<'a> {
    old: &'a Types,
    new: &'a Types,
    surface: Surface,
    findings: Findings,
    queue: Vec<MessagePair>,
    messages: HashSet<MessagePair>,
    parents: ParentFields,
    /// The pair and the field that are being compared. `None` for roots.
    current_field: Option<(MessagePair, u32)>,
    enums: HashSet<(usize, usize)>,
    similarities: HashMap<(usize, usize), messages::Similarity>,
    steps: usize,
}

impl<'a> Comparer<'a> {
    pub(super) fn new(old: &'a Types, new: &'a Types, surface: Surface) -> Self {
        Self {
            old,
            new,
            surface,
            findings: Findings::default(),
            queue: Vec::new(),
            messages: HashSet::new(),
            parents: HashMap::new(),
            current_field: None,
            enums: HashSet::new(),
            similarities: HashMap::new(),
            steps: 0,
        }
    }

    /// Compares all queued pairs and the pairs reachable from them.
    pub(super) fn finish(mut self) -> (Vec<(Finding, FindingContext)>, ParentFields) {
        while let Some((old, new)) = self.queue.pop() {
            if self.steps > STEPS_MAX {
                self.findings.add(
                    FindingBuilder::unproven("PROTOBUF_TOO_COMPLEX", Direction::Both)
                        .message(format!(
                            "The types of the two versions have too many combinations: the comparison stopped after \
                             {STEPS_MAX} fields, and the rest is not proven compatible."
                        ))
                        .suggestion("Reduce the references between message types."),
                );
                break;
            }
            self.compare_messages(old, new);
        }
        (self.findings.finish(), self.parents)
    }

    /// Whether the readers of each field can read the values of the other.
    pub(super) fn fields_agree(mut self, old: &'a Field, new: &'a Field) -> bool {
        self.compare_kinds(old, new);
        self.finish().0.iter().all(|(finding, _)| finding.severity != Severity::Error)
    }

    /// All reachable pairs of messages, without comparing them. The ledger needs only these.
    pub(super) fn reachable_pairs(self) -> HashSet<MessagePair> {
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
    fn enqueue(&mut self, old: usize, new: usize) {
        if self.messages.insert((old, new)) {
            self.queue.push((old, new));
            if let Some(parent) = self.current_field {
                self.parents.insert((old, new), parent);
            }
        }
    }

    /// Sets the pair of messages and the field that the following findings are about.
    fn set_context(&mut self, pair: MessagePair, field: Option<u32>) {
        self.current_field = field.map(|number| (pair, number));
        self.findings.set_context(pair, field.as_slice());
    }

    fn includes_json(&self) -> bool {
        match self.surface {
            Surface::WireJson => true,
            Surface::Wire => false,
        }
    }
}

fn directions(backward: bool, forward: bool) -> Option<Direction> {
    match (backward, forward) {
        (true, true) => Some(Direction::Both),
        (true, false) => Some(Direction::Backward),
        (false, true) => Some(Direction::Forward),
        (false, false) => None,
    }
}

/// The readers that are affected, with the reason for each direction.
fn consequence(backward: Option<&str>, forward: Option<&str>) -> String {
    match (backward, forward) {
        (Some(backward), Some(forward)) if backward == forward => {
            format!(
                "this breaks new readers of old data and running readers of new data: {backward}"
            )
        }
        (Some(backward), Some(forward)) => format!(
            "for new readers of old data, {backward}; for running readers of new data, {forward}"
        ),
        (Some(backward), None) => format!("for new readers of old data, {backward}"),
        (None, Some(forward)) => format!("for running readers of new data, {forward}"),
        (None, None) => "no reader is affected".to_owned(),
    }
}

/// The last part of a full name.
fn simple_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
