//! Encodes the messages of `proto/` as proto3 JSON.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Serializer;

use crate::proto::DESCRIPTORS;

/// Encodes messages by their descriptors.
pub struct JsonEncoder(DescriptorPool);

impl JsonEncoder {
    /// Creates an encoder of the messages of `proto/`.
    pub fn new() -> Self {
        // A test checks that the descriptors decode.
        Self(DescriptorPool::decode(DESCRIPTORS).unwrap_or_default())
    }

    /// Encodes a message of this name in one line. Includes numbers that are 0 and texts that are
    /// empty: 0 is a valid offset.
    pub fn encode(&self, name: &str, message: &impl Message) -> String {
        let options = SerializeOptions::new().skip_default_fields(false);
        let encoded = self.0.get_message_by_name(name).and_then(|descriptor| {
            let bytes = message.encode_to_vec();
            let message = DynamicMessage::decode(descriptor, bytes.as_slice()).ok()?;
            let mut json = Serializer::new(Vec::new());
            message.serialize_with_options(&mut json, &options).ok()?;
            String::from_utf8(json.into_inner()).ok()
        });
        encoded.unwrap_or_else(|| "{}".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::events::v1::{CaughtUp, PublishResponse, PublishResult};

    #[test]
    fn messages_are_encoded_with_default_values() {
        let result = PublishResult { id: "1".into(), cursor: "c".into(), ..Default::default() };
        let text = JsonEncoder::new().encode(
            "tidings.events.v1.PublishResponse",
            &PublishResponse { results: vec![result] },
        );
        assert_eq!(
            text,
            "{\"results\":[{\"id\":\"1\",\"offset\":\"0\",\"keyVersion\":\"0\",\"duplicate\":false,\
             \"cursor\":\"c\",\"schemaVersion\":\"\",\"durability\":\"DURABILITY_UNSPECIFIED\",\"position\":\"0\"}]}"
        );
        let time = Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 });
        let caught_up = CaughtUp { cursor: "c".into(), time };
        let text = JsonEncoder::new().encode("tidings.events.v1.CaughtUp", &caught_up);
        assert_eq!(text, "{\"cursor\":\"c\",\"time\":\"1970-01-01T00:00:01.500Z\"}");
    }
}
