//! Rules for the naming style of edition 2024.

use prost_reflect::DynamicMessage;

use super::{
    Check, Inherited, Site,
    features::{features, number},
};

/// `features.enforce_naming_style = STYLE2024`, and later styles.
const STYLES: [i32; 2] = [1, 3];
/// `features.enforce_naming_style = STYLE_LEGACY`.
const LEGACY: i32 = 2;

/// Whether options enforce a style. `None` if they do not set it.
pub(super) fn enforced(options: &DynamicMessage) -> Option<bool> {
    match number(features(options)?, "enforce_naming_style")? {
        LEGACY => Some(false),
        style => STYLES.contains(&style).then_some(true),
    }
}

impl Check<'_> {
    pub(super) fn check_package_style(&mut self, site: &Site, inherited: Inherited) {
        let package = site.name.clone();
        if inherited.style_enforced && !package.is_empty() {
            self.check_snake_case(site, "package", &package);
        }
    }

    pub(super) fn check_title_case(&mut self, site: &Site, kind: &str, name: &str) {
        let has_valid_start = name.starts_with(|character: char| character.is_ascii_uppercase());
        if !has_valid_start || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.style_fault(site, kind, name, "TitleCase");
        }
    }

    pub(super) fn check_snake_case(&mut self, site: &Site, kind: &str, name: &str) {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
        let has_valid_start = name.starts_with(|character: char| character.is_ascii_lowercase());
        if !has_valid_start || !name.bytes().all(is_allowed) || has_loose_underscores(name) {
            self.style_fault(site, kind, name, "lower_snake_case");
        }
    }

    pub(super) fn check_upper_case(&mut self, site: &Site, name: &str) {
        let is_allowed =
            |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let has_valid_start = name.starts_with(|character: char| character.is_ascii_uppercase());
        if !has_valid_start || !name.bytes().all(is_allowed) || has_loose_underscores(name) {
            self.style_fault(site, "enum value", name, "UPPER_SNAKE_CASE");
        }
    }

    fn style_fault(&mut self, site: &Site, kind: &str, name: &str, style: &str) {
        let message = format!(
            "the {kind} {name:?} is not in {style}, which edition 2024 requires; rename it, or set \
             features.enforce_naming_style = STYLE_LEGACY"
        );
        self.fault_near(site, name, message);
    }
}

/// Whether the name has a leading underscore, or one that no letter follows.
fn has_loose_underscores(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.starts_with('_')
        || name.ends_with('_')
        || bytes.windows(2).any(|pair| pair[0] == b'_' && !pair[1].is_ascii_alphabetic())
}
