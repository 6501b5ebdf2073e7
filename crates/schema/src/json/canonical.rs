//! Canonical form of a schema: equal schemas have equal bytes.

use serde_json::Value;

use super::{
    Schema,
    source::Document,
    wide::{self, WideNumbers},
};

impl Schema {
    /// The canonical form of the document with its files: no white space, sorted keys, one spelling
    /// for equal numbers. It includes annotations and the order of arrays.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for document in self.source.documents.iter().filter(|document| document.own) {
            if !document.name.is_empty() {
                out.push(b'\n');
                write_canonical(&Value::from(document.name.as_str()), &mut out);
                out.push(b':');
            }
            document.write_canonical(&mut out);
        }
        out
    }

    /// Whether both have the same canonical form, imported documents included.
    pub(super) fn has_same_text(&self, other: &Self) -> bool {
        let documents = |schema: &Self| {
            let mut all = Vec::new();
            for document in &schema.source.documents {
                let mut text = Vec::new();
                document.write_canonical(&mut text);
                all.push((document.name.clone(), text));
            }
            all.sort();
            all
        };
        self.canonical() == other.canonical() && documents(self) == documents(other)
    }
}

impl Document {
    /// Writes the canonical form with all digits of wide numbers.
    fn write_canonical(&self, out: &mut Vec<u8>) {
        if self.wide.is_empty() {
            return write_canonical(&self.value, out);
        }
        let wide = WideNumbers::of(&self.text, &self.value, &mut Vec::new());
        wide.scope(|| write_canonical(&self.value, out));
    }
}

/// Writes a value according to RFC 8785, except for numbers, which are exact: equal numbers have
/// one spelling.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => {
            out.extend_from_slice(value.to_string().as_bytes());
        }
        Value::Number(_) => {
            out.extend_from_slice(wide::canonical(value).unwrap_or_default().as_bytes());
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            out.push(b'{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::text::read;

    #[test]
    fn canonical_text_has_one_spelling() {
        let canonical = |text: &str| {
            let mut out = Vec::new();
            write_canonical(&read("", text).expect("JSON"), &mut out);
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(
            canonical("{\"b\": 1.0, \"a\": [1e2, \"\\u00e9\"]}"),
            "{\"a\":[100,\"é\"],\"b\":1}"
        );
        assert_ne!(canonical("[1, 2]"), canonical("[2, 1]"));
    }
}
