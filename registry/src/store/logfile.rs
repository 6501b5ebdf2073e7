//! The files that RocksDB writes as logs, looked at before it reads them: write-ahead logs and the MANIFEST.
//!
//! Its reader does not come back from a record of a recycled file in a file that is none (RocksDB 11.8.1,
//! `log::Reader::ReadPhysicalRecord` returns without going on): one flipped bit in the type of a record, and a start
//! takes for ever. We recycle none, so such a record is damage. Every other damage is left to RocksDB to notice.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crc_fast::{CrcAlgorithm, checksum};

/// Logs are written in blocks, and a record's header does not cross from one into the next.
const BLOCK_BYTES: usize = 32 << 10;

/// `checksum: u32 | length: u16 | type: u8`, little-endian.
const HEADER_BYTES: usize = 7;

/// What stands before the first record of a file that is used again, by kind of record.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// What is left of a file that was made larger than what is written in it.
const UNWRITTEN: u8 = 0;

/// Looks through the logs of a database; what is wrong, if anything is.
///
/// # Errors
/// Where one cannot be read.
pub fn damage(database: &Path) -> io::Result<Option<String>> {
    for path in logs(database)? {
        if let Some(at) = recycled(&mut File::open(&path)?)? {
            let name = path.file_name().unwrap_or_default().display();
            return Ok(Some(format!(
                "the record at byte {at} of {name} has no type that is written"
            )));
        }
    }
    Ok(None)
}

/// The write-ahead logs, and the MANIFEST that is in use.
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

/// The place of the first record of a recycled file, as far as the file is whole.
fn recycled(file: &mut impl Read) -> io::Result<Option<usize>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut start = 0;
    loop {
        block.clear();
        file.take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        let mut rest = &block[..];
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
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
                // RocksDB stops here too, and says what it thinks of it.
                return Ok(None);
            }
            rest = &behind[length..];
        }
        if block.len() < BLOCK_BYTES {
            return Ok(None);
        }
        start += BLOCK_BYTES;
    }
}

/// CRC32C as `LevelDB` and its heirs store it.
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
    fn a_recycled_record_is_found_where_rocksdb_would_meet_it() {
        let written = [record(1, b"one"), record(1, &[7; 40_000 - BLOCK_BYTES])].concat();
        let found = |bytes: &[u8]| recycled(&mut &bytes[..]).expect("read");
        assert_eq!(found(&written), None);
        let mut behind = [&written[..], &record(1, b"three")].concat();
        behind[written.len() + HEADER_BYTES - 1] ^= 4;
        assert_eq!(found(&behind), Some(written.len()));
        behind[HEADER_BYTES] ^= 1;
        assert_eq!(found(&behind), None, "behind damage that RocksDB notices");
    }

    #[test]
    fn what_rocksdb_writes_is_not_damage() {
        let directory = tempfile::tempdir().expect("a directory");
        let db = rocksdb::DB::open_default(directory.path()).expect("opened");
        for n in 0..200_u32 {
            db.put(n.to_be_bytes(), [1; 1000]).expect("written");
        }
        assert_eq!(logs(directory.path()).expect("listed").len(), 2);
        assert_eq!(damage(directory.path()).expect("read"), None);
    }
}
