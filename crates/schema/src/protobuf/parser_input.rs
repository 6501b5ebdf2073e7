//! Rewrites texts so that the parser accepts the texts that protoc's parser accepts.
//!
//! A text of an edition becomes proto2: every field gets the label that editions omit, and reserved
//! names get quotes. In any text, infinities, strings that are not UTF-8, and options of a single
//! extension number become what the parser can read. The rewrite hides some errors of protoc's
//! parser, so these are recorded as faults for the check of a draft.

use std::iter::Peekable;

use super::{
    features::Edition,
    limits::Tokens,
    literals::{self, Literal},
};

/// Prefix of the placeholders for reserved names that are not identifiers: the parser accepts only
/// identifiers.
const RESERVED: &str = "reserved_name_";

/// A rewritten text, with a mapping of its offsets to the original text.
#[derive(Debug, Default)]
pub(super) struct ParserInput {
    pub(super) text: String,
    /// Errors of protoc's parser, with byte offsets in the original text.
    pub(super) faults: Vec<(usize, String)>,
    /// Files that are imported only for their options.
    pub(super) option_imports: Vec<String>,
    /// The declared visibilities, with the offset of `message` or `enum` in the rewritten text.
    pub(super) visibility: Vec<(usize, Visibility)>,
    /// Reserved names that are not identifiers.
    reserved: Vec<String>,
    /// Offsets in the rewritten text, with the number of bytes added before them.
    shifts: Vec<(usize, isize)>,
    lines: Vec<usize>,
}

/// The declared visibility of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    Local,
    Export,
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Fields,
    Extend,
    Values,
    Oneof,
    Other,
}

/// The current statement.
#[derive(Default)]
struct Statement<'a> {
    /// The first word.
    first: &'a [u8],
    /// The first word of the enclosing statement, if this is its first nested statement.
    opener: &'a [u8],
    /// The type of a field.
    kind: &'a [u8],
    word_count: usize,
}

type TokenStream<'a> = Peekable<Tokens<'a>>;

impl ParserInput {
    /// Rewrites a text. `edition` is declared by the first statement; `None` for proto2 and proto3.
    pub(super) fn of(text: &str, edition: Option<Edition>) -> Self {
        let mut input = Self { text: String::with_capacity(text.len() + 64), ..Self::default() };
        let mut scopes: Vec<Scope> = Vec::new();
        let (mut brackets, mut at_start, mut copied) = (0_usize, true, 0);
        let mut statement = Statement::default();
        let mut visibility = None;
        let mut previous: [&[u8]; 2] = [b"", b""];
        let mut tokens = Tokens::new(text).peekable();
        while let Some((at, token)) = tokens.next() {
            let next = tokens.peek().map_or(b"".as_slice(), |(_, next)| *next);
            let scope = scopes.last().copied();
            let first = at_start && brackets == 0 && scope != Some(Scope::Other);
            if first {
                at_start = false;
                let opener = if previous[1] == b"{" { statement.first } else { b"" };
                statement = Statement { first: token, opener, ..Statement::default() };
                input.copy(text, &mut copied, at);
            }
            statement.read(token);
            if let Some(edition) = edition {
                if first {
                    if let Some(declared) = declared_visibility(token, next) {
                        at_start = true;
                        visibility = Some(declared);
                        input.check_visibility(at, edition);
                    } else if let Some(visibility) = visibility.take() {
                        input.visibility.push((input.text.len(), visibility));
                    }
                }
                let (insert, skip) =
                    input.edition_replacement(at, token, next, first, scope, &statement, edition);
                if skip > 0 || !insert.is_empty() {
                    input.copy(text, &mut copied, at);
                    input.replace(insert, skip);
                    copied += skip;
                }
                let is_name = statement.first == b"reserved" && is_identifier(token);
                if is_name && !first && matches!(previous[1], b"reserved" | b",") {
                    input.copy(text, &mut copied, at);
                    input.replace("\"", 0);
                    input.copy(text, &mut copied, at + token.len());
                    input.replace("\"", 0);
                }
            }
            input.check_statement(
                at,
                token,
                previous,
                &statement,
                first.then_some(scope).flatten(),
            );
            if token == b"["
                && brackets == 0
                && statement.first == b"extensions"
                && previous[0] != b"to"
                && previous[1].first().is_some_and(u8::is_ascii_digit)
            {
                // The parser accepts options only on a range, not on a single number.
                input.copy(text, &mut copied, at);
                let number = str::from_utf8(previous[1]).unwrap_or_default();
                input.replace(&format!("to {number} "), 0);
            }
            if previous[1] == b"=" && previous[0] != b"default" && token == b"-" {
                input.negate(text, &mut copied, at, &mut tokens);
            }
            if literals::is_literal(token) && !literals::is_literal(previous[1]) {
                let more = tokens.clone().take_while(|(_, token)| literals::is_literal(token));
                let run: Vec<_> = std::iter::once((at, token)).chain(more).collect();
                let is_text = statement.is_text(previous);
                input.replace_strings(text, &mut copied, &run, is_text, &statement);
            }
            previous = [previous[1], token];
            match token {
                b"[" | b"(" => brackets += 1,
                b"]" | b")" => brackets = brackets.saturating_sub(1),
                b"{" => {
                    let opened = match statement.first {
                        _ if brackets > 0 || scope == Some(Scope::Other) => Scope::Other,
                        b"message" => Scope::Fields,
                        b"extend" => Scope::Extend,
                        b"enum" => Scope::Values,
                        b"oneof" => Scope::Oneof,
                        _ if statement.kind == b"group" => Scope::Fields,
                        _ => Scope::Other,
                    };
                    scopes.push(opened);
                    at_start = opened != Scope::Other;
                }
                b"}" => {
                    at_start = scopes.pop() != Some(Scope::Other) || statement.first == b"service"
                }
                b";" if brackets == 0 && scope != Some(Scope::Other) => at_start = true,
                _ => {}
            }
        }
        input.copy(text, &mut copied, text.len());
        input.lines = std::iter::once(0)
            .chain(input.text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        input
    }

    /// Whether the text is unchanged.
    #[cfg(test)]
    pub(super) fn is_unchanged(&self) -> bool {
        self.shifts.is_empty() && self.reserved.is_empty()
    }

    /// Maps a byte offset to the original text.
    pub(super) fn original(&self, at: usize) -> usize {
        let after = self.shifts.partition_point(|(from, _)| *from <= at);
        let shift = after
            .checked_sub(1)
            .and_then(|index| self.shifts.get(index))
            .map_or(0, |shift| shift.1);
        at.saturating_add_signed(-shift)
    }

    /// The number of bytes added before a column of a line; negative if bytes were removed.
    pub(super) fn shift(&self, line: u32, column: u32) -> i64 {
        let Some(start) = self.lines.get(line as usize) else { return 0 };
        let original = self.original(start + column as usize).saturating_sub(self.original(*start));
        i64::from(column) - i64::try_from(original).unwrap_or(i64::from(column))
    }

    /// The line and the column in bytes of an offset in the rewritten text, both from 0.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).saturating_sub(1);
        (line, at - self.lines.get(line).copied().unwrap_or(0))
    }

    /// The reserved name of a placeholder.
    pub(super) fn reserved_name(&self, name: &str) -> Option<&String> {
        self.reserved.get(name.strip_prefix(RESERVED)?.parse::<usize>().ok()?)
    }

    /// The replacement for a token in a text of an edition, and the number of bytes that it
    /// replaces.
    #[expect(clippy::too_many_arguments, reason = "the state of one loop")]
    fn edition_replacement(
        &mut self,
        at: usize,
        token: &[u8],
        next: &[u8],
        first: bool,
        scope: Option<Scope>,
        statement: &Statement<'_>,
        edition: Edition,
    ) -> (&'static str, usize) {
        let holds_fields = matches!(scope, Some(Scope::Fields | Scope::Extend));
        match (statement.first, token) {
            (_, b"edition") if first && scope.is_none() => ("syntax", token.len()),
            (b"edition", _) if scope.is_none() && literals::is_literal(token) => {
                ("\"proto2\"", token.len())
            }
            (b"export" | b"local", _) if first && is_declaration(next) => ("", token.len()),
            (b"import", b"option") => {
                if edition < Edition::E2024 {
                    let message =
                        "`import option` requires edition 2024; import the file without `option`";
                    self.faults.push((at, message.to_owned()));
                }
                self.option_imports.push(unquoted(next));
                ("", token.len())
            }
            (b"import", b"weak") => {
                if edition >= Edition::E2024 {
                    let message = "edition 2024 has no weak imports; use `import option`, or import the file without `weak`";
                    self.faults.push((at, message.to_owned()));
                }
                ("", 0)
            }
            (b"import", b"import")
                if first && !self.option_imports.is_empty() && next != b"option" =>
            {
                let message = "an import follows an `import option`; put all imports before the first `import option`";
                self.faults.push((at, message.to_owned()));
                ("", 0)
            }
            (b"optional", _) if first && holds_fields => {
                let message = "the label `optional` does not exist in editions; remove it, because fields have presence \
                               unless features.field_presence is set";
                self.faults.push((at, message.to_owned()));
                ("", 0)
            }
            (b"reserved", _) if literals::is_literal(token) => {
                let message =
                    "a reserved name is an identifier in editions; write it without quotes";
                self.faults.push((at, message.to_owned()));
                ("", 0)
            }
            (_, _) if first && holds_fields && is_field(token, next) => ("optional ", 0),
            _ => ("", 0),
        }
    }

    /// Checks for statements that protoc's parser rejects in any syntax.
    fn check_statement(
        &mut self,
        at: usize,
        token: &[u8],
        previous: [&[u8]; 2],
        statement: &Statement<'_>,
        start_scope: Option<Scope>,
    ) {
        let first = if previous[1] == b"{" { statement.opener } else { statement.first };
        let message = match (first, previous[1], token) {
            (b"option", b"option", b"map_entry") => {
                "the option map_entry is reserved for the compiler; write the field as map<KEY, VALUE>"
            }
            (b"option", b"option", _) | (_, b"[" | b",", _)
                if token.split(|byte| *byte == b'.').next() == Some(b"uninterpreted_option") =>
            {
                "the option uninterpreted_option is reserved for the compiler; remove it"
            }
            (b"extend", b"{", b"}") => "an `extend` has no fields; add one, or remove it",
            (_, _, b";") if matches!(start_scope, Some(Scope::Extend | Scope::Oneof)) => {
                "a oneof or an `extend` contains an empty statement; remove the `;`"
            }
            _ => return,
        };
        self.faults.push((at, message.to_owned()));
    }

    fn check_visibility(&mut self, at: usize, edition: Edition) {
        if edition < Edition::E2024 {
            let message = "`export` and `local` require edition 2024; remove the keyword";
            self.faults.push((at, message.to_owned()));
        }
    }

    /// Rewrites `-inf` and `-nan`, which only protoc accepts as option values. The sign of a NaN
    /// has no meaning.
    fn negate(
        &mut self,
        text: &str,
        copied: &mut usize,
        minus: usize,
        tokens: &mut TokenStream<'_>,
    ) {
        match tokens.peek() {
            Some((at, b"inf")) => {
                self.copy(text, copied, *at);
                self.replace("1e999", 3);
                *copied += 3;
            }
            Some((_, b"nan")) => {
                self.copy(text, copied, minus);
                self.replace("", 1);
                *copied += 1;
            }
            _ => {}
        }
    }

    /// Rewrites consecutive strings, which are one value, if the parser does not accept them.
    fn replace_strings(
        &mut self,
        text: &str,
        copied: &mut usize,
        run: &[(usize, &[u8])],
        is_text: bool,
        statement: &Statement<'_>,
    ) {
        let is_reserved = statement.first == b"reserved";
        let decoded: Option<Vec<Literal>> =
            run.iter().map(|(_, token)| Literal::of(token)).collect();
        let Some(decoded) = decoded else { return };
        let surrogates = decoded.iter().any(|literal| literal.has_surrogates);
        let bytes: Vec<u8> = decoded.into_iter().flat_map(|literal| literal.bytes).collect();
        let replacement = if is_reserved && !is_identifier(&bytes) {
            let name = format!("\"{RESERVED}{}\"", self.reserved.len());
            self.reserved.push(String::from_utf8_lossy(&bytes).into_owned());
            name
        } else if is_text && str::from_utf8(&bytes).is_err() {
            literals::quote(literals::utf8_text(&bytes).as_bytes())
        } else if surrogates {
            literals::quote(&bytes)
        } else {
            return;
        };
        for (index, (at, token)) in run.iter().enumerate() {
            self.copy(text, copied, *at);
            self.replace(if index == 0 { &replacement } else { "\"\"" }, token.len());
            *copied += token.len();
        }
    }

    fn copy(&mut self, text: &str, copied: &mut usize, to: usize) {
        self.text.push_str(text.get(*copied..to).unwrap_or_default());
        *copied = to.max(*copied);
    }

    /// Writes `replacement` in place of `skipped` bytes of the original text.
    fn replace(&mut self, replacement: &str, skipped: usize) {
        self.text.push_str(replacement);
        let change =
            isize::try_from(replacement.len()).unwrap_or(0) - isize::try_from(skipped).unwrap_or(0);
        if change != 0 {
            let previous = self.shifts.last().map_or(0, |shift| shift.1);
            self.shifts.push((self.text.len(), previous + change));
        }
    }
}

impl<'a> Statement<'a> {
    fn read(&mut self, token: &'a [u8]) {
        self.word_count += 1;
        let is_label = matches!(self.first, b"optional" | b"required" | b"repeated");
        if self.word_count == if is_label { 2 } else { 1 } {
            self.kind = token;
        }
    }

    /// Whether the value after two tokens is text, not bytes: a JSON name or the default of a
    /// string.
    fn is_text(&self, previous: [&[u8]; 2]) -> bool {
        let [name, equals] = previous;
        equals == b"=" && (name == b"json_name" || name == b"default" && self.kind == b"string")
    }
}

fn declared_visibility(token: &[u8], next: &[u8]) -> Option<Visibility> {
    match token {
        b"export" if is_declaration(next) => Some(Visibility::Export),
        b"local" if is_declaration(next) => Some(Visibility::Local),
        _ => None,
    }
}

fn is_declaration(token: &[u8]) -> bool {
    matches!(token, b"message" | b"enum")
}

fn is_field(token: &[u8], next: &[u8]) -> bool {
    let starts_word =
        token.first().is_some_and(|byte| byte.is_ascii_alphabetic() || b"_.".contains(byte));
    let is_keyword = matches!(
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
    starts_word && !is_keyword && !(token == b"map" && next == b"<")
}

fn is_identifier(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn unquoted(token: &[u8]) -> String {
    Literal::of(token)
        .map(|literal| String::from_utf8_lossy(&literal.bytes).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::editions::declared_edition;

    #[test]
    fn an_edition_is_written_as_proto2() {
        let text = "edition = '2023';\n\
            message A { option features.field_presence = IMPLICIT;\n\
            string a = 1 [(x) = { b: 1; c { d: 2 } }]; reserved foo, max; reserved 3 to max, \"x\";\n\
            map<string, int32> m = 2; oneof o { int32 b = 3; } repeated .p.B r = 4; message C { C c = 1; } }\n\
            enum E { A = 0; reserved B; } extend A { int32 e = 100; }\n\
            service S { rpc R(A) returns (A) { option x = {a: 1}; } } message Z { int32 z = 1; }";
        let expected = "syntax = \"proto2\";\n\
            message A { option features.field_presence = IMPLICIT;\n\
            optional string a = 1 [(x) = { b: 1; c { d: 2 } }]; reserved \"foo\", \"max\"; reserved 3 to max, \"x\";\n\
            map<string, int32> m = 2; oneof o { int32 b = 3; } repeated .p.B r = 4; message C { optional C c = 1; } }\n\
            enum E { A = 0; reserved \"B\"; } extend A { optional int32 e = 100; }\n\
            service S { rpc R(A) returns (A) { option x = {a: 1}; } } message Z { optional int32 z = 1; }";
        assert_eq!(declared_edition(text), Some((10, "2023")));
        let input = ParserInput::of(text, Some(Edition::E2023));
        assert_eq!(input.text, expected);
        for word in ["message A", "3 to max", ".p.B", "e = 100", "z = 1"] {
            let (from, to) = (text.find(word), input.text.find(word));
            assert_eq!(to.map(|at| input.original(at)), from, "{word}");
        }
        assert_eq!(input.shift(2, 9), 9);
        assert_eq!(declared_edition("/* edition */ syntax = \"proto3\";"), None);
    }

    #[test]
    fn a_text_that_the_parser_accepts_is_unchanged() {
        let text = "syntax = \"proto2\"; message M { optional double d = 1 [default = -inf]; reserved \"a\", 'b'; \
            optional bytes b = 2 [default = \"\\xff\" \"\\xfe\", (x) = -1]; }";
        assert!(ParserInput::of(text, None).is_unchanged());
    }

    #[test]
    fn a_text_that_the_parser_rejects_is_rewritten() {
        let written = |text: &str| ParserInput::of(text, None).text;
        assert_eq!(written("option (o) = - inf;"), "option (o) = - 1e999;");
        assert_eq!(written("option (o) = -nan;"), "option (o) = nan;");
        let range = "message M { extensions 4 to 5, 7 [verification = DECLARATION]; }";
        assert_eq!(written(range), range.replace("7 ", "7 to 7 "));
        assert_eq!(written("option (o) = \"\\ud83d\\udc32\";"), "option (o) = \"\u{1f432}\";");
        assert_eq!(written("option (o) = \"\\ud800\";"), "option (o) = \"\\355\\240\\200\";");
        let default = "message M { optional string s = 1 [default = 'a' \"\\xff\" 'b']; }";
        let expected = "message M { optional string s = 1 [default = \"a\u{f7ff}b\" \"\" \"\"]; }";
        assert_eq!(written(default), expected);
        let reserved = ParserInput::of("message M { reserved 'a b', 'c'; }", None);
        assert_eq!(reserved.text, "message M { reserved \"reserved_name_0\", 'c'; }");
        assert_eq!(reserved.reserved_name("reserved_name_0"), Some(&"a b".to_owned()));
    }
}
