//! A JSON text whose values know where they stand, so that every fault and finding has a line and a column.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::Number;

use crate::definition::{Fault, SourceLocation};

/// Deepest nesting of objects and arrays. serde_json itself refuses 128; a record takes four of them.
pub const DEPTH_MAX: usize = 100;

/// One text of a definition.
#[derive(Debug)]
pub struct Document {
    /// The further file or the import it comes from. Empty: the definition itself.
    pub file: String,
    text: String,
    /// The first byte of every line.
    lines: Vec<usize>,
}

/// A value and the byte at which it begins.
#[derive(Debug)]
pub struct Node {
    pub at: u32,
    pub json: Json,
}

/// A value.
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
    /// A text, not yet parsed.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let ends =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { file: file.into(), text, lines }
    }

    /// Where a byte of it is.
    pub fn place(&self, at: usize, path: &str) -> SourceLocation {
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        SourceLocation {
            file: self.file.clone(),
            line: number(line),
            column: number(column),
            path: path.into(),
        }
    }

    fn fault(&self, at: usize, message: impl Into<String>) -> Fault {
        Fault { place: self.place(at, ""), message: message.into() }
    }

    /// Its value.
    ///
    /// # Errors
    /// Where it is not JSON, nests too deeply, or has a key twice in one object.
    pub fn parse(&self) -> Result<Node, Fault> {
        if self.text.trim().is_empty() {
            return Err(self.fault(0, "there is no schema: the text is empty"));
        }
        self.check_depth()?;
        serde_json::from_str::<IgnoredAny>(&self.text).map_err(|error| {
            let start = self.lines.get(error.line().saturating_sub(1)).copied().unwrap_or(0);
            let at = (start + error.column().saturating_sub(1)).min(self.text.len());
            let text = error.to_string();
            let cause = text.split(" at line ").next().unwrap_or(&text);
            self.fault(at, format!("this is not JSON: {cause}"))
        })?;
        Scanner { document: self, at: 0 }.value()
    }

    fn check_depth(&self) -> Result<(), Fault> {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for (at, byte) in self.text.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'[' | b'{' if !quoted => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        let message = format!(
                            "objects and arrays nest deeper than {DEPTH_MAX}: define inner types once, and refer to them by name"
                        );
                        return Err(self.fault(at, message));
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
    /// The value of a key, where this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(it, _)| it == key).map(|(_, node)| node)
    }

    /// The entries of an object; of anything else none.
    pub fn entries(&self) -> &[(String, Self)] {
        match &self.json {
            Json::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.json {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
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

    /// The same value, the same text: keys sorted, no white space.
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

    /// [`Node::canonical`] as a text of its own.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.canonical(&mut out);
        out
    }
}

/// Writes a string as JSON.
pub fn quote(text: &str, out: &mut String) {
    if text.bytes().all(|it| it >= 0x20 && it != b'"' && it != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // Display of a JSON string cannot fail.
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Reads a text that serde_json has accepted, so it need not look for mistakes; and notes where values are.
struct Scanner<'a> {
    document: &'a Document,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> u8 {
        self.document.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The next byte that is not white space.
    fn next(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.peek()
    }

    fn value(&mut self) -> Result<Node, Fault> {
        let first = self.next();
        let at = self.at;
        let json = match first {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => Json::String(self.string()),
            b't' => self.word(4, Json::Bool(true)),
            b'f' => self.word(5, Json::Bool(false)),
            b'n' => self.word(4, Json::Null),
            _ => self.number()?,
        };
        Ok(Node { at: u32::try_from(at).unwrap_or(u32::MAX), json })
    }

    fn word(&mut self, length: usize, json: Json) -> Json {
        self.at += length;
        json
    }

    fn array(&mut self) -> Result<Json, Fault> {
        self.at += 1;
        let mut nodes = Vec::new();
        loop {
            match self.next() {
                b']' => break,
                b',' => self.at += 1,
                _ => nodes.push(self.value()?),
            }
        }
        self.at += 1;
        nodes.shrink_to_fit();
        Ok(Json::Array(nodes))
    }

    fn object(&mut self) -> Result<Json, Fault> {
        self.at += 1;
        let mut entries = Vec::new();
        let mut keys = HashSet::new();
        loop {
            match self.next() {
                b'}' => break,
                b',' => self.at += 1,
                _ => {
                    let at = self.at;
                    let key = self.string();
                    if !keys.insert(key.clone()) {
                        let message = format!("the key {key:?} is there twice: keep one of them");
                        return Err(self.document.fault(at, message));
                    }
                    self.next();
                    self.at += 1; // the colon
                    entries.push((key, self.value()?));
                }
            }
        }
        self.at += 1;
        entries.shrink_to_fit();
        Ok(Json::Object(entries))
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                b'\\' => self.at += 2,
                b'"' | 0 => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let text = self.document.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    fn number(&mut self) -> Result<Json, Fault> {
        let start = self.at;
        while matches!(self.peek(), b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
            self.at += 1;
        }
        let text = self.document.text.get(start..self.at).unwrap_or_default();
        // IgnoredAny takes 1e999; a number does not.
        serde_json::from_str(text)
            .map(Json::Number)
            .map_err(|_| self.document.fault(start, format!("{text} is not a number that fits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, Fault> {
        Document::new("", text).parse()
    }

    #[test]
    fn values_know_where_they_are() {
        let document = Document::new("", "{\n  \"é\": [1, \"a\\\"}\", {}], \"b\" : null }");
        let node = document.parse().unwrap();
        assert_eq!(node.to_text(), r#"{"b":null,"é":[1,"a\"}",{}]}"#);
        let Json::Array(items) = &node.get("é").unwrap().json else { panic!() };
        let place = document.place(items[1].at as usize, "x");
        assert_eq!((place.line, place.column, place.path.as_str()), (2, 12, "x"));
    }

    #[test]
    fn what_is_not_json_says_where() {
        for (text, message, line, column) in [
            ("", "there is no schema: the text is empty", 1, 1),
            ("{\n\"a\": }", "this is not JSON: expected value", 2, 6),
            ("{\"a\":1,\"a\":2}", "the key \"a\" is there twice: keep one of them", 1, 8),
            ("string", "this is not JSON: expected value", 1, 1),
            ("[1e999]", "1e999 is not a number that fits", 1, 2),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.message, message);
            assert_eq!((fault.place.line, fault.place.column), (line, column), "{text}");
        }
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(parse(&deep).unwrap_err().place.column, 101);
        let nested = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(parse(&nested).is_ok());
    }
}
