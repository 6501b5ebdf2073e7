//! What the event service and the registry share on the wire. It knows neither of them.
//!
//! - [`codec`]: decodes requests within a memory bound, encodes responses.
//! - [`footprint`]: the memory that an encoded message decodes into, computed before it is decoded.
//! - [`pages`]: page sizes and page tokens of lists.
//! - [`text`]: shortens texts of error details.

pub mod codec;
pub mod footprint;
pub mod pages;
pub mod text;
