//! The file `LOCK`: one process at a time has a directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

/// The lock of a directory, held until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock(#[expect(dead_code, reason = "dropping the file releases the lock")] File);

/// Why a directory was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("in use by {0}")]
    Held(String),
    /// The file system failed.
    #[error("cannot {operation} LOCK: {source}")]
    Io {
        /// The operation that failed: open, lock or write.
        operation: &'static str,
        /// The failure.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Locks a directory that exists, and writes the name of this process into the file for others.
    ///
    /// # Errors
    /// Returns [`LockError::Held`] if another process has the lock, or an I/O error.
    pub fn acquire(directory: &Path, program: &str) -> Result<Self, LockError> {
        let failed = |operation| move |source| LockError::Io { operation, source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(directory.join("LOCK")).map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // If the file cannot be read, the holder has no name.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process",
                    name => name,
                };
                return Err(LockError::Held(holder.to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        let note = format!("{program}, process {}", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(failed("write"))?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_holder_and_a_dropped_one_is_free() {
        let directory = tempfile::tempdir().expect("a directory");
        let lock = DirectoryLock::acquire(directory.path(), "first").expect("free");
        let held = DirectoryLock::acquire(directory.path(), "second").expect_err("held");
        let expected = format!("in use by first, process {}", std::process::id());
        assert_eq!(held.to_string(), expected);
        drop(lock);
        DirectoryLock::acquire(directory.path(), "second").expect("free again");
    }
}
