//! Fields: what their options, defaults and types may be.

use prost_reflect::DynamicMessage;
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
    field_options::JsType,
};

use super::{
    super::features::Presence,
    Check, Edition, Features, Inherited, Site, Target, full_name,
    options::{flag, is_set},
};

/// A field with what follows from where it is declared.
pub(super) struct Member<'a> {
    pub(super) site: &'a Site,
    pub(super) proto: &'a FieldDescriptorProto,
    pub(super) features: Features,
    pub(super) options: Option<&'a DynamicMessage>,
    /// The entry that it is a list of, where it is a map.
    pub(super) entry: Option<&'a DescriptorProto>,
}

impl<'a> Check<'a> {
    /// Checks a field of a message.
    pub(super) fn check_member(
        &mut self,
        site: &Site,
        field: &FieldDescriptorProto,
        message: &DescriptorProto,
        above: Inherited,
    ) {
        let owner = site.name.rsplit_once('.').map_or("", |it| it.0);
        let is_list_of_messages = field.label() == Label::Repeated && field.type_name.is_some();
        let mut nested = message.nested_type.iter().filter(|_| is_list_of_messages);
        let entry = nested.find(|it| {
            let name = full_name(field.type_name());
            it.options.as_ref().is_some_and(|it| it.map_entry())
                && name.strip_prefix(owner).and_then(|it| it.strip_prefix('.')) == Some(it.name())
        });
        self.check_field(site, field, entry, above);
        if message.options.as_ref().is_some_and(|it| it.message_set_wire_format()) {
            let message = format!(
                "the message {owner} has message_set_wire_format, and a field {}; leave one of the two out",
                field.name()
            );
            self.fault(site, message);
        }
    }

    /// Checks a field or an extension.
    pub(super) fn check_field(
        &mut self,
        site: &Site,
        field: &FieldDescriptorProto,
        entry: Option<&DescriptorProto>,
        above: Inherited,
    ) {
        let options = self.options_at(site);
        let inherited = self.inherit(above, options);
        let member = Member { site, proto: field, features: inherited.features, options, entry };
        self.check_options(site, Target::Field);
        self.check_json_name(site, field);
        self.check_types(&member);
        self.check_syntax(&member);
        self.check_field_options(&member);
        self.check_field_features(&member);
        if inherited.styled {
            self.check_snake_case(site, "field", field.name());
        }
        for used in member.types() {
            self.check_visible(site, used, "a field");
        }
    }

    /// The enums that a field may have.
    fn check_types(&mut self, member: &Member<'_>) {
        let edition = self.edition();
        let site = member.site;
        let Some(name) = member.value_type() else { return };
        let Some(kind) = self.types.enum_index(name).and_then(|it| self.types.enumeration(it))
        else {
            return;
        };
        let (closed, first) = (kind.closed, kind.first);
        if closed && edition == Edition::Proto3 {
            let message = format!(
                "the field {} is of the closed enum {name}, which proto3 does not accept; use an enum of proto3, or one \
                 with features.enum_type = OPEN",
                member.proto.name()
            );
            self.fault(site, message);
        } else if closed && member.is_implicit(edition) {
            let message = format!(
                "the field {} is of the closed enum {name} and has no presence, so that no number could stand for its \
                 absence; give it presence, or use an open enum",
                member.proto.name()
            );
            self.fault(site, message);
        }
        if member.entry.is_some() && first != 0 {
            let message = format!(
                "the map {} has values of the enum {name}, whose first value is {first}; it has to be 0",
                member.proto.name()
            );
            self.fault(site, message);
        }
    }

    /// What texts of a syntax cannot say, or say in other words.
    fn check_syntax(&mut self, member: &Member<'_>) {
        let Member { site, proto, .. } = member;
        let edition = self.edition();
        let name = proto.name();
        let is_group = proto.r#type() == Type::Group;
        let mut say = |message: String| self.fault(site, message);
        if edition == Edition::Proto3 {
            if proto.label() == Label::Required {
                say(format!(
                    "the field {name} is required, which proto3 does not have; leave the label out"
                ));
            }
            if is_group {
                say(format!(
                    "the field {name} is a group, which proto3 does not have; use a message"
                ));
            }
            if proto.default_value.is_some() {
                say(format!(
                    "the field {name} has a default, which proto3 does not have; leave it out"
                ));
            }
        }
        if edition.is_modern() {
            if proto.label() == Label::Required {
                say(format!(
                    "the label `required` of {name} does not exist in editions; use \
                     [features.field_presence = LEGACY_REQUIRED]"
                ));
            }
            if is_group {
                say(format!(
                    "the group {name} does not exist in editions; use a message and \
                     [features.message_encoding = DELIMITED]"
                ));
            }
            if member.is_implicit(edition) && proto.default_value.is_some() {
                say(format!(
                    "the field {name} has no presence, and a default; leave the default out, or give it presence"
                ));
            }
        }
        if proto.default_value.is_some() && proto.label() == Label::Repeated {
            say(format!("the field {name} is repeated, and has a default; leave the default out"));
        }
        if proto.proto3_optional() && edition != Edition::Proto3 {
            say(format!("the field {name} has proto3_optional in {edition}; leave it out"));
        }
        if proto.proto3_optional()
            && edition == Edition::Proto3
            && proto.oneof_index.is_none()
            && proto.extendee.is_none()
        {
            say(format!(
                "the field {name} has proto3_optional, and is in no oneof; put it into one of its own"
            ));
        }
        if proto.extendee.is_some() && proto.oneof_index.is_some() {
            say(format!("the extension {name} is in a oneof; move it out of there"));
        }
    }

    fn check_field_options(&mut self, member: &Member<'_>) {
        let Member { site, proto, options: set, .. } = member;
        let Some(options) = proto.options.as_ref() else { return };
        let edition = self.edition();
        let name = proto.name();
        let mut say = |message: String| self.fault(site, message);
        let wants_lazy = options.lazy() || set.is_some_and(|it| flag(it, "unverified_lazy"));
        if wants_lazy && (proto.r#type() != Type::Message || member.is_delimited()) {
            say(format!("the option lazy of {name} is for messages; leave it out"));
        }
        if edition.is_modern() && options.packed.is_some() {
            say(format!(
                "the option packed of {name} does not exist in editions; use features.repeated_field_encoding"
            ));
        } else if options.packed() && !member.is_packable() {
            say(format!(
                "the option packed of {name} is for repeated numbers, booleans and enums; leave it out"
            ));
        }
        let wide = matches!(
            proto.r#type(),
            Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64
        );
        if options.jstype() != JsType::JsNormal && !wide {
            say(format!("the option jstype of {name} is for integers of 64 bits; leave it out"));
        }
        if edition >= Edition::E2024 && set.is_some_and(|it| is_set(it, "ctype")) {
            say(format!(
                "the option ctype of {name} does not exist in edition 2024; use features.(pb.cpp).string_type"
            ));
        }
    }
}

impl Member<'_> {
    /// The full name of the type of its values: for a map, that of the entry's value.
    pub(super) fn value_type(&self) -> Option<&str> {
        let field = match self.entry {
            Some(entry) => entry.field.iter().find(|it| it.number() == 2)?,
            None => self.proto,
        };
        field.type_name.as_deref().map(full_name)
    }

    /// The types that it uses.
    fn types(&self) -> impl Iterator<Item = &str> {
        self.value_type().into_iter()
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.proto.label() == Label::Repeated
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.proto.r#type(), Type::Message | Type::Group)
    }

    pub(super) fn is_delimited(&self) -> bool {
        self.proto.r#type() == Type::Message && self.entry.is_none() && self.features.delimited
    }

    pub(super) fn is_packable(&self) -> bool {
        let whole = matches!(self.proto.r#type(), Type::String | Type::Bytes);
        self.is_repeated() && !whole && !self.is_message()
    }

    /// Whether its absence cannot be seen.
    fn is_implicit(&self, edition: Edition) -> bool {
        let implicit = self.features.presence == Presence::Implicit && edition >= Edition::Proto3;
        implicit
            && !self.is_repeated()
            && !self.is_message()
            && self.proto.oneof_index.is_none()
            && self.proto.extendee.is_none()
    }
}
