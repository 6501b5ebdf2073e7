//! All rules, by the ids in findings.

/// The id and purpose of every Protobuf rule, sorted by id.
pub const RULES: [(&str, &str); 42] = [
    ("PROTOBUF_BOOL_JSON", "a bool and an integer share their bytes and not their JSON"),
    ("PROTOBUF_ENUM_ALIAS_CHANGED", "JSON contains the first name of a number"),
    ("PROTOBUF_ENUM_NAME_REUSED", "the name of a value never returns with another number"),
    ("PROTOBUF_ENUM_NUMBER_REUSED", "the number of a value never returns with another name"),
    ("PROTOBUF_ENUM_OPENNESS_CHANGED", "open and closed enums treat unknown numbers differently"),
    ("PROTOBUF_ENUM_REMOVED", "an enum that no message uses was removed from its file"),
    ("PROTOBUF_ENUM_VALUE_ADDED", "running readers do not know a new value"),
    ("PROTOBUF_ENUM_VALUE_NAME_CHANGED", "JSON contains the names of values"),
    ("PROTOBUF_ENUM_VALUE_NUMBER_CHANGED", "a value keeps its number"),
    ("PROTOBUF_ENUM_VALUE_REMOVED", "old data contains the values that it was written with"),
    ("PROTOBUF_EXTENSION_NUMBER_USED", "a number from an extension range may be in use"),
    ("PROTOBUF_EXTENSION_RANGE_REMOVED", "extensions keep the numbers that they may use"),
    ("PROTOBUF_FIELD_ADDED", "old readers ignore a field under a new number"),
    ("PROTOBUF_FIELD_CARDINALITY_CHANGED", "one value, a list and a map are read differently"),
    ("PROTOBUF_FIELD_DEFAULT_CHANGED", "an absent field has the same meaning for all readers"),
    ("PROTOBUF_FIELD_JSON_FORM_CHANGED", "some well-known types have a JSON form of their own"),
    ("PROTOBUF_FIELD_JSON_NAME_CHANGED", "JSON contains the names of fields"),
    ("PROTOBUF_FIELD_NAME_REUSED", "the name of a field never returns under another number"),
    ("PROTOBUF_FIELD_NUMBER_CHANGED", "a field keeps its number"),
    ("PROTOBUF_FIELD_NUMBER_REUSED", "the number of a field never returns as another field"),
    ("PROTOBUF_FIELD_PACKING_CHANGED", "packed or not: parsers read both"),
    ("PROTOBUF_FIELD_PRESENCE_CHANGED", "with presence, absent and zero are distinguished"),
    ("PROTOBUF_FIELD_REMOVED", "the number and the name of a removed field are reserved"),
    ("PROTOBUF_FIELD_RENAMED", "a new name in the source, the same in JSON"),
    ("PROTOBUF_FIELD_TYPE_CHANGED", "every value is read unchanged"),
    ("PROTOBUF_FIELD_TYPE_RENAMED", "a type of another name with the same structure"),
    ("PROTOBUF_FIELD_TYPE_REPLACED", "another message type has another meaning"),
    (
        "PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED",
        "text that one side writes is accepted by the other",
    ),
    ("PROTOBUF_JSON_FORMAT_CHANGED", "a JSON name belongs to one field"),
    ("PROTOBUF_MESSAGE_ADDED", "a new message in a file has no readers yet"),
    ("PROTOBUF_MESSAGE_REMOVED", "a file keeps the messages that readers or writers may use"),
    ("PROTOBUF_MESSAGE_RENAMED", "the event's message keeps its name"),
    ("PROTOBUF_MESSAGE_REPLACED", "the event's message stays the same message"),
    ("PROTOBUF_MESSAGE_SET_CHANGED", "message sets have a special encoding"),
    ("PROTOBUF_ONEOF_JOINED", "fields that old data sets together are no choice"),
    ("PROTOBUF_ONEOF_LEFT", "a choice of running readers stays one"),
    ("PROTOBUF_PACKAGE_CHANGED", "types keep their full names"),
    ("PROTOBUF_REQUIRED_ADDED", "old data may lack a field that becomes required"),
    (
        "PROTOBUF_REQUIRED_REMOVED",
        "running readers reject data without the fields that they require",
    ),
    ("PROTOBUF_RESERVED_REMOVED", "reserved numbers and names stay reserved"),
    ("PROTOBUF_RESERVED_USED", "reserved numbers and names are not used"),
    ("PROTOBUF_TOO_COMPLEX", "the work of a comparison is bounded"),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn collect_ids(folder: &Path, in_sources: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("the sources exist").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect_ids(&path, in_sources);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("rules.rs")
            {
                let text = fs::read_to_string(&path).expect("a source is UTF-8");
                let ids = text.split('"').filter(|text| text.starts_with("PROTOBUF_"));
                in_sources.extend(ids.map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_rule_is_listed() {
        let mut in_sources = BTreeSet::new();
        collect_ids(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protobuf"), &mut in_sources);
        let listed: BTreeSet<String> = RULES.iter().map(|(id, _)| (*id).to_owned()).collect();
        assert_eq!(listed, in_sources);
        assert!(RULES.is_sorted_by_key(|(id, _)| *id));
    }
}
