//! Checks of values against their logical types.

use super::{
    logical::{Logical, Unit},
    text::shorten,
};

/// A value of the underlying type of a logical type.
#[derive(Debug, Clone, Copy)]
pub enum RawValue<'v> {
    Number(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
}

/// Checks a value against a logical type.
///
/// # Errors
/// Returns the reason if readers that support the logical type would reject or misread the value.
pub fn check(logical: &Logical, value: RawValue<'_>) -> Result<(), String> {
    match (logical, value) {
        (Logical::Uuid, RawValue::Text(text)) if !is_uuid(text) => {
            let text = shorten(text);
            Err(format!("{text:?} is not a uuid, such as 550e8400-e29b-41d4-a716-446655440000"))
        }
        (Logical::Time(unit), RawValue::Number(number)) => {
            let day: i64 = match unit {
                Unit::Millis => 86_400_000,
                Unit::Micros => 86_400_000_000,
                Unit::Nanos => 86_400_000_000_000,
            };
            if (0..day).contains(&number) {
                Ok(())
            } else {
                Err(format!("{number} is not a time of day: a day has {day} {unit}"))
            }
        }
        (Logical::Decimal { precision, .. }, RawValue::Bytes(bytes)) => decimal(bytes, *precision),
        _ => Ok(()),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Checks that a big-endian two's complement number has at most `precision` digits.
fn decimal(bytes: &[u8], precision: u32) -> Result<(), String> {
    let Some(first) = bytes.first() else {
        return Err("a decimal has at least one byte; zero is the byte 0".into());
    };
    let too_long = || Err(format!("the decimal has more than {precision} digits"));
    let sign: u8 = if first & 0x80 == 0 { 0 } else { 0xff };
    let mut rest = bytes;
    // Skip bytes that only repeat the sign.
    while let [first, second, ..] = rest
        && *first == sign
        && (second ^ sign) & 0x80 == 0
    {
        rest = rest.get(1..).unwrap_or_default();
    }
    if rest.len() > 16 {
        // An i128 holds no more than 39 digits. The number of bits gives a lower bound on the
        // digits; a number with one digit too many may pass.
        let bits = rest.len() as u64 * 8 - 9;
        return if bits * 30_103 / 100_000 + 1 > u64::from(precision) {
            too_long()
        } else {
            Ok(())
        };
    }
    let number = rest
        .iter()
        .fold(i128::from(sign.cast_signed()), |number, byte| (number << 8) | i128::from(*byte));
    match 10_u128.checked_pow(precision) {
        Some(limit) if number.unsigned_abs() >= limit => too_long(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_to_their_precision() {
        let of = |bytes: &[u8], precision| decimal(bytes, precision).is_ok();
        assert!(of(&[99], 2) && !of(&[100], 2));
        assert!(of(&[0x9d], 2) && !of(&[0x9c], 2), "-99 and -100");
        assert!(of(&[0, 0, 0, 99], 2) && of(&[0xff, 0xff, 0x9d], 2), "padded");
        assert!(!of(&[], 9));
        assert!(of(&[0x7f; 16], 39) && !of(&[0x7f; 16], 38));
        assert!(!of(&[0x7f; 17], 38) && of(&[0x7f; 17], 60) && !of(&[0x7f; 40], 60));
        assert!(of(&[0; 64], 1), "zero, padded");
    }

    #[test]
    fn uuids_have_hyphens_where_they_belong() {
        assert!(is_uuid("550e8400-e29b-41d4-A716-446655440000"));
        for bad in
            ["hello", "550e8400e29b41d4a716446655440000", "550e8400-e29b-41d4-a716-44665544000g"]
        {
            assert!(!is_uuid(bad));
        }
    }
}
