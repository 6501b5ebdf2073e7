//! Registry messages in proto3 JSON, one line each. Fields with their default value are included.

use std::sync::LazyLock;

use anyhow::{Context, anyhow};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use tidings_registry::proto::DESCRIPTORS;

static POOL: LazyLock<Result<DescriptorPool, prost_reflect::DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS));

/// Encodes a message of `tidings.registry.v1`, by its name.
pub fn line(name: &str, message: &impl Message) -> anyhow::Result<String> {
    let pool = POOL.as_ref().map_err(|error| anyhow!("our own descriptors: {error}"))?;
    let full_name = format!("tidings.registry.v1.{name}");
    let descriptor =
        pool.get_message_by_name(&full_name).with_context(|| format!("no message {full_name}"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let mut json = Vec::new();
    let options = SerializeOptions::new().skip_default_fields(false);
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)?;
    Ok(String::from_utf8(json)?)
}

#[cfg(test)]
mod tests {
    use tidings_registry::proto::v1::{Bump, CompatibilityReport, Verdict, WatchRegistryResponse};

    use super::*;

    #[test]
    fn enums_have_their_names_and_defaults_are_there() {
        let report = CompatibilityReport {
            backward: Verdict::Compatible.into(),
            forward: Verdict::Unproven.into(),
            required_bump: Bump::Minor.into(),
            ..CompatibilityReport::default()
        };
        let json: serde_json::Value =
            serde_json::from_str(&line("CompatibilityReport", &report).unwrap()).unwrap();
        assert_eq!(json["backward"], "VERDICT_COMPATIBLE");
        assert_eq!(json["forward"], "VERDICT_UNPROVEN");
        assert_eq!(json["requiredBump"], "BUMP_MINOR");
        assert_eq!(json["findings"], serde_json::json!([]));
        assert_eq!(json["totalFindings"], 0);
    }

    #[test]
    fn large_numbers_are_text_as_the_mapping_has_it() {
        let change =
            WatchRegistryResponse { revision: 1 << 60, ..WatchRegistryResponse::default() };
        let json = line("WatchRegistryResponse", &change).unwrap();
        assert!(json.contains("\"revision\":\"1152921504606846976\""), "{json}");
    }
}
