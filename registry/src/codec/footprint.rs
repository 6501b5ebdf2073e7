//! What a message takes in memory, found out before it is decoded.
//!
//! Two bytes can be an empty message, and that is hundreds of bytes once it is decoded: 16 MiB of empty events would be more
//! than 3 GB. So a request is walked by its descriptors first, which takes as long as to read its tags.

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

/// Most that a request may take, beside the text in it. 4 MiB of JSON's shortest values, each a `google.protobuf.Value`, take
/// 80 MiB, and nothing that is taken is costlier.
pub const BYTES_MAX: usize = 128 << 20;

/// Bytes of a field: the largest of what there is is `Bytes`.
const FIELD_BYTES: usize = 32;

/// Bytes of a oneof: the largest field, and which one it is.
const ONEOF_BYTES: usize = 40;

/// Messages in messages: prost decodes no more.
const DEPTH_MAX: usize = 100;

/// A request has more entries than there is memory for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "has so many entries that it would take more than {} MiB of memory: send fewer at a time",
    BYTES_MAX >> 20
)]
pub struct TooLarge;

/// What the messages of a contract take.
#[derive(Debug)]
pub struct Footprints {
    shapes: Vec<Shape>,
    by_name: HashMap<String, usize>,
}

/// A message.
#[derive(Debug, Default)]
struct Shape {
    /// What it takes where it is empty.
    bytes: usize,
    /// Those that can make it take more.
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    tag: u32,
    /// None: text or bytes.
    message: Option<usize>,
}

impl Footprints {
    /// Of the messages of an encoded `FileDescriptorSet`; of none, where it is none.
    pub fn of(descriptors: &[u8]) -> Self {
        let files = FileDescriptorSet::decode(descriptors).unwrap_or_default().file;
        let mut messages = Vec::new();
        for file in &files {
            gather(file.package(), &file.message_type, &mut messages);
        }
        let by_name: HashMap<String, usize> =
            messages.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        let shapes = messages.iter().map(|(_, message)| shape(message, &by_name)).collect();
        Self { shapes, by_name }
    }

    /// What an empty message of this name takes.
    pub fn empty(&self, name: &str) -> Option<usize> {
        Some(self.shapes[*self.by_name.get(name)?].bytes)
    }

    /// Whether there is room for an encoded message of this name. What is not well formed has room: the decoder says
    /// what is wrong with it.
    ///
    /// # Errors
    /// If it would take more than [`BYTES_MAX`].
    pub fn check(&self, name: &str, message: &[u8]) -> Result<(), TooLarge> {
        let Some(&shape) = self.by_name.get(name) else { return Ok(()) };
        let mut room = BYTES_MAX;
        self.walk(shape, message, DEPTH_MAX, &mut room).map_or(Err(TooLarge), |()| Ok(()))
    }

    /// None: there is no room.
    fn walk(&self, shape: usize, mut rest: &[u8], depth: usize, room: &mut usize) -> Option<()> {
        let shape = &self.shapes[shape];
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
                // What is in a group is taken for fields of the message: nothing goes by uncounted.
                WireType::StartGroup | WireType::EndGroup => 0,
                WireType::LengthDelimited => {
                    let Ok(length) = decode_varint(&mut rest) else { break };
                    let Some(inner) = usize::try_from(length).ok().and_then(|it| rest.get(..it))
                    else {
                        break;
                    };
                    if let Some(field) = shape.fields.iter().find(|it| it.tag == tag) {
                        match field.message {
                            None => *room = room.checked_sub(FIELD_BYTES)?,
                            Some(message) => {
                                *room = room.checked_sub(self.shapes[message].bytes)?;
                                if depth > 0 {
                                    self.walk(message, inner, depth - 1, room)?;
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

/// All messages, with their full names.
fn gather<'a>(
    scope: &str,
    messages: &'a [DescriptorProto],
    all: &mut Vec<(String, &'a DescriptorProto)>,
) {
    for message in messages {
        let name = format!("{scope}.{}", message.name());
        gather(&name, &message.nested_type, all);
        all.push((name.trim_start_matches('.').to_owned(), message));
    }
}

fn shape(message: &DescriptorProto, by_name: &HashMap<String, usize>) -> Shape {
    let alone = message.field.iter().filter(|it| it.oneof_index.is_none()).count();
    let fields = message.field.iter().filter_map(|it| {
        let is_list = it.label() == Label::Repeated;
        let message = match it.r#type() {
            Type::Message => Some(*by_name.get(it.type_name().trim_start_matches('.'))?),
            // A second one takes the place of the first.
            Type::String | Type::Bytes if is_list => None,
            _ => return None,
        };
        Some(Field { tag: u32::try_from(it.number()).ok()?, message })
    });
    let bytes = alone * FIELD_BYTES + message.oneof_decl.len() * ONEOF_BYTES;
    Shape { bytes: bytes.max(FIELD_BYTES), fields: fields.collect() }
}

#[cfg(test)]
mod tests {
    use prost::Name as _;

    use super::*;
    use crate::proto::{DESCRIPTORS, v1};

    fn footprints() -> Footprints {
        Footprints::of(DESCRIPTORS)
    }

    #[test]
    fn an_empty_message_takes_no_more_than_is_said() {
        let footprints = footprints();
        for (name, bytes) in [
            (v1::SchemaDraft::full_name(), size_of::<v1::SchemaDraft>()),
            (v1::Reference::full_name(), size_of::<v1::Reference>()),
            (v1::VersionRequirement::full_name(), size_of::<v1::VersionRequirement>()),
        ] {
            let said = footprints.empty(&name).unwrap();
            assert!((bytes..=3 * bytes).contains(&said), "{name}: {bytes}, and {said} is said");
        }
    }

    #[test]
    fn few_bytes_that_would_be_many_are_seen_at_any_depth() {
        let footprints = footprints();
        let apply = v1::ApplySchemasRequest::full_name();
        let drafts = |count: usize| [0x0a, 0].repeat(count);
        assert_eq!(footprints.check(&apply, &drafts(1_000)), Ok(()));
        assert_eq!(footprints.check(&apply, &drafts(4 << 20)), Err(TooLarge));
        // 4: references, of the first draft.
        let mut nested = vec![0x0a];
        let references = [0x22, 0].repeat(2 << 20);
        prost::encoding::encode_varint(references.len() as u64, &mut nested);
        nested.extend(references);
        assert_eq!(footprints.check(&apply, &nested), Err(TooLarge));
        // What is large and has few entries is as large as it is.
        let large = v1::ApplySchemasRequest {
            schemas: vec![v1::SchemaDraft { subject: "x".repeat(8 << 20), ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(footprints.check(&apply, &large.encode_to_vec()), Ok(()));
    }

    #[test]
    fn what_is_no_message_is_left_to_the_decoder() {
        let footprints = footprints();
        let apply = v1::ApplySchemasRequest::full_name();
        for bytes in
            [&[0xff_u8; 40][..], &[0x0a, 0x7f], &[0x0a, 0xff], &[0x08], &[0x0d, 1], &[0x0b, 0x0c]]
        {
            assert_eq!(footprints.check(&apply, bytes), Ok(()), "{bytes:?}");
        }
    }
}
