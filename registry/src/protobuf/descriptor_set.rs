//! Files that come as descriptors: whatever a stranger put into them, the linker gets what a parser could have made.

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DynamicMessage, Value};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use crate::definition::InvalidSchema;

use super::{
    editions::{self, number, set_value, text},
    features::Edition,
    limits::FILES_MAX,
    source::meta,
};

/// The files of a set by their names, in its order. Options that nobody here knows are kept.
pub(super) fn files(bytes: &[u8]) -> Result<Vec<(String, DynamicMessage)>, InvalidSchema> {
    let broken = |what: &str| InvalidSchema::new(format!("the descriptor set {what}"));
    let set =
        meta("google.protobuf.FileDescriptorSet").ok_or_else(|| broken("is not understood"))?;
    let mut set = DynamicMessage::decode(set, bytes)
        .map_err(|error| broken(&format!("does not decode: {error}")))?;
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

/// Checks a file, and makes it one that links: proto2 or proto3.
pub(super) fn read(
    name: &str,
    mut file: DynamicMessage,
) -> Result<(FileDescriptorProto, Edition, Bytes), String> {
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
    if edition == Edition::Modern {
        set_value(&mut file, "syntax", Value::String("proto2".to_owned()));
    }
    let encoded: Bytes = file.encode_to_vec().into();
    let proto = FileDescriptorProto::decode(encoded.clone()).map_err(|error| error.to_string())?;
    if proto.name() != name {
        return Err("its name is not the one it is imported under".to_owned());
    }
    check(&proto)?;
    Ok((proto, edition, encoded))
}

/// The same file with other imports.
pub(super) fn importing(encoded: &Bytes, imports: &[String]) -> Option<Bytes> {
    let mut file =
        DynamicMessage::decode(meta("google.protobuf.FileDescriptorProto")?, encoded.clone())
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
