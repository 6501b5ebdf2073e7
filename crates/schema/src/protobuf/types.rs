//! The model: messages and enums of linked files, with all features resolved.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{
    Cardinality as Label, DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor,
    FieldDescriptor, FileDescriptor, Kind as LinkedKind, MessageDescriptor, Value,
};

use crate::definition::SourceLocation;

use super::{
    features::{Edition, Features, Presence},
    linker_input::JsonNames,
    locations::SourceLocations,
    options::DeclaredOptions,
    ranges::Ranges,
    scalar::{Layout, Scalar},
};

/// All types of the linked files.
#[derive(Debug, Default)]
pub(super) struct Types {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<Enum>,
    message_names: HashMap<String, usize>,
    enum_names: HashMap<String, usize>,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: String,
    /// Fields by number, including extensions.
    pub(super) fields: BTreeMap<u32, Field>,
    pub(super) reserved: Ranges,
    pub(super) reserved_names: Vec<String>,
    pub(super) extension_ranges: Ranges,
    pub(super) message_set: bool,
    pub(super) map_entry: bool,
    pub(super) legacy_json: bool,
    pub(super) options: Vec<u8>,
    pub(super) location: SourceLocation,
}

/// A field of a message, or an extension.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) full_name: String,
    pub(super) json_name: String,
    /// The JSON name that it shares with another field of the message. If set, `json_name` is a
    /// unique replacement.
    pub(super) shared_name: Option<String>,
    pub(super) kind: Kind,
    pub(super) cardinality: Cardinality,
    pub(super) packed: bool,
    /// The oneof that contains the field. Synthetic oneofs do not count.
    pub(super) oneof: Option<String>,
    /// The value of an absent field, for singular fields that are not messages.
    pub(super) default: Option<String>,
    pub(super) extension: bool,
    /// Whether the strings of a string field or a map must be UTF-8.
    pub(super) utf8: bool,
    pub(super) options: Vec<u8>,
    pub(super) location: SourceLocation,
}

/// The type of the values of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    Enum(usize),
    /// Length-delimited.
    Message(usize),
    /// Between a start and an end tag.
    Group(usize),
}

/// Cardinality and presence of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cardinality {
    Implicit,
    Explicit,
    Required,
    Repeated,
    Map,
}

#[derive(Debug)]
pub(super) struct Enum {
    pub(super) name: String,
    pub(super) closed: bool,
    pub(super) legacy_json: bool,
    /// The number of the first value: the default of fields without a custom default.
    pub(super) first: i32,
    /// The values of each number. JSON is written with the name of the first.
    pub(super) values: BTreeMap<i32, Vec<EnumValue>>,
    pub(super) reserved: Ranges,
    pub(super) reserved_names: Vec<String>,
    pub(super) options: Vec<u8>,
    pub(super) location: SourceLocation,
}

#[derive(Debug)]
pub(super) struct EnumValue {
    pub(super) name: String,
    pub(super) options: Vec<u8>,
    pub(super) location: SourceLocation,
}

impl Kind {
    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Scalar(scalar) => scalar.layout(),
            Self::Enum(_) => Layout::Varint,
            Self::Message(_) => Layout::Delimited,
            Self::Group(_) => Layout::Group,
        }
    }

    /// The message index, independent of the layout.
    pub(super) fn message(self) -> Option<usize> {
        match self {
            Self::Message(index) | Self::Group(index) => Some(index),
            Self::Scalar(_) | Self::Enum(_) => None,
        }
    }
}

impl Cardinality {
    pub(super) fn singular(self) -> bool {
        matches!(self, Self::Implicit | Self::Explicit | Self::Required)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Implicit => "singular",
            Self::Explicit => "optional",
            Self::Required => "required",
            Self::Repeated => "repeated",
            Self::Map => "map",
        }
    }
}

impl Types {
    /// Reads the types of linked files.
    pub(super) fn of(
        pool: &DescriptorPool,
        declared: &DeclaredOptions,
        edition: impl Fn(&str) -> Edition,
        locations: &SourceLocations,
    ) -> Self {
        let mut types = Self::default();
        for (index, message) in pool.all_messages().enumerate() {
            types.message_names.insert(message.full_name().to_owned(), index);
        }
        for (index, kind) in pool.all_enums().enumerate() {
            types.enum_names.insert(kind.full_name().to_owned(), index);
        }
        let mut files = HashMap::new();
        let mut features_of_file = |file: &FileDescriptor| {
            *files.entry(file.name().to_owned()).or_insert_with(|| {
                let features = Features::of(edition(file.name()));
                declared
                    .at(file.name(), &[])
                    .map_or(features, |options| features.overridden_by(&options))
            })
        };
        // Parents precede their children in a pool, so the features of a parent are already known.
        let mut features: Vec<Features> = Vec::new();
        for message in pool.all_messages() {
            let inherited = message
                .parent_message()
                .and_then(|parent| {
                    features.get(*types.message_names.get(parent.full_name())?).copied()
                })
                .unwrap_or_else(|| features_of_file(&message.parent_file()));
            let options = declared.at(message.parent_file().name(), message.path());
            let own_features =
                options.as_ref().map_or(inherited, |options| inherited.overridden_by(options));
            features.push(own_features);
            let read = types.read_message(
                &message,
                own_features,
                declared,
                &mut features_of_file,
                locations,
            );
            types.messages.push(read);
        }
        for kind in pool.all_enums() {
            let inherited = kind
                .parent_message()
                .and_then(|parent| {
                    features.get(*types.message_names.get(parent.full_name())?).copied()
                })
                .unwrap_or_else(|| features_of_file(&kind.parent_file()));
            types.enums.push(read_enum(&kind, inherited, declared, locations));
        }
        types.name_map_entries();
        types
    }

    /// Gives the key and the value of map entries, which have no declaration, the name, the
    /// location and the features of the map.
    fn name_map_entries(&mut self) {
        let maps: Vec<(usize, String, SourceLocation, bool)> = self
            .messages
            .iter()
            .flat_map(|message| message.fields.values())
            .filter(|field| field.cardinality == Cardinality::Map)
            .filter_map(|field| {
                Some((
                    field.kind.message()?,
                    field.full_name.clone(),
                    field.location.clone(),
                    field.utf8,
                ))
            })
            .collect();
        for (entry, map, location, utf8) in maps {
            if let Some(entry) = self.messages.get_mut(entry) {
                entry.location.clone_from(&location);
                for field in entry.fields.values_mut() {
                    field.full_name = format!("{map}.{}", field.name);
                    field.location.clone_from(&location);
                    field.utf8 = utf8 && field.kind == Kind::Scalar(Scalar::String);
                }
            }
        }
    }

    /// Sets the shared JSON names of the fields of a file, by field path.
    pub(super) fn set_shared_names(&mut self, file: &FileDescriptor, names: &JsonNames) {
        let mut open: Vec<MessageDescriptor> =
            if names.is_empty() { Vec::new() } else { file.messages().collect() };
        while let Some(message) = open.pop() {
            open.extend(message.child_messages());
            let index = self.message_index(message.full_name());
            let Some(known) = index.and_then(|index| self.messages.get_mut(index)) else {
                continue;
            };
            for field in message.fields() {
                if let Some(known) = known.fields.get_mut(&field.number()) {
                    known.shared_name = names.get(field.path()).cloned();
                }
            }
        }
    }

    pub(super) fn message_index(&self, name: &str) -> Option<usize> {
        self.message_names.get(name).copied()
    }

    pub(super) fn enum_index(&self, name: &str) -> Option<usize> {
        self.enum_names.get(name).copied()
    }

    pub(super) fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    pub(super) fn enumeration(&self, index: usize) -> Option<&Enum> {
        self.enums.get(index)
    }

    /// Whether the default of a field differs from 0, false, the empty string, or the first enum
    /// value.
    pub(super) fn has_custom_default(&self, field: &Field) -> bool {
        let zero = match field.kind {
            Kind::Enum(index) => self.enumeration(index).map_or(0, |kind| kind.first).to_string(),
            Kind::Scalar(Scalar::String | Scalar::Bytes) => "\"\"".to_owned(),
            Kind::Scalar(_) | Kind::Message(_) | Kind::Group(_) => "0".to_owned(),
        };
        field.default.as_ref().is_some_and(|default| *default != zero)
    }

    /// Formats a kind in `.proto` syntax.
    pub(super) fn kind_name(&self, kind: Kind) -> String {
        match kind {
            Kind::Scalar(scalar) => scalar.name().to_owned(),
            Kind::Enum(index) => {
                self.enumeration(index).map_or_else(|| "enum".to_owned(), |kind| kind.name.clone())
            }
            Kind::Message(index) => self
                .message(index)
                .map_or_else(|| "message".to_owned(), |message| message.name.clone()),
            Kind::Group(index) => match self.message(index) {
                Some(message) => format!("delimited {}", message.name),
                None => "group".to_owned(),
            },
        }
    }

    /// Formats the type of a field in `.proto` syntax: `repeated string`, `map<string, shop.Line>`.
    pub(super) fn type_name(&self, field: &Field) -> String {
        let kind = self.kind_name(field.kind);
        match field.cardinality {
            Cardinality::Map => {
                let entry = field.kind.message().and_then(|index| self.message(index));
                let kind_of = |number| {
                    let field = entry.and_then(|entry| entry.fields.get(&number));
                    field.map_or_else(|| "?".to_owned(), |field| self.kind_name(field.kind))
                };
                format!("map<{}, {}>", kind_of(1), kind_of(2))
            }
            Cardinality::Repeated => format!("repeated {kind}"),
            Cardinality::Required => format!("required {kind}"),
            Cardinality::Explicit | Cardinality::Implicit => kind,
        }
    }

    fn read_message(
        &self,
        message: &MessageDescriptor,
        features: Features,
        declared: &DeclaredOptions,
        features_of_file: &mut impl FnMut(&FileDescriptor) -> Features,
        locations: &SourceLocations,
    ) -> Message {
        let options = message.descriptor_proto().options.as_ref();
        let file = message.parent_file();
        let fields = message.fields().map(|field| {
            let options = declared.at(file.name(), field.path());
            self.read_field(&field, features, options, locations.of(file.name(), field.path()))
        });
        let extensions = message.extensions().map(|extension| {
            // An extension inherits the features of its file. An enclosing message has no features
            // that apply to fields.
            let file = extension.parent_file();
            let features = features_of_file(&file);
            let options = declared.at(file.name(), extension.path());
            let location = locations.of(file.name(), extension.path());
            self.read_extension(&extension, features, options, location)
        });
        Message {
            name: message.full_name().to_owned(),
            fields: fields.chain(extensions).map(|field| (field.number, field)).collect(),
            reserved: half_open(message.reserved_ranges()),
            reserved_names: message.reserved_names().map(str::to_owned).collect(),
            extension_ranges: half_open(message.extension_ranges()),
            message_set: options.is_some_and(|options| options.message_set_wire_format()),
            map_entry: message.is_map_entry(),
            legacy_json: features.legacy_json,
            options: declared.at(file.name(), message.path()).map_or_else(Vec::new, encoded),
            location: locations.of(file.name(), message.path()),
        }
    }

    fn read_field(
        &self,
        field: &FieldDescriptor,
        inherited: Features,
        options: Option<DynamicMessage>,
        location: SourceLocation,
    ) -> Field {
        let proto = field.field_descriptor_proto();
        let features =
            options.as_ref().map_or(inherited, |options| inherited.overridden_by(options));
        let kind = self.kind(&field.kind(), field.is_group());
        let cardinality = if field.is_map() {
            Cardinality::Map
        } else {
            match field.cardinality() {
                Label::Repeated => Cardinality::Repeated,
                Label::Required => Cardinality::Required,
                Label::Optional if !field.supports_presence() => Cardinality::Implicit,
                Label::Optional
                    if features.presence == Presence::Implicit
                        && !proto.proto3_optional()
                        && kind.message().is_none()
                        && field.containing_oneof().is_none() =>
                {
                    Cardinality::Implicit
                }
                Label::Optional => Cardinality::Explicit,
            }
        };
        let singular = cardinality.singular() && kind.message().is_none();
        Field {
            number: field.number(),
            name: field.name().to_owned(),
            full_name: field.full_name().to_owned(),
            json_name: field.json_name().to_owned(),
            shared_name: None,
            kind,
            cardinality,
            packed: packed(kind, cardinality, options.as_ref(), features),
            oneof: field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic())
                .map(|oneof| oneof.name().to_owned()),
            default: singular.then(|| default_text(&field.default_value())),
            extension: false,
            utf8: (kind == Kind::Scalar(Scalar::String) || field.is_map()) && features.utf8,
            options: options.map_or_else(Vec::new, encoded),
            location,
        }
    }

    fn read_extension(
        &self,
        field: &ExtensionDescriptor,
        inherited: Features,
        options: Option<DynamicMessage>,
        location: SourceLocation,
    ) -> Field {
        let features =
            options.as_ref().map_or(inherited, |options| inherited.overridden_by(options));
        let kind = self.kind(&field.kind(), field.is_group());
        let cardinality = match field.cardinality() {
            _ if field.is_map() => Cardinality::Map,
            Label::Repeated => Cardinality::Repeated,
            Label::Required => Cardinality::Required,
            Label::Optional => Cardinality::Explicit,
        };
        let singular = cardinality.singular() && kind.message().is_none();
        Field {
            number: field.number(),
            name: field.full_name().to_owned(),
            full_name: field.full_name().to_owned(),
            json_name: field.json_name().to_owned(),
            shared_name: None,
            kind,
            cardinality,
            packed: packed(kind, cardinality, options.as_ref(), features),
            oneof: None,
            default: singular.then(|| default_text(&field.default_value())),
            extension: true,
            utf8: kind == Kind::Scalar(Scalar::String) && features.utf8,
            options: options.map_or_else(Vec::new, encoded),
            location,
        }
    }

    fn kind(&self, kind: &LinkedKind, group: bool) -> Kind {
        Kind::Scalar(match kind {
            LinkedKind::Double => Scalar::Double,
            LinkedKind::Float => Scalar::Float,
            LinkedKind::Int32 => Scalar::Int32,
            LinkedKind::Int64 => Scalar::Int64,
            LinkedKind::Uint32 => Scalar::Uint32,
            LinkedKind::Uint64 => Scalar::Uint64,
            LinkedKind::Sint32 => Scalar::Sint32,
            LinkedKind::Sint64 => Scalar::Sint64,
            LinkedKind::Fixed32 => Scalar::Fixed32,
            LinkedKind::Fixed64 => Scalar::Fixed64,
            LinkedKind::Sfixed32 => Scalar::Sfixed32,
            LinkedKind::Sfixed64 => Scalar::Sfixed64,
            LinkedKind::Bool => Scalar::Bool,
            LinkedKind::String => Scalar::String,
            LinkedKind::Bytes => Scalar::Bytes,
            // Every type of a linked pool has an index; `usize::MAX` is not a valid one.
            LinkedKind::Message(message) => {
                let index = self.message_index(message.full_name()).unwrap_or(usize::MAX);
                return if group { Kind::Group(index) } else { Kind::Message(index) };
            }
            LinkedKind::Enum(kind) => {
                return Kind::Enum(self.enum_index(kind.full_name()).unwrap_or(usize::MAX));
            }
        })
    }
}

/// Describes the JSON form of a well-known type. `None` if it is an object of its fields.
pub(super) fn json_form(name: &str) -> Option<&'static str> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "Any" => "an object with \"@type\"",
        "Timestamp" => "a date and time in RFC 3339",
        "Duration" => "a number of seconds that ends in \"s\"",
        "FieldMask" => "a list of paths in one text",
        "Struct" => "any object",
        "ListValue" => "any array",
        "Value" => "any JSON",
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
        | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => "the bare value",
        _ => return None,
    })
}

/// Names a field at the start of a sentence.
pub(super) fn field_label(field: &Field) -> String {
    if field.extension {
        return format!("Extension {} ({})", field.number, field.full_name);
    }
    let owner = field.full_name.rsplit_once('.').map_or("", |(owner, _)| owner);
    format!("Field {} (\"{}\") of {owner}", field.number, field.name)
}

fn read_enum(
    kind: &EnumDescriptor,
    inherited: Features,
    declared: &DeclaredOptions,
    locations: &SourceLocations,
) -> Enum {
    let file = kind.parent_file();
    let options = declared.at(file.name(), kind.path());
    let features = options.as_ref().map_or(inherited, |options| inherited.overridden_by(options));
    let mut values: BTreeMap<i32, Vec<EnumValue>> = BTreeMap::new();
    let mut first = None;
    // In declaration order, which determines the JSON name and the default. The linker has another
    // order.
    for (at, value) in kind.enum_descriptor_proto().value.iter().enumerate() {
        first.get_or_insert(value.number());
        let mut path = kind.path().to_vec();
        path.extend([2, i32::try_from(at).unwrap_or(i32::MAX)]);
        values.entry(value.number()).or_default().push(EnumValue {
            name: value.name().to_owned(),
            options: declared.at(file.name(), &path).map_or_else(Vec::new, encoded),
            location: locations.of(file.name(), &path),
        });
    }
    Enum {
        name: kind.full_name().to_owned(),
        closed: features.closed,
        legacy_json: features.legacy_json,
        first: first.unwrap_or(0),
        values,
        reserved: Ranges::new(
            kind.reserved_ranges()
                .map(|range| (i64::from(*range.start()), i64::from(*range.end()) + 1)),
        ),
        reserved_names: kind.reserved_names().map(str::to_owned).collect(),
        options: options.map_or_else(Vec::new, encoded),
        location: locations.of(file.name(), kind.path()),
    }
}

/// Whether a field is packed. The linker evaluates the option of a text before it has its value, so
/// the option is evaluated here.
fn packed(
    kind: Kind,
    cardinality: Cardinality,
    options: Option<&DynamicMessage>,
    features: Features,
) -> bool {
    let is_packable = match kind {
        Kind::Scalar(scalar) => scalar.is_packable(),
        Kind::Enum(_) => true,
        Kind::Message(_) | Kind::Group(_) => false,
    };
    let option = options.filter(|options| options.has_field_by_name("packed"));
    let option = option.and_then(|options| options.get_field_by_name("packed")?.as_bool());
    is_packable && cardinality == Cardinality::Repeated && option.unwrap_or(features.packed)
}

fn half_open(ranges: impl Iterator<Item = std::ops::Range<u32>>) -> Ranges {
    Ranges::new(ranges.map(|range| (i64::from(range.start), i64::from(range.end))))
}

/// Encodes options in field number order: equal options are equal bytes.
fn encoded(options: DynamicMessage) -> Vec<u8> {
    prost::Message::encode_to_vec(&options)
}

/// Formats a default value. Numbers have the same form in all types, so that equal numbers are
/// equal defaults.
fn default_text(value: &Value) -> String {
    match value {
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::I32(value) | Value::EnumNumber(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::String(value) => format!("{value:?}"),
        Value::Bytes(value) => format!("\"{}\"", value.escape_ascii()),
        Value::Message(_) | Value::List(_) | Value::Map(_) => String::new(),
    }
}
