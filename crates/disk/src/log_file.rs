//! Checks the files that RocksDB writes as logs before RocksDB reads them: write-ahead logs and the
//! MANIFEST.
//!
//! RocksDB's reader never returns if it meets a record of a recycled file in a file that is not
//! recycled (RocksDB 11.8.1, `log::Reader::ReadPhysicalRecord` returns without advancing): one
//! flipped bit in the type of a record, and a start hangs. We recycle no files, so such a record is
//! damage. RocksDB notices all other damage itself.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crc_fast::{CrcAlgorithm, checksum};

/// Logs are written in blocks. The header of a record does not cross the end of a block.
const BLOCK_BYTES: usize = 32 << 10;

/// `checksum: u32 | length: u16 | type: u8`, little-endian.
const HEADER_BYTES: usize = 7;

/// The types of records that only a recycled file has.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// The type of the zeros at the end of a file that is larger than its records.
const UNWRITTEN: u8 = 0;

/// Checks the logs of a database. Returns a description of the damage, if there is any.
///
/// # Errors
/// Returns an error if a log cannot be read.
pub fn damage(database: &Path) -> io::Result<Option<String>> {
    for path in logs(database)? {
        if let Some(offset) = find_recycled(&mut File::open(&path)?)? {
            let name = path.file_name().unwrap_or_default().display();
            return Ok(Some(format!(
                "the record at byte {offset} of {name} has a type that is never written"
            )));
        }
    }
    Ok(None)
}

/// Returns the write-ahead logs, and the MANIFEST that is in use.
fn logs(database: &Path) -> io::Result<Vec<PathBuf>> {
    let current = fs::read_to_string(database.join("CURRENT")).unwrap_or_default();
    let mut logs = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let is_wal = path.extension() == Some(OsStr::new("log"));
        if is_wal || path.file_name() == Some(OsStr::new(current.trim())) {
            logs.push(path);
        }
    }
    Ok(logs)
}

/// Returns the offset of the first record of a recycled file, as long as the file is intact up to
/// it.
fn find_recycled(file: &mut impl Read) -> io::Result<Option<usize>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut start = 0;
    loop {
        block.clear();
        file.take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        let mut rest = &block[..];
        while let Some((header, after_header)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let [c0, c1, c2, c3, l0, l1, kind] = *header;
            if RECYCLED.contains(&kind) {
                return Ok(Some(start + block.len() - rest.len()));
            }
            let length = usize::from(u16::from_le_bytes([l0, l1]));
            if kind == UNWRITTEN && length == 0 {
                break;
            }
            let checked = rest.get(HEADER_BYTES - 1..HEADER_BYTES + length);
            if checked.is_none_or(|bytes| masked_crc(bytes) != u32::from_le_bytes([c0, c1, c2, c3]))
            {
                // RocksDB stops here as well, and reports the damage.
                return Ok(None);
            }
            rest = &after_header[length..];
        }
        if block.len() < BLOCK_BYTES {
            return Ok(None);
        }
        start += BLOCK_BYTES;
    }
}

/// CRC32C, masked as in the log format of `LevelDB`.
fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    let crc = u32::try_from(crc).unwrap_or_default();
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let checked = [&[kind], payload].concat();
        let length = u16::try_from(payload.len()).expect("short");
        [&masked_crc(&checked).to_le_bytes()[..], &length.to_le_bytes(), &checked].concat()
    }

    #[test]
    fn a_recycled_record_is_found_if_rocksdb_would_read_it() {
        let written = [record(1, b"one"), record(1, &[7; 40_000 - BLOCK_BYTES])].concat();
        let found = |bytes: &[u8]| find_recycled(&mut &bytes[..]).expect("read");
        assert_eq!(found(&written), None);
        let mut extended = [&written[..], &record(1, b"three")].concat();
        extended[written.len() + HEADER_BYTES - 1] ^= 4;
        assert_eq!(found(&extended), Some(written.len()));
        extended[HEADER_BYTES] ^= 1;
        assert_eq!(found(&extended), None, "after damage that RocksDB notices");
    }

    #[test]
    fn logs_that_rocksdb_writes_are_not_damage() {
        let directory = tempfile::tempdir().expect("a directory");
        let db = rocksdb::DB::open_default(directory.path()).expect("opened");
        for n in 0..200_u32 {
            db.put(n.to_be_bytes(), [1; 1000]).expect("written");
        }
        assert_eq!(logs(directory.path()).expect("listed").len(), 2);
        assert_eq!(damage(directory.path()).expect("read"), None);
    }
}
