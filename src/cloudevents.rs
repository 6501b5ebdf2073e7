//! The JSON format of CloudEvents 1.0.2: converts documents to events, and events to documents.

mod from_json;
mod to_json;

pub use self::{
    from_json::{DocumentBatch, DocumentError, Fault, Members, read},
    to_json::{data, document, holds_json},
};
