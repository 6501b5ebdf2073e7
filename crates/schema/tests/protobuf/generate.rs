//! Random schemas with all features of Protobuf, as `.proto` texts and as descriptors for a
//! decoder.
//!
//! The decoder supports only proto2, so it gets a **twin**: the same messages in proto2 with every
//! feature resolved. The resolution is independent of the registry's.

use std::fmt::Write;

use prost::Message as _;
use prost_reflect::{DescriptorPool, EnumDescriptor, MessageDescriptor};
use prost_types::field_descriptor_proto;

use super::model::Chance;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    Proto2,
    Proto3,
    Edition,
}

/// The label, which is written if the syntax has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    Singular,
    Optional,
    Required,
    Repeated,
    Map(&'static str),
    /// A member of the first or the second oneof.
    Oneof(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Scalar(&'static str),
    Message(usize),
    Enum(usize),
    /// A well-known message.
    WellKnown(&'static str),
}

/// Declared features. `None` is inherited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    pub implicit: Option<bool>,
    pub closed: Option<bool>,
    pub packed: Option<bool>,
    pub utf8: Option<bool>,
    pub delimited: Option<bool>,
    pub legacy_json: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub number: u32,
    pub name: String,
    pub json_name: Option<String>,
    pub kind: Type,
    pub label: Label,
    pub default: Option<u8>,
    pub features: Features,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub name: String,
    pub fields: Vec<Field>,
    pub reserved: Vec<(u32, String)>,
    /// Whether it is declared inside the previous message.
    pub nested: bool,
    /// Numbers of its extensions, each an int32.
    pub extensions: Vec<u32>,
    pub legacy_json: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    pub name: String,
    pub values: Vec<(String, i32)>,
    /// Whether it is declared in the imported file, which has its own syntax.
    pub imported: bool,
    pub features: Features,
}

/// A file with an imported file. The first message is the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub syntax: Syntax,
    pub imported: Syntax,
    pub features: Features,
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
}

/// The path of the imported file.
pub const IMPORTED: &str = "other.proto";

pub const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
    "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
];
pub const WELL_KNOWN: [&str; 10] = [
    "Empty",
    "Timestamp",
    "Duration",
    "Struct",
    "Value",
    "ListValue",
    "Any",
    "FieldMask",
    "Int32Value",
    "StringValue",
];

/// Replaces `google.protobuf.Empty` in a twin.
const EMPTY: &str = "Nothing";

/// The variant of a file's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Source,
    /// With `raw`, strings that are not checked to be UTF-8 are bytes.
    Twin {
        raw: bool,
    },
}

impl File {
    /// The texts of the file and of the imported file.
    pub fn texts(&self) -> (String, String) {
        (self.main(Variant::Source), self.other(Variant::Source))
    }

    /// The event for the decoder. `None` if proto2 cannot express it. With `raw`, strings that are
    /// not checked to be UTF-8 are bytes, so that they can have invalid text.
    pub fn twin(&self, raw: bool) -> Option<MessageDescriptor> {
        let variant = Variant::Twin { raw };
        let files = [(IMPORTED, self.other(variant)), ("main.proto", self.main(variant))];
        let resolver = Memory(files.to_vec());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true).open_file("main.proto").ok()?;
        let mut set = compiler.file_descriptor_set();
        for file in &mut set.file {
            if file.name() == "main.proto" {
                file.message_type.iter_mut().for_each(|message| self.delimit(message));
            }
        }
        let pool = DescriptorPool::decode(set.encode_to_vec().as_slice()).ok()?;
        pool.get_message_by_name(&format!("t.{}", self.messages.first()?.name))
    }

    /// Makes groups of delimited fields.
    fn delimit(&self, message: &mut prost_types::DescriptorProto) {
        use field_descriptor_proto::Type as DescriptorType;
        let message_model = self.messages.iter().find(|declared| declared.name == message.name());
        for field in &mut message.field {
            let declared = message_model.and_then(|declared| {
                declared
                    .fields
                    .iter()
                    .find(|message_model| i32::try_from(message_model.number) == Ok(field.number()))
            });
            if declared.is_some_and(|field| self.is_delimited(field)) {
                field.set_type(DescriptorType::Group);
            }
        }
        message.nested_type.iter_mut().for_each(|nested| self.delimit(nested));
    }

    fn is_delimited(&self, field: &Field) -> bool {
        let message = matches!(field.kind, Type::Message(_) | Type::WellKnown(_));
        self.syntax == Syntax::Edition
            && message
            && !matches!(field.label, Label::Map(_))
            && field.features.delimited.or(self.features.delimited).unwrap_or(false)
    }

    /// Whether an enum is closed: unknown numbers are kept as unknown fields.
    pub fn is_closed(&self, kind: &EnumDescriptor) -> bool {
        self.enums.iter().any(|declared| {
            declared.name == kind.name()
                && kind.parent_file().package_name() == "t"
                && self.closed(declared)
        })
    }

    fn closed(&self, kind: &Enum) -> bool {
        match if kind.imported { self.imported } else { self.syntax } {
            Syntax::Proto2 => true,
            Syntax::Proto3 => false,
            Syntax::Edition => {
                let around = self.features.closed.filter(|_| !kind.imported);
                kind.features.closed.or(around).unwrap_or(false)
            }
        }
    }

    fn is_packed(&self, field: &Field) -> bool {
        match self.syntax {
            Syntax::Proto2 => field.features.packed.unwrap_or(false),
            Syntax::Proto3 => field.features.packed.unwrap_or(true),
            Syntax::Edition => field.features.packed.or(self.features.packed).unwrap_or(true),
        }
    }

    /// Whether text must be UTF-8.
    fn is_checked(&self, field: &Field) -> bool {
        match self.syntax {
            Syntax::Proto2 => false,
            Syntax::Proto3 => true,
            Syntax::Edition => field.features.utf8.or(self.features.utf8).unwrap_or(true),
        }
    }

    pub fn packs(field: &Field) -> bool {
        let packs = !matches!(
            field.kind,
            Type::Message(_) | Type::WellKnown(_) | Type::Scalar("string" | "bytes")
        );
        packs && field.label == Label::Repeated
    }

    fn head(syntax: Syntax, variant: Variant) -> String {
        let syntax = match (variant, syntax) {
            (Variant::Twin { .. }, _) | (_, Syntax::Proto2) => "syntax = \"proto2\";",
            (_, Syntax::Proto3) => "syntax = \"proto3\";",
            (_, Syntax::Edition) => "edition = \"2023\";",
        };
        format!("{syntax}\npackage t;\n")
    }

    fn other(&self, variant: Variant) -> String {
        let mut text = Self::head(self.imported, variant);
        for kind in self.enums.iter().filter(|kind| kind.imported) {
            Self::write_enum(kind, self.imported, variant, &mut text);
        }
        text
    }

    fn main(&self, variant: Variant) -> String {
        let mut text = Self::head(self.syntax, variant);
        if self.enums.iter().any(|kind| kind.imported) {
            let _ = writeln!(text, "import \"{IMPORTED}\";");
        }
        let names = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"];
        for name in names {
            let is_used =
                self.messages.iter().flat_map(|message| &message.fields).any(
                    |field| matches!(&field.kind, Type::WellKnown(kind) if file_of(kind) == name),
                );
            if is_used {
                let _ = writeln!(text, "import \"google/protobuf/{name}.proto\";");
            }
        }
        if variant == Variant::Source && self.syntax == Syntax::Edition {
            for (name, value) in self.features.written() {
                let _ = writeln!(text, "option features.{name} = {value};");
            }
        }
        if variant != Variant::Source {
            let _ = writeln!(text, "message {EMPTY} {{}}");
        }
        for kind in self.enums.iter().filter(|kind| !kind.imported) {
            Self::write_enum(kind, self.syntax, variant, &mut text);
        }
        for (at, message) in self.messages.iter().enumerate() {
            if !self.is_nested(at) {
                self.write_message(at, message, variant, &mut text);
            }
        }
        for message in self.messages.iter().filter(|message| self.extends(message)) {
            for number in &message.extensions {
                let label = if variant == Variant::Source && self.syntax == Syntax::Edition {
                    ""
                } else {
                    "optional "
                };
                let path = self.path(message);
                let _ = writeln!(
                    text,
                    "extend {path} {{\n  {label}int32 ext_{}_{number} = {number};\n}}",
                    message.name.to_lowercase()
                );
            }
        }
        text
    }

    fn extends(&self, message: &Message) -> bool {
        self.syntax != Syntax::Proto3 && !message.extensions.is_empty()
    }

    fn is_nested(&self, at: usize) -> bool {
        at == 2 && self.messages[at].nested
    }

    fn path(&self, message: &Message) -> String {
        match self.messages.iter().position(|declared| declared.name == message.name) {
            Some(at) if self.is_nested(at) => {
                format!("{}.{}", self.messages[at - 1].name, message.name)
            }
            _ => message.name.clone(),
        }
    }

    fn write_enum(kind: &Enum, syntax: Syntax, variant: Variant, text: &mut String) {
        let _ = writeln!(text, "enum {} {{", kind.name);
        if let (Variant::Source, Syntax::Edition, Some(closed)) =
            (variant, syntax, kind.features.closed)
        {
            let value = if closed { "CLOSED" } else { "OPEN" };
            let _ = writeln!(text, "  option features.enum_type = {value};");
        }
        for (name, number) in &kind.values {
            let _ = writeln!(text, "  {name} = {number};");
        }
        text.push_str("}\n");
    }

    fn write_message(&self, at: usize, message: &Message, variant: Variant, text: &mut String) {
        let _ = writeln!(text, "message {} {{", message.name);
        if variant == Variant::Source && self.syntax == Syntax::Edition {
            let features = Features { legacy_json: message.legacy_json, ..Features::default() };
            for (name, value) in features.written() {
                let _ = writeln!(text, "  option features.{name} = {value};");
            }
        }
        let unused = message.reserved.iter().filter(|(number, name)| {
            message.fields.iter().all(|field| field.number != *number && field.name != *name)
        });
        for (number, name) in unused {
            let _ = writeln!(text, "  reserved {number};");
            if !(variant == Variant::Source && self.syntax == Syntax::Edition) {
                let _ = writeln!(text, "  reserved \"{name}\";");
            }
        }
        if self.extends(message) {
            text.push_str("  extensions 100 to 110;\n");
        }
        for oneof in 0..2 {
            let mut members =
                message.fields.iter().filter(|field| field.label == Label::Oneof(oneof)).peekable();
            if members.peek().is_some() {
                let members: String = members.map(|field| self.line(field, variant)).collect();
                let _ = writeln!(text, "  oneof choice{oneof} {{\n{members}  }}");
            }
        }
        for field in message.fields.iter().filter(|field| !matches!(field.label, Label::Oneof(_))) {
            text.push_str(&self.line(field, variant));
        }
        if let Some(inner) = self.messages.get(at + 1).filter(|_| self.is_nested(at + 1)) {
            self.write_message(at + 1, inner, variant, text);
        }
        text.push_str("}\n");
    }

    fn type_name(&self, field: &Field, variant: Variant) -> String {
        match &field.kind {
            Type::Scalar("string")
                if variant == Variant::Twin { raw: true } && !self.is_checked(field) =>
            {
                "bytes".to_owned()
            }
            Type::Scalar(name) => (*name).to_owned(),
            Type::Message(at) => self.path(&self.messages[*at]),
            Type::Enum(at) => self.enums[*at].name.clone(),
            // The decoder rejects unknown fields only in an Empty.
            Type::WellKnown("Empty") if variant != Variant::Source => EMPTY.to_owned(),
            Type::WellKnown(name) => format!("google.protobuf.{name}"),
        }
    }

    fn line(&self, field: &Field, variant: Variant) -> String {
        let kind = self.type_name(field, variant);
        let twin = variant != Variant::Source;
        let labelled = twin || self.syntax == Syntax::Proto2;
        let edition = !twin && self.syntax == Syntax::Edition;
        let required = self.syntax != Syntax::Proto3;
        let label = match field.label {
            Label::Map(key) => format!("map<{key}, {kind}>"),
            Label::Repeated => format!("repeated {kind}"),
            Label::Oneof(_) => kind,
            _ if edition => kind,
            Label::Optional => format!("optional {kind}"),
            Label::Required if labelled && required => format!("required {kind}"),
            Label::Singular | Label::Required if labelled => format!("optional {kind}"),
            Label::Singular | Label::Required => kind,
        };
        let mut options = Vec::new();
        if let Some(name) = &field.json_name {
            options.push(format!("json_name = \"{name}\""));
        }
        let plain = matches!(field.label, Label::Singular | Label::Optional);
        let scalar = matches!(field.kind, Type::Scalar(_) | Type::Enum(_));
        if let (Some(default), true, Type::Scalar(name)) = (
            field.default,
            plain && self.syntax != Syntax::Proto3 && !self.is_implicit(field),
            &field.kind,
        ) {
            let default = match *name {
                "bool" => (default == 1).to_string(),
                "string" | "bytes" => format!("\"{default}\""),
                _ => default.to_string(),
            };
            options.push(format!("default = {default}"));
        }
        if Self::packs(field) {
            if twin {
                options.push(format!("packed = {}", self.is_packed(field)));
            } else if let (Some(packed), false) = (field.features.packed, edition) {
                options.push(format!("packed = {packed}"));
            }
        }
        if edition {
            if field.label == Label::Required {
                options.push("features.field_presence = LEGACY_REQUIRED".to_owned());
            }
            let features = Features {
                implicit: field.features.implicit.filter(|_| plain && scalar),
                closed: None,
                packed: field.features.packed.filter(|_| Self::packs(field)),
                utf8: field.features.utf8.filter(|_| self.has_text(field)),
                delimited: field
                    .features
                    .delimited
                    .filter(|_| !scalar && !matches!(field.label, Label::Map(_))),
                legacy_json: None,
            };
            options.extend(
                features.written().map(|(name, value)| format!("features.{name} = {value}")),
            );
        }
        let options =
            if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
        format!("  {label} {} = {}{options};\n", field.name, field.number)
    }

    fn has_text(&self, field: &Field) -> bool {
        field.kind == Type::Scalar("string") || field.label == Label::Map("string")
    }

    fn is_implicit(&self, field: &Field) -> bool {
        self.syntax == Syntax::Edition
            && field.features.implicit.or(self.features.implicit).unwrap_or(false)
    }
}

impl Features {
    fn written(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let named = |set: Option<bool>, name, [yes, no]: [&'static str; 2]| {
            set.map(|set| (name, if set { yes } else { no }))
        };
        [
            named(self.implicit, "field_presence", ["IMPLICIT", "EXPLICIT"]),
            named(self.closed, "enum_type", ["CLOSED", "OPEN"]),
            named(self.packed, "repeated_field_encoding", ["PACKED", "EXPANDED"]),
            named(self.utf8, "utf8_validation", ["VERIFY", "NONE"]),
            named(self.delimited, "message_encoding", ["DELIMITED", "LENGTH_PREFIXED"]),
            named(self.legacy_json, "json_format", ["LEGACY_BEST_EFFORT", "ALLOW"]),
        ]
        .into_iter()
        .flatten()
    }

    pub fn random(chance: &mut Chance, odds: usize) -> Self {
        let mut random_value = || {
            let set = chance.one_in(odds);
            let value = chance.one_in(2);
            set.then_some(value)
        };
        Self {
            implicit: random_value(),
            closed: random_value(),
            packed: random_value(),
            utf8: random_value(),
            delimited: random_value(),
            legacy_json: random_value(),
        }
    }
}

fn file_of(well_known: &str) -> &'static str {
    match well_known {
        "Empty" => "empty",
        "Timestamp" => "timestamp",
        "Duration" => "duration",
        "Any" => "any",
        "FieldMask" => "field_mask",
        "Struct" | "Value" | "ListValue" => "struct",
        _ => "wrappers",
    }
}

struct Memory(Vec<(&'static str, String)>);

impl protox::file::FileResolver for Memory {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        match self.0.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => protox::file::File::from_source(name, text),
            None => protox::file::GoogleFileResolver::new().open_file(name),
        }
    }
}
