//! Values: valid names, offsets, cursors and events. No I/O, no async, and no wire format except
//! that of an event.

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
