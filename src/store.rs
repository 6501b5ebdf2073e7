//! The bytes on disk, and how a commit changes them. The store does not know who ordered a commit,
//! or over which protocol it came.
//!
//! One RocksDB database with five column families, which are written in one batch:
//!
//! | family | key | value |
//! |---|---|---|
//! | `log` | topic, offset | header and the exact bytes of the event ([`rows::log`]) |
//! | `ids` | topic, hash of source and id | offset, hash of the content ([`rows::ids`]) |
//! | `keys` | topic, key, version (newest first) | offset ([`rows::keys`]) |
//! | `correlation` | correlation id, position | topic, offset ([`rows::correlation`]) |
//! | `meta` | state, topics, topic tails, holes | [`meta`] |
//!
//! The data directory also contains files of our own: `FORMAT`, `tail.witness`, `clean` and `LOCK`
//! ([`directory`], [`durable_mark`]).

pub mod big_endian;
pub mod directory;
pub mod durable_mark;
pub mod error;
pub mod meta;
pub mod open;
pub mod options;
pub mod read;
pub mod rows;
pub mod search;
pub mod tail;
pub mod topics;
pub mod trim;
pub mod writer;

use std::{path::Path, sync::Arc};

use rocksdb::{ColumnFamily, DB};
use tokio::sync::watch;

use crate::model::{cursor::ServerId, numbers::Position};

pub use error::{OpenError, ReadError, StorageError};
pub use open::{OpenOptions, open};
pub use writer::Writer;

/// The store as readers see it. Everything at or before the watermark is readable, and is never
/// rolled back.
pub struct Store {
    db: DB,
    directory: directory::Directory,
    #[expect(dead_code, reason = "held for as long as the store is open")]
    lock: tidings_disk::lock::DirectoryLock,
    server: ServerId,
    catalog: topics::Catalog,
    watermark: watch::Sender<Position>,
    holes: Vec<meta::Hole>,
    trims: Arc<trim::TrimPoints>,
}

/// The column families of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Events by offset.
    Log,
    /// Events by identity.
    Ids,
    /// Versions of keys.
    Keys,
    /// Events by correlation id.
    Correlation,
    /// State of the log and its topics.
    Meta,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 5] = [Self::Log, Self::Ids, Self::Keys, Self::Correlation, Self::Meta];

    /// The name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Ids => "ids",
            Self::Keys => "keys",
            Self::Correlation => "correlation",
            Self::Meta => "meta",
        }
    }

    /// The handle of the family. All families are created with the database.
    #[allow(clippy::expect_used, reason = "open() has checked that every family is there")]
    pub(crate) fn of(self, db: &DB) -> &ColumnFamily {
        db.cf_handle(self.name()).expect("every column family was opened")
    }
}

impl Store {
    /// The identity of the store.
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// The topics by name.
    pub fn catalog(&self) -> &topics::Catalog {
        &self.catalog
    }

    /// The position up to which everything is readable.
    pub fn watermark(&self) -> Position {
        *self.watermark.borrow()
    }

    /// Watches the watermark.
    pub fn watch_watermark(&self) -> watch::Receiver<Position> {
        self.watermark.subscribe()
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The hole of an unclean stop that contains a position.
    pub fn hole_at(&self, position: Position) -> Option<meta::Hole> {
        self.holes.iter().copied().find(|hole| hole.contains(position))
    }

    /// Syncs the writes that were not synced.
    ///
    /// # Errors
    /// Returns the error of the disk. It is unknown then which writes are on disk.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.db.flush_wal(true).map_err(StorageError::from)
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        family.of(&self.db)
    }
}
