//! Rules for the sources and documents.

pub mod tidy;
