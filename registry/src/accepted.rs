//! The versions that the reader of a stream accepts: version requirements for event types, each
//! given exactly or by a prefix.

use std::collections::BTreeMap;

use semver::VersionReq;

use crate::name::SubjectName;
use tidings_schema::version;

/// Limits the entries.
pub const ACCEPTED_MAX: usize = 100;

/// Version requirements by event type. An exact type takes precedence over prefixes, and a longer
/// prefix over a shorter one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Accepted {
    exact: BTreeMap<SubjectName, VersionReq>,
    /// The longest first.
    prefixes: Vec<(String, VersionReq)>,
}

/// An invalid entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedFault {
    /// The index of the entry, from 0.
    pub index: usize,
    /// `type` or `version`.
    pub field: &'static str,
    /// The fault, to be appended to the name of the field.
    pub message: String,
}

impl Accepted {
    /// Parses pairs of a type, which is exact or a prefix that ends in `*`, and a requirement such
    /// as `^1.2`. At most [`ACCEPTED_MAX`] pairs.
    ///
    /// # Errors
    /// Returns all faults of the entries.
    pub fn parse<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<AcceptedFault>> {
        let mut accepted = Self::default();
        let mut faults = Vec::new();
        for (index, (text, requirement)) in entries.into_iter().enumerate() {
            if index == ACCEPTED_MAX {
                let message = format!("exceeds the limit of {ACCEPTED_MAX} entries");
                faults.push(AcceptedFault { index, field: "type", message });
                break;
            }
            let requirement = version::requirement(requirement)
                .map_err(|message| faults.push(AcceptedFault { index, field: "version", message }));
            let pattern = accepted
                .parse_pattern(text)
                .map_err(|message| faults.push(AcceptedFault { index, field: "type", message }));
            match (pattern, requirement) {
                (Ok(TypePattern::Exact(name)), Ok(requirement)) => {
                    accepted.exact.insert(name, requirement);
                }
                (Ok(TypePattern::Prefix(prefix)), Ok(requirement)) => {
                    accepted.prefixes.push((prefix, requirement));
                }
                (Err(()), _) | (_, Err(())) => {}
            }
        }
        let length = |(prefix, _): &(String, VersionReq)| std::cmp::Reverse(prefix.len());
        accepted.prefixes.sort_by_key(length);
        if faults.is_empty() { Ok(accepted) } else { Err(faults) }
    }

    fn parse_pattern(&self, text: &str) -> Result<TypePattern, String> {
        let (pattern, is_new) = match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains('*') => {
                if !prefix.is_empty() {
                    SubjectName::parse(prefix)?;
                }
                let is_new = self.prefixes.iter().all(|(known, _)| known != prefix);
                (TypePattern::Prefix(prefix.into()), is_new)
            }
            None if !text.contains('*') => {
                let name = SubjectName::parse(text)?;
                let is_new = !self.exact.contains_key(&name);
                (TypePattern::Exact(name), is_new)
            }
            Some(_) | None => {
                return Err(format!(
                    "is \"{text}\": * is allowed at the end only, for all types with that prefix"
                ));
            }
        };
        match is_new {
            true => Ok(pattern),
            false => Err(format!("is \"{text}\" again: give each type one requirement")),
        }
    }

    /// Returns whether every type is accepted in every version.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Returns the requirement for an event type. None: every version is accepted.
    pub fn requirement(&self, event_type: &str) -> Option<&VersionReq> {
        let exact = SubjectName::parse(event_type).ok().and_then(|name| self.exact.get(&name));
        exact.or_else(|| {
            let mut prefixes = self.prefixes.iter();
            let longest = prefixes.find(|(prefix, _)| event_type.starts_with(prefix));
            longest.map(|(_, requirement)| requirement)
        })
    }

    /// Returns the exact types with their requirements. Each needs a version that satisfies its
    /// requirement.
    pub fn exact(&self) -> impl Iterator<Item = (&SubjectName, &VersionReq)> {
        self.exact.iter()
    }
}

enum TypePattern {
    Exact(SubjectName),
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
        for (event_type, expected) in [
            ("shop.order.placed", "^1.4"),
            ("shop.order.paid", "^2"),
            ("shop.order", "^1"),
            ("shop.", "^1"),
            ("bank.paid", "^9"),
        ] {
            assert_eq!(
                accepted.requirement(event_type).map(ToString::to_string).as_deref(),
                Some(expected)
            );
        }
        assert_eq!(accepted.exact().count(), 1);
        let accepted = Accepted::parse([("shop.*", "^1")]).expect("well formed");
        assert_eq!(accepted.requirement("bank.paid"), None, "every version");
    }

    #[test]
    fn all_faults_are_reported_with_entry_and_field() {
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
        let locations: Vec<_> = faults.iter().map(|fault| (fault.index, fault.field)).collect();
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
        assert_eq!(locations, expected, "{faults:#?}");
        let many: Vec<_> = (0..=ACCEPTED_MAX).map(|n| format!("t{n}")).collect();
        let faults =
            Accepted::parse(many.iter().map(|text| (text.as_str(), "*"))).expect_err("many");
        assert_eq!((faults.len(), faults[0].index), (1, ACCEPTED_MAX));
    }
}
