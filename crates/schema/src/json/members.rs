//! Spans of the members of a JSON object, found without parsing the values. The text is known to be
//! JSON.

use std::ops::Range;

use memchr::memchr2;

/// Byte ranges of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The name between the quotes, with its escapes.
    pub name: Range<usize>,
    /// From the quote of the name to the end of the value.
    pub span: Range<usize>,
}

/// Iterates over the members. Every method returns `None` if the text is not a JSON object.
#[derive(Debug)]
pub(super) struct Members<'j> {
    json: &'j [u8],
    at: usize,
}

impl<'j> Members<'j> {
    pub(super) fn of(json: &'j [u8]) -> Option<Self> {
        let mut members = Self { json, at: 0 };
        members.token(b'{')?;
        Some(members)
    }

    /// The next member, or `Some(None)` after the last one.
    pub(super) fn next(&mut self) -> Option<Option<Member>> {
        if self.peek()? == b',' {
            self.at += 1;
        }
        if self.peek()? == b'}' {
            return Some(None);
        }
        let start = self.at;
        self.token(b'"')?;
        let name = self.at;
        self.string()?;
        let name = name..self.at - 1;
        self.token(b':')?;
        self.value()?;
        Some(Some(Member { name, span: start..self.at }))
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.json.get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn token(&mut self, wanted: u8) -> Option<()> {
        let matches = self.peek()? == wanted;
        self.at += usize::from(matches);
        matches.then_some(())
    }

    /// Skips to after the quote that ends a string.
    fn string(&mut self) -> Option<()> {
        loop {
            self.at += memchr2(b'"', b'\\', self.json.get(self.at..)?)?;
            match self.json.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 2,
            }
        }
    }

    /// Skips to the end of a value. An array or object ends when as many brackets closed as opened.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        self.peek()?;
        loop {
            match *self.json.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    self.string()?;
                    if depth == 0 {
                        return Some(());
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                // Ends the enclosing object, after a number or a literal.
                b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
                b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};
    use serde_json::{Map, Value};

    use super::*;

    fn all(json: &str) -> Option<Vec<(&str, &str)>> {
        let mut members = Members::of(json.as_bytes())?;
        let mut all = Vec::new();
        while let Some(Member { name, span }) = members.next()? {
            all.push((json.get(name)?, json.get(span)?));
        }
        Some(all)
    }

    #[test]
    fn spans_match_the_text() {
        let json = r#" { "a" : 1 ,"b":[1,{"c":"]}"}, "x"],"":"\\","q\"":null}"#;
        let expected = [
            ("a", r#""a" : 1"#),
            ("b", r#""b":[1,{"c":"]}"}, "x"]"#),
            ("", r#""":"\\""#),
            (r#"q\""#, r#""q\"":null"#),
        ];
        assert_eq!(all(json), Some(expected.to_vec()));
        assert_eq!(all("{}"), Some(Vec::new()));
        for cut in ["", "[1]", "{", r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, r#"{"a":"x\"#] {
            assert_eq!(all(cut), None, "{cut}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                btree_map(".*", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn spans_cover_the_written_members(members in btree_map(".*", any_value(), 0..6), pretty: bool) {
            let object = Value::Object(members.into_iter().collect::<Map<_, _>>());
            let json = if pretty { format!("{object:#}") } else { object.to_string() };
            let spans = all(&json).expect("an object");
            let rebuilt = spans.iter().map(|(_, span)| *span).collect::<Vec<_>>().join(",");
            let rebuilt: Value = serde_json::from_str(&format!("{{{rebuilt}}}")).expect("JSON");
            prop_assert_eq!(rebuilt, object);
        }

        #[test]
        fn any_bytes_terminate(bytes: Vec<u8>) {
            let mut json = b"{\"".to_vec();
            json.extend(bytes);
            let mut members = Members::of(&json).expect("starts as an object");
            while let Some(Some(_)) = members.next() {}
        }
    }
}
