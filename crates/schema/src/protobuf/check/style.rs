//! Names in the style that edition 2024 asks for.

use prost_reflect::DynamicMessage;

use super::{
    Check, Inherited, Site,
    features::{features, number},
};

/// `features.enforce_naming_style = STYLE2024`, and what came later.
const STYLES: [i32; 2] = [1, 3];
/// `features.enforce_naming_style = STYLE_LEGACY`.
const LEGACY: i32 = 2;

/// Whether options ask for a style, or for none. None: they leave it to those around them.
pub(super) fn chosen(options: &DynamicMessage) -> Option<bool> {
    match number(features(options)?, "enforce_naming_style")? {
        LEGACY => Some(false),
        style => STYLES.contains(&style).then_some(true),
    }
}

impl Check<'_> {
    pub(super) fn check_package_style(&mut self, site: &Site, inherited: Inherited) {
        let package = site.name.clone();
        if inherited.styled && !package.is_empty() {
            self.check_snake_case(site, "package", &package);
        }
    }

    pub(super) fn check_title_case(&mut self, site: &Site, what: &str, name: &str) {
        let starts = name.starts_with(|it: char| it.is_ascii_uppercase());
        if !starts || !name.bytes().all(|it| it.is_ascii_alphanumeric()) {
            self.style_fault(site, what, name, "TitleCase");
        }
    }

    pub(super) fn check_snake_case(&mut self, site: &Site, what: &str, name: &str) {
        let known = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_.".contains(&it);
        let starts = name.starts_with(|it: char| it.is_ascii_lowercase());
        if !starts || !name.bytes().all(known) || has_loose_underscores(name) {
            self.style_fault(site, what, name, "lower_snake_case");
        }
    }

    pub(super) fn check_upper_case(&mut self, site: &Site, name: &str) {
        let known = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_';
        let starts = name.starts_with(|it: char| it.is_ascii_uppercase());
        if !starts || !name.bytes().all(known) || has_loose_underscores(name) {
            self.style_fault(site, "enum value", name, "UPPER_SNAKE_CASE");
        }
    }

    fn style_fault(&mut self, site: &Site, what: &str, name: &str, style: &str) {
        let message = format!(
            "the {what} {name:?} is not in {style}, which edition 2024 asks for; rename it, or set \
             features.enforce_naming_style = STYLE_LEGACY"
        );
        self.fault_near(site, name, message);
    }
}

/// Whether an underscore is not followed by a letter, or begins the name.
fn has_loose_underscores(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.starts_with('_')
        || name.ends_with('_')
        || bytes.windows(2).any(|it| it[0] == b'_' && !it[1].is_ascii_alphabetic())
}
