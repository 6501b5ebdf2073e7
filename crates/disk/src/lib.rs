//! What the stores of the event service and of the registry share on disk. It knows neither of
//! them, and opens no database.
//!
//! - [`lock`]: holds a directory against other processes.
//! - [`log_file`]: finds damage in RocksDB's log files before RocksDB opens them.

pub mod lock;
pub mod log_file;
