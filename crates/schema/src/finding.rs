//! What a comparison of two schemas finds, and what follows from it.

use crate::{counterexample::Counterexample, definition::SourceLocation};

/// Whether the one side reads what the other wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Shown: everything.
    Compatible,
    /// Neither shown within bounded work. Held to be incompatible.
    Unproven,
    /// Shown: not everything.
    Incompatible,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Compatible, and somebody may be surprised.
    Warning,
    /// It breaks the direction that it names; see [`Finding::proven`].
    Error,
}

/// Whom a finding concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// A new reader of old data: a replay.
    Backward,
    /// An old reader of new data: a running subscriber.
    Forward,
    /// Both.
    Both,
}

impl Direction {
    /// Whether it includes another one.
    pub fn includes(self, other: Self) -> bool {
        self == Self::Both || self == other
    }

    /// The same for the two schemas in the other order.
    #[must_use]
    pub fn swapped(self) -> Self {
        match self {
            Self::Backward => Self::Forward,
            Self::Forward => Self::Backward,
            Self::Both => Self::Both,
        }
    }
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable id, such as `PROTOBUF_FIELD_TYPE_CHANGED`.
    pub rule: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// Whom it concerns.
    pub direction: Direction,
    /// An error that was shown to break. False: one of which it could not be shown that it does not.
    pub proven: bool,
    /// JSON pointer, Avro path or Protobuf name in the old definition; empty where it is not there.
    pub old_path: String,
    /// The same in the new one.
    pub new_path: String,
    /// The old value, short.
    pub old_value: String,
    /// The new value, short.
    pub new_value: String,
    /// What changed, from what to what, and whom it hurts.
    pub message: String,
    /// What to do instead; empty where there is nothing to do.
    pub suggestion: String,
    /// A payload that shows the break.
    pub counterexample: Option<Counterexample>,
    /// Where in the new text.
    pub place: SourceLocation,
}

/// How far apart two schemas are, if nothing breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The same canonical form.
    None,
    /// Nothing that a reader or a writer could notice: documentation, order.
    Unnoticeable,
    /// Something that one of them could.
    Noticeable,
}

/// What the comparison of two schemas found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// How far apart they are.
    pub change: Change,
    /// All that was found, errors first.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// The verdict of a direction: what its worst finding says.
    pub fn verdict(&self, direction: Direction) -> Verdict {
        let errors = self.findings.iter().filter(|it| {
            it.severity == Severity::Error
                && (it.direction.includes(direction) || direction == Direction::Both)
        });
        let verdict = |it: &Finding| {
            if it.proven { Verdict::Incompatible } else { Verdict::Unproven }
        };
        errors.map(verdict).max().unwrap_or(Verdict::Compatible)
    }
}

/// What comparisons are told by the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// How undeclared properties of an open JSON object are seen.
    pub content_model: ContentModel,
    /// Which encodings of a Protobuf message are part of its contract.
    pub surface: Surface,
}

/// How the undeclared properties of an open JSON object are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentModel {
    /// As absent: an optional property may be added to an open object, and taken away.
    #[default]
    Lenient,
    /// As anything: a property added to an open object narrows it.
    Strict,
}

/// Which encodings of a Protobuf message are part of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Surface {
    /// The binary form and the JSON mapping: field and enum names count.
    #[default]
    WireJson,
    /// The binary form alone.
    Wire,
}
