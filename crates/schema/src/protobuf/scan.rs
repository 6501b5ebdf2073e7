//! The wire format, field by field.

use std::borrow::Cow;

/// Messages, groups and entries of maps within one another. The libraries take 100.
pub(super) const DEPTH_MAX: usize = 100;

/// What stands behind a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Delimited(&'a [u8]),
    GroupStart,
    GroupEnd,
}

/// One value, apart from its tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    /// Of a string, of bytes, or of a message, however it is laid out.
    Bytes(Cow<'a, [u8]>),
}

/// Reads from the front.
#[derive(Debug, Clone)]
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// From a byte on.
    pub(super) fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// What lies between two places.
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
                return Err("the payload ends within a number".to_owned());
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
        Err("a number does not end within 64 bits".to_owned())
    }

    /// The next tag, and what stands behind it.
    #[inline]
    pub(super) fn field(&mut self) -> Result<(u32, Token<'a>), String> {
        let tag = self.varint()?;
        let number = match u32::try_from(tag) {
            Ok(tag) if tag >= 8 => tag >> 3,
            Ok(_) => return Err("there is no field number 0".to_owned()),
            Err(_) => return Err(format!("{tag} is not a tag: field numbers have 29 bits")),
        };
        let token = match tag & 7 {
            0 => Token::Varint(self.varint()?),
            1 => Token::Fixed64(self.take(8)?.try_into().map_or(0, u64::from_le_bytes)),
            2 => {
                let length = self.varint()?;
                Token::Delimited(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            3 => Token::GroupStart,
            4 => Token::GroupEnd,
            5 => Token::Fixed32(self.take(4)?.try_into().map_or(0, u32::from_le_bytes)),
            kind => return Err(format!("there is no wire type {kind} (field number {number})")),
        };
        Ok((number, token))
    }

    /// Reads over the rest of a group whose start was read. Its body, without the end.
    pub(super) fn group(&mut self, number: u32, depth: usize) -> Result<&'a [u8], String> {
        let start = self.at;
        let mut open = vec![number];
        loop {
            if self.done() {
                return Err("the payload ends within a group".to_owned());
            }
            let end = self.at;
            match self.field()? {
                (number, Token::GroupStart) => {
                    open.push(number);
                    if depth + open.len() > DEPTH_MAX {
                        return Err(too_deep());
                    }
                }
                (number, Token::GroupEnd) => {
                    if open.pop() != Some(number) {
                        return Err(no_group(number));
                    }
                    if open.is_empty() {
                        return Ok(self.between(start, end));
                    }
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            let left = self.bytes.len() - self.at;
            return Err(format!("{length} bytes are wanted here, and {left} are left"));
        };
        self.at += length;
        Ok(taken)
    }

    /// A number of four bytes, within a packed list.
    pub(super) fn fixed32(&mut self) -> Result<u32, String> {
        Ok(self.take(4)?.try_into().map_or(0, u32::from_le_bytes))
    }

    /// A number of eight bytes, within a packed list.
    pub(super) fn fixed64(&mut self) -> Result<u64, String> {
        Ok(self.take(8)?.try_into().map_or(0, u64::from_le_bytes))
    }
}

/// Said of what nests deeper than [`DEPTH_MAX`].
pub(super) fn too_deep() -> String {
    format!("messages nest deeper than {DEPTH_MAX}")
}

/// Said of the end of a group that was not begun.
pub(super) fn no_group(number: u32) -> String {
    format!("a group with the field number {number} ends here, and it did not begin")
}

/// Writes a number in base 128, the least significant digit first.
pub(super) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// Writes a tag.
pub(super) fn put_tag(number: u32, wire_type: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire_type), out);
}

/// Puts the length of what was written from a place on in front of it.
pub(super) fn put_length(from: usize, out: &mut Vec<u8>) {
    let length = out.len() - from;
    // Most are short.
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.insert(from, short),
        _ => {
            let mut digits = Vec::with_capacity(10);
            put_varint(length as u64, &mut digits);
            out.splice(from..from, digits);
        }
    }
}

impl Item<'_> {
    /// Writes it, without a tag and without a length.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Varint(number) => put_varint(*number, out),
            Self::Fixed32(number) => out.extend(number.to_le_bytes()),
            Self::Fixed64(number) => out.extend(number.to_le_bytes()),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// Writes it as the value of a field that is no group.
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
    fn fields_are_read_as_they_lie() {
        let bytes = b"\x08\x96\x01\x12\x01a\x1d\x01\0\0\0\x21\x02\0\0\0\0\0\0\0\x2b\x08\x01\x2c";
        let mut scan = Scan::new(bytes);
        assert_eq!(scan.field(), Ok((1, Token::Varint(150))));
        assert_eq!(scan.field(), Ok((2, Token::Delimited(b"a"))));
        assert_eq!(scan.field(), Ok((3, Token::Fixed32(1))));
        assert_eq!(scan.field(), Ok((4, Token::Fixed64(2))));
        assert_eq!(scan.field(), Ok((5, Token::GroupStart)));
        assert_eq!(scan.group(5, 0), Ok(&b"\x08\x01"[..]));
        assert!(scan.done());
    }

    #[test]
    fn what_is_no_field_is_refused() {
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
            assert!(Scan::new(bytes).field().is_err(), "{bytes:02x?}");
        }
        assert!(Scan::new(b"\x0b").group(3, 0).is_err());
        assert!(Scan::new(b"\x14").group(3, 0).is_err());
        assert!(Scan::new(&[0x0b; 200]).group(1, 0).is_err());
    }

    #[test]
    fn lengths_are_put_in_front() {
        let mut out = vec![9];
        out.extend([7; 200]);
        put_length(1, &mut out);
        assert_eq!(out.get(..4), Some(&[9, 0xc8, 1, 7][..]));
        assert_eq!(out.len(), 203);
    }
}
