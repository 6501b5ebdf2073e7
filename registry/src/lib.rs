//! The schema registry of Tidings.
//!
//! For now this crate holds only its place in the workspace: the event service will ask it which schema governs an
//! event type, and it will know nothing of streams.
