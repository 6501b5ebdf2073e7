//! Names of fields in JSON.

use std::collections::HashMap;

use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::{
    super::amendments::{default_json_name, json_name},
    Check, Site,
    options::flag,
    tag,
};

/// The name of a field in JSON.
struct Name {
    text: String,
    /// Its author chose it: it is not the one that follows from the field's name.
    custom: bool,
}

impl Check<'_> {
    /// Two rounds, as field masks know the names by default alone.
    pub(super) fn check_json_names(
        &mut self,
        site: &Site,
        message: &DescriptorProto,
        legacy: bool,
    ) {
        let option = "deprecated_legacy_json_field_conflicts";
        if self.options_at(site).is_some_and(|it| flag(it, option)) {
            return;
        }
        let names: Vec<Name> = message
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
                    "the name {:?} of {} in JSON is in brackets, as those of extensions are; choose another json_name",
                    name.text,
                    field.name()
                );
                self.fault(&site.item(tag::FIELD, at, field.name()), message);
            }
        }
        let by_default = message.field.iter().map(|it| default_json_name(it.name()));
        let by_default = by_default.map(|text| Name { text, custom: false }).collect();
        self.check_round(site, message, by_default, legacy, false);
        self.check_round(site, message, names, legacy, true);
    }

    fn check_round(
        &mut self,
        site: &Site,
        message: &DescriptorProto,
        names: Vec<Name>,
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
                "the fields {other} and {} of {} have the name {:?} in JSON; rename one of them, or give it another \
                 json_name",
                field.name(),
                site.name,
                name.text
            );
            self.fault(&site.item(tag::FIELD, at, field.name()), message);
        }
    }

    /// The name that a field has by its author, not the one that keeps it apart from others for the
    /// linker.
    fn json_name(&self, site: &Site, field: &FieldDescriptorProto) -> Name {
        let written = self.source.and_then(|it| it.json_names.get(&site.path));
        let text = written.cloned().unwrap_or_else(|| json_name(field));
        let custom = text != default_json_name(field.name());
        Name { text, custom }
    }

    /// What holds for the name of any field.
    pub(super) fn check_json_name(&mut self, site: &Site, field: &FieldDescriptorProto) {
        let name = self.json_name(site, field);
        if name.custom && field.extendee.is_some() {
            let message = format!(
                "the extension {} has the json_name {:?}; extensions are called by their full names in JSON, so leave \
                 it out",
                site.name, name.text
            );
            self.fault(site, message);
        }
        if name.text.contains('\0') {
            let message = format!(
                "the name {:?} of {} in JSON has a character of code 0; choose another json_name",
                name.text,
                field.name()
            );
            self.fault(site, message);
        }
    }
}
