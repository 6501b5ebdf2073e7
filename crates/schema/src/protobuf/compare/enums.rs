//! Compares two versions of an enum.

use std::collections::HashMap;

use crate::finding::Direction;

use super::{
    super::{
        findings::FindingBuilder,
        ranges::Ranges,
        types::{Enum, EnumValue, Field, field_label},
    },
    Comparer, consequence, directions,
    messages::{no_longer_reserved, reserved_removed},
    simple_name,
};

impl<'a> Comparer<'a> {
    pub(super) fn compare_enum_types(&mut self, old: &Field, new: &Field, from: usize, to: usize) {
        let (Some(a), Some(b)) = (self.old.enumeration(from), self.new.enumeration(to)) else {
            return;
        };
        if a.name != b.name {
            let null = "google.protobuf.NullValue";
            if self.includes_json() && (a.name == null) != (b.name == null) {
                self.findings.add(
                    self.about("PROTOBUF_FIELD_JSON_FORM_CHANGED", Some(Direction::Both), old, new)
                        .values(&a.name, &b.name)
                        .message(format!(
                            "{} changed its type from {} to {}: only one of them is null in JSON.",
                            field_label(old),
                            a.name,
                            b.name
                        ))
                        .suggestion("Keep the type, or add another field with the new type."),
                );
            }
            self.findings.add(
                self.about("PROTOBUF_FIELD_TYPE_RENAMED", None, old, new)
                    .values(&a.name, &b.name)
                    .message(format!(
                        "{} changed its type from the enum {} to {}: the values are compared one by one.",
                        field_label(old),
                        a.name,
                        b.name
                    )),
            );
        }
        self.compare_enums(from, to);
    }

    /// Compares two enums, once.
    pub(super) fn compare_enums(&mut self, old: usize, new: usize) {
        if !self.enums.insert((old, new)) {
            return;
        }
        let (Some(old), Some(new)) = (self.old.enumeration(old), self.new.enumeration(new)) else {
            return;
        };
        self.steps += 1 + old.values.len() + new.values.len();
        // An enum with another name is the same enum only if its values have the same names.
        let names_matter = self.includes_json() || simple_name(&old.name) != simple_name(&new.name);
        let numbers = |kind: &'a Enum| -> HashMap<&'a str, i32> {
            let values = kind.values.iter();
            values
                .flat_map(|(number, names)| {
                    names.iter().map(|value| (value.name.as_str(), *number))
                })
                .collect()
        };
        let (old_numbers, new_numbers) = (numbers(old), numbers(new));
        for (number, names) in &old.values {
            let mut moved = false;
            for value in names {
                if let Some(other) =
                    new_numbers.get(value.name.as_str()).filter(|other| *other != number)
                {
                    moved |=
                        !new.values.get(number).is_some_and(|values| has_name(values, &value.name));
                    self.report_number_change(value, *number, *other, old, new);
                }
            }
            match new.values.get(number) {
                Some(others) if !moved => {
                    self.compare_values(*number, names, others, old, new, names_matter)
                }
                Some(_) => {}
                None if moved => {}
                None => self.report_removed_value(*number, names, old, new, names_matter),
            }
        }
        for (number, names) in &new.values {
            let moved = names.iter().any(|value| old_numbers.contains_key(value.name.as_str()));
            if !old.values.contains_key(number) && !moved {
                self.report_added_value(*number, names, old, new);
            }
        }
        self.compare_enum_features(old, new);
        self.compare_enum_reservations(old, new);
    }

    fn report_number_change(
        &mut self,
        value: &EnumValue,
        before: i32,
        after: i32,
        old: &Enum,
        new: &Enum,
    ) {
        let location = new
            .values
            .get(&after)
            .and_then(|values| values.iter().find(|other| other.name == value.name));
        self.findings.add(
            FindingBuilder::error("PROTOBUF_ENUM_VALUE_NUMBER_CHANGED", Direction::Both)
                .paths(format!("{}.{}", old.name, value.name), format!("{}.{}", new.name, value.name))
                .location(location.map_or(&new.location, |value| &value.location))
                .values(before.to_string(), after.to_string())
                .message(format!(
                    "The value {} of {} has the number {after} instead of {before}: the reader of one version reads \
                     {} of the other as another value.",
                    value.name, new.name, value.name
                ))
                .suggestion(format!("Keep the number {before} for it, and use a new number for the new value.")),
        );
    }

    fn compare_values(
        &mut self,
        number: i32,
        old_names: &[EnumValue],
        new_names: &[EnumValue],
        old: &Enum,
        new: &Enum,
        names_matter: bool,
    ) {
        let list = |names: &[EnumValue]| {
            names.iter().map(|value| value.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let removed_name = old_names.iter().find(|value| !has_name(new_names, &value.name));
        let added_name = new_names.iter().find(|value| !has_name(old_names, &value.name));
        let (Some(first_old), Some(first_new)) = (old_names.first(), new_names.first()) else {
            return;
        };
        if removed_name.is_none() && added_name.is_none() && first_old.name == first_new.name {
            return;
        }
        // JSON is written with the first name of a number and read with any of them.
        let backward = removed_name.is_some();
        let forward = !has_name(old_names, &first_new.name);
        let rule = if removed_name.is_some() {
            "PROTOBUF_ENUM_VALUE_NAME_CHANGED"
        } else {
            "PROTOBUF_ENUM_ALIAS_CHANGED"
        };
        let direction = directions(backward, forward).filter(|_| names_matter);
        let finding = match direction {
            Some(direction) => FindingBuilder::error(rule, direction),
            None => FindingBuilder::info(rule, Direction::Both),
        };
        let effect = match direction {
            Some(_) if !self.includes_json() => {
                "the enum that replaces another gives the number another meaning".to_owned()
            }
            Some(_) => consequence(
                backward.then_some("JSON with the old name is rejected, or read as the default"),
                forward.then_some("JSON with the new name is rejected, or read as the default"),
            ),
            None if names_matter => format!("JSON is still written with {}", first_new.name),
            None => "readers of the binary form use the number".to_owned(),
        };
        let advice = if direction.is_some() {
            "Keep the old name first, and declare the new one after it as an alias (option allow_alias = true)."
        } else {
            ""
        };
        self.findings.add(
            finding
                .paths(
                    format!("{}.{}", old.name, first_old.name),
                    format!("{}.{}", new.name, first_new.name),
                )
                .location(&first_new.location)
                .values(list(old_names), list(new_names))
                .message(format!(
                    "Value {number} of {} has the name {} instead of {}: {effect}.",
                    new.name,
                    list(new_names),
                    list(old_names)
                ))
                .suggestion(advice),
        );
    }

    fn report_removed_value(
        &mut self,
        number: i32,
        names: &[EnumValue],
        old: &Enum,
        new: &Enum,
        names_matter: bool,
    ) {
        let name = names.first().map_or("", |value| value.name.as_str());
        let reserved = new.reserved.contains(number);
        let finding = if new.closed || names_matter {
            FindingBuilder::error("PROTOBUF_ENUM_VALUE_REMOVED", Direction::Backward)
        } else if reserved {
            FindingBuilder::info("PROTOBUF_ENUM_VALUE_REMOVED", Direction::Backward)
        } else {
            FindingBuilder::warning("PROTOBUF_ENUM_VALUE_REMOVED", Direction::Backward)
        };
        let effect = if new.closed {
            "the enum is closed, so new readers of old data keep it as an unknown field and read the default"
        } else if self.includes_json() {
            "new readers reject old JSON with this name, or read it as the default"
        } else if names_matter {
            "old data may contain a number that the enum that replaces it does not have"
        } else {
            "new readers of old data get the number without a name"
        };
        self.findings.add(
            finding.paths(format!("{}.{name}", old.name), &new.name)
                .location(&new.location)
                .values(format!("{name} = {number}"), "")
                .message(format!("The value {name} ({number}) was removed from {}: {effect}.", new.name))
                .suggestion(if reserved {
                    "Keep the value and mark it deprecated.".to_owned()
                } else {
                    format!(
                        "Keep the value and mark it deprecated, or for a new major version reserve {number} and \"{name}\"."
                    )
                }),
        );
    }

    fn report_added_value(&mut self, number: i32, names: &[EnumValue], old: &Enum, new: &Enum) {
        let Some(value) = names.first() else { return };
        let path = format!("{}.{}", new.name, value.name);
        let with_paths = |finding: FindingBuilder| {
            finding
                .paths(&old.name, &path)
                .location(&value.location)
                .values("", format!("{} = {number}", value.name))
        };
        if old.reserved.contains(number) {
            self.findings.add(
                with_paths(FindingBuilder::unproven("PROTOBUF_RESERVED_USED", Direction::Both))
                    .message(format!(
                        "The value {} of {} uses the reserved number {number}: an older version may have used it, \
                         and its data would be read as this value.",
                        value.name, new.name
                    ))
                    .suggestion("Use a number and a name that no version has used."),
            );
        }
        let finding = if old.closed {
            with_paths(FindingBuilder::error("PROTOBUF_ENUM_VALUE_ADDED", Direction::Forward))
                .message(format!(
                    "The value {} ({number}) was added to the closed enum {}: running readers keep it as an unknown \
                     field and read the default.",
                    value.name, new.name
                ))
                .suggestion("Add a new field with a new enum, or register a new major version.")
        } else {
            with_paths(FindingBuilder::warning("PROTOBUF_ENUM_VALUE_ADDED", Direction::Forward)).message(format!(
                "The value {} ({number}) was added to {}: running readers get the number without a name, and JSON \
                 readers that reject unknown names reject it.",
                value.name, new.name
            ))
        };
        self.findings.add(finding);
    }

    fn compare_enum_features(&mut self, old: &Enum, new: &Enum) {
        if old.closed == new.closed {
            return;
        }
        // Writers of a closed enum write only its values, and readers of an open enum accept them
        // all.
        let (direction, before, after, effect) = if new.closed {
            let effect = "old data may contain numbers without a name, which new readers keep as unknown fields";
            (Direction::Backward, "open", "closed", effect)
        } else {
            let effect = "new data may contain numbers without a name, which running readers keep as unknown fields";
            (Direction::Forward, "closed", "open", effect)
        };
        self.findings.add(
            FindingBuilder::error("PROTOBUF_ENUM_OPENNESS_CHANGED", direction)
                .paths(&old.name, &new.name)
                .location(&new.location)
                .values(before, after)
                .message(format!(
                    "The enum {} is {after} instead of {before}: {effect} and read as the default.",
                    new.name
                ))
                .suggestion("Keep the syntax or the feature enum_type of the old version."),
        );
    }

    fn compare_enum_reservations(&mut self, old: &Enum, new: &Enum) {
        let used = Ranges::of(new.values.keys().map(|number| i64::from(*number)));
        let numbers = old.reserved.without(&new.reserved).without(&used);
        let released = no_longer_reserved(numbers, &old.reserved_names, &new.reserved_names);
        if !released.is_empty() {
            self.findings
                .add(reserved_removed(&old.name, &new.name, &released).location(&new.location));
        }
    }
}

fn has_name(names: &[EnumValue], name: &str) -> bool {
    names.iter().any(|value| value.name == name)
}
