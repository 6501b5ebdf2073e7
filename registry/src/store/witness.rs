//! `DIR/witness`: the last revision that was acknowledged, told by somebody else than RocksDB.
//!
//! A write-ahead log that is cut between two records opens as an older registry, without a word. So each revision is noted
//! here, synced, before it is answered, and a start that finds less refuses. Two slots are written in turn, so that a torn
//! write leaves the other one.

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

/// The open file.
#[derive(Debug)]
pub struct Witness {
    file: File,
    /// The slot that is written next: not the one with the last revision.
    turn: u64,
}

impl Witness {
    /// Opens the file, and reads the last revision. None: there is no file.
    ///
    /// # Errors
    /// Where the file system fails, or no slot can be read.
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
            if length >= at(slot) + bytes.len() as u64 {
                file.read_exact_at(&mut bytes, at(slot))?;
                newest = newest.max(decode(bytes).map(|revision| (revision, slot)));
            }
        }
        let Some((revision, slot)) = newest else {
            let detail = format!("the file {FILE} has no revision that can be read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        };
        Ok(Some((Self { file, turn: 1 - slot }, revision)))
    }

    /// Makes the file, as a whole or not at all.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn create(directory: &Path, revision: u64) -> io::Result<Self> {
        let new = directory.join("witness.new");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let mut witness = Self { file, turn: 0 };
        witness.note(revision)?;
        witness.note(revision)?;
        witness.file.sync_all()?;
        fs::rename(new, directory.join(FILE))?;
        File::open(directory)?.sync_all()?;
        Ok(witness)
    }

    /// Notes a revision, synced.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn note(&mut self, revision: u64) -> io::Result<()> {
        self.file.write_all_at(&encode(revision), at(self.turn))?;
        self.file.sync_data()?;
        self.turn = 1 - self.turn;
        Ok(())
    }
}

fn at(slot: u64) -> u64 {
    slot * SLOT_BYTES as u64
}

/// `revision: u64 BE | its complement: u64 BE`, and zeros.
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
        Witness::open(directory).expect("read").map(|(_, revision)| revision)
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        assert_eq!(read(path), None);
        let mut witness = Witness::create(path, 4).expect("made");
        assert_eq!(read(path), Some(4));
        witness.note(5).expect("noted");
        witness.note(7).expect("noted");
        assert_eq!(read(path), Some(7));
        witness.file.write_all_at(&[0xff; 9], at(1 - witness.turn)).expect("torn");
        assert_eq!(read(path), Some(5));
        // What is torn is written next.
        let (mut again, _) = Witness::open(path).expect("read").expect("there");
        again.note(8).expect("noted");
        assert_eq!(read(path), Some(8));
        fs::write(path.join(FILE), [0; 2 * SLOT_BYTES]).expect("lost");
        assert!(Witness::open(path).is_err(), "zeros are no revision");
    }

    #[test]
    fn its_form_has_not_moved() {
        let slot: [u8; 16] = [0, 0, 0, 0, 0, 0, 1, 2, 255, 255, 255, 255, 255, 255, 254, 253];
        assert_eq!(encode(258)[..16], slot);
        assert_eq!(decode(slot), Some(258));
    }
}
