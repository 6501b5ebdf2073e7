//! Files that come as descriptors. They are untrusted, so they are checked to be what a parser
//! could have produced before the linker gets them.

use std::{borrow::Cow, collections::HashMap};

use bytes::{Buf as _, Bytes};
use prost::{
    Message,
    encoding::{self, DecodeContext, WireType},
};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use crate::definition::InvalidSchema;

use super::{
    editions::{self, enum_field, set_field, string_field},
    features::Edition,
    limits::FILES_MAX,
    linker_input::child_path,
    literals,
    parser_input::Visibility,
    well_known::meta_message,
};

/// Decodes the files of a set with their names, in set order. Unknown options are kept.
pub(super) fn files(bytes: &[u8]) -> Result<Vec<(String, DynamicMessage)>, InvalidSchema> {
    let invalid = |fault: &str| InvalidSchema::new(format!("the descriptor set {fault}"));
    let set = meta_message("google.protobuf.FileDescriptorSet")
        .ok_or_else(|| invalid("is not supported"))?;
    let decoded = DynamicMessage::decode(set.clone(), bytes).or_else(|error| {
        // In proto2 a default value may be a string that is not UTF-8.
        let bytes = with_valid_strings(&set, Bytes::copy_from_slice(bytes), 0).ok_or(error)?;
        DynamicMessage::decode(set, bytes.as_slice())
    });
    let mut set = decoded.map_err(|error| invalid(&format!("does not decode: {error}")))?;
    let Some(Value::List(files)) = set.take_field_by_name("file") else {
        return Err(invalid("has no files; create it with its imports"));
    };
    if files.len() > FILES_MAX {
        return Err(invalid(&format!("has {} files; the limit is {FILES_MAX}", files.len())));
    }
    let named = files.into_iter().filter_map(|file| match file {
        Value::Message(mut file) => {
            file.clear_field_by_name("source_code_info");
            Some((string_field(&file, "name"), file))
        }
        _ => None,
    });
    Ok(named.collect())
}

/// Replaces the strings of known options that are not UTF-8. `None` if there are none.
pub(super) fn with_valid_option_strings(pool: &DescriptorPool, encoded: &Bytes) -> Option<Vec<u8>> {
    let file = pool.get_message_by_name("google.protobuf.FileDescriptorProto")?;
    with_valid_strings(&file, encoded.clone(), 0)
        .filter(|replaced| replaced.as_slice() != encoded.as_ref())
}

/// Replaces the strings of a message that are not UTF-8. `None` if the bytes are not a message.
fn with_valid_strings(
    message: &MessageDescriptor,
    mut rest: Bytes,
    depth: usize,
) -> Option<Vec<u8>> {
    /// The recursion limit of prost.
    const DEPTH_MAX: usize = 100;
    let mut out = Vec::with_capacity(rest.len());
    while rest.has_remaining() {
        let remaining = rest.clone();
        let (tag, wire) = encoding::decode_key(&mut rest).ok()?;
        if wire != WireType::LengthDelimited {
            encoding::skip_field(wire, tag, &mut rest, DecodeContext::default()).ok()?;
            out.extend_from_slice(remaining.get(..remaining.len() - rest.len())?);
            continue;
        }
        let length = usize::try_from(encoding::decode_varint(&mut rest).ok()?).ok()?;
        if length > rest.len() {
            return None;
        }
        let value = rest.split_to(length);
        let field = message.get_field(tag).map(|field| field.kind());
        let value = match field.or_else(|| Some(message.get_extension(tag)?.kind())) {
            Some(Kind::Message(nested)) if depth < DEPTH_MAX => {
                with_valid_strings(&nested, value, depth + 1)?
            }
            Some(Kind::String) => literals::utf8_text(&value).into_bytes(),
            _ => value.to_vec(),
        };
        encoding::encode_key(tag, wire, &mut out);
        encoding::encode_varint(value.len() as u64, &mut out);
        out.extend(value);
    }
    Some(out)
}

/// A checked file.
pub(super) struct LinkableFile {
    pub(super) proto: FileDescriptorProto,
    pub(super) edition: Edition,
    pub(super) encoded: Bytes,
    pub(super) visibility: HashMap<Vec<i32>, Visibility>,
}

/// Checks a file and prepares it for the linker, as proto2 or proto3.
pub(super) fn prepare(name: &str, mut file: DynamicMessage) -> Result<LinkableFile, String> {
    let edition = match string_field(&file, "syntax").as_str() {
        "" | "proto2" => Edition::Proto2,
        "proto3" => Edition::Proto3,
        "editions" => {
            let number = enum_field(&file, "edition");
            editions::parse_edition(&number.to_string())
                .ok_or_else(|| format!("the edition {number} is not supported; the supported editions are 2023 and 2024"))?
        }
        other => return Err(format!("the syntax {other:?} is not supported")),
    };
    if edition.is_modern() {
        set_field(&mut file, "syntax", Value::String("proto2".to_owned()));
    }
    let encoded: Bytes = file.encode_to_vec().into();
    let proto = FileDescriptorProto::decode(encoded.clone()).map_err(|error| error.to_string())?;
    if proto.name() != name {
        return Err("the name of the file differs from the name of its import".to_owned());
    }
    check(&proto)?;
    let visibility = if edition.is_modern() { visibility(&file) } else { HashMap::new() };
    Ok(LinkableFile { proto, edition, encoded, visibility })
}

/// The declared visibility of the types of a file, by path.
fn visibility(file: &DynamicMessage) -> HashMap<Vec<i32>, Visibility> {
    const TYPES: [(&str, i32); 2] = [("message_type", 4), ("enum_type", 5)];
    const NESTED: [(&str, i32); 2] = [("nested_type", 3), ("enum_type", 4)];
    let mut visibilities = HashMap::new();
    let mut queue: Vec<(Vec<i32>, &DynamicMessage)> = vec![(Vec::new(), file)];
    while let Some((path, message)) = queue.pop() {
        for (list, tag) in if path.is_empty() { TYPES } else { NESTED } {
            let Some(Cow::Borrowed(Value::List(items))) = message.get_field_by_name(list) else {
                continue;
            };
            for (at, item) in items.iter().enumerate() {
                let Some(item) = item.as_message() else { continue };
                let path = child_path(&path, tag, at);
                let declared = match enum_field(item, "visibility") {
                    1 => Some(Visibility::Local),
                    2 => Some(Visibility::Export),
                    _ => None,
                };
                visibilities.extend(declared.map(|visibility| (path.clone(), visibility)));
                if list != "enum_type" {
                    queue.push((path, item));
                }
            }
        }
    }
    visibilities
}

/// The declaration at a path, which alternates fields and indices from the file down.
pub(super) fn declaration_mut<'a>(
    file: &'a mut DynamicMessage,
    path: &[i32],
) -> Option<&'a mut DynamicMessage> {
    let mut message = file;
    for segment in path.chunks_exact(2) {
        let [field, index] = segment else { return None };
        let list = message.get_field_by_number_mut(u32::try_from(*field).ok()?)?.as_list_mut()?;
        message = list.get_mut(usize::try_from(*index).ok()?)?.as_message_mut()?;
    }
    Some(message)
}

/// Replaces the imports of a file.
pub(super) fn with_imports(encoded: &Bytes, imports: &[String]) -> Option<Bytes> {
    let mut file = DynamicMessage::decode(
        meta_message("google.protobuf.FileDescriptorProto")?,
        encoded.clone(),
    )
    .ok()?;
    let imports = imports.iter().map(|name| Value::String(name.clone())).collect();
    set_field(&mut file, "dependency", Value::List(imports));
    file.clear_field_by_name("public_dependency");
    file.clear_field_by_name("weak_dependency");
    Some(file.encode_to_vec().into())
}

/// Checks that a parser could have produced the file. The linker panics on some files that are not.
fn check(file: &FileDescriptorProto) -> Result<(), String> {
    let package = file.package();
    if !package.is_empty() && !package.split('.').all(is_identifier) {
        return Err(format!("the package {package:?} is not a valid name"));
    }
    let options = file.options.as_ref();
    check_interpreted(options.is_none_or(|options| options.uninterpreted_option.is_empty()))?;
    file.message_type.iter().try_for_each(check_message)?;
    file.enum_type.iter().try_for_each(check_enum)?;
    file.extension.iter().try_for_each(|field| check_field(field, true))?;
    for service in &file.service {
        check_name(service.name())?;
        check_interpreted(
            service.options.as_ref().is_none_or(|options| options.uninterpreted_option.is_empty()),
        )?;
        for method in &service.method {
            check_name(method.name())?;
            let options = method.options.as_ref();
            check_interpreted(
                options.is_none_or(|options| options.uninterpreted_option.is_empty()),
            )?;
        }
    }
    Ok(())
}

// The recursion is as deep as messages nest: prost decodes 100 levels.
fn check_message(message: &DescriptorProto) -> Result<(), String> {
    check_name(message.name())?;
    let options = message.options.as_ref();
    check_interpreted(options.is_none_or(|options| options.uninterpreted_option.is_empty()))?;
    if options.is_some_and(|options| options.map_entry()) {
        let has = |number| {
            message.field.iter().any(|field| {
                field.number() == number
                    && field.label() == prost_types::field_descriptor_proto::Label::Optional
            })
        };
        if message.field.len() != 2 || !has(1) || !has(2) || !message.oneof_decl.is_empty() {
            return Err(format!("the map entry {} has no key or no value", message.name()));
        }
    }
    for range in &message.extension_range {
        check_interpreted(
            range.options.as_ref().is_none_or(|options| options.uninterpreted_option.is_empty()),
        )?;
        check_range(range.start(), range.end(), message.name())?;
    }
    for range in &message.reserved_range {
        check_range(range.start(), range.end(), message.name())?;
    }
    for oneof in &message.oneof_decl {
        check_name(oneof.name())?;
        let options = oneof.options.as_ref();
        check_interpreted(options.is_none_or(|options| options.uninterpreted_option.is_empty()))?;
    }
    message.field.iter().try_for_each(|field| check_field(field, false))?;
    message.extension.iter().try_for_each(|field| check_field(field, true))?;
    message.enum_type.iter().try_for_each(check_enum)?;
    message.nested_type.iter().try_for_each(check_message)
}

fn check_field(field: &FieldDescriptorProto, extension: bool) -> Result<(), String> {
    check_name(field.name())?;
    if extension != field.extendee.is_some() {
        return Err(format!(
            "the field {} is an extension without an extended message, or a field with one",
            field.name()
        ));
    }
    let options = field.options.as_ref();
    check_interpreted(options.is_none_or(|options| options.uninterpreted_option.is_empty()))
}

fn check_enum(kind: &EnumDescriptorProto) -> Result<(), String> {
    check_name(kind.name())?;
    if kind.value.is_empty() {
        return Err(format!("the enum {} has no values", kind.name()));
    }
    let options = kind.options.as_ref();
    check_interpreted(options.is_none_or(|options| options.uninterpreted_option.is_empty()))?;
    for range in &kind.reserved_range {
        if range.start() > range.end() {
            return Err(format!("a reserved range of {} ends before it starts", kind.name()));
        }
    }
    for value in &kind.value {
        check_name(value.name())?;
        let options = value.options.as_ref();
        check_interpreted(options.is_none_or(|options| options.uninterpreted_option.is_empty()))?;
    }
    Ok(())
}

fn check_range(start: i32, end: i32, owner: &str) -> Result<(), String> {
    if start < 1 || end <= start {
        return Err(format!("a range of {owner} ends before it starts"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    if is_identifier(name) { Ok(()) } else { Err(format!("{name:?} is not an identifier")) }
}

fn check_interpreted(is_interpreted: bool) -> Result<(), String> {
    if is_interpreted {
        return Ok(());
    }
    Err("the file has uninterpreted options; create it with protoc or buf".to_owned())
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
