//! Payloads in binary, shown in Avro's JSON encoding.

use super::{
    binary::{DEPTH_MAX, VALUES_MAX},
    cursor::Cursor,
    document::quote,
    model::{Kind, Model, Primitive, TypeId},
};
use crate::definition::Violation;

/// Largest text. A null takes no byte in binary, and four here.
const BYTES_MAX: usize = 64 << 20;
/// Largest text for a program, which makes more of it than it is.
const PLAIN_BYTES_MAX: usize = 8 << 20;

/// Which JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Avro's JSON encoding.
    Encoding,
    /// A value of a union without the name of its branch.
    Plain,
}

impl Style {
    fn bytes_max(self) -> usize {
        match self {
            Self::Encoding => BYTES_MAX,
            Self::Plain => PLAIN_BYTES_MAX,
        }
    }
}

/// The JSON of one value.
pub fn show(model: &Model, bytes: &[u8], style: Style) -> Result<String, Violation> {
    let out = String::with_capacity(bytes.len() * 2);
    let mut walk = Walk { model, style, cursor: Cursor::new(bytes), values: 0, depth: 0, out };
    let done = walk.value(model.root).and_then(|()| match walk.cursor.left() {
        0 => Ok(()),
        left => Err(format!("the value ends here, and {left} bytes follow")),
    });
    match done {
        Ok(()) => Ok(walk.out),
        Err(message) => {
            let message = format!("at byte {}: {message}", walk.cursor.at());
            Err(Violation { path: String::new(), message })
        }
    }
}

struct Walk<'w> {
    model: &'w Model,
    style: Style,
    cursor: Cursor<'w>,
    values: u64,
    depth: usize,
    out: String,
}

impl Walk<'_> {
    fn value(&mut self, of: TypeId) -> Result<(), String> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(format!("the payload has more than {VALUES_MAX} values"));
        }
        let most = self.style.bytes_max();
        if self.out.len() > most {
            return Err(format!("as JSON the payload has more than {most} bytes"));
        }
        let model = self.model;
        match &model.get(of).kind {
            Kind::Primitive(primitive) => self.primitive(*primitive),
            Kind::Fixed(fixed) => {
                let length = usize::try_from(fixed.size).unwrap_or(usize::MAX);
                let bytes = self.cursor.take(length)?;
                self.bytes(bytes);
                Ok(())
            }
            Kind::Enum(it) => {
                let symbol = self.cursor.index(&it.symbols, "the enum has no symbol")?;
                quote(symbol, &mut self.out);
                Ok(())
            }
            Kind::Union(branches) => {
                let branch = *self.cursor.index(branches, "the union has no branch")?;
                let is_null = matches!(model.get(branch).kind, Kind::Primitive(Primitive::Null));
                if is_null || self.style == Style::Plain {
                    return self.value(branch);
                }
                self.out.push('{');
                quote(model.branch_name(branch), &mut self.out);
                self.out.push(':');
                self.value(branch)?;
                self.out.push('}');
                Ok(())
            }
            Kind::Record(record) => {
                self.enter()?;
                self.out.push('{');
                for (index, field) in record.fields.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    quote(&field.name, &mut self.out);
                    self.out.push(':');
                    self.value(field.of)?;
                }
                self.out.push('}');
                self.depth -= 1;
                Ok(())
            }
            Kind::Array(items) => self.blocks(*items, false),
            Kind::Map(values) => self.blocks(*values, true),
        }
    }

    /// Enters a record, an array or a map: what recursion is bounded by.
    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("values nest deeper than {DEPTH_MAX}"));
        }
        Ok(())
    }

    /// A key that is there twice is shown twice: each value was written.
    fn blocks(&mut self, of: TypeId, map: bool) -> Result<(), String> {
        self.enter()?;
        self.out.push(if map { '{' } else { '[' });
        let mut first = true;
        loop {
            let (count, _) = self.cursor.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                if !first {
                    self.out.push(',');
                }
                first = false;
                if map {
                    let key = self.cursor.text()?;
                    quote(key, &mut self.out);
                    self.out.push(':');
                }
                self.value(of)?;
            }
        }
        self.out.push(if map { '}' } else { ']' });
        self.depth -= 1;
        Ok(())
    }

    fn primitive(&mut self, primitive: Primitive) -> Result<(), String> {
        match primitive {
            Primitive::Null => self.out.push_str("null"),
            Primitive::Boolean => {
                let truth = self.cursor.boolean()? == 1;
                self.out.push_str(if truth { "true" } else { "false" });
            }
            Primitive::Int => self.out.push_str(&self.cursor.int()?.to_string()),
            Primitive::Long => self.out.push_str(&self.cursor.long()?.to_string()),
            Primitive::Float => {
                let number = self.cursor.take(4)?.try_into().map_or(0.0, f32::from_le_bytes);
                let text = serde_json::to_string(&number).unwrap_or_default();
                self.number(f64::from(number), &text);
            }
            Primitive::Double => {
                let number = self.cursor.take(8)?.try_into().map_or(0.0, f64::from_le_bytes);
                let text = serde_json::to_string(&number).unwrap_or_default();
                self.number(number, &text);
            }
            Primitive::Bytes => {
                let bytes = self.cursor.sized()?;
                self.bytes(bytes);
            }
            Primitive::String => {
                let text = self.cursor.text()?;
                quote(text, &mut self.out);
            }
        }
        Ok(())
    }

    /// JSON has no name for three of them; the libraries write these.
    fn number(&mut self, number: f64, text: &str) {
        self.out.push_str(match number {
            _ if number.is_nan() => "\"NaN\"",
            f64::INFINITY => "\"Infinity\"",
            f64::NEG_INFINITY => "\"-Infinity\"",
            _ => text,
        });
    }

    /// A byte is a character from U+0000 to U+00FF.
    fn bytes(&mut self, bytes: &[u8]) {
        let text: String = bytes.iter().copied().map(char::from).collect();
        quote(&text, &mut self.out);
    }
}
