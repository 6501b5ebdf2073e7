//! The data directory and our own files in it: `LOCK`, `FORMAT` and `clean`.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tidings_disk::lock::{DirectoryLock, LockError};
use xxhash_rust::xxh3::xxh3_64;

use super::{OpenError, StorageError};
use crate::model::{cursor::ServerId, numbers::Position};

/// The format that this version writes.
const MAJOR: u32 = 1;
/// Features that a reader must support in addition to the format: none yet.
const FEATURES: [&str; 0] = [];

/// The content of `FORMAT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Readers of another major format must not open the directory.
    pub major: u32,
    /// Names of the features that a reader must support.
    pub features: Vec<String>,
    /// The identity of the store, in hexadecimal.
    pub server: String,
    /// The version that created the directory.
    pub created_by: String,
    /// XXH3-64 over the other fields.
    check: String,
}

/// The data directory.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

fn io_error(doing: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
    let doing = doing.into();
    move |error| OpenError::Io { doing, source: StorageError::from(error) }
}

impl Directory {
    /// Creates the directory if it is missing, and locks it.
    ///
    /// # Errors
    /// Returns an error if another process holds the lock, or if the file system fails.
    pub fn lock(path: &Path) -> Result<(Self, DirectoryLock), OpenError> {
        fs::create_dir_all(path)
            .map_err(io_error(format!("cannot create the data directory {}", path.display())))?;
        let lock = DirectoryLock::acquire(path, "tidings").map_err(|error| match error {
            LockError::Held(holder) => {
                OpenError::Locked { directory: path.display().to_string(), holder }
            }
            LockError::Io { operation, source } => {
                io_error(format!("cannot {operation} {}", path.join("LOCK").display()))(source)
            }
        })?;
        Ok((Self(path.into()), lock))
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of the database.
    pub fn database(&self) -> PathBuf {
        self.0.join("db")
    }

    /// Whether the directory has no store yet.
    pub fn is_new(&self) -> bool {
        !self.0.join("FORMAT").exists() && !self.database().join("CURRENT").exists()
    }

    /// Writes the format of a new store. It is written last: a directory without it is not a store
    /// yet.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn write_format(&self, server: ServerId) -> Result<(), OpenError> {
        let mut format = Format {
            major: MAJOR,
            features: FEATURES.map(String::from).to_vec(),
            server: format!("{:016x}", server.0),
            created_by: env!("CARGO_PKG_VERSION").into(),
            check: String::new(),
        };
        format.check = format.checksum();
        let text = serde_json::to_string_pretty(&format).unwrap_or_default();
        self.replace("FORMAT", text.as_bytes()).map_err(io_error("cannot write FORMAT"))
    }

    /// Reads the format and returns the identity of the store.
    ///
    /// # Errors
    /// Returns an error if the file is damaged, missing or of a newer format.
    pub fn read_format(&self) -> Result<ServerId, OpenError> {
        let corrupt = |detail: String| OpenError::Corrupt { detail };
        let text = match fs::read(self.0.join("FORMAT")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(corrupt(
                    "the directory has a database, but the file FORMAT is missing".into(),
                ));
            }
            Err(error) => return Err(io_error("cannot read FORMAT")(error)),
        };
        let format: Format = serde_json::from_slice(&text)
            .map_err(|error| corrupt(format!("the file FORMAT does not parse: {error}")))?;
        if format.check != format.checksum() {
            return Err(corrupt("the checksum in the file FORMAT does not match".into()));
        }
        if format.major != MAJOR || !format.features.is_empty() {
            return Err(OpenError::NewerFormat {
                found: format!("{} {:?}", format.major, format.features),
                known: format!("{MAJOR} {FEATURES:?}"),
            });
        }
        u64::from_str_radix(&format.server, 16)
            .map(ServerId)
            .map_err(|_| corrupt("the identity in the file FORMAT is not a number".into()))
    }

    /// Records a clean close, with the position up to which everything is on disk.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn write_clean(&self, server: ServerId, position: Position) -> io::Result<()> {
        self.replace("clean", clean_text(server, position).as_bytes())
    }

    /// The position of a clean close. None: the last close was unclean, or the file is unreadable,
    /// which is handled alike.
    pub fn read_clean(&self, server: ServerId) -> Option<Position> {
        let text = fs::read_to_string(self.0.join("clean")).ok()?;
        let position = Position(text.split_whitespace().next()?.parse().ok()?);
        (text == clean_text(server, position)).then_some(position)
    }

    /// Removes the record of a clean close: until the next one, a stop is unclean.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn remove_clean(&self) -> io::Result<()> {
        match fs::remove_file(self.0.join("clean")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.0)?.sync_all(),
        }
    }

    /// Replaces a file atomically: writes a temporary file, syncs it, renames it, and syncs the
    /// directory.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.0.join(format!("{name}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }
}

impl Format {
    fn checksum(&self) -> String {
        let text = format!(
            "{}|{}|{}|{}",
            self.major,
            self.features.join(","),
            self.server,
            self.created_by
        );
        format!("{:016x}", xxh3_64(text.as_bytes()))
    }
}

fn clean_text(server: ServerId, position: Position) -> String {
    let check = xxh3_64(format!("{}|{}", server.0, position.0).as_bytes());
    format!("{position} {check:016x}\n")
}
