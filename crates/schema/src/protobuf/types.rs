//! The messages and enums of linked files, with every feature resolved: what comparisons look at.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{
    Cardinality as Label, DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor,
    FieldDescriptor, FileDescriptor, Kind as Linked, MessageDescriptor, Value,
};

use crate::definition::SourceLocation;

use super::{
    amendments::JsonNames,
    features::{Edition, Features, Presence},
    options::DeclaredOptions,
    places::Places,
    ranges::Ranges,
    wire::{Layout, Scalar},
};

/// All types of the linked files.
#[derive(Debug, Default)]
pub(super) struct Types {
    pub(super) messages: Vec<Message>,
    pub(super) enums: Vec<Enum>,
    message_names: HashMap<String, usize>,
    enum_names: HashMap<String, usize>,
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: String,
    /// By number, those that extend it among them.
    pub(super) fields: BTreeMap<u32, Field>,
    pub(super) reserved: Ranges,
    pub(super) reserved_names: Vec<String>,
    pub(super) extension_ranges: Ranges,
    pub(super) message_set: bool,
    pub(super) map_entry: bool,
    pub(super) legacy_json: bool,
    pub(super) options: Vec<u8>,
    pub(super) place: SourceLocation,
}

/// A field of a message, or an extension of it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) full_name: String,
    pub(super) json_name: String,
    /// The name in JSON that it shares with another field of its message, where it does: then
    /// `json_name` is its own, which keeps them apart.
    pub(super) shared_name: Option<String>,
    pub(super) kind: Kind,
    pub(super) cardinality: Cardinality,
    pub(super) packed: bool,
    /// The oneof that its author declared. One for `optional` alone does not count.
    pub(super) oneof: Option<String>,
    /// What readers see where it is absent: singular fields that are no messages.
    pub(super) default: Option<String>,
    pub(super) extension: bool,
    /// A string that is checked to be UTF-8, or a map whose strings are.
    pub(super) utf8: bool,
    pub(super) options: Vec<u8>,
    pub(super) place: SourceLocation,
}

/// The type of a field's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    Enum(usize),
    /// Behind its length.
    Message(usize),
    /// Between two tags.
    Group(usize),
}

/// How many values a field holds, and whether it knows that it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cardinality {
    Implicit,
    Explicit,
    Required,
    Repeated,
    Map,
}

/// An enum.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) name: String,
    pub(super) closed: bool,
    pub(super) legacy_json: bool,
    /// The number that is read where a field without a default of its own is absent.
    pub(super) first: i32,
    /// The names of each number; the first is the one that JSON is written with.
    pub(super) values: BTreeMap<i32, Vec<EnumValue>>,
    pub(super) reserved: Ranges,
    pub(super) reserved_names: Vec<String>,
    pub(super) options: Vec<u8>,
    pub(super) place: SourceLocation,
}

/// A value of an enum.
#[derive(Debug)]
pub(super) struct EnumValue {
    pub(super) name: String,
    pub(super) options: Vec<u8>,
    pub(super) place: SourceLocation,
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

    /// The message that it is, however it is laid out.
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
    /// Reads them out of linked files.
    pub(super) fn of(
        pool: &DescriptorPool,
        declared: &DeclaredOptions,
        edition: impl Fn(&str) -> Edition,
        places: &Places,
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
                declared.at(file.name(), &[]).map_or(features, |it| features.under(&it))
            })
        };
        // Parents come before their children in a pool, so a parent's features are there when they are asked for.
        let mut features: Vec<Features> = Vec::new();
        for message in pool.all_messages() {
            let above = message
                .parent_message()
                .and_then(|parent| {
                    features.get(*types.message_names.get(parent.full_name())?).copied()
                })
                .unwrap_or_else(|| features_of_file(&message.parent_file()));
            let options = declared.at(message.parent_file().name(), message.path());
            let own = options.as_ref().map_or(above, |it| above.under(it));
            features.push(own);
            let read = types.read_message(&message, own, declared, &mut features_of_file, places);
            types.messages.push(read);
        }
        for kind in pool.all_enums() {
            let above = kind
                .parent_message()
                .and_then(|parent| {
                    features.get(*types.message_names.get(parent.full_name())?).copied()
                })
                .unwrap_or_else(|| features_of_file(&kind.parent_file()));
            types.enums.push(read_enum(&kind, above, declared, places));
        }
        types.name_entries();
        types
    }

    /// Nobody wrote the entry of a map: its key and its value are called by the map, stand where it
    /// does, and are under its features.
    fn name_entries(&mut self) {
        let maps: Vec<(usize, String, SourceLocation, bool)> = self
            .messages
            .iter()
            .flat_map(|message| message.fields.values())
            .filter(|it| it.cardinality == Cardinality::Map)
            .filter_map(|it| {
                Some((it.kind.message()?, it.full_name.clone(), it.place.clone(), it.utf8))
            })
            .collect();
        for (entry, map, place, utf8) in maps {
            if let Some(entry) = self.messages.get_mut(entry) {
                entry.place.clone_from(&place);
                for field in entry.fields.values_mut() {
                    field.full_name = format!("{map}.{}", field.name);
                    field.place.clone_from(&place);
                    field.utf8 = utf8 && field.kind == Kind::Scalar(Scalar::String);
                }
            }
        }
    }

    /// Notes the names in JSON that fields of a file share, by the paths of the fields.
    pub(super) fn share_names(&mut self, file: &FileDescriptor, names: &JsonNames) {
        let mut open: Vec<MessageDescriptor> =
            if names.is_empty() { Vec::new() } else { file.messages().collect() };
        while let Some(message) = open.pop() {
            open.extend(message.child_messages());
            let index = self.message_index(message.full_name());
            let Some(known) = index.and_then(|it| self.messages.get_mut(it)) else { continue };
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

    /// Whether the default of a field is one that its author chose: another than 0, false, nothing, or an enum's first.
    pub(super) fn means_something(&self, field: &Field) -> bool {
        let zero = match field.kind {
            Kind::Enum(index) => self.enumeration(index).map_or(0, |it| it.first).to_string(),
            Kind::Scalar(Scalar::String | Scalar::Bytes) => "\"\"".to_owned(),
            Kind::Scalar(_) | Kind::Message(_) | Kind::Group(_) => "0".to_owned(),
        };
        field.default.as_ref().is_some_and(|it| *it != zero)
    }

    /// How an author would write a kind.
    pub(super) fn kind_name(&self, kind: Kind) -> String {
        match kind {
            Kind::Scalar(scalar) => scalar.name().to_owned(),
            Kind::Enum(index) => {
                self.enumeration(index).map_or_else(|| "enum".to_owned(), |it| it.name.clone())
            }
            Kind::Message(index) => {
                self.message(index).map_or_else(|| "message".to_owned(), |it| it.name.clone())
            }
            Kind::Group(index) => match self.message(index) {
                Some(message) => format!("delimited {}", message.name),
                None => "group".to_owned(),
            },
        }
    }

    /// How an author would write the type of a field: `repeated string`, `map<string, shop.Line>`.
    pub(super) fn type_name(&self, field: &Field) -> String {
        let kind = self.kind_name(field.kind);
        match field.cardinality {
            Cardinality::Map => {
                let entry = field.kind.message().and_then(|index| self.message(index));
                let part = |number| {
                    let field = entry.and_then(|entry| entry.fields.get(&number));
                    field.map_or_else(|| "?".to_owned(), |field| self.kind_name(field.kind))
                };
                format!("map<{}, {}>", part(1), part(2))
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
        places: &Places,
    ) -> Message {
        let options = message.descriptor_proto().options.as_ref();
        let file = message.parent_file();
        let fields = message.fields().map(|field| {
            let options = declared.at(file.name(), field.path());
            self.read_field(&field, features, options, places.of(file.name(), field.path()))
        });
        let extensions = message.extensions().map(|extension| {
            // An extension is under the features of the file that declares it: those of a message
            // around it are none that a field has.
            let file = extension.parent_file();
            let features = features_of_file(&file);
            let options = declared.at(file.name(), extension.path());
            let place = places.of(file.name(), extension.path());
            self.read_extension(&extension, features, options, place)
        });
        Message {
            name: message.full_name().to_owned(),
            fields: fields.chain(extensions).map(|field| (field.number, field)).collect(),
            reserved: half_open(message.reserved_ranges()),
            reserved_names: message.reserved_names().map(str::to_owned).collect(),
            extension_ranges: half_open(message.extension_ranges()),
            message_set: options.is_some_and(|it| it.message_set_wire_format()),
            map_entry: message.is_map_entry(),
            legacy_json: features.legacy_json,
            options: declared.at(file.name(), message.path()).map_or_else(Vec::new, encoded),
            place: places.of(file.name(), message.path()),
        }
    }

    fn read_field(
        &self,
        field: &FieldDescriptor,
        above: Features,
        options: Option<DynamicMessage>,
        place: SourceLocation,
    ) -> Field {
        let proto = field.field_descriptor_proto();
        let features = options.as_ref().map_or(above, |it| above.under(it));
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
            default: singular.then(|| display(&field.default_value())),
            extension: false,
            utf8: (kind == Kind::Scalar(Scalar::String) || field.is_map()) && features.utf8,
            options: options.map_or_else(Vec::new, encoded),
            place,
        }
    }

    fn read_extension(
        &self,
        field: &ExtensionDescriptor,
        above: Features,
        options: Option<DynamicMessage>,
        place: SourceLocation,
    ) -> Field {
        let features = options.as_ref().map_or(above, |it| above.under(it));
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
            default: singular.then(|| display(&field.default_value())),
            extension: true,
            utf8: kind == Kind::Scalar(Scalar::String) && features.utf8,
            options: options.map_or_else(Vec::new, encoded),
            place,
        }
    }

    fn kind(&self, kind: &Linked, group: bool) -> Kind {
        Kind::Scalar(match kind {
            Linked::Double => Scalar::Double,
            Linked::Float => Scalar::Float,
            Linked::Int32 => Scalar::Int32,
            Linked::Int64 => Scalar::Int64,
            Linked::Uint32 => Scalar::Uint32,
            Linked::Uint64 => Scalar::Uint64,
            Linked::Sint32 => Scalar::Sint32,
            Linked::Sint64 => Scalar::Sint64,
            Linked::Fixed32 => Scalar::Fixed32,
            Linked::Fixed64 => Scalar::Fixed64,
            Linked::Sfixed32 => Scalar::Sfixed32,
            Linked::Sfixed64 => Scalar::Sfixed64,
            Linked::Bool => Scalar::Bool,
            Linked::String => Scalar::String,
            Linked::Bytes => Scalar::Bytes,
            // Every type of a linked pool has its index; the largest stands for none.
            Linked::Message(message) => {
                let index = self.message_index(message.full_name()).unwrap_or(usize::MAX);
                return if group { Kind::Group(index) } else { Kind::Message(index) };
            }
            Linked::Enum(kind) => {
                return Kind::Enum(self.enum_index(kind.full_name()).unwrap_or(usize::MAX));
            }
        })
    }
}

fn read_enum(
    kind: &EnumDescriptor,
    above: Features,
    declared: &DeclaredOptions,
    places: &Places,
) -> Enum {
    let file = kind.parent_file();
    let options = declared.at(file.name(), kind.path());
    let features = options.as_ref().map_or(above, |it| above.under(it));
    let mut values: BTreeMap<i32, Vec<EnumValue>> = BTreeMap::new();
    let mut first = None;
    // In the order of the declaration, which decides the name in JSON and the default; the linker's is another.
    for (at, value) in kind.enum_descriptor_proto().value.iter().enumerate() {
        first.get_or_insert(value.number());
        let mut path = kind.path().to_vec();
        path.extend([2, i32::try_from(at).unwrap_or(i32::MAX)]);
        values.entry(value.number()).or_default().push(EnumValue {
            name: value.name().to_owned(),
            options: declared.at(file.name(), &path).map_or_else(Vec::new, encoded),
            place: places.of(file.name(), &path),
        });
    }
    Enum {
        name: kind.full_name().to_owned(),
        closed: features.closed,
        legacy_json: features.legacy_json,
        first: first.unwrap_or(0),
        values,
        reserved: Ranges::new(
            kind.reserved_ranges().map(|it| (i64::from(*it.start()), i64::from(*it.end()) + 1)),
        ),
        reserved_names: kind.reserved_names().map(str::to_owned).collect(),
        options: options.map_or_else(Vec::new, encoded),
        place: places.of(file.name(), kind.path()),
    }
}

/// Of a text the linker looks at the option before it knows its value, so it is asked for here.
fn packed(
    kind: Kind,
    cardinality: Cardinality,
    options: Option<&DynamicMessage>,
    features: Features,
) -> bool {
    let packs = match kind {
        Kind::Scalar(scalar) => scalar.packs(),
        Kind::Enum(_) => true,
        Kind::Message(_) | Kind::Group(_) => false,
    };
    let option = options.filter(|it| it.has_field_by_name("packed"));
    let option = option.and_then(|it| it.get_field_by_name("packed")?.as_bool());
    packs && cardinality == Cardinality::Repeated && option.unwrap_or(features.packed)
}

fn half_open(ranges: impl Iterator<Item = std::ops::Range<u32>>) -> Ranges {
    Ranges::new(ranges.map(|it| (i64::from(it.start), i64::from(it.end))))
}

/// The same options are the same bytes: they are written in the order of their numbers.
fn encoded(options: DynamicMessage) -> Vec<u8> {
    prost::Message::encode_to_vec(&options)
}

/// Numbers of every kind alike, so that a default that is the same number is the same default.
fn display(value: &Value) -> String {
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
