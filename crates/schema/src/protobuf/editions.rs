//! Editions, for a linker that knows proto2 and proto3.
//!
//! A text of an edition is written as proto2 ([`super::rewritten`]). Once it is linked, what its
//! features say is written into the descriptors: groups for what is delimited, labels for what is
//! required, packing. A descriptor set of an edition takes the second half of this way.

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

/// The edition that a text names, if it does: `"2023"`.
pub(super) fn named_by(text: &str) -> Option<(usize, &str)> {
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

/// The edition of a number or a name. None: one that came after this was written.
pub(super) fn edition(name: &str) -> Option<Edition> {
    match name {
        "2023" | "1000" => Some(Edition::E2023),
        "2024" | "1001" => Some(Edition::E2024),
        _ => None,
    }
}

/// Writes what features say into a file's descriptor that was linked once.
pub(super) fn apply(file: &mut DynamicMessage) {
    let features = under(Features::of(Edition::E2023), file);
    each(file, "message_type", |message| apply_message(message, features));
    each(file, "extension", |field| apply_field(field, features, &HashSet::new()));
}

// As deep as messages nest: prost decodes 100 levels.
fn apply_message(message: &mut DynamicMessage, above: Features) {
    let features = under(above, message);
    let mut entries = HashSet::new();
    each(message, "nested_type", |nested| {
        if flag(nested, "map_entry") {
            entries.insert(text(nested, "name"));
        }
    });
    each(message, "nested_type", |nested| {
        if !flag(nested, "map_entry") {
            apply_message(nested, features);
        }
    });
    each(message, "field", |field| apply_field(field, features, &entries));
    each(message, "extension", |field| apply_field(field, features, &HashSet::new()));
}

fn apply_field(field: &mut DynamicMessage, above: Features, entries: &HashSet<String>) {
    let features = under(above, field);
    let (label, kind) = (number(field, "label"), number(field, "type"));
    let type_name = text(field, "type_name");
    let map = entries.contains(type_name.rsplit('.').next().unwrap_or_default());
    if features.presence == Presence::Required
        && label == LABEL_OPTIONAL
        && !field.has_field_by_name("oneof_index")
    {
        set(field, "label", LABEL_REQUIRED);
    }
    if features.delimited && kind == TYPE_MESSAGE && !map {
        set(field, "type", TYPE_GROUP);
    }
    let packs = !matches!(kind, TYPE_STRING | TYPE_GROUP | TYPE_MESSAGE | TYPE_BYTES);
    if features.packed
        && label == LABEL_REPEATED
        && packs
        && let Some(Value::Message(options)) = field.get_field_by_name_mut("options")
        && !options.has_field_by_name("packed")
    {
        set_value(options, "packed", Value::Bool(true));
    }
}

fn under(above: Features, declared: &DynamicMessage) -> Features {
    match declared.get_field_by_name("options").as_deref() {
        Some(Value::Message(options)) => above.under(options),
        _ => above,
    }
}

fn each(message: &mut DynamicMessage, list: &str, mut visit: impl FnMut(&mut DynamicMessage)) {
    if let Some(Value::List(items)) = message.get_field_by_name_mut(list) {
        for item in items {
            if let Value::Message(item) = item {
                visit(item);
            }
        }
    }
}

fn flag(message: &DynamicMessage, option: &str) -> bool {
    let options = message.get_field_by_name("options");
    let options = options.as_deref().and_then(Value::as_message);
    options.and_then(|it| it.get_field_by_name(option)?.as_bool()).unwrap_or(false)
}

/// A text of a descriptor; empty where it is absent.
pub(super) fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An enum of a descriptor; 0 where it is absent.
pub(super) fn number(message: &DynamicMessage, field: &str) -> i32 {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_enum_number).unwrap_or(0)
}

fn set(message: &mut DynamicMessage, field: &str, number: i32) {
    set_value(message, field, Value::EnumNumber(number));
}

/// Sets a field of a descriptor that has it.
pub(super) fn set_value(message: &mut DynamicMessage, field: &str, value: Value) {
    // The descriptors of descriptors are the linker's own, so a field of another type is a bug that tests see.
    let _ = message.try_set_field_by_name(field, value);
}
