//! Versions that mean something: which line one belongs to, which is next, and which a requirement means.

use semver::{BuildMetadata, Prerelease, Version, VersionReq};

use crate::finding::Change;

/// The least step that a change asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    /// The same canonical form.
    None,
    /// Nothing that a reader or a writer could notice.
    Patch,
    /// Compatible, as the subject's compatibility asks.
    Minor,
    /// Not compatible.
    Major,
}

impl Bump {
    /// Its meaning and its name, as a phrase.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::None | Self::Patch => "nothing that anybody could notice (PATCH)",
            Self::Minor => "compatible and noticeable (MINOR)",
            Self::Major => "a break (MAJOR)",
        }
    }
}

impl From<Change> for Bump {
    fn from(change: Change) -> Self {
        match change {
            Change::None => Self::None,
            Change::Unnoticeable => Self::Patch,
            Change::Noticeable => Self::Minor,
        }
    }
}

/// The versions that `^` holds together: a major version, or a minor one of 0.x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    major: u64,
    /// 0 but in the lines of 0.x.
    minor: u64,
}

impl Line {
    /// The line of a version.
    pub fn of(version: &Version) -> Self {
        let minor = if version.major == 0 { version.minor } else { 0 };
        Self { major: version.major, minor }
    }
}

/// The version of a subject's first schema, where none is declared.
pub const FIRST: Version = Version::new(1, 0, 0);

/// The version behind another one that a bump asks for. In a 0.x line a compatible change is the last number, and a
/// breaking one the middle.
pub fn next(last: &Version, bump: Bump) -> Version {
    let Version { major, minor, patch, .. } = *last;
    // A release of which pre-releases are registered is still to come.
    if !last.pre.is_empty() {
        return release(last);
    }
    match bump {
        Bump::None => last.clone(),
        Bump::Patch => Version::new(major, minor, patch + 1),
        Bump::Minor if major == 0 => Version::new(0, minor, patch + 1),
        Bump::Minor => Version::new(major, minor + 1, 0),
        Bump::Major if major == 0 => Version::new(0, minor + 1, 0),
        Bump::Major => Version::new(major + 1, 0, 0),
    }
}

/// The release that a pre-release comes before.
pub fn release(version: &Version) -> Version {
    Version { pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY, ..version.clone() }
}

/// Parses a version that somebody declares.
///
/// # Errors
/// In words, where it is not one.
pub fn parse(text: &str) -> Result<Version, String> {
    let version = Version::parse(text)
        .map_err(|error| format!("\"{text}\" is not a semantic version such as 1.4.0: {error}"))?;
    if !version.build.is_empty() {
        return Err(format!(
            "\"{text}\" has build metadata, which orders nothing: declare {}",
            Version { build: BuildMetadata::EMPTY, ..version }
        ));
    }
    // Behind the largest number there would be no next one.
    if [version.major, version.minor, version.patch].iter().any(|part| *part > NUMBER_MAX) {
        return Err(format!("a number in \"{text}\" is larger than {NUMBER_MAX}"));
    }
    Ok(version)
}

/// Largest number in a version.
const NUMBER_MAX: u64 = 1 << 32;

/// Parses a requirement as the `semver` crate has it: `"1.2"` is `"^1.2"`. At most [`REQUIREMENT_BYTES_MAX`] bytes.
///
/// # Errors
/// In words, where it is none.
pub fn requirement(text: &str) -> Result<VersionReq, String> {
    if text.len() > REQUIREMENT_BYTES_MAX {
        let bytes = text.len();
        return Err(format!("has {bytes} bytes, at most {REQUIREMENT_BYTES_MAX} are taken"));
    }
    if text.trim().is_empty() {
        return Err("is missing: a requirement such as ^1.2, or * for every version".into());
    }
    VersionReq::parse(text).map_err(|error| {
        format!("\"{text}\" is not a version requirement such as ^1.2 or \">=1, <3\": {error}")
    })
}

/// Longest requirement, in bytes.
pub const REQUIREMENT_BYTES_MAX: usize = 256;

/// What somebody asks for: one version, or the best of those that satisfy a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The newest.
    Newest,
    /// Exactly this one.
    Exactly(Version),
    /// The highest that satisfies it.
    Best(VersionReq),
}

impl Selector {
    /// Parses the version that an event says it was written with: nothing, a full version, or its first one or two
    /// numbers, such as 1.4 for the newest 1.4.x.
    ///
    /// # Errors
    /// In words, where it is none of them.
    pub fn written(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Newest);
        }
        if let Ok(version) = Version::parse(text) {
            return Ok(Self::Exactly(version));
        }
        let numbers: Option<Vec<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
        let (major, minor) = match numbers.as_deref() {
            Some([major]) => (*major, None),
            Some([major, minor]) => (*major, Some(*minor)),
            _ => {
                return Err(format!(
                    "\"{text}\" is not a version such as 1.4.0, nor the beginning of one such as 1.4"
                ));
            }
        };
        let comparator = semver::Comparator {
            op: semver::Op::Tilde,
            major,
            minor,
            patch: None,
            pre: Prerelease::EMPTY,
        };
        Ok(Self::Best(VersionReq { comparators: vec![comparator] }))
    }

    /// Parses what is asked for: nothing, a full version, or a requirement of the `semver` crate.
    ///
    /// # Errors
    /// In words, where it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Newest);
        }
        if let Ok(version) = Version::parse(text) {
            return Ok(Self::Exactly(version));
        }
        VersionReq::parse(text).map(Self::Best).map_err(|error| {
            format!(
                "\"{text}\" is neither a version such as 1.4.0 nor a requirement such as ^1.2: {error}"
            )
        })
    }
}

/// The newest versions, newest first, as a list for a message.
pub fn list<'a>(versions: impl DoubleEndedIterator<Item = &'a Version>) -> String {
    const SHOWN: usize = 10;
    let mut newest: Vec<String> = versions.rev().take(SHOWN + 1).map(Version::to_string).collect();
    if newest.len() > SHOWN {
        newest[SHOWN] = "…".into();
    }
    newest.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        parse(text).expect("a version")
    }

    #[test]
    fn an_event_names_a_version_or_its_beginning() {
        let matches = |text: &str, version: &str| match Selector::written(text) {
            Ok(Selector::Best(requirement)) => requirement.matches(&v(version)),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(Selector::written(""), Ok(Selector::Newest));
        assert_eq!(Selector::written("1.4.0"), Ok(Selector::Exactly(v("1.4.0"))));
        assert!(matches("1.4", "1.4.7") && !matches("1.4", "1.5.0"));
        assert!(matches("1", "1.9.0") && !matches("1", "2.0.0"));
        for text in ["^1.4", "1.", "1.4.0.0", "v1", ">=1", "x", "-1", " 1"] {
            assert!(Selector::written(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_next_version_is_what_the_bump_says() {
        let rows = [
            ("1.2.3", Bump::None, "1.2.3"),
            ("1.2.3", Bump::Patch, "1.2.4"),
            ("1.2.3", Bump::Minor, "1.3.0"),
            ("1.2.3", Bump::Major, "2.0.0"),
            ("0.2.4", Bump::Patch, "0.2.5"),
            ("0.2.4", Bump::Minor, "0.2.5"),
            ("0.2.4", Bump::Major, "0.3.0"),
            ("2.0.0-rc.1", Bump::Minor, "2.0.0"),
        ];
        for (last, bump, expected) in rows {
            assert_eq!(next(&v(last), bump), v(expected), "{last} {bump:?}");
        }
    }

    #[test]
    fn lines_are_what_a_caret_holds_together() {
        for (one, other) in [("1.0.0", "1.9.3"), ("0.2.0", "0.2.9"), ("2.0.0-rc.1", "2.4.0")] {
            assert_eq!(Line::of(&v(one)), Line::of(&v(other)));
        }
        for (one, other) in [("1.0.0", "2.0.0"), ("0.2.0", "0.3.0"), ("0.1.0", "1.1.0")] {
            assert_ne!(Line::of(&v(one)), Line::of(&v(other)));
        }
    }

    #[test]
    fn what_is_not_a_version_is_told_in_words() {
        for text in ["", "1", "1.2", "v1.2.3", "1.2.3+build", "01.2.3", "99999999999.0.0"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(matches!(Selector::parse("1.4.0"), Ok(Selector::Exactly(_))));
        assert!(matches!(Selector::parse("1.4"), Ok(Selector::Best(_))));
        assert!(matches!(Selector::parse(""), Ok(Selector::Newest)));
        assert!(Selector::parse("newest").is_err());
    }

    #[test]
    fn requirements_are_those_of_the_semver_crate() {
        for (text, read) in
            [("1.2", "^1.2"), (">=1,<3", ">=1, <3"), ("*", "*"), ("=1.0.0-rc.1", "=1.0.0-rc.1")]
        {
            assert_eq!(requirement(text).map(|it| it.to_string()).as_deref(), Ok(read));
        }
        for text in
            ["", " ", "one", "^1.2.3.4", "1 2", &"1,".repeat(200), "99999999999999999999999"]
        {
            assert!(requirement(text).is_err(), "{text}");
        }
    }
}
