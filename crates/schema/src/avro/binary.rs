//! Payloads in Avro's binary encoding, read once, without recursion and without keeping anything.

use super::{
    cursor::Cursor,
    model::{Kind, Model, Primitive, TypeId},
    value::{Raw, check, push},
};
use crate::definition::Violation;

/// Records, arrays and maps within one another. JSON parsers take 128; a recursive schema would take any depth, and
/// readers that recurse run out of stack.
pub const DEPTH_MAX: usize = 128;

/// Values in one payload. Null takes no bytes, so the length of a payload bounds nothing.
pub const VALUES_MAX: u64 = 10_000_000;

/// Checks that the bytes are one value of the schema, and nothing else.
pub fn validate(model: &Model, bytes: &[u8]) -> Result<(), Violation> {
    let (mut cursor, mut values) = (Cursor::new(bytes), 0);
    let mut walk = Walk { model, cursor: &mut cursor, values: &mut values, open: Vec::new() };
    let done = walk.one(model.root).and_then(|()| match walk.cursor.left() {
        0 => Ok(()),
        left => Err(format!("the value ends here, and {left} bytes follow")),
    });
    done.map_err(|message| Violation {
        path: walk.pointer(),
        message: format!("at byte {}: {message}", walk.cursor.at()),
    })
}

/// Reads over one value. `values` counts those of the whole payload.
pub fn skip<'w>(
    model: &'w Model,
    of: TypeId,
    cursor: &mut Cursor<'w>,
    values: &mut u64,
) -> Result<(), String> {
    Walk { model, cursor, values, open: Vec::new() }.one(of)
}

struct Walk<'w, 'c> {
    model: &'w Model,
    cursor: &'c mut Cursor<'w>,
    values: &'c mut u64,
    open: Vec<Open<'w>>,
}

/// What is being read, from the outside in.
enum Open<'w> {
    Record { of: TypeId, next: usize },
    Block { of: TypeId, map: bool, left: u64, read: u64, end: Option<usize>, key: &'w str },
}

impl<'w> Walk<'w, '_> {
    /// One value, with all that is in it.
    fn one(&mut self, of: TypeId) -> Result<(), String> {
        self.value(of)?;
        while let Some(open) = self.open.pop() {
            match open {
                Open::Record { of, next } => {
                    let Some(field) = self.model.field((of, next)) else { continue };
                    let field = field.of;
                    self.open.push(Open::Record { of, next: next + 1 });
                    self.value(field)?;
                }
                Open::Block { of, map, left: 0, read, end, key } => {
                    self.open.push(Open::Block { of, map, left: 0, read, end, key });
                    if end.is_some_and(|end| end != self.cursor.at()) {
                        return Err("the block does not end where it says that it does".into());
                    }
                    let (left, end) = self.cursor.block()?;
                    self.open.pop();
                    if left > 0 {
                        self.open.push(Open::Block { of, map, left, read, end, key });
                    }
                }
                Open::Block { of, map, left, read, end, .. } => {
                    let (left, read) = (left - 1, read + 1);
                    self.open.push(Open::Block { of, map, left, read, end, key: "" });
                    if map {
                        let text = self.cursor.text()?;
                        if let Some(Open::Block { key, .. }) = self.open.last_mut() {
                            *key = text;
                        }
                    }
                    self.value(of)?;
                }
            }
        }
        Ok(())
    }

    /// Where the walk stands.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for open in &self.open {
            match open {
                Open::Record { of, next } => {
                    if let Some(field) =
                        next.checked_sub(1).and_then(|it| self.model.field((*of, it)))
                    {
                        push(&mut pointer, &field.name);
                    }
                }
                Open::Block { map: true, key, .. } => push(&mut pointer, key),
                Open::Block { read, .. } => push(&mut pointer, &read.saturating_sub(1).to_string()),
            }
        }
        pointer
    }

    /// Reads a value, or opens it.
    fn value(&mut self, of: TypeId) -> Result<(), String> {
        *self.values += 1;
        if *self.values > VALUES_MAX {
            return Err(format!("the payload has more than {VALUES_MAX} values"));
        }
        let model = self.model;
        let logical = model.get(of).logical.as_ref();
        let held = |raw: Raw<'_>| logical.map_or(Ok(()), |logical| check(logical, raw));
        match &model.get(of).kind {
            Kind::Primitive(primitive) => match primitive {
                Primitive::Null => Ok(()),
                Primitive::Boolean => self.cursor.boolean().map(drop),
                Primitive::Int => held(Raw::Number(self.cursor.int()?)),
                Primitive::Long => held(Raw::Number(self.cursor.long()?)),
                Primitive::Float => self.cursor.take(4).map(drop),
                Primitive::Double => self.cursor.take(8).map(drop),
                Primitive::Bytes => held(Raw::Bytes(self.cursor.sized()?)),
                Primitive::String => held(Raw::Text(self.cursor.text()?)),
            },
            Kind::Fixed(fixed) => {
                let length = usize::try_from(fixed.size).unwrap_or(usize::MAX);
                held(Raw::Bytes(self.cursor.take(length)?))
            }
            Kind::Enum(it) => self.cursor.index(&it.symbols, "the enum has no symbol").map(drop),
            Kind::Union(branches) => {
                // No branch of a union is a union, so this goes one step down.
                let branch = self.cursor.index(branches, "the union has no branch")?;
                self.value(*branch)
            }
            Kind::Record(_) => self.open(Open::Record { of, next: 0 }),
            Kind::Array(items) => self.open(Open::new_block(*items, false)),
            Kind::Map(values) => self.open(Open::new_block(*values, true)),
        }
    }

    fn open(&mut self, open: Open<'w>) -> Result<(), String> {
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("values nest deeper than {DEPTH_MAX}"));
        }
        self.open.push(open);
        Ok(())
    }
}

impl Open<'_> {
    fn new_block(of: TypeId, map: bool) -> Self {
        Self::Block { of, map, left: 0, read: 0, end: None, key: "" }
    }
}
