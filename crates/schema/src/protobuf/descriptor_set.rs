//! Files that come as descriptors: whatever a stranger put into them, the linker gets what a parser could have made.

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
    amendments::child,
    editions::{self, number, set_value, text},
    features::Edition,
    limits::FILES_MAX,
    literals,
    rewritten::Visibility,
    well_known::meta_message,
};

/// The files of a set by their names, in its order. Options that nobody here knows are kept.
pub(super) fn files(bytes: &[u8]) -> Result<Vec<(String, DynamicMessage)>, InvalidSchema> {
    let broken = |what: &str| InvalidSchema::new(format!("the descriptor set {what}"));
    let set = meta_message("google.protobuf.FileDescriptorSet")
        .ok_or_else(|| broken("is not understood"))?;
    let decoded = DynamicMessage::decode(set.clone(), bytes).or_else(|error| {
        // In proto2 a default may be a string that is no UTF-8.
        let bytes = with_texts(&set, Bytes::copy_from_slice(bytes), 0).ok_or(error)?;
        DynamicMessage::decode(set, bytes.as_slice())
    });
    let mut set = decoded.map_err(|error| broken(&format!("does not decode: {error}")))?;
    let Some(Value::List(files)) = set.take_field_by_name("file") else {
        return Err(broken("has no files; make it with its imports"));
    };
    if files.len() > FILES_MAX {
        return Err(broken(&format!("has {} files; {FILES_MAX} are the most", files.len())));
    }
    let named = files.into_iter().filter_map(|file| match file {
        Value::Message(mut file) => {
            file.clear_field_by_name("source_code_info");
            Some((text(&file, "name"), file))
        }
        _ => None,
    });
    Ok(named.collect())
}

/// A file with texts in place of the strings of its options that are none, as far as the options
/// are known. None: all are texts.
pub(super) fn with_text_options(pool: &DescriptorPool, encoded: &Bytes) -> Option<Vec<u8>> {
    let file = pool.get_message_by_name("google.protobuf.FileDescriptorProto")?;
    with_texts(&file, encoded.clone(), 0).filter(|it| it.as_slice() != encoded.as_ref())
}

/// The same message with texts in place of strings that are none. None: it is no message.
fn with_texts(message: &MessageDescriptor, mut rest: Bytes, depth: usize) -> Option<Vec<u8>> {
    /// As deep as prost decodes.
    const DEPTH_MAX: usize = 100;
    let mut out = Vec::with_capacity(rest.len());
    while rest.has_remaining() {
        let before = rest.clone();
        let (tag, wire) = encoding::decode_key(&mut rest).ok()?;
        if wire != WireType::LengthDelimited {
            encoding::skip_field(wire, tag, &mut rest, DecodeContext::default()).ok()?;
            out.extend_from_slice(before.get(..before.len() - rest.len())?);
            continue;
        }
        let length = usize::try_from(encoding::decode_varint(&mut rest).ok()?).ok()?;
        if length > rest.len() {
            return None;
        }
        let value = rest.split_to(length);
        let field = message.get_field(tag).map(|it| it.kind());
        let value = match field.or_else(|| Some(message.get_extension(tag)?.kind())) {
            Some(Kind::Message(nested)) if depth < DEPTH_MAX => {
                with_texts(&nested, value, depth + 1)?
            }
            Some(Kind::String) => literals::text_of(&value).into_bytes(),
            _ => value.to_vec(),
        };
        encoding::encode_key(tag, wire, &mut out);
        encoding::encode_varint(value.len() as u64, &mut out);
        out.extend(value);
    }
    Some(out)
}

/// A file that links.
pub(super) struct Read {
    pub(super) proto: FileDescriptorProto,
    pub(super) edition: Edition,
    pub(super) encoded: Bytes,
    pub(super) visibility: HashMap<Vec<i32>, Visibility>,
}

/// Checks a file, and makes it one that links: proto2 or proto3.
pub(super) fn read(name: &str, mut file: DynamicMessage) -> Result<Read, String> {
    let edition = match text(&file, "syntax").as_str() {
        "" | "proto2" => Edition::Proto2,
        "proto3" => Edition::Proto3,
        "editions" => {
            let number = number(&file, "edition");
            editions::edition(&number.to_string())
                .ok_or_else(|| format!("the edition {number} is not known; 2023 and 2024 are"))?
        }
        other => return Err(format!("the syntax {other:?} is not known")),
    };
    if edition.is_modern() {
        set_value(&mut file, "syntax", Value::String("proto2".to_owned()));
    }
    let encoded: Bytes = file.encode_to_vec().into();
    let proto = FileDescriptorProto::decode(encoded.clone()).map_err(|error| error.to_string())?;
    if proto.name() != name {
        return Err("its name is not the one it is imported under".to_owned());
    }
    check(&proto)?;
    let visibility = if edition.is_modern() { visibility(&file) } else { HashMap::new() };
    Ok(Read { proto, edition, encoded, visibility })
}

/// Who may use the types of a file, by path.
fn visibility(file: &DynamicMessage) -> HashMap<Vec<i32>, Visibility> {
    const TYPES: [(&str, i32); 2] = [("message_type", 4), ("enum_type", 5)];
    const NESTED: [(&str, i32); 2] = [("nested_type", 3), ("enum_type", 4)];
    let mut found = HashMap::new();
    let mut open: Vec<(Vec<i32>, &DynamicMessage)> = vec![(Vec::new(), file)];
    while let Some((path, message)) = open.pop() {
        for (list, tag) in if path.is_empty() { TYPES } else { NESTED } {
            let Some(Cow::Borrowed(Value::List(items))) = message.get_field_by_name(list) else {
                continue;
            };
            for (at, item) in items.iter().enumerate() {
                let Some(item) = item.as_message() else { continue };
                let path = child(&path, tag, at);
                let declared = match number(item, "visibility") {
                    1 => Some(Visibility::Local),
                    2 => Some(Visibility::Export),
                    _ => None,
                };
                found.extend(declared.map(|it| (path.clone(), it)));
                if list != "enum_type" {
                    open.push((path, item));
                }
            }
        }
    }
    found
}

/// The declaration at a path: fields and indices in turn, from the file down.
pub(super) fn at_mut<'a>(
    file: &'a mut DynamicMessage,
    path: &[i32],
) -> Option<&'a mut DynamicMessage> {
    let mut message = file;
    for step in path.chunks_exact(2) {
        let [field, index] = step else { return None };
        let list = message.get_field_by_number_mut(u32::try_from(*field).ok()?)?.as_list_mut()?;
        message = list.get_mut(usize::try_from(*index).ok()?)?.as_message_mut()?;
    }
    Some(message)
}

/// The same file with other imports.
pub(super) fn importing(encoded: &Bytes, imports: &[String]) -> Option<Bytes> {
    let mut file = DynamicMessage::decode(
        meta_message("google.protobuf.FileDescriptorProto")?,
        encoded.clone(),
    )
    .ok()?;
    let imports = imports.iter().map(|it| Value::String(it.clone())).collect();
    set_value(&mut file, "dependency", Value::List(imports));
    file.clear_field_by_name("public_dependency");
    file.clear_field_by_name("weak_dependency");
    Some(file.encode_to_vec().into())
}

/// The linker trusts descriptors to be what a parser makes, and panics on some that are not.
fn check(file: &FileDescriptorProto) -> Result<(), String> {
    let package = file.package();
    if !package.is_empty() && !package.split('.').all(is_identifier) {
        return Err(format!("the package {package:?} is not a name"));
    }
    let options = file.options.as_ref();
    interpreted(options.is_none_or(|it| it.uninterpreted_option.is_empty()))?;
    file.message_type.iter().try_for_each(check_message)?;
    file.enum_type.iter().try_for_each(check_enum)?;
    file.extension.iter().try_for_each(|it| check_field(it, true))?;
    for service in &file.service {
        named(service.name())?;
        interpreted(service.options.as_ref().is_none_or(|it| it.uninterpreted_option.is_empty()))?;
        for method in &service.method {
            named(method.name())?;
            let options = method.options.as_ref();
            interpreted(options.is_none_or(|it| it.uninterpreted_option.is_empty()))?;
        }
    }
    Ok(())
}

// As deep as messages nest: prost decodes 100 levels.
fn check_message(message: &DescriptorProto) -> Result<(), String> {
    named(message.name())?;
    let options = message.options.as_ref();
    interpreted(options.is_none_or(|it| it.uninterpreted_option.is_empty()))?;
    if options.is_some_and(|it| it.map_entry()) {
        let has = |number| {
            message.field.iter().any(|it| {
                it.number() == number
                    && it.label() == prost_types::field_descriptor_proto::Label::Optional
            })
        };
        if message.field.len() != 2 || !has(1) || !has(2) || !message.oneof_decl.is_empty() {
            return Err(format!(
                "{} is an entry of a map without a key and a value",
                message.name()
            ));
        }
    }
    for range in &message.extension_range {
        interpreted(range.options.as_ref().is_none_or(|it| it.uninterpreted_option.is_empty()))?;
        ordered(range.start(), range.end(), message.name())?;
    }
    for range in &message.reserved_range {
        ordered(range.start(), range.end(), message.name())?;
    }
    for oneof in &message.oneof_decl {
        named(oneof.name())?;
        let options = oneof.options.as_ref();
        interpreted(options.is_none_or(|it| it.uninterpreted_option.is_empty()))?;
    }
    message.field.iter().try_for_each(|it| check_field(it, false))?;
    message.extension.iter().try_for_each(|it| check_field(it, true))?;
    message.enum_type.iter().try_for_each(check_enum)?;
    message.nested_type.iter().try_for_each(check_message)
}

fn check_field(field: &FieldDescriptorProto, extension: bool) -> Result<(), String> {
    named(field.name())?;
    if extension != field.extendee.is_some() {
        return Err(format!(
            "the field {} extends nothing, or extends and is declared in a message",
            field.name()
        ));
    }
    let options = field.options.as_ref();
    interpreted(options.is_none_or(|it| it.uninterpreted_option.is_empty()))
}

fn check_enum(kind: &EnumDescriptorProto) -> Result<(), String> {
    named(kind.name())?;
    if kind.value.is_empty() {
        return Err(format!("the enum {} has no values", kind.name()));
    }
    let options = kind.options.as_ref();
    interpreted(options.is_none_or(|it| it.uninterpreted_option.is_empty()))?;
    for range in &kind.reserved_range {
        if range.start() > range.end() {
            return Err(format!("a reserved range of {} ends before it begins", kind.name()));
        }
    }
    for value in &kind.value {
        named(value.name())?;
        let options = value.options.as_ref();
        interpreted(options.is_none_or(|it| it.uninterpreted_option.is_empty()))?;
    }
    Ok(())
}

fn ordered(start: i32, end: i32, owner: &str) -> Result<(), String> {
    if start < 1 || end <= start {
        return Err(format!("a range of {owner} ends before it begins"));
    }
    Ok(())
}

fn named(name: &str) -> Result<(), String> {
    if is_identifier(name) { Ok(()) } else { Err(format!("{name:?} is not a name")) }
}

fn interpreted(yes: bool) -> Result<(), String> {
    if yes {
        return Ok(());
    }
    Err("it has options that were not interpreted; make it with protoc or buf".to_owned())
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|it| it.is_ascii_alphabetic() || it == b'_')
        && bytes.all(|it| it.is_ascii_alphanumeric() || it == b'_')
}
