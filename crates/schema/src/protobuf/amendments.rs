//! What is changed in a file between the parser and the linker, so that together they accept what
//! protoc accepts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    OneofDescriptorProto, UninterpretedOption,
};

use super::{literals, rewritten::Rewritten};

/// The names in JSON that fields have by the author or by default, where the linker gets another
/// one. By path.
pub(super) type JsonNames = BTreeMap<Vec<i32>, String>;

mod tag {
    pub(super) const MESSAGE: i32 = 4;
    pub(super) const FIELD: i32 = 2;
    pub(super) const NESTED: i32 = 3;
}

/// Amends what the parser made of a text.
pub(super) fn amend(file: &mut FileDescriptorProto, rewritten: &Rewritten) {
    file.message_type.iter_mut().for_each(|it| amend_message(it, rewritten));
    file.enum_type.iter_mut().for_each(|it| restore(&mut it.reserved_name, rewritten));
    each_option(file, &mut |option| {
        if let Some(value) = option.aggregate_value.as_mut() {
            *value = literals::with_colons(value);
        }
        // Which of the two counts is known where the option is: a value of an enum may be called
        // so.
        option.double_value = match option.identifier_value.as_deref() {
            Some("inf") => Some(f64::INFINITY),
            Some("nan") => Some(f64::NAN),
            _ => return,
        };
    });
}

// As deep as messages nest: the parser accepts 31.
fn amend_message(message: &mut DescriptorProto, rewritten: &Rewritten) {
    restore(&mut message.reserved_name, rewritten);
    message.enum_type.iter_mut().for_each(|it| restore(&mut it.reserved_name, rewritten));
    name_oneofs(message);
    message.nested_type.iter_mut().for_each(|it| amend_message(it, rewritten));
}

fn restore(names: &mut [String], rewritten: &Rewritten) {
    for name in names {
        if let Some(written) = rewritten.reserved_name(name) {
            name.clone_from(written);
        }
    }
}

/// Names the oneofs that `optional` makes up as protoc does: they go out of the way of fields and
/// of other oneofs.
fn name_oneofs(message: &mut DescriptorProto) {
    let made_up: BTreeMap<usize, String> = message
        .field
        .iter()
        .filter(|it| it.proto3_optional())
        .filter_map(|it| Some((usize::try_from(it.oneof_index?).ok()?, it.name().to_owned())))
        .collect();
    if made_up.is_empty() {
        return;
    }
    let declared = |(at, _): &(usize, &OneofDescriptorProto)| !made_up.contains_key(at);
    let oneofs = message.oneof_decl.iter().enumerate().filter(declared);
    let mut names: HashSet<String> = message
        .field
        .iter()
        .map(|it| it.name().to_owned())
        .chain(oneofs.map(|(_, it)| it.name().to_owned()))
        .collect();
    for (at, field) in made_up {
        let mut name = if field.starts_with('_') { field } else { format!("_{field}") };
        while names.contains(&name) {
            name.insert(0, 'X');
        }
        if let Some(oneof) = message.oneof_decl.get_mut(at) {
            oneof.name = Some(name.clone());
        }
        names.insert(name);
    }
}

/// Visits the options of all declarations of a file that are not interpreted yet.
pub(super) fn each_option(
    file: &mut FileDescriptorProto,
    visit: &mut impl FnMut(&mut UninterpretedOption),
) {
    all(file.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
    file.message_type.iter_mut().for_each(|it| each_of_message(it, visit));
    file.enum_type.iter_mut().for_each(|it| each_of_enum(it, visit));
    each_of_fields(&mut file.extension, visit);
    for service in &mut file.service {
        all(service.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
        for method in &mut service.method {
            all(method.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
        }
    }
}

// As deep as messages nest: the parser accepts 31.
fn each_of_message(
    message: &mut DescriptorProto,
    visit: &mut impl FnMut(&mut UninterpretedOption),
) {
    all(message.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
    for range in &mut message.extension_range {
        all(range.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
    }
    for oneof in &mut message.oneof_decl {
        all(oneof.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
    }
    each_of_fields(&mut message.field, visit);
    each_of_fields(&mut message.extension, visit);
    message.enum_type.iter_mut().for_each(|it| each_of_enum(it, visit));
    message.nested_type.iter_mut().for_each(|it| each_of_message(it, visit));
}

fn each_of_fields(
    fields: &mut [FieldDescriptorProto],
    visit: &mut impl FnMut(&mut UninterpretedOption),
) {
    for field in fields {
        all(field.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
    }
}

fn each_of_enum(kind: &mut EnumDescriptorProto, visit: &mut impl FnMut(&mut UninterpretedOption)) {
    all(kind.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
    for value in &mut kind.value {
        all(value.options.as_mut().map(|it| &mut it.uninterpreted_option), visit);
    }
}

fn all(
    options: Option<&mut Vec<UninterpretedOption>>,
    visit: &mut impl FnMut(&mut UninterpretedOption),
) {
    options.into_iter().flatten().for_each(visit);
}

/// Makes the values of options texts that are none, where the linker wants texts: its message
/// quotes the option. Bytes stay as they are. False: there are none.
pub(super) fn make_texts(file: &mut FileDescriptorProto, messages: &[String]) -> bool {
    let mut found = false;
    each_option(file, &mut |option| {
        let name = format!("'{}'", option_name(option));
        if !messages.iter().any(|it| it.contains(&name)) {
            return;
        }
        if let Some(bytes) =
            option.string_value.as_mut().filter(|it| str::from_utf8(it.as_slice()).is_err())
        {
            *bytes = literals::text_of(bytes).into_bytes();
            found = true;
        }
        if let Some(written) = option.aggregate_value.as_mut()
            && let Some(texts) = literals::texts_within(written)
        {
            *written = texts;
            found = true;
        }
    });
    found
}

/// The name of an option as the linker quotes it.
fn option_name(option: &UninterpretedOption) -> String {
    let part = |it: &prost_types::uninterpreted_option::NamePart| match it.is_extension {
        true => format!("({})", it.name_part),
        false => it.name_part.clone(),
    };
    option.name.iter().map(part).collect::<Vec<_>>().join(".")
}

/// The names that fields of one message have in common in JSON, by path, and the names that keep
/// them apart there: their own, which readers of JSON accept as well.
pub(super) fn shared_json_names(file: &FileDescriptorProto) -> Vec<(Vec<i32>, SharedName)> {
    let mut shared = Vec::new();
    let mut open: Vec<(Vec<i32>, &DescriptorProto)> = below(&[], tag::MESSAGE, &file.message_type);
    while let Some((path, message)) = open.pop() {
        for (at, name) in shared_in(message) {
            shared.push((child(&path, tag::FIELD, at), name));
        }
        open.extend(below(&path, tag::NESTED, &message.nested_type));
    }
    shared
}

/// A name in JSON that several fields of a message have.
#[derive(Debug, PartialEq)]
pub(super) struct SharedName {
    pub(super) written: String,
    pub(super) own: String,
}

fn shared_in(message: &DescriptorProto) -> BTreeMap<usize, SharedName> {
    let mut names: Vec<String> = message.field.iter().map(json_name).collect();
    let mut shared: BTreeMap<usize, SharedName> = BTreeMap::new();
    // A name that moves out of the way of one may stand in that of another; each moves once.
    for _ in 0..=message.field.len() {
        let mut owners: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        let mut meeting = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            if let Some(other) = owners.insert(name.as_str(), at) {
                meeting.extend([at, other]);
            }
        }
        meeting.retain(|at| !shared.contains_key(at));
        if meeting.is_empty() {
            break;
        }
        for at in meeting {
            let (Some(name), Some(field)) = (names.get_mut(at), message.field.get(at)) else {
                continue;
            };
            let written = std::mem::replace(name, field.name().to_owned());
            shared.insert(at, SharedName { written, own: field.name().to_owned() });
        }
    }
    shared
}

/// Whether names of fields of one message differ in case and underscores alone. The linker refuses
/// that in proto3, where protoc no longer does.
pub(super) fn differ_in_case_alone(file: &FileDescriptorProto) -> bool {
    let mut open: Vec<&DescriptorProto> = file.message_type.iter().collect();
    while let Some(message) = open.pop() {
        let mut names = HashSet::with_capacity(message.field.len());
        let folded = |it: &FieldDescriptorProto| it.name().replace('_', "").to_ascii_lowercase();
        if !message.field.iter().all(|it| names.insert(folded(it))) {
            return true;
        }
        open.extend(&message.nested_type);
    }
    false
}

/// The name of a field in JSON: its author's, or by default.
pub(super) fn json_name(field: &FieldDescriptorProto) -> String {
    match &field.json_name {
        Some(name) => name.clone(),
        None => default_json_name(field.name()),
    }
}

/// The name in JSON of what is called so: without underscores, and what follows one in upper case.
pub(super) fn default_json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        match character {
            '_' => upper = true,
            _ => {
                json.push(if upper { character.to_ascii_uppercase() } else { character });
                upper = false;
            }
        }
    }
    json
}

/// Items of a list with their paths.
fn below<'a, T>(path: &[i32], field: i32, items: &'a [T]) -> Vec<(Vec<i32>, &'a T)> {
    items.iter().enumerate().map(|(at, it)| (child(path, field, at), it)).collect()
}

/// The path of an item of a list of what is at a path.
pub(super) fn child(path: &[i32], field: i32, at: usize) -> Vec<i32> {
    let mut path = path.to_vec();
    path.extend([field, i32::try_from(at).unwrap_or(i32::MAX)]);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(&str, Option<&str>)]) -> DescriptorProto {
        let field = |(name, json): &(&str, Option<&str>)| FieldDescriptorProto {
            name: Some((*name).to_owned()),
            json_name: json.map(str::to_owned),
            ..FieldDescriptorProto::default()
        };
        DescriptorProto { field: fields.iter().map(field).collect(), ..DescriptorProto::default() }
    }

    #[test]
    fn names_that_meet_in_json_are_kept_apart() {
        let own = |fields: &[(&str, Option<&str>)]| {
            shared_in(&message(fields)).into_iter().map(|(at, it)| (at, it.own)).collect::<Vec<_>>()
        };
        assert_eq!(own(&[("a_b", None), ("b", None)]), []);
        let both = [(0, "a_b".to_owned()), (1, "aB".to_owned())];
        assert_eq!(own(&[("a_b", None), ("aB", None)]), both);
        let three = own(&[("a_b", None), ("aB", None), ("c", Some("a_b"))]);
        assert_eq!(three.len(), 3, "{three:?}");
    }
}
