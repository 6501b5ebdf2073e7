//! Rules for extensions and for the extension declarations of messages.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use super::{
    super::well_known::DESCRIPTOR, Check, Edition, Inherited, Site, full_name, messages::is_lite,
    options::is_set, tag,
};

/// The messages that proto3 files may extend.
const OPTIONS: [&str; 10] = [
    "google.protobuf.FileOptions",
    "google.protobuf.MessageOptions",
    "google.protobuf.FieldOptions",
    "google.protobuf.OneofOptions",
    "google.protobuf.EnumOptions",
    "google.protobuf.EnumValueOptions",
    "google.protobuf.ExtensionRangeOptions",
    "google.protobuf.ServiceOptions",
    "google.protobuf.MethodOptions",
    "google.protobuf.StreamOptions",
];

/// `verification = UNVERIFIED`.
const UNVERIFIED: i32 = 1;
/// `verification = DECLARATION`.
const DECLARATION: i32 = 0;

/// An extension that a message declares for one of its ranges.
#[derive(Debug)]
struct ExtensionDeclaration {
    number: i32,
    full_name: Option<String>,
    kind: Option<String>,
    reserved: bool,
    repeated: bool,
}

/// The declarations of an extension range.
#[derive(Debug)]
pub(super) struct DeclaredRange {
    /// Only declared extensions are allowed.
    verified: bool,
    /// By number.
    extensions: BTreeMap<i32, ExtensionDeclaration>,
}

/// The extension that uses a number of a message.
#[derive(Debug)]
pub(super) struct KnownExtension {
    name: String,
    file: String,
}

/// The first extension of each number, by extended message and number.
pub(super) fn owners(pool: &DescriptorPool) -> HashMap<(String, u32), KnownExtension> {
    let mut owners = HashMap::new();
    for extension in pool.all_extensions() {
        let extendee = extension.containing_message().full_name().to_owned();
        let name = extension.full_name().to_owned();
        let file = extension.parent_file().name().to_owned();
        owners.entry((extendee, extension.number())).or_insert(KnownExtension { name, file });
    }
    owners
}

impl Check<'_> {
    pub(super) fn check_extension(
        &mut self,
        site: &Site,
        field: &FieldDescriptorProto,
        parent: Inherited,
    ) {
        self.check_field(site, field, None, parent);
        let extendee = full_name(field.extendee());
        self.check_visible(site, extendee, "an `extend`");
        if field.label() == Label::Required {
            let message = format!("the extension {} is required; make it optional", site.name);
            self.fault(site, message);
        }
        if self.edition() == Edition::Proto3 && !OPTIONS.contains(&extendee) {
            let message = format!(
                "the extension {} extends {extendee}; proto3 can extend only the options of \
                 google/protobuf/descriptor.proto, so use proto2 or an edition",
                site.name
            );
            self.fault(site, message);
        }
        self.check_number(site, field, extendee);
        let Some(message) = self.pool.get_message_by_name(extendee) else { return };
        let file = message.parent_file();
        if self.is_lite() && !is_lite(file.file_descriptor_proto()) {
            let message = format!(
                "the extension {} is in a file with optimize_for = LITE_RUNTIME, and {extendee} is not; remove the option",
                site.name
            );
            self.fault(site, message);
        }
        let proto = message.descriptor_proto();
        let is_message_set =
            proto.options.as_ref().is_some_and(|options| options.message_set_wire_format());
        if is_message_set && (field.label() != Label::Optional || field.r#type() != Type::Message) {
            let message = format!(
                "the extension {} extends {extendee}, which has message_set_wire_format and accepts only optional \
                 messages; change its label or its type",
                site.name
            );
            self.fault(site, message);
        }
        let holds = |range: &prost_types::descriptor_proto::ExtensionRange| {
            (range.start()..range.end()).contains(&field.number())
        };
        // The declarations in descriptor.proto list known extensions and do not exclude others.
        if file.name() == DESCRIPTOR {
            return;
        }
        if let Some(at) = proto.extension_range.iter().position(holds) {
            let path = super::child_path(message.path(), tag::EXTENSION_RANGE, at);
            if let Some(range) = self.declared_range(file.name(), &path) {
                self.check_declared(site, field, extendee, &range);
            }
        }
    }

    /// Checks that no other extension in the files of the definition has the same number.
    fn check_number(&mut self, site: &Site, field: &FieldDescriptorProto, extendee: &str) {
        let number = u32::try_from(field.number()).unwrap_or(0);
        let owner = self.owners.get(&(extendee.to_owned(), number));
        if let Some(owner) = owner.filter(|owner| owner.name != site.name) {
            let message = format!(
                "the number {number} of the extension {} is also that of {} in {:?}; choose another one in the \
                 extension ranges of {extendee}",
                site.name, owner.name, owner.file
            );
            self.fault(site, message);
        }
    }

    /// The declarations of a range. They are cached, because a range can contain as many extensions
    /// as it declares.
    fn declared_range(&mut self, file: &str, path: &[i32]) -> Option<Rc<DeclaredRange>> {
        let key = (file.to_owned(), path.to_vec());
        if let Some(known) = self.ranges.get(&key) {
            return Some(Rc::clone(known));
        }
        let options = self.declared.get(file, path)?;
        let mut extensions = BTreeMap::new();
        for declared in declarations(options) {
            extensions.entry(declared.number).or_insert(declared);
        }
        let verified =
            is_set(options, "verification") && verification(options) == Some(DECLARATION);
        let range = Rc::new(DeclaredRange { verified, extensions });
        self.ranges.insert(key, Rc::clone(&range));
        Some(range)
    }

    fn is_lite(&self) -> bool {
        let file = self.source.and_then(|source| self.pool.get_file_by_name(&source.name));
        file.is_some_and(|file| is_lite(file.file_descriptor_proto()))
    }

    /// Checks an extension against the declarations of its range.
    fn check_declared(
        &mut self,
        site: &Site,
        field: &FieldDescriptorProto,
        extendee: &str,
        range: &DeclaredRange,
    ) {
        let number = field.number();
        let Some(declared) = range.extensions.get(&number) else {
            if range.verified || !range.extensions.is_empty() {
                let message = format!(
                    "the extension {} has the number {number}, which the range of {extendee} does not declare; declare \
                     it there, or use another range",
                    site.name
                );
                self.fault(site, message);
            }
            return;
        };
        if declared.reserved {
            let message = format!(
                "the number {number} of the extension {} is reserved by {extendee}; use another one",
                site.name
            );
            self.fault(site, message);
            return;
        }
        let mismatch = |attribute: &str, expected: &str, actual: &str| {
            format!(
                "the extension {} has the {attribute} {actual}, and {extendee} declares {expected} for the number \
                 {number}; use the declared {attribute}, or another number",
                site.name
            )
        };
        let kind = match field.type_name.as_deref() {
            Some(name) => format!(".{}", full_name(name)),
            None => scalar_name(field.r#type()).to_owned(),
        };
        if let Some(expected) = declared.kind.as_deref().filter(|declared| *declared != kind) {
            self.fault(site, mismatch("type", expected, &kind));
        }
        let name = format!(".{}", site.name);
        if let Some(expected) = declared.full_name.as_deref().filter(|declared| *declared != name) {
            self.fault(site, mismatch("name", expected, &name));
        }
        let repeated = field.label() == Label::Repeated;
        if declared.repeated != repeated {
            let label = |repeated| if repeated { "repeated" } else { "optional" };
            self.fault(site, mismatch("label", label(declared.repeated), label(repeated)));
        }
    }

    /// Checks the extension declarations of a message.
    pub(super) fn check_declarations(&mut self, site: &Site, message: &DescriptorProto) {
        let mut names = HashSet::new();
        for (at, range) in message.extension_range.iter().enumerate() {
            let site = site.unnamed_item(tag::EXTENSION_RANGE, at);
            let Some(options) = self.options_at(&site) else { continue };
            let declarations = declarations(options);
            if !declarations.is_empty()
                && is_set(options, "verification")
                && verification(options) == Some(UNVERIFIED)
            {
                let message = format!(
                    "the range {} to {} of {} is UNVERIFIED and declares extensions; remove one of the two",
                    range.start(),
                    range.end() - 1,
                    site.name
                );
                self.fault(&site, message);
                continue;
            }
            let mut numbers = HashSet::new();
            for declared in declarations {
                let number = declared.number;
                let mut report = |message: String| self.fault(&site, message);
                if !(range.start()..range.end()).contains(&number) {
                    report(format!(
                        "the declared extension {number} is not in the range {} to {}; move it to its range",
                        range.start(),
                        range.end() - 1
                    ));
                }
                if !numbers.insert(number) {
                    report(format!(
                        "the extension {number} is declared twice; remove one of the two"
                    ));
                }
                match (declared.full_name, declared.kind) {
                    (Some(name), Some(kind)) => {
                        if !names.insert(name.clone()) {
                            report(format!(
                                "the extension {name:?} is declared twice; remove one of the two"
                            ));
                        }
                        if !is_absolute(&name) {
                            report(format!(
                                "the name {name:?} of the declared extension {number} is not a full name with a \
                                 leading dot, such as \".shop.note\""
                            ));
                        }
                        if !is_absolute(&kind) && !SCALARS.contains(&kind.as_str()) {
                            report(format!(
                                "the type {kind:?} of the declared extension {number} is neither a scalar nor a full \
                                 name with a leading dot, such as \".shop.Note\""
                            ));
                        }
                    }
                    (None, None) if declared.reserved => {}
                    _ => report(format!(
                        "the declared extension {number} must have both full_name and type, or be reserved"
                    )),
                }
            }
        }
    }
}

/// Types without a leading dot.
const SCALARS: [&str; 16] = [
    "double", "float", "int64", "uint64", "int32", "fixed32", "fixed64", "bool", "string", "bytes",
    "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64",
];

fn scalar_name(kind: Type) -> &'static str {
    match kind {
        Type::Double => "double",
        Type::Float => "float",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Int32 => "int32",
        Type::Fixed64 => "fixed64",
        Type::Fixed32 => "fixed32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Uint32 => "uint32",
        Type::Sfixed32 => "sfixed32",
        Type::Sfixed64 => "sfixed64",
        Type::Sint32 => "sint32",
        Type::Sint64 => "sint64",
        Type::Group => "group",
        Type::Message => "message",
        Type::Enum => "enum",
    }
}

fn verification(options: &DynamicMessage) -> Option<i32> {
    options.get_field_by_name("verification")?.as_enum_number()
}

fn declarations(options: &DynamicMessage) -> Vec<ExtensionDeclaration> {
    let declared = options.get_field_by_name("declaration");
    let declared = declared.as_deref().and_then(Value::as_list).unwrap_or_default();
    let read = |declaration: &DynamicMessage| {
        let text = |name: &str| {
            let value = declaration
                .has_field_by_name(name)
                .then(|| declaration.get_field_by_name(name))
                .flatten()?;
            value.as_str().map(str::to_owned)
        };
        let flag = |name: &str| {
            declaration.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false)
        };
        ExtensionDeclaration {
            number: declaration
                .get_field_by_name("number")
                .and_then(|value| value.as_i32())
                .unwrap_or(0),
            full_name: text("full_name"),
            kind: text("type"),
            reserved: flag("reserved"),
            repeated: flag("repeated"),
        }
    };
    declared.iter().filter_map(Value::as_message).map(read).collect()
}

fn is_absolute(name: &str) -> bool {
    let is_identifier = |name: &str| {
        name.starts_with(|character: char| character.is_ascii_alphabetic() || character == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.strip_prefix('.').is_some_and(|name| name.split('.').all(is_identifier))
}
