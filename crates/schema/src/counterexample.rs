//! Payloads that prove a break, within the size limits of a report.

use serde_json::Value;

/// Size of a reported payload in bytes. Of a larger payload only the fragment and the size are
/// reported.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Total size in bytes of the payloads in a report. More would not fit into a response.
pub const PAYLOADS_BYTES_MAX: usize = 1 << 20;

/// Length of a fragment, in characters: about five lines of a terminal.
pub const FRAGMENT_CHARS_MAX: usize = 400;

/// Characters of a name or a string in a shortened fragment.
const TEXT_CHARS_MAX: usize = 60;

/// Levels of a value in a shortened fragment, if they fit.
const LEVELS_MAX: usize = 4;

/// A payload that is valid for one of two schemas and that the other rejects or misreads. It is
/// checked with both schemas before it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counterexample {
    /// The payload. Empty if it is longer than [`PAYLOAD_BYTES_MAX`], or if the payloads of the
    /// report exceed [`PAYLOADS_BYTES_MAX`].
    pub payload: String,
    /// The JSON pointer to the part of the payload that proves the break; empty for the root.
    pub pointer: String,
    /// The value at the pointer; a long value is shortened with `…`. Empty if the payload is not
    /// JSON.
    pub fragment: String,
    /// The size of the payload in bytes.
    pub bytes: usize,
}

impl Counterexample {
    /// A payload without a pointer.
    pub fn new(payload: String) -> Self {
        let bytes = payload.len();
        let payload = if bytes <= PAYLOAD_BYTES_MAX { payload } else { String::new() };
        Self { payload, pointer: String::new(), fragment: String::new(), bytes }
    }

    /// A JSON payload, and the pointer to the break.
    pub fn at(payload: &Value, pointer: String) -> Self {
        let fragment = payload.pointer(&pointer).map(fragment).unwrap_or_default();
        Self { pointer, fragment, ..Self::new(payload.to_string()) }
    }
}

/// The remaining bytes for payloads in a report.
#[derive(Debug, Clone, Copy)]
pub struct PayloadBudget(pub usize);

impl PayloadBudget {
    /// Charges the payload of a finding to the budget, or removes the payload if it does not fit.
    /// The fragment and the size stay.
    pub fn charge(&mut self, counterexample: &mut Option<Counterexample>) {
        let Some(counterexample) = counterexample else { return };
        match self.0.checked_sub(counterexample.payload.len()) {
            Some(remaining) => self.0 = remaining,
            None => counterexample.payload.clear(),
        }
    }
}

/// A value as JSON. A long value is cut to as many levels as fit.
fn fragment(value: &Value) -> String {
    let is_short = |text: &str| text.chars().nth(FRAGMENT_CHARS_MAX).is_none();
    let json = value.to_string();
    if is_short(&json) {
        return json;
    }
    let mut text = String::new();
    for levels in (1..=LEVELS_MAX).rev() {
        text.clear();
        if outline(value, levels, &mut text) && is_short(&text) {
            break;
        }
    }
    text
}

/// Writes a number of levels of a value, and the first entries of each level. Returns whether the
/// value is complete.
fn outline(value: &Value, levels: usize, out: &mut String) -> bool {
    match value {
        Value::Array(items) => {
            let entries = items.iter().map(|item| (None, item));
            outline_entries(('[', ']'), entries, levels, out)
        }
        Value::Object(members) => {
            let entries = members.iter().map(|(name, value)| (Some(name.as_str()), value));
            outline_entries(('{', '}'), entries, levels, out)
        }
        Value::String(text) => {
            quote(text, out);
            true
        }
        value => {
            out.push_str(&value.to_string());
            true
        }
    }
}

fn outline_entries<'v>(
    (open, close): (char, char),
    entries: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value)>,
    levels: usize,
    out: &mut String,
) -> bool {
    let (count, mut complete) = (entries.len(), true);
    out.push(open);
    for (index, (name, value)) in entries.enumerate() {
        if levels == 0 {
            out.push('…');
            break;
        }
        if index > 0 {
            out.push(',');
        }
        // A character has at least one byte, so the limit in bytes bounds the characters.
        if out.len() + 2 * TEXT_CHARS_MAX > FRAGMENT_CHARS_MAX && index > 0 {
            out.push_str(&format!("… {} more", count - index));
            complete = false;
            break;
        }
        if let Some(name) = name {
            quote(name, out);
            out.push(':');
        }
        complete &= outline(value, levels - 1, out);
    }
    out.push(close);
    complete
}

/// Writes a string; a long string is cut.
fn quote(text: &str, out: &mut String) {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => {
            let (head, rest) = text.split_at(end);
            out.push_str(&Value::from(head).to_string());
            out.push_str(&format!("… {} more", rest.chars().count()));
        }
        None => out.push_str(&Value::from(text).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_values_are_complete() {
        let payload = json!({"a": {"b": [1, 2.5, "ü"]}});
        let shown = Counterexample::at(&payload, "/a/b".into());
        assert_eq!(shown.fragment, r#"[1,2.5,"ü"]"#);
        assert_eq!(shown.payload, r#"{"a":{"b":[1,2.5,"ü"]}}"#);
        assert_eq!(shown.bytes, shown.payload.len());
        assert_eq!(Counterexample::at(&payload, String::new()).fragment, shown.payload);
    }

    #[test]
    fn long_values_are_outlines_with_sizes() {
        let text = json!({"a": "x".repeat(70_000)});
        let shown = Counterexample::at(&text, "/a".into());
        assert_eq!(shown.fragment, format!("\"{}\"… 69940 more", "x".repeat(60)));
        assert_eq!((shown.payload.as_str(), shown.bytes), ("", 70_008));

        let members: serde_json::Map<_, _> = (0..300)
            .map(|index| (format!("m{index:03}"), json!({"in": [index, {"deep": index}]})))
            .collect();
        let shown = Counterexample::at(&members.into(), String::new());
        assert!(shown.fragment.starts_with(r#"{"m000":{…},"m001":{…},"#), "{}", shown.fragment);
        assert!(shown.fragment.ends_with(" more}"), "{}", shown.fragment);

        let wide = json!([{"a": "ä".repeat(500)}, vec!["\u{1}".repeat(90); 500], 1]);
        let mut nested = json!(0);
        for _ in 0..200 {
            nested = json!([nested, {"\u{2}".repeat(80): "\u{3}".repeat(80)}]);
        }
        for value in [wide, nested] {
            let shown = Counterexample::at(&value, String::new());
            // Names and strings are escaped: six characters for one.
            assert!(shown.fragment.chars().count() < 4 * FRAGMENT_CHARS_MAX, "{}", shown.fragment);
        }
    }
}
