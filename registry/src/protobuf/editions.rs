//! Editions, for a parser and a linker that know proto2 and proto3.
//!
//! A text of an edition is written as proto2: every field gets the label that editions left out, and reserved names get
//! their quotes. Once it is linked, what its features say is written into the descriptors: groups for what is delimited,
//! labels for what is required, packing. A descriptor set of an edition takes the second half of this way.

use std::collections::HashSet;

use prost_reflect::{DynamicMessage, Value};

use super::{
    features::{Edition, Features, Presence},
    limits::Tokens,
};

const LABEL_OPTIONAL: i32 = 1;
const LABEL_REQUIRED: i32 = 2;
const LABEL_REPEATED: i32 = 3;
const TYPE_STRING: i32 = 9;
const TYPE_GROUP: i32 = 10;
const TYPE_MESSAGE: i32 = 11;
const TYPE_BYTES: i32 = 12;

/// A text as the parser gets it, and how to find its places in what its author wrote.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    pub(super) text: String,
    /// Offsets in the rewritten text and how many bytes more than its author's stand before them.
    shifts: Vec<(usize, isize)>,
    lines: Vec<usize>,
}

/// The edition that a text names, if it does: `"2023"`.
pub(super) fn named_by(text: &str) -> Option<(usize, &str)> {
    let mut tokens = Tokens::new(text);
    let mut next = || tokens.next();
    if next()?.1 != b"edition" || next()?.1 != b"=" {
        return None;
    }
    let (at, _) = next()?;
    let quote = text.get(at..at + 1)?;
    let name = text.get(at + 1..)?.split(quote).next()?;
    Some((at, name))
}

/// The edition of a number or a name. None: one that came after this was written.
pub(super) fn edition(name: &str) -> Option<Edition> {
    matches!(name, "2023" | "2024" | "1000" | "1001").then_some(Edition::Modern)
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Fields,
    Values,
    Oneof,
    Other,
}

impl Rewritten {
    /// Writes a text of an edition as proto2.
    pub(super) fn of(text: &str) -> Self {
        let mut rewritten = Self { text: String::with_capacity(text.len() * 2), ..Self::default() };
        let mut scopes: Vec<Scope> = Vec::new();
        let (mut brackets, mut begins, mut copied) = (0_usize, true, 0);
        let mut statement: &[u8] = b"";
        let mut tokens = Tokens::new(text).peekable();
        while let Some((at, token)) = tokens.next() {
            let followed = tokens.peek().map_or(b"".as_slice(), |(_, next)| *next);
            let scope = scopes.last().copied();
            let first = begins && brackets == 0 && scope != Some(Scope::Other);
            if first {
                statement = token;
                begins = false;
                let (insert, skip) = match (scope, token) {
                    (None, b"edition") => ("syntax", token.len()),
                    (_, b"export" | b"local") if is_declaration(followed) => {
                        begins = true;
                        ("", token.len())
                    }
                    (Some(Scope::Fields), _) if is_field(token, followed) => ("optional ", 0),
                    _ => ("", 0),
                };
                rewritten.copy(text, &mut copied, at);
                rewritten.replace(insert, skip);
                copied += skip;
            } else if statement == b"edition"
                && scope.is_none()
                && token.first().is_some_and(|it| b"\"'".contains(it))
            {
                rewritten.copy(text, &mut copied, at);
                rewritten.replace("\"proto2\"", token.len());
                copied += token.len();
            } else if statement == b"import" && token == b"option" {
                rewritten.copy(text, &mut copied, at);
                rewritten.replace("", token.len());
                copied += token.len();
            } else if statement == b"reserved" && brackets == 0 && is_reserved_name(token) {
                rewritten.copy(text, &mut copied, at);
                rewritten.replace("\"", 0);
                rewritten.copy(text, &mut copied, at + token.len());
                rewritten.replace("\"", 0);
            }
            match token {
                b"[" | b"(" => brackets += 1,
                b"]" | b")" => brackets = brackets.saturating_sub(1),
                b"{" => {
                    let opened = match statement {
                        _ if brackets > 0 || scope == Some(Scope::Other) => Scope::Other,
                        b"message" | b"extend" => Scope::Fields,
                        b"enum" => Scope::Values,
                        b"oneof" => Scope::Oneof,
                        _ => Scope::Other,
                    };
                    scopes.push(opened);
                    begins = opened != Scope::Other;
                }
                b"}" => begins = scopes.pop() != Some(Scope::Other) || statement == b"service",
                b";" if brackets == 0 && scope != Some(Scope::Other) => begins = true,
                _ => {}
            }
        }
        rewritten.copy(text, &mut copied, text.len());
        rewritten.lines = std::iter::once(0)
            .chain(rewritten.text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        rewritten
    }

    /// The offset of a byte in what the author wrote.
    pub(super) fn original(&self, at: usize) -> usize {
        let after = self.shifts.partition_point(|(from, _)| *from <= at);
        let shift = after.checked_sub(1).and_then(|it| self.shifts.get(it)).map_or(0, |it| it.1);
        at.saturating_add_signed(-shift)
    }

    /// How many bytes more than its author's stand before a column of a line.
    pub(super) fn shift(&self, line: u32, column: u32) -> u32 {
        let Some(start) = self.lines.get(line as usize) else { return 0 };
        let original = self.original(start + column as usize).saturating_sub(self.original(*start));
        column.saturating_sub(u32::try_from(original).unwrap_or(column))
    }

    fn copy(&mut self, text: &str, copied: &mut usize, to: usize) {
        self.text.push_str(text.get(*copied..to).unwrap_or_default());
        *copied = to;
    }

    /// Writes something that its author did not, in place of so many bytes.
    fn replace(&mut self, with: &str, skipped: usize) {
        self.text.push_str(with);
        let change =
            isize::try_from(with.len()).unwrap_or(0) - isize::try_from(skipped).unwrap_or(0);
        if change != 0 {
            let before = self.shifts.last().map_or(0, |it| it.1);
            self.shifts.push((self.text.len(), before + change));
        }
    }
}

fn is_declaration(token: &[u8]) -> bool {
    matches!(token, b"message" | b"enum")
}

fn is_field(token: &[u8], followed: &[u8]) -> bool {
    let word = token.first().is_some_and(|it| it.is_ascii_alphabetic() || b"_.".contains(it));
    let labelled = matches!(
        token,
        b"message"
            | b"enum"
            | b"extend"
            | b"oneof"
            | b"option"
            | b"extensions"
            | b"reserved"
            | b"repeated"
            | b"optional"
            | b"required"
    );
    word && !labelled && !(token == b"map" && followed == b"<")
}

fn is_reserved_name(token: &[u8]) -> bool {
    token.first().is_some_and(|it| it.is_ascii_alphabetic() || *it == b'_')
        && !matches!(token, b"to" | b"max" | b"reserved")
}

/// Writes what features say into a file's descriptor that was linked once.
pub(super) fn apply(file: &mut DynamicMessage) {
    let features = under(Features::of(Edition::Modern), file);
    each(file, "message_type", |message| apply_message(message, features));
    each(file, "extension", |field| apply_field(field, features, &HashSet::new()));
}

// As deep as messages nest: prost decodes 100 levels.
fn apply_message(message: &mut DynamicMessage, above: Features) {
    let features = under(above, message);
    let mut entries = HashSet::new();
    each(message, "nested_type", |nested| {
        if flag(nested, "map_entry") {
            entries.insert(text(nested, "name"));
        }
    });
    each(message, "nested_type", |nested| {
        if !flag(nested, "map_entry") {
            apply_message(nested, features);
        }
    });
    each(message, "field", |field| apply_field(field, features, &entries));
    each(message, "extension", |field| apply_field(field, features, &HashSet::new()));
}

fn apply_field(field: &mut DynamicMessage, above: Features, entries: &HashSet<String>) {
    let features = under(above, field);
    let (label, kind) = (number(field, "label"), number(field, "type"));
    let type_name = text(field, "type_name");
    let map = entries.contains(type_name.rsplit('.').next().unwrap_or_default());
    if features.presence == Presence::Required
        && label == LABEL_OPTIONAL
        && !field.has_field_by_name("oneof_index")
    {
        set(field, "label", LABEL_REQUIRED);
    }
    if features.delimited && kind == TYPE_MESSAGE && !map {
        set(field, "type", TYPE_GROUP);
    }
    let packs = !matches!(kind, TYPE_STRING | TYPE_GROUP | TYPE_MESSAGE | TYPE_BYTES);
    if features.packed
        && label == LABEL_REPEATED
        && packs
        && let Some(Value::Message(options)) = field.get_field_by_name_mut("options")
        && !options.has_field_by_name("packed")
    {
        set_value(options, "packed", Value::Bool(true));
    }
}

fn under(above: Features, declared: &DynamicMessage) -> Features {
    match declared.get_field_by_name("options").as_deref() {
        Some(Value::Message(options)) => above.under(options),
        _ => above,
    }
}

fn each(message: &mut DynamicMessage, list: &str, mut visit: impl FnMut(&mut DynamicMessage)) {
    if let Some(Value::List(items)) = message.get_field_by_name_mut(list) {
        for item in items {
            if let Value::Message(item) = item {
                visit(item);
            }
        }
    }
}

fn flag(message: &DynamicMessage, option: &str) -> bool {
    let options = message.get_field_by_name("options");
    let options = options.as_deref().and_then(Value::as_message);
    options.and_then(|it| it.get_field_by_name(option)?.as_bool()).unwrap_or(false)
}

/// A text of a descriptor; empty where it is absent.
pub(super) fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An enum of a descriptor; 0 where it is absent.
pub(super) fn number(message: &DynamicMessage, field: &str) -> i32 {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_enum_number).unwrap_or(0)
}

fn set(message: &mut DynamicMessage, field: &str, number: i32) {
    set_value(message, field, Value::EnumNumber(number));
}

/// Sets a field of a descriptor that has it.
pub(super) fn set_value(message: &mut DynamicMessage, field: &str, value: Value) {
    // The descriptors of descriptors are the linker's own, so a field of another type is a bug that tests see.
    let _ = message.try_set_field_by_name(field, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_written_as_proto2() {
        let text = "edition = '2023';\n\
            message A { option features.field_presence = IMPLICIT;\n\
            string a = 1 [(x) = { b: 1; c { d: 2 } }]; reserved foo, 3 to max, \"x\";\n\
            map<string, int32> m = 2; oneof o { int32 b = 3; } repeated .p.B r = 4; message C { C c = 1; } }\n\
            enum E { A = 0; reserved B; } extend A { int32 e = 100; }\n\
            service S { rpc R(A) returns (A) { option x = {a: 1}; } } message Z { int32 z = 1; }";
        let expected = "syntax = \"proto2\";\n\
            message A { option features.field_presence = IMPLICIT;\n\
            optional string a = 1 [(x) = { b: 1; c { d: 2 } }]; reserved \"foo\", 3 to max, \"x\";\n\
            map<string, int32> m = 2; oneof o { int32 b = 3; } repeated .p.B r = 4; message C { optional C c = 1; } }\n\
            enum E { A = 0; reserved \"B\"; } extend A { optional int32 e = 100; }\n\
            service S { rpc R(A) returns (A) { option x = {a: 1}; } } message Z { optional int32 z = 1; }";
        assert_eq!(named_by(text), Some((10, "2023")));
        let rewritten = Rewritten::of(text);
        assert_eq!(rewritten.text, expected);
        for word in ["message A", "3 to max", ".p.B", "e = 100", "z = 1"] {
            let (from, to) = (text.find(word), rewritten.text.find(word));
            assert_eq!(to.map(|at| rewritten.original(at)), from, "{word}");
        }
        assert_eq!(rewritten.shift(2, 9), 9);
        assert_eq!(named_by("/* edition */ syntax = \"proto3\";"), None);
    }
}
