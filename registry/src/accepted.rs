//! What the reader of a stream accepts: version requirements for event types, each named exactly or by a prefix.

use std::collections::BTreeMap;

use semver::VersionReq;

use crate::subject::SubjectName;
use tidings_schema::version;

/// Most entries.
pub const ACCEPTED_MAX: usize = 100;

/// Version requirements by event type. A type that is named exactly comes first, then the longest prefix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Accepted {
    exact: BTreeMap<SubjectName, VersionReq>,
    /// The longest first.
    prefixes: Vec<(String, VersionReq)>,
}

/// An entry that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedFault {
    /// Which entry, from 0.
    pub at: usize,
    /// `type` or `version`.
    pub field: &'static str,
    /// What is wrong with it, to be read behind the field's name.
    pub why: String,
}

impl Accepted {
    /// Reads pairs of a type, which is exact or a prefix that ends in `*`, and a requirement such as `^1.2`. At most
    /// [`ACCEPTED_MAX`] of them.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn parse<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<AcceptedFault>> {
        let mut accepted = Self::default();
        let mut faults = Vec::new();
        for (at, (of, requirement)) in entries.into_iter().enumerate() {
            if at == ACCEPTED_MAX {
                let why = format!("is one too many: at most {ACCEPTED_MAX} are taken");
                faults.push(AcceptedFault { at, field: "type", why });
                break;
            }
            let requirement = version::requirement(requirement)
                .map_err(|why| faults.push(AcceptedFault { at, field: "version", why }));
            let named = accepted
                .place(of)
                .map_err(|why| faults.push(AcceptedFault { at, field: "type", why }));
            match (named, requirement) {
                (Ok(Named::Exactly(name)), Ok(requirement)) => {
                    accepted.exact.insert(name, requirement);
                }
                (Ok(Named::Prefix(prefix)), Ok(requirement)) => {
                    accepted.prefixes.push((prefix, requirement));
                }
                (Err(()), _) | (_, Err(())) => {}
            }
        }
        let length = |(prefix, _): &(String, VersionReq)| std::cmp::Reverse(prefix.len());
        accepted.prefixes.sort_by_key(length);
        if faults.is_empty() { Ok(accepted) } else { Err(faults) }
    }

    fn place(&self, of: &str) -> Result<Named, String> {
        let (named, is_new) = match of.strip_suffix('*') {
            Some(prefix) if !prefix.contains('*') => {
                if !prefix.is_empty() {
                    SubjectName::parse(prefix)?;
                }
                let is_new = self.prefixes.iter().all(|(known, _)| known != prefix);
                (Named::Prefix(prefix.into()), is_new)
            }
            None if !of.contains('*') => {
                let name = SubjectName::parse(of)?;
                let is_new = !self.exact.contains_key(&name);
                (Named::Exactly(name), is_new)
            }
            Some(_) | None => {
                return Err(format!(
                    "is \"{of}\": a * is taken at the end only, for all types that begin so"
                ));
            }
        };
        match is_new {
            true => Ok(named),
            false => Err(format!("is \"{of}\", which stands there twice: give it one requirement")),
        }
    }

    /// Whether every type is taken in every version.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// What is accepted of an event type. None: anything.
    pub fn requirement(&self, of: &str) -> Option<&VersionReq> {
        let exact = SubjectName::parse(of).ok().and_then(|name| self.exact.get(&name));
        exact.or_else(|| {
            let mut prefixes = self.prefixes.iter();
            prefixes.find(|(prefix, _)| of.starts_with(prefix)).map(|(_, requirement)| requirement)
        })
    }

    /// Types that are named exactly: those have to have a version that satisfies their requirement.
    pub fn exact(&self) -> impl Iterator<Item = (&SubjectName, &VersionReq)> {
        self.exact.iter()
    }
}

enum Named {
    Exactly(SubjectName),
    Prefix(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_type_comes_before_the_longest_prefix() {
        let entries =
            [("*", "^9"), ("shop.*", "^1"), ("shop.order.*", "^2"), ("shop.order.placed", "1.4")];
        let accepted = Accepted::parse(entries).expect("well formed");
        for (of, expected) in [
            ("shop.order.placed", "^1.4"),
            ("shop.order.paid", "^2"),
            ("shop.order", "^1"),
            ("shop.", "^1"),
            ("bank.paid", "^9"),
        ] {
            assert_eq!(
                accepted.requirement(of).map(ToString::to_string).as_deref(),
                Some(expected)
            );
        }
        assert_eq!(accepted.exact().count(), 1);
        let some = Accepted::parse([("shop.*", "^1")]).expect("well formed");
        assert_eq!(some.requirement("bank.paid"), None, "anything");
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let entries = [
            ("a", "^1"),
            ("a", "^2"),
            ("a.*", "^1"),
            ("a.*", "^1"),
            ("a*b", "^1"),
            ("**", "^1"),
            ("", "one"),
            ("a b", ""),
        ];
        let faults = Accepted::parse(entries).expect_err("faults");
        let places: Vec<_> = faults.iter().map(|it| (it.at, it.field)).collect();
        let expected = [
            (1, "type"),
            (3, "type"),
            (4, "type"),
            (5, "type"),
            (6, "version"),
            (6, "type"),
            (7, "version"),
            (7, "type"),
        ];
        assert_eq!(places, expected, "{faults:#?}");
        let many: Vec<_> = (0..=ACCEPTED_MAX).map(|n| format!("t{n}")).collect();
        let faults = Accepted::parse(many.iter().map(|it| (it.as_str(), "*"))).expect_err("many");
        assert_eq!((faults.len(), faults[0].at), (1, ACCEPTED_MAX));
    }
}
