//! Page sizes and page tokens of lists, with the faults of this service.

use tidings_wire::pages;
pub use tidings_wire::pages::{fill, token};

use crate::model::fault::{FaultKind, Faults};

/// Decodes the size of a page.
///
/// # Errors
/// Returns a fault if it is negative.
pub fn size(requested: i32) -> Result<usize, Faults> {
    pages::size(requested).map_err(|fault| Faults::single(FaultKind::Request, "page_size", fault))
}

/// Decodes the name after which a page begins. `None` for the first page.
///
/// # Errors
/// Returns a fault if the token was not issued by this server.
pub fn after(token: &str) -> Result<Option<String>, Faults> {
    pages::after(token).map_err(|fault| Faults::single(FaultKind::Request, "page_token", fault))
}
