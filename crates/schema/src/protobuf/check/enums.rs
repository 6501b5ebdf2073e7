//! Enums: their first values, their aliases, and names that generators make alike.

use std::collections::HashMap;

use prost_types::{EnumDescriptorProto, EnumValueDescriptorProto};

use super::{Check, Edition, Inherited, Site, Target, options::flag, tag};

impl Check<'_> {
    pub(super) fn check_enum(&mut self, site: &Site, kind: &EnumDescriptorProto, above: Inherited) {
        let inherited = self.inherit(above, self.options_at(site));
        self.check_options(site, Target::Enum);
        self.check_enum_numbers(site, kind);
        self.check_value_names(site, kind);
        self.check_aliases(site, kind);
        if let Some(first) = kind.value.first()
            && !inherited.features.closed
            && first.number() != 0
        {
            let message = format!(
                "the first value of the open enum {} is {} = {}; it has to be 0, for that is what is read where a field \
                 is absent",
                site.name,
                first.name(),
                first.number()
            );
            self.fault(&site.item(tag::VALUE, 0, first.name()), message);
        }
        if inherited.styled {
            self.check_title_case(site, "enum", kind.name());
        }
        for (at, value) in kind.value.iter().enumerate() {
            let site = site.item(tag::VALUE, at, value.name());
            self.check_options(&site, Target::EnumEntry);
            if self.inherit(inherited, self.options_at(&site)).styled {
                self.check_upper_case(&site, value.name());
            }
        }
    }

    /// Generators strip the name of the enum from those of its values, and write the rest in their
    /// own case.
    fn check_value_names(&mut self, site: &Site, kind: &EnumDescriptorProto) {
        let is_legacy = self
            .options_at(site)
            .is_some_and(|it| flag(it, "deprecated_legacy_json_field_conflicts"));
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
                "the values {} and {} of {} have one name without the enum's and in one case; rename one of them",
                first.name(),
                value.name(),
                site.name
            );
            self.fault(&site.item(tag::VALUE, at, value.name()), message);
        }
    }

    /// For texts alone: protoc checks it in its parser, and not in descriptors.
    fn check_aliases(&mut self, site: &Site, kind: &EnumDescriptorProto) {
        let Some(allow) = kind.options.as_ref().and_then(|it| it.allow_alias) else { return };
        if self.source.is_none_or(|it| it.text.is_none()) {
            return;
        }
        if !allow {
            let message = format!(
                "the option allow_alias = false of {} says what holds anyway; leave it out",
                site.name
            );
            self.fault(site, message);
            return;
        }
        let mut numbers: Vec<i32> =
            kind.value.iter().map(EnumValueDescriptorProto::number).collect();
        numbers.sort_unstable();
        if !numbers.windows(2).any(|it| it[0] == it[1]) {
            let message = format!(
                "{} allows aliases, and no two of its values have one number; leave allow_alias out",
                site.name
            );
            self.fault(site, message);
        }
    }
}

/// The name of a value without that of its enum, whatever the case and the underscores of both. The
/// whole, where nothing would be left or it begins with something else.
fn without_prefix<'a>(value: &'a str, kind: &str) -> &'a str {
    let mut prefix =
        kind.bytes().filter(|it| *it != b'_').map(|it| it.to_ascii_lowercase()).peekable();
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
    let words = name.split('_').filter(|it| !it.is_empty());
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
