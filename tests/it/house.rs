//! Rules over the sources and documents.

pub mod tidy;
