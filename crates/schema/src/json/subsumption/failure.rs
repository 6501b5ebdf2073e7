//! Failures: the keywords of the reader that reject an instance of the writer.

use serde_json::Value;

use crate::json::model::NodeId;

/// The kind of keyword that rejects an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FailureKind {
    Type,
    Values,
    Minimum,
    Maximum,
    MultipleOf,
    MinLength,
    MaxLength,
    Pattern,
    MinItems,
    MaxItems,
    UniqueItems,
    Contains,
    /// An item in an array that allows no item there.
    ItemClosed,
    Required,
    DependentRequired,
    PropertyNames,
    MinProperties,
    MaxProperties,
    /// A property in an object that allows no undeclared property.
    PropertyClosed,
    /// A property that no known name covers.
    AdditionalProperties,
    /// A property that the reader declares and the writer does not.
    PropertyOpen,
    AnyOf,
    OneOf,
    OneOfOverlap,
    Not,
    /// The schema `false`.
    False,
    /// An assertion that the comparison does not understand.
    Other,
}

/// A keyword of the reader that rejects an instance of the writer.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub kind: FailureKind,
    pub reader: NodeId,
    /// The corresponding node of the writer.
    pub writer: Option<NodeId>,
    /// Name of the property, index of the item, or name of the dependency.
    pub name: String,
    /// The rejected values, if they are listed.
    pub refused: String,
    pub proven: bool,
    /// A counterexample.
    pub payload: Option<Value>,
    /// JSON pointer to the rejected value, from the root of the payload.
    pub path: String,
}
