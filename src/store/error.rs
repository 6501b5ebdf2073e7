//! What can go wrong with the disk.

use crate::model::numbers::Offset;

/// RocksDB or the file system failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StorageError {
    /// What it said.
    pub message: String,
    /// Whether there was no space: the one failure that passes by itself.
    pub no_space: bool,
    /// Whether stored bytes are damaged.
    pub corrupt: bool,
}

impl From<rocksdb::Error> for StorageError {
    fn from(error: rocksdb::Error) -> Self {
        let corrupt = error.kind() == rocksdb::ErrorKind::Corruption;
        let message = error.into_string();
        let no_space = message.contains("No space left");
        Self { message, no_space, corrupt }
    }
}

impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> Self {
        let no_space = error.kind() == std::io::ErrorKind::StorageFull;
        Self { message: error.to_string(), no_space, corrupt: false }
    }
}

/// A read failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// A stored event does not decode.
    #[error("the event at offset {offset} of topic {topic} is damaged: {detail}")]
    Corrupt {
        /// In this topic.
        topic: String,
        /// The first damaged one.
        offset: Offset,
        /// What is wrong.
        detail: String,
    },
    /// Anything else.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The store cannot be opened. Each of these has an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("the data directory {directory} is in use by {holder}")]
    Locked {
        /// The directory.
        directory: String,
        /// Who has it.
        holder: String,
    },
    /// Written by a newer version.
    #[error(
        "the data directory has format {found}, this version reads up to {known}: nothing was changed"
    )]
    NewerFormat {
        /// In the directory.
        found: String,
        /// Known here.
        known: String,
    },
    /// What was acknowledged is not there.
    #[error("acknowledged events are missing: {detail}; nothing was changed")]
    AcknowledgedMissing {
        /// Which.
        detail: String,
    },
    /// Stored bytes are damaged.
    #[error("stored data is damaged: {detail}")]
    Corrupt {
        /// Where and how.
        detail: String,
    },
    /// The file system failed.
    #[error("{doing}: {source}")]
    Io {
        /// While doing so.
        doing: String,
        /// What it said.
        source: StorageError,
    },
}

impl OpenError {
    /// Sorts a failure of RocksDB.
    pub(crate) fn rocksdb(doing: &str, error: rocksdb::Error) -> Self {
        use rocksdb::ErrorKind as Kind;
        match error.kind() {
            // RocksDB calls a missing or unreadable file an I/O error or NotFound; beside a FORMAT file it is damage.
            Kind::Corruption | Kind::InvalidArgument | Kind::NotFound | Kind::Incomplete => {
                Self::Corrupt { detail: format!("{doing}: {error}") }
            }
            _ if error.as_ref().contains("No such file") => {
                Self::Corrupt { detail: format!("{doing}: {error}") }
            }
            _ => Self::Io { doing: doing.into(), source: error.into() },
        }
    }
}
