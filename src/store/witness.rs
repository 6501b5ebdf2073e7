//! `tail.witness`: the last position that was synced, told by somebody else than RocksDB.
//!
//! RocksDB cannot see that the end of its write-ahead log is gone: a truncated or deleted one opens as an older state,
//! without a word. So the writer notes the last synced position here after each synced group, and a start that finds
//! less than that refuses. Two slots of 512 bytes are written in turn, so that a torn write leaves the other one.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use crc_fast::{CrcAlgorithm, checksum};

use super::keys::u64_at;
use crate::model::{cursor::ServerId, numbers::Position};

const SLOT_BYTES: usize = 512;
const CHECKED_BYTES: usize = 32;
/// The name of the file in the data directory.
pub const FILE: &str = "tail.witness";

/// What was witnessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Testimony {
    /// Everything up to here was on disk.
    pub position: Position,
    /// Events ever appended up to there.
    pub events: u64,
    turn: u64,
}

/// The open file.
#[derive(Debug)]
pub struct Witness {
    file: File,
    server: ServerId,
    turn: u64,
}

impl Witness {
    /// Makes the file of a new store.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn create(directory: &Path, server: ServerId) -> io::Result<Self> {
        let path = directory.join(FILE);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let mut witness = Self { file, server, turn: 0 };
        witness.note(Position(0), 0)?;
        witness.note(Position(0), 0)?;
        witness.file.sync_all()?;
        Ok(witness)
    }

    /// Opens the file and reads the newest slot that is whole. None: neither is.
    ///
    /// # Errors
    /// Where the file system fails, or the file is not there.
    pub fn open(directory: &Path, server: ServerId) -> io::Result<(Self, Option<Testimony>)> {
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
            let Some(testimony) = decode(&bytes, server) else { continue };
            if newest.is_none_or(|other: Testimony| other.turn < testimony.turn) {
                newest = Some(testimony);
            }
        }
        let turn = newest.map_or(0, |testimony| testimony.turn);
        Ok((Self { file, server, turn }, newest))
    }

    /// Notes a synced position. Not synced itself: that is done off the writer's thread.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn note(&mut self, position: Position, events: u64) -> io::Result<()> {
        self.turn += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&self.server.0.to_be_bytes());
        slot[8..16].copy_from_slice(&self.turn.to_be_bytes());
        slot[16..24].copy_from_slice(&position.0.to_be_bytes());
        slot[24..32].copy_from_slice(&events.to_be_bytes());
        let check = checksum(CrcAlgorithm::Crc32Iscsi, &slot[..CHECKED_BYTES]);
        slot[32..40].copy_from_slice(&check.to_be_bytes());
        self.file.write_all_at(&slot, (self.turn % 2) * SLOT_BYTES as u64)
    }

    /// Another handle on the file, to sync it from another thread.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Waits until what was noted is on disk.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn decode(slot: &[u8; SLOT_BYTES], server: ServerId) -> Option<Testimony> {
    let check = checksum(CrcAlgorithm::Crc32Iscsi, &slot[..CHECKED_BYTES]);
    if u64_at(slot, 32)? != check || u64_at(slot, 0)? != server.0 {
        return None;
    }
    Some(Testimony {
        turn: u64_at(slot, 8)?,
        position: Position(u64_at(slot, 16)?),
        events: u64_at(slot, 24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerId = ServerId(9);

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut witness = Witness::create(directory.path(), SERVER).expect("created");
        witness.note(Position(5), 5).expect("noted");
        witness.note(Position(6), 6).expect("noted");
        let read = || Witness::open(directory.path(), SERVER).expect("opened").1;
        assert_eq!(read().map(|t| t.position), Some(Position(6)));
        let at = (witness.turn % 2) * SLOT_BYTES as u64;
        witness.file.write_all_at(&[0xff; 20], at).expect("torn");
        assert_eq!(read().map(|t| t.position), Some(Position(5)));
        assert!(Witness::open(directory.path(), ServerId(8)).expect("opened").1.is_none());
    }
}
