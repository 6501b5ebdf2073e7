//! Topics, publishing, streams and errors of the event service.

pub mod cel;
pub mod errors;
pub mod lost;
pub mod model;
pub mod negotiation;
pub mod publishing;
pub mod sizes;
pub mod streams;
pub mod topics;
pub mod unchecked;
