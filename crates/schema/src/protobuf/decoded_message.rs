//! Decodes one message to the values of its fields, with the merging rules of decoders.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    scalar::Layout,
    types::{Field, Kind, Message, Types},
    wire_format::{WireReader, WireToken, WireValue, group_end_error, token_name},
};

/// One message. Nested messages stay encoded.
#[derive(Debug, Default)]
pub(super) struct DecodedMessage<'a> {
    /// Values by field number. Singular fields have one value: the last of several scalars, or
    /// several messages merged.
    pub(super) fields: BTreeMap<u32, Vec<WireValue<'a>>>,
    /// Fields that the schema does not declare, with their tags.
    pub(super) unknown: Vec<(u32, &'a [u8])>,
    /// Whether the message had several values of a singular field or of a oneof, which were dropped
    /// or merged.
    pub(super) has_duplicates: bool,
}

impl<'a> DecodedMessage<'a> {
    /// Decodes one message.
    ///
    /// # Errors
    /// Returns a message if the bytes do not decode.
    pub(super) fn decode(
        types: &Types,
        message: &Message,
        bytes: &'a [u8],
    ) -> Result<Self, String> {
        let mut decoded = Self::default();
        let mut oneof_members: BTreeMap<&str, u32> = BTreeMap::new();
        let mut reader = WireReader::new(bytes);
        while !reader.is_at_end() {
            let from = reader.at();
            let (number, token) = reader.field()?;
            let body = match token {
                WireToken::GroupStart => Some(reader.group(number, 0)?),
                WireToken::GroupEnd => return Err(group_end_error(number)),
                _ => None,
            };
            let Some(field) = message.fields.get(&number).filter(|_| !message.message_set) else {
                decoded.unknown.push((number, reader.between(from, reader.at())));
                continue;
            };
            if let Some(oneof) = &field.oneof
                && let Some(previous) = oneof_members.insert(oneof, number)
                && previous != number
            {
                decoded.has_duplicates |= decoded.fields.remove(&previous).is_some();
            }
            decoded.add(types, field, token, body)?;
        }
        Ok(decoded)
    }

    fn add(
        &mut self,
        types: &Types,
        field: &Field,
        token: WireToken<'a>,
        body: Option<&'a [u8]>,
    ) -> Result<(), String> {
        let values = self.fields.entry(field.number).or_default();
        let item = match (field.kind, token, body) {
            (Kind::Group(_), WireToken::GroupStart, Some(body)) => {
                WireValue::Bytes(Cow::Borrowed(body))
            }
            (Kind::Scalar(_) | Kind::Enum(_), WireToken::Delimited(bytes), _)
                if !field.cardinality.singular() && field.kind.layout() != Layout::Delimited =>
            {
                return unpack(field.kind.layout(), bytes, values);
            }
            (kind, WireToken::Varint(number), _) if kind.layout() == Layout::Varint => {
                WireValue::Varint(number)
            }
            (kind, WireToken::Fixed32(number), _) if kind.layout() == Layout::Fixed32 => {
                WireValue::Fixed32(number)
            }
            (kind, WireToken::Fixed64(number), _) if kind.layout() == Layout::Fixed64 => {
                WireValue::Fixed64(number)
            }
            (kind, WireToken::Delimited(bytes), _) if kind.layout() == Layout::Delimited => {
                WireValue::Bytes(Cow::Borrowed(bytes))
            }
            (kind, token, _) => {
                return Err(format!(
                    "{} is {}, but the payload has {}",
                    field.full_name,
                    types.kind_name(kind),
                    token_name(token)
                ));
            }
        };
        if !field.cardinality.singular() {
            values.push(item);
            return Ok(());
        }
        match (values.first_mut(), item) {
            (None, item) => values.push(item),
            // Concatenated messages are one message.
            (Some(WireValue::Bytes(previous)), WireValue::Bytes(more))
                if field.kind.message().is_some() =>
            {
                previous.to_mut().extend_from_slice(&more);
                self.has_duplicates = true;
            }
            (Some(previous), item) => {
                *previous = item;
                self.has_duplicates = true;
            }
        }
        Ok(())
    }
}

fn unpack<'a>(
    layout: Layout,
    bytes: &'a [u8],
    values: &mut Vec<WireValue<'a>>,
) -> Result<(), String> {
    let mut reader = WireReader::new(bytes);
    while !reader.is_at_end() {
        values.push(match layout {
            Layout::Fixed32 => WireValue::Fixed32(reader.fixed32()?),
            Layout::Fixed64 => WireValue::Fixed64(reader.fixed64()?),
            Layout::Varint | Layout::Delimited | Layout::Group => {
                WireValue::Varint(reader.varint()?)
            }
        });
    }
    Ok(())
}

/// The value of an absent key or value of a map entry.
pub(super) fn zero_value(kind: Kind) -> WireValue<'static> {
    match kind.layout() {
        Layout::Varint => WireValue::Varint(0),
        Layout::Fixed32 => WireValue::Fixed32(0),
        Layout::Fixed64 => WireValue::Fixed64(0),
        Layout::Delimited | Layout::Group => WireValue::Bytes(Cow::Borrowed(&[])),
    }
}
