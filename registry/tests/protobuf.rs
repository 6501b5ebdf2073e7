//! Protobuf, from the outside: what the engine says about pairs of schemas, and whether decoders agree.

#[path = "protobuf/golden.rs"]
mod golden;
