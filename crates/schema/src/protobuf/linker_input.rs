//! Changes to a parsed file before it is linked, so that parser and linker together accept the
//! files that protoc accepts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    OneofDescriptorProto, UninterpretedOption,
};

use super::{literals, parser_input::ParserInput};

/// The JSON names of fields for which the linker gets another name, by path.
pub(super) type JsonNames = BTreeMap<Vec<i32>, String>;

mod tag {
    pub(super) const MESSAGE: i32 = 4;
    pub(super) const FIELD: i32 = 2;
    pub(super) const NESTED: i32 = 3;
}

/// Prepares a parsed text for the linker.
pub(super) fn prepare(file: &mut FileDescriptorProto, parser_input: &ParserInput) {
    file.message_type.iter_mut().for_each(|message| prepare_message(message, parser_input));
    file.enum_type.iter_mut().for_each(|kind| restore(&mut kind.reserved_name, parser_input));
    for_each_option(file, &mut |option| {
        if let Some(value) = option.aggregate_value.as_mut() {
            *value = literals::with_colons(value);
        }
        // The linker knows the type of the option: an enum value may have this name.
        option.double_value = match option.identifier_value.as_deref() {
            Some("inf") => Some(f64::INFINITY),
            Some("nan") => Some(f64::NAN),
            _ => return,
        };
    });
}

// The recursion is as deep as messages nest: the parser accepts 31 levels.
fn prepare_message(message: &mut DescriptorProto, parser_input: &ParserInput) {
    restore(&mut message.reserved_name, parser_input);
    message.enum_type.iter_mut().for_each(|kind| restore(&mut kind.reserved_name, parser_input));
    name_oneofs(message);
    message.nested_type.iter_mut().for_each(|nested| prepare_message(nested, parser_input));
}

fn restore(names: &mut [String], parser_input: &ParserInput) {
    for name in names {
        if let Some(original) = parser_input.reserved_name(name) {
            name.clone_from(original);
        }
    }
}

/// Names the synthetic oneofs of `optional` fields as protoc does, without collisions with fields
/// and other oneofs.
fn name_oneofs(message: &mut DescriptorProto) {
    let synthetic: BTreeMap<usize, String> = message
        .field
        .iter()
        .filter(|field| field.proto3_optional())
        .filter_map(|field| {
            Some((usize::try_from(field.oneof_index?).ok()?, field.name().to_owned()))
        })
        .collect();
    if synthetic.is_empty() {
        return;
    }
    let declared = |(at, _): &(usize, &OneofDescriptorProto)| !synthetic.contains_key(at);
    let oneofs = message.oneof_decl.iter().enumerate().filter(declared);
    let mut names: HashSet<String> = message
        .field
        .iter()
        .map(|field| field.name().to_owned())
        .chain(oneofs.map(|(_, oneof)| oneof.name().to_owned()))
        .collect();
    for (at, field) in synthetic {
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

/// Visits the uninterpreted options of all declarations of a file.
pub(super) fn for_each_option(
    file: &mut FileDescriptorProto,
    visit: &mut impl FnMut(&mut UninterpretedOption),
) {
    visit_all(file.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
    file.message_type.iter_mut().for_each(|message| visit_message(message, visit));
    file.enum_type.iter_mut().for_each(|kind| visit_enum(kind, visit));
    visit_fields(&mut file.extension, visit);
    for service in &mut file.service {
        visit_all(service.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
        for method in &mut service.method {
            visit_all(
                method.options.as_mut().map(|options| &mut options.uninterpreted_option),
                visit,
            );
        }
    }
}

// The recursion is as deep as messages nest: the parser accepts 31 levels.
fn visit_message(message: &mut DescriptorProto, visit: &mut impl FnMut(&mut UninterpretedOption)) {
    visit_all(message.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
    for range in &mut message.extension_range {
        visit_all(range.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
    }
    for oneof in &mut message.oneof_decl {
        visit_all(oneof.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
    }
    visit_fields(&mut message.field, visit);
    visit_fields(&mut message.extension, visit);
    message.enum_type.iter_mut().for_each(|kind| visit_enum(kind, visit));
    message.nested_type.iter_mut().for_each(|nested| visit_message(nested, visit));
}

fn visit_fields(
    fields: &mut [FieldDescriptorProto],
    visit: &mut impl FnMut(&mut UninterpretedOption),
) {
    for field in fields {
        visit_all(field.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
    }
}

fn visit_enum(kind: &mut EnumDescriptorProto, visit: &mut impl FnMut(&mut UninterpretedOption)) {
    visit_all(kind.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
    for value in &mut kind.value {
        visit_all(value.options.as_mut().map(|options| &mut options.uninterpreted_option), visit);
    }
}

fn visit_all(
    options: Option<&mut Vec<UninterpretedOption>>,
    visit: &mut impl FnMut(&mut UninterpretedOption),
) {
    options.into_iter().flatten().for_each(visit);
}

/// Replaces option values that are not UTF-8 in string options, which the linker quotes in its
/// messages. Values of bytes options stay unchanged. Returns whether anything was replaced.
pub(super) fn replace_invalid_strings(file: &mut FileDescriptorProto, messages: &[String]) -> bool {
    let mut replaced = false;
    for_each_option(file, &mut |option| {
        let name = format!("'{}'", option_name(option));
        if !messages.iter().any(|text| text.contains(&name)) {
            return;
        }
        if let Some(bytes) =
            option.string_value.as_mut().filter(|bytes| str::from_utf8(bytes.as_slice()).is_err())
        {
            *bytes = literals::utf8_text(bytes).into_bytes();
            replaced = true;
        }
        if let Some(value) = option.aggregate_value.as_mut()
            && let Some(texts) = literals::with_valid_literals(value)
        {
            *value = texts;
            replaced = true;
        }
    });
    replaced
}

/// The name of an option as quoted by the linker.
fn option_name(option: &UninterpretedOption) -> String {
    let format_part = |format_part: &prost_types::uninterpreted_option::NamePart| match format_part
        .is_extension
    {
        true => format!("({})", format_part.name_part),
        false => format_part.name_part.clone(),
    };
    option.name.iter().map(format_part).collect::<Vec<_>>().join(".")
}

/// The JSON names that several fields of a message share, by path, with unique replacements: the
/// source names, which JSON readers accept as well.
pub(super) fn shared_json_names(file: &FileDescriptorProto) -> Vec<(Vec<i32>, SharedName)> {
    let mut shared = Vec::new();
    let mut queue: Vec<(Vec<i32>, &DescriptorProto)> =
        items_with_paths(&[], tag::MESSAGE, &file.message_type);
    while let Some((path, message)) = queue.pop() {
        for (at, name) in shared_in(message) {
            shared.push((child_path(&path, tag::FIELD, at), name));
        }
        queue.extend(items_with_paths(&path, tag::NESTED, &message.nested_type));
    }
    shared
}

/// A JSON name that several fields of a message share.
#[derive(Debug, PartialEq)]
pub(super) struct SharedName {
    pub(super) shared: String,
    pub(super) replacement: String,
}

fn shared_in(message: &DescriptorProto) -> BTreeMap<usize, SharedName> {
    let mut names: Vec<String> = message.field.iter().map(json_name).collect();
    let mut shared: BTreeMap<usize, SharedName> = BTreeMap::new();
    // A replacement may collide with another name. Each name is replaced at most once.
    for _ in 0..=message.field.len() {
        let mut owners: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        let mut colliding = BTreeSet::new();
        for (at, name) in names.iter().enumerate() {
            if let Some(other) = owners.insert(name.as_str(), at) {
                colliding.extend([at, other]);
            }
        }
        colliding.retain(|at| !shared.contains_key(at));
        if colliding.is_empty() {
            break;
        }
        for at in colliding {
            let (Some(name), Some(field)) = (names.get_mut(at), message.field.get(at)) else {
                continue;
            };
            let replacement = field.name().to_owned();
            let shared_name = std::mem::replace(name, field.name().to_owned());
            shared.insert(at, SharedName { shared: shared_name, replacement });
        }
    }
    shared
}

/// Whether field names of one message differ only in case and underscores. The linker rejects this
/// in proto3; protoc accepts it.
pub(super) fn differ_only_in_case(file: &FileDescriptorProto) -> bool {
    let mut queue: Vec<&DescriptorProto> = file.message_type.iter().collect();
    while let Some(message) = queue.pop() {
        let mut names = HashSet::with_capacity(message.field.len());
        let folded =
            |field: &FieldDescriptorProto| field.name().replace('_', "").to_ascii_lowercase();
        if !message.field.iter().all(|field| names.insert(folded(field))) {
            return true;
        }
        queue.extend(&message.nested_type);
    }
    false
}

/// The JSON name of a field: `json_name`, or the default.
pub(super) fn json_name(field: &FieldDescriptorProto) -> String {
    match &field.json_name {
        Some(name) => name.clone(),
        None => default_json_name(field.name()),
    }
}

/// The default JSON name: underscores are removed, and the letters after them are in upper case.
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

fn items_with_paths<'a, T>(path: &[i32], field: i32, items: &'a [T]) -> Vec<(Vec<i32>, &'a T)> {
    items.iter().enumerate().map(|(at, item)| (child_path(path, field, at), item)).collect()
}

/// The path of item `at` in the list `field` of the declaration at `path`.
pub(super) fn child_path(path: &[i32], field: i32, at: usize) -> Vec<i32> {
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
    fn shared_json_names_get_unique_replacements() {
        let replacements = |fields: &[(&str, Option<&str>)]| {
            shared_in(&message(fields))
                .into_iter()
                .map(|(at, name)| (at, name.replacement))
                .collect::<Vec<_>>()
        };
        assert_eq!(replacements(&[("a_b", None), ("b", None)]), []);
        let both = [(0, "a_b".to_owned()), (1, "aB".to_owned())];
        assert_eq!(replacements(&[("a_b", None), ("aB", None)]), both);
        let three = replacements(&[("a_b", None), ("aB", None), ("c", Some("a_b"))]);
        assert_eq!(three.len(), 3, "{three:?}");
    }
}
