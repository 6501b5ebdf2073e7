//! What a logical type says about the type beneath it.

use std::fmt;

use super::{
    document::{Json, Node},
    model::Primitive,
};

/// A logical type.
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
    /// One that the specification does not name. Readers see the type beneath, unless they were told otherwise.
    Custom(String),
}

/// How finely time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// What a logical type may stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    Primitive(Primitive),
    /// Of so many bytes.
    Fixed(u64),
    Other,
}

impl Logical {
    /// The logical type that an object names. The specification has readers ignore one that is malformed or stands on
    /// the wrong type; then the error says why.
    pub fn read(name: &str, object: &Node, base: Base) -> Result<Self, String> {
        use Base::{Fixed, Primitive as Of};
        use Primitive::{Bytes, Int, Long, String};
        let (logical, fits, wants) = match name {
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
        if fits { Ok(logical) } else { Err(format!("{name} stands on {wants}")) }
    }

    /// Whether some values of the type beneath are not values of it, so that data written without it may not be read
    /// with it.
    pub fn narrows(&self, base: Base) -> bool {
        match self {
            Self::Decimal { .. } | Self::BigDecimal | Self::Time(_) => true,
            Self::Uuid => !matches!(base, Base::Fixed(_)),
            Self::Date | Self::Timestamp(_) | Self::LocalTimestamp(_) => false,
            Self::Duration | Self::Custom(_) => false,
        }
    }

    /// Whether they differ in nothing but the time zone: an instant against a wall clock.
    pub fn differs_in_zone(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Timestamp(a), Self::LocalTimestamp(b))
            | (Self::LocalTimestamp(a), Self::Timestamp(b)) => a == b,
            _ => false,
        }
    }
}

/// Digits that any two's complement number of so many bytes has at most: floor(log10(2^(8n - 1) - 1)).
pub fn digits_max(bytes: u64) -> u64 {
    // log10(2) = 0.30103; a fixed is at most 2^31 bytes, so the product fits with room to spare. 2^n - 1 has as many
    // digits as 2^n, which is never a power of ten.
    let bits = u128::from(bytes.saturating_mul(8).saturating_sub(1));
    u64::try_from(bits * 30_102_999_566_398_119 / 100_000_000_000_000_000).unwrap_or(u64::MAX)
}

fn decimal(object: &Node, base: Base) -> Result<Logical, String> {
    let number = |key: &str| match object.get(key).map(|node| &node.json) {
        None => Ok(None),
        Some(Json::Number(number)) => match number.as_u64().and_then(|it| u32::try_from(it).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("its {key} is {number}")),
        },
        Some(_) => Err(format!("its {key} is not a number")),
    };
    let precision = number("precision")?.ok_or("it has no precision")?;
    let scale = number("scale")?.unwrap_or(0);
    if precision == 0 {
        return Err("its precision is 0".into());
    }
    if scale > precision {
        return Err(format!("its scale {scale} is more than its precision {precision}"));
    }
    if let Base::Fixed(size) = base
        && u64::from(precision) > digits_max(size)
    {
        let digits = digits_max(size);
        return Err(format!("{size} bytes hold {digits} digits, and its precision is {precision}"));
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
    fn digits_that_bytes_hold() {
        let known = [(1, 2), (2, 4), (3, 6), (4, 9), (8, 18), (12, 28), (16, 38), (0, 0)];
        for (bytes, digits) in known {
            assert_eq!(digits_max(bytes), digits, "{bytes} bytes");
        }
    }
}
