//! Text of messages, paths and JSON strings.

/// Characters of a value or a label in a finding or a violation.
const VALUE_CHARS_MAX: usize = 160;

/// Characters of a default in a fault.
const DEFAULT_CHARS_MAX: usize = 120;

/// Shortens a value for a report.
pub fn shorten(text: &str) -> String {
    truncate(text, VALUE_CHARS_MAX)
}

/// Shortens a default for a fault.
pub fn shorten_default(text: &str) -> String {
    truncate(text, DEFAULT_CHARS_MAX)
}

fn truncate(text: &str, chars_max: usize) -> String {
    let mut shortened: String = text.chars().take(chars_max).collect();
    if shortened.len() < text.len() {
        shortened.push('…');
    }
    shortened
}

/// Appends a field to a path.
pub fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.into() } else { format!("{path}.{field}") }
}

/// Appends a token to a JSON pointer.
pub fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    if token.contains(['~', '/']) {
        pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(token);
    }
}

/// Writes a string as JSON.
pub fn quote(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // Display of a JSON string cannot fail.
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Whether each character encodes one byte, as in defaults and JSON payloads of bytes and fixed.
pub fn is_bytes(text: &str) -> bool {
    text.chars().all(|character| u32::from(character) <= 0xff)
}

/// The bytes that the characters up to U+00FF encode.
pub fn latin1_bytes(text: &str) -> Vec<u8> {
    text.chars().filter_map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
