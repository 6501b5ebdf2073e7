//! Logical types.

use std::fmt;

use super::{
    document::{Json, Node},
    primitive::Primitive,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logical {
    Decimal {
        precision: u32,
        scale: u32,
    },
    BigDecimal,
    Uuid,
    Date,
    Time(Unit),
    Timestamp(Unit),
    LocalTimestamp(Unit),
    Duration,
    /// A logical type that the specification does not define. Readers see the underlying type,
    /// unless they are configured otherwise.
    Custom(String),
}

/// The unit of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// The underlying type of a logical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    Primitive(Primitive),
    /// The size in bytes.
    Fixed(u64),
    Other,
}

impl Logical {
    /// Reads the logical type that an object names. By the specification, readers ignore a logical
    /// type that is malformed or annotates the wrong type; then this returns the reason.
    pub fn read(name: &str, object: &Node, base: Base) -> Result<Self, String> {
        use Base::{Fixed, Primitive as Of};
        use Primitive::{Bytes, Int, Long, String};
        let (logical, fits, expected) = match name {
            "decimal" => {
                let fits = matches!(base, Of(Bytes) | Fixed(_));
                let logical = if fits { decimal(object, base)? } else { Self::BigDecimal };
                (logical, fits, "bytes or fixed")
            }
            "big-decimal" => (Self::BigDecimal, base == Of(Bytes), "bytes"),
            "uuid" => {
                (Self::Uuid, matches!(base, Of(String) | Fixed(16)), "string or fixed of 16 bytes")
            }
            "date" => (Self::Date, base == Of(Int), "int"),
            "time-millis" => (Self::Time(Unit::Millis), base == Of(Int), "int"),
            "time-micros" => (Self::Time(Unit::Micros), base == Of(Long), "long"),
            "timestamp-millis" => (Self::Timestamp(Unit::Millis), base == Of(Long), "long"),
            "timestamp-micros" => (Self::Timestamp(Unit::Micros), base == Of(Long), "long"),
            "timestamp-nanos" => (Self::Timestamp(Unit::Nanos), base == Of(Long), "long"),
            "local-timestamp-millis" => {
                (Self::LocalTimestamp(Unit::Millis), base == Of(Long), "long")
            }
            "local-timestamp-micros" => {
                (Self::LocalTimestamp(Unit::Micros), base == Of(Long), "long")
            }
            "local-timestamp-nanos" => {
                (Self::LocalTimestamp(Unit::Nanos), base == Of(Long), "long")
            }
            "duration" => (Self::Duration, base == Fixed(12), "fixed of 12 bytes"),
            other => return Ok(Self::Custom(other.into())),
        };
        if fits { Ok(logical) } else { Err(format!("{name} must annotate {expected}")) }
    }

    /// Whether some values of the underlying type are not values of the logical type. Data written
    /// without the logical type may then be invalid for readers that have it.
    pub fn narrows(&self, base: Base) -> bool {
        match self {
            Self::Decimal { .. } | Self::BigDecimal | Self::Time(_) => true,
            Self::Uuid => !matches!(base, Base::Fixed(_)),
            Self::Date | Self::Timestamp(_) | Self::LocalTimestamp(_) => false,
            Self::Duration | Self::Custom(_) => false,
        }
    }

    /// Whether they differ only in the time zone: one is an instant, the other a local time.
    pub fn differs_in_zone(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Timestamp(a), Self::LocalTimestamp(b))
            | (Self::LocalTimestamp(a), Self::Timestamp(b)) => a == b,
            _ => false,
        }
    }
}

/// Decimal digits that a two's complement number of `bytes` bytes always holds:
/// floor(log10(2^(8n - 1) - 1)).
pub fn digits_max(bytes: u64) -> u64 {
    // log10(2) = 0.30103. A fixed has at most 2^31 bytes, so the product fits into 128 bits.
    // 2^n - 1 has as many digits as 2^n, which is never a power of ten.
    let bits = u128::from(bytes.saturating_mul(8).saturating_sub(1));
    u64::try_from(bits * 30_102_999_566_398_119 / 100_000_000_000_000_000).unwrap_or(u64::MAX)
}

fn decimal(object: &Node, base: Base) -> Result<Logical, String> {
    let number = |key: &str| match object.get(key).map(|node| &node.json) {
        None => Ok(None),
        Some(Json::Number(number)) => {
            match number.as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(format!("its {key} is {number}")),
            }
        }
        Some(_) => Err(format!("its {key} is not a number")),
    };
    let precision = number("precision")?.ok_or("it has no precision")?;
    let scale = number("scale")?.unwrap_or(0);
    if precision == 0 {
        return Err("its precision is 0".into());
    }
    if scale > precision {
        return Err(format!("its scale {scale} exceeds its precision {precision}"));
    }
    if let Base::Fixed(size) = base
        && u64::from(precision) > digits_max(size)
    {
        let digits = digits_max(size);
        return Err(format!(
            "its precision is {precision}; the limit of {size} bytes is {digits} digits"
        ));
    }
    Ok(Logical::Decimal { precision, scale })
}

impl fmt::Display for Logical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Self::BigDecimal => f.write_str("big-decimal"),
            Self::Uuid => f.write_str("uuid"),
            Self::Date => f.write_str("date"),
            Self::Time(unit) => write!(f, "time-{unit}"),
            Self::Timestamp(unit) => write!(f, "timestamp-{unit}"),
            Self::LocalTimestamp(unit) => write!(f, "local-timestamp-{unit}"),
            Self::Duration => f.write_str("duration"),
            Self::Custom(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Millis => "millis",
            Self::Micros => "micros",
            Self::Nanos => "nanos",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_max_is_the_largest_safe_precision() {
        let known = [(1, 2), (2, 4), (3, 6), (4, 9), (8, 18), (12, 28), (16, 38), (0, 0)];
        for (bytes, digits) in known {
            assert_eq!(digits_max(bytes), digits, "{bytes} bytes");
        }
    }
}
