//! Media types of payloads, as `datacontenttype` has them.

/// What JSON payloads are recorded as.
pub const JSON: &str = "application/json";
/// What Protobuf payloads are recorded as.
pub const PROTOBUF: &str = "application/protobuf";
/// What Avro payloads are recorded as: the name that the Avro specification gives to its binary encoding.
pub const AVRO: &str = "avro/binary";

/// What a payload says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// Nothing, or bytes of any kind.
    Unsaid,
    /// JSON.
    Json,
    /// Protobuf's binary encoding.
    Protobuf,
    /// Avro's binary encoding.
    Avro,
    /// Something else.
    Other,
}

impl Media {
    /// Of a `datacontenttype`; parameters such as `charset` do not count.
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "" | "application/octet-stream" => Self::Unsaid,
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
