//! Rules for fields: options, defaults and types.

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

/// A field with its inherited features and its options.
pub(super) struct FieldContext<'a> {
    pub(super) site: &'a Site,
    pub(super) proto: &'a FieldDescriptorProto,
    pub(super) features: Features,
    pub(super) options: Option<&'a DynamicMessage>,
    /// The entry message, if the field is a map.
    pub(super) entry: Option<&'a DescriptorProto>,
}

impl<'a> Check<'a> {
    /// Checks a field of a message.
    pub(super) fn check_message_field(
        &mut self,
        site: &Site,
        field: &FieldDescriptorProto,
        message: &DescriptorProto,
        parent: Inherited,
    ) {
        let owner = site.name.rsplit_once('.').map_or("", |parts| parts.0);
        let is_list_of_messages = field.label() == Label::Repeated && field.type_name.is_some();
        let mut nested = message.nested_type.iter().filter(|_| is_list_of_messages);
        let entry = nested.find(|nested| {
            let name = full_name(field.type_name());
            nested.options.as_ref().is_some_and(|options| options.map_entry())
                && name.strip_prefix(owner).and_then(|name| name.strip_prefix('.'))
                    == Some(nested.name())
        });
        self.check_field(site, field, entry, parent);
        if message.options.as_ref().is_some_and(|options| options.message_set_wire_format()) {
            let message = format!(
                "the message {owner} has message_set_wire_format and a field {}; remove one of the two",
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
        parent: Inherited,
    ) {
        let options = self.options_at(site);
        let inherited = self.inherit(parent, options);
        let member =
            FieldContext { site, proto: field, features: inherited.features, options, entry };
        self.check_options(site, Target::Field);
        self.check_json_name(site, field);
        self.check_types(&member);
        self.check_syntax(&member);
        self.check_field_options(&member);
        self.check_field_features(&member);
        if inherited.style_enforced {
            self.check_snake_case(site, "field", field.name());
        }
        for used in member.types() {
            self.check_visible(site, used, "a field");
        }
    }

    /// Checks the enum type of a field.
    fn check_types(&mut self, member: &FieldContext<'_>) {
        let edition = self.edition();
        let site = member.site;
        let Some(name) = member.value_type() else { return };
        let Some(kind) =
            self.types.enum_index(name).and_then(|index| self.types.enumeration(index))
        else {
            return;
        };
        let (closed, first) = (kind.closed, kind.first);
        if closed && edition == Edition::Proto3 {
            let message = format!(
                "the field {} has the closed enum {name}, which proto3 does not accept; use an enum of proto3, or one \
                 with features.enum_type = OPEN",
                member.proto.name()
            );
            self.fault(site, message);
        } else if closed && member.is_implicit(edition) {
            let message = format!(
                "the field {} has the closed enum {name} and no presence, so no number can represent an absent field; \
                 give it presence, or use an open enum",
                member.proto.name()
            );
            self.fault(site, message);
        }
        if member.entry.is_some() && first != 0 {
            let message = format!(
                "the map {} has values of the enum {name}, whose first value is {first}; it must be 0",
                member.proto.name()
            );
            self.fault(site, message);
        }
    }

    /// Checks labels, groups and defaults that a syntax does not have.
    fn check_syntax(&mut self, member: &FieldContext<'_>) {
        let FieldContext { site, proto, .. } = member;
        let edition = self.edition();
        let name = proto.name();
        let is_group = proto.r#type() == Type::Group;
        let mut report = |message: String| self.fault(site, message);
        if edition == Edition::Proto3 {
            if proto.label() == Label::Required {
                report(format!(
                    "the field {name} is required, which proto3 does not support; remove the label"
                ));
            }
            if is_group {
                report(format!(
                    "the field {name} is a group, which proto3 does not support; use a message"
                ));
            }
            if proto.default_value.is_some() {
                report(format!(
                    "the field {name} has a default, which proto3 does not support; remove it"
                ));
            }
        }
        if edition.is_modern() {
            if proto.label() == Label::Required {
                report(format!(
                    "the label `required` of {name} does not exist in editions; use \
                     [features.field_presence = LEGACY_REQUIRED]"
                ));
            }
            if is_group {
                report(format!(
                    "the group {name} does not exist in editions; use a message and \
                     [features.message_encoding = DELIMITED]"
                ));
            }
            if member.is_implicit(edition) && proto.default_value.is_some() {
                report(format!(
                    "the field {name} has a default and no presence; remove the default, or give it presence"
                ));
            }
        }
        if proto.default_value.is_some() && proto.label() == Label::Repeated {
            report(format!("the field {name} is repeated and has a default; remove the default"));
        }
        if proto.proto3_optional() && edition != Edition::Proto3 {
            report(format!("the field {name} has proto3_optional in {edition}; remove it"));
        }
        if proto.proto3_optional()
            && edition == Edition::Proto3
            && proto.oneof_index.is_none()
            && proto.extendee.is_none()
        {
            report(format!(
                "the field {name} has proto3_optional and is not in a oneof; put it into its own oneof"
            ));
        }
        if proto.extendee.is_some() && proto.oneof_index.is_some() {
            report(format!("the extension {name} is in a oneof; move it out of the oneof"));
        }
    }

    fn check_field_options(&mut self, member: &FieldContext<'_>) {
        let FieldContext { site, proto, options: set, .. } = member;
        let Some(options) = proto.options.as_ref() else { return };
        let edition = self.edition();
        let name = proto.name();
        let mut report = |message: String| self.fault(site, message);
        let wants_lazy =
            options.lazy() || set.is_some_and(|options| flag(options, "unverified_lazy"));
        if wants_lazy && (proto.r#type() != Type::Message || member.is_delimited()) {
            report(format!("the option lazy of {name} is only for messages; remove it"));
        }
        if edition.is_modern() && options.packed.is_some() {
            report(format!(
                "the option packed of {name} does not exist in editions; use features.repeated_field_encoding"
            ));
        } else if options.packed() && !member.is_packable() {
            report(format!(
                "the option packed of {name} is only for repeated numbers, booleans and enums; remove it"
            ));
        }
        let is_64_bit = matches!(
            proto.r#type(),
            Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64
        );
        if options.jstype() != JsType::JsNormal && !is_64_bit {
            report(format!("the option jstype of {name} is only for 64-bit integers; remove it"));
        }
        if edition >= Edition::E2024 && set.is_some_and(|options| is_set(options, "ctype")) {
            report(format!(
                "the option ctype of {name} does not exist in edition 2024; use features.(pb.cpp).string_type"
            ));
        }
    }
}

impl FieldContext<'_> {
    /// The full type name of the field's values; for a map, that of the entry's value.
    pub(super) fn value_type(&self) -> Option<&str> {
        let field = match self.entry {
            Some(entry) => entry.field.iter().find(|field| field.number() == 2)?,
            None => self.proto,
        };
        field.type_name.as_deref().map(full_name)
    }

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
        let is_delimited = matches!(self.proto.r#type(), Type::String | Type::Bytes);
        self.is_repeated() && !is_delimited && !self.is_message()
    }

    /// Whether the field has implicit presence.
    fn is_implicit(&self, edition: Edition) -> bool {
        let implicit = self.features.presence == Presence::Implicit && edition >= Edition::Proto3;
        implicit
            && !self.is_repeated()
            && !self.is_message()
            && self.proto.oneof_index.is_none()
            && self.proto.extendee.is_none()
    }
}
