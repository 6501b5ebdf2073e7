//! Files that a definition can import without supplying them.

use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use prost_types::FileDescriptorProto;
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::parser_input::ParserInput;

/// The file that declares the descriptor messages.
pub(super) const DESCRIPTOR: &str = "google/protobuf/descriptor.proto";

/// The descriptors of descriptors, from protoc 35: the linker's own lack the features of edition
/// 2024 and the targets of options.
static META: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::new();
    let text = ParserInput::of(include_str!("google/protobuf/descriptor.proto"), None).text;
    let linked =
        File::from_source(DESCRIPTOR, &text).map_err(|error| error.to_string()).and_then(|file| {
            let mut file = FileDescriptorProto::from(file);
            file.source_code_info = None;
            pool.add_file_descriptor_proto(file).map_err(|error| error.to_string())
        });
    debug_assert_eq!(linked, Ok(()), "the bundled descriptor.proto parses");
    pool
});

/// The pool with the descriptors of descriptors.
pub(super) fn meta() -> &'static DescriptorPool {
    &META
}

/// The descriptor of a descriptor message.
pub(super) fn meta_message(name: &str) -> Option<MessageDescriptor> {
    META.get_message_by_name(name)
}

/// The common types of `google/type` and the language features, without their documentation.
const COMMON: [(&str, &str); 20] = [
    ("google/type/calendar_period.proto", include_str!("google/type/calendar_period.proto")),
    ("google/type/color.proto", include_str!("google/type/color.proto")),
    ("google/type/date.proto", include_str!("google/type/date.proto")),
    ("google/type/datetime.proto", include_str!("google/type/datetime.proto")),
    ("google/type/dayofweek.proto", include_str!("google/type/dayofweek.proto")),
    ("google/type/decimal.proto", include_str!("google/type/decimal.proto")),
    ("google/type/expr.proto", include_str!("google/type/expr.proto")),
    ("google/type/fraction.proto", include_str!("google/type/fraction.proto")),
    ("google/type/interval.proto", include_str!("google/type/interval.proto")),
    ("google/type/latlng.proto", include_str!("google/type/latlng.proto")),
    ("google/type/localized_text.proto", include_str!("google/type/localized_text.proto")),
    ("google/type/money.proto", include_str!("google/type/money.proto")),
    ("google/type/month.proto", include_str!("google/type/month.proto")),
    ("google/type/phone_number.proto", include_str!("google/type/phone_number.proto")),
    ("google/type/postal_address.proto", include_str!("google/type/postal_address.proto")),
    ("google/type/quaternion.proto", include_str!("google/type/quaternion.proto")),
    ("google/type/timeofday.proto", include_str!("google/type/timeofday.proto")),
    ("google/protobuf/cpp_features.proto", include_str!("google/protobuf/cpp_features.proto")),
    ("google/protobuf/go_features.proto", include_str!("google/protobuf/go_features.proto")),
    ("google/protobuf/java_features.proto", include_str!("google/protobuf/java_features.proto")),
];

/// A file of Protobuf itself, decoded and encoded. It cannot be replaced by a supplied file.
pub(super) fn standard(name: &str) -> Option<(FileDescriptorProto, Bytes)> {
    if name == DESCRIPTOR {
        let file = META.get_file_by_name(name)?;
        return Some((file.file_descriptor_proto().clone(), file.encode_to_vec().into()));
    }
    let file: FileDescriptorProto = GoogleFileResolver::new().open_file(name).ok()?.into();
    let encoded = file.encode_to_vec().into();
    Some((file, encoded))
}

/// The text of a common file. A supplied file with the same name takes precedence.
pub(super) fn common(name: &str) -> Option<&'static str> {
    COMMON.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Whether every registry has the file.
pub fn is_shared(name: &str) -> bool {
    common(name).is_some() || name.starts_with("google/protobuf/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_files_parse() {
        for (name, text) in COMMON {
            protox::file::File::from_source(name, text).expect(name);
        }
        assert!(standard("google/protobuf/timestamp.proto").is_some());
        assert!(standard(DESCRIPTOR).is_some());
        assert!(meta_message("google.protobuf.FeatureSet.VisibilityFeature").is_some());
        assert!(standard("google/protobuf/nonsense.proto").is_none());
    }
}
