//! The public API of Protobuf schemas: verdicts on pairs of schemas, compared with other decoders.

#[path = "protobuf/buf.rs"]
mod buf;
#[path = "protobuf/checks.rs"]
mod checks;
#[path = "protobuf/conversion.rs"]
mod conversion;
#[path = "protobuf/decoding.rs"]
mod decoding;
#[path = "clients/environment.rs"]
mod environment;
#[path = "protobuf/generate.rs"]
mod generate;
#[path = "protobuf/golden.rs"]
mod golden;
#[path = "protobuf/google.rs"]
mod google;
#[path = "protobuf/hostile.rs"]
mod hostile;
#[path = "protobuf/ledger.rs"]
mod ledger;
#[path = "protobuf/model.rs"]
mod model;
#[path = "protobuf/mutants.rs"]
mod mutants;
#[path = "protobuf/mutate.rs"]
mod mutate;
#[path = "protobuf/pairs.rs"]
mod pairs;
#[path = "protobuf/parsing.rs"]
mod parsing;
#[path = "protobuf/payloads.rs"]
mod payloads;
#[path = "protobuf/protoc.rs"]
mod protoc;
#[path = "protobuf/soundness.rs"]
mod soundness;
#[path = "clients/toolchain.rs"]
mod toolchain;
