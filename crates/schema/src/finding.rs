//! Findings of a comparison of two schemas, and the verdicts that follow from them.

use crate::{counterexample::Counterexample, definition::SourceLocation};

/// Whether readers of one schema can read data of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Proven: readers can read all data.
    Compatible,
    /// Neither is proven within the limit of work. Treated as incompatible.
    Unproven,
    /// Proven: readers cannot read some data.
    Incompatible,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Information.
    Info,
    /// Compatible, but possibly unexpected.
    Warning,
    /// A break of the finding's direction; see [`Finding::proven`].
    Error,
}

/// The readers and data that a finding affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// New readers of old data, such as replays.
    Backward,
    /// Old readers of new data, such as running subscribers.
    Forward,
    /// Both.
    Both,
}

impl Direction {
    /// Whether this direction includes another.
    pub fn includes(self, other: Self) -> bool {
        self == Self::Both || self == other
    }

    /// The direction if the two schemas are swapped.
    #[must_use]
    pub fn swapped(self) -> Self {
        match self {
            Self::Backward => Self::Forward,
            Self::Forward => Self::Backward,
            Self::Both => Self::Both,
        }
    }
}

/// A change between two schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The stable id of the rule, such as `PROTOBUF_FIELD_TYPE_CHANGED`.
    pub rule: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The affected direction.
    pub direction: Direction,
    /// Whether an error is proven to break. Otherwise compatibility could not be proven.
    pub proven: bool,
    /// The JSON pointer, Avro path or Protobuf name in the old definition; empty if absent.
    pub old_path: String,
    /// The same in the new definition.
    pub new_path: String,
    /// The old value, shortened.
    pub old_value: String,
    /// The new value, shortened.
    pub new_value: String,
    /// The change with its old and new value, and its consequence.
    pub message: String,
    /// The suggested alternative; empty if there is none.
    pub suggestion: String,
    /// A payload that proves the break.
    pub counterexample: Option<Counterexample>,
    /// The location in the new definition.
    pub location: SourceLocation,
}

/// The extent of a compatible change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The same canonical form.
    None,
    /// A change that neither readers nor writers notice, such as documentation or order.
    Unnoticeable,
    /// A change that readers or writers notice.
    Noticeable,
}

/// The result of the comparison of two schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The extent of the change.
    pub change: Change,
    /// All findings, errors first.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// The verdict of a direction: that of its worst finding.
    pub fn verdict(&self, direction: Direction) -> Verdict {
        let errors = self.findings.iter().filter(|finding| {
            finding.severity == Severity::Error
                && (finding.direction.includes(direction) || direction == Direction::Both)
        });
        let verdict = |finding: &Finding| {
            if finding.proven { Verdict::Incompatible } else { Verdict::Unproven }
        };
        errors.map(verdict).max().unwrap_or(Verdict::Compatible)
    }
}

/// Settings of a subject for comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// The treatment of undeclared properties of open JSON objects.
    pub content_model: ContentModel,
    /// The encodings of Protobuf messages that are part of the contract.
    pub surface: Surface,
}

/// The treatment of undeclared properties of open JSON objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContentModel {
    /// They are absent: an optional property can be added to an open object and removed.
    #[default]
    Lenient,
    /// They have any value: a property added to an open object narrows it.
    Strict,
}

/// The encodings of Protobuf messages that are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Surface {
    /// The binary encoding and the JSON mapping: field and enum names count.
    #[default]
    WireJson,
    /// Only the binary encoding.
    Wire,
}
