//! The data directory and the files in it that are ours: `LOCK`, `FORMAT` and `clean`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{OpenError, StorageError};
use crate::model::{cursor::ServerId, numbers::Position};

/// The format that this version writes.
const MAJOR: u32 = 1;
/// What a reader has to know beyond the format: none yet.
const FEATURES: [&str; 0] = [];

/// Holds the directory against other processes for as long as it lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "dropping it lets go of the lock")] File);

/// What `FORMAT` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Readers of another major format must not open the directory.
    pub major: u32,
    /// Names of what a reader has to know.
    pub features: Vec<String>,
    /// The identity of the store, in hexadecimal.
    pub server: String,
    /// Which version made the directory.
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
    /// Makes the directory where it is not there, and locks it.
    ///
    /// # Errors
    /// Where somebody else has it, or the file system fails.
    pub fn lock(path: &Path) -> Result<(Self, Lock), OpenError> {
        fs::create_dir_all(path)
            .map_err(io_error(format!("cannot make the data directory {}", path.display())))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("LOCK"))
            .map_err(io_error(format!("cannot open {}", path.join("LOCK").display())))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who cannot be read cannot be named; that it is locked is said all the same.
                let _ = file.read_to_string(&mut holder);
                return Err(OpenError::Locked {
                    directory: path.display().to_string(),
                    holder: if holder.trim().is_empty() {
                        "another process".into()
                    } else {
                        holder.trim().into()
                    },
                });
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(io_error("cannot lock the data directory")(error));
            }
        }
        let note = format!("tidings, process {}", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(io_error("cannot write LOCK"))?;
        Ok((Self(path.into()), Lock(file)))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where RocksDB is.
    pub fn database(&self) -> PathBuf {
        self.0.join("db")
    }

    /// Whether there is no store in it yet.
    pub fn is_new(&self) -> bool {
        !self.0.join("FORMAT").exists() && !self.database().join("CURRENT").exists()
    }

    /// Writes the format of a new store. The last thing to be made: a directory without it is not a store yet.
    ///
    /// # Errors
    /// Where the file system fails.
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

    /// Reads the format.
    ///
    /// # Errors
    /// Where it is damaged, missing or newer than what is known here.
    pub fn read_format(&self) -> Result<ServerId, OpenError> {
        let corrupt = |detail: String| OpenError::Corrupt { detail };
        let text = match fs::read(self.0.join("FORMAT")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(corrupt("there is a database, but the file FORMAT is missing".into()));
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

    /// Notes that the store was closed in order, with everything up to a position on disk.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn write_clean(&self, server: ServerId, position: Position) -> io::Result<()> {
        self.replace("clean", clean_text(server, position).as_bytes())
    }

    /// The position of a close in order. None: it was not, or the note cannot be read, which is as good.
    pub fn read_clean(&self, server: ServerId) -> Option<Position> {
        let text = fs::read_to_string(self.0.join("clean")).ok()?;
        let position = Position(text.split_whitespace().next()?.parse().ok()?);
        (text == clean_text(server, position)).then_some(position)
    }

    /// Takes the note back: from now on a stop is unclean until it is written again.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn remove_clean(&self) -> io::Result<()> {
        match fs::remove_file(self.0.join("clean")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.0)?.sync_all(),
        }
    }

    /// All of a file or nothing: written beside it, synced, renamed, and the directory synced.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.0.join(format!("{name}.new"));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, self.0.join(name))?;
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
