//! `DIR/witness`: the last acknowledged revision, stored outside of RocksDB.
//!
//! RocksDB opens a write-ahead log that is cut between two records as an older registry and reports
//! nothing. So each revision is written here, synced, before it is acknowledged, and a start that
//! finds an older database refuses. Two slots are written in turn, so that a torn write leaves the
//! other slot intact.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

/// The name of the file.
const FILE: &str = "witness";
/// A sector: a torn write of one slot does not reach the other.
const SLOT_BYTES: usize = 512;

/// The last acknowledged revision, in an open file.
#[derive(Debug)]
pub struct DurableMark {
    file: File,
    /// The slot to write next; the other slot has the last revision.
    next_slot: u64,
}

impl DurableMark {
    /// Opens the file, and reads the last revision. None: the file does not exist.
    ///
    /// # Errors
    /// Returns an error if the file system fails, or if neither slot can be read.
    pub fn open(directory: &Path) -> io::Result<Option<(Self, u64)>> {
        let file = match File::options().read(true).write(true).open(directory.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut newest: Option<(u64, u64)> = None;
        for slot in 0..2 {
            let mut bytes = [0; 16];
            if length >= slot_offset(slot) + bytes.len() as u64 {
                file.read_exact_at(&mut bytes, slot_offset(slot))?;
                newest = newest.max(decode(bytes).map(|revision| (revision, slot)));
            }
        }
        let Some((revision, slot)) = newest else {
            let detail = format!("neither slot of the file {FILE} can be read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        };
        Ok(Some((Self { file, next_slot: 1 - slot }, revision)))
    }

    /// Creates the file atomically.
    ///
    /// # Errors
    /// Returns an error if the file system fails.
    pub fn create(directory: &Path, revision: u64) -> io::Result<Self> {
        let new = directory.join("witness.new");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let mut mark = Self { file, next_slot: 0 };
        mark.advance(revision)?;
        mark.advance(revision)?;
        mark.file.sync_all()?;
        fs::rename(new, directory.join(FILE))?;
        File::open(directory)?.sync_all()?;
        Ok(mark)
    }

    /// Writes a revision, synced.
    ///
    /// # Errors
    /// Returns an error if the disk fails.
    pub fn advance(&mut self, revision: u64) -> io::Result<()> {
        self.file.write_all_at(&encode(revision), slot_offset(self.next_slot))?;
        self.file.sync_data()?;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

fn slot_offset(slot: u64) -> u64 {
    slot * SLOT_BYTES as u64
}

/// `revision: u64 BE | complement of the revision: u64 BE`, then zeros.
fn encode(revision: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&revision.to_be_bytes());
    slot[8..16].copy_from_slice(&(!revision).to_be_bytes());
    slot
}

fn decode(slot: [u8; 16]) -> Option<u64> {
    let both = u128::from_be_bytes(slot);
    let (revision, complement) = (u64::try_from(both >> 64).ok()?, both & u128::from(u64::MAX));
    (complement == u128::from(!revision)).then_some(revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(directory: &Path) -> Option<u64> {
        DurableMark::open(directory).expect("read").map(|(_, revision)| revision)
    }

    #[test]
    fn a_torn_slot_leaves_the_previous_revision() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        assert_eq!(read(path), None);
        let mut mark = DurableMark::create(path, 4).expect("created");
        assert_eq!(read(path), Some(4));
        mark.advance(5).expect("written");
        mark.advance(7).expect("written");
        assert_eq!(read(path), Some(7));
        mark.file.write_all_at(&[0xff; 9], slot_offset(1 - mark.next_slot)).expect("torn");
        assert_eq!(read(path), Some(5));
        // The torn slot is the next to be written.
        let (mut reopened, _) = DurableMark::open(path).expect("read").expect("the file exists");
        reopened.advance(8).expect("written");
        assert_eq!(read(path), Some(8));
        fs::write(path.join(FILE), [0; 2 * SLOT_BYTES]).expect("overwritten");
        assert!(DurableMark::open(path).is_err(), "zeros are not a revision");
    }

    #[test]
    fn the_format_has_not_changed() {
        let slot: [u8; 16] = [0, 0, 0, 0, 0, 0, 1, 2, 255, 255, 255, 255, 255, 255, 254, 253];
        assert_eq!(encode(258)[..16], slot);
        assert_eq!(decode(slot), Some(258));
    }
}
