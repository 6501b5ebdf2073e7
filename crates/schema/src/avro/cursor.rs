//! Avro's binary encoding: reads values from the front of a payload, and writes numbers.

use super::limits::PAYLOAD_VALUES_MAX;

/// A position in the bytes of a payload.
pub struct Cursor<'c> {
    bytes: &'c [u8],
    position: usize,
}

impl<'c> Cursor<'c> {
    pub fn new(bytes: &'c [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The offset of the next byte.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The number of bytes after the position.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Reads an index, and returns the item of a list at it.
    pub fn index<'l, T>(&mut self, list: &'l [T], missing: &str) -> Result<&'l T, String> {
        let index = self.long()?;
        let item = usize::try_from(index).ok().and_then(|index| list.get(index));
        item.ok_or_else(|| format!("{missing} with the index {index}: it has {}", list.len()))
    }

    /// Reads a byte that is 0 or 1.
    pub fn boolean(&mut self) -> Result<u8, String> {
        match self.take(1)?.first().copied() {
            Some(byte @ (0 | 1)) => Ok(byte),
            byte => Err(format!("a boolean is the byte 0 or 1, not {}", byte.unwrap_or(0))),
        }
    }

    /// Reads a number of 32 bits.
    pub fn int(&mut self) -> Result<i64, String> {
        let number = self.long()?;
        match i32::try_from(number) {
            Ok(_) => Ok(number),
            Err(_) => Err(format!("{number} is not an int of 32 bits")),
        }
    }

    /// Reads bytes that follow their length.
    pub fn length_prefixed(&mut self) -> Result<&'c [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    /// Reads the item count of the next block, and its end if the block has a size.
    pub fn block(&mut self) -> Result<(u64, Option<usize>), String> {
        let count = self.long()?;
        let end = if count < 0 {
            let size = self.length()?;
            match self.position.checked_add(size) {
                Some(end) if end <= self.bytes.len() => Some(end),
                _ => return Err(format!("a block of {size} bytes does not fit into the payload")),
            }
        } else {
            None
        };
        let count = count.unsigned_abs();
        if count > PAYLOAD_VALUES_MAX {
            return Err(format!(
                "a block has {count} items; the limit of a payload is {PAYLOAD_VALUES_MAX} values"
            ));
        }
        Ok((count, end))
    }

    /// Reads a number of bytes.
    pub fn take(&mut self, length: usize) -> Result<&'c [u8], String> {
        let end = self.position.checked_add(length);
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.position..end)) else {
            let remaining = self.bytes.len() - self.position;
            return Err(format!("{length} bytes are expected, and {remaining} remain"));
        };
        self.position += length;
        Ok(bytes)
    }

    /// Reads a length.
    fn length(&mut self) -> Result<usize, String> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| format!("a length of {length} bytes"))
    }

    /// Reads a string.
    pub fn text(&mut self) -> Result<&'c str, String> {
        let length = self.length()?;
        let start = self.position;
        str::from_utf8(self.take(length)?).map_err(|error| {
            format!("the string is not UTF-8 from byte {} on", start + error.valid_up_to())
        })
    }

    /// Reads a zigzag number in base 128, least significant byte first.
    pub fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for index in 0..10_u32 {
            let byte = self.take(1)?.first().copied().unwrap_or(0);
            if index == 9 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
            }
        }
        Err("the number does not end within 64 bits".into())
    }
}

/// Writes a zigzag number in base 128, least significant byte first.
pub fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest > 0x7f {
        out.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}
