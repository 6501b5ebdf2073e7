//! String literals: decodes them to bytes, and writes bytes as literals.

use std::fmt::Write as _;

use super::limits::Tokens;

/// Base of the private characters that replace bytes that are not UTF-8: one character for each
/// byte value, so that different bytes stay different.
const PRIVATE: u32 = 0xf700;

/// A decoded literal.
#[derive(Debug)]
pub(super) struct Literal {
    pub(super) bytes: Vec<u8>,
    /// Whether the literal contains escaped UTF-16 surrogates.
    pub(super) has_surrogates: bool,
}

pub(super) fn is_literal(token: &[u8]) -> bool {
    token.first().is_some_and(|byte| b"\"'".contains(byte))
}

impl Literal {
    /// Decodes a token with its quotes. `None` if the token is not a valid literal; the parser
    /// reports it.
    pub(super) fn of(token: &[u8]) -> Option<Self> {
        let quote = token.first().filter(|byte| b"\"'".contains(byte))?;
        let mut rest = token.get(1..)?.strip_suffix(std::slice::from_ref(quote))?;
        let mut literal = Self { bytes: Vec::with_capacity(rest.len()), has_surrogates: false };
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if *byte == b'\\' {
                rest = literal.escape(rest)?;
            } else {
                literal.bytes.push(*byte);
            }
        }
        Some(literal)
    }

    /// Decodes the escape after a backslash. Returns the remaining bytes.
    fn escape<'a>(&mut self, escape: &'a [u8]) -> Option<&'a [u8]> {
        let (kind, rest) = escape.split_first()?;
        let simple = match kind {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'\'' | b'"' | b'?' => *kind,
            b'x' | b'X' => {
                let (code, rest) = digits(rest, 16, 1..=2)?;
                self.bytes.push(u8::try_from(code).ok()?);
                return Some(rest);
            }
            b'0'..=b'7' => {
                let (code, rest) = digits(escape, 8, 1..=3)?;
                self.bytes.push(u8::try_from(code).ok()?);
                return Some(rest);
            }
            b'u' => return self.utf16(rest),
            b'U' => {
                let (code, rest) = digits(rest, 16, 8..=8)?;
                self.push(char::from_u32(code)?);
                return Some(rest);
            }
            _ => return None,
        };
        self.bytes.push(simple);
        Some(rest)
    }

    fn utf16<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let (code, rest) = digits(rest, 16, 4..=4)?;
        if let Some(character) = char::from_u32(code) {
            self.push(character);
            return Some(rest);
        }
        self.has_surrogates = true;
        let low = rest.strip_prefix(b"\\u").and_then(|rest| digits(rest, 16, 4..=4));
        if let (0xd800..=0xdbff, Some((low @ 0xdc00..=0xdfff, after))) = (code, low) {
            self.push(char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00))?);
            return Some(after);
        }
        // Like protoc: an unpaired surrogate becomes three bytes that are not UTF-8.
        for byte in [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)] {
            self.bytes.push(u8::try_from(byte).ok()?);
        }
        Some(rest)
    }

    fn push(&mut self, character: char) {
        self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Parses the leading digits of a text. Returns their value and the remaining bytes.
fn digits(text: &[u8], radix: u32, count: std::ops::RangeInclusive<usize>) -> Option<(u32, &[u8])> {
    let are_digits = |byte: &&u8| char::from(**byte).is_digit(radix);
    let length = text.iter().take(*count.end()).take_while(are_digits).count();
    if length < *count.start() {
        return None;
    }
    let (digits, rest) = text.split_at_checked(length)?;
    let value = digits.iter().fold(0_u32, |value, digit| {
        value.wrapping_mul(radix).wrapping_add(char::from(*digit).to_digit(radix).unwrap_or(0))
    });
    Some((value, rest))
}

/// Converts bytes to text. Bytes that are not UTF-8 become private characters.
pub(super) fn utf8_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let private = |byte: &u8| char::from_u32(PRIVATE + u32::from(*byte));
        text.extend(chunk.invalid().iter().filter_map(private));
    }
    text
}

/// Writes bytes as a literal.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut literal = "\"".to_owned();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => literal.extend(['\\', character]),
                '\0'..' ' | '\x7f' => {
                    let _ = write!(literal, "\\{:03o}", u32::from(character));
                }
                _ => literal.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(literal, "\\{byte:03o}");
        }
    }
    literal.push('"');
    literal
}

/// Replaces the literals that are not UTF-8 in a value in the text format. `None` if there are
/// none.
pub(super) fn with_valid_literals(value: &str) -> Option<String> {
    let mut written = String::with_capacity(value.len());
    let (mut copied, mut replaced) = (0, false);
    for (at, token) in Tokens::new(value) {
        let Some(literal) = Literal::of(token) else { continue };
        if str::from_utf8(&literal.bytes).is_err() {
            written.push_str(value.get(copied..at)?);
            written.push_str(&quote(utf8_text(&literal.bytes).as_bytes()));
            copied = at + token.len();
            replaced = true;
        }
    }
    written.push_str(value.get(copied..)?);
    replaced.then_some(written)
}

/// Adds the optional colons before lists of messages to a value in the text format.
pub(super) fn with_colons(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    let mut copied = 0;
    let tokens: Vec<(usize, &[u8])> = Tokens::new(value).collect();
    for window in tokens.windows(3) {
        let [(_, name), (at, b"["), (_, b"{" | b"<" | b"]")] = window else { continue };
        if name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_') {
            written.push_str(value.get(copied..*at).unwrap_or_default());
            written.push(':');
            copied = *at;
        }
    }
    written.push_str(value.get(copied..).unwrap_or_default());
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_decode_to_bytes() {
        let bytes = |token: &str| Literal::of(token.as_bytes()).map(|literal| literal.bytes);
        assert_eq!(bytes("'a\\n\\x4\\101\\7z'"), Some(b"a\n\x04A\x07z".to_vec()));
        assert_eq!(bytes("\"\\u00e9\\U0001F432\""), Some("é\u{1f432}".into()));
        assert_eq!(bytes("'\\ud800'"), Some(b"\xed\xa0\x80".to_vec()));
        assert_eq!(bytes("'\\400'"), None);
        assert_eq!(bytes("'\\q'"), None);
        assert_eq!(bytes("'a"), None);
    }

    #[test]
    fn lists_of_messages_get_their_colons() {
        let value = "a: X [ext]: 1 b [{c: 1}] d: [2] e [] f: \"[{\"";
        let expected = "a: X [ext]: 1 b :[{c: 1}] d: [2] e :[] f: \"[{\"";
        assert_eq!(with_colons(value), expected);
    }

    #[test]
    fn quoted_bytes_decode_to_the_same_bytes() {
        for bytes in [&b"a\"\\\n\0z"[..], b"\xff\xfe1", "é\u{f7ff}".as_bytes()] {
            let literal = quote(bytes);
            assert_eq!(
                Literal::of(literal.as_bytes()).map(|literal| literal.bytes),
                Some(bytes.to_vec())
            );
        }
        assert_eq!(utf8_text(b"a\xff\xfe"), "a\u{f7ff}\u{f7fe}");
    }
}
