//! Subjects: named lines of versions.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use semver::Version;

use crate::{
    negotiation,
    schema::{SchemaVersion, State},
};
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Options, Surface},
    schema::Format,
    version::{Line, Selector},
};

/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 255;
/// Longest owner, in bytes.
const OWNER_BYTES_MAX: usize = 256;
/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4096;
/// Most labels.
const LABELS_MAX: usize = 64;
/// Longest name or value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 256;

/// The name of a subject; for events, the event type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectName(Arc<str>);

impl SubjectName {
    /// 1 to 255 printable characters, no spaces.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a subject needs a name, such as com.example.order.placed".into());
        }
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What names are held to: at most [`NAME_CHARS_MAX`] characters, printable ones without spaces.
///
/// # Errors
/// In words.
pub fn check_name(text: &str) -> Result<(), String> {
    let chars = text.chars().count();
    if chars > NAME_CHARS_MAX {
        return Err(format!("has {chars} characters, at most {NAME_CHARS_MAX} are taken"));
    }
    match text.chars().find(|c| c.is_control() || c.is_whitespace() || invisible(*c)) {
        Some(bad) => Err(format!(
            "has the character {}: only printable ones without spaces are taken",
            bad.escape_unicode()
        )),
        None => Ok(()),
    }
}

/// Characters that show nothing, or turn what is shown around.
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What its owner decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// What new versions are held to.
    pub level: Level,
    /// How undeclared properties of an open JSON object are seen.
    pub content_model: ContentModel,
    /// Which encodings of a Protobuf message count.
    pub surface: Surface,
    /// Whom to ask.
    pub owner: String,
    /// What it is for.
    pub description: String,
    /// For tools.
    pub labels: BTreeMap<String, String>,
}

impl Settings {
    /// What comparisons are told.
    pub fn options(&self) -> Options {
        Options { content_model: self.content_model, surface: self.surface }
    }

    /// Everything that is out of bounds: the field and why.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut bound = |field: &str, length: usize, limit: usize| {
            if length > limit {
                faults
                    .push((field.into(), format!("has {length} bytes, at most {limit} are taken")));
            }
        };
        bound("owner", self.owner.len(), OWNER_BYTES_MAX);
        bound("description", self.description.len(), DESCRIPTION_BYTES_MAX);
        faults.extend(label_faults(&self.labels));
        faults
    }
}

/// What is out of bounds in labels: the field and why.
pub fn label_faults(labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    if labels.len() > LABELS_MAX {
        let message = format!("has {} entries, at most {LABELS_MAX} are taken", labels.len());
        faults.push(("labels".into(), message));
    }
    for (name, value) in labels {
        let bytes = name.len().max(value.len());
        if bytes > LABEL_BYTES_MAX || name.is_empty() {
            let short: String = name.chars().take(40).collect();
            faults.push((
                format!("labels[\"{short}\"]"),
                format!(
                    "a label has a name, and at most {LABEL_BYTES_MAX} bytes in it and in its value"
                ),
            ));
        }
    }
    faults
}

/// A subject with its versions.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name.
    pub name: SubjectName,
    /// The format of all its versions.
    pub format: Format,
    /// What its owner decided.
    pub settings: Settings,
    /// When it was made.
    pub created: Timestamp,
    /// The revision of the registry at its last change: its etag.
    pub revision: u64,
    /// It was deleted. What is left says which versions and ids are used up.
    pub deleted: bool,
    /// Ids up to here belong to what was deleted.
    pub ids_before: u32,
    /// The highest major version that was deleted.
    pub major_before: Option<u64>,
    /// What is registered, by version.
    pub versions: BTreeMap<Version, Arc<SchemaVersion>>,
    /// Versions that are registered and were set aside, with their ids: nothing can be compared with them.
    pub unreadable: BTreeMap<Version, u32>,
}

impl Subject {
    /// Changes with every change of it or of its versions.
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// The highest active release; where there is none, the highest deprecated one, then a pre-release.
    pub fn newest(&self) -> Option<&Arc<SchemaVersion>> {
        let usable = || self.versions.values().rev().filter(|it| it.state != State::Retired);
        let released = || usable().filter(|it| it.version.pre.is_empty());
        (released().find(|it| it.state == State::Active))
            .or_else(|| released().next())
            .or_else(|| usable().next())
    }

    /// What somebody asks for. A version given exactly is meant, also where it is retired.
    pub fn select(&self, selector: &Selector) -> Option<&Arc<SchemaVersion>> {
        match selector {
            Selector::Newest => self.newest(),
            Selector::Exactly(version) => self.versions.get(version),
            Selector::Best(requirement) => negotiation::best(self.versions.values(), requirement),
        }
    }

    /// The releases of a line, the oldest first.
    pub fn line(&self, line: Line) -> impl DoubleEndedIterator<Item = &Arc<SchemaVersion>> {
        let belongs = move |it: &&Arc<SchemaVersion>| {
            Line::of(&it.version) == line && it.version.pre.is_empty()
        };
        self.versions.values().filter(belongs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_without_spaces() {
        for name in ["a", "com.example.order.placed", "Größe/1", &"x".repeat(255), "a%2e..b"] {
            assert!(SubjectName::parse(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a\n", "a\0b", "\u{202e}b", "a\u{200b}", &"x".repeat(256)] {
            assert!(SubjectName::parse(name).is_err(), "{name:?}");
        }
    }
}
