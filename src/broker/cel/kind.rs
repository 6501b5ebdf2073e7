//! Types of values, as far as they are known when an expression is compiled.

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Bytes,
    Time,
    Span,
    List,
    Map,
    /// It depends on the event.
    Any,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a bool",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Bytes => "bytes",
            Self::Time => "a timestamp",
            Self::Span => "a duration",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "any value",
        }
    }

    pub fn can_be(self, others: &[Self]) -> bool {
        self == Self::Any || others.contains(&self)
    }

    pub fn is_compatible(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}
