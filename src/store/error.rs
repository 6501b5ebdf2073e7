//! Errors of the store.

use crate::model::numbers::Offset;

/// RocksDB or the file system failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StorageError {
    /// The message of RocksDB or the operating system.
    pub message: String,
    /// Whether the disk is full: the one failure that is not final.
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
        /// The topic.
        topic: String,
        /// The first damaged offset.
        offset: Offset,
        /// What is damaged.
        detail: String,
    },
    /// Any other failure.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The store cannot be opened. Each variant has its own exit code.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock of the directory.
    #[error("the data directory {directory} is in use by {holder}")]
    Locked {
        /// The directory.
        directory: String,
        /// The holder of the lock.
        holder: String,
    },
    /// A newer version wrote the directory.
    #[error(
        "the data directory has format {found}; this version reads up to {known}; nothing was changed"
    )]
    NewerFormat {
        /// The format of the directory.
        found: String,
        /// The newest format that this version reads.
        known: String,
    },
    /// Acknowledged events are missing.
    #[error("acknowledged events are missing: {detail}; nothing was changed")]
    AcknowledgedMissing {
        /// Which positions or rows are missing.
        detail: String,
    },
    /// Stored bytes are damaged.
    #[error("stored data is damaged: {detail}")]
    Corrupt {
        /// What is damaged, and where.
        detail: String,
    },
    /// The file system failed.
    #[error("{doing}: {source}")]
    Io {
        /// The operation that failed.
        doing: String,
        /// The error of the operation.
        source: StorageError,
    },
}

impl OpenError {
    /// Classifies an error of RocksDB.
    pub(crate) fn rocksdb(doing: &str, error: rocksdb::Error) -> Self {
        use rocksdb::ErrorKind as Kind;
        match error.kind() {
            // RocksDB reports a missing or unreadable file as an I/O error or NotFound. In a
            // directory with a FORMAT file, that is damage.
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
