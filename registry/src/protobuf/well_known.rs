//! Files that need not be supplied.

use prost_types::FileDescriptorProto;
use protox::file::{FileResolver, GoogleFileResolver};

/// The common types of `google/type`: their public interface, without its documentation.
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

/// A file of Protobuf itself. Nobody may put another one in its place.
pub(super) fn standard(name: &str) -> Option<FileDescriptorProto> {
    let file = GoogleFileResolver::new().open_file(name).ok()?;
    Some(file.into())
}

/// The text of a common file, where its author did not supply it.
pub(super) fn common(name: &str) -> Option<&'static str> {
    COMMON.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Whether a file is one that every registry has.
pub(crate) fn is_shared(name: &str) -> bool {
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
        assert!(standard("google/protobuf/nonsense.proto").is_none());
    }
}
