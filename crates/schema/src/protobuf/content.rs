//! What the bytes of one message mean: the values of each field, as decoders see them.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    payload::described,
    scan::{Item, Scan, Token, no_group},
    types::{Field, Kind, Message, Types},
    wire::Layout,
};

/// One message, without what is inside of its messages.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    /// By number. Singular fields have one value: of several scalars the last, of several messages their merger.
    pub(super) fields: BTreeMap<u32, Vec<Item<'a>>>,
    /// Fields that the schema does not have, with their tags.
    pub(super) unknown: Vec<(u32, &'a [u8])>,
    /// Whether singular values were passed over or merged: more than one of a field, or of a oneof.
    pub(super) settled: bool,
}

impl<'a> Content<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// Where it does not decode.
    pub(super) fn read(types: &Types, message: &Message, bytes: &'a [u8]) -> Result<Self, String> {
        let mut content = Self::default();
        let mut chosen: BTreeMap<&str, u32> = BTreeMap::new();
        let mut scan = Scan::new(bytes);
        while !scan.done() {
            let from = scan.at();
            let (number, token) = scan.field()?;
            let body = match token {
                Token::GroupStart => Some(scan.group(number, 0)?),
                Token::GroupEnd => return Err(no_group(number)),
                _ => None,
            };
            let Some(field) = message.fields.get(&number).filter(|_| !message.message_set) else {
                content.unknown.push((number, scan.between(from, scan.at())));
                continue;
            };
            if let Some(oneof) = &field.oneof
                && let Some(before) = chosen.insert(oneof, number)
                && before != number
            {
                content.settled |= content.fields.remove(&before).is_some();
            }
            content.take(types, field, token, body)?;
        }
        Ok(content)
    }

    fn take(
        &mut self,
        types: &Types,
        field: &Field,
        token: Token<'a>,
        body: Option<&'a [u8]>,
    ) -> Result<(), String> {
        let values = self.fields.entry(field.number).or_default();
        let item = match (field.kind, token, body) {
            (Kind::Group(_), Token::GroupStart, Some(body)) => Item::Bytes(Cow::Borrowed(body)),
            (Kind::Scalar(_) | Kind::Enum(_), Token::Delimited(bytes), _)
                if !field.cardinality.singular() && field.kind.layout() != Layout::Delimited =>
            {
                return unpack(field.kind.layout(), bytes, values);
            }
            (kind, Token::Varint(number), _) if kind.layout() == Layout::Varint => {
                Item::Varint(number)
            }
            (kind, Token::Fixed32(number), _) if kind.layout() == Layout::Fixed32 => {
                Item::Fixed32(number)
            }
            (kind, Token::Fixed64(number), _) if kind.layout() == Layout::Fixed64 => {
                Item::Fixed64(number)
            }
            (kind, Token::Delimited(bytes), _) if kind.layout() == Layout::Delimited => {
                Item::Bytes(Cow::Borrowed(bytes))
            }
            (kind, token, _) => {
                return Err(format!(
                    "{} is {}, and here is {}",
                    field.full_name,
                    types.kind_name(kind),
                    described(token)
                ));
            }
        };
        if !field.cardinality.singular() {
            values.push(item);
            return Ok(());
        }
        match (values.first_mut(), item) {
            (None, item) => values.push(item),
            // Messages one behind the other are one message.
            (Some(Item::Bytes(before)), Item::Bytes(more)) if field.kind.message().is_some() => {
                before.to_mut().extend_from_slice(&more);
                self.settled = true;
            }
            (Some(before), item) => {
                *before = item;
                self.settled = true;
            }
        }
        Ok(())
    }
}

fn unpack<'a>(layout: Layout, bytes: &'a [u8], values: &mut Vec<Item<'a>>) -> Result<(), String> {
    let mut scan = Scan::new(bytes);
    while !scan.done() {
        values.push(match layout {
            Layout::Fixed32 => Item::Fixed32(scan.fixed32()?),
            Layout::Fixed64 => Item::Fixed64(scan.fixed64()?),
            Layout::Varint | Layout::Delimited | Layout::Group => Item::Varint(scan.varint()?),
        });
    }
    Ok(())
}

/// What an absent key or value of an entry is read as.
pub(super) fn nothing(kind: Kind) -> Item<'static> {
    match kind.layout() {
        Layout::Varint => Item::Varint(0),
        Layout::Fixed32 => Item::Fixed32(0),
        Layout::Fixed64 => Item::Fixed64(0),
        Layout::Delimited | Layout::Group => Item::Bytes(Cow::Borrowed(&[])),
    }
}
