//! `tail.witness`: the last synced position, kept outside of RocksDB.
//!
//! RocksDB does not detect that the end of its write-ahead log is missing: it opens a truncated or
//! deleted log as an older state, without an error. So the writer records the last synced position
//! here after each synced group, and a start that finds less than that fails. Two slots of 512
//! bytes are written in turn, so that a torn write leaves the other one intact.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use crc_fast::{CrcAlgorithm, checksum};

use super::big_endian::u64_at;
use crate::model::{cursor::ServerId, numbers::Position};

const SLOT_BYTES: usize = 512;
const CHECKED_BYTES: usize = 32;
/// The name of the file in the data directory.
pub const FILE: &str = "tail.witness";

/// The synced high-water mark of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableMark {
    /// Every commit up to this position was synced.
    pub position: Position,
    /// Events ever appended up to this position.
    pub events: u64,
    sequence: u64,
}

/// The open file.
#[derive(Debug)]
pub struct DurableMarkFile {
    file: File,
    server: ServerId,
    sequence: u64,
}

impl DurableMarkFile {
    /// Creates the file of a new store.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn create(directory: &Path, server: ServerId) -> io::Result<Self> {
        let path = directory.join(FILE);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let mut mark = Self { file, server, sequence: 0 };
        mark.write(Position(0), 0)?;
        mark.write(Position(0), 0)?;
        mark.file.sync_all()?;
        Ok(mark)
    }

    /// Opens the file and reads the newest valid slot. None: neither slot is valid.
    ///
    /// # Errors
    /// Returns the error of the file system, or `NotFound` if the file is missing.
    pub fn open(directory: &Path, server: ServerId) -> io::Result<(Self, Option<DurableMark>)> {
        let file = OpenOptions::new().read(true).write(true).open(directory.join(FILE))?;
        let mut newest = None;
        let length = file.metadata()?.len();
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            let at = slot * SLOT_BYTES as u64;
            if length < at + SLOT_BYTES as u64 {
                continue;
            }
            file.read_exact_at(&mut bytes, at)?;
            let Some(mark) = decode(&bytes, server) else { continue };
            if newest.is_none_or(|other: DurableMark| other.sequence < mark.sequence) {
                newest = Some(mark);
            }
        }
        let sequence = newest.map_or(0, |mark| mark.sequence);
        Ok((Self { file, server, sequence }, newest))
    }

    /// Writes a synced position. Does not sync the file: the syncer thread does that, not the
    /// writer thread.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn write(&mut self, position: Position, events: u64) -> io::Result<()> {
        self.sequence += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&self.server.0.to_be_bytes());
        slot[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        slot[16..24].copy_from_slice(&position.0.to_be_bytes());
        slot[24..32].copy_from_slice(&events.to_be_bytes());
        let check = checksum(CrcAlgorithm::Crc32Iscsi, &slot[..CHECKED_BYTES]);
        slot[32..40].copy_from_slice(&check.to_be_bytes());
        self.file.write_all_at(&slot, (self.sequence % 2) * SLOT_BYTES as u64)
    }

    /// Duplicates the file handle, to sync it from another thread.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Syncs the file.
    ///
    /// # Errors
    /// Returns the error of the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn decode(slot: &[u8; SLOT_BYTES], server: ServerId) -> Option<DurableMark> {
    let check = checksum(CrcAlgorithm::Crc32Iscsi, &slot[..CHECKED_BYTES]);
    if u64_at(slot, 32)? != check || u64_at(slot, 0)? != server.0 {
        return None;
    }
    Some(DurableMark {
        sequence: u64_at(slot, 8)?,
        position: Position(u64_at(slot, 16)?),
        events: u64_at(slot, 24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerId = ServerId(9);

    #[test]
    fn a_torn_slot_leaves_the_previous_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut mark = DurableMarkFile::create(directory.path(), SERVER).expect("created");
        mark.write(Position(5), 5).expect("written");
        mark.write(Position(6), 6).expect("written");
        let read = || DurableMarkFile::open(directory.path(), SERVER).expect("opened").1;
        assert_eq!(read().map(|mark| mark.position), Some(Position(6)));
        let at = (mark.sequence % 2) * SLOT_BYTES as u64;
        mark.file.write_all_at(&[0xff; 20], at).expect("torn");
        assert_eq!(read().map(|mark| mark.position), Some(Position(5)));
        assert!(DurableMarkFile::open(directory.path(), ServerId(8)).expect("opened").1.is_none());
    }
}
