//! The words of the registry's enums: as flags and the manifest take them, and as people read them.

use clap::ValueEnum;
use tidings_registry::proto::v1;
use tidings_schema::level::Level;
use tidings_schema::{
    finding::{ContentModel, Surface},
    schema::Format,
};

/// The format of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatWord {
    /// .proto text, or a serialized FileDescriptorSet
    Protobuf,
    /// JSON Schema, drafts 4 to 2020-12
    Json,
    /// An Avro schema in JSON (.avsc)
    Avro,
}

/// What a new version promises to those who are already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelWord {
    /// Nothing
    None,
    /// New readers read what the version before wrote: replays work
    Backward,
    /// The same with every version of the major line
    BackwardTransitive,
    /// Readers of the version before, running now, read what the new one writes
    Forward,
    /// The same with every version of the major line
    ForwardTransitive,
    /// Backward and forward
    Full,
    /// Both, with every version of the major line: what "^1" promises
    FullTransitive,
}

/// How the undeclared properties of an open JSON object are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContentModelWord {
    /// As absent: an optional property may be added, and taken away
    Lenient,
    /// As anything: somebody may send it already, with another type
    Strict,
}

/// Which encodings of a Protobuf message are part of its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SurfaceWord {
    /// The binary form and the JSON mapping: names of fields and enum values count
    WireJson,
    /// The binary form alone
    Wire,
}

impl From<FormatWord> for Format {
    fn from(word: FormatWord) -> Self {
        match word {
            FormatWord::Protobuf => Self::Protobuf,
            FormatWord::Json => Self::Json,
            FormatWord::Avro => Self::Avro,
        }
    }
}

impl From<Format> for FormatWord {
    fn from(format: Format) -> Self {
        match format {
            Format::Protobuf => Self::Protobuf,
            Format::Json => Self::Json,
            Format::Avro => Self::Avro,
        }
    }
}

impl From<LevelWord> for Level {
    fn from(word: LevelWord) -> Self {
        match word {
            LevelWord::None => Self::None,
            LevelWord::Backward => Self::Backward,
            LevelWord::BackwardTransitive => Self::BackwardTransitive,
            LevelWord::Forward => Self::Forward,
            LevelWord::ForwardTransitive => Self::ForwardTransitive,
            LevelWord::Full => Self::Full,
            LevelWord::FullTransitive => Self::FullTransitive,
        }
    }
}

impl From<ContentModelWord> for ContentModel {
    fn from(word: ContentModelWord) -> Self {
        match word {
            ContentModelWord::Lenient => Self::Lenient,
            ContentModelWord::Strict => Self::Strict,
        }
    }
}

impl From<SurfaceWord> for Surface {
    fn from(word: SurfaceWord) -> Self {
        match word {
            SurfaceWord::WireJson => Self::WireJson,
            SurfaceWord::Wire => Self::Wire,
        }
    }
}

/// The number of a flag's word on the wire; 0, which is "not said", where there was no flag.
fn number<Word: Copy, Value: From<Word>, Proto: From<Value> + Into<i32>>(
    word: Option<Word>,
) -> i32 {
    word.map_or(0, |word| Proto::from(Value::from(word)).into())
}

/// A format on the wire.
pub fn wire_format(format: Format) -> i32 {
    v1::SchemaFormat::from(format).into()
}

/// The level of a flag on the wire.
pub fn level_number(word: Option<LevelWord>) -> i32 {
    number::<_, Level, v1::Compatibility>(word)
}

/// The content model of a flag on the wire.
pub fn content_model_number(word: Option<ContentModelWord>) -> i32 {
    number::<_, ContentModel, v1::ContentModel>(word)
}

/// The surface of a flag on the wire.
pub fn surface_number(word: Option<SurfaceWord>) -> i32 {
    number::<_, Surface, v1::Surface>(word)
}

/// A schema of a format as people call it, with its article.
pub fn a_schema(format: Format) -> &'static str {
    match format {
        Format::Protobuf => "a Protobuf schema",
        Format::Json => "a JSON Schema",
        Format::Avro => "an Avro schema",
    }
}

/// A format of the wire as flags call it; empty where it is not said.
pub fn format(format: v1::SchemaFormat) -> String {
    word(format.as_str_name(), "SCHEMA_FORMAT_")
}

/// A compatibility as flags call it; empty where it is not said.
pub fn level(level: v1::Compatibility) -> String {
    word(level.as_str_name(), "COMPATIBILITY_")
}

/// A content model as flags call it; empty where it is not said.
pub fn content_model(model: v1::ContentModel) -> String {
    word(model.as_str_name(), "CONTENT_MODEL_")
}

/// A surface as flags call it; empty where it is not said.
pub fn surface(surface: v1::Surface) -> String {
    word(surface.as_str_name(), "SURFACE_")
}

/// The state of a version; empty where it is not said.
pub fn state(state: v1::VersionState) -> String {
    word(state.as_str_name(), "VERSION_STATE_")
}

/// A bump as people read it; empty where it is not said.
pub fn bump(bump: v1::Bump) -> String {
    word(bump.as_str_name(), "BUMP_").to_uppercase()
}

/// A verdict as people read it.
pub fn verdict(verdict: v1::Verdict) -> &'static str {
    match verdict {
        v1::Verdict::Unspecified => "not compared",
        v1::Verdict::Compatible => "compatible",
        v1::Verdict::Incompatible => "INCOMPATIBLE",
        v1::Verdict::Unproven => "UNPROVEN",
    }
}

/// A name of the contract without its prefix, in kebab case.
fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        said => said.to_ascii_lowercase().replace('_', "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_the_words_of_the_contract() {
        let flag = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().unwrap().get_name().to_owned()
        };
        for word in LevelWord::value_variants() {
            let proto = v1::Compatibility::try_from(level_number(Some(*word))).unwrap();
            assert_eq!(flag(&|| word.to_possible_value()), level(proto));
        }
        for word in ContentModelWord::value_variants() {
            let proto = v1::ContentModel::try_from(content_model_number(Some(*word))).unwrap();
            assert_eq!(flag(&|| word.to_possible_value()), content_model(proto));
        }
        for word in SurfaceWord::value_variants() {
            let proto = v1::Surface::try_from(surface_number(Some(*word))).unwrap();
            assert_eq!(flag(&|| word.to_possible_value()), surface(proto));
        }
        assert_eq!(level(v1::Compatibility::Unspecified), "");
        assert_eq!(level_number(None), 0);
    }
}
