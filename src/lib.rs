//! Tidings.
pub mod proto;
