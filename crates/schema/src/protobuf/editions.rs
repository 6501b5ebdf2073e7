//! Editions, for a linker that supports only proto2 and proto3.
//!
//! A text of an edition is rewritten as proto2 ([`super::parser_input`]). After it is linked, its
//! features are written into the descriptors: groups for delimited messages, labels for required
//! fields, and packing. For a descriptor set of an edition only the second step is necessary.

use std::collections::HashSet;

use prost_reflect::{DynamicMessage, Value};

use super::{
    features::{Edition, Features, Presence},
    limits::Tokens,
};

const LABEL_OPTIONAL: i32 = 1;
const LABEL_REQUIRED: i32 = 2;
const LABEL_REPEATED: i32 = 3;
const TYPE_STRING: i32 = 9;
const TYPE_GROUP: i32 = 10;
const TYPE_MESSAGE: i32 = 11;
const TYPE_BYTES: i32 = 12;

/// The edition that a text declares, such as `2023`, with its byte offset.
pub(super) fn declared_edition(text: &str) -> Option<(usize, &str)> {
    let mut tokens = Tokens::new(text);
    let mut next = || tokens.next();
    if next()?.1 != b"edition" || next()?.1 != b"=" {
        return None;
    }
    let (at, _) = next()?;
    let quote = text.get(at..at + 1)?;
    let name = text.get(at + 1..)?.split(quote).next()?;
    Some((at, name))
}

/// The edition with a number or a name. `None` if it is not supported.
pub(super) fn parse_edition(name: &str) -> Option<Edition> {
    match name {
        "2023" | "1000" => Some(Edition::E2023),
        "2024" | "1001" => Some(Edition::E2024),
        _ => None,
    }
}

/// Writes the features of a linked file into its descriptor.
pub(super) fn apply(file: &mut DynamicMessage) {
    let features = features_of(Features::of(Edition::E2023), file);
    for_each_item(file, "message_type", |message| apply_message(message, features));
    for_each_item(file, "extension", |field| apply_field(field, features, &HashSet::new()));
}

// The recursion is as deep as messages nest: prost decodes 100 levels.
fn apply_message(message: &mut DynamicMessage, parent: Features) {
    let features = features_of(parent, message);
    let mut entries = HashSet::new();
    for_each_item(message, "nested_type", |nested| {
        if bool_option(nested, "map_entry") {
            entries.insert(string_field(nested, "name"));
        }
    });
    for_each_item(message, "nested_type", |nested| {
        if !bool_option(nested, "map_entry") {
            apply_message(nested, features);
        }
    });
    for_each_item(message, "field", |field| apply_field(field, features, &entries));
    for_each_item(message, "extension", |field| apply_field(field, features, &HashSet::new()));
}

fn apply_field(field: &mut DynamicMessage, parent: Features, entries: &HashSet<String>) {
    let features = features_of(parent, field);
    let (label, kind) = (enum_field(field, "label"), enum_field(field, "type"));
    let type_name = string_field(field, "type_name");
    let is_map = entries.contains(type_name.rsplit('.').next().unwrap_or_default());
    if features.presence == Presence::Required
        && label == LABEL_OPTIONAL
        && !field.has_field_by_name("oneof_index")
    {
        set_enum_field(field, "label", LABEL_REQUIRED);
    }
    if features.delimited && kind == TYPE_MESSAGE && !is_map {
        set_enum_field(field, "type", TYPE_GROUP);
    }
    let is_packable = !matches!(kind, TYPE_STRING | TYPE_GROUP | TYPE_MESSAGE | TYPE_BYTES);
    if features.packed
        && label == LABEL_REPEATED
        && is_packable
        && let Some(Value::Message(options)) = field.get_field_by_name_mut("options")
        && !options.has_field_by_name("packed")
    {
        set_field(options, "packed", Value::Bool(true));
    }
}

fn features_of(parent: Features, declared: &DynamicMessage) -> Features {
    match declared.get_field_by_name("options").as_deref() {
        Some(Value::Message(options)) => parent.overridden_by(options),
        _ => parent,
    }
}

fn for_each_item(
    message: &mut DynamicMessage,
    list: &str,
    mut visit: impl FnMut(&mut DynamicMessage),
) {
    if let Some(Value::List(items)) = message.get_field_by_name_mut(list) {
        for item in items {
            if let Value::Message(item) = item {
                visit(item);
            }
        }
    }
}

fn bool_option(message: &DynamicMessage, option: &str) -> bool {
    let options = message.get_field_by_name("options");
    let options = options.as_deref().and_then(Value::as_message);
    options.and_then(|options| options.get_field_by_name(option)?.as_bool()).unwrap_or(false)
}

/// A string field of a descriptor; empty if it is absent.
pub(super) fn string_field(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An enum field of a descriptor; 0 if it is absent.
pub(super) fn enum_field(message: &DynamicMessage, field: &str) -> i32 {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_enum_number).unwrap_or(0)
}

fn set_enum_field(message: &mut DynamicMessage, field: &str, number: i32) {
    set_field(message, field, Value::EnumNumber(number));
}

/// Sets a field of a descriptor.
pub(super) fn set_field(message: &mut DynamicMessage, field: &str, value: Value) {
    // The descriptors of descriptors are the linker's own, so tests find a field of another type.
    let _ = message.try_set_field_by_name(field, value);
}
