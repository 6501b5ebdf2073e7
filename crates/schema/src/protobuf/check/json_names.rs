//! Rules for the JSON names of fields.

use std::collections::HashMap;

use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::{
    super::linker_input::{default_json_name, json_name},
    Check, Site,
    options::flag,
    tag,
};

struct JsonName {
    text: String,
    /// The name differs from the default that is derived from the field's name.
    custom: bool,
}

impl Check<'_> {
    /// Checks default names and custom names separately, because field masks use only default
    /// names.
    pub(super) fn check_json_names(
        &mut self,
        site: &Site,
        message: &DescriptorProto,
        legacy: bool,
    ) {
        let option = "deprecated_legacy_json_field_conflicts";
        if self.options_at(site).is_some_and(|options| flag(options, option)) {
            return;
        }
        let names: Vec<JsonName> = message
            .field
            .iter()
            .enumerate()
            .map(|(at, field)| {
                let site = site.item(tag::FIELD, at, field.name());
                self.json_name(&site, field)
            })
            .collect();
        for (at, (field, name)) in message.field.iter().zip(&names).enumerate() {
            if name.custom && name.text.starts_with('[') && name.text.ends_with(']') {
                let message = format!(
                    "the JSON name {:?} of {} is in brackets, like the names of extensions; choose another json_name",
                    name.text,
                    field.name()
                );
                self.fault(&site.item(tag::FIELD, at, field.name()), message);
            }
        }
        let default_names = message.field.iter().map(|field| default_json_name(field.name()));
        let default_names = default_names.map(|text| JsonName { text, custom: false }).collect();
        self.check_collisions(site, message, default_names, legacy, false);
        self.check_collisions(site, message, names, legacy, true);
    }

    fn check_collisions(
        &mut self,
        site: &Site,
        message: &DescriptorProto,
        names: Vec<JsonName>,
        legacy: bool,
        with_custom: bool,
    ) {
        let mut owners: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let first = *owners.entry(&name.text).or_insert(at);
            let (Some(owner), Some(field)) = (names.get(first), message.field.get(at)) else {
                continue;
            };
            let both_default = !name.custom && !owner.custom;
            let one_default = !name.custom || !owner.custom;
            if first == at || with_custom && both_default || legacy && one_default {
                continue;
            }
            let other =
                message.field.get(first).map(FieldDescriptorProto::name).unwrap_or_default();
            let message = format!(
                "the fields {other} and {} of {} have the same JSON name {:?}; rename one of them, or give it another \
                 json_name",
                field.name(),
                site.name,
                name.text
            );
            self.fault(&site.item(tag::FIELD, at, field.name()), message);
        }
    }

    /// The JSON name in the source, not the unique one that the linker gets.
    fn json_name(&self, site: &Site, field: &FieldDescriptorProto) -> JsonName {
        let source_name = self.source.and_then(|source| source.json_names.get(&site.path));
        let text = source_name.cloned().unwrap_or_else(|| json_name(field));
        let custom = text != default_json_name(field.name());
        JsonName { text, custom }
    }

    /// Checks the rules for the JSON name of any field.
    pub(super) fn check_json_name(&mut self, site: &Site, field: &FieldDescriptorProto) {
        let name = self.json_name(site, field);
        if name.custom && field.extendee.is_some() {
            let message = format!(
                "the extension {} has the json_name {:?}; extensions have their full names in JSON, so remove it",
                site.name, name.text
            );
            self.fault(site, message);
        }
        if name.text.contains('\0') {
            let message = format!(
                "the JSON name {:?} of {} contains a NUL character; choose another json_name",
                name.text,
                field.name()
            );
            self.fault(site, message);
        }
    }
}
