//! Payloads in Avro's binary encoding, read once, without recursion and without keeping anything.

use super::{
    model::{Kind, Model, Primitive, TypeId},
    value::{Raw, check, push},
};
use crate::definition::Violation;

/// Records, arrays and maps within one another. JSON parsers take 128; a recursive schema would take any depth, and
/// readers that recurse run out of stack.
const DEPTH_MAX: usize = 128;

/// Values in one payload. Null takes no bytes, so the length of a payload bounds nothing.
const VALUES_MAX: u64 = 10_000_000;

/// Checks that the bytes are one value of the schema, and nothing else.
pub fn validate(model: &Model, bytes: &[u8]) -> Result<(), Violation> {
    let mut walk = Walk { model, bytes, at: 0, values: 0, open: Vec::new() };
    match walk.all() {
        Ok(()) => Ok(()),
        Err(message) => Err(Violation {
            path: walk.pointer(),
            message: format!("at byte {}: {message}", walk.at),
        }),
    }
}

struct Walk<'w> {
    model: &'w Model,
    bytes: &'w [u8],
    at: usize,
    values: u64,
    open: Vec<Open<'w>>,
}

/// What is being read, from the outside in.
enum Open<'w> {
    Record { of: TypeId, next: usize },
    Block { of: TypeId, map: bool, left: u64, read: u64, end: Option<usize>, key: &'w str },
}

impl<'w> Walk<'w> {
    fn all(&mut self) -> Result<(), String> {
        self.value(self.model.root)?;
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
                    if end.is_some_and(|end| end != self.at) {
                        return Err("the block does not end where it says that it does".into());
                    }
                    let (left, end) = self.block()?;
                    self.open.pop();
                    if left > 0 {
                        self.open.push(Open::Block { of, map, left, read, end, key });
                    }
                }
                Open::Block { of, map, left, read, end, .. } => {
                    let (left, read) = (left - 1, read + 1);
                    self.open.push(Open::Block { of, map, left, read, end, key: "" });
                    if map {
                        let text = self.text()?;
                        if let Some(Open::Block { key, .. }) = self.open.last_mut() {
                            *key = text;
                        }
                    }
                    self.value(of)?;
                }
            }
        }
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(format!("the value ends here, and {left} bytes follow")),
        }
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
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(format!("the payload has more than {VALUES_MAX} values"));
        }
        let model = self.model;
        let logical = model.get(of).logical.as_ref();
        let held = |raw: Raw<'_>| logical.map_or(Ok(()), |logical| check(logical, raw));
        match &model.get(of).kind {
            Kind::Primitive(primitive) => match primitive {
                Primitive::Null => Ok(()),
                Primitive::Boolean => match self.take(1)?.first() {
                    Some(0 | 1) => Ok(()),
                    byte => {
                        Err(format!("a boolean is the byte 0 or 1, not {}", byte.unwrap_or(&0)))
                    }
                },
                Primitive::Int => {
                    let number = self.long()?;
                    i32::try_from(number)
                        .map_err(|_| format!("{number} is not an int of 32 bits"))?;
                    held(Raw::Number(number))
                }
                Primitive::Long => held(Raw::Number(self.long()?)),
                Primitive::Float => self.take(4).map(drop),
                Primitive::Double => self.take(8).map(drop),
                Primitive::Bytes => {
                    let length = self.length()?;
                    held(Raw::Bytes(self.take(length)?))
                }
                Primitive::String => held(Raw::Text(self.text()?)),
            },
            Kind::Fixed(fixed) => {
                let length = usize::try_from(fixed.size).unwrap_or(usize::MAX);
                held(Raw::Bytes(self.take(length)?))
            }
            Kind::Enum(it) => {
                let index = self.long()?;
                match usize::try_from(index).ok().and_then(|index| it.symbols.get(index)) {
                    Some(_) => Ok(()),
                    None => {
                        let count = it.symbols.len();
                        Err(format!(
                            "enum {} has {count} symbols, and none with the index {index}",
                            it.name
                        ))
                    }
                }
            }
            Kind::Union(branches) => {
                let index = self.long()?;
                match usize::try_from(index).ok().and_then(|index| branches.get(index)) {
                    // No branch of a union is a union.
                    Some(branch) => self.value(*branch),
                    None => {
                        let count = branches.len();
                        Err(format!(
                            "the union has {count} branches, and none with the index {index}"
                        ))
                    }
                }
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

    /// The count of the next block, and where it ends if it says.
    fn block(&mut self) -> Result<(u64, Option<usize>), String> {
        let count = self.long()?;
        let end = if count < 0 {
            let size = self.length()?;
            match self.at.checked_add(size) {
                Some(end) if end <= self.bytes.len() => Some(end),
                _ => return Err(format!("a block of {size} bytes does not fit into the payload")),
            }
        } else {
            None
        };
        let count = count.unsigned_abs();
        if count > VALUES_MAX {
            return Err(format!("a block has {count} items, and a payload at most {VALUES_MAX}"));
        }
        Ok((count, end))
    }

    fn take(&mut self, length: usize) -> Result<&'w [u8], String> {
        let end = self.at.checked_add(length);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            let left = self.bytes.len() - self.at;
            return Err(format!("{length} bytes are wanted here, and {left} are left"));
        };
        self.at += length;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize, String> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| format!("a length of {length} bytes"))
    }

    fn text(&mut self) -> Result<&'w str, String> {
        let length = self.length()?;
        let start = self.at;
        str::from_utf8(self.take(length)?).map_err(|error| {
            format!("the string is not UTF-8 from byte {} on", start + error.valid_up_to())
        })
    }

    /// A zigzag number in base 128, the least significant first.
    fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for index in 0..10_u32 {
            let byte = self.take(1)?.first().copied().unwrap_or(0);
            if index == 9 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
            }
        }
        Err("the number does not end within 64 bits".into())
    }
}

impl Open<'_> {
    fn new_block(of: TypeId, map: bool) -> Self {
        Self::Block { of, map, left: 0, read: 0, end: None, key: "" }
    }
}
