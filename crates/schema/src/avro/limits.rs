//! Bounds on definitions, comparisons and payloads.

/// Nesting of objects and arrays in a definition. serde_json itself rejects 128; a record takes
/// four levels.
pub const DEFINITION_DEPTH_MAX: usize = 100;

/// Named types, and fields, of a definition with all its references. The largest published schemas
/// have about 3,000 fields; a megabyte would hold 30,000.
pub const NAMED_MAX: usize = 10_000;

/// Reported faults of a definition. More than 100 are usually one mistake many times.
pub const FAULTS_MAX: usize = 100;

/// Size of a fixed, as in Java.
pub const FIXED_BYTES_MAX: u64 = i32::MAX as u64;

/// Values visited to check all defaults of a definition. The default of a union is tried against
/// one branch after the other, which nested unions multiply.
pub const DEFAULT_STEPS_MAX: usize = 1_000_000;

/// Pairs of types compared. Two schemas of 10,000 fields take 20,000; only cycles of different
/// lengths, of types in different namespaces, take more.
pub const PAIRS_MAX: usize = 200_000;

/// Lookups of names in unions and records during a comparison. The same schemas reach it.
pub const LOOKUPS_MAX: usize = 2_000_000;

/// Errors kept by a resolution, and as many other issues. Hostile schemas have an issue in every
/// pair.
pub const ISSUES_MAX: usize = 10_000;

/// Names of symbols and fields that an issue keeps.
pub const ISSUE_NAMES_MAX: usize = 12;

/// Findings of a comparison. A report is read by people.
pub const FINDINGS_MAX: usize = 500;

/// Findings that get a counterexample.
pub const COUNTEREXAMPLES_MAX: usize = 20;

/// Values in a counterexample. A larger payload is harder to read.
pub const COUNTEREXAMPLE_VALUES_MAX: usize = 100;

/// Nesting of values in a counterexample.
pub const COUNTEREXAMPLE_DEPTH_MAX: usize = 40;

/// Segments of a path in a message. A path into a recursive schema has as many segments as the
/// schema has types.
pub const PATH_SEGMENTS_SHOWN_MAX: usize = 40;

/// Nesting of records, arrays and maps in a payload. JSON parsers accept 128. A recursive schema
/// sets no bound, and readers that recurse overflow their stack.
pub const PAYLOAD_DEPTH_MAX: usize = 128;

/// Values in a payload. Null takes no bytes, so the length of a payload does not bound them.
pub const PAYLOAD_VALUES_MAX: u64 = 10_000_000;

/// Reported violations of a payload.
pub const VIOLATIONS_MAX: usize = 100;

/// Size of a converted payload. A default may be longer than the data that it replaces.
pub const CONVERTED_BYTES_MAX: usize = 16 << 20;

/// Size of a payload in Avro's JSON encoding. A null takes no bytes in binary, and four in JSON.
pub const JSON_BYTES_MAX: usize = 64 << 20;

/// Size of a payload in plain JSON. Programs expand it further when they parse it.
pub const PLAIN_JSON_BYTES_MAX: usize = 8 << 20;
