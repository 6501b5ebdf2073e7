//! Scalar types, and the table of how values of one type are read as another.

/// A scalar type: neither a message nor an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

/// The layout of a value after its tag. A reader that expects another layout keeps the value as an
/// unknown field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Varint,
    Fixed32,
    Fixed64,
    Delimited,
    Group,
}

impl Scalar {
    #[cfg(test)]
    pub(super) const ALL: [Self; 15] = [
        Self::Double,
        Self::Float,
        Self::Int32,
        Self::Int64,
        Self::Uint32,
        Self::Uint64,
        Self::Sint32,
        Self::Sint64,
        Self::Fixed32,
        Self::Fixed64,
        Self::Sfixed32,
        Self::Sfixed64,
        Self::Bool,
        Self::String,
        Self::Bytes,
    ];

    /// The keyword.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Float => "float",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Sint32 => "sint32",
            Self::Sint64 => "sint64",
            Self::Fixed32 => "fixed32",
            Self::Fixed64 => "fixed64",
            Self::Sfixed32 => "sfixed32",
            Self::Sfixed64 => "sfixed64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes",
        }
    }

    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Int32
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Sint32
            | Self::Sint64
            | Self::Bool => Layout::Varint,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => Layout::Fixed32,
            Self::Double | Self::Fixed64 | Self::Sfixed64 => Layout::Fixed64,
            Self::String | Self::Bytes => Layout::Delimited,
        }
    }

    /// Decodes the bits of the wire type to an integer. A bool is 0 or 1.
    pub(super) fn integer(self, bits: u64) -> i128 {
        // Larger numbers are truncated, as in all libraries.
        let low = bits as u32;
        match self {
            Self::Int32 | Self::Sfixed32 => i128::from(low.cast_signed()),
            Self::Uint32 | Self::Fixed32 => i128::from(low),
            Self::Int64 | Self::Sfixed64 => i128::from(bits.cast_signed()),
            Self::Sint32 => i128::from((low >> 1).cast_signed() ^ -((low & 1).cast_signed())),
            Self::Sint64 => i128::from((bits >> 1).cast_signed() ^ -((bits & 1).cast_signed())),
            Self::Bool => i128::from(bits != 0),
            Self::Uint64
            | Self::Fixed64
            | Self::Double
            | Self::Float
            | Self::String
            | Self::Bytes => i128::from(bits),
        }
    }

    /// Encodes an integer to the bits of the wire type. `None` if it is out of range.
    pub(super) fn bits(self, integer: i128) -> Option<u64> {
        match self {
            // A negative 32-bit number is encoded with 64 bits.
            Self::Int32 => {
                i32::try_from(integer).ok().map(|integer| i64::from(integer).cast_unsigned())
            }
            Self::Sfixed32 => {
                i32::try_from(integer).ok().map(|integer| integer.cast_unsigned().into())
            }
            Self::Uint32 | Self::Fixed32 => u32::try_from(integer).ok().map(u64::from),
            Self::Int64 | Self::Sfixed64 => i64::try_from(integer).ok().map(i64::cast_unsigned),
            Self::Uint64 | Self::Fixed64 => u64::try_from(integer).ok(),
            Self::Sint32 => {
                let integer = i32::try_from(integer).ok()?;
                Some(((integer << 1) ^ (integer >> 31)).cast_unsigned().into())
            }
            Self::Sint64 => {
                let integer = i64::try_from(integer).ok()?;
                Some(((integer << 1) ^ (integer >> 63)).cast_unsigned())
            }
            Self::Bool => u64::try_from(integer).ok().filter(|bit| *bit <= 1),
            Self::Double | Self::Float | Self::String | Self::Bytes => None,
        }
    }

    /// Whether a repeated field of this type can be packed.
    pub(super) fn is_packable(self) -> bool {
        !matches!(self, Self::String | Self::Bytes)
    }

    fn is_zigzag(self) -> bool {
        matches!(self, Self::Sint32 | Self::Sint64)
    }

    fn is_64_bit(self) -> bool {
        matches!(self, Self::Int64 | Self::Uint64 | Self::Sint64)
    }
}

/// The misreading of values with another layout than the reader expects.
pub(super) const UNKNOWN_FIELD: &str =
    "the value has another wire type, so it is kept as an unknown field and the default is read";

/// How a reader of one type misreads bytes of another. `None` if every value is read unchanged.
pub(super) fn misreading(written: Scalar, read: Scalar) -> Option<&'static str> {
    if written == read {
        return None;
    }
    if written.layout() != read.layout() {
        return Some(UNKNOWN_FIELD);
    }
    match (written.layout(), written, read) {
        (Layout::Varint, Scalar::Bool, Scalar::Sint32 | Scalar::Sint64) => Some(
            "true is read as -1, because the reader decodes a zigzag encoding that the writer does not use",
        ),
        (Layout::Varint, _, Scalar::Bool) => Some("every value but 0 is read as true"),
        (Layout::Varint, _, _) if written.is_zigzag() != read.is_zigzag() => {
            Some("only one of the types is zigzag encoded: 1 is read as another number")
        }
        (Layout::Varint, _, _) if written.is_64_bit() && !read.is_64_bit() => {
            Some("numbers beyond 32 bits are truncated without an error")
        }
        (Layout::Varint, Scalar::Int32, Scalar::Uint32) => Some("-1 is read as 4294967295"),
        (Layout::Varint, Scalar::Int32 | Scalar::Int64, Scalar::Uint64) => {
            Some("-1 is read as 18446744073709551615")
        }
        (Layout::Varint, Scalar::Uint32, Scalar::Int32) => Some("4294967295 is read as -1"),
        (Layout::Varint, Scalar::Uint64, Scalar::Int64) => {
            Some("18446744073709551615 is read as -1")
        }
        // int32 to int64, uint32 to uint64 and int64, sint32 to sint64, bool to all four plain
        // integers.
        (Layout::Varint, _, _) => None,
        (Layout::Fixed32 | Layout::Fixed64, Scalar::Float | Scalar::Double, _)
        | (Layout::Fixed32 | Layout::Fixed64, _, Scalar::Float | Scalar::Double) => Some(
            "the bits of a floating-point number are read as an integer, or an integer as a floating-point number",
        ),
        (Layout::Fixed32 | Layout::Fixed64, _, _) => Some(
            "the sign bit is read as part of the number, or part of the number as the sign bit",
        ),
        (Layout::Delimited, Scalar::Bytes, _) => Some("bytes that are not UTF-8 are rejected"),
        // string to bytes.
        (Layout::Delimited | Layout::Group, _, _) => None,
    }
}

/// Whether a number that is written as int32 is read as the same number.
pub(super) fn preserves(number: i32, read: Scalar) -> bool {
    let bits = Scalar::Int32.bits(number.into());
    read.layout() == Layout::Varint
        && bits.is_some_and(|bits| read.integer(bits) == i128::from(number))
}

/// How JSON is misread, in addition to [`misreading`].
pub(super) fn json_misreading(written: Scalar, read: Scalar) -> Option<&'static str> {
    match (written, read) {
        (Scalar::String, Scalar::Bytes) => {
            Some("in JSON the text is decoded as base64 to other bytes, or rejected")
        }
        (Scalar::Bytes, Scalar::String) => Some("in JSON the base64 is read as the text itself"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_their_bits() {
        use Scalar::*;
        for scalar in [
            Int32, Int64, Uint32, Uint64, Sint32, Sint64, Fixed32, Fixed64, Sfixed32, Sfixed64,
            Bool,
        ] {
            for integer in [
                0,
                1,
                2,
                -1,
                i128::from(i32::MAX),
                i128::from(i32::MIN),
                i128::from(u32::MAX),
                i128::from(i64::MAX),
                i128::from(i64::MIN),
                i128::from(u64::MAX),
            ] {
                if let Some(bits) = scalar.bits(integer) {
                    assert_eq!(scalar.integer(bits), integer, "{scalar:?}");
                }
            }
        }
        assert_eq!(Int32.bits(-1), Some(u64::MAX));
        assert_eq!(Int32.integer(0xffff_ffff), -1);
        assert_eq!(Sint32.bits(-1), Some(1));
        assert_eq!((Int32.bits(1 << 31), Uint64.bits(-1), Bool.bits(2)), (None, None, None));
    }

    #[test]
    fn exactly_these_pairs_are_read_unchanged() {
        use Scalar::*;
        let widening = [
            (Int32, Int64),
            (Uint32, Uint64),
            (Uint32, Int64),
            (Sint32, Sint64),
            (Bool, Int32),
            (Bool, Int64),
            (Bool, Uint32),
            (Bool, Uint64),
            (String, Bytes),
        ];
        for written in Scalar::ALL {
            for read in Scalar::ALL {
                let safe = written == read || widening.contains(&(written, read));
                assert_eq!(
                    misreading(written, read).is_none(),
                    safe,
                    "{written:?} read as {read:?}"
                );
            }
        }
    }
}
