//! Numbers beyond what a double holds: kept as they were written, and checked exactly.
//!
//! Values hold what a double makes of them, which is all that most keywords ask for. What number stands in its place is
//! noted beside it ([`Wide`]), and the keywords that look at numbers are checked here instead of in the library.

use std::{borrow::Cow, cell::RefCell, cmp::Ordering, collections::HashMap};

use jsonschema::ValidationError;
use serde_json::{Map, Value};

use super::{number::Decimal, resource::address, text::string_length, tree::Tree};

/// The keyword under which a schema's assertions about numbers stand for the library.
pub(crate) const KEYWORD: &str = "x-tidings-exact";
/// The keywords that it takes the place of.
pub(crate) const KEYWORDS: [&str; 9] = [
    "type",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "const",
    "enum",
    "uniqueItems",
];
const EXPONENT_MAX: i64 = 1_000_000_000_000_000_000;
/// Digits that a number of a schema may have where it divides others.
pub(crate) const STEP_DIGITS_MAX: usize = 37;

/// `±digits · 10^exponent`, without zeros at either end, so that equal numbers have equal parts.
#[derive(Debug, Clone)]
pub(crate) struct Exact {
    negative: bool,
    digits: String,
    exponent: i64,
    /// Whether it was written with neither a fraction nor an exponent.
    plain: bool,
}

impl Exact {
    /// Reads a number of JSON. None: it is none. An exponent of more than 18 digits is as good as one of 18.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let plain = !rest.contains(['.', 'e', 'E']);
        let digits = all.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0, plain });
        }
        let zeros = all.len() - all.trim_end_matches('0').len();
        let beyond = if exponent.starts_with('-') { -EXPONENT_MAX } else { EXPONENT_MAX };
        let exponent = exponent
            .parse::<i64>()
            .unwrap_or(beyond)
            .clamp(-EXPONENT_MAX, EXPONENT_MAX)
            .checked_sub(i64::try_from(fraction.len()).ok()?)?
            .checked_add(i64::try_from(zeros).ok()?)?;
        Some(Self { negative, digits: digits.to_owned(), exponent, plain })
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Sign, digits and exponent, if arithmetic has room for them: so many digits, and powers that are written out.
    pub(crate) fn parts(&self) -> Option<(bool, i128, i32)> {
        let exponent = i32::try_from(self.exponent).ok().filter(|it| it.abs() <= 10_000)?;
        if self.digits.is_empty() {
            return Some((false, 0, 0));
        }
        let room = self.digits.len() <= STEP_DIGITS_MAX;
        Some((self.negative, self.digits.parse().ok().filter(|_| room)?, exponent))
    }

    /// As it is written where equal numbers are written alike.
    fn canonical(&self) -> String {
        match self.parts() {
            Some((negative, digits, exponent)) => {
                Decimal::new(if negative { -digits } else { digits }, exponent).to_string()
            }
            None => self.key(),
        }
    }

    /// How many digits it has that count.
    pub(crate) fn precision(&self) -> usize {
        self.digits.len()
    }

    /// As an integer, if it is one that 64 bits hold.
    pub(crate) fn to_integer(&self) -> Option<String> {
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros < 20)?;
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}{}{}", self.digits, "0".repeat(zeros));
        (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()).then_some(text)
    }

    /// A text that is the same for equal numbers, as [`super::number::value_key`] writes it.
    fn key(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        format!("{sign}{digits}e{}", self.exponent)
    }

    pub(crate) fn is_multiple_of(&self, step: &Self) -> bool {
        if self.digits.is_empty() {
            return true;
        }
        let Ok(divisor) = step.digits.parse::<u128>() else { return false };
        // Its digits end with no zero, so that it is no multiple of anything with more of them.
        let Ok(shift) = u64::try_from(i128::from(self.exponent) - i128::from(step.exponent)) else {
            return false;
        };
        if divisor == 0 || step.digits.len() > STEP_DIGITS_MAX {
            return false;
        }
        let rest = self.digits.bytes().fold(0_u128, |rest, digit| {
            (rest * 10 + u128::from(digit.saturating_sub(b'0'))) % divisor
        });
        multiplied(rest, power(shift, divisor), divisor) == 0
    }

    /// Where the first digit is.
    fn magnitude(&self) -> i128 {
        i128::from(self.exponent) + self.digits.len() as i128
    }
}

/// `10^exponent mod divisor`.
fn power(mut exponent: u64, divisor: u128) -> u128 {
    let (mut result, mut base) = (1 % divisor, 10 % divisor);
    while exponent > 0 {
        if exponent % 2 == 1 {
            result = multiplied(result, base, divisor);
        }
        base = multiplied(base, base, divisor);
        exponent /= 2;
    }
    result
}

/// `left · right mod divisor`, without room for more than twice the divisor.
fn multiplied(mut left: u128, mut right: u128, divisor: u128) -> u128 {
    if let Some(product) = left.checked_mul(right) {
        return product % divisor;
    }
    let mut sum = 0;
    while right > 0 {
        if right % 2 == 1 {
            sum = (sum + left) % divisor;
        }
        left = left * 2 % divisor;
        right /= 2;
    }
    sum
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |it: &Self| match (it.digits.is_empty(), it.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let ordering = sign(self).cmp(&sign(other));
        if ordering != Ordering::Equal || sign(self) == 0 {
            return ordering;
        }
        // Of the same size, digits compare as text.
        let larger = self.magnitude().cmp(&other.magnitude());
        let larger = larger.then_with(|| self.digits.cmp(&other.digits));
        if self.negative { larger.reverse() } else { larger }
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Exact {}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A text with numbers in it that a double has room for: of the others, integers of 64 bits are written as such, and
/// what is too large is written as something large.
pub(crate) struct Rounded<'t> {
    pub text: Cow<'t, str>,
    /// Whether some number in it is another one now, or will be read as another one.
    pub wide: bool,
}

/// Looks for numbers that no double and no integer of 64 bits is. Takes a pass over the text.
pub(crate) fn rounded(text: &str) -> Rounded<'_> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut from, mut at, mut wide) = (0, 0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += string_length(text.get(at..).unwrap_or_default()),
            b'-' | b'0'..=b'9' => {
                let rest = bytes.get(at..).unwrap_or_default();
                let length = rest.iter().take_while(|it| b"+-.eE0123456789".contains(it)).count();
                let token = text.get(at..at + length).unwrap_or_default();
                match room_for(token) {
                    Room::There => {}
                    Room::Integer(integer) => {
                        out.push_str(text.get(from..at).unwrap_or_default());
                        out.push_str(&integer);
                        from = at + length;
                    }
                    Room::Rounded => wide = true,
                    Room::None => {
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

enum Room {
    There,
    /// It is written otherwise, and is this integer.
    Integer(String),
    Rounded,
    None,
}

fn room_for(token: &str) -> Room {
    let plain = !token.contains(['.', 'e', 'E']);
    // 15 digits are exact whatever the exponent is, unless it is large.
    if token.len() <= 15 && !token.contains(['e', 'E'])
        || plain && (token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok())
    {
        return Room::There;
    }
    let (Some(exact), Ok(double)) = (Exact::parse(token), token.parse::<f64>()) else {
        // No number: reading it says so.
        return Room::There;
    };
    if !double.is_finite() {
        return Room::None;
    }
    if Exact::parse(&Value::from(double).to_string()).is_some_and(|it| it == exact) {
        return Room::There;
    }
    exact.to_integer().map_or(Room::Rounded, Room::Integer)
}

/// The numbers of a value that it does not hold as they were written.
#[derive(Debug, Default)]
pub(crate) struct Wide(HashMap<usize, (Exact, String)>);

thread_local! {
    /// Of the value that is looked at: the library hands a value to a keyword and nothing with it.
    static WIDE: RefCell<Wide> = RefCell::default();
}

impl Wide {
    /// Of a value that was read from a text, with the pointer of each.
    pub(crate) fn of(text: &str, value: &Value, pointers: &mut Vec<(String, String)>) -> Self {
        let mut wide = Self::default();
        if let Some(tree) = Tree::read(text) {
            wide.note(&tree, value, &mut String::new(), pointers);
        }
        wide
    }

    fn note(
        &mut self,
        tree: &Tree<'_>,
        value: &Value,
        pointer: &mut String,
        pointers: &mut Vec<(String, String)>,
    ) {
        let length = pointer.len();
        match (tree, value) {
            (Tree::Scalar(token), Value::Number(_)) => {
                if let (Room::Rounded | Room::None, Some(exact)) =
                    (room_for(token), Exact::parse(token))
                {
                    pointers.push((pointer.clone(), (*token).to_owned()));
                    self.0.insert(address(value), (exact, (*token).to_owned()));
                }
            }
            (Tree::Array(trees), Value::Array(items)) => {
                for (index, (tree, item)) in trees.iter().zip(items).enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    self.note(tree, item, pointer, pointers);
                    pointer.truncate(length);
                }
            }
            (Tree::Object(trees), Value::Object(members)) => {
                for tree in trees {
                    if let Some(value) = members.get(&*tree.name) {
                        pointer.push('/');
                        pointer.push_str(&tree.name.replace('~', "~0").replace('/', "~1"));
                        self.note(&tree.value, value, pointer, pointers);
                        pointer.truncate(length);
                    }
                }
            }
            _ => {}
        }
    }

    /// Does something while the numbers of a value are known.
    pub(crate) fn during<T>(self, work: impl FnOnce() -> T) -> T {
        let before = WIDE.replace(self);
        let done = work();
        WIDE.replace(before);
        done
    }
}

/// The number that a value stands for, and how it was written.
fn written(value: &Value) -> Option<(Exact, String)> {
    let number = value.as_number()?;
    let wide = WIDE.with_borrow(|wide| wide.0.get(&address(value)).cloned());
    wide.or_else(|| {
        let text = number.to_string();
        Some((Exact::parse(&text)?, text))
    })
}

/// A text that is the same for equal values.
fn key(value: &Value) -> String {
    super::number::value_key_by(value, &|value| written(value).map(|(exact, _)| exact.key()))
}

/// A number as canonical texts have it.
pub(crate) fn canonical(value: &Value) -> Option<String> {
    let wide = WIDE.with_borrow(|wide| wide.0.get(&address(value)).map(|(it, _)| it.canonical()));
    wide.or_else(|| Some(Decimal::of(value.as_number()?).to_string()))
}

/// A value as it was written, if it is a number.
fn shown(value: &Value) -> String {
    written(value).map_or_else(|| value.to_string(), |(_, text)| text)
}

/// The assertions of a schema about numbers, for the library.
pub(crate) fn assertions(
    members: &Map<String, Value>,
    draft_4: bool,
    written: impl Fn(&str) -> Option<String>,
) -> Option<Value> {
    let mut found = Map::new();
    for keyword in KEYWORDS {
        let Some(value) = members.get(keyword).filter(|_| !draft_4 || keyword != "const") else {
            continue;
        };
        let said = match value {
            // Values go in as text: a number of theirs may be beyond what one holds.
            Value::Number(number) => {
                Value::from(written(keyword).unwrap_or_else(|| number.to_string()))
            }
            _ if keyword == "const" || keyword == "enum" => Value::from(written(keyword)?),
            other => other.clone(),
        };
        found.insert(keyword.to_owned(), said);
    }
    if draft_4 {
        found.insert("draft-4".to_owned(), Value::Bool(true));
    }
    (!found.is_empty()).then_some(Value::Object(found))
}

/// What a schema asserts of numbers, ready to be checked.
#[derive(Debug, Default)]
pub(crate) struct Assertions {
    types: Vec<String>,
    draft_4: bool,
    bounds: Vec<Bound>,
    step: Option<(Exact, String)>,
    /// `enum` and `const`: the keys of the values, and the text.
    values: Vec<(Vec<String>, String)>,
    unique: bool,
}

#[derive(Debug)]
struct Bound {
    at: Exact,
    shown: String,
    exclusive: bool,
    lower: bool,
}

impl Assertions {
    /// Reads what [`assertions`] wrote.
    pub(crate) fn read(value: &Value) -> Self {
        let draft_4 = value.get("draft-4").is_some();
        let text = |keyword: &str| value.get(keyword).and_then(Value::as_str);
        let number = |keyword: &str| {
            text(keyword).and_then(|text| Some((Exact::parse(text)?, text.to_owned())))
        };
        let mut read = Self {
            draft_4,
            step: number("multipleOf"),
            unique: value.get("uniqueItems") == Some(&Value::Bool(true)),
            ..Self::default()
        };
        match value.get("type") {
            Some(Value::String(name)) => read.types.push(name.clone()),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                read.types.extend(names.map(ToOwned::to_owned));
            }
            _ => {}
        }
        for (keyword, outer, lower) in
            [("minimum", "exclusiveMinimum", true), ("maximum", "exclusiveMaximum", false)]
        {
            let exclusive = draft_4 && value.get(outer) == Some(&Value::Bool(true));
            let found = number(keyword).map(|it| (it, exclusive));
            let strict = number(outer).filter(|_| !draft_4).map(|it| (it, true));
            read.bounds.extend(
                found.into_iter().chain(strict).map(|((at, shown), exclusive)| Bound {
                    at,
                    shown,
                    exclusive,
                    lower,
                }),
            );
        }
        for keyword in ["enum", "const"] {
            let Some(text) = text(keyword) else { continue };
            let Ok(list) = serde_json::from_str::<Value>(&rounded(text).text) else { continue };
            let keys = Wide::of(text, &list, &mut Vec::new()).during(|| match &list {
                Value::Array(items) if keyword == "enum" => items.iter().map(key).collect(),
                other => vec![key(other)],
            });
            read.values.push((keys, text.to_owned()));
        }
        read
    }

    /// Of `multipleOf` alone.
    pub(crate) fn step(value: &Value) -> Self {
        Self { step: written(value), ..Self::default() }
    }

    fn fault(&self, value: &Value) -> Option<String> {
        if !self.types.is_empty() && !self.types.iter().any(|name| self.is_of(name, value)) {
            let names: Vec<_> = self.types.iter().map(|name| format!("{name:?}")).collect();
            return Some(format!("{} is not of type {}", shown(value), names.join(", ")));
        }
        if let Some((exact, text)) = written(value) {
            for Bound { at, shown, exclusive, lower } in &self.bounds {
                let (ordering, side, end) = if *lower {
                    (exact.cmp(at), "less", "minimum")
                } else {
                    (at.cmp(&exact), "greater", "maximum")
                };
                if ordering == Ordering::Less {
                    return Some(format!("{text} is {side} than the {end} of {shown}"));
                }
                if *exclusive && ordering == Ordering::Equal {
                    return Some(format!(
                        "{text} is not {} than {shown}",
                        if *lower { "greater" } else { "less" }
                    ));
                }
            }
            if let Some((step, shown)) = &self.step
                && !exact.is_multiple_of(step)
            {
                return Some(format!("{text} is not a multiple of {shown}"));
            }
        }
        if !self.values.is_empty() {
            let key = key(value);
            if let Some((_, text)) = self.values.iter().find(|(keys, _)| !keys.contains(&key)) {
                return Some(format!("{} is not one of {text}", shown(value)));
            }
        }
        if self.unique
            && let Value::Array(items) = value
        {
            let mut keys: Vec<_> = items.iter().map(key).collect();
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair.first() == pair.last()) {
                return Some(format!("{value} has non-unique elements"));
            }
        }
        None
    }

    fn is_of(&self, name: &str, value: &Value) -> bool {
        match name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "number" => value.is_number(),
            "integer" => written(value)
                .is_some_and(|(it, _)| if self.draft_4 { it.plain } else { it.is_integer() }),
            _ => false,
        }
    }
}

impl<'i> jsonschema::Keyword<'i> for Assertions {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.fault(value).map_or(Ok(()), |fault| Err(ValidationError::custom(fault)))
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.fault(value).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_was_written() {
        let exact = |text: &str| Exact::parse(text).expect("a number");
        for (left, right) in [
            ("1", "1.0"),
            ("1e2", "100"),
            ("-0", "0e5"),
            ("9007199254740993.0", "9.007199254740993e15"),
            ("1e400", "10e399"),
        ] {
            assert_eq!(exact(left), exact(right));
            assert_eq!(exact(left).key(), exact(right).key());
        }
        for (less, more) in [
            ("0.1", "0.10000000000000000001"),
            ("-1e400", "1e-400"),
            ("-2", "-1.99"),
            ("18446744073709551616", "18446744073709551617"),
            ("9", "10"),
            ("1e-400", "1e400"),
        ] {
            assert!(exact(less) < exact(more), "{less} {more}");
            assert_ne!(exact(less), exact(more));
        }
        for (number, step, multiple) in [
            ("3e30", "3", true),
            ("36893488147419103233", "3", true),
            ("36893488147419103234", "3", false),
            ("1e400", "7", false),
            ("7e400", "7", true),
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("1e999999999999", "2", true),
            ("1", "10", false),
            (
                "123456789012345678901234567890123456789012345678901234567890",
                "9876543210987654321098765432109876543",
                false,
            ),
            (
                "98765432109876543210987654321098765430",
                "9876543210987654321098765432109876543",
                true,
            ),
        ] {
            assert_eq!(exact(number).is_multiple_of(&exact(step)), multiple, "{number} {step}");
        }
        assert!(Exact::parse("x").is_none());
    }

    #[test]
    fn only_what_has_no_room_is_written_otherwise() {
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
