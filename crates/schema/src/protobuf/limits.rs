//! Size limits of definitions, checked before any slow operation.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    UninterpretedOption,
};

use crate::definition::SourceLocation;

/// Messages, fields, oneofs, enums, values, services and methods of a definition. 50,000 fields
/// take 10 s to link, and the time grows quadratically.
pub(super) const DEFINITIONS_MAX: usize = 10_000;

/// The same for a definition with all its imports from other subjects.
pub(super) const LINKED_DEFINITIONS_MAX: usize = 30_000;

/// Fields of one message.
const FIELDS_MAX: usize = 5_000;

/// Reserved ranges and names, extension ranges and options. Each is compared with each field of its
/// message.
const ATTRIBUTES_MAX: usize = 20_000;

/// Parts of an option's name, as in `(a).b.c`. The linker makes a nested message of each part:
/// 500,000 levels overflow the stack, and more than 100 levels do not decode. The sum of this limit
/// and [`DEPTH_MAX`] is below 100.
const OPTION_PARTS_MAX: usize = 16;

/// Parts of any name.
const NAME_PARTS_MAX: usize = 64;

/// Statements of a text, including those that are not definitions, such as options and imports.
const STATEMENTS_MAX: usize = DEFINITIONS_MAX + 5_000;

/// Files of a definition with its imports.
pub(super) const FILES_MAX: usize = 500;

/// Nested braces and brackets of any kind. The parser accepts 31 nested messages, and options nest
/// inside them.
const DEPTH_MAX: usize = 64;

/// A limit that a text exceeds, with the location.
#[derive(Debug)]
pub(super) struct LimitExceeded {
    pub(super) location: SourceLocation,
    pub(super) message: String,
}

/// Checks the approximate size of a text before it is parsed.
pub(super) fn check_text(text: &str) -> Result<(), LimitExceeded> {
    let (mut statements, mut commas, mut depth) = (0_usize, 0_usize, 0_usize);
    let too_large = |at: usize, message: String| {
        Err(LimitExceeded { location: SourceLocation::of_byte(text, at), message })
    };
    for (at, token) in Tokens::new(text) {
        match token {
            b";" => statements += 1,
            b"," => commas += 1,
            b"{" | b"[" | b"<" => {
                statements += usize::from(token == b"{");
                depth += 1;
            }
            b"}" | b"]" | b">" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let parts = token.iter().filter(|byte| **byte == b'.').count();
        if parts > NAME_PARTS_MAX && token.first().is_some_and(|byte| is_word_byte(*byte)) {
            return too_large(at, format!("the name has more than {NAME_PARTS_MAX} parts"));
        }
        if statements > STATEMENTS_MAX {
            return too_large(
                at,
                format!(
                    "more than {DEFINITIONS_MAX} definitions; split the schema into several subjects"
                ),
            );
        }
        if commas > ATTRIBUTES_MAX {
            return too_large(
                at,
                format!("more than {ATTRIBUTES_MAX} reserved numbers and options"),
            );
        }
        if depth > DEPTH_MAX {
            return too_large(at, format!("braces and brackets nested more than {DEPTH_MAX} deep"));
        }
    }
    Ok(())
}

/// Counts the definitions of a file before it is linked.
pub(super) fn count_definitions(file: &FileDescriptorProto) -> Result<usize, String> {
    let mut counter = DefinitionCounter::default();
    counter.options(file.options.as_ref().map(|options| &options.uninterpreted_option));
    counter.fields("the file", &file.extension)?;
    for message in &file.message_type {
        counter.message(message)?;
    }
    file.enum_type.iter().for_each(|kind| counter.enumeration(kind));
    for service in &file.service {
        counter.definitions += 1 + service.method.len();
        counter.options(service.options.as_ref().map(|options| &options.uninterpreted_option));
        for method in &service.method {
            counter.options(method.options.as_ref().map(|options| &options.uninterpreted_option));
        }
    }
    if counter.attributes > ATTRIBUTES_MAX {
        return Err(format!(
            "{} reserved numbers and options; the limit is {ATTRIBUTES_MAX}",
            counter.attributes
        ));
    }
    if counter.parts > OPTION_PARTS_MAX {
        return Err(format!(
            "an option name has {} parts; the limit is {OPTION_PARTS_MAX}",
            counter.parts
        ));
    }
    Ok(counter.definitions)
}

#[derive(Default)]
struct DefinitionCounter {
    definitions: usize,
    attributes: usize,
    /// The parts of the longest option name.
    parts: usize,
}

impl DefinitionCounter {
    // The recursion is as deep as messages nest: 31 levels in texts, and the 100 levels that prost
    // decodes in descriptor sets.
    fn message(&mut self, message: &DescriptorProto) -> Result<(), String> {
        self.definitions += 1 + message.oneof_decl.len();
        self.attributes += message.reserved_range.len()
            + message.reserved_name.len()
            + message.extension_range.len();
        self.options(message.options.as_ref().map(|options| &options.uninterpreted_option));
        for range in &message.extension_range {
            self.options(range.options.as_ref().map(|options| &options.uninterpreted_option));
        }
        for oneof in &message.oneof_decl {
            self.options(oneof.options.as_ref().map(|options| &options.uninterpreted_option));
        }
        self.fields(message.name(), &message.field)?;
        self.fields(message.name(), &message.extension)?;
        message.enum_type.iter().for_each(|kind| self.enumeration(kind));
        message.nested_type.iter().try_for_each(|nested| self.message(nested))
    }

    fn fields(&mut self, owner: &str, fields: &[FieldDescriptorProto]) -> Result<(), String> {
        self.definitions += fields.len();
        for field in fields {
            self.options(field.options.as_ref().map(|options| &options.uninterpreted_option));
        }
        if fields.len() > FIELDS_MAX {
            return Err(format!(
                "{owner} has {} fields; the limit per message is {FIELDS_MAX}",
                fields.len()
            ));
        }
        Ok(())
    }

    fn enumeration(&mut self, kind: &EnumDescriptorProto) {
        self.definitions += 1 + kind.value.len();
        self.attributes += kind.reserved_range.len() + kind.reserved_name.len();
        self.options(kind.options.as_ref().map(|options| &options.uninterpreted_option));
        for value in &kind.value {
            self.options(value.options.as_ref().map(|options| &options.uninterpreted_option));
        }
    }

    fn options(&mut self, options: Option<&Vec<UninterpretedOption>>) {
        let options = options.map_or(&[][..], Vec::as_slice);
        self.attributes += options.len();
        let longest = options.iter().map(|option| option.name.len()).max().unwrap_or(0);
        self.parts = self.parts.max(longest);
    }
}

/// The tokens of a text with their byte offsets: words, strings and single characters, without
/// comments.
#[derive(Clone)]
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn until(&mut self, end: impl Fn(u8) -> bool) {
        while self.at < self.text.len() && !end(self.peek(0)) {
            self.at += 1;
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.at;
            let first = *self.text.get(start)?;
            match first {
                b'/' if self.peek(1) == b'/' => self.until(|byte| byte == b'\n'),
                // A comment inside an option value; invalid elsewhere.
                b'#' => self.until(|byte| byte == b'\n'),
                b'/' if self.peek(1) == b'*' => {
                    self.at += 2;
                    while self.at < self.text.len()
                        && !(self.peek(0) == b'*' && self.peek(1) == b'/')
                    {
                        self.at += 1;
                    }
                    self.at += 2;
                }
                b'"' | b'\'' => {
                    self.at += 1;
                    while self.at < self.text.len() && self.peek(0) != first {
                        self.at += if self.peek(0) == b'\\' { 2 } else { 1 };
                    }
                    self.at += 1;
                    let end = self.at.min(self.text.len());
                    return Some((start, self.text.get(start..end)?));
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                byte if is_word_byte(byte) => {
                    self.until(|byte| !is_word_byte(byte));
                    return Some((start, self.text.get(start..self.at)?));
                }
                _ => {
                    self.at += 1;
                    return Some((start, self.text.get(start..self.at)?));
                }
            }
        }
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_omit_comments_and_keep_strings() {
        let text = "a.b/*;*/ = 'x;\\'' // ;\n#}\n;\"";
        let tokens: Vec<_> =
            Tokens::new(text).map(|(_, token)| String::from_utf8_lossy(token)).collect();
        assert_eq!(tokens, ["a.b", "=", "'x;\\''", ";", "\""]);
    }
}
