//! Filters of events: over attributes, in the dialects of the CloudEvents Subscriptions API, and over what somebody else
//! evaluates.

use super::encoded::EncodedEvent;

/// Deepest nesting of `all`, `any` and `not`.
pub const DEPTH_MAX: usize = 16;
/// Most dialects and attributes in all the filters of a request.
pub const TERMS_MAX: usize = 256;

/// One condition on one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The attribute's name.
    pub name: String,
    /// What it is compared with.
    pub value: String,
}

/// What an event has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Each attribute is exactly this.
    Exact(Vec<Term>),
    /// Each attribute begins with this.
    Prefix(Vec<Term>),
    /// Each attribute ends with this.
    Suffix(Vec<Term>),
    /// Every filter matches.
    All(Vec<Filter>),
    /// At least one filter matches.
    Any(Vec<Filter>),
    /// The filter does not match.
    Not(Box<Filter>),
    /// The expression with this number holds.
    Expression(usize),
}

impl Filter {
    /// Whether an event is wanted. An attribute that it does not have does not match. `holds` says whether an expression
    /// does.
    pub fn matches(&self, event: EncodedEvent<'_>, holds: &mut dyn FnMut(usize) -> bool) -> bool {
        let each = |terms: &[Term], holds: fn(&str, &str) -> bool| {
            terms.iter().all(|term| {
                event.attribute(&term.name).is_some_and(|held| holds(&held, &term.value))
            })
        };
        match self {
            Self::Exact(terms) => each(terms, |held, wanted| held == wanted),
            Self::Prefix(terms) => each(terms, |held, wanted| held.starts_with(wanted)),
            Self::Suffix(terms) => each(terms, |held, wanted| held.ends_with(wanted)),
            Self::All(filters) => filters.iter().all(|filter| filter.matches(event, holds)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event, holds)),
            Self::Not(filter) => !filter.matches(event, holds),
            Self::Expression(number) => holds(*number),
        }
    }
}
