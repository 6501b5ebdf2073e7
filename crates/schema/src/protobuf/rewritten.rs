//! Texts, written so that the parser accepts what protoc's accepts.
//!
//! A text of an edition becomes proto2: every field gets the label that editions left out, and
//! reserved names get their quotes. In any text, infinities, strings that are not UTF-8, and
//! options of a single extension become what the parser can read. What protoc's parser refuses and
//! this way loses is kept as a fault for those who judge a draft.

use std::iter::Peekable;

use super::{
    features::Edition,
    limits::Tokens,
    literals::{self, Literal},
};

/// What stands for the reserved name of an index, where it is no identifier: the parser accepts
/// those alone.
const RESERVED: &str = "reserved_name_";

/// A text as the parser gets it, and how to find its places in what its author wrote.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    pub(super) text: String,
    /// What protoc's parser refuses, with the bytes of the author's text.
    pub(super) faults: Vec<(usize, String)>,
    /// Files that are imported for their options alone.
    pub(super) option_imports: Vec<String>,
    /// Where `message` or `enum` stands, here, of declarations that say who may use them.
    pub(super) visibility: Vec<(usize, Visibility)>,
    /// Reserved names that are no identifiers.
    reserved: Vec<String>,
    /// Offsets in the rewritten text and how many bytes more than its author's stand before them.
    shifts: Vec<(usize, isize)>,
    lines: Vec<usize>,
}

/// Who may use a type, by its author.
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

/// What was read of the statement under way.
#[derive(Default)]
struct Statement<'a> {
    /// Its first word.
    first: &'a [u8],
    /// The first word of the one around it, where it is the first in there.
    opener: &'a [u8],
    /// The type of a field.
    kind: &'a [u8],
    words: usize,
}

type Words<'a> = Peekable<Tokens<'a>>;

impl Rewritten {
    /// Writes a text. `edition` is that of its first statement; None: it is proto2 or proto3.
    pub(super) fn of(text: &str, edition: Option<Edition>) -> Self {
        let mut rewritten =
            Self { text: String::with_capacity(text.len() + 64), ..Self::default() };
        let mut scopes: Vec<Scope> = Vec::new();
        let (mut brackets, mut begins, mut copied) = (0_usize, true, 0);
        let mut statement = Statement::default();
        let mut visibility = None;
        let mut before: [&[u8]; 2] = [b"", b""];
        let mut words = Tokens::new(text).peekable();
        while let Some((at, token)) = words.next() {
            let followed = words.peek().map_or(b"".as_slice(), |(_, next)| *next);
            let scope = scopes.last().copied();
            let first = begins && brackets == 0 && scope != Some(Scope::Other);
            if first {
                begins = false;
                let opener = if before[1] == b"{" { statement.first } else { b"" };
                statement = Statement { first: token, opener, ..Statement::default() };
                rewritten.copy(text, &mut copied, at);
            }
            statement.read(token);
            if let Some(edition) = edition {
                if first {
                    if let Some(declared) = declared_visibility(token, followed) {
                        begins = true;
                        visibility = Some(declared);
                        rewritten.check_visibility(at, edition);
                    } else if let Some(visibility) = visibility.take() {
                        rewritten.visibility.push((rewritten.text.len(), visibility));
                    }
                }
                let (insert, skip) =
                    rewritten.modern(at, token, followed, first, scope, &statement, edition);
                if skip > 0 || !insert.is_empty() {
                    rewritten.copy(text, &mut copied, at);
                    rewritten.replace(insert, skip);
                    copied += skip;
                }
                let is_name = statement.first == b"reserved" && is_identifier(token);
                if is_name && !first && matches!(before[1], b"reserved" | b",") {
                    rewritten.copy(text, &mut copied, at);
                    rewritten.replace("\"", 0);
                    rewritten.copy(text, &mut copied, at + token.len());
                    rewritten.replace("\"", 0);
                }
            }
            rewritten.check_statement(
                at,
                token,
                before,
                &statement,
                first.then_some(scope).flatten(),
            );
            if token == b"["
                && brackets == 0
                && statement.first == b"extensions"
                && before[0] != b"to"
                && before[1].first().is_some_and(u8::is_ascii_digit)
            {
                // The parser accepts the options of a range, and not of a number alone.
                rewritten.copy(text, &mut copied, at);
                let number = str::from_utf8(before[1]).unwrap_or_default();
                rewritten.replace(&format!("to {number} "), 0);
            }
            if before[1] == b"=" && before[0] != b"default" && token == b"-" {
                rewritten.negate(text, &mut copied, at, &mut words);
            }
            if literals::is_literal(token) && !literals::is_literal(before[1]) {
                let more = words.clone().take_while(|(_, token)| literals::is_literal(token));
                let run: Vec<_> = std::iter::once((at, token)).chain(more).collect();
                let is_text = statement.is_text(before);
                rewritten.strings(text, &mut copied, &run, is_text, &statement);
            }
            before = [before[1], token];
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
                    begins = opened != Scope::Other;
                }
                b"}" => {
                    begins = scopes.pop() != Some(Scope::Other) || statement.first == b"service"
                }
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

    /// Whether the parser gets the text as its author wrote it.
    #[cfg(test)]
    pub(super) fn is_as_written(&self) -> bool {
        self.shifts.is_empty() && self.reserved.is_empty()
    }

    /// The offset of a byte in what the author wrote.
    pub(super) fn original(&self, at: usize) -> usize {
        let after = self.shifts.partition_point(|(from, _)| *from <= at);
        let shift = after.checked_sub(1).and_then(|it| self.shifts.get(it)).map_or(0, |it| it.1);
        at.saturating_add_signed(-shift)
    }

    /// How many bytes more than its author's stand before a column of a line; fewer are negative.
    pub(super) fn shift(&self, line: u32, column: u32) -> i64 {
        let Some(start) = self.lines.get(line as usize) else { return 0 };
        let original = self.original(start + column as usize).saturating_sub(self.original(*start));
        i64::from(column) - i64::try_from(original).unwrap_or(i64::from(column))
    }

    /// The line and the column, in bytes, of an offset in the rewritten text; both from 0.
    pub(super) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at).saturating_sub(1);
        (line, at - self.lines.get(line).copied().unwrap_or(0))
    }

    /// The reserved name that an identifier stands for.
    pub(super) fn reserved_name(&self, name: &str) -> Option<&String> {
        self.reserved.get(name.strip_prefix(RESERVED)?.parse::<usize>().ok()?)
    }

    /// What is written in place of a word of an edition, and how many of its bytes are skipped.
    #[expect(clippy::too_many_arguments, reason = "the state of one loop")]
    fn modern(
        &mut self,
        at: usize,
        token: &[u8],
        followed: &[u8],
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
            (b"export" | b"local", _) if first && is_declaration(followed) => ("", token.len()),
            (b"import", b"option") => {
                if edition < Edition::E2024 {
                    let message =
                        "`import option` came with edition 2024; import the file without `option`";
                    self.faults.push((at, message.to_owned()));
                }
                self.option_imports.push(unquoted(followed));
                ("", token.len())
            }
            (b"import", b"weak") => {
                if edition >= Edition::E2024 {
                    let message = "edition 2024 has no weak imports; use `import option`, or import it without `weak`";
                    self.faults.push((at, message.to_owned()));
                }
                ("", 0)
            }
            (b"import", b"import")
                if first && !self.option_imports.is_empty() && followed != b"option" =>
            {
                let message = "an import stands after an `import option`; put all imports before the first of those";
                self.faults.push((at, message.to_owned()));
                ("", 0)
            }
            (b"optional", _) if first && holds_fields => {
                let message = "the label `optional` does not exist in editions; leave it out, for fields have presence \
                               unless features.field_presence says otherwise";
                self.faults.push((at, message.to_owned()));
                ("", 0)
            }
            (b"reserved", _) if literals::is_literal(token) => {
                let message =
                    "a reserved name is an identifier in editions; write it without quotes";
                self.faults.push((at, message.to_owned()));
                ("", 0)
            }
            (_, _) if first && holds_fields && is_field(token, followed) => ("optional ", 0),
            _ => ("", 0),
        }
    }

    /// Statements that protoc's parser refuses in any syntax.
    fn check_statement(
        &mut self,
        at: usize,
        token: &[u8],
        before: [&[u8]; 2],
        statement: &Statement<'_>,
        begins_in: Option<Scope>,
    ) {
        let first = if before[1] == b"{" { statement.opener } else { statement.first };
        let message = match (first, before[1], token) {
            (b"option", b"option", b"map_entry") => {
                "the option map_entry is the compiler's; write the field as map<KEY, VALUE>"
            }
            (b"option", b"option", _) | (_, b"[" | b",", _)
                if token.split(|it| *it == b'.').next() == Some(b"uninterpreted_option") =>
            {
                "the option uninterpreted_option is the compiler's; leave it out"
            }
            (b"extend", b"{", b"}") => "an `extend` has no field; give it one, or leave it out",
            (_, _, b";") if matches!(begins_in, Some(Scope::Extend | Scope::Oneof)) => {
                "a statement is empty, which neither a oneof nor an `extend` accepts; leave out the `;`"
            }
            _ => return,
        };
        self.faults.push((at, message.to_owned()));
    }

    fn check_visibility(&mut self, at: usize, edition: Edition) {
        if edition < Edition::E2024 {
            let message = "`export` and `local` came with edition 2024; leave the word out";
            self.faults.push((at, message.to_owned()));
        }
    }

    /// `-inf` and `-nan` are values of options for protoc alone. The sign of what is not a number
    /// says nothing.
    fn negate(&mut self, text: &str, copied: &mut usize, minus: usize, words: &mut Words<'_>) {
        match words.peek() {
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

    /// Writes consecutive strings, which are one value, where the parser does not accept them.
    fn strings(
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
        let surrogates = decoded.iter().any(|it| it.has_surrogates);
        let bytes: Vec<u8> = decoded.into_iter().flat_map(|it| it.bytes).collect();
        let with = if is_reserved && !is_identifier(&bytes) {
            let name = format!("\"{RESERVED}{}\"", self.reserved.len());
            self.reserved.push(String::from_utf8_lossy(&bytes).into_owned());
            name
        } else if is_text && str::from_utf8(&bytes).is_err() {
            literals::quoted(literals::text_of(&bytes).as_bytes())
        } else if surrogates {
            literals::quoted(&bytes)
        } else {
            return;
        };
        for (index, (at, token)) in run.iter().enumerate() {
            self.copy(text, copied, *at);
            self.replace(if index == 0 { &with } else { "\"\"" }, token.len());
            *copied += token.len();
        }
    }

    fn copy(&mut self, text: &str, copied: &mut usize, to: usize) {
        self.text.push_str(text.get(*copied..to).unwrap_or_default());
        *copied = to.max(*copied);
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

impl<'a> Statement<'a> {
    fn read(&mut self, token: &'a [u8]) {
        self.words += 1;
        let is_label = matches!(self.first, b"optional" | b"required" | b"repeated");
        if self.words == if is_label { 2 } else { 1 } {
            self.kind = token;
        }
    }

    /// Whether the value that follows two words is a text, and not bytes: a name in JSON, or the
    /// default of a string.
    fn is_text(&self, before: [&[u8]; 2]) -> bool {
        let [name, equals] = before;
        equals == b"=" && (name == b"json_name" || name == b"default" && self.kind == b"string")
    }
}

fn declared_visibility(token: &[u8], followed: &[u8]) -> Option<Visibility> {
    match token {
        b"export" if is_declaration(followed) => Some(Visibility::Export),
        b"local" if is_declaration(followed) => Some(Visibility::Local),
        _ => None,
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

fn is_identifier(name: &[u8]) -> bool {
    name.first().is_some_and(|it| it.is_ascii_alphabetic() || *it == b'_')
        && name.iter().all(|it| it.is_ascii_alphanumeric() || *it == b'_')
}

fn unquoted(token: &[u8]) -> String {
    Literal::of(token).map(|it| String::from_utf8_lossy(&it.bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::editions::named_by;

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
        assert_eq!(named_by(text), Some((10, "2023")));
        let rewritten = Rewritten::of(text, Some(Edition::E2023));
        assert_eq!(rewritten.text, expected);
        for word in ["message A", "3 to max", ".p.B", "e = 100", "z = 1"] {
            let (from, to) = (text.find(word), rewritten.text.find(word));
            assert_eq!(to.map(|at| rewritten.original(at)), from, "{word}");
        }
        assert_eq!(rewritten.shift(2, 9), 9);
        assert_eq!(named_by("/* edition */ syntax = \"proto3\";"), None);
    }

    #[test]
    fn a_text_that_the_parser_takes_stays() {
        let text = "syntax = \"proto2\"; message M { optional double d = 1 [default = -inf]; reserved \"a\", 'b'; \
            optional bytes b = 2 [default = \"\\xff\" \"\\xfe\", (x) = -1]; }";
        assert!(Rewritten::of(text, None).is_as_written());
    }

    #[test]
    fn what_the_parser_does_not_take_is_written_in_another_way() {
        let written = |text: &str| Rewritten::of(text, None).text;
        assert_eq!(written("option (o) = - inf;"), "option (o) = - 1e999;");
        assert_eq!(written("option (o) = -nan;"), "option (o) = nan;");
        let range = "message M { extensions 4 to 5, 7 [verification = DECLARATION]; }";
        assert_eq!(written(range), range.replace("7 ", "7 to 7 "));
        assert_eq!(written("option (o) = \"\\ud83d\\udc32\";"), "option (o) = \"\u{1f432}\";");
        assert_eq!(written("option (o) = \"\\ud800\";"), "option (o) = \"\\355\\240\\200\";");
        let default = "message M { optional string s = 1 [default = 'a' \"\\xff\" 'b']; }";
        let expected = "message M { optional string s = 1 [default = \"a\u{f7ff}b\" \"\" \"\"]; }";
        assert_eq!(written(default), expected);
        let reserved = Rewritten::of("message M { reserved 'a b', 'c'; }", None);
        assert_eq!(reserved.text, "message M { reserved \"reserved_name_0\", 'c'; }");
        assert_eq!(reserved.reserved_name("reserved_name_0"), Some(&"a b".to_owned()));
    }
}
