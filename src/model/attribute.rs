//! Validation of attribute values, by the type system of CloudEvents 1.0.2.

use fluent_uri::UriRef;

/// Characters of a value that an error message quotes.
const QUOTED_CHARS_MAX: usize = 60;

/// Checks a value of the type String.
///
/// # Errors
/// Returns the first control character or noncharacter, and its byte index.
pub fn check_text(text: &str) -> Result<(), String> {
    // Most values are plain ASCII.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    match text.char_indices().find(|(_, c)| c.is_control() || is_noncharacter(*c)) {
        None => Ok(()),
        Some((at, c)) => Err(format!(
            "is {}, with U+{:04X} at byte {at}: an attribute has no control characters (U+0000 to U+001F, U+007F to \
             U+009F) and no noncharacters",
            quoted(text),
            u32::from(c)
        )),
    }
}

fn is_noncharacter(c: char) -> bool {
    let number = u32::from(c);
    (0xfdd0..=0xfdef).contains(&number) || number & 0xfffe == 0xfffe
}

/// Checks a value of the type URI-reference.
///
/// # Errors
/// Returns the first character that RFC 3986 does not allow, and its byte index.
pub fn check_uri_reference(text: &str) -> Result<(), String> {
    let Err(parse_error) = UriRef::parse(text) else { return Ok(()) };
    let at = parse_error.index();
    let problem = text.get(at..).and_then(|rest| rest.chars().next());
    let problem = problem.map_or_else(|| "it ends".into(), |c| format!("{c:?} is not allowed"));
    Err(format!(
        "is {}, which is not a URI reference (RFC 3986): {problem} at byte {at}; percent-encode it, as %20 for a space",
        quoted(text)
    ))
}

/// Quotes a value for a message. Long values are truncated.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_no_control_characters() {
        for text in ["", "a b", "größe 😀", "\u{a0}", "\u{fffd}", "\u{feff}", "\u{fdcf}\u{fdf0}"]
        {
            assert_eq!(check_text(text), Ok(()), "{text:?}");
        }
        for (c, name) in [
            ('\0', "U+0000"),
            ('\n', "U+000A"),
            ('\t', "U+0009"),
            ('\u{1f}', "U+001F"),
            ('\u{7f}', "U+007F"),
            ('\u{85}', "U+0085"),
            ('\u{9f}', "U+009F"),
            ('\u{fdd0}', "U+FDD0"),
            ('\u{fdef}', "U+FDEF"),
            ('\u{fffe}', "U+FFFE"),
            ('\u{ffff}', "U+FFFF"),
            ('\u{1ffff}', "U+1FFFF"),
            ('\u{10fffe}', "U+10FFFE"),
        ] {
            let error = check_text(&format!("é{c}")).unwrap_err();
            assert!(error.contains(&format!("{name} at byte 2")), "{error}");
        }
    }

    #[test]
    fn references_are_those_of_rfc_3986() {
        for text in [
            "/s",
            "s",
            "tests",
            "https://shop.example/orders?of=1#2",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "mailto:a@b.example",
            "//host/path",
            "#fragment",
            "http://[::1]:8080/",
            "a%20b",
        ] {
            assert_eq!(check_uri_reference(text), Ok(()), "{text}");
        }
        for text in [
            "http://[bad",
            "%zz",
            "%2",
            "a<b>",
            "a b",
            "/ s",
            "größe",
            "a\\b",
            "a\"b",
            "http://h:port/",
        ] {
            let error = check_uri_reference(text).unwrap_err();
            assert!(error.contains("RFC 3986"), "{error}");
        }
        assert!(check_uri_reference(&"é".repeat(5_000)).unwrap_err().len() < 500);
    }
}
