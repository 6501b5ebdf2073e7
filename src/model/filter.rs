//! Filters of events: over attributes, in the dialects of the CloudEvents Subscriptions API, and
//! over expressions that the caller evaluates.

use super::encoded::EncodedEvent;

/// Deepest nesting of `all`, `any` and `not`.
pub const DEPTH_MAX: usize = 16;
/// Most dialects and attributes in all filters of a request.
pub const TERMS_MAX: usize = 256;

/// A condition on one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The attribute's name.
    pub name: String,
    /// The value that it is compared with.
    pub value: String,
}

/// A condition on an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Each attribute equals the value.
    Exact(Vec<Term>),
    /// Each attribute starts with the value.
    Prefix(Vec<Term>),
    /// Each attribute ends with the value.
    Suffix(Vec<Term>),
    /// Every filter matches.
    All(Vec<Filter>),
    /// At least one filter matches.
    Any(Vec<Filter>),
    /// The filter does not match.
    Not(Box<Filter>),
    /// The expression with this index is true.
    Expression(usize),
}

impl Filter {
    /// Whether an event matches. An absent attribute does not match. `expression_holds` evaluates
    /// the expression with an index.
    pub fn matches(
        &self,
        event: EncodedEvent<'_>,
        expression_holds: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        let all_terms = |terms: &[Term], compare: fn(&str, &str) -> bool| {
            terms.iter().all(|term| {
                event.attribute(&term.name).is_some_and(|actual| compare(&actual, &term.value))
            })
        };
        match self {
            Self::Exact(terms) => all_terms(terms, |actual, expected| actual == expected),
            Self::Prefix(terms) => {
                all_terms(terms, |actual, expected| actual.starts_with(expected))
            }
            Self::Suffix(terms) => all_terms(terms, |actual, expected| actual.ends_with(expected)),
            Self::All(filters) => {
                filters.iter().all(|filter| filter.matches(event, expression_holds))
            }
            Self::Any(filters) => {
                filters.iter().any(|filter| filter.matches(event, expression_holds))
            }
            Self::Not(filter) => !filter.matches(event, expression_holds),
            Self::Expression(number) => expression_holds(*number),
        }
    }
}
