//! Our messages as proto3 JSON.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Serializer;

use crate::proto::DESCRIPTORS;

/// What our messages look like.
pub struct Schema(DescriptorPool);

impl Schema {
    /// Of what is compiled in.
    pub fn new() -> Self {
        // A test sees that it decodes.
        Self(DescriptorPool::decode(DESCRIPTORS).unwrap_or_default())
    }

    /// A message of this name, in one line. Numbers that are 0 and texts that are empty are there too: the first offset is
    /// as good as any other.
    pub fn text(&self, name: &str, message: &impl Message) -> String {
        let options = SerializeOptions::new().skip_default_fields(false);
        let written = self.0.get_message_by_name(name).and_then(|descriptor| {
            let encoded = message.encode_to_vec();
            let message = DynamicMessage::decode(descriptor, encoded.as_slice()).ok()?;
            let mut json = Serializer::new(Vec::new());
            message.serialize_with_options(&mut json, &options).ok()?;
            String::from_utf8(json.into_inner()).ok()
        });
        written.unwrap_or_else(|| "{}".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::events::v1::{CaughtUp, PublishResponse, PublishResult};

    #[test]
    fn messages_are_written_whole() {
        let result = PublishResult { id: "1".into(), cursor: "c".into(), ..Default::default() };
        let text = Schema::new()
            .text("tidings.events.v1.PublishResponse", &PublishResponse { results: vec![result] });
        assert_eq!(
            text,
            "{\"results\":[{\"id\":\"1\",\"offset\":\"0\",\"keyVersion\":\"0\",\"duplicate\":false,\
             \"cursor\":\"c\",\"schemaVersion\":\"\",\"durability\":\"DURABILITY_UNSPECIFIED\",\"position\":\"0\"}]}"
        );
        let time = Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 });
        let caught_up = CaughtUp { cursor: "c".into(), time };
        let text = Schema::new().text("tidings.events.v1.CaughtUp", &caught_up);
        assert_eq!(text, "{\"cursor\":\"c\",\"time\":\"1970-01-01T00:00:01.500Z\"}");
    }
}
