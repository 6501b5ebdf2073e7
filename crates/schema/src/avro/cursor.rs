//! Bytes in Avro's binary encoding, and a place among them.

use super::binary::VALUES_MAX;

/// Reads from the front.
pub struct Cursor<'c> {
    bytes: &'c [u8],
    at: usize,
}

impl<'c> Cursor<'c> {
    /// At the first byte.
    pub fn new(bytes: &'c [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte's number.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An item of a list, by the index that is next.
    pub fn index<'l, T>(&mut self, list: &'l [T], missing: &str) -> Result<&'l T, String> {
        let index = self.long()?;
        let item = usize::try_from(index).ok().and_then(|index| list.get(index));
        item.ok_or_else(|| format!("{missing} with the index {index}: it has {}", list.len()))
    }

    /// A byte that is 0 or 1.
    pub fn boolean(&mut self) -> Result<u8, String> {
        match self.take(1)?.first().copied() {
            Some(byte @ (0 | 1)) => Ok(byte),
            byte => Err(format!("a boolean is the byte 0 or 1, not {}", byte.unwrap_or(0))),
        }
    }

    /// A number of 32 bits.
    pub fn int(&mut self) -> Result<i64, String> {
        let number = self.long()?;
        match i32::try_from(number) {
            Ok(_) => Ok(number),
            Err(_) => Err(format!("{number} is not an int of 32 bits")),
        }
    }

    /// Bytes behind their length.
    pub fn sized(&mut self) -> Result<&'c [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    /// The count of the next block, and where it ends if it says.
    pub fn block(&mut self) -> Result<(u64, Option<usize>), String> {
        let count = self.long()?;
        let end = if count < 0 {
            let size = self.length()?;
            match self.at.checked_add(size) {
                Some(end) if end <= self.bytes.len() => Some(end),
                _ => return Err(format!("a block of {size} bytes does not fit into the payload")),
            }
        } else {
            None
        };
        let count = count.unsigned_abs();
        if count > VALUES_MAX {
            return Err(format!("a block has {count} items, and a payload at most {VALUES_MAX}"));
        }
        Ok((count, end))
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Result<&'c [u8], String> {
        let end = self.at.checked_add(length);
        let Some(taken) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            let left = self.bytes.len() - self.at;
            return Err(format!("{length} bytes are wanted here, and {left} are left"));
        };
        self.at += length;
        Ok(taken)
    }

    fn length(&mut self) -> Result<usize, String> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| format!("a length of {length} bytes"))
    }

    /// A string.
    pub fn text(&mut self) -> Result<&'c str, String> {
        let length = self.length()?;
        let start = self.at;
        str::from_utf8(self.take(length)?).map_err(|error| {
            format!("the string is not UTF-8 from byte {} on", start + error.valid_up_to())
        })
    }

    /// A zigzag number in base 128, the least significant first.
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
