//! Rules for enums: first values, aliases, and names that collide in generated code.

use std::collections::HashMap;

use prost_types::{EnumDescriptorProto, EnumValueDescriptorProto};

use super::{Check, Edition, Inherited, Site, Target, options::flag, tag};

impl Check<'_> {
    pub(super) fn check_enum(
        &mut self,
        site: &Site,
        kind: &EnumDescriptorProto,
        parent: Inherited,
    ) {
        let inherited = self.inherit(parent, self.options_at(site));
        self.check_options(site, Target::Enum);
        self.check_enum_numbers(site, kind);
        self.check_value_names(site, kind);
        self.check_aliases(site, kind);
        if let Some(first) = kind.value.first()
            && !inherited.features.closed
            && first.number() != 0
        {
            let message = format!(
                "the first value of the open enum {} is {} = {}; it must be 0, which is the value of an absent field",
                site.name,
                first.name(),
                first.number()
            );
            self.fault(&site.item(tag::VALUE, 0, first.name()), message);
        }
        if inherited.style_enforced {
            self.check_title_case(site, "enum", kind.name());
        }
        for (at, value) in kind.value.iter().enumerate() {
            let site = site.item(tag::VALUE, at, value.name());
            self.check_options(&site, Target::EnumEntry);
            if self.inherit(inherited, self.options_at(&site)).style_enforced {
                self.check_upper_case(&site, value.name());
            }
        }
    }

    /// Generators strip the enum's name from the names of its values and convert the case of the
    /// rest.
    fn check_value_names(&mut self, site: &Site, kind: &EnumDescriptorProto) {
        let is_legacy = self
            .options_at(site)
            .is_some_and(|options| flag(options, "deprecated_legacy_json_field_conflicts"));
        if is_legacy && self.edition() == Edition::Proto2 {
            return;
        }
        let mut seen: HashMap<String, &EnumValueDescriptorProto> = HashMap::new();
        for (at, value) in kind.value.iter().enumerate() {
            let stripped = pascal_case(without_prefix(value.name(), kind.name()));
            let first = *seen.entry(stripped).or_insert(value);
            if first.name() == value.name() || first.number() == value.number() {
                continue;
            }
            let message = format!(
                "the values {} and {} of {} have the same name without the enum's name and ignoring case; rename one of \
                 them",
                first.name(),
                value.name(),
                site.name
            );
            self.fault(&site.item(tag::VALUE, at, value.name()), message);
        }
    }

    /// Only for texts: protoc checks this in its parser, not in descriptors.
    fn check_aliases(&mut self, site: &Site, kind: &EnumDescriptorProto) {
        let Some(allow) = kind.options.as_ref().and_then(|options| options.allow_alias) else {
            return;
        };
        if self.source.is_none_or(|source| source.text.is_none()) {
            return;
        }
        if !allow {
            let message = format!(
                "the option allow_alias = false of {} is the default; remove it",
                site.name
            );
            self.fault(site, message);
            return;
        }
        let mut numbers: Vec<i32> =
            kind.value.iter().map(EnumValueDescriptorProto::number).collect();
        numbers.sort_unstable();
        if !numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            let message = format!(
                "{} allows aliases, but no two of its values have the same number; remove allow_alias",
                site.name
            );
            self.fault(site, message);
        }
    }
}

/// The name of a value without the name of its enum, ignoring case and underscores. Returns the
/// full name if nothing would be left or the prefix does not match.
fn without_prefix<'a>(value: &'a str, kind: &str) -> &'a str {
    let mut prefix =
        kind.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase()).peekable();
    let mut rest = value;
    while prefix.peek().is_some() {
        let Some(first) = rest.as_bytes().first() else { return value };
        if *first != b'_' && prefix.next() != Some(first.to_ascii_lowercase()) {
            return value;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    match rest.trim_start_matches('_') {
        "" => value,
        rest => rest,
    }
}

fn pascal_case(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    words.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_values_lose_those_of_their_enums() {
        let name = |value, kind| pascal_case(without_prefix(value, kind));
        assert_eq!(name("COLOR_RED", "Color"), "Red");
        assert_eq!(name("FOOBAR_X", "Foo_Bar"), "X");
        assert_eq!(name("FOO_BAR", "FooBar"), "FooBar");
        assert_eq!(name("COLOUR", "Color"), "Colour");
        assert_eq!(name("COL", "Color"), "Col");
        assert_eq!(name("A_B", "E"), "AB");
    }
}
