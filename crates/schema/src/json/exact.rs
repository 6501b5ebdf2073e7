//! Exact decimal numbers with any number of digits.

use std::cmp::Ordering;

use super::number::Decimal;

const EXPONENT_MAX: i64 = 1_000_000_000_000_000_000;
/// Digits of a divisor in `multipleOf`.
pub(crate) const STEP_DIGITS_MAX: usize = 37;

/// `±digits · 10^exponent`, without zeros at either end, so that equal numbers have equal fields.
#[derive(Debug, Clone)]
pub(crate) struct Exact {
    negative: bool,
    digits: String,
    exponent: i64,
    /// Written without a fraction and without an exponent.
    pub(super) plain: bool,
}

impl Exact {
    /// Parses a JSON number. Returns `None` if the text is not a number. Exponents of more than 18
    /// digits are clamped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{integer}{fraction}");
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

    /// Sign, digits and exponent, if they fit fixed-width arithmetic: at most [`STEP_DIGITS_MAX`]
    /// digits, and an exponent of at most 10,000.
    pub(crate) fn to_parts(&self) -> Option<(bool, i128, i32)> {
        let exponent =
            i32::try_from(self.exponent).ok().filter(|exponent| exponent.abs() <= 10_000)?;
        if self.digits.is_empty() {
            return Some((false, 0, 0));
        }
        let room = self.digits.len() <= STEP_DIGITS_MAX;
        Some((self.negative, self.digits.parse().ok().filter(|_| room)?, exponent))
    }

    /// One spelling for all equal numbers.
    pub(super) fn canonical(&self) -> String {
        match self.to_parts() {
            Some((negative, digits, exponent)) => {
                Decimal::new(if negative { -digits } else { digits }, exponent).to_string()
            }
            None => self.key(),
        }
    }

    /// Number of significant digits.
    pub(crate) fn precision(&self) -> usize {
        self.digits.len()
    }

    /// The number as an integer literal, if it is an integer of 64 bits.
    pub(crate) fn to_integer(&self) -> Option<String> {
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros < 20)?;
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}{}{}", self.digits, "0".repeat(zeros));
        (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()).then_some(text)
    }

    /// A key that is the same for equal numbers, in the format of [`super::number::value_key`].
    pub(super) fn key(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        format!("{sign}{digits}e{}", self.exponent)
    }

    pub(crate) fn is_multiple_of(&self, step: &Self) -> bool {
        if self.digits.is_empty() {
            return true;
        }
        let Ok(divisor) = step.digits.parse::<u128>() else { return false };
        // The digits have no trailing zero, so the number is no multiple of a step with a larger
        // exponent.
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

    /// Exponent of the first digit, plus one.
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

/// `left · right mod divisor`, without intermediate values above twice the divisor.
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
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let ordering = sign(self).cmp(&sign(other));
        if ordering != Ordering::Equal || sign(self) == 0 {
            return ordering;
        }
        // Digits of numbers of the same magnitude compare as text.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_one_value() {
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
        for (less, greater) in [
            ("0.1", "0.10000000000000000001"),
            ("-1e400", "1e-400"),
            ("-2", "-1.99"),
            ("18446744073709551616", "18446744073709551617"),
            ("9", "10"),
            ("1e-400", "1e400"),
        ] {
            assert!(exact(less) < exact(greater), "{less} {greater}");
            assert_ne!(exact(less), exact(greater));
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
}
