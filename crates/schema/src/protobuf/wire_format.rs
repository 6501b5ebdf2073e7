//! Reads and writes the wire format, field by field.

use std::borrow::Cow;

/// Nesting limit of messages, groups and map entries. Protobuf libraries accept 100 levels.
pub(super) const DEPTH_MAX: usize = 100;

/// The value, or the group boundary, after a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum WireToken<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Delimited(&'a [u8]),
    GroupStart,
    GroupEnd,
}

/// One value without its tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WireValue<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    /// The bytes of a string, of a bytes value, or of a message in any layout.
    Bytes(Cow<'a, [u8]>),
}

/// A cursor over encoded bytes.
#[derive(Debug, Clone)]
pub(super) struct WireReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> WireReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Starts at a byte offset.
    pub(super) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The current offset.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The bytes between two offsets.
    pub(super) fn between(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, String> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for index in 0..10_u32 {
            let Some(byte) = self.bytes.get(self.at) else {
                return Err("the payload ends inside a number".to_owned());
            };
            self.at += 1;
            if index == 9 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is longer than 64 bits".to_owned())
    }

    /// Reads the next field number with its value.
    #[inline]
    pub(super) fn field(&mut self) -> Result<(u32, WireToken<'a>), String> {
        let tag = self.varint()?;
        let number = match u32::try_from(tag) {
            Ok(tag) if tag >= 8 => tag >> 3,
            Ok(_) => return Err("the field number 0 is invalid".to_owned()),
            Err(_) => return Err(format!("{tag} is not a valid tag: field numbers have 29 bits")),
        };
        let token = match tag & 7 {
            0 => WireToken::Varint(self.varint()?),
            1 => WireToken::Fixed64(self.take(8)?.try_into().map_or(0, u64::from_le_bytes)),
            2 => {
                let length = self.varint()?;
                WireToken::Delimited(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            3 => WireToken::GroupStart,
            4 => WireToken::GroupEnd,
            5 => WireToken::Fixed32(self.take(4)?.try_into().map_or(0, u32::from_le_bytes)),
            kind => {
                return Err(format!("the wire type {kind} of field number {number} is invalid"));
            }
        };
        Ok((number, token))
    }

    /// Skips the rest of a group after its start tag. Returns its body, without the end tag.
    pub(super) fn group(&mut self, number: u32, depth: usize) -> Result<&'a [u8], String> {
        let start = self.at;
        let mut open_groups = vec![number];
        loop {
            if self.is_at_end() {
                return Err("the payload ends inside a group".to_owned());
            }
            let end = self.at;
            match self.field()? {
                (number, WireToken::GroupStart) => {
                    open_groups.push(number);
                    if depth + open_groups.len() > DEPTH_MAX {
                        return Err(depth_error());
                    }
                }
                (number, WireToken::GroupEnd) => {
                    if open_groups.pop() != Some(number) {
                        return Err(group_end_error(number));
                    }
                    if open_groups.is_empty() {
                        return Ok(self.between(start, end));
                    }
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length);
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            let remaining = self.bytes.len() - self.at;
            return Err(format!("{length} bytes are expected, and {remaining} remain"));
        };
        self.at += length;
        Ok(bytes)
    }

    /// Reads a four-byte number of a packed list.
    pub(super) fn fixed32(&mut self) -> Result<u32, String> {
        Ok(self.take(4)?.try_into().map_or(0, u32::from_le_bytes))
    }

    /// Reads an eight-byte number of a packed list.
    pub(super) fn fixed64(&mut self) -> Result<u64, String> {
        Ok(self.take(8)?.try_into().map_or(0, u64::from_le_bytes))
    }
}

/// The message for nesting beyond [`DEPTH_MAX`].
pub(super) fn depth_error() -> String {
    format!("messages are nested more than {DEPTH_MAX} levels deep")
}

/// The message for a group end without a start.
pub(super) fn group_end_error(number: u32) -> String {
    format!("a group with the field number {number} ends without a start")
}

/// Names a wire type in a message.
pub(super) fn token_name(token: WireToken<'_>) -> &'static str {
    match token {
        WireToken::Varint(_) => "a varint",
        WireToken::Fixed32(_) => "a value of 4 bytes",
        WireToken::Fixed64(_) => "a value of 8 bytes",
        WireToken::Delimited(_) => "a length-delimited value",
        WireToken::GroupStart | WireToken::GroupEnd => "a group",
    }
}

/// Writes a varint: base 128, least significant digit first.
pub(super) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

pub(super) fn put_tag(number: u32, wire_type: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire_type), out);
}

/// Inserts the length of the bytes from offset `from` before them.
pub(super) fn put_length(from: usize, out: &mut Vec<u8>) {
    let length = out.len() - from;
    // Most lengths take one byte.
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.insert(from, short),
        _ => {
            let mut digits = Vec::with_capacity(10);
            put_varint(length as u64, &mut digits);
            out.splice(from..from, digits);
        }
    }
}

impl WireValue<'_> {
    /// Writes the value without tag and length.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Varint(number) => put_varint(*number, out),
            Self::Fixed32(number) => out.extend(number.to_le_bytes()),
            Self::Fixed64(number) => out.extend(number.to_le_bytes()),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Writes the value with tag and length, as a field that is not a group.
    pub(super) fn put_field(&self, number: u32, out: &mut Vec<u8>) {
        let wire_type = match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
        };
        put_tag(number, wire_type, out);
        if let Self::Bytes(bytes) = self {
            put_varint(bytes.len() as u64, out);
        }
        self.put(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        let bytes = b"\x08\x96\x01\x12\x01a\x1d\x01\0\0\0\x21\x02\0\0\0\0\0\0\0\x2b\x08\x01\x2c";
        let mut reader = WireReader::new(bytes);
        assert_eq!(reader.field(), Ok((1, WireToken::Varint(150))));
        assert_eq!(reader.field(), Ok((2, WireToken::Delimited(b"a"))));
        assert_eq!(reader.field(), Ok((3, WireToken::Fixed32(1))));
        assert_eq!(reader.field(), Ok((4, WireToken::Fixed64(2))));
        assert_eq!(reader.field(), Ok((5, WireToken::GroupStart)));
        assert_eq!(reader.group(5, 0), Ok(&b"\x08\x01"[..]));
        assert!(reader.is_at_end());
    }

    #[test]
    fn invalid_fields_are_rejected() {
        for bytes in [
            &b"\x00"[..],
            b"\x07",
            b"\x0e",
            b"\x08",
            b"\x0a\x02a",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x80\x80\x80\x80\x80\x01\x00",
            b"\x0d\0\0\0",
        ] {
            assert!(WireReader::new(bytes).field().is_err(), "{bytes:02x?}");
        }
        assert!(WireReader::new(b"\x0b").group(3, 0).is_err());
        assert!(WireReader::new(b"\x14").group(3, 0).is_err());
        assert!(WireReader::new(&[0x0b; 200]).group(1, 0).is_err());
    }

    #[test]
    fn lengths_are_inserted_before_values() {
        let mut out = vec![9];
        out.extend([7; 200]);
        put_length(1, &mut out);
        assert_eq!(out.get(..4), Some(&[9, 0xc8, 1, 7][..]));
        assert_eq!(out.len(), 203);
    }
}
