//! The functions of expressions.

use std::{borrow::Cow, time::Duration};

use jiff::SignedDuration;

use super::{
    budget::{Budget, Failure},
    kind::Kind,
    value::Value,
};
use crate::model::timestamp::Timestamp;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    UpperAscii,
    Int,
    Uint,
    Double,
    Text,
    Bool,
    Timestamp,
    Duration,
    Year,
    Month,
    DayOfMonth,
    Date,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// How a function is called.
pub struct Signature {
    /// The name of the function.
    pub name: &'static str,
    /// As a method, or as a function.
    pub style: Style,
    pub function: Function,
    /// The types of the arguments, the receiver of a method first.
    pub takes: &'static [&'static [Kind]],
    pub gives: Kind,
}

/// The style of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `x.name()`
    Method,
    /// `name(x)`
    Function,
    /// Either.
    Both,
}

const TEXT: &[Kind] = &[Kind::Text];
const WHEN: &[Kind] = &[Kind::Time];
const WHEN_OR_SPAN: &[Kind] = &[Kind::Time, Kind::Span];
const SCALAR: &[Kind] = &[Kind::Number, Kind::Text, Kind::Bool, Kind::Time, Kind::Span];

const fn of(
    name: &'static str,
    style: Style,
    function: Function,
    takes: &'static [&'static [Kind]],
    gives: Kind,
) -> Signature {
    Signature { name, style, function, takes, gives }
}

/// All functions except `matches`, whose pattern is compiled with the expression.
pub const FUNCTIONS: &[Signature] = &[
    of(
        "size",
        Style::Both,
        Function::Size,
        &[&[Kind::Text, Kind::Bytes, Kind::List, Kind::Map]],
        Kind::Number,
    ),
    of("startsWith", Style::Method, Function::StartsWith, &[TEXT, TEXT], Kind::Bool),
    of("endsWith", Style::Method, Function::EndsWith, &[TEXT, TEXT], Kind::Bool),
    of("contains", Style::Method, Function::Contains, &[TEXT, TEXT], Kind::Bool),
    of("lowerAscii", Style::Method, Function::LowerAscii, &[TEXT], Kind::Text),
    of("upperAscii", Style::Method, Function::UpperAscii, &[TEXT], Kind::Text),
    of(
        "int",
        Style::Function,
        Function::Int,
        &[&[Kind::Number, Kind::Text, Kind::Time]],
        Kind::Number,
    ),
    of("uint", Style::Function, Function::Uint, &[&[Kind::Number, Kind::Text]], Kind::Number),
    of("double", Style::Function, Function::Double, &[&[Kind::Number, Kind::Text]], Kind::Number),
    of("string", Style::Function, Function::Text, &[SCALAR], Kind::Text),
    of("bool", Style::Function, Function::Bool, &[&[Kind::Bool, Kind::Text]], Kind::Bool),
    of(
        "timestamp",
        Style::Function,
        Function::Timestamp,
        &[&[Kind::Text, Kind::Time, Kind::Number]],
        Kind::Time,
    ),
    of("duration", Style::Function, Function::Duration, &[&[Kind::Text, Kind::Span]], Kind::Span),
    of("getFullYear", Style::Method, Function::Year, &[WHEN], Kind::Number),
    of("getMonth", Style::Method, Function::Month, &[WHEN], Kind::Number),
    of("getDayOfMonth", Style::Method, Function::DayOfMonth, &[WHEN], Kind::Number),
    of("getDate", Style::Method, Function::Date, &[WHEN], Kind::Number),
    of("getDayOfWeek", Style::Method, Function::DayOfWeek, &[WHEN], Kind::Number),
    of("getDayOfYear", Style::Method, Function::DayOfYear, &[WHEN], Kind::Number),
    of("getHours", Style::Method, Function::Hours, &[WHEN_OR_SPAN], Kind::Number),
    of("getMinutes", Style::Method, Function::Minutes, &[WHEN_OR_SPAN], Kind::Number),
    of("getSeconds", Style::Method, Function::Seconds, &[WHEN_OR_SPAN], Kind::Number),
    of("getMilliseconds", Style::Method, Function::Milliseconds, &[WHEN_OR_SPAN], Kind::Number),
];

/// Parses a timestamp.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    Timestamp::iso8601(text).ok()
}

/// Longest duration in seconds, as in `google.protobuf.Duration`: 10,000 years.
const SPAN_SECONDS_MAX: u64 = 315_576_000_000;

/// The duration. None: it is out of range.
pub fn span(span: SignedDuration) -> Option<SignedDuration> {
    (span.unsigned_abs() <= Duration::from_secs(SPAN_SECONDS_MAX)).then_some(span)
}

/// Parses a duration in the form of CEL: `90s`, `1h30m`, `-1.5h`, `250ms`.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() || rest.len() > 100 {
        return None;
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let nanos: u64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(times(whole, nanos)?)?;
        let mut digit_nanos = nanos;
        for digit in fraction.bytes() {
            digit_nanos /= 10;
            let digit = u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
            sum = sum.checked_add(Duration::from_nanos(digit * digit_nanos))?;
        }
        rest = after;
    }
    let sum = SignedDuration::try_from(sum).ok()?;
    span(if is_negative { -sum } else { sum })
}

/// `count` units of `nanos` nanoseconds each. 64 bits of nanoseconds would overflow after 584
/// years.
fn times(count: u64, nanos: u64) -> Option<Duration> {
    const SECOND: u128 = 1_000_000_000;
    let total = u128::from(count) * u128::from(nanos);
    let (seconds, rest) = (total / SECOND, total % SECOND);
    Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(rest).ok()?))
}

fn text_of<'a>(value: Option<&'a Value<'_>>) -> Result<&'a str, Failure> {
    match value {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(Failure::Type),
    }
}

impl Function {
    /// Calls it.
    pub fn call<'v>(self, values: &[Value<'v>], budget: &mut Budget) -> Result<Value<'v>, Failure> {
        let first = values.first().ok_or(Failure::Type)?;
        match self {
            Self::Size => {
                let size = first.size(budget)?;
                i64::try_from(size).map(Value::Int).map_err(|_| Failure::Value)
            }
            Self::StartsWith | Self::EndsWith | Self::Contains => {
                let (text, search) = (text_of(Some(first))?, text_of(values.get(1))?);
                let bytes = if self == Self::Contains { text.len() } else { 0 };
                budget.take_bytes(bytes + search.len())?;
                Ok(Value::Bool(match self {
                    Self::StartsWith => text.starts_with(search),
                    Self::EndsWith => text.ends_with(search),
                    _ => text.contains(search),
                }))
            }
            Self::LowerAscii | Self::UpperAscii => {
                let text = text_of(Some(first))?;
                budget.take_bytes(text.len())?;
                Ok(Value::text(match self {
                    Self::LowerAscii => text.to_ascii_lowercase(),
                    _ => text.to_ascii_uppercase(),
                }))
            }
            Self::Int => int(first),
            Self::Uint => uint(first),
            Self::Double => match first {
                Value::Text(text) => {
                    budget.take_bytes(text.len())?;
                    text.parse().map(Value::Double).map_err(|_| Failure::Value)
                }
                number => number.double().map(Value::Double).ok_or(Failure::Type),
            },
            Self::Text => text(first, budget),
            Self::Bool => match first {
                Value::Bool(flag) => Ok(Value::Bool(*flag)),
                Value::Text(text) => match text.as_ref() {
                    "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
                    "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
                    _ => Err(Failure::Value),
                },
                _ => Err(Failure::Type),
            },
            Self::Timestamp => match first {
                Value::Time(time) => Ok(Value::Time(*time)),
                Value::Text(text) => timestamp(text).map(Value::Time).ok_or(Failure::Value),
                number => {
                    let seconds = number.integer().ok_or(Failure::Type)?;
                    let time = i64::try_from(seconds).ok().and_then(Timestamp::from_second);
                    time.map(Value::Time).ok_or(Failure::Value)
                }
            },
            Self::Duration => match first {
                Value::Span(span) => Ok(Value::Span(*span)),
                Value::Text(text) => duration(text).map(Value::Span).ok_or(Failure::Value),
                _ => Err(Failure::Type),
            },
            component => match first {
                Value::Time(time) => Ok(Value::Int(component.of_time(*time))),
                Value::Span(span) => component.of_span(*span).map(Value::Int).ok_or(Failure::Type),
                _ => Err(Failure::Type),
            },
        }
    }

    /// A component of a timestamp, in UTC. Months, and days except those of `getDate`, are counted
    /// from 0. A week starts on Sunday.
    fn of_time(self, time: Timestamp) -> i64 {
        let time = time.civil();
        match self {
            Self::Year => time.year().into(),
            Self::Month => i64::from(time.month()) - 1,
            Self::DayOfMonth => i64::from(time.day()) - 1,
            Self::Date => time.day().into(),
            Self::DayOfWeek => time.weekday().to_sunday_zero_offset().into(),
            Self::DayOfYear => i64::from(time.day_of_year()) - 1,
            Self::Hours => time.hour().into(),
            Self::Minutes => time.minute().into(),
            Self::Seconds => time.second().into(),
            _ => time.millisecond().into(),
        }
    }

    /// A duration in a unit. Its milliseconds are those after its seconds.
    fn of_span(self, span: SignedDuration) -> Option<i64> {
        Some(match self {
            Self::Hours => span.as_secs() / 3600,
            Self::Minutes => span.as_secs() / 60,
            Self::Seconds => span.as_secs(),
            Self::Milliseconds => span.subsec_millis().into(),
            _ => return None,
        })
    }
}

fn int<'v>(value: &Value<'_>) -> Result<Value<'v>, Failure> {
    match value {
        Value::Text(text) => text.parse().map(Value::Int).map_err(|_| Failure::Value),
        Value::Time(time) => Ok(Value::Int(time.seconds())),
        Value::Double(number) => {
            // 2 to the 63rd: the first value out of range.
            const BEYOND: f64 = 9_223_372_036_854_775_808.0;
            if !(number.is_finite() && *number < BEYOND && *number >= -BEYOND) {
                return Err(Failure::Value);
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is within the bounds of an i64"
            )]
            let whole = *number as i64;
            Ok(Value::Int(whole))
        }
        number => {
            let number = number.integer().ok_or(Failure::Type)?;
            i64::try_from(number).map(Value::Int).map_err(|_| Failure::Value)
        }
    }
}

fn uint<'v>(value: &Value<'_>) -> Result<Value<'v>, Failure> {
    match value {
        Value::Text(text) => text.parse().map(Value::Uint).map_err(|_| Failure::Value),
        Value::Double(number) => {
            // 2 to the 64th: the first value out of range.
            const BEYOND: f64 = 18_446_744_073_709_551_616.0;
            if !(number.is_finite() && *number < BEYOND && *number >= 0.0) {
                return Err(Failure::Value);
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is within the bounds of a u64"
            )]
            let whole = *number as u64;
            Ok(Value::Uint(whole))
        }
        number => {
            let number = number.integer().ok_or(Failure::Type)?;
            u64::try_from(number).map(Value::Uint).map_err(|_| Failure::Value)
        }
    }
}

fn text<'v>(value: &Value<'v>, budget: &mut Budget) -> Result<Value<'v>, Failure> {
    Ok(match value {
        Value::Text(Cow::Borrowed(text)) => Value::Text(Cow::Borrowed(text)),
        Value::Text(Cow::Owned(text)) => {
            budget.take_bytes(text.len())?;
            Value::text(text.clone())
        }
        Value::Bool(flag) => Value::text(flag.to_string()),
        Value::Int(number) => Value::text(number.to_string()),
        Value::Uint(number) => Value::text(number.to_string()),
        Value::Double(number) => Value::text(number.to_string()),
        Value::Time(time) => Value::text(time.to_string()),
        Value::Span(span) => {
            let (sign, span) = (if span.is_negative() { "-" } else { "" }, span.unsigned_abs());
            let (seconds, nanos) = (span.as_secs(), format!("{:09}", span.subsec_nanos()));
            let fraction = nanos.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            Value::text(format!("{sign}{seconds}{point}{fraction}s"))
        }
        _ => return Err(Failure::Type),
    })
}
