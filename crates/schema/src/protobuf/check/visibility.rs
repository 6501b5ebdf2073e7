//! Rules for the visibility of types in edition 2024.

use prost_types::DescriptorProto;

use super::{
    super::{parse::ParsedFile, parser_input::Visibility},
    Check, Edition, Site,
    features::{features, number},
    full_name,
};

/// The values of `features.default_symbol_visibility`.
mod default {
    pub(super) const EXPORT_ALL: i32 = 1;
    pub(super) const EXPORT_TOP_LEVEL: i32 = 2;
    pub(super) const STRICT: i32 = 4;
}

impl Check<'_> {
    /// Checks that the file may use a type.
    pub(super) fn check_visible(&mut self, site: &Site, type_name: &str, user: &str) {
        let name = full_name(type_name);
        let Some(source) = self.source else { return };
        let (file, path) = if let Some(message) = self.pool.get_message_by_name(name) {
            (message.parent_file(), message.path().to_vec())
        } else if let Some(kind) = self.pool.get_enum_by_name(name) {
            (kind.parent_file(), kind.path().to_vec())
        } else {
            return;
        };
        let file = file.name();
        if file == source.name {
            return;
        }
        if source.option_imports.contains(file) {
            let message = format!(
                "the type {name} of {user} is in {file:?}, which is imported only for its options; import it without \
                 `option`"
            );
            self.fault(site, message);
            return;
        }
        let Some(other) = self.by_name.get(file).copied() else { return };
        if !self.is_exported(other, &path) {
            let message = format!(
                "the type {name} of {user} is local to {file:?}; export it there, or use another type"
            );
            self.fault(site, message);
        }
    }

    fn is_exported(&self, source: &ParsedFile, path: &[i32]) -> bool {
        if source.edition < Edition::E2024 {
            return true;
        }
        match source.visibility.get(path) {
            Some(Visibility::Export) => return true,
            Some(Visibility::Local) => return false,
            None => {}
        }
        if source.text.is_none() {
            // Descriptors do not contain the default visibility.
            return true;
        }
        match self.default_visibility(source) {
            default::EXPORT_ALL => true,
            default::EXPORT_TOP_LEVEL => path.len() == 2,
            _ => false,
        }
    }

    fn default_visibility(&self, source: &ParsedFile) -> i32 {
        let options = self.declared.get(&source.name, &[]);
        let set = options
            .and_then(features)
            .and_then(|features| number(features, "default_symbol_visibility"));
        set.unwrap_or(default::EXPORT_TOP_LEVEL)
    }

    /// With STRICT, nested messages must not be exported.
    pub(super) fn check_nested_visibility(&mut self, site: &Site) {
        let Some(source) = self.source else { return };
        let exported = source.visibility.get(&site.path) == Some(&Visibility::Export);
        if exported && site.path.len() > 2 && self.default_visibility(source) == default::STRICT {
            let message = format!(
                "the message {} is nested and exported; with default_symbol_visibility = STRICT, move it to the top level \
                 of a file",
                site.name
            );
            self.fault(site, message);
        }
    }

    /// With STRICT, nested enums must not be exported, unless the enclosing message is only a
    /// namespace.
    pub(super) fn check_nested_enum_visibility(
        &mut self,
        site: &Site,
        owner: &Site,
        message: &DescriptorProto,
    ) {
        let Some(source) = self.source else { return };
        let exported = source.visibility.get(&site.path) == Some(&Visibility::Export);
        if !exported || self.default_visibility(source) != default::STRICT {
            return;
        }
        let is_local = source.visibility.get(&owner.path) != Some(&Visibility::Export);
        let is_namespace = owner.path.len() == 2
            && is_local
            && matches!(message.reserved_range.as_slice(), [all] if all.start() == 1);
        if !is_namespace {
            let message = format!(
                "the enum {} is nested and exported; with default_symbol_visibility = STRICT, move it to the top level of a \
                 file, or into a local message with `reserved 1 to max`",
                site.name
            );
            self.fault(site, message);
        }
    }
}
