//! JSON text whose values keep their positions, so that faults and findings have a line and a
//! column.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::Number;

use super::{limits::DEFINITION_DEPTH_MAX, text::quote};
use crate::definition::{Fault, SourceLocation};

/// One text of a definition.
#[derive(Debug)]
pub struct Document {
    /// The name of the additional file or import; empty for the definition itself.
    pub file: String,
    text: String,
    /// The offset of each line.
    lines: Vec<usize>,
}

/// A value and the offset of its first byte.
#[derive(Debug)]
pub struct Node {
    pub offset: u32,
    pub json: Json,
}

#[derive(Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Document {
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let ends = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(offset, _)| offset + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { file: file.into(), text, lines }
    }

    /// The location of a byte.
    pub fn location(&self, offset: usize, path: &str) -> SourceLocation {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        SourceLocation {
            file: self.file.clone(),
            line: number(line),
            column: number(column),
            path: path.into(),
        }
    }

    fn fault(&self, offset: usize, message: impl Into<String>) -> Fault {
        Fault { location: self.location(offset, ""), message: message.into() }
    }

    /// Parses the text.
    ///
    /// # Errors
    /// Returns a fault if it is not JSON, nests too deeply, or has a key twice in one object.
    pub fn parse(&self) -> Result<Node, Fault> {
        if self.text.trim().is_empty() {
            return Err(self.fault(0, "the text is empty: a schema is required"));
        }
        self.check_depth()?;
        serde_json::from_str::<IgnoredAny>(&self.text).map_err(|error| {
            let start = self.lines.get(error.line().saturating_sub(1)).copied().unwrap_or(0);
            let offset = (start + error.column().saturating_sub(1)).min(self.text.len());
            let text = error.to_string();
            let cause = text.split(" at line ").next().unwrap_or(&text);
            self.fault(offset, format!("this is not JSON: {cause}"))
        })?;
        Scanner { document: self, offset: 0 }.value()
    }

    fn check_depth(&self) -> Result<(), Fault> {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for (offset, byte) in self.text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'[' | b'{' if !quoted => {
                    depth += 1;
                    if depth > DEFINITION_DEPTH_MAX {
                        let message = format!(
                            "objects and arrays nest deeper than {DEFINITION_DEPTH_MAX}: define inner types once, and refer to them by name"
                        );
                        return Err(self.fault(offset, message));
                    }
                }
                b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Node {
    /// The value of a key, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The entries, if this is an object.
    pub fn entries(&self) -> &[(String, Self)] {
        match &self.json {
            Json::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The string, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.json {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The kind of the value, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.json {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// Writes the value with sorted keys and without white space, so that equal values are equal
    /// text.
    pub fn canonical(&self, out: &mut String) {
        match &self.json {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(value) => out.push_str(&value.to_string()),
            Json::String(text) => quote(text, out),
            Json::Array(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    out.push(if index == 0 { '[' } else { ',' });
                    node.canonical(out);
                }
                out.push_str(if nodes.is_empty() { "[]" } else { "]" });
            }
            Json::Object(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                for (index, (key, node)) in sorted.iter().enumerate() {
                    out.push(if index == 0 { '{' } else { ',' });
                    quote(key, out);
                    out.push(':');
                    node.canonical(out);
                }
                out.push_str(if sorted.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// The text that [`Node::canonical`] writes.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.canonical(&mut out);
        out
    }
}

/// Reads a text that serde_json has accepted, so it does not check the syntax, and records the
/// positions of values.
struct Scanner<'a> {
    document: &'a Document,
    offset: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> u8 {
        self.document.text.as_bytes().get(self.offset).copied().unwrap_or(0)
    }

    /// Skips white space, and returns the byte after it.
    fn next(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.offset += 1;
        }
        self.peek()
    }

    fn value(&mut self) -> Result<Node, Fault> {
        let first = self.next();
        let offset = self.offset;
        let json = match first {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => Json::String(self.string()),
            b't' => self.keyword(4, Json::Bool(true)),
            b'f' => self.keyword(5, Json::Bool(false)),
            b'n' => self.keyword(4, Json::Null),
            _ => self.number()?,
        };
        Ok(Node { offset: u32::try_from(offset).unwrap_or(u32::MAX), json })
    }

    fn keyword(&mut self, length: usize, json: Json) -> Json {
        self.offset += length;
        json
    }

    fn array(&mut self) -> Result<Json, Fault> {
        self.offset += 1;
        let mut nodes = Vec::new();
        loop {
            match self.next() {
                b']' => break,
                b',' => self.offset += 1,
                _ => nodes.push(self.value()?),
            }
        }
        self.offset += 1;
        nodes.shrink_to_fit();
        Ok(Json::Array(nodes))
    }

    fn object(&mut self) -> Result<Json, Fault> {
        self.offset += 1;
        let mut entries = Vec::new();
        let mut keys = HashSet::new();
        loop {
            match self.next() {
                b'}' => break,
                b',' => self.offset += 1,
                _ => {
                    let offset = self.offset;
                    let key = self.string();
                    if !keys.insert(key.clone()) {
                        let message = format!("the key {key:?} occurs twice: keep one of them");
                        return Err(self.document.fault(offset, message));
                    }
                    self.next();
                    self.offset += 1; // the colon
                    entries.push((key, self.value()?));
                }
            }
        }
        self.offset += 1;
        entries.shrink_to_fit();
        Ok(Json::Object(entries))
    }

    fn string(&mut self) -> String {
        let start = self.offset;
        self.offset += 1;
        loop {
            match self.peek() {
                b'\\' => self.offset += 2,
                b'"' | 0 => break,
                _ => self.offset += 1,
            }
        }
        self.offset += 1;
        let text = self.document.text.get(start..self.offset).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    fn number(&mut self) -> Result<Json, Fault> {
        let start = self.offset;
        while matches!(self.peek(), b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
            self.offset += 1;
        }
        let text = self.document.text.get(start..self.offset).unwrap_or_default();
        // IgnoredAny accepts 1e999; Number does not.
        serde_json::from_str(text).map(Json::Number).map_err(|_| {
            self.document.fault(start, format!("{text} is out of the range of a number"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, Fault> {
        Document::new("", text).parse()
    }

    #[test]
    fn values_keep_their_positions() {
        let document = Document::new("", "{\n  \"é\": [1, \"a\\\"}\", {}], \"b\" : null }");
        let node = document.parse().unwrap();
        assert_eq!(node.to_text(), r#"{"b":null,"é":[1,"a\"}",{}]}"#);
        let Json::Array(items) = &node.get("é").unwrap().json else { panic!() };
        let location = document.location(items[1].offset as usize, "x");
        assert_eq!((location.line, location.column, location.path.as_str()), (2, 12, "x"));
    }

    #[test]
    fn invalid_json_has_a_location() {
        for (text, message, line, column) in [
            ("", "the text is empty: a schema is required", 1, 1),
            ("{\n\"a\": }", "this is not JSON: expected value", 2, 6),
            ("{\"a\":1,\"a\":2}", "the key \"a\" occurs twice: keep one of them", 1, 8),
            ("string", "this is not JSON: expected value", 1, 1),
            ("[1e999]", "1e999 is out of the range of a number", 1, 2),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.message, message);
            assert_eq!((fault.location.line, fault.location.column), (line, column), "{text}");
        }
        let deep = "[".repeat(DEFINITION_DEPTH_MAX + 1);
        assert_eq!(parse(&deep).unwrap_err().location.column, 101);
        let nested =
            format!("{}{}", "[".repeat(DEFINITION_DEPTH_MAX), "]".repeat(DEFINITION_DEPTH_MAX));
        assert!(parse(&nested).is_ok());
    }
}
