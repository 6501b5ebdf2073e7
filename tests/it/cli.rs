//! The command line, and the tour that documents it.

pub mod commands;
pub mod schema;
pub mod tour;
