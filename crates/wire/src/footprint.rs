//! Computes the memory that a message will use before it is decoded.
//!
//! Two bytes can encode an empty message, which uses hundreds of bytes once it is decoded: 16 MiB
//! of empty events would use more than 3 GB. So a request is first walked by its descriptors, which
//! takes as long as reading its tags.

use std::collections::HashMap;

use prost::{
    Message as _,
    bytes::Buf,
    encoding::{WireType, decode_key, decode_varint},
};
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// The most memory that a request may use, besides its text. 4 MiB of JSON's shortest values, each
/// a `google.protobuf.Value`, use 80 MiB, and no accepted request is more expensive.
pub const BYTES_MAX: usize = 128 << 20;

/// Bytes of a field. The largest type of a field is `Bytes`.
const FIELD_BYTES: usize = 32;

/// Bytes of a oneof: the largest field and the discriminant.
const ONEOF_BYTES: usize = 40;

/// The nesting of messages; prost decodes no deeper one.
const DEPTH_MAX: usize = 100;

/// A request has more entries than fit into the memory for one request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "has so many entries that it would use more than {} MiB of memory; send fewer at a time",
    BYTES_MAX >> 20
)]
pub struct TooLarge;

/// The memory that messages of a contract use.
#[derive(Debug)]
pub struct Footprints {
    messages: Vec<MessageFootprint>,
    by_name: HashMap<String, usize>,
}

/// The memory that a message uses.
#[derive(Debug, Default)]
struct MessageFootprint {
    /// Bytes of an empty message.
    bytes: usize,
    /// The fields that can add to it.
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    tag: u32,
    /// The index of the message type. None: text or bytes.
    message: Option<usize>,
}

impl Footprints {
    /// Computes the footprints of the messages of an encoded `FileDescriptorSet`. There are none if
    /// it does not decode.
    pub fn of(descriptors: &[u8]) -> Self {
        let files = FileDescriptorSet::decode(descriptors).unwrap_or_default().file;
        let mut messages = Vec::new();
        for file in &files {
            collect_messages(file.package(), &file.message_type, &mut messages);
        }
        let by_name: HashMap<String, usize> =
            messages.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect();
        let messages = messages.iter().map(|(_, message)| footprint(message, &by_name)).collect();
        Self { messages, by_name }
    }

    /// Returns the bytes that an empty message of this name uses.
    pub fn empty(&self, name: &str) -> Option<usize> {
        Some(self.messages[*self.by_name.get(name)?].bytes)
    }

    /// Checks that an encoded message of this name does not use too much memory. Malformed messages
    /// pass: the decoder reports their faults.
    ///
    /// # Errors
    /// Returns an error if it would use more than [`BYTES_MAX`].
    pub fn check(&self, name: &str, message: &[u8]) -> Result<(), TooLarge> {
        let Some(&index) = self.by_name.get(name) else { return Ok(()) };
        let mut budget = BYTES_MAX;
        self.walk(index, message, DEPTH_MAX, &mut budget).map_or(Err(TooLarge), |()| Ok(()))
    }

    /// Subtracts the memory of an encoded message from the budget. None: the budget is exceeded.
    fn walk(&self, index: usize, mut rest: &[u8], depth: usize, budget: &mut usize) -> Option<()> {
        let footprint = &self.messages[index];
        while let Ok((tag, wire_type)) = decode_key(&mut rest) {
            let skipped = match wire_type {
                WireType::Varint => {
                    if decode_varint(&mut rest).is_err() {
                        break;
                    }
                    0
                }
                WireType::SixtyFourBit => 8,
                WireType::ThirtyTwoBit => 4,
                // The content of a group is counted as fields of the message, so that nothing is
                // left uncounted.
                WireType::StartGroup | WireType::EndGroup => 0,
                WireType::LengthDelimited => {
                    let Ok(length) = decode_varint(&mut rest) else { break };
                    let length = usize::try_from(length).ok();
                    let Some(inner) = length.and_then(|length| rest.get(..length)) else { break };
                    if let Some(field) = footprint.fields.iter().find(|field| field.tag == tag) {
                        match field.message {
                            None => *budget = budget.checked_sub(FIELD_BYTES)?,
                            Some(message) => {
                                *budget = budget.checked_sub(self.messages[message].bytes)?;
                                if depth > 0 {
                                    self.walk(message, inner, depth - 1, budget)?;
                                }
                            }
                        }
                    }
                    inner.len()
                }
            };
            if rest.len() < skipped {
                break;
            }
            rest.advance(skipped);
        }
        Some(())
    }
}

/// Collects all messages with their full names.
fn collect_messages<'a>(
    scope: &str,
    messages: &'a [DescriptorProto],
    all: &mut Vec<(String, &'a DescriptorProto)>,
) {
    for message in messages {
        let name = format!("{scope}.{}", message.name());
        collect_messages(&name, &message.nested_type, all);
        all.push((name.trim_start_matches('.').to_owned(), message));
    }
}

fn footprint(message: &DescriptorProto, by_name: &HashMap<String, usize>) -> MessageFootprint {
    let outside_of_oneofs =
        message.field.iter().filter(|field| field.oneof_index.is_none()).count();
    let fields = message.field.iter().filter_map(|field| {
        let is_list = field.label() == Label::Repeated;
        let message = match field.r#type() {
            Type::Message => Some(*by_name.get(field.type_name().trim_start_matches('.'))?),
            // A second value replaces the first.
            Type::String | Type::Bytes if is_list => None,
            _ => return None,
        };
        Some(Field { tag: u32::try_from(field.number()).ok()?, message })
    });
    let bytes = outside_of_oneofs * FIELD_BYTES + message.oneof_decl.len() * ONEOF_BYTES;
    MessageFootprint { bytes: bytes.max(FIELD_BYTES), fields: fields.collect() }
}
