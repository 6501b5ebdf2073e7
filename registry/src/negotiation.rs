//! Which version a reader is delivered, what can be converted to it, and what else it could ask for. Pure: the registry
//! answers with it, and a server of events may ask it about the versions that it knows.

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
use tidings_schema::version::Line;

/// A registered version, as far as it matters here.
pub trait Offered {
    /// Its version.
    fn version(&self) -> &Version;
    /// Whether it is to be used.
    fn state(&self) -> State;
}

impl Offered for Arc<SchemaVersion> {
    fn version(&self) -> &Version {
        &self.version
    }

    fn state(&self) -> State {
        self.state
    }
}

/// A version of which no more is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its version.
    pub version: Version,
    /// Whether it is to be used.
    pub state: State,
}

impl Offered for Offer {
    fn version(&self) -> &Version {
        &self.version
    }

    fn state(&self) -> State {
        self.state
    }
}

/// What a reader is delivered: the highest active version that satisfies the requirement; where no active one does, the
/// highest deprecated one. Pre-releases satisfy as the `semver` crate has it, retired versions never.
pub fn best<'a, T: Offered>(
    offers: impl IntoIterator<Item = &'a T>,
    requirement: &VersionReq,
) -> Option<&'a T> {
    let fits = |it: &&T| it.state() != State::Retired && requirement.matches(it.version());
    let rank = |it: &&T| (it.state() == State::Active, it.version().clone());
    offers.into_iter().filter(fits).max_by_key(rank)
}

/// Whether payloads of one version can be delivered in another one of the same subject. Whether a single payload fits is
/// seen when it is converted.
///
/// # Errors
/// Why not.
pub fn convertible(from: &Version, to: &Version) -> Result<(), Unfit> {
    match Line::of(from) == Line::of(to) {
        true => Ok(()),
        false if from.major == to.major => Err(Unfit::OtherMinor),
        false => Err(Unfit::OtherMajor),
    }
}

/// Why the payloads of a version are not delivered to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// A migration would have to be registered.
    OtherMajor,
    /// The same in 0.x, where a minor version is a line of its own.
    OtherMinor,
    /// Its row in the registry is damaged.
    Unreadable,
    /// Nothing was chosen; this version was not because it is retired.
    Retired,
    /// Nothing was chosen; this version was not because it does not satisfy the requirement.
    Unsatisfying(VersionReq),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherMajor => f.write_str("another major version: no migration is registered"),
            Self::OtherMinor => f.write_str(
                "another minor version of 0.x, which may break like a major one: no migration is registered",
            ),
            Self::Unreadable => f.write_str("what is stored of it cannot be read any more"),
            Self::Retired => f.write_str("it is retired"),
            Self::Unsatisfying(requirement) => write!(f, "it does not satisfy {requirement}"),
        }
    }
}

/// What became of a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Negotiated {
    /// What the reader is delivered. None: nothing satisfies the requirement.
    pub delivered: Option<Version>,
    /// Versions whose payloads can be delivered in it, itself and retired ones included.
    pub convertible: BTreeSet<Version>,
    /// All other versions.
    pub unfit: BTreeMap<Version, Unfit>,
    /// Where nothing is delivered: requirements that would be satisfied, the oldest line first.
    pub alternatives: Vec<String>,
}

/// What becomes of a requirement, out of all versions of a subject.
pub fn negotiate<T: Offered>(offers: &[T], requirement: &VersionReq) -> Negotiated {
    let mut negotiated = Negotiated::default();
    let Some(chosen) = best(offers, requirement) else {
        for it in offers {
            let unfit = match it.state() {
                State::Retired if requirement.matches(it.version()) => Unfit::Retired,
                State::Retired | State::Active | State::Deprecated => {
                    Unfit::Unsatisfying(requirement.clone())
                }
            };
            negotiated.unfit.insert(it.version().clone(), unfit);
        }
        negotiated.alternatives = alternatives(offers);
        return negotiated;
    };
    for it in offers {
        match convertible(it.version(), chosen.version()) {
            Ok(()) => {
                negotiated.convertible.insert(it.version().clone());
            }
            Err(unfit) => {
                negotiated.unfit.insert(it.version().clone(), unfit);
            }
        }
    }
    negotiated.delivered = Some(chosen.version().clone());
    negotiated
}

impl Subject {
    /// What becomes of a requirement here.
    pub fn negotiate(&self, requirement: &VersionReq) -> Negotiated {
        let offers: Vec<_> = self.versions.values().cloned().collect();
        let mut negotiated = negotiate(&offers, requirement);
        for version in self.unreadable.keys() {
            negotiated.unfit.insert(version.clone(), Unfit::Unreadable);
        }
        negotiated
    }
}

/// Requirements that would be satisfied: one for each line that has an active version, or a deprecated one where nothing
/// is active at all.
pub fn alternatives<'a, T: Offered + 'a>(offers: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    let mut lines = [BTreeMap::new(), BTreeMap::new()];
    for it in offers {
        let of_state = match it.state() {
            State::Active => &mut lines[0],
            State::Deprecated => &mut lines[1],
            State::Retired => continue,
        };
        // Releases behind all pre-releases: only those are what a caret means.
        let rank = |version: &Version| (version.pre.is_empty(), version.clone());
        let highest = of_state.entry(Line::of(it.version())).or_insert_with(|| it.version());
        if rank(it.version()) > rank(highest) {
            *highest = it.version();
        }
    }
    let [active, deprecated] = lines;
    let lines = if active.is_empty() { deprecated } else { active };
    lines.into_values().map(caret).collect()
}

/// The whole line of a release; a pre-release only as itself.
fn caret(version: &Version) -> String {
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

    fn offer(text: &str) -> Offer {
        let (version, state) = match text.split_once(' ') {
            None => (text, State::Active),
            Some((version, "deprecated")) => (version, State::Deprecated),
            Some((version, _)) => (version, State::Retired),
        };
        Offer { version: Version::parse(version).expect("a version"), state }
    }

    fn offers(texts: &[&str]) -> Vec<Offer> {
        texts.iter().map(|it| offer(it)).collect()
    }

    fn requirement(text: &str) -> VersionReq {
        VersionReq::parse(text).expect("a requirement")
    }

    #[test]
    fn the_highest_active_version_is_delivered_and_a_deprecated_one_where_there_is_none() {
        let all = offers(&[
            "0.3.1",
            "1.0.0 retired",
            "1.2.0",
            "1.3.0 deprecated",
            "2.0.0",
            "2.1.0 retired",
            "3.0.0-rc.1",
            "4.0.0 deprecated",
        ]);
        for (asked, expected) in [
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
            let found = best(&all, &requirement(asked)).map(|it| it.version.to_string());
            assert_eq!(found.as_deref(), expected, "{asked}");
        }
    }

    #[test]
    fn payloads_of_the_line_are_converted_and_others_refused_with_the_reason() {
        let all = offers(&["0.2.0", "0.3.0", "0.3.1", "1.0.0 retired", "1.2.0", "2.0.0"]);
        let texts = |set: &BTreeSet<Version>| {
            set.iter().map(Version::to_string).collect::<Vec<_>>().join(" ")
        };
        let one = negotiate(&all, &requirement("^1"));
        assert_eq!(texts(&one.convertible), "1.0.0 1.2.0");
        assert_eq!(one.unfit[&Version::new(2, 0, 0)], Unfit::OtherMajor);
        assert_eq!(one.unfit[&Version::new(0, 3, 0)], Unfit::OtherMajor);
        let zero = negotiate(&all, &requirement("^0.3"));
        assert_eq!(texts(&zero.convertible), "0.3.0 0.3.1");
        assert_eq!(zero.unfit[&Version::new(0, 2, 0)], Unfit::OtherMinor);
        assert_eq!(zero.alternatives, Vec::<String>::new());
        let none = negotiate(&all, &requirement("=1.0.0"));
        assert_eq!((none.delivered, none.convertible.len()), (None, 0));
        assert_eq!(none.unfit[&Version::new(1, 0, 0)], Unfit::Retired);
        let why = none.unfit[&Version::new(2, 0, 0)].to_string();
        assert_eq!(why, "it does not satisfy =1.0.0");
        assert_eq!(none.alternatives, ["^0.2", "^0.3", "^1.0", "^2.0"]);
    }

    #[test]
    fn alternatives_are_of_what_is_active_and_pre_releases_only_themselves() {
        let active = offers(&["1.0.0 deprecated", "2.0.0", "2.1.0-rc.1", "3.0.0-rc.1"]);
        assert_eq!(alternatives(&active), ["^2.0", "=3.0.0-rc.1"]);
        let deprecated = offers(&["1.0.0 deprecated", "2.0.0 retired"]);
        assert_eq!(alternatives(&deprecated), ["^1.0"]);
        assert_eq!(alternatives(&offers(&["1.0.0 retired"])), Vec::<String>::new());
    }

    fn any_offers() -> impl Strategy<Value = Vec<Offer>> {
        let pre = prop_oneof![4 => Just(""), 1 => Just("-rc.1"), 1 => Just("-rc.2")];
        let state = prop_oneof![Just(State::Active), Just(State::Deprecated), Just(State::Retired)];
        let version = (0..4u64, 0..4u64, 0..3u64, pre);
        let one = (version, state).prop_map(|((major, minor, patch, pre), state)| Offer {
            version: Version::parse(&format!("{major}.{minor}.{patch}{pre}")).expect("a version"),
            state,
        });
        prop::collection::vec(one, 0..12).prop_map(|mut offers| {
            offers.sort_by(|one, other| one.version.cmp(&other.version));
            offers.dedup_by(|one, other| one.version == other.version);
            offers
        })
    }

    fn any_requirement() -> impl Strategy<Value = VersionReq> {
        let sign = prop_oneof![Just("^"), Just("~"), Just("="), Just(">="), Just("<")];
        let exact = (0..4u64, 0..4u64, 0..3u64).prop_map(|(a, b, c)| format!("{a}.{b}.{c}"));
        let number =
            prop_oneof![exact, Just("1".into()), Just("0.2".into()), Just("2.0.0-rc.1".into())];
        prop_oneof![
            Just("*".to_owned()),
            (sign, number).prop_map(|(sign, it)| format!("{sign}{it}"))
        ]
        .prop_map(|text| requirement(&text))
    }

    proptest! {
        #[test]
        fn every_version_is_told_of_once_and_alternatives_hold(
            all in any_offers(),
            asked in any_requirement(),
        ) {
            let negotiated = negotiate(&all, &asked);
            for it in &all {
                let converts = negotiated.convertible.contains(&it.version);
                prop_assert!(converts != negotiated.unfit.contains_key(&it.version));
            }
            prop_assert_eq!(negotiated.convertible.len() + negotiated.unfit.len(), all.len());
            match &negotiated.delivered {
                Some(delivered) => {
                    prop_assert!(asked.matches(delivered));
                    prop_assert!(negotiated.convertible.contains(delivered));
                    prop_assert!(negotiated.alternatives.is_empty());
                    let better = |it: &&Offer| {
                        it.state == State::Active && asked.matches(&it.version) && it.version > *delivered
                    };
                    prop_assert_eq!(all.iter().find(better), None);
                }
                None => {
                    let usable = |it: &&Offer| it.state != State::Retired;
                    prop_assert_eq!(all.iter().filter(usable).find(|it| asked.matches(&it.version)), None);
                    prop_assert_eq!(negotiated.alternatives.is_empty(), !all.iter().any(|it| usable(&it)));
                    for alternative in &negotiated.alternatives {
                        let found = best(&all, &requirement(alternative));
                        prop_assert!(found.is_some(), "{} finds nothing", alternative);
                    }
                }
            }
        }
    }
}
