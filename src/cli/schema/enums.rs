//! Names of the registry's enum values: in flags and the manifest, and in output for people.

use clap::ValueEnum;
use tidings_registry::proto::v1;
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Surface},
    schema::Format,
};

/// The format of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// .proto text, or a serialized FileDescriptorSet
    Protobuf,
    /// JSON Schema, drafts 4 to 2020-12
    Json,
    /// An Avro schema in JSON (.avsc)
    Avro,
}

/// The compatibility of new versions with existing ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompatibilityArg {
    /// No compatibility
    None,
    /// New readers read data of the previous version: replays work
    Backward,
    /// The same, with every version of the major line
    BackwardTransitive,
    /// Running readers of the previous version read data of the new one
    Forward,
    /// The same, with every version of the major line
    ForwardTransitive,
    /// Backward and forward
    Full,
    /// Both, with every version of the major line, as "^1" requires
    FullTransitive,
}

/// How the undeclared properties of an open JSON object are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContentModelArg {
    /// As absent: an optional property may be added and removed
    Lenient,
    /// As any value: a writer may already send it, with another type
    Strict,
}

/// Which encodings of a Protobuf message are part of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SurfaceArg {
    /// The binary form and the JSON mapping: names of fields and enum values matter
    WireJson,
    /// The binary form alone
    Wire,
}

impl From<FormatArg> for Format {
    fn from(flag: FormatArg) -> Self {
        match flag {
            FormatArg::Protobuf => Self::Protobuf,
            FormatArg::Json => Self::Json,
            FormatArg::Avro => Self::Avro,
        }
    }
}

impl From<Format> for FormatArg {
    fn from(format: Format) -> Self {
        match format {
            Format::Protobuf => Self::Protobuf,
            Format::Json => Self::Json,
            Format::Avro => Self::Avro,
        }
    }
}

impl From<CompatibilityArg> for Level {
    fn from(flag: CompatibilityArg) -> Self {
        match flag {
            CompatibilityArg::None => Self::None,
            CompatibilityArg::Backward => Self::Backward,
            CompatibilityArg::BackwardTransitive => Self::BackwardTransitive,
            CompatibilityArg::Forward => Self::Forward,
            CompatibilityArg::ForwardTransitive => Self::ForwardTransitive,
            CompatibilityArg::Full => Self::Full,
            CompatibilityArg::FullTransitive => Self::FullTransitive,
        }
    }
}

impl From<ContentModelArg> for ContentModel {
    fn from(flag: ContentModelArg) -> Self {
        match flag {
            ContentModelArg::Lenient => Self::Lenient,
            ContentModelArg::Strict => Self::Strict,
        }
    }
}

impl From<SurfaceArg> for Surface {
    fn from(flag: SurfaceArg) -> Self {
        match flag {
            SurfaceArg::WireJson => Self::WireJson,
            SurfaceArg::Wire => Self::Wire,
        }
    }
}

/// The wire number of a flag's value; 0, unspecified, without the flag.
fn number<FlagValue: Copy, Value: From<FlagValue>, Proto: From<Value> + Into<i32>>(
    flag: Option<FlagValue>,
) -> i32 {
    flag.map_or(0, |flag| Proto::from(Value::from(flag)).into())
}

/// The wire number of a format.
pub fn wire_format(format: Format) -> i32 {
    v1::SchemaFormat::from(format).into()
}

/// The wire number of a compatibility flag.
pub fn compatibility_number(flag: Option<CompatibilityArg>) -> i32 {
    number::<_, Level, v1::Compatibility>(flag)
}

/// The wire number of a content model flag.
pub fn content_model_number(flag: Option<ContentModelArg>) -> i32 {
    number::<_, ContentModel, v1::ContentModel>(flag)
}

/// The wire number of a surface flag.
pub fn surface_number(flag: Option<SurfaceArg>) -> i32 {
    number::<_, Surface, v1::Surface>(flag)
}

/// The name of a format's schemas, with its article.
pub fn a_schema(format: Format) -> &'static str {
    match format {
        Format::Protobuf => "a Protobuf schema",
        Format::Json => "a JSON Schema",
        Format::Avro => "an Avro schema",
    }
}

/// The flag value of a format; empty if unspecified.
pub fn format(format: v1::SchemaFormat) -> String {
    short_name(format.as_str_name(), "SCHEMA_FORMAT_")
}

/// The flag value of a compatibility; empty if unspecified.
pub fn compatibility(compatibility: v1::Compatibility) -> String {
    short_name(compatibility.as_str_name(), "COMPATIBILITY_")
}

/// The flag value of a content model; empty if unspecified.
pub fn content_model(model: v1::ContentModel) -> String {
    short_name(model.as_str_name(), "CONTENT_MODEL_")
}

/// The flag value of a surface; empty if unspecified.
pub fn surface(surface: v1::Surface) -> String {
    short_name(surface.as_str_name(), "SURFACE_")
}

/// The name of a version state; empty if unspecified.
pub fn state(state: v1::VersionState) -> String {
    short_name(state.as_str_name(), "VERSION_STATE_")
}

/// The name of a bump; empty if unspecified.
pub fn bump(bump: v1::Bump) -> String {
    short_name(bump.as_str_name(), "BUMP_").to_uppercase()
}

/// The name of a verdict.
pub fn verdict(verdict: v1::Verdict) -> &'static str {
    match verdict {
        v1::Verdict::Unspecified => "not compared",
        v1::Verdict::Compatible => "compatible",
        v1::Verdict::Incompatible => "INCOMPATIBLE",
        v1::Verdict::Unproven => "UNPROVEN",
    }
}

/// The name of an enum value without its prefix, in kebab case.
fn short_name(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        name => name.to_ascii_lowercase().replace('_', "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_values_match_the_contract() {
        let flag = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().unwrap().get_name().to_owned()
        };
        for variant in CompatibilityArg::value_variants() {
            let proto = v1::Compatibility::try_from(compatibility_number(Some(*variant))).unwrap();
            assert_eq!(flag(&|| variant.to_possible_value()), compatibility(proto));
        }
        for variant in ContentModelArg::value_variants() {
            let proto = v1::ContentModel::try_from(content_model_number(Some(*variant))).unwrap();
            assert_eq!(flag(&|| variant.to_possible_value()), content_model(proto));
        }
        for variant in SurfaceArg::value_variants() {
            let proto = v1::Surface::try_from(surface_number(Some(*variant))).unwrap();
            assert_eq!(flag(&|| variant.to_possible_value()), surface(proto));
        }
        assert_eq!(compatibility(v1::Compatibility::Unspecified), "");
        assert_eq!(compatibility_number(None), 0);
    }
}
