//! Subjects: names under which versions of a schema are registered.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use semver::Version;

use crate::{
    name::SubjectName,
    schema::{SchemaVersion, State},
};
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Options, Surface},
    schema::Format,
    version::Line,
};

/// Longest owner, in bytes.
const OWNER_BYTES_MAX: usize = 256;
/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4096;
/// Most labels.
const LABELS_MAX: usize = 64;
/// Longest name or value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 256;

/// The settings of a subject, which its owner decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The compatibility level that new versions are checked against.
    pub level: Level,
    /// How comparisons treat undeclared properties of an open JSON object.
    pub content_model: ContentModel,
    /// The encodings of a Protobuf message that comparisons consider.
    pub surface: Surface,
    /// The person or team to contact.
    pub owner: String,
    /// The purpose of the subject.
    pub description: String,
    /// Labels for tools.
    pub labels: BTreeMap<String, String>,
}

impl Settings {
    /// Returns the options of comparisons.
    pub fn options(&self) -> Options {
        Options { content_model: self.content_model, surface: self.surface }
    }

    /// Returns each field that exceeds its limit, with the reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |field: &str, length: usize, limit: usize| {
            if length > limit {
                faults.push((field.into(), format!("has {length} bytes; the limit is {limit}")));
            }
        };
        check("owner", self.owner.len(), OWNER_BYTES_MAX);
        check("description", self.description.len(), DESCRIPTION_BYTES_MAX);
        faults.extend(label_faults(&self.labels));
        faults
    }
}

/// Returns the labels that exceed a limit, with the reason.
pub fn label_faults(labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    if labels.len() > LABELS_MAX {
        let message = format!("has {} entries; the limit is {LABELS_MAX}", labels.len());
        faults.push(("labels".into(), message));
    }
    for (name, value) in labels {
        let bytes = name.len().max(value.len());
        if bytes > LABEL_BYTES_MAX || name.is_empty() {
            let shortened: String = name.chars().take(40).collect();
            faults.push((
                format!("labels[\"{shortened}\"]"),
                format!(
                    "needs a name, and at most {LABEL_BYTES_MAX} bytes in the name and in the value"
                ),
            ));
        }
    }
    faults
}

/// A subject with its versions.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The name.
    pub name: SubjectName,
    /// The format of all versions.
    pub format: Format,
    /// The settings, which the owner decides.
    pub settings: Settings,
    /// When the subject was created.
    pub created: Timestamp,
    /// The revision of the registry at the last change of the subject: its etag.
    pub revision: u64,
    /// Whether the subject was deleted. The remaining fields keep used versions and ids from being
    /// assigned again.
    pub deleted: bool,
    /// Ids up to this one belong to deleted versions.
    pub ids_before: u32,
    /// The highest major version among deleted versions.
    pub major_before: Option<u64>,
    /// The registered versions.
    pub versions: BTreeMap<Version, Arc<SchemaVersion>>,
    /// Registered versions whose rows are quarantined, with their ids. They cannot be compared.
    pub unreadable: BTreeMap<Version, u32>,
}

impl Subject {
    /// Returns the etag, which changes with every change of the subject or of its versions.
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// Returns the newest usable version: the highest active release, else the highest deprecated
    /// release, else the highest pre-release.
    pub fn newest(&self) -> Option<&Arc<SchemaVersion>> {
        let usable =
            || self.versions.values().rev().filter(|schema| schema.state != State::Retired);
        let released = || usable().filter(|schema| schema.version.pre.is_empty());
        (released().find(|schema| schema.state == State::Active))
            .or_else(|| released().next())
            .or_else(|| usable().next())
    }

    /// Returns the releases of a line, the oldest first.
    pub fn line(&self, line: Line) -> impl DoubleEndedIterator<Item = &Arc<SchemaVersion>> {
        let is_release_of_line = move |schema: &&Arc<SchemaVersion>| {
            Line::of(&schema.version) == line && schema.version.pre.is_empty()
        };
        self.versions.values().filter(is_release_of_line)
    }
}
