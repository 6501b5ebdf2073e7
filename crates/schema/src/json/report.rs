//! From failures to findings: the rule, the two places, the two values, one sentence and what to do instead.

use serde_json::Value;

use super::{
    goal::{Failure, Kind},
    model::{Model, NodeId},
};
use crate::{
    counterexample::Counterexample,
    definition::SourceLocation,
    finding::{Direction, Finding, Severity},
};

/// Longest value in a finding, in characters.
const VALUE_MAX: usize = 200;

/// Cuts a text to what a finding shows.
pub(crate) fn short(text: &str) -> String {
    if text.chars().count() <= VALUE_MAX {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(VALUE_MAX - 1).collect();
    cut.push('…');
    cut
}

/// The keyword of a node that a kind of failure is about, and its value.
pub(crate) fn value_of(
    model: &Model,
    id: NodeId,
    kind: Kind,
    name: &str,
) -> Option<(String, String)> {
    let node = model.node(id);
    let said = |keyword: &str, value: String| Some((keyword.to_owned(), value));
    let count = |keyword: &str, value: Option<u64>| said(keyword, value?.to_string());
    let numbers = node.numbers.as_deref();
    let strings = node.strings.as_deref();
    let arrays = node.arrays.as_deref();
    let objects = node.objects.as_deref();
    let logic = node.logic.as_deref();
    match kind {
        Kind::Type => said("type", node.types?.to_string()),
        Kind::Values => match (&node.values, &node.constant) {
            (_, Some(constant)) => said("const", constant.list.first()?.to_string()),
            (Some(values), None) => {
                let list: Vec<_> = values.list.iter().take(30).map(Value::to_string).collect();
                said("enum", format!("[{}]", list.join(", ")))
            }
            (None, None) => None,
        },
        Kind::Minimum => {
            let bound = numbers?.minimum?;
            let keyword = if bound.exclusive { "exclusiveMinimum" } else { "minimum" };
            said(keyword, bound.at.to_string())
        }
        Kind::Maximum => {
            let bound = numbers?.maximum?;
            let keyword = if bound.exclusive { "exclusiveMaximum" } else { "maximum" };
            said(keyword, bound.at.to_string())
        }
        Kind::MultipleOf => said("multipleOf", numbers?.multiple_of?.to_string()),
        Kind::MinLength => count("minLength", strings?.min),
        Kind::MaxLength => count("maxLength", strings?.max),
        Kind::Pattern => said("pattern", strings?.pattern.as_ref()?.text.clone()),
        Kind::MinItems => count("minItems", arrays?.min),
        Kind::MaxItems => count("maxItems", arrays?.max),
        Kind::UniqueItems => arrays?.unique.then(|| ("uniqueItems".to_owned(), "true".to_owned())),
        Kind::Contains => arrays?.contains.map(|it| {
            let most = it.max.map_or(String::new(), |max| format!(", at most {max}"));
            ("contains".to_owned(), format!("at least {}{most}", it.min))
        }),
        Kind::ItemClosed => {
            let arrays = arrays?;
            if arrays.rest.is_none() && arrays.unevaluated.is_none() {
                return None;
            }
            said("items", format!("{} items and no more", arrays.prefix.len()))
        }
        Kind::Required => {
            let required = &objects?.required;
            if required.is_empty() || !name.is_empty() && !required.iter().any(|it| **it == *name) {
                return None;
            }
            let list: Vec<_> = required.iter().take(30).map(|name| format!("{name:?}")).collect();
            said("required", format!("[{}]", list.join(", ")))
        }
        Kind::DependentRequired => {
            let found = objects?.dependent_required.iter().find(|(it, _)| **it == *name);
            let (_, others) = found.or(objects?.dependent_required.first())?;
            said("dependentRequired", format!("{others:?}"))
        }
        Kind::PropertyNames => objects?.names.map(|_| ("propertyNames".into(), "a schema".into())),
        Kind::MinProperties => count("minProperties", objects?.min),
        Kind::MaxProperties => count("maxProperties", objects?.max),
        Kind::PropertyClosed | Kind::PropertyOpen => {
            let property = objects?.properties.get(name)?;
            let token = name.replace('~', "~0").replace('/', "~1");
            said(&format!("properties/{token}"), outline(model, *property))
        }
        Kind::AdditionalProperties => {
            let objects = objects?;
            let (keyword, id) = match (objects.additional, objects.unevaluated) {
                (Some(id), _) => ("additionalProperties", id),
                (None, Some(id)) => ("unevaluatedProperties", id),
                (None, None) => {
                    let (_, id) = objects.patterns.first()?;
                    ("patternProperties", *id)
                }
            };
            said(keyword, outline(model, id))
        }
        Kind::AnyOf => {
            let count = logic?.any_of.len();
            (count > 0).then(|| ("anyOf".to_owned(), format!("{count} alternatives")))
        }
        Kind::OneOf | Kind::OneOfOverlap => {
            let count = logic?.one_of.len();
            (count > 0).then(|| ("oneOf".to_owned(), format!("{count} alternatives")))
        }
        Kind::Not => logic?.not.map(|id| ("not".to_owned(), outline(model, id))),
        Kind::False => (node.always == Some(false)).then(|| (String::new(), "false".to_owned())),
        Kind::Other => node.opaque.first().map(|keyword| ((*keyword).to_owned(), String::new())),
    }
}

/// A schema in a few words.
pub(crate) fn outline(model: &Model, id: NodeId) -> String {
    let node = model.node(id);
    if node.always == Some(false) {
        return "false".to_owned();
    }
    if node.is_true() {
        return "anything".to_owned();
    }
    let kinds = [Kind::Type, Kind::Values, Kind::Minimum, Kind::Maximum, Kind::Pattern];
    let known = kinds.iter().filter_map(|kind| value_of(model, id, *kind, ""));
    let said: Vec<_> = known.map(|(keyword, value)| format!("{keyword} {value}")).collect();
    match (said.is_empty(), node.refs.first()) {
        (false, _) => said.join(", "),
        (true, Some(id)) => {
            let pointer = model.path(*id);
            if pointer.is_empty() {
                "$ref to the root".to_owned()
            } else {
                format!("$ref {pointer}")
            }
        }
        (true, None) => "a schema".to_owned(),
    }
}

/// How a rule ends: what became of the keyword from old to new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Added,
    Removed,
    More,
    Less,
    Changed,
}

/// The stable ids, one row per kind: added, removed, more allowed or larger, less allowed or smaller, changed.
fn rule(kind: Kind, turn: Turn) -> &'static str {
    let row: [&'static str; 5] = match kind {
        Kind::Type => [
            "JSON_TYPE_ADDED",
            "JSON_TYPE_REMOVED",
            "JSON_TYPE_WIDENED",
            "JSON_TYPE_NARROWED",
            "JSON_TYPE_CHANGED",
        ],
        Kind::Values => [
            "JSON_ENUM_ADDED",
            "JSON_ENUM_REMOVED",
            "JSON_ENUM_EXTENDED",
            "JSON_ENUM_NARROWED",
            "JSON_ENUM_CHANGED",
        ],
        Kind::Minimum => [
            "JSON_MINIMUM_ADDED",
            "JSON_MINIMUM_REMOVED",
            "JSON_MINIMUM_INCREASED",
            "JSON_MINIMUM_DECREASED",
            "JSON_MINIMUM_CHANGED",
        ],
        Kind::Maximum => [
            "JSON_MAXIMUM_ADDED",
            "JSON_MAXIMUM_REMOVED",
            "JSON_MAXIMUM_INCREASED",
            "JSON_MAXIMUM_DECREASED",
            "JSON_MAXIMUM_CHANGED",
        ],
        Kind::MultipleOf => [
            "JSON_MULTIPLE_OF_ADDED",
            "JSON_MULTIPLE_OF_REMOVED",
            "JSON_MULTIPLE_OF_CHANGED",
            "JSON_MULTIPLE_OF_CHANGED",
            "JSON_MULTIPLE_OF_CHANGED",
        ],
        Kind::MinLength => [
            "JSON_MIN_LENGTH_ADDED",
            "JSON_MIN_LENGTH_REMOVED",
            "JSON_MIN_LENGTH_INCREASED",
            "JSON_MIN_LENGTH_DECREASED",
            "JSON_MIN_LENGTH_CHANGED",
        ],
        Kind::MaxLength => [
            "JSON_MAX_LENGTH_ADDED",
            "JSON_MAX_LENGTH_REMOVED",
            "JSON_MAX_LENGTH_INCREASED",
            "JSON_MAX_LENGTH_DECREASED",
            "JSON_MAX_LENGTH_CHANGED",
        ],
        Kind::Pattern => [
            "JSON_PATTERN_ADDED",
            "JSON_PATTERN_REMOVED",
            "JSON_PATTERN_CHANGED",
            "JSON_PATTERN_CHANGED",
            "JSON_PATTERN_CHANGED",
        ],
        Kind::MinItems => [
            "JSON_MIN_ITEMS_ADDED",
            "JSON_MIN_ITEMS_REMOVED",
            "JSON_MIN_ITEMS_INCREASED",
            "JSON_MIN_ITEMS_DECREASED",
            "JSON_MIN_ITEMS_CHANGED",
        ],
        Kind::MaxItems => [
            "JSON_MAX_ITEMS_ADDED",
            "JSON_MAX_ITEMS_REMOVED",
            "JSON_MAX_ITEMS_INCREASED",
            "JSON_MAX_ITEMS_DECREASED",
            "JSON_MAX_ITEMS_CHANGED",
        ],
        Kind::UniqueItems => [
            "JSON_UNIQUE_ITEMS_ADDED",
            "JSON_UNIQUE_ITEMS_REMOVED",
            "JSON_UNIQUE_ITEMS_CHANGED",
            "JSON_UNIQUE_ITEMS_CHANGED",
            "JSON_UNIQUE_ITEMS_CHANGED",
        ],
        Kind::Contains => [
            "JSON_CONTAINS_ADDED",
            "JSON_CONTAINS_REMOVED",
            "JSON_CONTAINS_CHANGED",
            "JSON_CONTAINS_CHANGED",
            "JSON_CONTAINS_CHANGED",
        ],
        Kind::ItemClosed => [
            "JSON_ITEM_REMOVED_FROM_CLOSED",
            "JSON_ITEM_ADDED_TO_CLOSED",
            "JSON_ITEM_ADDED_TO_CLOSED",
            "JSON_ITEM_REMOVED_FROM_CLOSED",
            "JSON_ITEMS_CLOSED_CHANGED",
        ],
        Kind::Required => [
            "JSON_REQUIRED_ADDED",
            "JSON_REQUIRED_REMOVED",
            "JSON_REQUIRED_CHANGED",
            "JSON_REQUIRED_CHANGED",
            "JSON_REQUIRED_CHANGED",
        ],
        Kind::DependentRequired => [
            "JSON_DEPENDENT_REQUIRED_ADDED",
            "JSON_DEPENDENT_REQUIRED_REMOVED",
            "JSON_DEPENDENT_REQUIRED_CHANGED",
            "JSON_DEPENDENT_REQUIRED_CHANGED",
            "JSON_DEPENDENT_REQUIRED_CHANGED",
        ],
        Kind::PropertyNames => [
            "JSON_PROPERTY_NAMES_ADDED",
            "JSON_PROPERTY_NAMES_REMOVED",
            "JSON_PROPERTY_NAMES_CHANGED",
            "JSON_PROPERTY_NAMES_CHANGED",
            "JSON_PROPERTY_NAMES_CHANGED",
        ],
        Kind::MinProperties => [
            "JSON_MIN_PROPERTIES_ADDED",
            "JSON_MIN_PROPERTIES_REMOVED",
            "JSON_MIN_PROPERTIES_INCREASED",
            "JSON_MIN_PROPERTIES_DECREASED",
            "JSON_MIN_PROPERTIES_CHANGED",
        ],
        Kind::MaxProperties => [
            "JSON_MAX_PROPERTIES_ADDED",
            "JSON_MAX_PROPERTIES_REMOVED",
            "JSON_MAX_PROPERTIES_INCREASED",
            "JSON_MAX_PROPERTIES_DECREASED",
            "JSON_MAX_PROPERTIES_CHANGED",
        ],
        Kind::PropertyClosed => [
            "JSON_PROPERTY_REMOVED_FROM_CLOSED",
            "JSON_PROPERTY_ADDED_TO_CLOSED",
            "JSON_PROPERTY_CLOSED_CHANGED",
            "JSON_PROPERTY_CLOSED_CHANGED",
            "JSON_PROPERTY_CLOSED_CHANGED",
        ],
        Kind::AdditionalProperties => [
            "JSON_ADDITIONAL_PROPERTIES_NARROWED",
            "JSON_ADDITIONAL_PROPERTIES_WIDENED",
            "JSON_ADDITIONAL_PROPERTIES_CHANGED",
            "JSON_ADDITIONAL_PROPERTIES_CHANGED",
            "JSON_ADDITIONAL_PROPERTIES_CHANGED",
        ],
        Kind::PropertyOpen => [
            "JSON_PROPERTY_ADDED_TO_OPEN",
            "JSON_PROPERTY_REMOVED_FROM_OPEN",
            "JSON_PROPERTY_OPEN_CHANGED",
            "JSON_PROPERTY_OPEN_CHANGED",
            "JSON_PROPERTY_OPEN_CHANGED",
        ],
        Kind::AnyOf => [
            "JSON_ANY_OF_ADDED",
            "JSON_ANY_OF_REMOVED",
            "JSON_ANY_OF_EXTENDED",
            "JSON_ANY_OF_NARROWED",
            "JSON_ANY_OF_CHANGED",
        ],
        Kind::OneOf => [
            "JSON_ONE_OF_ADDED",
            "JSON_ONE_OF_REMOVED",
            "JSON_ONE_OF_EXTENDED",
            "JSON_ONE_OF_NARROWED",
            "JSON_ONE_OF_CHANGED",
        ],
        Kind::OneOfOverlap => [
            "JSON_ONE_OF_OVERLAP_ADDED",
            "JSON_ONE_OF_OVERLAP_REMOVED",
            "JSON_ONE_OF_OVERLAP",
            "JSON_ONE_OF_OVERLAP",
            "JSON_ONE_OF_OVERLAP",
        ],
        Kind::Not => [
            "JSON_NOT_ADDED",
            "JSON_NOT_REMOVED",
            "JSON_NOT_CHANGED",
            "JSON_NOT_CHANGED",
            "JSON_NOT_CHANGED",
        ],
        Kind::False => [
            "JSON_SCHEMA_BECAME_FALSE",
            "JSON_SCHEMA_WAS_FALSE",
            "JSON_SCHEMA_WAS_FALSE",
            "JSON_SCHEMA_BECAME_FALSE",
            "JSON_SCHEMA_CHANGED",
        ],
        Kind::Other => ["JSON_SCHEMA_CHANGED"; 5],
    };
    let [added, removed, more, less, changed] = row;
    match turn {
        Turn::Added => added,
        Turn::Removed => removed,
        Turn::More => more,
        Turn::Less => less,
        Turn::Changed => changed,
    }
}

/// The finding of a failure. `backward`: the reader is the new schema.
pub(crate) fn finding(
    failure: &Failure,
    (writer, reader): (&Model, &Model),
    backward: bool,
    place: impl Fn(&str) -> SourceLocation,
) -> Finding {
    let Failure { kind, name, refused, .. } = failure;
    let kind = *kind;
    let read = value_of(reader, failure.reader, kind, name);
    let written = failure.writer.and_then(|id| value_of(writer, id, kind, name));
    let turn = turn(failure, (writer, reader), read.is_some(), written.is_some(), backward);
    let pointer = |model: &Model, id: NodeId, said: &Option<(String, String)>| {
        let pointer = model.path(id);
        match said {
            Some((keyword, _)) if !keyword.is_empty() => format!("{pointer}/{keyword}"),
            _ => pointer,
        }
    };
    let read_path = pointer(reader, failure.reader, &read);
    let written_path = failure.writer.map_or(String::new(), |id| pointer(writer, id, &written));
    let text = |said: Option<(String, String)>| said.map_or(String::new(), |(_, value)| value);
    let (read_value, written_value) = (text(read), text(written));
    let (old_path, new_path) =
        if backward { (written_path, read_path) } else { (read_path, written_path) };
    let (old_value, new_value) =
        if backward { (written_value, read_value) } else { (read_value, written_value) };
    let (old_value, new_value) = (short(&old_value), short(&new_value));
    let shown = failure.payload.as_ref();
    let counterexample = shown.map(|payload| Counterexample::at(payload, pointer_of(failure)));
    let at = if failure.path.is_empty() {
        "The value".to_owned()
    } else {
        format!("The value at {}", short(&failure.path))
    };
    let what = describe(kind, turn, name, (&old_value, &new_value), refused);
    let whom = match (backward, failure.proven) {
        (true, true) => "new readers refuse such old events",
        (false, true) => "readers of the old schema that run now refuse such new events",
        (true, false) => "that new readers take all old events could not be shown",
        (false, false) => {
            "that readers of the old schema that run now take all new events could not be shown"
        }
    };
    let direction = if backward { Direction::Backward } else { Direction::Forward };
    Finding {
        rule: rule(kind, turn),
        severity: Severity::Error,
        direction,
        proven: failure.proven,
        place: place(&new_path),
        old_path,
        new_path,
        old_value,
        new_value,
        message: format!("{at}: {what}; {whom}."),
        suggestion: suggestion(kind, backward).to_owned(),
        counterexample,
    }
}

/// Where in the payload of a failure it shows.
fn pointer_of(failure: &Failure) -> String {
    let part = match failure.kind {
        Kind::PropertyClosed | Kind::PropertyOpen | Kind::ItemClosed => {
            format!("{}/{}", failure.path, failure.name.replace('~', "~0").replace('/', "~1"))
        }
        _ => failure.path.clone(),
    };
    let places = [part, failure.path.clone()];
    let is_there = |place: &String| {
        failure.payload.as_ref().is_some_and(|payload| payload.pointer(place).is_some())
    };
    places.into_iter().find(is_there).unwrap_or_default()
}

fn turn(
    failure: &Failure,
    (writer, reader): (&Model, &Model),
    read: bool,
    written: bool,
    backward: bool,
) -> Turn {
    let (old, new) = if backward { (written, read) } else { (read, written) };
    // For a closed object the reader says nothing of the property, and the writer does.
    let (old, new) = if failure.kind == Kind::PropertyClosed { (!old, !new) } else { (old, new) };
    match (old, new) {
        (false, true) => Turn::Added,
        (true, false) => Turn::Removed,
        (false, false) => {
            if backward {
                Turn::Added
            } else {
                Turn::Removed
            }
        }
        (true, true) => {
            let both = (failure.writer.map(|id| writer.node(id)), reader.node(failure.reader));
            let (Some(written), read) = both else { return Turn::Changed };
            match failure.kind {
                Kind::Required => {
                    if backward {
                        Turn::Added
                    } else {
                        Turn::Removed
                    }
                }
                Kind::Type => match (written.types, read.types) {
                    (Some(written), Some(read)) if written.includes(read) => {
                        if backward {
                            Turn::Less
                        } else {
                            Turn::More
                        }
                    }
                    (Some(written), Some(read)) if read.includes(written) => {
                        if backward {
                            Turn::More
                        } else {
                            Turn::Less
                        }
                    }
                    _ => Turn::Changed,
                },
                Kind::Values => {
                    let values = |node: &super::model::Node| {
                        node.values.clone().or_else(|| node.constant.clone())
                    };
                    match (values(written), values(read)) {
                        (Some(written), Some(read)) if read.subset_of(&written) => {
                            if backward {
                                Turn::Less
                            } else {
                                Turn::More
                            }
                        }
                        _ => Turn::Changed,
                    }
                }
                // The reader's lower bound is the higher one.
                Kind::Minimum | Kind::MinLength | Kind::MinItems | Kind::MinProperties => {
                    if backward {
                        Turn::More
                    } else {
                        Turn::Less
                    }
                }
                Kind::Maximum | Kind::MaxLength | Kind::MaxItems | Kind::MaxProperties => {
                    if backward {
                        Turn::Less
                    } else {
                        Turn::More
                    }
                }
                Kind::AnyOf | Kind::OneOf | Kind::ItemClosed | Kind::False => {
                    if backward {
                        Turn::Less
                    } else {
                        Turn::More
                    }
                }
                Kind::AdditionalProperties => {
                    if backward {
                        Turn::Added
                    } else {
                        Turn::Removed
                    }
                }
                _ => Turn::Changed,
            }
        }
    }
}

fn describe(kind: Kind, turn: Turn, name: &str, values: (&str, &str), refused: &str) -> String {
    let (old, new) = values;
    let noun = match kind {
        Kind::Type => "the type",
        Kind::Values => "the list of values",
        Kind::Minimum => "the lower bound",
        Kind::Maximum => "the upper bound",
        Kind::MultipleOf => "multipleOf",
        Kind::MinLength => "the least length",
        Kind::MaxLength => "the greatest length",
        Kind::Pattern => "the pattern",
        Kind::MinItems => "the least number of items",
        Kind::MaxItems => "the greatest number of items",
        Kind::UniqueItems => "uniqueItems",
        Kind::Contains => "what an item must be (contains)",
        Kind::ItemClosed => "the number of items that a closed array declares",
        Kind::Required => "",
        Kind::DependentRequired => "what else is required with a property",
        Kind::PropertyNames => "what properties may be called",
        Kind::MinProperties => "the least number of properties",
        Kind::MaxProperties => "the greatest number of properties",
        Kind::PropertyClosed | Kind::PropertyOpen => "",
        Kind::AdditionalProperties => "what further properties may be",
        Kind::AnyOf => "the list of alternatives (anyOf)",
        Kind::OneOf => "the list of alternatives (oneOf)",
        Kind::OneOfOverlap => "",
        Kind::Not => "what the value must not be (not)",
        Kind::False => "the schema",
        Kind::Other => "the schema",
    };
    let name = short(name);
    let refused = if refused.is_empty() {
        String::new()
    } else {
        format!(" (it concerns {})", short(refused))
    };
    match (kind, turn) {
        (Kind::Required, Turn::Removed) => {
            format!("property {name:?} is no longer required, so that it may be missing")
        }
        (Kind::Required, _) => {
            format!("property {name:?} is newly required, and validators fill nothing in")
        }
        (Kind::PropertyClosed, Turn::Removed) => {
            format!("property {name:?} is new in an object that was closed")
        }
        (Kind::PropertyClosed, _) => {
            format!("property {name:?} is gone from an object that is closed")
        }
        (Kind::PropertyOpen, Turn::Removed) => format!(
            "property {name:?} ({old}) is no longer declared in an open object, so that it may be anything"
        ),
        (Kind::PropertyOpen, _) => format!(
            "property {name:?} ({new}) is newly declared in an open object, where it could be anything"
        ),
        (Kind::OneOfOverlap, _) => {
            "a value can match two alternatives of oneOf, which takes exactly one".to_owned()
        }
        (Kind::Other, _) => "the schema changed".to_owned(),
        (_, Turn::Added) if new.is_empty() => format!("{noun} narrowed{refused}"),
        (_, Turn::Removed) if old.is_empty() => format!("{noun} widened{refused}"),
        (_, Turn::Added) => format!("{noun} is newly limited to {new}{refused}"),
        (_, Turn::Removed) => format!("{noun} is no longer limited to {old}{refused}"),
        _ => format!("{noun} changed from {old} to {new}{refused}"),
    }
}

fn suggestion(kind: Kind, backward: bool) -> &'static str {
    match (kind, backward) {
        (Kind::Required, true) => {
            "Leave the property optional, or register the schema as a new major version."
        }
        (Kind::Required, false) => {
            "Keep the property required, or register the schema as a new major version."
        }
        (Kind::PropertyClosed, true) => {
            "Keep the property declared, or register the schema as a new major version."
        }
        (Kind::PropertyClosed, false) => {
            "Running readers have a closed schema: register this one as a new major version, and leave it open."
        }
        (Kind::PropertyOpen, _) => {
            "Compare with the LENIENT content model, or register the schema as a new major version."
        }
        (Kind::Values, false) => {
            "Add a new property for what is new, or register the schema as a new major version."
        }
        (Kind::OneOfOverlap, _) => {
            "Tell the alternatives apart by a constant property, or use anyOf."
        }
        (Kind::Type, _) => {
            "Add a new property with the new type, or register the schema as a new major version."
        }
        (_, true) => "Keep what was allowed, or register the schema as a new major version.",
        (_, false) => "Keep to what was allowed, or register the schema as a new major version.",
    }
}

/// That there was no comparison at all.
pub(crate) fn not_compared() -> Finding {
    Finding {
        rule: "JSON_NOT_COMPARED",
        severity: Severity::Error,
        direction: Direction::Both,
        proven: false,
        old_path: String::new(),
        new_path: String::new(),
        old_value: String::new(),
        new_value: String::new(),
        message: "The schemas could not be compared, so that nothing is known of either direction."
            .to_owned(),
        suggestion: "Try again; if it stays so, register the schema as a new major version."
            .to_owned(),
        counterexample: None,
        place: SourceLocation::default(),
    }
}
