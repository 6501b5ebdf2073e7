//! Messages of Protobuf itself that have their own JSON form, and the text forms of times,
//! durations and field masks.

use jiff::{Span, civil::Date};

/// 0001-01-01T00:00:00Z and the last second of the year 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const EPOCH: Date = Date::constant(1970, 1, 1);
/// 10,000 years.
pub(super) const DURATION_SECONDS_MAX: i64 = 315_576_000_000;
const NANOS: u32 = 1_000_000_000;

/// A message with its own JSON form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WellKnown {
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    ListValue,
    Value,
    /// A wrapper of one scalar value.
    Wrapper,
}

impl WellKnown {
    /// The well-known message with a full name.
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

/// Parses a time in RFC 3339 to seconds since 1970 and nanoseconds.
pub(super) fn parse_timestamp(text: &str) -> Option<(i64, u32)> {
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

/// Parses numbers with a fixed count of digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && all_digits(part))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Formats a time in RFC 3339. `None` if it is out of range.
pub(super) fn timestamp_text(seconds: i64, nanos: i64) -> Option<String> {
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < NANOS)?;
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

/// Parses a duration to seconds and nanoseconds with the same sign.
pub(super) fn parse_duration(text: &str) -> Option<(i64, i64)> {
    let number = text.strip_suffix('s')?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number),
    };
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
    if seconds.is_empty() || fraction.len() > 9 || !all_digits(seconds) || !all_digits(fraction) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok().filter(|seconds| *seconds <= DURATION_SECONDS_MAX)?;
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// Formats a duration in seconds. `None` if it is out of range.
pub(super) fn duration_text(seconds: i64, nanos: i64) -> Option<String> {
    let has_mixed_signs = seconds.signum() * nanos.signum() < 0;
    let fraction_nanos = u32::try_from(nanos.unsigned_abs()).ok().filter(|nanos| *nanos < NANOS)?;
    if has_mixed_signs || seconds.unsigned_abs() > DURATION_SECONDS_MAX.unsigned_abs() {
        return None;
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    Some(format!("{sign}{}{}s", seconds.unsigned_abs(), fraction(fraction_nanos)))
}

/// Formats nanoseconds with three, six or nine digits, as few as necessary.
fn fraction(nanos: u32) -> String {
    match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!(".{:06}", nanos / 1_000),
        _ => format!(".{nanos:09}"),
    }
}

/// Converts `fooBar.baz` to `foo_bar.baz`.
pub(super) fn snake_case(path: &str) -> Option<String> {
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

/// Converts `foo_bar.baz` to `fooBar.baz`. `None` if the conversion is not reversible.
pub(super) fn camel_case(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut upper = false;
    for letter in path.chars() {
        match letter {
            _ if upper && letter.is_ascii_lowercase() => {
                out.push(letter.to_ascii_uppercase());
                upper = false;
            }
            _ if upper || letter.is_ascii_uppercase() => return None,
            '_' => upper = true,
            _ => out.push(letter),
        }
    }
    (!upper).then_some(out)
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
            assert_eq!(parse_timestamp(text), Some((seconds, nanos)), "{text}");
            assert_eq!(timestamp_text(seconds, nanos.into()).as_deref(), Some(text));
        }
        assert_eq!(parse_timestamp("1970-01-01T01:00:00+01:00"), Some((0, 0)));
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
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(timestamp_text(0, -1), None);
        assert_eq!(timestamp_text(i64::MAX, 0), None);
    }

    #[test]
    fn durations_are_seconds() {
        for (text, seconds, nanos) in
            [("0s", 0, 0), ("-1.500s", -1, -500_000_000), ("-0.000000001s", 0, -1), ("3s", 3, 0)]
        {
            assert_eq!(parse_duration(text), Some((seconds, nanos)), "{text}");
            assert_eq!(duration_text(seconds, nanos).as_deref(), Some(text));
        }
        for text in ["", "s", "1", "1.0000000001s", "--1s", "1e3s", "999999999999s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(duration_text(1, -1), None);
        assert_eq!(duration_text(i64::MIN, i64::MIN), None);
    }

    #[test]
    fn masks_are_in_camel_case() {
        assert_eq!(snake_case("fooBar.baz").as_deref(), Some("foo_bar.baz"));
        assert_eq!(camel_case("foo_bar.baz").as_deref(), Some("fooBar.baz"));
        assert_eq!(camel_case("fooBar"), None);
        assert_eq!(camel_case("foo_"), None);
    }
}
