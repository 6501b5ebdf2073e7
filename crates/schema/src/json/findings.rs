//! Findings of a failure: rule, paths, values, message and suggestion.

use serde_json::Value;

use super::{
    model::{Model, NodeId},
    rules::{KeywordChange, rule},
    subsumption::{Failure, FailureKind},
};
use crate::{
    counterexample::Counterexample,
    definition::SourceLocation,
    finding::{Direction, Finding, Severity},
};

/// Characters of a value in a finding.
const VALUE_MAX: usize = 200;

/// Shortens a text to the length that a finding shows.
pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= VALUE_MAX {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(VALUE_MAX - 1).collect();
    cut.push('…');
    cut
}

/// The keyword of a node that a failure of some kind concerns, and its value.
pub(crate) fn keyword_value(
    model: &Model,
    id: NodeId,
    kind: FailureKind,
    name: &str,
) -> Option<(String, String)> {
    let node = model.node(id);
    let value_of = |keyword: &str, value: String| Some((keyword.to_owned(), value));
    let count = |keyword: &str, value: Option<u64>| value_of(keyword, value?.to_string());
    let numbers = node.numbers.as_deref();
    let strings = node.strings.as_deref();
    let arrays = node.arrays.as_deref();
    let objects = node.objects.as_deref();
    let logic = node.logic.as_deref();
    match kind {
        FailureKind::Type => value_of("type", node.types?.to_string()),
        FailureKind::Values => match (&node.values, &node.constant) {
            (_, Some(constant)) => value_of("const", constant.list.first()?.to_string()),
            (Some(values), None) => {
                let list: Vec<_> = values.list.iter().take(30).map(Value::to_string).collect();
                value_of("enum", format!("[{}]", list.join(", ")))
            }
            (None, None) => None,
        },
        FailureKind::Minimum => {
            let bound = numbers?.minimum?;
            let keyword = if bound.exclusive { "exclusiveMinimum" } else { "minimum" };
            value_of(keyword, bound.at.to_string())
        }
        FailureKind::Maximum => {
            let bound = numbers?.maximum?;
            let keyword = if bound.exclusive { "exclusiveMaximum" } else { "maximum" };
            value_of(keyword, bound.at.to_string())
        }
        FailureKind::MultipleOf => value_of("multipleOf", numbers?.multiple_of?.to_string()),
        FailureKind::MinLength => count("minLength", strings?.min),
        FailureKind::MaxLength => count("maxLength", strings?.max),
        FailureKind::Pattern => value_of("pattern", strings?.pattern.as_ref()?.text.clone()),
        FailureKind::MinItems => count("minItems", arrays?.min),
        FailureKind::MaxItems => count("maxItems", arrays?.max),
        FailureKind::UniqueItems => {
            arrays?.unique.then(|| ("uniqueItems".to_owned(), "true".to_owned()))
        }
        FailureKind::Contains => arrays?.contains.map(|contains| {
            let max = contains.max.map_or(String::new(), |max| format!(", at most {max}"));
            ("contains".to_owned(), format!("at least {}{max}", contains.min))
        }),
        FailureKind::ItemClosed => {
            let arrays = arrays?;
            if arrays.rest.is_none() && arrays.unevaluated.is_none() {
                return None;
            }
            value_of("items", format!("{} items and no more", arrays.prefix.len()))
        }
        FailureKind::Required => {
            let required = &objects?.required;
            if required.is_empty()
                || !name.is_empty()
                    && !required.iter().any(|required_name| **required_name == *name)
            {
                return None;
            }
            let list: Vec<_> = required.iter().take(30).map(|name| format!("{name:?}")).collect();
            value_of("required", format!("[{}]", list.join(", ")))
        }
        FailureKind::DependentRequired => {
            let dependency =
                objects?.dependent_required.iter().find(|(property, _)| **property == *name);
            let (_, dependents) = dependency.or(objects?.dependent_required.first())?;
            value_of("dependentRequired", format!("{dependents:?}"))
        }
        FailureKind::PropertyNames => {
            objects?.names.map(|_| ("propertyNames".into(), "a schema".into()))
        }
        FailureKind::MinProperties => count("minProperties", objects?.min),
        FailureKind::MaxProperties => count("maxProperties", objects?.max),
        FailureKind::PropertyClosed | FailureKind::PropertyOpen => {
            let property = objects?.properties.get(name)?;
            let token = name.replace('~', "~0").replace('/', "~1");
            value_of(&format!("properties/{token}"), outline(model, *property))
        }
        FailureKind::AdditionalProperties => {
            let objects = objects?;
            let (keyword, id) = match (objects.additional, objects.unevaluated) {
                (Some(id), _) => ("additionalProperties", id),
                (None, Some(id)) => ("unevaluatedProperties", id),
                (None, None) => {
                    let (_, id) = objects.patterns.first()?;
                    ("patternProperties", *id)
                }
            };
            value_of(keyword, outline(model, id))
        }
        FailureKind::AnyOf => {
            let count = logic?.any_of.len();
            (count > 0).then(|| ("anyOf".to_owned(), format!("{count} alternatives")))
        }
        FailureKind::OneOf | FailureKind::OneOfOverlap => {
            let count = logic?.one_of.len();
            (count > 0).then(|| ("oneOf".to_owned(), format!("{count} alternatives")))
        }
        FailureKind::Not => logic?.not.map(|id| ("not".to_owned(), outline(model, id))),
        FailureKind::False => {
            (node.always == Some(false)).then(|| (String::new(), "false".to_owned()))
        }
        FailureKind::Other => {
            node.opaque.first().map(|keyword| ((*keyword).to_owned(), String::new()))
        }
    }
}

/// A short description of a schema.
pub(crate) fn outline(model: &Model, id: NodeId) -> String {
    let node = model.node(id);
    if node.always == Some(false) {
        return "false".to_owned();
    }
    if node.is_true() {
        return "anything".to_owned();
    }
    let kinds = [
        FailureKind::Type,
        FailureKind::Values,
        FailureKind::Minimum,
        FailureKind::Maximum,
        FailureKind::Pattern,
    ];
    let known = kinds.iter().filter_map(|kind| keyword_value(model, id, *kind, ""));
    let keywords: Vec<_> = known.map(|(keyword, value)| format!("{keyword} {value}")).collect();
    match (keywords.is_empty(), node.refs.first()) {
        (false, _) => keywords.join(", "),
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

/// The finding for a failure. `backward`: the reader is the new schema.
pub(crate) fn finding(
    failure: &Failure,
    (writer, reader): (&Model, &Model),
    backward: bool,
    locate: impl Fn(&str) -> SourceLocation,
) -> Finding {
    let Failure { kind, name, refused, .. } = failure;
    let kind = *kind;
    let read = keyword_value(reader, failure.reader, kind, name);
    let written = failure.writer.and_then(|id| keyword_value(writer, id, kind, name));
    let change =
        keyword_change(failure, (writer, reader), read.is_some(), written.is_some(), backward);
    let pointer = |model: &Model, id: NodeId, value: &Option<(String, String)>| {
        let pointer = model.path(id);
        match value {
            Some((keyword, _)) if !keyword.is_empty() => format!("{pointer}/{keyword}"),
            _ => pointer,
        }
    };
    let read_path = pointer(reader, failure.reader, &read);
    let written_path = failure.writer.map_or(String::new(), |id| pointer(writer, id, &written));
    let text = |value: Option<(String, String)>| value.map_or(String::new(), |(_, value)| value);
    let (read_value, written_value) = (text(read), text(written));
    let (old_path, new_path) =
        if backward { (written_path, read_path) } else { (read_path, written_path) };
    let (old_value, new_value) =
        if backward { (written_value, read_value) } else { (read_value, written_value) };
    let (old_value, new_value) = (shorten(&old_value), shorten(&new_value));
    let shown = failure.payload.as_ref();
    let counterexample = shown.map(|payload| Counterexample::at(payload, payload_pointer(failure)));
    let at = if failure.path.is_empty() {
        "The value".to_owned()
    } else {
        format!("The value at {}", shorten(&failure.path))
    };
    let description = describe(kind, change, name, (&old_value, &new_value), refused);
    let effect = match (backward, failure.proven) {
        (true, true) => "new readers refuse such old events",
        (false, true) => "readers of the old schema that run now refuse such new events",
        (true, false) => "it could not be proven that new readers accept all old events",
        (false, false) => {
            "it could not be proven that running readers of the old schema accept all new events"
        }
    };
    let direction = if backward { Direction::Backward } else { Direction::Forward };
    Finding {
        rule: rule(kind, change),
        severity: Severity::Error,
        direction,
        proven: failure.proven,
        location: locate(&new_path),
        old_path,
        new_path,
        old_value,
        new_value,
        message: format!("{at}: {description}; {effect}."),
        suggestion: suggestion(kind, backward).to_owned(),
        counterexample,
    }
}

/// Pointer to the value in the payload at which the failure shows.
fn payload_pointer(failure: &Failure) -> String {
    let child = match failure.kind {
        FailureKind::PropertyClosed | FailureKind::PropertyOpen | FailureKind::ItemClosed => {
            format!("{}/{}", failure.path, failure.name.replace('~', "~0").replace('/', "~1"))
        }
        _ => failure.path.clone(),
    };
    let pointers = [child, failure.path.clone()];
    let exists = |pointer: &String| {
        failure.payload.as_ref().is_some_and(|payload| payload.pointer(pointer).is_some())
    };
    pointers.into_iter().find(exists).unwrap_or_default()
}

fn keyword_change(
    failure: &Failure,
    (writer, reader): (&Model, &Model),
    read: bool,
    written: bool,
    backward: bool,
) -> KeywordChange {
    let (old, new) = if backward { (written, read) } else { (read, written) };
    // For a closed object the writer declares the property, and the reader does not.
    let (old, new) =
        if failure.kind == FailureKind::PropertyClosed { (!old, !new) } else { (old, new) };
    match (old, new) {
        (false, true) => KeywordChange::Added,
        (true, false) => KeywordChange::Removed,
        (false, false) => {
            if backward {
                KeywordChange::Added
            } else {
                KeywordChange::Removed
            }
        }
        (true, true) => {
            let both = (failure.writer.map(|id| writer.node(id)), reader.node(failure.reader));
            let (Some(written), read) = both else { return KeywordChange::Changed };
            match failure.kind {
                FailureKind::Required => {
                    if backward {
                        KeywordChange::Added
                    } else {
                        KeywordChange::Removed
                    }
                }
                FailureKind::Type => match (written.types, read.types) {
                    (Some(written), Some(read)) if written.includes(read) => {
                        if backward {
                            KeywordChange::Decreased
                        } else {
                            KeywordChange::Increased
                        }
                    }
                    (Some(written), Some(read)) if read.includes(written) => {
                        if backward {
                            KeywordChange::Increased
                        } else {
                            KeywordChange::Decreased
                        }
                    }
                    _ => KeywordChange::Changed,
                },
                FailureKind::Values => {
                    let values = |node: &super::model::Node| {
                        node.values.clone().or_else(|| node.constant.clone())
                    };
                    match (values(written), values(read)) {
                        (Some(written), Some(read)) if read.subset_of(&written) => {
                            if backward {
                                KeywordChange::Decreased
                            } else {
                                KeywordChange::Increased
                            }
                        }
                        _ => KeywordChange::Changed,
                    }
                }
                // The reader's lower bound is the higher one.
                FailureKind::Minimum
                | FailureKind::MinLength
                | FailureKind::MinItems
                | FailureKind::MinProperties => {
                    if backward {
                        KeywordChange::Increased
                    } else {
                        KeywordChange::Decreased
                    }
                }
                FailureKind::Maximum
                | FailureKind::MaxLength
                | FailureKind::MaxItems
                | FailureKind::MaxProperties => {
                    if backward {
                        KeywordChange::Decreased
                    } else {
                        KeywordChange::Increased
                    }
                }
                FailureKind::AnyOf
                | FailureKind::OneOf
                | FailureKind::ItemClosed
                | FailureKind::False => {
                    if backward {
                        KeywordChange::Decreased
                    } else {
                        KeywordChange::Increased
                    }
                }
                FailureKind::AdditionalProperties => {
                    if backward {
                        KeywordChange::Added
                    } else {
                        KeywordChange::Removed
                    }
                }
                _ => KeywordChange::Changed,
            }
        }
    }
}

fn describe(
    kind: FailureKind,
    change: KeywordChange,
    name: &str,
    values: (&str, &str),
    refused: &str,
) -> String {
    let (old, new) = values;
    let noun = match kind {
        FailureKind::Type => "the type",
        FailureKind::Values => "the list of values",
        FailureKind::Minimum => "the lower bound",
        FailureKind::Maximum => "the upper bound",
        FailureKind::MultipleOf => "multipleOf",
        FailureKind::MinLength => "the minimum length",
        FailureKind::MaxLength => "the maximum length",
        FailureKind::Pattern => "the pattern",
        FailureKind::MinItems => "the minimum number of items",
        FailureKind::MaxItems => "the maximum number of items",
        FailureKind::UniqueItems => "uniqueItems",
        FailureKind::Contains => "the schema of contained items (contains)",
        FailureKind::ItemClosed => "the number of items that a closed array declares",
        FailureKind::Required => "",
        FailureKind::DependentRequired => "the set of properties required with a property",
        FailureKind::PropertyNames => "the schema of property names",
        FailureKind::MinProperties => "the minimum number of properties",
        FailureKind::MaxProperties => "the maximum number of properties",
        FailureKind::PropertyClosed | FailureKind::PropertyOpen => "",
        FailureKind::AdditionalProperties => "the schema of additional properties",
        FailureKind::AnyOf => "the list of alternatives (anyOf)",
        FailureKind::OneOf => "the list of alternatives (oneOf)",
        FailureKind::OneOfOverlap => "",
        FailureKind::Not => "the excluded schema (not)",
        FailureKind::False => "the schema",
        FailureKind::Other => "the schema",
    };
    let name = shorten(name);
    let refused = if refused.is_empty() {
        String::new()
    } else {
        format!(" (affected: {})", shorten(refused))
    };
    match (kind, change) {
        (FailureKind::Required, KeywordChange::Removed) => {
            format!("property {name:?} is no longer required and may be missing")
        }
        (FailureKind::Required, _) => {
            format!("property {name:?} is newly required, and validators fill nothing in")
        }
        (FailureKind::PropertyClosed, KeywordChange::Removed) => {
            format!("property {name:?} is newly declared in an object that was closed")
        }
        (FailureKind::PropertyClosed, _) => {
            format!("property {name:?} was removed from a closed object")
        }
        (FailureKind::PropertyOpen, KeywordChange::Removed) => format!(
            "property {name:?} ({old}) is no longer declared in an open object, where any value is \
             valid"
        ),
        (FailureKind::PropertyOpen, _) => format!(
            "property {name:?} ({new}) is newly declared in an open object, where it could be \
             anything"
        ),
        (FailureKind::OneOfOverlap, _) => {
            "a value can match two alternatives of oneOf, which allows exactly one".to_owned()
        }
        (FailureKind::Other, _) => "the schema changed".to_owned(),
        (_, KeywordChange::Added) if new.is_empty() => format!("{noun} narrowed{refused}"),
        (_, KeywordChange::Removed) if old.is_empty() => format!("{noun} widened{refused}"),
        (_, KeywordChange::Added) => format!("{noun} is newly limited to {new}{refused}"),
        (_, KeywordChange::Removed) => format!("{noun} is no longer limited to {old}{refused}"),
        _ => format!("{noun} changed from {old} to {new}{refused}"),
    }
}

fn suggestion(kind: FailureKind, backward: bool) -> &'static str {
    match (kind, backward) {
        (FailureKind::Required, true) => {
            "Leave the property optional, or register the schema as a new major version."
        }
        (FailureKind::Required, false) => {
            "Keep the property required, or register the schema as a new major version."
        }
        (FailureKind::PropertyClosed, true) => {
            "Keep the property declared, or register the schema as a new major version."
        }
        (FailureKind::PropertyClosed, false) => {
            "Running readers have a closed schema: register this one as a new major version, and \
             leave it open."
        }
        (FailureKind::PropertyOpen, _) => {
            "Compare with the LENIENT content model, or register the schema as a new major version."
        }
        (FailureKind::Values, false) => {
            "Add a new property for the new values, or register the schema as a new major version."
        }
        (FailureKind::OneOfOverlap, _) => {
            "Distinguish the alternatives by a constant property, or use anyOf."
        }
        (FailureKind::Type, _) => {
            "Add a new property with the new type, or register the schema as a new major version."
        }
        (_, true) => "Keep what was allowed, or register the schema as a new major version.",
        (_, false) => "Keep to what was allowed, or register the schema as a new major version.",
    }
}

/// The finding for schemas that could not be compared.
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
        message:
            "The schemas could not be compared, so compatibility is unknown in both directions."
                .to_owned(),
        suggestion:
            "Try again; if the comparison fails again, register the schema as a new major version."
                .to_owned(),
        counterexample: None,
        location: SourceLocation::default(),
    }
}
