//! Validates payloads in Avro's binary encoding in one pass, without recursion and without building
//! values.

use super::{
    cursor::Cursor,
    limits::{PAYLOAD_DEPTH_MAX, PAYLOAD_VALUES_MAX},
    model::{Kind, Model, TypeId},
    primitive::Primitive,
    text::push_token,
    value::{RawValue, check},
};
use crate::definition::Violation;

/// Checks that the bytes are exactly one value of the schema.
pub fn validate(model: &Model, bytes: &[u8]) -> Result<(), Violation> {
    let (mut cursor, mut values) = (Cursor::new(bytes), 0);
    let mut validator =
        Validator { model, cursor: &mut cursor, values: &mut values, open: Vec::new() };
    let result = validator.value(model.root).and_then(|()| match validator.cursor.remaining() {
        0 => Ok(()),
        remaining => Err(format!("the value ends here, and {remaining} bytes follow")),
    });
    result.map_err(|message| Violation {
        path: validator.pointer(),
        message: format!("at byte {}: {message}", validator.cursor.position()),
    })
}

/// Skips one value. `values` counts the values of the payload.
pub fn skip<'v>(
    model: &'v Model,
    type_id: TypeId,
    cursor: &mut Cursor<'v>,
    values: &mut u64,
) -> Result<(), String> {
    Validator { model, cursor, values, open: Vec::new() }.value(type_id)
}

struct Validator<'v, 'c> {
    model: &'v Model,
    cursor: &'c mut Cursor<'v>,
    values: &'c mut u64,
    /// The values around the current one, outermost first.
    open: Vec<OpenValue<'v>>,
}

/// A value of which some parts are not read yet.
enum OpenValue<'v> {
    Record { type_id: TypeId, next: usize },
    Block { type_id: TypeId, map: bool, unread: u64, read: u64, end: Option<usize>, key: &'v str },
}

impl<'v> Validator<'v, '_> {
    /// Reads a value with all its parts.
    fn value(&mut self, type_id: TypeId) -> Result<(), String> {
        self.begin(type_id)?;
        while let Some(open) = self.open.pop() {
            match open {
                OpenValue::Record { type_id, next } => {
                    let Some(field) = self.model.field((type_id, next)) else { continue };
                    let field = field.type_id;
                    self.open.push(OpenValue::Record { type_id, next: next + 1 });
                    self.begin(field)?;
                }
                OpenValue::Block { type_id, map, unread: 0, read, end, key } => {
                    self.open.push(OpenValue::Block { type_id, map, unread: 0, read, end, key });
                    if end.is_some_and(|end| end != self.cursor.position()) {
                        return Err("the size of the block does not match its items".into());
                    }
                    let (unread, end) = self.cursor.block()?;
                    self.open.pop();
                    if unread > 0 {
                        self.open.push(OpenValue::Block { type_id, map, unread, read, end, key });
                    }
                }
                OpenValue::Block { type_id, map, unread, read, end, .. } => {
                    let (unread, read) = (unread - 1, read + 1);
                    self.open.push(OpenValue::Block { type_id, map, unread, read, end, key: "" });
                    if map {
                        let text = self.cursor.text()?;
                        if let Some(OpenValue::Block { key, .. }) = self.open.last_mut() {
                            *key = text;
                        }
                    }
                    self.begin(type_id)?;
                }
            }
        }
        Ok(())
    }

    /// The JSON pointer to the current value.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for open in &self.open {
            match open {
                OpenValue::Record { type_id, next } => {
                    if let Some(field) =
                        next.checked_sub(1).and_then(|index| self.model.field((*type_id, index)))
                    {
                        push_token(&mut pointer, &field.name);
                    }
                }
                OpenValue::Block { map: true, key, .. } => push_token(&mut pointer, key),
                OpenValue::Block { read, .. } => {
                    push_token(&mut pointer, &read.saturating_sub(1).to_string());
                }
            }
        }
        pointer
    }

    /// Reads a value without parts, or opens a value with parts.
    fn begin(&mut self, type_id: TypeId) -> Result<(), String> {
        *self.values += 1;
        if *self.values > PAYLOAD_VALUES_MAX {
            return Err(format!("the payload has more than {PAYLOAD_VALUES_MAX} values"));
        }
        let model = self.model;
        let logical = model.get(type_id).logical.as_ref();
        let check_logical =
            |value: RawValue<'_>| logical.map_or(Ok(()), |logical| check(logical, value));
        match &model.get(type_id).kind {
            Kind::Primitive(primitive) => match primitive {
                Primitive::Null => Ok(()),
                Primitive::Boolean => self.cursor.boolean().map(drop),
                Primitive::Int => check_logical(RawValue::Number(self.cursor.int()?)),
                Primitive::Long => check_logical(RawValue::Number(self.cursor.long()?)),
                Primitive::Float => self.cursor.take(4).map(drop),
                Primitive::Double => self.cursor.take(8).map(drop),
                Primitive::Bytes => check_logical(RawValue::Bytes(self.cursor.length_prefixed()?)),
                Primitive::String => check_logical(RawValue::Text(self.cursor.text()?)),
            },
            Kind::Fixed(fixed) => {
                let length = usize::try_from(fixed.size).unwrap_or(usize::MAX);
                check_logical(RawValue::Bytes(self.cursor.take(length)?))
            }
            Kind::Enum(enumeration) => {
                self.cursor.index(&enumeration.symbols, "the enum has no symbol").map(drop)
            }
            Kind::Union(branches) => {
                // A branch of a union is never a union, so this recurses once.
                let branch = self.cursor.index(branches, "the union has no branch")?;
                self.begin(*branch)
            }
            Kind::Record(_) => self.open(OpenValue::Record { type_id, next: 0 }),
            Kind::Array(items) => self.open(OpenValue::new_block(*items, false)),
            Kind::Map(values) => self.open(OpenValue::new_block(*values, true)),
        }
    }

    fn open(&mut self, open: OpenValue<'v>) -> Result<(), String> {
        if self.open.len() >= PAYLOAD_DEPTH_MAX {
            return Err(format!("values nest deeper than {PAYLOAD_DEPTH_MAX}"));
        }
        self.open.push(open);
        Ok(())
    }
}

impl OpenValue<'_> {
    fn new_block(type_id: TypeId, map: bool) -> Self {
        Self::Block { type_id, map, unread: 0, read: 0, end: None, key: "" }
    }
}
