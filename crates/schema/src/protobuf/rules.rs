//! All rules, by the ids that findings carry.

/// Id and purpose of every rule of Protobuf, in the order of the ids.
pub const RULES: [(&str, &str); 42] = [
    ("PROTOBUF_BOOL_JSON", "a bool and an integer share bytes and not JSON"),
    ("PROTOBUF_ENUM_ALIAS_CHANGED", "JSON is written with the first name of a number"),
    ("PROTOBUF_ENUM_NAME_REUSED", "a value's name never comes back with another number"),
    ("PROTOBUF_ENUM_NUMBER_REUSED", "a value's number never comes back with another name"),
    ("PROTOBUF_ENUM_OPENNESS_CHANGED", "open and closed enums treat unknown numbers differently"),
    ("PROTOBUF_ENUM_REMOVED", "an enum that no message uses is gone from its file"),
    ("PROTOBUF_ENUM_VALUE_ADDED", "readers that run now do not know a new value"),
    ("PROTOBUF_ENUM_VALUE_NAME_CHANGED", "JSON has the names of values"),
    ("PROTOBUF_ENUM_VALUE_NUMBER_CHANGED", "a value keeps its number"),
    ("PROTOBUF_ENUM_VALUE_REMOVED", "old data has the values that it was written with"),
    ("PROTOBUF_EXTENSION_NUMBER_USED", "a number that was open to extensions may be in use"),
    ("PROTOBUF_EXTENSION_RANGE_REMOVED", "extensions keep the numbers that they may use"),
    ("PROTOBUF_FIELD_ADDED", "a new field under a new number is set aside by old readers"),
    ("PROTOBUF_FIELD_CARDINALITY_CHANGED", "one value, a list and a map are read differently"),
    ("PROTOBUF_FIELD_DEFAULT_CHANGED", "what is absent means the same to all readers"),
    ("PROTOBUF_FIELD_JSON_FORM_CHANGED", "some well-known types have a JSON of their own"),
    ("PROTOBUF_FIELD_JSON_NAME_CHANGED", "JSON has the names of fields"),
    ("PROTOBUF_FIELD_NAME_REUSED", "a field's name never comes back under another number"),
    ("PROTOBUF_FIELD_NUMBER_CHANGED", "a field keeps its number"),
    ("PROTOBUF_FIELD_NUMBER_REUSED", "a field's number never comes back as another field"),
    ("PROTOBUF_FIELD_PACKING_CHANGED", "packed or not: parsers read both"),
    ("PROTOBUF_FIELD_PRESENCE_CHANGED", "with presence, absent and zero are told apart"),
    ("PROTOBUF_FIELD_REMOVED", "a removed field's number and name are reserved"),
    ("PROTOBUF_FIELD_RENAMED", "a new name in the source, the same in JSON"),
    ("PROTOBUF_FIELD_TYPE_CHANGED", "every value is read as it was written"),
    ("PROTOBUF_FIELD_TYPE_RENAMED", "a type of another name with the same structure"),
    ("PROTOBUF_FIELD_TYPE_REPLACED", "another message type is another meaning"),
    ("PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED", "text that one side writes the other takes"),
    ("PROTOBUF_JSON_FORMAT_CHANGED", "a name in JSON is the name of one field"),
    ("PROTOBUF_MESSAGE_ADDED", "a new message in a file has no readers yet"),
    ("PROTOBUF_MESSAGE_REMOVED", "a file keeps the messages that somebody may read or write"),
    ("PROTOBUF_MESSAGE_RENAMED", "the event's message keeps its name"),
    ("PROTOBUF_MESSAGE_REPLACED", "the event's message stays the same message"),
    ("PROTOBUF_MESSAGE_SET_CHANGED", "message sets have an encoding of their own"),
    ("PROTOBUF_ONEOF_JOINED", "what old data has together is no choice"),
    ("PROTOBUF_ONEOF_LEFT", "what running readers hold to be a choice stays one"),
    ("PROTOBUF_PACKAGE_CHANGED", "types keep their full names"),
    ("PROTOBUF_REQUIRED_ADDED", "old data may lack what is required now"),
    ("PROTOBUF_REQUIRED_REMOVED", "running readers refuse data without what they require"),
    ("PROTOBUF_RESERVED_REMOVED", "what is reserved stays reserved"),
    ("PROTOBUF_RESERVED_USED", "what is reserved is not used"),
    ("PROTOBUF_TOO_COMPLEX", "the work of a comparison is bounded"),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn ids(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the sources are there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                ids(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("rules.rs") {
                let text = fs::read_to_string(&path).expect("a source is a text");
                let ids = text.split('"').filter(|it| it.starts_with("PROTOBUF_"));
                found.extend(ids.map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_rule_is_listed() {
        let mut found = BTreeSet::new();
        ids(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protobuf"), &mut found);
        let listed: BTreeSet<String> = RULES.iter().map(|(id, _)| (*id).to_owned()).collect();
        assert_eq!(listed, found);
        assert!(RULES.is_sorted_by_key(|(id, _)| *id));
    }
}
