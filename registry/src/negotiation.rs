//! Selects the version that a reader is delivered, the versions that can be converted to it, and
//! alternative requirements. Pure: the registry uses it for responses, and an event server may use
//! it with the versions that it knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use semver::{Version, VersionReq};

use crate::{
    schema::{SchemaVersion, State},
    subject::Subject,
};
use tidings_schema::version::{Line, Selector};

/// The properties of a version that negotiation needs.
pub trait Versioned {
    /// Returns the version.
    fn version(&self) -> &Version;
    /// Returns whether the version may be used.
    fn state(&self) -> State;
}

impl Versioned for Arc<SchemaVersion> {
    fn version(&self) -> &Version {
        &self.version
    }

    fn state(&self) -> State {
        self.state
    }
}

/// A version without its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionAndState {
    /// The version.
    pub version: Version,
    /// Whether the version may be used.
    pub state: State,
}

impl Versioned for VersionAndState {
    fn version(&self) -> &Version {
        &self.version
    }

    fn state(&self) -> State {
        self.state
    }
}

/// Returns the version that a reader is delivered: the highest active version that satisfies the
/// requirement, else the highest deprecated one. Pre-releases match as in the `semver` crate;
/// retired versions never match.
pub fn best<'a, T: Versioned>(
    versions: impl IntoIterator<Item = &'a T>,
    requirement: &VersionReq,
) -> Option<&'a T> {
    let matches = |candidate: &&T| {
        candidate.state() != State::Retired && requirement.matches(candidate.version())
    };
    let rank = |candidate: &&T| (candidate.state() == State::Active, candidate.version().clone());
    versions.into_iter().filter(matches).max_by_key(rank)
}

/// Checks whether payloads of one version can be delivered in another version of the same subject.
/// Whether a single payload can be converted is known when it is converted.
///
/// # Errors
/// Returns the reason if they cannot.
pub fn convertible(from: &Version, to: &Version) -> Result<(), Undeliverable> {
    match Line::of(from) == Line::of(to) {
        true => Ok(()),
        false if from.major == to.major => Err(Undeliverable::OtherMinor),
        false => Err(Undeliverable::OtherMajor),
    }
}

/// Why payloads of a version cannot be delivered to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undeliverable {
    /// The major version differs, and no migration is registered.
    OtherMajor,
    /// The minor version of 0.x differs, where a minor version is a line of its own.
    OtherMinor,
    /// The row of the version in the registry is damaged.
    Unreadable,
    /// No version satisfies the requirement; this version is retired.
    Retired,
    /// No version satisfies the requirement; this version does not match it.
    Unsatisfying(VersionReq),
}

impl fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherMajor => f.write_str("another major version: no migration is registered"),
            Self::OtherMinor => f.write_str(
                "another minor version of 0.x, which may break like a major version: \
                 no migration is registered",
            ),
            Self::Unreadable => f.write_str("its stored schema cannot be read"),
            Self::Retired => f.write_str("it is retired"),
            Self::Unsatisfying(requirement) => write!(f, "it does not satisfy {requirement}"),
        }
    }
}

/// The outcome of a negotiation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiation {
    /// The version that the reader is delivered. None: no version satisfies the requirement.
    pub delivered: Option<Version>,
    /// Versions whose payloads can be converted to it, itself and retired versions included.
    pub convertible: BTreeSet<Version>,
    /// All other versions.
    pub undeliverable: BTreeMap<Version, Undeliverable>,
    /// Requirements that a version would satisfy, the oldest line first. Empty if a version is
    /// delivered.
    pub alternatives: Vec<String>,
}

/// Negotiates a requirement over all versions of a subject.
pub fn negotiate<T: Versioned>(versions: &[T], requirement: &VersionReq) -> Negotiation {
    let mut negotiation = Negotiation::default();
    let Some(delivered) = best(versions, requirement) else {
        for candidate in versions {
            let reason = match candidate.state() {
                State::Retired if requirement.matches(candidate.version()) => {
                    Undeliverable::Retired
                }
                State::Retired | State::Active | State::Deprecated => {
                    Undeliverable::Unsatisfying(requirement.clone())
                }
            };
            negotiation.undeliverable.insert(candidate.version().clone(), reason);
        }
        negotiation.alternatives = alternatives(versions);
        return negotiation;
    };
    for candidate in versions {
        match convertible(candidate.version(), delivered.version()) {
            Ok(()) => {
                negotiation.convertible.insert(candidate.version().clone());
            }
            Err(reason) => {
                negotiation.undeliverable.insert(candidate.version().clone(), reason);
            }
        }
    }
    negotiation.delivered = Some(delivered.version().clone());
    negotiation
}

impl Subject {
    /// Negotiates a requirement over the versions of this subject.
    pub fn negotiate(&self, requirement: &VersionReq) -> Negotiation {
        let versions: Vec<_> = self.versions.values().cloned().collect();
        let mut negotiation = negotiate(&versions, requirement);
        for version in self.unreadable.keys() {
            negotiation.undeliverable.insert(version.clone(), Undeliverable::Unreadable);
        }
        negotiation
    }

    /// Returns the selected version. An exactly selected version may be retired.
    pub fn select(&self, selector: &Selector) -> Option<&Arc<SchemaVersion>> {
        match selector {
            Selector::Newest => self.newest(),
            Selector::Exactly(version) => self.versions.get(version),
            Selector::Best(requirement) => best(self.versions.values(), requirement),
        }
    }
}

/// Returns requirements that a version would satisfy: one for each line with an active version, or
/// with a deprecated version if no version is active.
pub fn alternatives<'a, T: Versioned + 'a>(
    versions: impl IntoIterator<Item = &'a T>,
) -> Vec<String> {
    let mut lines = [BTreeMap::new(), BTreeMap::new()];
    for candidate in versions {
        let lines_of_state = match candidate.state() {
            State::Active => &mut lines[0],
            State::Deprecated => &mut lines[1],
            State::Retired => continue,
        };
        // Releases rank above all pre-releases: a caret matches releases only.
        let rank = |version: &Version| (version.pre.is_empty(), version.clone());
        let version = candidate.version();
        let highest = lines_of_state.entry(Line::of(version)).or_insert(version);
        if rank(version) > rank(highest) {
            *highest = version;
        }
    }
    let [active, deprecated] = lines;
    let lines = if active.is_empty() { deprecated } else { active };
    lines.into_values().map(line_requirement).collect()
}

/// Returns the requirement for the line of a release, or for exactly one pre-release.
fn line_requirement(version: &Version) -> String {
    match version.major {
        _ if !version.pre.is_empty() => format!("={version}"),
        0 => format!("^0.{}", version.minor),
        major => format!("^{major}.0"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> VersionAndState {
        let (version, state) = match text.split_once(' ') {
            None => (text, State::Active),
            Some((version, "deprecated")) => (version, State::Deprecated),
            Some((version, _)) => (version, State::Retired),
        };
        VersionAndState { version: Version::parse(version).expect("a version"), state }
    }

    fn versions(texts: &[&str]) -> Vec<VersionAndState> {
        texts.iter().map(|text| version(text)).collect()
    }

    fn requirement(text: &str) -> VersionReq {
        VersionReq::parse(text).expect("a requirement")
    }

    #[test]
    fn the_highest_active_version_is_delivered_else_a_deprecated_version() {
        let all = versions(&[
            "0.3.1",
            "1.0.0 retired",
            "1.2.0",
            "1.3.0 deprecated",
            "2.0.0",
            "2.1.0 retired",
            "3.0.0-rc.1",
            "4.0.0 deprecated",
        ]);
        for (text, expected) in [
            ("^1", Some("1.2.0")),
            ("^1.3", Some("1.3.0")),
            ("=1.0.0", None),
            ("^2", Some("2.0.0")),
            ("^2.1", None),
            ("*", Some("2.0.0")),
            (">=3.0.0-rc", Some("3.0.0-rc.1")),
            ("^3", None),
            (">=4", Some("4.0.0")),
            ("0.3", Some("0.3.1")),
            ("^5", None),
        ] {
            let found = best(&all, &requirement(text)).map(|found| found.version.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn payloads_of_the_line_are_converted_and_others_are_undeliverable_with_a_reason() {
        let all = versions(&["0.2.0", "0.3.0", "0.3.1", "1.0.0 retired", "1.2.0", "2.0.0"]);
        let texts = |set: &BTreeSet<Version>| {
            set.iter().map(Version::to_string).collect::<Vec<_>>().join(" ")
        };
        let first = negotiate(&all, &requirement("^1"));
        assert_eq!(texts(&first.convertible), "1.0.0 1.2.0");
        assert_eq!(first.undeliverable[&Version::new(2, 0, 0)], Undeliverable::OtherMajor);
        assert_eq!(first.undeliverable[&Version::new(0, 3, 0)], Undeliverable::OtherMajor);
        let zero = negotiate(&all, &requirement("^0.3"));
        assert_eq!(texts(&zero.convertible), "0.3.0 0.3.1");
        assert_eq!(zero.undeliverable[&Version::new(0, 2, 0)], Undeliverable::OtherMinor);
        assert_eq!(zero.alternatives, Vec::<String>::new());
        let none = negotiate(&all, &requirement("=1.0.0"));
        assert_eq!((none.delivered, none.convertible.len()), (None, 0));
        assert_eq!(none.undeliverable[&Version::new(1, 0, 0)], Undeliverable::Retired);
        let reason = none.undeliverable[&Version::new(2, 0, 0)].to_string();
        assert_eq!(reason, "it does not satisfy =1.0.0");
        assert_eq!(none.alternatives, ["^0.2", "^0.3", "^1.0", "^2.0"]);
    }

    #[test]
    fn alternatives_name_active_lines_and_single_pre_releases() {
        let active = versions(&["1.0.0 deprecated", "2.0.0", "2.1.0-rc.1", "3.0.0-rc.1"]);
        assert_eq!(alternatives(&active), ["^2.0", "=3.0.0-rc.1"]);
        let deprecated = versions(&["1.0.0 deprecated", "2.0.0 retired"]);
        assert_eq!(alternatives(&deprecated), ["^1.0"]);
        assert_eq!(alternatives(&versions(&["1.0.0 retired"])), Vec::<String>::new());
    }

    fn any_versions() -> impl Strategy<Value = Vec<VersionAndState>> {
        let pre = prop_oneof![4 => Just(""), 1 => Just("-rc.1"), 1 => Just("-rc.2")];
        let state = prop_oneof![Just(State::Active), Just(State::Deprecated), Just(State::Retired)];
        let version = (0..4u64, 0..4u64, 0..3u64, pre);
        let version_and_state =
            (version, state).prop_map(|((major, minor, patch, pre), state)| VersionAndState {
                version: Version::parse(&format!("{major}.{minor}.{patch}{pre}"))
                    .expect("a version"),
                state,
            });
        prop::collection::vec(version_and_state, 0..12).prop_map(|mut versions| {
            versions.sort_by(|a, b| a.version.cmp(&b.version));
            versions.dedup_by(|a, b| a.version == b.version);
            versions
        })
    }

    fn any_requirement() -> impl Strategy<Value = VersionReq> {
        let sign = prop_oneof![Just("^"), Just("~"), Just("="), Just(">="), Just("<")];
        let exact = (0..4u64, 0..4u64, 0..3u64).prop_map(|(a, b, c)| format!("{a}.{b}.{c}"));
        let number =
            prop_oneof![exact, Just("1".into()), Just("0.2".into()), Just("2.0.0-rc.1".into())];
        prop_oneof![
            Just("*".to_owned()),
            (sign, number).prop_map(|(sign, number)| format!("{sign}{number}"))
        ]
        .prop_map(|text| requirement(&text))
    }

    proptest! {
        #[test]
        fn every_version_is_listed_once_and_alternatives_hold(
            all in any_versions(),
            requested in any_requirement(),
        ) {
            let negotiated = negotiate(&all, &requested);
            for candidate in &all {
                let converts = negotiated.convertible.contains(&candidate.version);
                prop_assert!(converts != negotiated.undeliverable.contains_key(&candidate.version));
            }
            let listed = negotiated.convertible.len() + negotiated.undeliverable.len();
            prop_assert_eq!(listed, all.len());
            match &negotiated.delivered {
                Some(delivered) => {
                    prop_assert!(requested.matches(delivered));
                    prop_assert!(negotiated.convertible.contains(delivered));
                    prop_assert!(negotiated.alternatives.is_empty());
                    let better = |candidate: &&VersionAndState| {
                        candidate.state == State::Active
                            && requested.matches(&candidate.version)
                            && candidate.version > *delivered
                    };
                    prop_assert_eq!(all.iter().find(better), None);
                }
                None => {
                    let usable = |candidate: &&VersionAndState| candidate.state != State::Retired;
                    let matching =
                        all.iter().filter(usable).find(|found| requested.matches(&found.version));
                    prop_assert_eq!(matching, None);
                    let has_usable = all.iter().any(|candidate| usable(&candidate));
                    prop_assert_eq!(negotiated.alternatives.is_empty(), !has_usable);
                    for alternative in &negotiated.alternatives {
                        let found = best(&all, &requirement(alternative));
                        prop_assert!(found.is_some(), "no version satisfies {}", alternative);
                    }
                }
            }
        }
    }
}
