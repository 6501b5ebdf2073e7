//! Messages of Protobuf itself that have a JSON of their own: times, masks, any JSON, any message.

use std::borrow::Cow;

use jiff::{Span, civil::Date};
use serde_json::{Map, Value};

use super::{
    any::Held,
    encode::{Walk, shown},
    scan::{Item, put_length, put_tag},
    wire::Scalar,
};

/// 0001-01-01T00:00:00Z and the last second of the year 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const EPOCH: Date = Date::constant(1970, 1, 1);
/// 10,000 years.
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;
const NANOS: u32 = 1_000_000_000;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    ListValue,
    Value,
    /// A message around one value.
    Wrapper,
}

impl Special {
    /// By the full name of the message.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("google.protobuf.")? {
            "Any" => Self::Any,
            "Timestamp" => Self::Timestamp,
            "Duration" => Self::Duration,
            "FieldMask" => Self::FieldMask,
            "Struct" => Self::Struct,
            "ListValue" => Self::ListValue,
            "Value" => Self::Value,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
            | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => Self::Wrapper,
            _ => return None,
        })
    }
}

impl Walk<'_> {
    /// Writes the fields of such a message.
    pub(super) fn special(&mut self, special: Special, index: usize, value: &Value) {
        match (special, value) {
            (Special::Any, Value::Object(members)) => self.any(members),
            (Special::Timestamp, _) => match value.as_str().and_then(timestamp) {
                Some((seconds, nanos)) => self.time(seconds, i64::from(nanos)),
                None => self.say(format!(
                    "{} is not a time such as \"2026-01-31T12:00:00.5Z\", of the years 1 to 9999",
                    shown(value)
                )),
            },
            (Special::Duration, _) => match value.as_str().and_then(duration) {
                Some((seconds, nanos)) => self.time(seconds, nanos),
                None => self.say(format!(
                    "{} is not a duration such as \"1.5s\", of at most {DURATION_SECONDS_MAX} seconds",
                    shown(value)
                )),
            },
            (Special::FieldMask, Value::String(text)) => {
                for path in text.split(',').filter(|_| !text.is_empty()) {
                    match snake(path) {
                        Some(path) => self.text(1, &path),
                        None => self.say(format!(
                            "{path:?} is not a path of a field mask: in JSON \"fooBar\" stands for \"foo_bar\""
                        )),
                    }
                }
            }
            (Special::Struct, Value::Object(members)) => {
                let of = self.types.message_index("google.protobuf.Value").unwrap_or(usize::MAX);
                for (name, value) in members {
                    self.inside(name, |walk| {
                        put_tag(1, 2, &mut walk.out);
                        let from = walk.out.len();
                        walk.text(1, name);
                        walk.nested(2, of, value);
                        put_length(from, &mut walk.out);
                    });
                }
            }
            (Special::ListValue, Value::Array(items)) => {
                let of = self.types.message_index("google.protobuf.Value").unwrap_or(usize::MAX);
                for (at, value) in items.iter().enumerate() {
                    self.inside(&at.to_string(), |walk| walk.nested(1, of, value));
                }
            }
            (Special::Value, _) => self.any_json(value),
            (Special::Wrapper, _) => {
                let types = self.types;
                let field = types.message(index).and_then(|it| it.fields.get(&1));
                if let Some(field) = field {
                    self.field(field, value);
                }
            }
            _ => {
                let name = self.types.message(index).map_or("", |it| it.name.as_str());
                self.say(format!("{} is not a {name}", shown(value)));
            }
        }
    }

    fn any(&mut self, members: &Map<String, Value>) {
        let Some(Value::String(url)) = members.get("@type") else {
            if !members.is_empty() {
                self.say("an Any says in \"@type\" what it holds");
            }
            return;
        };
        let name = url.rsplit('/').next().filter(|_| url.contains('/')).unwrap_or_default();
        self.text(1, url);
        put_tag(2, 2, &mut self.out);
        let from = self.out.len();
        if let Some(index) = self.types.message_index(name) {
            self.held(index, name, members);
        } else if let Some((schema, index)) = self.messages.find(name) {
            let (types, demands) = (&schema.parts.types, &schema.parts.demands);
            let mut walk = self.sibling();
            (walk.types, walk.demands) = (types, demands);
            walk.held(index, name, members);
            let (out, violations) = walk.done();
            self.out.extend(out);
            self.take(violations);
        } else {
            self.inside("@type", |walk| {
                walk.say(format!(
                    "{url:?} is not the address of a message of the schema, nor of one that a single subject has \
                     registered, such as \"type.googleapis.com/google.protobuf.Duration\""
                ));
            });
        }
        put_length(from, &mut self.out);
    }

    /// The message that an Any holds.
    fn held(&mut self, index: usize, name: &str, members: &Map<String, Value>) {
        let held = Held::of(name);
        let apart = |name: &str| name == "@type" || name == "value" && held != Held::Fields;
        let others = members.iter().filter(|(name, _)| !apart(name));
        match held {
            Held::Fields | Held::Empty => self.members(index, others),
            Held::Value => {
                for (other, _) in others {
                    self.inside(other, |walk| {
                        walk.say(format!(
                            "an Any of a {name} has its JSON in \"value\", and nothing else"
                        ));
                    });
                }
            }
        }
        match (held, members.get("value")) {
            (Held::Fields, _) | (Held::Empty, None) => {}
            (Held::Value | Held::Empty, value) => {
                self.inside("value", |walk| walk.message(index, value.unwrap_or(&Value::Null)));
            }
        }
    }

    fn any_json(&mut self, value: &Value) {
        let index = |name: &str| self.types.message_index(name).unwrap_or(usize::MAX);
        match value {
            Value::Null => Item::Varint(0).put_field(1, &mut self.out),
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or_default();
                Item::Fixed64(number.to_bits()).put_field(2, &mut self.out);
            }
            Value::String(text) => self.text(3, text),
            Value::Bool(value) => Item::Varint(u64::from(*value)).put_field(4, &mut self.out),
            Value::Object(_) => self.nested(5, index("google.protobuf.Struct"), value),
            Value::Array(_) => self.nested(6, index("google.protobuf.ListValue"), value),
        }
    }

    fn nested(&mut self, number: u32, message: usize, value: &Value) {
        put_tag(number, 2, &mut self.out);
        let from = self.out.len();
        self.message(message, value);
        put_length(from, &mut self.out);
    }

    fn text(&mut self, number: u32, text: &str) {
        Item::Bytes(Cow::Borrowed(text.as_bytes())).put_field(number, &mut self.out);
    }

    fn time(&mut self, seconds: i64, nanos: i64) {
        for (number, scalar, value) in [(1, Scalar::Int64, seconds), (2, Scalar::Int32, nanos)] {
            if value != 0
                && let Some(bits) = scalar.bits(value.into())
            {
                Item::Varint(bits).put_field(number, &mut self.out);
            }
        }
    }
}

/// Seconds since 1970 and nanoseconds behind them.
fn timestamp(text: &str) -> Option<(i64, u32)> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let nanos = match fraction.strip_prefix('.') {
        Some(digits) if !digits.is_empty() && digits.len() <= 9 && all_digits(digits) => {
            format!("{digits:0<9}").parse().ok()?
        }
        None if fraction.is_empty() => 0,
        _ => return None,
    };
    let offset = match zone.split_at(1) {
        ("Z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            if sign == "Z" || hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == "-" { -60 } else { 60 }
        }
    };
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let date = Date::new(i16::try_from(year).ok()?, month, day).ok()?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = date.duration_since(EPOCH).as_hours() / 24;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    SECONDS.contains(&seconds).then_some((seconds, nanos))
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|it| it.len() == digits && all_digits(it))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// A point in time in RFC 3339.
pub(super) fn timestamp_text(seconds: i64, nanos: i64) -> Option<String> {
    let nanos = u32::try_from(nanos).ok().filter(|it| *it < NANOS)?;
    if !SECONDS.contains(&seconds) {
        return None;
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let date = EPOCH.checked_add(Span::new().try_days(days).ok()?).ok()?;
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}Z",
        date.year(),
        date.month(),
        date.day(),
        second / 3_600,
        second / 60 % 60,
        second % 60,
        fraction(nanos)
    ))
}

/// Seconds and nanoseconds, of one sign.
fn duration(text: &str) -> Option<(i64, i64)> {
    let number = text.strip_suffix('s')?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok().filter(|it| *it <= DURATION_SECONDS_MAX)?;
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// A duration in seconds.
pub(super) fn duration_text(seconds: i64, nanos: i64) -> Option<String> {
    let apart = seconds.signum() * nanos.signum() < 0;
    let short = u32::try_from(nanos.unsigned_abs()).ok().filter(|it| *it < NANOS)?;
    if apart || seconds.unsigned_abs() > DURATION_SECONDS_MAX.unsigned_abs() {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    Some(format!("{sign}{}{}s", seconds.unsigned_abs(), fraction(short)))
}

/// With three, six or nine digits, as few as it takes.
fn fraction(nanos: u32) -> String {
    match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!(".{:06}", nanos / 1_000),
        _ => format!(".{nanos:09}"),
    }
}

/// `fooBar.baz` is `foo_bar.baz`.
fn snake(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        match letter {
            '_' => return None,
            _ if letter.is_ascii_uppercase() => {
                out.push('_');
                out.push(letter.to_ascii_lowercase());
            }
            _ => out.push(letter),
        }
    }
    Some(out)
}

/// `foo_bar.baz` is `fooBar.baz`. None: it would not be read back as it was.
pub(super) fn camel(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut raised = false;
    for letter in path.chars() {
        match letter {
            _ if raised && letter.is_ascii_lowercase() => {
                out.push(letter.to_ascii_uppercase());
                raised = false;
            }
            _ if raised || letter.is_ascii_uppercase() => return None,
            '_' => raised = true,
            _ => out.push(letter),
        }
    }
    (!raised).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_texts() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1969-12-31T23:59:59.500Z", -1, 500_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
            ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999),
            ("2026-01-31T12:00:00.000001Z", 1_769_860_800, 1_000),
        ] {
            assert_eq!(timestamp(text), Some((seconds, nanos)), "{text}");
            assert_eq!(timestamp_text(seconds, nanos.into()).as_deref(), Some(text));
        }
        assert_eq!(timestamp("1970-01-01T01:00:00+01:00"), Some((0, 0)));
        for text in [
            "",
            "1970-01-01",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-02-30T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+0100",
            "0001-01-01T00:00:00+01:00",
            "now",
            "ééééééééééé",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
        assert_eq!(timestamp_text(0, -1), None);
        assert_eq!(timestamp_text(i64::MAX, 0), None);
    }

    #[test]
    fn durations_are_seconds() {
        for (text, seconds, nanos) in
            [("0s", 0, 0), ("-1.500s", -1, -500_000_000), ("-0.000000001s", 0, -1), ("3s", 3, 0)]
        {
            assert_eq!(duration(text), Some((seconds, nanos)), "{text}");
            assert_eq!(duration_text(seconds, nanos).as_deref(), Some(text));
        }
        for text in ["", "s", "1", "1.0000000001s", "--1s", "1e3s", "999999999999s"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration_text(1, -1), None);
        assert_eq!(duration_text(i64::MIN, i64::MIN), None);
    }

    #[test]
    fn masks_are_in_camel_case() {
        assert_eq!(snake("fooBar.baz").as_deref(), Some("foo_bar.baz"));
        assert_eq!(camel("foo_bar.baz").as_deref(), Some("fooBar.baz"));
        assert_eq!(camel("fooBar"), None);
        assert_eq!(camel("foo_"), None);
    }
}
