//! Payloads that show a break, and as much of them as a report has room for.

use serde_json::Value;

/// Longest payload that a finding carries, in bytes. Of a larger one only the fragment and the size
/// are reported.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Payloads of all findings of a report, in bytes: more would not fit into an answer.
pub const PAYLOADS_BYTES_MAX: usize = 1 << 20;

/// Length of a fragment, in characters: about five lines of a terminal.
pub const FRAGMENT_CHARS_MAX: usize = 400;

/// Characters of a name or a string in a fragment that is shortened.
const TEXT_CHARS_MAX: usize = 60;

/// Levels of a value that a shortened fragment shows, if it has room for so many.
const LEVELS_MAX: usize = 4;

/// A payload that is valid for one of two schemas and that the other refuses or misreads. It is
/// checked with both before it is reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counterexample {
    /// The whole payload. Empty where it is longer than [`PAYLOAD_BYTES_MAX`], or where the report
    /// has no room for it.
    pub payload: String,
    /// JSON pointer to the part of the payload that shows it. Empty: the payload as a whole.
    pub pointer: String,
    /// The value at the pointer, shortened with `…` where it is long. Empty where the payload is
    /// not JSON.
    pub fragment: String,
    /// Length of the whole payload in bytes.
    pub bytes: usize,
}

impl Counterexample {
    /// A payload that shows it as a whole.
    pub fn whole(payload: String) -> Self {
        let bytes = payload.len();
        let payload = if bytes <= PAYLOAD_BYTES_MAX { payload } else { String::new() };
        Self { payload, pointer: String::new(), fragment: String::new(), bytes }
    }

    /// A JSON payload, and where in it the break shows.
    pub fn at(payload: &Value, pointer: String) -> Self {
        let fragment = payload.pointer(&pointer).map(fragment).unwrap_or_default();
        Self { pointer, fragment, ..Self::whole(payload.to_string()) }
    }
}

/// What is left of the room for payloads.
#[derive(Debug, Clone, Copy)]
pub struct PayloadRoom(pub usize);

impl PayloadRoom {
    /// Takes the room that the payload of a finding needs, or the payload out of the finding. Its
    /// fragment and its size stay.
    pub fn take(&mut self, counterexample: &mut Option<Counterexample>) {
        let Some(it) = counterexample else { return };
        match self.0.checked_sub(it.payload.len()) {
            Some(left) => self.0 = left,
            None => it.payload.clear(),
        }
    }
}

/// A value as JSON; of one that is long, as many levels as fit.
fn fragment(value: &Value) -> String {
    let is_short = |text: &str| text.chars().nth(FRAGMENT_CHARS_MAX).is_none();
    let whole = value.to_string();
    if is_short(&whole) {
        return whole;
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

/// Writes so many levels of a value, and of each level what comes first; whether that is all of it.
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
    let (count, mut all) = (entries.len(), true);
    out.push(open);
    for (index, (name, value)) in entries.enumerate() {
        if levels == 0 {
            out.push('…');
            break;
        }
        if index > 0 {
            out.push(',');
        }
        // A character is a byte or more, so that what is written is as short as it has to be.
        if out.len() + 2 * TEXT_CHARS_MAX > FRAGMENT_CHARS_MAX && index > 0 {
            out.push_str(&format!("… {} more", count - index));
            all = false;
            break;
        }
        if let Some(name) = name {
            quote(name, out);
            out.push(':');
        }
        all &= outline(value, levels - 1, out);
    }
    out.push(close);
    all
}

/// Writes a string, without its end where it is long.
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
    fn what_is_short_stays_as_it_is() {
        let payload = json!({"a": {"b": [1, 2.5, "ü"]}});
        let shown = Counterexample::at(&payload, "/a/b".into());
        assert_eq!(shown.fragment, r#"[1,2.5,"ü"]"#);
        assert_eq!(shown.payload, r#"{"a":{"b":[1,2.5,"ü"]}}"#);
        assert_eq!(shown.bytes, shown.payload.len());
        assert_eq!(Counterexample::at(&payload, String::new()).fragment, shown.payload);
    }

    #[test]
    fn what_is_long_is_an_outline_with_its_size() {
        let text = json!({"a": "x".repeat(70_000)});
        let shown = Counterexample::at(&text, "/a".into());
        assert_eq!(shown.fragment, format!("\"{}\"… 69940 more", "x".repeat(60)));
        assert_eq!((shown.payload.as_str(), shown.bytes), ("", 70_008));

        let members: serde_json::Map<_, _> =
            (0..300).map(|at| (format!("m{at:03}"), json!({"in": [at, {"deep": at}]}))).collect();
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
