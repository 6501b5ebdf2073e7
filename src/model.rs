//! Values: what a valid name, offset, cursor or event is. No I/O, no async, no wire format but the event's own.

pub mod attribute;
pub mod commit;
pub mod cursor;
pub mod encoded;
pub mod event;
pub mod fault;
pub mod filter;
pub mod media;
pub mod name;
pub mod numbers;
pub mod timestamp;
pub mod topic;
pub mod unchecked;
