//! Semantic versions: lines, bumps, and the versions that a requirement selects.

use semver::{BuildMetadata, Prerelease, Version, VersionReq};

use crate::finding::Change;

/// The smallest version bump that a change requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    /// The same canonical form.
    None,
    /// Neither readers nor writers notice the change.
    Patch,
    /// Compatible at the subject's level.
    Minor,
    /// Incompatible.
    Major,
}

impl Bump {
    /// The description of the change for messages.
    pub fn description(self) -> &'static str {
        match self {
            Self::None | Self::Patch => "unnoticeable (PATCH)",
            Self::Minor => "compatible and noticeable (MINOR)",
            Self::Major => "breaking (MAJOR)",
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

/// A line: the versions that `^` selects together, of one major version or one minor version of
/// 0.x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    major: u64,
    /// 0 except in lines of 0.x.
    minor: u64,
}

impl Line {
    /// The line of a version.
    pub fn of(version: &Version) -> Self {
        let minor = if version.major == 0 { version.minor } else { 0 };
        Self { major: version.major, minor }
    }
}

/// The version of a subject's first schema if none is declared.
pub const FIRST: Version = Version::new(1, 0, 0);

/// The next version after a bump. In a 0.x line a compatible change bumps the last number, and a
/// breaking change the middle one.
pub fn next(last: &Version, bump: Bump) -> Version {
    let Version { major, minor, patch, .. } = *last;
    // The release after registered pre-releases is not registered yet.
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

/// The release of a pre-release.
pub fn release(version: &Version) -> Version {
    Version { pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY, ..version.clone() }
}

/// Parses a declared version.
///
/// # Errors
/// Returns the reason if it is not a valid version.
pub fn parse(text: &str) -> Result<Version, String> {
    let version = Version::parse(text)
        .map_err(|error| format!("\"{text}\" is not a semantic version such as 1.4.0: {error}"))?;
    if !version.build.is_empty() {
        return Err(format!(
            "\"{text}\" has build metadata, which does not order versions: declare {}",
            Version { build: BuildMetadata::EMPTY, ..version }
        ));
    }
    // The largest number would have no next version.
    if [version.major, version.minor, version.patch].iter().any(|number| *number > NUMBER_MAX) {
        return Err(format!("a number in \"{text}\" exceeds the limit of {NUMBER_MAX}"));
    }
    Ok(version)
}

/// Largest number in a version.
const NUMBER_MAX: u64 = 1 << 32;

/// Parses a requirement in the syntax of the `semver` crate: `"1.2"` is `"^1.2"`. The limit is
/// [`REQUIREMENT_BYTES_MAX`] bytes.
///
/// # Errors
/// Returns the reason if it is not a valid requirement.
pub fn requirement(text: &str) -> Result<VersionReq, String> {
    if text.len() > REQUIREMENT_BYTES_MAX {
        let bytes = text.len();
        return Err(format!("has {bytes} bytes; the limit is {REQUIREMENT_BYTES_MAX}"));
    }
    if text.trim().is_empty() {
        return Err("is missing: use a requirement such as ^1.2, or * for every version".into());
    }
    VersionReq::parse(text).map_err(|error| {
        format!("\"{text}\" is not a version requirement such as ^1.2 or \">=1, <3\": {error}")
    })
}

/// Size of a requirement in bytes.
pub const REQUIREMENT_BYTES_MAX: usize = 256;

/// A selection of one version, by itself or by a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The newest version.
    Newest,
    /// This version.
    Exactly(Version),
    /// The highest version that satisfies the requirement.
    Best(VersionReq),
}

impl Selector {
    /// Parses the version of the schema that an event was written with: empty, a full version, or
    /// its first one or two numbers, such as 1.4 for the newest 1.4.x.
    ///
    /// # Errors
    /// Returns the reason if it is none of them.
    pub fn parse_prefix(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Newest);
        }
        if let Ok(version) = Version::parse(text) {
            return Ok(Self::Exactly(version));
        }
        let numbers: Option<Vec<u64>> = text.split('.').map(|number| number.parse().ok()).collect();
        let (major, minor) = match numbers.as_deref() {
            Some([major]) => (*major, None),
            Some([major, minor]) => (*major, Some(*minor)),
            _ => {
                return Err(format!(
                    "\"{text}\" is neither a version such as 1.4.0 nor the start of one such as 1.4"
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

    /// Parses a selection: empty, a full version, or a requirement of the `semver` crate.
    ///
    /// # Errors
    /// Returns the reason if it is none of them.
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

/// Lists the newest versions for a message, newest first.
pub fn list<'a>(versions: impl DoubleEndedIterator<Item = &'a Version>) -> String {
    const SHOWN_MAX: usize = 10;
    let mut newest: Vec<String> =
        versions.rev().take(SHOWN_MAX + 1).map(Version::to_string).collect();
    if newest.len() > SHOWN_MAX {
        newest[SHOWN_MAX] = "…".into();
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
    fn a_prefix_selects_the_newest_version_with_it() {
        let matches = |text: &str, version: &str| match Selector::parse_prefix(text) {
            Ok(Selector::Best(requirement)) => requirement.matches(&v(version)),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(Selector::parse_prefix(""), Ok(Selector::Newest));
        assert_eq!(Selector::parse_prefix("1.4.0"), Ok(Selector::Exactly(v("1.4.0"))));
        assert!(matches("1.4", "1.4.7") && !matches("1.4", "1.5.0"));
        assert!(matches("1", "1.9.0") && !matches("1", "2.0.0"));
        for text in ["^1.4", "1.", "1.4.0.0", "v1", ">=1", "x", "-1", " 1"] {
            assert!(Selector::parse_prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bumps_give_the_next_version() {
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
    fn lines_are_the_versions_that_a_caret_selects() {
        for (left, right) in [("1.0.0", "1.9.3"), ("0.2.0", "0.2.9"), ("2.0.0-rc.1", "2.4.0")] {
            assert_eq!(Line::of(&v(left)), Line::of(&v(right)));
        }
        for (left, right) in [("1.0.0", "2.0.0"), ("0.2.0", "0.3.0"), ("0.1.0", "1.1.0")] {
            assert_ne!(Line::of(&v(left)), Line::of(&v(right)));
        }
    }

    #[test]
    fn invalid_versions_are_rejected() {
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
            assert_eq!(
                requirement(text).map(|requirement| requirement.to_string()).as_deref(),
                Ok(read)
            );
        }
        for text in
            ["", " ", "one", "^1.2.3.4", "1 2", &"1,".repeat(200), "99999999999999999999999"]
        {
            assert!(requirement(text).is_err(), "{text}");
        }
    }
}
