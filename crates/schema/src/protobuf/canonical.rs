//! The canonical form: equal bytes for equal schemas, independent of how they were written.
//!
//! Its first half contains everything that readers and writers of the event depend on. Schemas that
//! differ only in the second half differ by a patch.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write};

use prost::Message as _;
use prost_reflect::{DescriptorPool, FileDescriptor};

use super::{
    compare::Roots,
    options::DeclaredOptions,
    ranges::Ranges,
    types::{Cardinality, Enum, Field, Kind, Message, Types},
    well_known,
};

/// Marks the first line of messages and enums whose JSON names may collide.
const LEGACY_JSON: &str = " legacy_json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CanonicalForm {
    noticeable: String,
    rest: String,
}

/// The messages and enums that are reachable from roots.
pub(super) struct ReachableTypes {
    pub(super) messages: BTreeSet<usize>,
    pub(super) enums: BTreeSet<usize>,
}

impl CanonicalForm {
    pub(super) fn of(pool: &DescriptorPool, types: &Types, roots: &Roots) -> Self {
        let reached = ReachableTypes::from(types, roots);
        let mut noticeable = String::from("tidings protobuf 1\n");
        let mut names: Vec<_> =
            roots.messages().iter().filter_map(|index| types.message(*index)).collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        for root in names {
            line(&mut noticeable, format_args!("root {}", root.name));
        }
        let mut rest = String::new();
        for message in
            sorted(reached.messages.iter().filter_map(|index| types.message(*index)), |message| {
                &message.name
            })
        {
            write_message(&mut noticeable, types, message);
            write_message_rest(&mut rest, message);
        }
        for kind in
            sorted(reached.enums.iter().filter_map(|index| types.enumeration(*index)), |kind| {
                &kind.name
            })
        {
            write_enum(&mut noticeable, kind);
            write_enum_rest(&mut rest, kind);
        }
        write_unreached(&mut rest, pool, types, roots, &reached);
        Self { noticeable, rest }
    }

    /// Whether the two are interchangeable for readers and writers. How a declaration's JSON names
    /// are checked is part of the form, because fingerprints are computed from it, but it does not
    /// affect readers: names that collide are reported as changed names.
    pub(super) fn is_equivalent(&self, other: &Self) -> bool {
        fn lines(form: &CanonicalForm) -> impl Iterator<Item = Cow<'_, str>> {
            form.noticeable.lines().map(|line| {
                let declares = line.starts_with("message ") || line.starts_with("enum ");
                if declares {
                    Cow::Owned(line.replace(LEGACY_JSON, ""))
                } else {
                    Cow::Borrowed(line)
                }
            })
        }
        lines(self).eq(lines(other))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        format!("{}--\n{}", self.noticeable, self.rest).into_bytes()
    }
}

impl ReachableTypes {
    pub(super) fn from(types: &Types, roots: &Roots) -> Self {
        let mut reached = Self {
            messages: roots.messages().iter().copied().collect(),
            enums: roots.enums().iter().copied().collect(),
        };
        let mut queue: Vec<usize> = roots.messages().to_vec();
        while let Some(index) = queue.pop() {
            let Some(message) = types.message(index) else { continue };
            for field in message.fields.values() {
                match field.kind {
                    Kind::Message(index) | Kind::Group(index) => {
                        if reached.messages.insert(index) {
                            queue.push(index);
                        }
                    }
                    Kind::Enum(index) => {
                        reached.enums.insert(index);
                    }
                    Kind::Scalar(_) => {}
                }
            }
        }
        reached
    }
}

fn write_message(form: &mut String, types: &Types, message: &Message) {
    let mut flags = String::new();
    for (set, flag) in [
        (message.message_set, " message_set"),
        (message.map_entry, " map_entry"),
        (message.legacy_json, LEGACY_JSON),
    ] {
        flags.push_str(if set { flag } else { "" });
    }
    line(form, format_args!("message {}{flags}", message.name));
    for field in message.fields.values() {
        write_field(form, types, field);
    }
    if !message.extension_ranges.is_empty() {
        line(form, format_args!(" extensions {}", message.extension_ranges));
    }
}

fn write_field(form: &mut String, types: &Types, field: &Field) {
    let label = match field.cardinality {
        Cardinality::Implicit => "implicit",
        Cardinality::Explicit => "explicit",
        Cardinality::Required => "required",
        Cardinality::Repeated if field.packed => "packed",
        Cardinality::Repeated => "repeated",
        Cardinality::Map => "map",
    };
    let kind = match field.kind {
        Kind::Scalar(_) => "",
        Kind::Enum(_) => "enum ",
        Kind::Message(_) => "message ",
        Kind::Group(_) => "",
    };
    let _ = write!(
        form,
        " {} {:?} json {:?} {label} {kind}{}",
        field.number,
        field.name,
        field.json_name,
        types.kind_name(field.kind)
    );
    if let Some(oneof) = &field.oneof {
        let _ = write!(form, " oneof {oneof}");
    }
    if let Some(default) = &field.default {
        let _ = write!(form, " default {default:?}");
    }
    if field.utf8 && field.cardinality != Cardinality::Map {
        form.push_str(" utf8");
    }
    if field.extension {
        form.push_str(" extension");
    }
    form.push('\n');
}

fn write_enum(form: &mut String, kind: &Enum) {
    let closed = if kind.closed { " closed" } else { " open" };
    let legacy = if kind.legacy_json { LEGACY_JSON } else { "" };
    line(form, format_args!("enum {}{closed}{legacy} first {}", kind.name, kind.first));
    for (number, values) in &kind.values {
        let (first, others) = values.split_first().map_or((None, &[][..]), |(a, b)| (Some(a), b));
        // JSON is written with the first name; the order of the others is irrelevant.
        let mut others: Vec<&str> = others.iter().map(|value| value.name.as_str()).collect();
        others.sort_unstable();
        let first = first.map_or("", |value| value.name.as_str());
        line(form, format_args!(" {number} {first} {}", others.join(" ")));
    }
}

fn write_message_rest(form: &mut String, message: &Message) {
    write_reserved(form, &message.name, &message.reserved, &message.reserved_names);
    write_options(form, &message.name, &message.options);
    for field in message.fields.values() {
        write_options(form, &field.full_name, &field.options);
    }
}

fn write_enum_rest(form: &mut String, kind: &Enum) {
    write_reserved(form, &kind.name, &kind.reserved, &kind.reserved_names);
    write_options(form, &kind.name, &kind.options);
    for value in sorted(kind.values.values().flatten(), |value| &value.name) {
        write_options(form, &value.name, &value.options);
    }
}

fn write_reserved(form: &mut String, name: &str, numbers: &Ranges, names: &[String]) {
    if numbers.is_empty() && names.is_empty() {
        return;
    }
    let names: BTreeSet<&String> = names.iter().collect();
    line(form, format_args!("reserved {name} {numbers} {names:?}"));
}

fn write_options(form: &mut String, name: &str, options: &[u8]) {
    if options.is_empty() {
        return;
    }
    let _ = write!(form, "options {name} ");
    for byte in options {
        let _ = write!(form, "{byte:02x}");
    }
    form.push('\n');
}

/// Writes the other declarations of the files of the roots. Well-known files are the same
/// everywhere.
fn write_unreached(
    form: &mut String,
    pool: &DescriptorPool,
    types: &Types,
    roots: &Roots,
    reached: &ReachableTypes,
) {
    let files = files_of(pool, types, roots);
    let own: BTreeSet<&str> = files.iter().map(FileDescriptor::name).collect();
    let mut others: Vec<String> = Vec::new();
    for message in pool.all_messages().filter(|message| own.contains(message.parent_file().name()))
    {
        if let Some(index) = types.message_index(message.full_name())
            && !reached.messages.contains(&index)
            && let Some(message) = types.message(index)
        {
            let mut block = String::from("unreached ");
            write_message(&mut block, types, message);
            write_message_rest(&mut block, message);
            others.push(block);
        }
    }
    for kind in pool.all_enums().filter(|kind| own.contains(kind.parent_file().name())) {
        if let Some(index) = types.enum_index(kind.full_name())
            && !reached.enums.contains(&index)
            && let Some(kind) = types.enumeration(index)
        {
            let mut block = String::from("unreached ");
            write_enum(&mut block, kind);
            write_enum_rest(&mut block, kind);
            others.push(block);
        }
    }
    let declared = DeclaredOptions::of(files.iter().cloned());
    for file in &files {
        let mut block = String::new();
        if let Some(options) = declared.at(file.name(), &[]) {
            write_options(&mut block, "file", &options.encode_to_vec());
        }
        others.push(block);
        // Extensions of reachable messages are already written as fields.
        for extension in file.extensions() {
            let extended = extension.containing_message();
            let reached = types
                .message_index(extended.full_name())
                .is_some_and(|index| reached.messages.contains(&index));
            if !reached {
                others.push(format!(
                    "extension {} of {} {} {:?}\n",
                    extension.full_name(),
                    extended.full_name(),
                    extension.number(),
                    extension.kind()
                ));
            }
        }
        for service in file.services() {
            let mut methods: Vec<String> = service
                .methods()
                .map(|method| {
                    let options = declared.at(file.name(), method.path());
                    let options = options.map_or_else(Vec::new, |options| options.encode_to_vec());
                    format!(
                        " {} {} {} {} {} {options:02x?}\n",
                        method.name(),
                        method.is_client_streaming(),
                        method.input().full_name(),
                        method.is_server_streaming(),
                        method.output().full_name()
                    )
                })
                .collect();
            methods.sort_unstable();
            others.push(format!("service {}\n{}", service.full_name(), methods.concat()));
        }
    }
    others.sort_unstable();
    others.dedup();
    form.push_str(&others.concat());
}

/// The files of the roots and all their imports, without the well-known ones.
fn files_of(pool: &DescriptorPool, types: &Types, roots: &Roots) -> Vec<FileDescriptor> {
    let mut seen = BTreeSet::new();
    let mut queue: Vec<FileDescriptor> = Vec::new();
    let mut files = Vec::new();
    let messages = roots
        .messages()
        .iter()
        .filter_map(|index| types.message(*index))
        .filter_map(|message| Some(pool.get_message_by_name(&message.name)?.parent_file()));
    let enums = roots.enums().iter().filter_map(|index| types.enumeration(*index));
    let enums = enums.filter_map(|kind| Some(pool.get_enum_by_name(&kind.name)?.parent_file()));
    queue.extend(messages.chain(enums));
    while let Some(file) = queue.pop() {
        if well_known::is_shared(file.name()) || !seen.insert(file.name().to_owned()) {
            continue;
        }
        queue.extend(file.dependencies());
        files.push(file);
    }
    files
}

fn sorted<'a, T>(items: impl Iterator<Item = &'a T>, name: impl Fn(&T) -> &String) -> Vec<&'a T> {
    let mut items: Vec<&T> = items.collect();
    items.sort_by(|a, b| name(a).cmp(name(b)));
    items
}

fn line(form: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` does not fail.
    let _ = form.write_fmt(text);
    form.push('\n');
}
