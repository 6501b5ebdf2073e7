//! Extensions, and what messages declare of theirs.

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

/// What files of proto3 may extend.
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

/// An extension that a message declares beforehand.
#[derive(Debug)]
struct Declaration {
    number: i32,
    full_name: Option<String>,
    kind: Option<String>,
    reserved: bool,
    repeated: bool,
}

/// What a range of extensions declares.
#[derive(Debug)]
pub(super) struct DeclaredRange {
    /// Only what is declared may be in it.
    verified: bool,
    /// By number.
    extensions: BTreeMap<i32, Declaration>,
}

/// Who has a number of a message's extensions.
#[derive(Debug)]
pub(super) struct Owner {
    name: String,
    file: String,
}

/// The first extension of each number, by the message that it extends.
pub(super) fn owners(pool: &DescriptorPool) -> HashMap<(String, u32), Owner> {
    let mut owners = HashMap::new();
    for extension in pool.all_extensions() {
        let extendee = extension.containing_message().full_name().to_owned();
        let name = extension.full_name().to_owned();
        let file = extension.parent_file().name().to_owned();
        owners.entry((extendee, extension.number())).or_insert(Owner { name, file });
    }
    owners
}

impl Check<'_> {
    pub(super) fn check_extension(
        &mut self,
        site: &Site,
        field: &FieldDescriptorProto,
        above: Inherited,
    ) {
        self.check_field(site, field, None, above);
        let extendee = full_name(field.extendee());
        self.check_visible(site, extendee, "an `extend`");
        if field.label() == Label::Required {
            let message = format!(
                "the extension {} is required, which none may be; make it optional",
                site.name
            );
            self.fault(site, message);
        }
        if self.edition() == Edition::Proto3 && !OPTIONS.contains(&extendee) {
            let message = format!(
                "the extension {} is of {extendee}; proto3 extends the options of google/protobuf/descriptor.proto \
                 alone, so use proto2 or an edition",
                site.name
            );
            self.fault(site, message);
        }
        self.check_number(site, field, extendee);
        let Some(message) = self.pool.get_message_by_name(extendee) else { return };
        let file = message.parent_file();
        if self.is_lite() && !is_lite(file.file_descriptor_proto()) {
            let message = format!(
                "the extension {} is in a file with optimize_for = LITE_RUNTIME, and {extendee} is not; leave the option \
                 out",
                site.name
            );
            self.fault(site, message);
        }
        let proto = message.descriptor_proto();
        let is_set = proto.options.as_ref().is_some_and(|it| it.message_set_wire_format());
        if is_set && (field.label() != Label::Optional || field.r#type() != Type::Message) {
            let message = format!(
                "the extension {} is of {extendee}, which has message_set_wire_format and accepts optional messages alone; change its label or its type",
                site.name
            );
            self.fault(site, message);
        }
        let holds = |it: &prost_types::descriptor_proto::ExtensionRange| {
            (it.start()..it.end()).contains(&field.number())
        };
        // What descriptor.proto declares of itself is a list of those that are known, and binds no
        // others.
        if file.name() == DESCRIPTOR {
            return;
        }
        if let Some(at) = proto.extension_range.iter().position(holds) {
            let path = super::child(message.path(), tag::EXTENSION_RANGE, at);
            if let Some(range) = self.declared_range(file.name(), &path) {
                self.check_declared(site, field, extendee, &range);
            }
        }
    }

    /// Whether the number of an extension is its alone, in all files that the definition has.
    fn check_number(&mut self, site: &Site, field: &FieldDescriptorProto, extendee: &str) {
        let number = u32::try_from(field.number()).unwrap_or(0);
        let owner = self.owners.get(&(extendee.to_owned(), number));
        if let Some(owner) = owner.filter(|it| it.name != site.name) {
            let message = format!(
                "the number {number} of the extension {} is that of {} in {:?} too; choose another one that {extendee} \
                 has for extensions",
                site.name, owner.name, owner.file
            );
            self.fault(site, message);
        }
    }

    /// What a range declares. It is read once: as many extensions may be in it as it declares.
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
        let file = self.source.and_then(|it| self.pool.get_file_by_name(&it.name));
        file.is_some_and(|it| is_lite(it.file_descriptor_proto()))
    }

    /// Checks an extension against what its range declares.
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
        let expected = |what: &str, wanted: &str, found: &str| {
            format!(
                "the extension {} has the {what} {found}, and {extendee} declares {wanted} for the number {number}; use \
                 what is declared, or another number",
                site.name
            )
        };
        let kind = match field.type_name.as_deref() {
            Some(name) => format!(".{}", full_name(name)),
            None => scalar_name(field.r#type()).to_owned(),
        };
        if let Some(wanted) = declared.kind.as_deref().filter(|it| *it != kind) {
            self.fault(site, expected("type", wanted, &kind));
        }
        let name = format!(".{}", site.name);
        if let Some(wanted) = declared.full_name.as_deref().filter(|it| *it != name) {
            self.fault(site, expected("name", wanted, &name));
        }
        let repeated = field.label() == Label::Repeated;
        if declared.repeated != repeated {
            let word = |repeated| if repeated { "repeated" } else { "optional" };
            self.fault(site, expected("label", word(declared.repeated), word(repeated)));
        }
    }

    /// Checks what a message declares of its extensions.
    pub(super) fn check_declarations(&mut self, site: &Site, message: &DescriptorProto) {
        let mut names = HashSet::new();
        for (at, range) in message.extension_range.iter().enumerate() {
            let site = site.part(tag::EXTENSION_RANGE, at);
            let Some(options) = self.options_at(&site) else { continue };
            let declarations = declarations(options);
            if !declarations.is_empty()
                && is_set(options, "verification")
                && verification(options) == Some(UNVERIFIED)
            {
                let message = format!(
                    "the range {} to {} of {} is UNVERIFIED, and declares extensions; leave one of the two out",
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
                let mut say = |message: String| self.fault(&site, message);
                if !(range.start()..range.end()).contains(&number) {
                    say(format!(
                        "the declared extension {number} is not in the range {} to {}; move it to its own",
                        range.start(),
                        range.end() - 1
                    ));
                }
                if !numbers.insert(number) {
                    say(format!(
                        "the extension {number} is declared twice; leave one of the two out"
                    ));
                }
                match (declared.full_name, declared.kind) {
                    (Some(name), Some(kind)) => {
                        if !names.insert(name.clone()) {
                            say(format!(
                                "the extension {name:?} is declared twice; leave one of the two out"
                            ));
                        }
                        if !is_absolute(&name) {
                            say(format!(
                                "the name {name:?} of the declared extension {number} is not a full name with a dot \
                                 before it, such as \".shop.note\""
                            ));
                        }
                        if !is_absolute(&kind) && !SCALARS.contains(&kind.as_str()) {
                            say(format!(
                                "the type {kind:?} of the declared extension {number} is neither a scalar nor a full \
                                 name with a dot before it, such as \".shop.Note\""
                            ));
                        }
                    }
                    (None, None) if declared.reserved => {}
                    _ => say(format!(
                        "the declared extension {number} has to have both full_name and type, or be reserved"
                    )),
                }
            }
        }
    }
}

/// Types that are written without a dot.
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

fn declarations(options: &DynamicMessage) -> Vec<Declaration> {
    let declared = options.get_field_by_name("declaration");
    let declared = declared.as_deref().and_then(Value::as_list).unwrap_or_default();
    let read = |it: &DynamicMessage| {
        let text = |name: &str| {
            let value = it.has_field_by_name(name).then(|| it.get_field_by_name(name)).flatten()?;
            value.as_str().map(str::to_owned)
        };
        let flag =
            |name: &str| it.get_field_by_name(name).and_then(|it| it.as_bool()).unwrap_or(false);
        Declaration {
            number: it.get_field_by_name("number").and_then(|it| it.as_i32()).unwrap_or(0),
            full_name: text("full_name"),
            kind: text("type"),
            reserved: flag("reserved"),
            repeated: flag("repeated"),
        }
    };
    declared.iter().filter_map(Value::as_message).map(read).collect()
}

fn is_absolute(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
            && part.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
    };
    name.strip_prefix('.').is_some_and(|it| it.split('.').all(is_part))
}
