//! Decodes binary payloads to JSON.

use super::{
    cursor::Cursor,
    limits::{JSON_BYTES_MAX, PAYLOAD_DEPTH_MAX, PAYLOAD_VALUES_MAX, PLAIN_JSON_BYTES_MAX},
    model::{Kind, Model, TypeId},
    primitive::Primitive,
    text::quote,
};
use crate::definition::Violation;

/// The form of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Avro's JSON encoding.
    Encoding,
    /// Values of unions without the name of their branch.
    Plain,
}

impl Style {
    fn bytes_max(self) -> usize {
        match self {
            Self::Encoding => JSON_BYTES_MAX,
            Self::Plain => PLAIN_JSON_BYTES_MAX,
        }
    }
}

/// Decodes one value to JSON.
pub fn to_json(model: &Model, bytes: &[u8], style: Style) -> Result<String, Violation> {
    let out = String::with_capacity(bytes.len() * 2);
    let mut decoder =
        Decoder { model, style, cursor: Cursor::new(bytes), values: 0, depth: 0, out };
    let result = decoder.value(model.root).and_then(|()| match decoder.cursor.remaining() {
        0 => Ok(()),
        remaining => Err(format!("the value ends here, and {remaining} bytes follow")),
    });
    match result {
        Ok(()) => Ok(decoder.out),
        Err(message) => {
            let message = format!("at byte {}: {message}", decoder.cursor.position());
            Err(Violation { path: String::new(), message })
        }
    }
}

struct Decoder<'d> {
    model: &'d Model,
    style: Style,
    cursor: Cursor<'d>,
    values: u64,
    depth: usize,
    out: String,
}

impl Decoder<'_> {
    fn value(&mut self, type_id: TypeId) -> Result<(), String> {
        self.values += 1;
        if self.values > PAYLOAD_VALUES_MAX {
            return Err(format!("the payload has more than {PAYLOAD_VALUES_MAX} values"));
        }
        let limit = self.style.bytes_max();
        if self.out.len() > limit {
            return Err(format!("as JSON the payload has more than {limit} bytes"));
        }
        let model = self.model;
        match &model.get(type_id).kind {
            Kind::Primitive(primitive) => self.primitive(*primitive),
            Kind::Fixed(fixed) => {
                let length = usize::try_from(fixed.size).unwrap_or(usize::MAX);
                let bytes = self.cursor.take(length)?;
                self.bytes(bytes);
                Ok(())
            }
            Kind::Enum(enumeration) => {
                let symbol = self.cursor.index(&enumeration.symbols, "the enum has no symbol")?;
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
                    self.value(field.type_id)?;
                }
                self.out.push('}');
                self.depth -= 1;
                Ok(())
            }
            Kind::Array(items) => self.blocks(*items, false),
            Kind::Map(values) => self.blocks(*values, true),
        }
    }

    /// Enters a record, an array or a map. Only these deepen the recursion.
    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > PAYLOAD_DEPTH_MAX {
            return Err(format!("values nest deeper than {PAYLOAD_DEPTH_MAX}"));
        }
        Ok(())
    }

    /// Writes an array or a map. A duplicate key is written as often as it occurs, so no value is
    /// lost.
    fn blocks(&mut self, type_id: TypeId, map: bool) -> Result<(), String> {
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
                self.value(type_id)?;
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
                let value = self.cursor.boolean()? == 1;
                self.out.push_str(if value { "true" } else { "false" });
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
                let bytes = self.cursor.length_prefixed()?;
                self.bytes(bytes);
            }
            Primitive::String => {
                let text = self.cursor.text()?;
                quote(text, &mut self.out);
            }
        }
        Ok(())
    }

    /// Writes a floating-point number. JSON has no form for three of them; the libraries write
    /// these strings.
    fn number(&mut self, number: f64, text: &str) {
        self.out.push_str(match number {
            _ if number.is_nan() => "\"NaN\"",
            f64::INFINITY => "\"Infinity\"",
            f64::NEG_INFINITY => "\"-Infinity\"",
            _ => text,
        });
    }

    /// Writes bytes as characters from U+0000 to U+00FF.
    fn bytes(&mut self, bytes: &[u8]) {
        let text: String = bytes.iter().copied().map(char::from).collect();
        quote(&text, &mut self.out);
    }
}
