//! Media types of payloads, as in `datacontenttype`.

/// The type of recorded JSON payloads.
pub const JSON: &str = "application/json";
/// The type of recorded Protobuf payloads.
pub const PROTOBUF: &str = "application/protobuf";
/// The type of recorded Avro payloads: the name that the Avro specification gives to its binary
/// encoding.
pub const AVRO: &str = "avro/binary";

/// The encoding that a media type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// No type, or `application/octet-stream`.
    Unspecified,
    /// JSON.
    Json,
    /// The binary encoding of Protobuf.
    Protobuf,
    /// The binary encoding of Avro.
    Avro,
    /// Any other type.
    Other,
}

impl Media {
    /// Parses a `datacontenttype`. Parameters such as `charset` are ignored.
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "" | "application/octet-stream" => Self::Unspecified,
            "application/json" | "text/json" => Self::Json,
            "application/protobuf"
            | "application/x-protobuf"
            | "application/vnd.google.protobuf" => Self::Protobuf,
            "avro/binary"
            | "application/avro"
            | "application/x-avro"
            | "application/vnd.apache.avro" => Self::Avro,
            other if other.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}
