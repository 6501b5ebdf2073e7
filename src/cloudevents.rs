//! The JSON format of CloudEvents 1.0.2: documents become events, and events documents.

mod reading;
mod writing;

pub use self::{
    reading::{Fault, Members, Unreadable, Written, read},
    writing::{data, document, holds_json},
};
