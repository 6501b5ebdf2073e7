//! A lossless JSON tree: names, strings and numbers stay as written.

use std::borrow::Cow;

use serde_json::Value;

use super::wide::rounded;

/// A value of a valid text.
#[derive(Debug, Clone)]
pub(crate) enum Tree<'t> {
    /// Null, a boolean, a number or a string, as written.
    Scalar(&'t str),
    Array(Vec<Tree<'t>>),
    Object(Vec<Member<'t>>),
}

/// A member of an object.
#[derive(Debug, Clone)]
pub(crate) struct Member<'t> {
    /// The name as written, with its quotes.
    pub(crate) key: Cow<'t, str>,
    /// The name without escapes.
    pub(crate) name: Cow<'t, str>,
    pub(crate) value: Tree<'t>,
}

impl<'t> Tree<'t> {
    /// Parses a valid text that nests at most [`super::text::DEPTH_MAX`] deep. Returns `None` if
    /// the text is not JSON.
    pub(crate) fn read(text: &'t str) -> Option<Self> {
        Parser { text, at: 0 }.value()
    }

    /// Writes the value without white space.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Scalar(text) => out.push_str(text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, member) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&member.key);
                    out.push(':');
                    member.value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The value as validators see it: wide numbers are rounded.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Scalar(text) => serde_json::from_str(&rounded(text).text).unwrap_or_default(),
            Self::Array(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(members) => members
                .iter()
                .map(|member| (member.name.as_ref(), member.value.to_value()))
                .collect(),
        }
    }

    /// Number of values, including this one.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Scalar(_) => 1,
            Self::Array(items) => 1 + items.iter().map(Self::size).sum::<u64>(),
            Self::Object(members) => {
                1 + members.iter().map(|member| member.value.size()).sum::<u64>()
            }
        }
    }
}

impl<'t> Member<'t> {
    /// A new member.
    pub(crate) fn new(name: &'t str, value: Tree<'t>) -> Self {
        let key = Cow::Owned(Value::from(name).to_string());
        Self { key, name: Cow::Borrowed(name), value }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    /// The next byte that is not white space.
    fn next(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Skips a byte if it is next.
    fn pass(&mut self, mark: u8) -> Option<bool> {
        let next = self.next()? == mark;
        self.at += usize::from(next);
        Some(next)
    }

    fn value(&mut self) -> Option<Tree<'t>> {
        match self.next()? {
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                while !self.pass(b'}')? {
                    let key = self.string()?;
                    let plain = key.get(1..key.len() - 1).filter(|name| !name.contains('\\'));
                    let name = match plain {
                        Some(name) => Cow::Borrowed(name),
                        None => Cow::Owned(serde_json::from_str(key).ok()?),
                    };
                    self.pass(b':')?.then_some(())?;
                    let value = self.value()?;
                    members.push(Member { key: Cow::Borrowed(key), name, value });
                    self.pass(b',')?;
                }
                Some(Tree::Object(members))
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.pass(b']')? {
                    items.push(self.value()?);
                    self.pass(b',')?;
                }
                Some(Tree::Array(items))
            }
            b'"' => self.string().map(Tree::Scalar),
            _ => {
                let rest = self.text.get(self.at..)?;
                let end = rest.find([',', ']', '}', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
                self.at += end;
                rest.get(..end).map(Tree::Scalar)
            }
        }
    }

    fn string(&mut self) -> Option<&'t str> {
        self.next()?;
        let rest = self.text.get(self.at..)?;
        let length = super::text::string_length(rest);
        self.at += length;
        rest.get(..length).filter(|string| string.len() >= 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_as_written() {
        let text =
            " { \"b\" : [ 1.50 , { } , [ ] , -0 ] , \"a\\u0062\\\"\" : \"x, ]\" , \"\" : null } ";
        let tree = Tree::read(text).expect("JSON");
        let mut out = String::new();
        tree.write(&mut out);
        assert_eq!(out, super::super::text::compact(text));
        assert_eq!(tree.to_value(), serde_json::from_str::<Value>(text).expect("JSON"));
        assert_eq!(tree.size(), 8);
        for broken in ["", "{", "[1", "{\"a\"", "\"", "{1}"] {
            assert!(Tree::read(broken).is_none() || broken == "\"", "{broken}");
        }
    }
}
