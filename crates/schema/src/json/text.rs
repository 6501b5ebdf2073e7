//! JSON text with source locations: strict parsing, lookup by pointer, and removal of white space.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, map::Entry};

use super::wide;
use crate::definition::{Fault, SourceLocation};

/// Nesting depth of a JSON text. The JSON parser would accept 127 levels, and a schema that nests
/// 100 levels deep is a bomb.
pub(crate) const DEPTH_MAX: usize = 100;

/// Parses a text with numbers of any size. Returns the value, and whether the text contains wide
/// numbers.
pub(crate) fn read_wide(file: &str, text: &str) -> Result<(Value, bool), Fault> {
    let rounded = wide::rounded(text);
    read(file, &rounded.text).map(|value| (value, rounded.wide))
}

/// Parses a text: one JSON value, no duplicate keys, at most [`DEPTH_MAX`] levels, and no number
/// beyond the range of a double.
pub(crate) fn read(file: &str, text: &str) -> Result<Value, Fault> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Strict { depth: 0 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let message = error.to_string();
        let reason =
            message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
        Fault {
            location: SourceLocation {
                file: file.to_owned(),
                line: number(error.line()),
                column: number(error.column()),
                path: String::new(),
            },
            message: format!("not a JSON document: {reason}"),
        }
    })
}

struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(format_args!("it nests deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inner()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            match members.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(map.next_value_seed(self.inner()?)?);
                }
                Entry::Occupied(entry) => {
                    let key: String = entry.key().chars().take(100).collect();
                    return Err(A::Error::custom(format_args!("the key {key:?} occurs twice")));
                }
            }
        }
        Ok(Value::Object(members))
    }
}

/// The source location of a JSON pointer in a valid text. The text is scanned for each lookup,
/// which takes milliseconds; a table of all locations would be larger than the schema.
pub(crate) fn location(file: &str, text: &str, pointer: &str) -> SourceLocation {
    let mut cursor = Cursor { text, at: 0 };
    cursor.spaces();
    let mut best = cursor.at;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if cursor.enter(&token).is_none() {
            break;
        }
        best = cursor.at;
    }
    SourceLocation {
        file: file.to_owned(),
        path: pointer.to_owned(),
        ..SourceLocation::of_byte(text, best)
    }
}

/// The text of the value at a JSON pointer, if there is one.
pub(crate) fn written<'a>(text: &'a str, pointer: &str) -> Option<&'a str> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.spaces();
    for token in pointer.split('/').skip(1) {
        cursor.enter(&token.replace("~1", "/").replace("~0", "~"))?;
    }
    let from = cursor.at;
    cursor.skip();
    text.get(from..cursor.at)
}

/// Scans JSON text that is known to be valid.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Moves to the member or item that a token names.
    fn enter(&mut self, token: &str) -> Option<()> {
        let open = self.peek()?;
        let mut index = 0_usize;
        self.at += 1;
        loop {
            self.spaces();
            if matches!(self.peek()?, b'}' | b']') {
                return None;
            }
            let matches = if open == b'{' {
                let from = self.at;
                self.skip();
                let key = self.text.get(from..self.at)?;
                let same = serde_json::from_str::<String>(key).is_ok_and(|key| key == token);
                self.spaces();
                self.at += 1; // ':'
                self.spaces();
                same
            } else {
                index.to_string() == token
            };
            if matches {
                return Some(());
            }
            self.skip();
            self.spaces();
            if self.peek()? == b',' {
                self.at += 1;
            }
            index += 1;
        }
    }

    /// Skips one value.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.at += 1;
                    while let Some(byte) = self.peek() {
                        self.at += if byte == b'\\' { 2 } else { 1 };
                        if byte == b'"' {
                            break;
                        }
                    }
                    if depth == 0 {
                        return;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    if depth <= 1 {
                        self.at += depth;
                        return;
                    }
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return,
                byte if depth == 0 && byte.is_ascii_whitespace() => return,
                _ => self.at += 1,
            }
        }
    }
}

/// Removes the white space between the tokens of a valid text.
pub(crate) fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    // Outside of strings there are only punctuation, numbers and literals.
    let (mut from, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += string_length(text.get(at..).unwrap_or_default()),
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.push_str(text.get(from..at).unwrap_or_default());
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// Length in bytes of the string at the start of a text, with its quotes.
pub(crate) fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_found_by_pointer() {
        let text = "{\n  \"a/b\": [1, {\"c\\u0064\": \"}\"}],\n  \"e\": {\"f\": 2}\n}";
        let at = |pointer: &str| {
            let location = location("", text, pointer);
            (location.line, location.column)
        };
        assert_eq!(at(""), (1, 1));
        assert_eq!(at("/a~1b"), (2, 10));
        assert_eq!(at("/a~1b/1/cd"), (2, 26));
        assert_eq!(at("/e/f"), (3, 14));
        assert_eq!(at("/e/missing"), (3, 8));
        assert_eq!(written(text, "/a~1b/1"), Some("{\"c\\u0064\": \"}\"}"));
        assert_eq!(written(text, "/e/f"), Some("2"));
        assert_eq!(written(text, "/e/missing"), None);
    }

    #[test]
    fn strict_reading_says_where() {
        let fault = read("", "{\"a\": 1,\n \"a\": 2}").expect_err("twice");
        assert_eq!(fault.location.line, 2);
        assert!(fault.message.contains("\"a\" occurs twice"), "{fault}");
        assert!(read("", &"[".repeat(200)).is_err());
        assert!(read("", "1e400").is_err());
        assert_eq!(read_wide("", "1e400").map(|(_, wide)| wide), Ok(true));
        assert!(read("", "{} x").is_err());
    }

    #[test]
    fn compact_text_keeps_its_tokens() {
        let text = " {\n \"b\" : [ 1.50 , -0 , 12345678901234567890.10 ,\t\"a \\\" \\\\\" , true ] ,\r\n \"a\" : \"\" } ";
        let compacted = "{\"b\":[1.50,-0,12345678901234567890.10,\"a \\\" \\\\\",true],\"a\":\"\"}";
        assert_eq!(compact(text), compacted);
        assert_eq!(compact(compacted), compacted);
        assert_eq!(compact("7"), "7");
    }
}
