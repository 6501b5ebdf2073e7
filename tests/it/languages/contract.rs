//! The contract as input of code generators of other languages.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

/// Java's generator makes several getters for one field: `getTopicBytes` for a string `topic`. A
/// field `topic_bytes` in the same message does not compile, and only users of Java would notice.
#[test]
fn no_two_fields_of_a_message_make_the_same_getter_in_java() {
    let mut clashes = Vec::new();
    for descriptors in [tidings::proto::DESCRIPTORS, tidings_registry::proto::DESCRIPTORS] {
        let pool = DescriptorPool::decode(descriptors).unwrap();
        let ours =
            pool.all_messages().filter(|message| message.package_name().starts_with("tidings."));
        clashes.extend(ours.flat_map(|message| clashes_of(&message)));
    }
    assert!(clashes.is_empty(), "{}", clashes.join("\n"));
}

fn clashes_of(message: &MessageDescriptor) -> Vec<String> {
    let mut by_getter: BTreeMap<String, String> = BTreeMap::new();
    let mut clashes = Vec::new();
    for field in message.fields() {
        for getter in getters(&field) {
            let Some(other) = by_getter.insert(getter.clone(), field.name().to_owned()) else {
                continue;
            };
            let (message, field) = (message.full_name(), field.name());
            clashes.push(format!("{message}: {field} and {other} both make get{getter}()"));
        }
    }
    clashes
}

/// The names of Java's getters for this field, without `get`.
fn getters(field: &FieldDescriptor) -> Vec<String> {
    let json = field.json_name();
    let name = json[..1].to_uppercase() + &json[1..];
    let mut suffixes: Vec<&str> = match (field.is_map(), field.cardinality(), field.kind()) {
        (true, ..) => vec!["", "Map", "Count", "OrDefault", "OrThrow"],
        (_, Cardinality::Repeated, Kind::Message(_)) => {
            vec!["", "List", "Count", "OrBuilder", "OrBuilderList", "Builder", "BuilderList"]
        }
        (_, Cardinality::Repeated, _) => vec!["", "List", "Count"],
        (.., Kind::Message(_)) => vec!["", "OrBuilder", "Builder"],
        _ => vec![""],
    };
    match field.kind() {
        Kind::String if !field.is_map() => suffixes.push("Bytes"),
        Kind::Enum(_) if field.is_list() => suffixes.extend(["Value", "ValueList"]),
        Kind::Enum(_) => suffixes.push("Value"),
        _ => {}
    }
    suffixes.into_iter().map(|suffix| format!("{name}{suffix}")).collect()
}
