//! Rules for features: which declarations may set which feature.

use prost_reflect::{DynamicMessage, Value};
use prost_types::field_descriptor_proto::Type;

use super::{Check, Site, fields::FieldContext};

/// The values of `features.field_presence`.
mod presence {
    pub(super) const IMPLICIT: i32 = 2;
    pub(super) const LEGACY_REQUIRED: i32 = 3;
}

/// `features.repeated_field_encoding = PACKED`.
const PACKED: i32 = 1;

impl Check<'_> {
    /// Checks the rules for features on any declaration.
    pub(super) fn check_features(&mut self, site: &Site, options: &DynamicMessage) {
        let Some(features) = features(options) else { return };
        let edition = self.edition();
        if !edition.is_modern() {
            let message = format!(
                "the features of {} require an edition, and the file is {edition}; remove them, or begin the file with \
                 `edition = \"2023\";`",
                site.name
            );
            let word = features.fields().next().map(|(field, _)| field.name().to_owned());
            self.fault_near(site, &word.unwrap_or_default(), message);
            return;
        }
        for (field, value) in features.fields() {
            if value.as_enum_number() == Some(0) {
                let message = format!(
                    "the feature {} of {} has an unknown value; remove it, or choose another value",
                    field.name(),
                    site.name
                );
                self.fault_near(site, field.name(), message);
            }
        }
    }

    pub(super) fn check_file_features(&mut self, site: &Site, options: Option<&DynamicMessage>) {
        let presence =
            options.and_then(features).and_then(|features| number(features, "field_presence"));
        if presence == Some(presence::LEGACY_REQUIRED) {
            let message = "features.field_presence = LEGACY_REQUIRED is not allowed for a file; set it on each field";
            self.fault_near(site, "field_presence", message.to_owned());
        }
    }

    pub(super) fn check_field_features(&mut self, member: &FieldContext<'_>) {
        let FieldContext { site, proto, options, entry, .. } = member;
        if !self.edition().is_modern() {
            return;
        }
        let Some(features) = options.and_then(features) else { return };
        let name = proto.name();
        let mut report = |message: String| self.fault(site, message);
        if let Some(value) = number(features, "field_presence") {
            let feature = "features.field_presence";
            if proto.oneof_index.is_some() {
                report(format!(
                    "the field {name} is in a oneof, where all fields have presence; remove {feature}"
                ));
            } else if member.is_repeated() {
                report(format!(
                    "the field {name} is repeated and has no presence; remove {feature}"
                ));
            } else if proto.extendee.is_some() {
                report(format!(
                    "the extension {name} always has presence, and is never required; remove {feature}"
                ));
            } else if member.is_message() && value == presence::IMPLICIT {
                report(format!(
                    "the field {name} is a message, which always has presence; remove {feature}"
                ));
            }
        }
        if let Some(value) = number(features, "repeated_field_encoding") {
            let feature = "features.repeated_field_encoding";
            if !member.is_repeated() {
                report(format!("the field {name} is not repeated; remove {feature}"));
            } else if value == PACKED && !member.is_packable() {
                report(format!(
                    "the values of {name} cannot be packed, because they are neither numbers, booleans nor enums; \
                     remove {feature}"
                ));
            }
        }
        if number(features, "utf8_validation").is_some() {
            let is_string = |kind: Type| kind == Type::String;
            let is_string_map = entry
                .is_some_and(|entry| entry.field.iter().any(|field| is_string(field.r#type())));
            if !is_string(proto.r#type()) && !is_string_map {
                report(format!(
                    "the field {name} is not a string; remove features.utf8_validation"
                ));
            }
        }
        if number(features, "message_encoding").is_some()
            && (!member.is_message() || entry.is_some())
        {
            report(format!("the field {name} is not a message; remove features.message_encoding"));
        }
    }
}

/// The features set in options.
pub(super) fn features(options: &DynamicMessage) -> Option<&DynamicMessage> {
    use std::borrow::Cow;
    if !options.has_field_by_name("features") {
        return None;
    }
    match options.get_field_by_name("features")? {
        Cow::Borrowed(Value::Message(features)) => Some(features),
        _ => None,
    }
}

/// The value of a feature that is set.
pub(super) fn number(features: &DynamicMessage, name: &str) -> Option<i32> {
    if !features.has_field_by_name(name) {
        return None;
    }
    features.get_field_by_name(name)?.as_enum_number()
}
