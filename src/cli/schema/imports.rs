//! Finds the files that a schema's text refers to. Whether the text is valid is checked elsewhere,
//! with limits.

use serde_json::Value;
use tidings_schema::schema::Format;

/// The paths that a file refers to. `path` is the path of the file itself; it is empty for the
/// schema itself.
pub fn imports(format: Format, path: &str, text: &str) -> Vec<String> {
    match format {
        Format::Protobuf => proto_imports(text),
        Format::Json => {
            // Invalid JSON has no references; its faults are reported elsewhere.
            let document = serde_json::from_str(text).unwrap_or_default();
            let mut references = Vec::new();
            json_references(&document, &mut references);
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            references.iter().filter_map(|reference| relative(folder, reference)).collect()
        }
        // Avro refers to types by name, not to files.
        Format::Avro => Vec::new(),
    }
}

fn json_references<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "$ref" || name == "$dynamicRef" => {
                        references.push(text);
                    }
                    _ => json_references(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| json_references(item, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The path of a relative reference, resolved in a folder. None if it stays in its document, has a
/// scheme, or leads out.
fn relative(folder: &str, reference: &str) -> Option<String> {
    let path = reference.split('#').next().filter(|path| !path.is_empty())?;
    if path.contains(':') || path.starts_with('/') {
        return None;
    }
    let mut segments: Vec<&str> = folder.split('/').filter(|segment| !segment.is_empty()).collect();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                segments.pop()?;
            }
            segment => segments.push(segment),
        }
    }
    Some(segments.join("/"))
}

/// The paths of the `import` statements of a .proto text, in order.
fn proto_imports(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    // A statement starts at the beginning, after `;` and after braces.
    let mut at_start = true;
    let mut tokens = Tokens { rest: text }.peekable();
    while let Some(token) = tokens.next() {
        let import = at_start && matches!(token, Token::Word("import"));
        at_start = matches!(token, Token::Sign(';' | '{' | '}'));
        if !import {
            continue;
        }
        if matches!(tokens.peek(), Some(Token::Word("public" | "weak" | "option"))) {
            tokens.next();
        }
        let mut path = String::new();
        while let Some(Token::Text(segment)) = tokens.peek() {
            path.push_str(segment);
            tokens.next();
        }
        if !path.is_empty() && matches!(tokens.peek(), Some(Token::Sign(';'))) {
            paths.push(path);
        }
    }
    paths
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// Between quotes, with its escapes.
    Text(&'a str),
    Sign(char),
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn cut(&mut self, index: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(index);
        self.rest = rest;
        token
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("//") {
                self.cut(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.cut(self.rest.find("*/").map_or(self.rest.len(), |end| end + 2));
            } else {
                break;
            }
        }
        let first = self.rest.chars().next()?;
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        if in_word(first) {
            let end = self.rest.find(|c| !in_word(c)).unwrap_or(self.rest.len());
            return Some(Token::Word(self.cut(end)));
        }
        if first != '"' && first != '\'' {
            self.cut(first.len_utf8());
            return Some(Token::Sign(first));
        }
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let ends = !escaped && (*c == first || *c == '\n');
            escaped = !escaped && *c == '\\';
            ends
        });
        let end = end.map_or(self.rest.len(), |(index, c)| index + c.len_utf8());
        Some(Token::Text(self.cut(end).trim_matches(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_import_statements_are_found() {
        let text = r#"
            syntax = "proto3"; // import "comment.proto";
            /* import "block.proto"; */
            import "a.proto";
            import public 'b/c.proto';import weak "d" ".proto";
            message M {
              string import = 1;
              option (text) = "import \"text.proto\";";
            }
            import option "e.proto";
            important "f.proto";
            import "unfinished
        "#;
        assert_eq!(proto_imports(text), ["a.proto", "b/c.proto", "d.proto", "e.proto"]);
        assert_eq!(proto_imports("import"), Vec::<String>::new());
        assert_eq!(proto_imports("import \"\\\"; import \"x.proto\";"), Vec::<String>::new());
        assert_eq!(proto_imports("/* import \"a\";"), Vec::<String>::new());
    }

    #[test]
    fn only_relative_references_are_files() {
        let text = r##"{"$ref": "a.json#/x", "items": [{"$ref": "#/y"}, {"$ref": "./b/c.json"},
            {"$ref": "../d.json"}, {"$ref": "https://x.example/e.json"}, {"$ref": "/f.json"}]}"##;
        assert_eq!(imports(Format::Json, "", text), ["a.json", "b/c.json"]);
        assert_eq!(imports(Format::Json, "b/c.json", r#"{"$ref": "../d.json"}"#), ["d.json"]);
        assert_eq!(imports(Format::Json, "", "{"), Vec::<String>::new());
    }
}
