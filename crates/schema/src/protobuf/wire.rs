//! What the bytes of one type say to a reader of another: the table of every pair.

/// A type that is neither a message nor an enum.
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

/// How a value is laid out behind its tag. A reader that expects another layout keeps the value as an unknown field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Varint,
    Fixed32,
    Fixed64,
    Delimited,
    Group,
}

impl Scalar {
    /// All of them.
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

    /// Its keyword.
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

    /// How it is laid out.
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

    /// The integer that the bits of its wire type are. A bool is 0 or 1.
    pub(super) fn integer(self, bits: u64) -> i128 {
        // Beyond its bits a number is cut off, as all libraries do.
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

    /// The bits of an integer in its wire type. None: it has no room for it.
    pub(super) fn bits(self, integer: i128) -> Option<u64> {
        match self {
            // A negative number of 32 bits is written with 64.
            Self::Int32 => i32::try_from(integer).ok().map(|it| i64::from(it).cast_unsigned()),
            Self::Sfixed32 => i32::try_from(integer).ok().map(|it| it.cast_unsigned().into()),
            Self::Uint32 | Self::Fixed32 => u32::try_from(integer).ok().map(u64::from),
            Self::Int64 | Self::Sfixed64 => i64::try_from(integer).ok().map(i64::cast_unsigned),
            Self::Uint64 | Self::Fixed64 => u64::try_from(integer).ok(),
            Self::Sint32 => {
                let it = i32::try_from(integer).ok()?;
                Some(((it << 1) ^ (it >> 31)).cast_unsigned().into())
            }
            Self::Sint64 => {
                let it = i64::try_from(integer).ok()?;
                Some(((it << 1) ^ (it >> 63)).cast_unsigned())
            }
            Self::Bool => u64::try_from(integer).ok().filter(|it| *it <= 1),
            Self::Double | Self::Float | Self::String | Self::Bytes => None,
        }
    }

    /// Whether a repeated field of it can be packed.
    pub(super) fn packs(self) -> bool {
        !matches!(self, Self::String | Self::Bytes)
    }

    fn zigzag(self) -> bool {
        matches!(self, Self::Sint32 | Self::Sint64)
    }

    fn wide(self) -> bool {
        matches!(self, Self::Int64 | Self::Uint64 | Self::Sint64)
    }
}

/// Said of values that arrive in another layout than the reader expects.
pub(super) const UNKNOWN: &str = "the value arrives in another wire type, is set aside as an unknown field, and the default is read";

/// What goes wrong when a reader of the one type meets bytes of the other. None: every value is read as it was written.
pub(super) fn harm(written: Scalar, read: Scalar) -> Option<&'static str> {
    if written == read {
        return None;
    }
    if written.layout() != read.layout() {
        return Some(UNKNOWN);
    }
    match (written.layout(), written, read) {
        (Layout::Varint, Scalar::Bool, Scalar::Sint32 | Scalar::Sint64) => {
            Some("true is read as -1, for the reader undoes a zigzag that nobody did")
        }
        (Layout::Varint, _, Scalar::Bool) => Some("every value but 0 is read as true"),
        (Layout::Varint, _, _) if written.zigzag() != read.zigzag() => {
            Some("the one is zigzag encoded and the other is not: 1 is read as another number")
        }
        (Layout::Varint, _, _) if written.wide() && !read.wide() => {
            Some("numbers beyond 32 bits are cut off without an error")
        }
        (Layout::Varint, Scalar::Int32, Scalar::Uint32) => Some("-1 is read as 4294967295"),
        (Layout::Varint, Scalar::Int32 | Scalar::Int64, Scalar::Uint64) => {
            Some("-1 is read as 18446744073709551615")
        }
        (Layout::Varint, Scalar::Uint32, Scalar::Int32) => Some("4294967295 is read as -1"),
        (Layout::Varint, Scalar::Uint64, Scalar::Int64) => {
            Some("18446744073709551615 is read as -1")
        }
        // int32 to int64, uint32 to uint64 and int64, sint32 to sint64, bool to all four plain integers.
        (Layout::Varint, _, _) => None,
        (Layout::Fixed32 | Layout::Fixed64, Scalar::Float | Scalar::Double, _)
        | (Layout::Fixed32 | Layout::Fixed64, _, Scalar::Float | Scalar::Double) => Some(
            "the bits of a floating-point number are taken for an integer or the other way round",
        ),
        (Layout::Fixed32 | Layout::Fixed64, _, _) => {
            Some("the sign bit is read as part of the number or the other way round")
        }
        (Layout::Delimited, Scalar::Bytes, _) => Some("bytes that are not UTF-8 are refused"),
        // string to bytes.
        (Layout::Delimited | Layout::Group, _, _) => None,
    }
}

/// Whether a number that was written as an int32 is read as the same number.
pub(super) fn kept(number: i32, read: Scalar) -> bool {
    let bits = Scalar::Int32.bits(number.into());
    read.layout() == Layout::Varint && bits.is_some_and(|it| read.integer(it) == i128::from(number))
}

/// What goes wrong in JSON beyond [`harm`]. None: nothing.
pub(super) fn json_harm(written: Scalar, read: Scalar) -> Option<&'static str> {
    match (written, read) {
        (Scalar::String, Scalar::Bytes) => {
            Some("in JSON the text is taken for base64 and decoded to other bytes, or refused")
        }
        (Scalar::Bytes, Scalar::String) => Some("in JSON the base64 is taken for the text itself"),
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
    fn exactly_these_pairs_are_read_as_they_were_written() {
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
                assert_eq!(harm(written, read).is_none(), safe, "{written:?} read as {read:?}");
            }
        }
    }
}
