//! Big-endian integers inside stored bytes.

/// The integer that begins at a byte. None: the bytes are too short.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*chunk))
}

/// The integer that begins at a byte. None: the bytes are too short.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let chunk = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*chunk))
}
