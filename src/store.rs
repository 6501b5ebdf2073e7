//! The bytes on disk, and what applying a commit does to them. Knows nothing of who ordered the commit, or over what
//! wire it came.
//!
//! One RocksDB with five column families, all written in one batch:
//!
//! | family | key | value |
//! |---|---|---|
//! | `log` | topic, offset | header and the exact bytes of the event ([`row`]) |
//! | `ids` | topic, hash of source and id | offset, hash of the content |
//! | `keys` | topic, key, version (newest first) | offset |
//! | `correlation` | correlation id, position | topic, offset |
//! | `meta` | topics, ends of topics, the last position | |
//!
//! Beside it stand files of our own: `FORMAT`, `tail.witness`, `clean` and `LOCK` ([`directory`], [`witness`]).

pub mod directory;
pub mod error;
pub mod keys;
pub mod meta;
pub mod open;
pub mod options;
pub mod read;
pub mod row;
pub mod search;
pub mod tail;
pub mod topics;
pub mod trim;
pub mod witness;
pub mod writer;

use std::{path::Path, sync::Arc};

use rocksdb::{ColumnFamily, DB};
use tokio::sync::watch;

use crate::model::{cursor::ServerId, numbers::Position};

pub use error::{OpenError, ReadError, StorageError};
pub use open::{OpenOptions, open};
pub use writer::Writer;

/// What readers see of the store. Everything at or before the watermark is there, and nothing of it is ever taken back.
pub struct Store {
    db: DB,
    directory: directory::Directory,
    #[expect(dead_code, reason = "held for as long as the store is open")]
    lock: directory::Lock,
    server: ServerId,
    catalog: topics::Catalog,
    watermark: watch::Sender<Position>,
    holes: Vec<meta::Hole>,
    trims: Arc<trim::TrimPoints>,
}

/// The column families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Events.
    Log,
    /// Identities.
    Ids,
    /// Keys.
    Keys,
    /// Correlation ids.
    Correlation,
    /// Everything else.
    Meta,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Log, Self::Ids, Self::Keys, Self::Correlation, Self::Meta];

    /// Its name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Ids => "ids",
            Self::Keys => "keys",
            Self::Correlation => "correlation",
            Self::Meta => "meta",
        }
    }

    /// Its handle. The families are made when the database is, so it is there.
    #[allow(clippy::expect_used, reason = "open() has checked that every family is there")]
    pub(crate) fn of(self, db: &DB) -> &ColumnFamily {
        db.cf_handle(self.name()).expect("every column family was opened")
    }
}

impl Store {
    /// Which store this is.
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// The topics.
    pub fn catalog(&self) -> &topics::Catalog {
        &self.catalog
    }

    /// The position up to which everything is there.
    pub fn watermark(&self) -> Position {
        *self.watermark.borrow()
    }

    /// Follows the watermark.
    pub fn watch_watermark(&self) -> watch::Receiver<Position> {
        self.watermark.subscribe()
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where a position lies in a hole that an unclean stop left: the hole.
    pub fn hole_at(&self, position: Position) -> Option<meta::Hole> {
        self.holes.iter().copied().find(|hole| hole.contains(position))
    }

    /// Syncs what was written without it.
    ///
    /// # Errors
    /// Where the disk fails: nobody knows then what is on it.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.db.flush_wal(true).map_err(StorageError::from)
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        family.of(&self.db)
    }
}
