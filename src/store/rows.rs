//! Rows of the column families with events and their indexes: one file per family, with its key and
//! its value. Integers are big endian, so that the order of RocksDB is the order of the values.

pub mod correlation;
pub mod ids;
pub mod keys;
pub mod log;
