//! One enum, then and now.

use std::collections::HashMap;

use crate::finding::Direction;

use super::{
    super::{
        ranges::Ranges,
        report::Note,
        types::{Enum, EnumValue, Field},
    },
    Walk, directions,
    fields::described,
    last,
    messages::{no_longer_reserved, reserved_removed},
    whom,
};

impl<'a> Walk<'a> {
    pub(super) fn compare_enum_types(&mut self, old: &Field, new: &Field, from: usize, to: usize) {
        let (Some(a), Some(b)) = (self.old.enumeration(from), self.new.enumeration(to)) else {
            return;
        };
        if a.name != b.name {
            let null = "google.protobuf.NullValue";
            if self.json() && (a.name == null) != (b.name == null) {
                self.report.add(
                    self.about("PROTOBUF_FIELD_JSON_FORM_CHANGED", Some(Direction::Both), old, new)
                        .values(&a.name, &b.name)
                        .says(format!(
                            "{} changed its type from {} to {}: only one of them is null in JSON.",
                            described(old),
                            a.name,
                            b.name
                        ))
                        .advises("Keep the type, or add another field for the new one."),
                );
            }
            self.report.add(
                self.about("PROTOBUF_FIELD_TYPE_RENAMED", None, old, new)
                    .values(&a.name, &b.name)
                    .says(format!(
                        "{} changed its type from the enum {} to {}: its values are compared one by one.",
                        described(old),
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
        // An enum of another name is the same one where it has the same values, and names are how one knows that.
        let named = self.json() || last(&old.name) != last(&new.name);
        let numbers = |it: &'a Enum| -> HashMap<&'a str, i32> {
            let values = it.values.iter();
            values
                .flat_map(|(number, names)| names.iter().map(|it| (it.name.as_str(), *number)))
                .collect()
        };
        let (old_numbers, new_numbers) = (numbers(old), numbers(new));
        for (number, names) in &old.values {
            let mut moved = false;
            for value in names {
                if let Some(other) = new_numbers.get(value.name.as_str()).filter(|it| *it != number)
                {
                    moved |= !new.values.get(number).is_some_and(|it| has(it, &value.name));
                    self.note_number(value, *number, *other, old, new);
                }
            }
            match new.values.get(number) {
                Some(others) if !moved => {
                    self.compare_values(*number, names, others, old, new, named)
                }
                Some(_) => {}
                None if moved => {}
                None => self.note_value_removed(*number, names, old, new, named),
            }
        }
        for (number, names) in &new.values {
            let moved = names.iter().any(|value| old_numbers.contains_key(value.name.as_str()));
            if !old.values.contains_key(number) && !moved {
                self.note_value_added(*number, names, old, new);
            }
        }
        self.compare_enum_features(old, new);
        self.compare_enum_reservations(old, new);
    }

    fn note_number(&mut self, value: &EnumValue, was: i32, is: i32, old: &Enum, new: &Enum) {
        let place = new.values.get(&is).and_then(|it| it.iter().find(|it| it.name == value.name));
        self.report.add(
            Note::error("PROTOBUF_ENUM_VALUE_NUMBER_CHANGED", Direction::Both)
                .at(format!("{}.{}", old.name, value.name), format!("{}.{}", new.name, value.name))
                .place(place.map_or(&new.place, |it| &it.place))
                .values(was.to_string(), is.to_string())
                .says(format!(
                    "The value {} of {} has the number {is} instead of {was}: what the one side writes as {} the other \
                     reads as something else.",
                    value.name, new.name, value.name
                ))
                .advises(format!("Keep the number {was} for it, and give the new value a new number.")),
        );
    }

    fn compare_values(
        &mut self,
        number: i32,
        old_names: &[EnumValue],
        new_names: &[EnumValue],
        old: &Enum,
        new: &Enum,
        named: bool,
    ) {
        let list = |names: &[EnumValue]| {
            names.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let gone = old_names.iter().find(|it| !has(new_names, &it.name));
        let came = new_names.iter().find(|it| !has(old_names, &it.name));
        let (Some(first_old), Some(first_new)) = (old_names.first(), new_names.first()) else {
            return;
        };
        if gone.is_none() && came.is_none() && first_old.name == first_new.name {
            return;
        }
        // JSON is written with the first name of a number and read with any of them.
        let backward = gone.is_some();
        let forward = !has(old_names, &first_new.name);
        let rule = if gone.is_some() {
            "PROTOBUF_ENUM_VALUE_NAME_CHANGED"
        } else {
            "PROTOBUF_ENUM_ALIAS_CHANGED"
        };
        let direction = directions(backward, forward).filter(|_| named);
        let note = match direction {
            Some(direction) => Note::error(rule, direction),
            None => Note::info(rule, Direction::Both),
        };
        let hurt = match direction {
            Some(_) if !self.json() => {
                "the enum that takes the place of another gives the number another meaning"
                    .to_owned()
            }
            Some(_) => whom(
                backward.then_some("JSON with the old name is refused, or read as the default"),
                forward.then_some("JSON with the new name is refused, or read as the default"),
            ),
            None if named => format!("JSON is still written with {}", first_new.name),
            None => "the number is what readers of the binary form go by".to_owned(),
        };
        let advice = if direction.is_some() {
            "Keep the old name first, and declare the new one behind it as an alias (option allow_alias = true)."
        } else {
            ""
        };
        self.report.add(
            note.at(
                format!("{}.{}", old.name, first_old.name),
                format!("{}.{}", new.name, first_new.name),
            )
            .place(&first_new.place)
            .values(list(old_names), list(new_names))
            .says(format!(
                "Value {number} of {} is called {} instead of {}: {hurt}.",
                new.name,
                list(new_names),
                list(old_names)
            ))
            .advises(advice),
        );
    }

    fn note_value_removed(
        &mut self,
        number: i32,
        names: &[EnumValue],
        old: &Enum,
        new: &Enum,
        named: bool,
    ) {
        let name = names.first().map_or("", |it| it.name.as_str());
        let reserved = new.reserved.has(number);
        let note = if new.closed || named {
            Note::error("PROTOBUF_ENUM_VALUE_REMOVED", Direction::Backward)
        } else if reserved {
            Note::info("PROTOBUF_ENUM_VALUE_REMOVED", Direction::Backward)
        } else {
            Note::warning("PROTOBUF_ENUM_VALUE_REMOVED", Direction::Backward)
        };
        let hurt = if new.closed {
            "the enum is closed, so new readers set it aside in old data and read the default"
        } else if self.json() {
            "new readers refuse old JSON that has this name, or read it as the default"
        } else if named {
            "old data may hold a number that the enum now in its place does not know"
        } else {
            "new readers of old data see the bare number"
        };
        self.report.add(
            note.at(format!("{}.{name}", old.name), &new.name)
                .place(&new.place)
                .values(format!("{name} = {number}"), "")
                .says(format!("The value {name} ({number}) was removed from {}: {hurt}.", new.name))
                .advises(if reserved {
                    "Keep the value and mark it deprecated.".to_owned()
                } else {
                    format!(
                        "Keep the value and mark it deprecated, or for a new major version reserve {number} and \"{name}\"."
                    )
                }),
        );
    }

    fn note_value_added(&mut self, number: i32, names: &[EnumValue], old: &Enum, new: &Enum) {
        let Some(value) = names.first() else { return };
        let path = format!("{}.{}", new.name, value.name);
        let named = |note: Note| {
            note.at(&old.name, &path)
                .place(&value.place)
                .values("", format!("{} = {number}", value.name))
        };
        if old.reserved.has(number) {
            self.report.add(
                named(Note::unproven("PROTOBUF_RESERVED_USED", Direction::Both))
                    .says(format!(
                        "The value {} of {} uses the number {number}, which was reserved: an older version may have \
                         used it, and its data would be read as this value.",
                        value.name, new.name
                    ))
                    .advises("Use a number and a name that were never used."),
            );
        }
        let note = if old.closed {
            named(Note::error("PROTOBUF_ENUM_VALUE_ADDED", Direction::Forward))
                .says(format!(
                    "The value {} ({number}) was added to the closed enum {}: readers that run now set it aside and \
                     read the default.",
                    value.name, new.name
                ))
                .advises("Add a new field with a new enum, or register a new major version.")
        } else {
            named(Note::warning("PROTOBUF_ENUM_VALUE_ADDED", Direction::Forward)).says(format!(
                "The value {} ({number}) was added to {}: readers that run now see the bare number, and those of JSON \
                 that refuse unknown names refuse it.",
                value.name, new.name
            ))
        };
        self.report.add(note);
    }

    fn compare_enum_features(&mut self, old: &Enum, new: &Enum) {
        if old.closed == new.closed {
            return;
        }
        // Writers of a closed enum write its values alone, which every reader of an open one takes.
        let (direction, was, is, hurt) = if new.closed {
            let hurt = "old data may have numbers without a name, which new readers set aside";
            (Direction::Backward, "open", "closed", hurt)
        } else {
            let hurt =
                "new data may have numbers without a name, which readers that run now set aside";
            (Direction::Forward, "closed", "open", hurt)
        };
        self.report.add(
            Note::error("PROTOBUF_ENUM_OPENNESS_CHANGED", direction)
                .at(&old.name, &new.name)
                .place(&new.place)
                .values(was, is)
                .says(format!(
                    "The enum {} is {is} instead of {was}: {hurt} to read the default.",
                    new.name
                ))
                .advises("Keep the syntax or the feature enum_type as it was."),
        );
    }

    fn compare_enum_reservations(&mut self, old: &Enum, new: &Enum) {
        let used = Ranges::of(new.values.keys().map(|it| i64::from(*it)));
        let gone = old.reserved.without(&new.reserved).without(&used);
        let gone = no_longer_reserved(gone, &old.reserved_names, &new.reserved_names);
        if !gone.is_empty() {
            self.report.add(reserved_removed(&old.name, &new.name, &gone).place(&new.place));
        }
    }
}

fn has(names: &[EnumValue], name: &str) -> bool {
    names.iter().any(|it| it.name == name)
}
