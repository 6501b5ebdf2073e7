//! The command line, and the tour of the documentation.

pub mod commands;
pub mod schema;
pub mod tour;
