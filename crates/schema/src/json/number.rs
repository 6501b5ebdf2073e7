//! Exact decimal numbers: 0.1 is exactly a tenth, so 0.3 is a multiple of it.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::exact::Exact;

/// `±digits · 10^exponent`, without trailing zeros, so that equal numbers have equal fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    negative: bool,
    digits: u128,
    exponent: i32,
}

impl Decimal {
    pub(crate) const ZERO: Self = Self { negative: false, digits: 0, exponent: 0 };
    pub(crate) const ONE: Self = Self { negative: false, digits: 1, exponent: 0 };

    /// `value · 10^exponent`.
    pub(crate) fn new(value: i128, exponent: i32) -> Self {
        let (mut digits, mut exponent) = (value.unsigned_abs(), exponent);
        if digits == 0 {
            return Self::ZERO;
        }
        while digits % 10 == 0 {
            digits /= 10;
            exponent = exponent.saturating_add(1);
        }
        Self { negative: value < 0, digits, exponent }
    }

    /// The number as written, up to the precision of a double.
    pub(crate) fn of(number: &Number) -> Self {
        if let Some(integer) = number.as_i64() {
            return Self::new(i128::from(integer), 0);
        }
        if let Some(integer) = number.as_u64() {
            return Self::new(i128::from(integer), 0);
        }
        // The shortest text that reads back as the same double has at most 17 digits.
        let text = format!("{:e}", number.as_f64().unwrap_or_default());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let fraction = mantissa.split_once('.').map_or(0, |(_, digits)| digits.len());
        let digits: i128 = mantissa.replace('.', "").parse().unwrap_or_default();
        let exponent: i32 = exponent.parse().unwrap_or_default();
        Self::new(digits, exponent - i32::try_from(fraction).unwrap_or_default())
    }

    /// Parses a JSON number. Returns `None` if it does not fit fixed-width arithmetic.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, digits, exponent) = Exact::parse(text)?.to_parts()?;
        let value = if negative { -digits } else { digits };
        Some(Self::new(value, exponent))
    }

    pub(crate) fn is_integer(self) -> bool {
        self.exponent >= 0
    }

    pub(crate) fn exponent(self) -> i32 {
        self.exponent
    }

    /// The number in units of `10^exponent`. Returns `None` if it is not an integer in these units,
    /// or does not fit.
    pub(crate) fn scaled(self, exponent: i32) -> Option<i128> {
        if self.digits == 0 {
            return Some(0);
        }
        let shift = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        let factor = 10_i128.checked_pow(shift)?;
        let value = i128::try_from(self.digits).ok()?.checked_mul(factor)?;
        // Leaves room for sums and for the next multiple.
        (value < i128::MAX / 1000).then_some(if self.negative { -value } else { value })
    }

    /// Whether it is an integer multiple of `step`.
    pub(crate) fn is_multiple_of(self, step: Self) -> bool {
        if self.digits == 0 {
            return true;
        }
        if step.digits == 0 {
            return false;
        }
        let shift = self.exponent.saturating_sub(step.exponent);
        if shift >= 0 {
            // digits · 10^shift mod step, one power at a time: shift is at most 650.
            let mut remainder = self.digits % step.digits;
            for _ in 0..shift {
                match remainder.checked_mul(10) {
                    Some(next) => remainder = next % step.digits,
                    None => return false,
                }
                if remainder == 0 {
                    return true;
                }
            }
            return remainder == 0;
        }
        let factor = shift.unsigned_abs();
        10_u128
            .checked_pow(factor)
            .and_then(|factor| step.digits.checked_mul(factor))
            // A step beyond 2^128 is larger than the number.
            .is_some_and(|step| self.digits.is_multiple_of(step))
    }

    /// The number as JSON; an integer of 64 bits is written as an integer.
    pub(crate) fn to_value(self) -> Option<Value> {
        if self.exponent >= 0
            && let Some(integer) = self.scaled(0)
        {
            if let Ok(integer) = i64::try_from(integer) {
                return Some(Value::from(integer));
            }
            if let Ok(integer) = u64::try_from(integer) {
                return Some(Value::from(integer));
            }
        }
        let double: f64 = self.to_string().parse().ok()?;
        let value = Value::Number(Number::from_f64(double)?);
        // A double with another value would prove nothing.
        (Self::of(value.as_number()?) == self).then_some(value)
    }

    fn adjusted(self) -> i64 {
        i64::from(self.exponent) + i64::from(self.digits.checked_ilog10().unwrap_or(0))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits, number.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let ordering = sign(self).cmp(&sign(other));
        if ordering != Ordering::Equal || sign(self) == 0 {
            return ordering;
        }
        let magnitude = self.adjusted().cmp(&other.adjusted()).then_with(|| {
            // Same magnitude, and at most 38 digits each: aligning the exponents fits.
            let shift = |number: &Self, by: i32| {
                number.digits.checked_mul(10_u128.checked_pow(u32::try_from(by).unwrap_or(0))?)
            };
            let difference = self.exponent.saturating_sub(other.exponent);
            let (left, right) = if difference >= 0 {
                (shift(self, difference), Some(other.digits))
            } else {
                (Some(self.digits), shift(other, -difference))
            };
            left.cmp(&right)
        });
        if self.negative { magnitude.reverse() } else { magnitude }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to_short() {
            Some(text) => f.write_str(&text),
            None => {
                let sign = if self.negative { "-" } else { "" };
                write!(f, "{sign}{}e{}", self.digits, self.exponent)
            }
        }
    }
}

impl Decimal {
    /// Decimal notation, if it takes at most 20 zeros or decimal places.
    fn to_short(self) -> Option<String> {
        let sign = if self.negative { "-" } else { "" };
        let digits = self.digits.to_string();
        if (0..=20).contains(&self.exponent) {
            let zeros = "0".repeat(usize::try_from(self.exponent).ok()?);
            return Some(format!("{sign}{digits}{zeros}"));
        }
        if (-20..0).contains(&self.exponent) {
            let point = usize::try_from(-self.exponent).ok()?;
            let digits = format!("{digits:0>width$}", width = point + 1);
            let (integer, fraction) = digits.split_at(digits.len() - point);
            return Some(format!("{sign}{integer}.{fraction}"));
        }
        None
    }
}

/// Whether a number was apparently written without a fraction and an exponent. A double of 2^63 or
/// more counts, because it may be an integer beyond 64 bits.
pub(crate) fn is_written_as_integer(number: &Number) -> bool {
    number.as_i64().is_some()
        || number.as_u64().is_some()
        || number.as_f64().is_some_and(|double| double.abs() >= 9_223_372_036_854_775_808.0)
}

/// The same number in the other spelling: with a fraction, or without. Returns `None` if there is
/// only one.
pub(crate) fn respelled(value: &Value) -> Option<Value> {
    let number = value.as_number()?;
    let decimal = Decimal::of(number);
    if !decimal.is_integer() {
        return None;
    }
    let respelled = if is_written_as_integer(number) {
        Value::Number(Number::from_f64(decimal.to_string().parse().ok()?)?)
    } else {
        decimal.to_value()?
    };
    let is_same = Decimal::of(respelled.as_number()?) == decimal;
    (is_same && is_written_as_integer(number) != is_written_as_integer(respelled.as_number()?))
        .then_some(respelled)
}

/// A key that is the same for equal values: 1 and 1.0 are equal, and so are objects with members in
/// any order.
pub(crate) fn value_key(value: &Value) -> String {
    value_key_by(value, &|value| {
        let Decimal { negative, digits, exponent } = Decimal::of(value.as_number()?);
        Some(format!("{}{digits}e{exponent}", if negative { "-" } else { "" }))
    })
}

/// As [`value_key`], with the given spelling of numbers.
pub(crate) fn value_key_by(value: &Value, number: &dyn Fn(&Value) -> Option<String>) -> String {
    let mut key = String::new();
    write_key(value, number, &mut key);
    key
}

fn write_key(value: &Value, number: &dyn Fn(&Value) -> Option<String>, key: &mut String) {
    match value {
        Value::Null => key.push('n'),
        Value::Bool(value) => key.push(if *value { 't' } else { 'f' }),
        Value::Number(_) => key.push_str(&number(value).unwrap_or_default()),
        Value::String(text) => key.push_str(&Value::String(text.clone()).to_string()),
        Value::Array(items) => {
            key.push('[');
            for item in items {
                write_key(item, number, key);
                key.push(',');
            }
            key.push(']');
        }
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            key.push('{');
            for name in names {
                key.push_str(&Value::String(name.clone()).to_string());
                key.push(':');
                if let Some(value) = members.get(name) {
                    write_key(value, number, key);
                }
                key.push(',');
            }
            key.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decimal(value: Value) -> Decimal {
        Decimal::of(value.as_number().expect("a number"))
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(decimal(json!(1.0)), decimal(json!(1)));
        assert_eq!(decimal(json!(1e2)), decimal(json!(100)));
        assert!(decimal(json!(0.3)).is_multiple_of(decimal(json!(0.1))));
        assert!(!decimal(json!(0.35)).is_multiple_of(decimal(json!(0.1))));
        assert!(decimal(json!(1e300)).is_multiple_of(decimal(json!(2))));
        assert!(!decimal(json!(1)).is_multiple_of(decimal(json!(1e300))));
        assert!(decimal(json!(-5)) < decimal(json!(-4.5)));
        assert!(decimal(json!(1e300)) > decimal(json!(u64::MAX)));
        assert!(decimal(json!(1e-300)) > Decimal::ZERO);
        assert!(decimal(json!(-1e-300)) < Decimal::ZERO);
        assert_eq!(decimal(json!(-12.5)).to_string(), "-12.5");
        assert_eq!(decimal(json!(0.05)).to_string(), "0.05");
        assert_eq!(decimal(json!(1e300)).to_string(), "1e300");
        assert_eq!(decimal(json!(u64::MAX)).to_value(), Some(json!(u64::MAX)));
        assert_eq!(decimal(json!(2.5)).to_value(), Some(json!(2.5)));
        assert_eq!(
            value_key(&json!({"b": 1.0, "a": [1]})),
            value_key(&json!({"a": [1.0], "b": 1}))
        );
        assert_ne!(value_key(&json!("1")), value_key(&json!(1)));
    }
}
