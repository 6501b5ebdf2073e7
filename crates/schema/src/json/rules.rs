//! Ids of the rules for incompatible changes.

use super::subsumption::FailureKind;

/// How a keyword changed from the old to the new schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeywordChange {
    Added,
    Removed,
    Increased,
    Decreased,
    Changed,
}

/// The stable ids. One row for each kind: keyword added, keyword removed, bound or allowed set
/// increased, decreased, changed otherwise.
pub(super) fn rule(kind: FailureKind, change: KeywordChange) -> &'static str {
    let row: [&'static str; 5] = match kind {
        FailureKind::Type => [
            "JSON_TYPE_ADDED",
            "JSON_TYPE_REMOVED",
            "JSON_TYPE_WIDENED",
            "JSON_TYPE_NARROWED",
            "JSON_TYPE_CHANGED",
        ],
        FailureKind::Values => [
            "JSON_ENUM_ADDED",
            "JSON_ENUM_REMOVED",
            "JSON_ENUM_EXTENDED",
            "JSON_ENUM_NARROWED",
            "JSON_ENUM_CHANGED",
        ],
        FailureKind::Minimum => [
            "JSON_MINIMUM_ADDED",
            "JSON_MINIMUM_REMOVED",
            "JSON_MINIMUM_INCREASED",
            "JSON_MINIMUM_DECREASED",
            "JSON_MINIMUM_CHANGED",
        ],
        FailureKind::Maximum => [
            "JSON_MAXIMUM_ADDED",
            "JSON_MAXIMUM_REMOVED",
            "JSON_MAXIMUM_INCREASED",
            "JSON_MAXIMUM_DECREASED",
            "JSON_MAXIMUM_CHANGED",
        ],
        FailureKind::MultipleOf => [
            "JSON_MULTIPLE_OF_ADDED",
            "JSON_MULTIPLE_OF_REMOVED",
            "JSON_MULTIPLE_OF_CHANGED",
            "JSON_MULTIPLE_OF_CHANGED",
            "JSON_MULTIPLE_OF_CHANGED",
        ],
        FailureKind::MinLength => [
            "JSON_MIN_LENGTH_ADDED",
            "JSON_MIN_LENGTH_REMOVED",
            "JSON_MIN_LENGTH_INCREASED",
            "JSON_MIN_LENGTH_DECREASED",
            "JSON_MIN_LENGTH_CHANGED",
        ],
        FailureKind::MaxLength => [
            "JSON_MAX_LENGTH_ADDED",
            "JSON_MAX_LENGTH_REMOVED",
            "JSON_MAX_LENGTH_INCREASED",
            "JSON_MAX_LENGTH_DECREASED",
            "JSON_MAX_LENGTH_CHANGED",
        ],
        FailureKind::Pattern => [
            "JSON_PATTERN_ADDED",
            "JSON_PATTERN_REMOVED",
            "JSON_PATTERN_CHANGED",
            "JSON_PATTERN_CHANGED",
            "JSON_PATTERN_CHANGED",
        ],
        FailureKind::MinItems => [
            "JSON_MIN_ITEMS_ADDED",
            "JSON_MIN_ITEMS_REMOVED",
            "JSON_MIN_ITEMS_INCREASED",
            "JSON_MIN_ITEMS_DECREASED",
            "JSON_MIN_ITEMS_CHANGED",
        ],
        FailureKind::MaxItems => [
            "JSON_MAX_ITEMS_ADDED",
            "JSON_MAX_ITEMS_REMOVED",
            "JSON_MAX_ITEMS_INCREASED",
            "JSON_MAX_ITEMS_DECREASED",
            "JSON_MAX_ITEMS_CHANGED",
        ],
        FailureKind::UniqueItems => [
            "JSON_UNIQUE_ITEMS_ADDED",
            "JSON_UNIQUE_ITEMS_REMOVED",
            "JSON_UNIQUE_ITEMS_CHANGED",
            "JSON_UNIQUE_ITEMS_CHANGED",
            "JSON_UNIQUE_ITEMS_CHANGED",
        ],
        FailureKind::Contains => [
            "JSON_CONTAINS_ADDED",
            "JSON_CONTAINS_REMOVED",
            "JSON_CONTAINS_CHANGED",
            "JSON_CONTAINS_CHANGED",
            "JSON_CONTAINS_CHANGED",
        ],
        FailureKind::ItemClosed => [
            "JSON_ITEM_REMOVED_FROM_CLOSED",
            "JSON_ITEM_ADDED_TO_CLOSED",
            "JSON_ITEM_ADDED_TO_CLOSED",
            "JSON_ITEM_REMOVED_FROM_CLOSED",
            "JSON_ITEMS_CLOSED_CHANGED",
        ],
        FailureKind::Required => [
            "JSON_REQUIRED_ADDED",
            "JSON_REQUIRED_REMOVED",
            "JSON_REQUIRED_CHANGED",
            "JSON_REQUIRED_CHANGED",
            "JSON_REQUIRED_CHANGED",
        ],
        FailureKind::DependentRequired => [
            "JSON_DEPENDENT_REQUIRED_ADDED",
            "JSON_DEPENDENT_REQUIRED_REMOVED",
            "JSON_DEPENDENT_REQUIRED_CHANGED",
            "JSON_DEPENDENT_REQUIRED_CHANGED",
            "JSON_DEPENDENT_REQUIRED_CHANGED",
        ],
        FailureKind::PropertyNames => [
            "JSON_PROPERTY_NAMES_ADDED",
            "JSON_PROPERTY_NAMES_REMOVED",
            "JSON_PROPERTY_NAMES_CHANGED",
            "JSON_PROPERTY_NAMES_CHANGED",
            "JSON_PROPERTY_NAMES_CHANGED",
        ],
        FailureKind::MinProperties => [
            "JSON_MIN_PROPERTIES_ADDED",
            "JSON_MIN_PROPERTIES_REMOVED",
            "JSON_MIN_PROPERTIES_INCREASED",
            "JSON_MIN_PROPERTIES_DECREASED",
            "JSON_MIN_PROPERTIES_CHANGED",
        ],
        FailureKind::MaxProperties => [
            "JSON_MAX_PROPERTIES_ADDED",
            "JSON_MAX_PROPERTIES_REMOVED",
            "JSON_MAX_PROPERTIES_INCREASED",
            "JSON_MAX_PROPERTIES_DECREASED",
            "JSON_MAX_PROPERTIES_CHANGED",
        ],
        FailureKind::PropertyClosed => [
            "JSON_PROPERTY_REMOVED_FROM_CLOSED",
            "JSON_PROPERTY_ADDED_TO_CLOSED",
            "JSON_PROPERTY_CLOSED_CHANGED",
            "JSON_PROPERTY_CLOSED_CHANGED",
            "JSON_PROPERTY_CLOSED_CHANGED",
        ],
        FailureKind::AdditionalProperties => [
            "JSON_ADDITIONAL_PROPERTIES_NARROWED",
            "JSON_ADDITIONAL_PROPERTIES_WIDENED",
            "JSON_ADDITIONAL_PROPERTIES_CHANGED",
            "JSON_ADDITIONAL_PROPERTIES_CHANGED",
            "JSON_ADDITIONAL_PROPERTIES_CHANGED",
        ],
        FailureKind::PropertyOpen => [
            "JSON_PROPERTY_ADDED_TO_OPEN",
            "JSON_PROPERTY_REMOVED_FROM_OPEN",
            "JSON_PROPERTY_OPEN_CHANGED",
            "JSON_PROPERTY_OPEN_CHANGED",
            "JSON_PROPERTY_OPEN_CHANGED",
        ],
        FailureKind::AnyOf => [
            "JSON_ANY_OF_ADDED",
            "JSON_ANY_OF_REMOVED",
            "JSON_ANY_OF_EXTENDED",
            "JSON_ANY_OF_NARROWED",
            "JSON_ANY_OF_CHANGED",
        ],
        FailureKind::OneOf => [
            "JSON_ONE_OF_ADDED",
            "JSON_ONE_OF_REMOVED",
            "JSON_ONE_OF_EXTENDED",
            "JSON_ONE_OF_NARROWED",
            "JSON_ONE_OF_CHANGED",
        ],
        FailureKind::OneOfOverlap => [
            "JSON_ONE_OF_OVERLAP_ADDED",
            "JSON_ONE_OF_OVERLAP_REMOVED",
            "JSON_ONE_OF_OVERLAP",
            "JSON_ONE_OF_OVERLAP",
            "JSON_ONE_OF_OVERLAP",
        ],
        FailureKind::Not => [
            "JSON_NOT_ADDED",
            "JSON_NOT_REMOVED",
            "JSON_NOT_CHANGED",
            "JSON_NOT_CHANGED",
            "JSON_NOT_CHANGED",
        ],
        FailureKind::False => [
            "JSON_SCHEMA_BECAME_FALSE",
            "JSON_SCHEMA_WAS_FALSE",
            "JSON_SCHEMA_WAS_FALSE",
            "JSON_SCHEMA_BECAME_FALSE",
            "JSON_SCHEMA_CHANGED",
        ],
        FailureKind::Other => ["JSON_SCHEMA_CHANGED"; 5],
    };
    let [added, removed, increased, decreased, changed] = row;
    match change {
        KeywordChange::Added => added,
        KeywordChange::Removed => removed,
        KeywordChange::Increased => increased,
        KeywordChange::Decreased => decreased,
        KeywordChange::Changed => changed,
    }
}
