//! Wide numbers: numbers that neither a double nor an integer of 64 bits represents exactly.
//!
//! A `Value` holds such a number rounded to a double, which is enough for most keywords. The exact
//! number is kept beside the value ([`WideNumbers`]), and keywords with numeric assertions are
//! evaluated against it instead of by the library.

use std::{borrow::Cow, cell::RefCell, collections::HashMap};

use serde_json::Value;

use super::{
    exact::Exact,
    number::{Decimal, value_key_by},
    resource::address,
    text::string_length,
    tree::Tree,
};

/// A JSON text whose numbers all fit a double. Integers of 64 bits are rewritten as integers, and
/// numbers beyond the range of a double as ±1e308.
pub(crate) struct Rounded<'t> {
    pub text: Cow<'t, str>,
    /// Some number was replaced, or will be rounded when it is parsed.
    pub wide: bool,
}

/// Replaces the numbers that do not fit a double. Takes one pass over the text.
pub(crate) fn rounded(text: &str) -> Rounded<'_> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut from, mut at, mut wide) = (0, 0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += string_length(text.get(at..).unwrap_or_default()),
            b'-' | b'0'..=b'9' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let length =
                    rest.iter().take_while(|byte| b"+-.eE0123456789".contains(byte)).count();
                let token = text.get(at..at + length).unwrap_or_default();
                match representation(token) {
                    Representation::Exact => {}
                    Representation::Integer(integer) => {
                        out.push_str(text.get(from..at).unwrap_or_default());
                        out.push_str(&integer);
                        from = at + length;
                    }
                    Representation::Rounded => wide = true,
                    Representation::OutOfRange => {
                        wide = true;
                        out.push_str(text.get(from..at).unwrap_or_default());
                        out.push_str(if token.starts_with('-') { "-1e308" } else { "1e308" });
                        from = at + length;
                    }
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if from == 0 {
        return Rounded { text: Cow::Borrowed(text), wide };
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Rounded { text: Cow::Owned(out), wide }
}

enum Representation {
    Exact,
    /// Equal to this integer, but written with a fraction or an exponent.
    Integer(String),
    Rounded,
    OutOfRange,
}

fn representation(token: &str) -> Representation {
    let plain = !token.contains(['.', 'e', 'E']);
    // Up to 15 digits are exact unless the exponent is large.
    if token.len() <= 15 && !token.contains(['e', 'E'])
        || plain && (token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok())
    {
        return Representation::Exact;
    }
    let (Some(exact), Ok(double)) = (Exact::parse(token), token.parse::<f64>()) else {
        // Not a number: the parser reports it.
        return Representation::Exact;
    };
    if !double.is_finite() {
        return Representation::OutOfRange;
    }
    if Exact::parse(&Value::from(double).to_string()).is_some_and(|rounded| rounded == exact) {
        return Representation::Exact;
    }
    exact.to_integer().map_or(Representation::Rounded, Representation::Integer)
}

/// The wide numbers of a value, by address: the exact number and its text.
#[derive(Debug, Default)]
pub(crate) struct WideNumbers(HashMap<usize, (Exact, String)>);

thread_local! {
    // The wide numbers of the value that is being validated: the library passes a keyword the value
    // and no context.
    static WIDE_NUMBERS: RefCell<WideNumbers> = RefCell::default();
}

impl WideNumbers {
    /// Collects the wide numbers of a value that was parsed from a text, and appends the pointer of
    /// each.
    pub(crate) fn of(text: &str, value: &Value, pointers: &mut Vec<(String, String)>) -> Self {
        let mut wide = Self::default();
        if let Some(tree) = Tree::read(text) {
            wide.collect(&tree, value, &mut String::new(), pointers);
        }
        wide
    }

    fn collect(
        &mut self,
        tree: &Tree<'_>,
        value: &Value,
        pointer: &mut String,
        pointers: &mut Vec<(String, String)>,
    ) {
        let length = pointer.len();
        match (tree, value) {
            (Tree::Scalar(token), Value::Number(_)) => {
                if let (Representation::Rounded | Representation::OutOfRange, Some(exact)) =
                    (representation(token), Exact::parse(token))
                {
                    pointers.push((pointer.clone(), (*token).to_owned()));
                    self.0.insert(address(value), (exact, (*token).to_owned()));
                }
            }
            (Tree::Array(trees), Value::Array(items)) => {
                for (index, (tree, item)) in trees.iter().zip(items).enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    self.collect(tree, item, pointer, pointers);
                    pointer.truncate(length);
                }
            }
            (Tree::Object(trees), Value::Object(members)) => {
                for tree in trees {
                    if let Some(value) = members.get(&*tree.name) {
                        pointer.push('/');
                        pointer.push_str(&tree.name.replace('~', "~0").replace('/', "~1"));
                        self.collect(&tree.value, value, pointer, pointers);
                        pointer.truncate(length);
                    }
                }
            }
            _ => {}
        }
    }

    /// Runs a function with these wide numbers in scope.
    pub(crate) fn scope<T>(self, work: impl FnOnce() -> T) -> T {
        let before = WIDE_NUMBERS.replace(self);
        let result = work();
        WIDE_NUMBERS.replace(before);
        result
    }
}

/// The exact number of a value, and its text.
pub(super) fn written(value: &Value) -> Option<(Exact, String)> {
    let number = value.as_number()?;
    let wide = WIDE_NUMBERS.with_borrow(|wide| wide.0.get(&address(value)).cloned());
    wide.or_else(|| {
        let text = number.to_string();
        Some((Exact::parse(&text)?, text))
    })
}

/// A key that is the same for equal values.
pub(super) fn key(value: &Value) -> String {
    value_key_by(value, &|value| written(value).map(|(exact, _)| exact.key()))
}

/// The canonical spelling of a number.
pub(crate) fn canonical(value: &Value) -> Option<String> {
    let wide = WIDE_NUMBERS
        .with_borrow(|wide| wide.0.get(&address(value)).map(|(exact, _)| exact.canonical()));
    wide.or_else(|| Some(Decimal::of(value.as_number()?).to_string()))
}

/// The text of a value; of a number, as written.
pub(super) fn shown(value: &Value) -> String {
    written(value).map_or_else(|| value.to_string(), |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wide_numbers_are_rewritten() {
        for text in
            ["1", "[0.1, 1e300, -0.0, 18446744073709551615, 1.50, \"1e400\"]", "1e22", "5e-324"]
        {
            let rounded = rounded(text);
            assert!(!rounded.wide && rounded.text == text, "{text}");
        }
        assert_eq!(
            rounded("[9007199254740993.0, \"\\\"1e400\"]").text,
            "[9007199254740993, \"\\\"1e400\"]"
        );
        for text in ["0.10000000000000000001", "18446744073709551617", "1e-400"] {
            assert!(rounded(text).wide && rounded(text).text == text, "{text}");
        }
        let beyond = rounded("{\"a\": -1e400, \"b\": 1e999999999999999999999}");
        assert!(beyond.wide);
        assert_eq!(beyond.text, "{\"a\": -1e308, \"b\": 1e308}");
    }
}
