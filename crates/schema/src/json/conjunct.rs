//! Terms of [`Constraints`](super::constraints::Constraints): literals and atoms.

use std::sync::Arc;

use super::{
    literal::Literal,
    model::{Bound, Types, Values},
    number::Decimal,
    pattern::Pattern,
};

/// One term of an alternative. An alternative holds if all of its terms hold.
#[derive(Debug, Clone)]
pub(crate) enum Conjunct {
    Literal(Literal),
    Atom(Atom),
    /// The alternative of a `oneOf` of a node at an index, and none of the other alternatives.
    OneOf(Literal, usize),
    /// An assertion that the comparison does not understand.
    Unknown,
}

/// A constraint without subschemas, or with one literal.
#[derive(Debug, Clone)]
pub(crate) enum Atom {
    Types(Types),
    Lower(Bound),
    Upper(Bound),
    Multiple(Decimal),
    NotMultiple(Decimal),
    MinLength(u64),
    MaxLength(u64),
    Pattern(Arc<Pattern>),
    NotPattern(Arc<Pattern>),
    Values(Arc<Values>),
    /// As [`Atom::Values`], for values that were solved before and become part of a larger
    /// instance.
    Given(Arc<Values>),
    NotValues(Arc<Values>),
    MinItems(u64),
    MaxItems(u64),
    Unique,
    /// At least two items are equal.
    Repeats,
    /// The item at the index exists, and the conjunct holds for it.
    Item(usize, Box<Conjunct>),
    /// The literal holds for an item at or after the index.
    SomeItem(usize, Literal),
    /// Number of items for which the literal holds: minimum and maximum.
    Count(Literal, u64, Option<u64>),
    Required(Arc<str>),
    Absent(Arc<str>),
    /// If the property is present, the conjunct holds for its value.
    Property(Arc<str>, Box<Conjunct>),
    /// Some property is subject to the applicator of the first literal's node, and the second
    /// literal holds for its value.
    SomeProperty(Literal, Applicator, Literal),
    /// The literal holds for the name of some property.
    SomeName(Literal),
    MinProperties(u64),
    MaxProperties(u64),
}

/// The keyword that decides which subschema of a node applies to a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applicator {
    Pattern(usize),
    Additional,
    Unevaluated,
}
