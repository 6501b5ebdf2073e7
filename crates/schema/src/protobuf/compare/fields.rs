//! One field, then and now.

use crate::finding::Direction;

use super::{
    super::{
        report::Note,
        types::{Cardinality, Field, Kind, Message, Types},
        wire::{self, Scalar, UNKNOWN},
    },
    Walk, directions,
    messages::json_form,
    whom,
};

const ADD_ANOTHER: &str = "Leave this field as it is and add another one, under a number and a name that were never used.";

impl<'a> Walk<'a> {
    /// Compares two fields of the same number. `in_map`: the key or the value of a map, whose names nobody chose.
    pub(super) fn compare_fields(&mut self, old: &'a Field, new: &'a Field, in_map: bool) {
        if !in_map {
            self.compare_names(old, new);
        }
        self.compare_cardinalities(old, new);
        self.compare_kinds(old, new);
        self.compare_defaults(old, new);
        self.compare_strings(old, new);
        if old.packed != new.packed
            && old.cardinality == Cardinality::Repeated
            && new.cardinality == Cardinality::Repeated
        {
            self.report.add(
                self.about("PROTOBUF_FIELD_PACKING_CHANGED", None, old, new)
                    .values(packing(old), packing(new))
                    .says(format!(
                        "{} was {} and is {}; every parser reads both, and the bytes differ.",
                        described(old),
                        packing(old),
                        packing(new)
                    )),
            );
        }
    }

    fn compare_names(&mut self, old: &Field, new: &Field) {
        if old.name == new.name && old.json_name == new.json_name {
            return;
        }
        if old.json_name == new.json_name {
            self.report.add(
                self.about("PROTOBUF_FIELD_RENAMED", None, old, new)
                    .values(&old.name, &new.name)
                    .says(format!(
                        "{} is called \"{}\" now; its name in JSON is still \"{}\", so only source code notices.",
                        described(old), new.name, new.json_name
                    )),
            );
            return;
        }
        let direction = self.json().then_some(Direction::Both);
        let whom = if self.json() {
            "JSON under the one name is refused, or read as if the field were absent, by readers that know the other"
        } else {
            "the binary form carries no names, so this subject's readers do not notice"
        };
        self.report.add(
            self.about("PROTOBUF_FIELD_JSON_NAME_CHANGED", direction, old, new)
                .values(&old.json_name, &new.json_name)
                .says(format!(
                    "Field {} (\"{}\", now \"{}\") is called \"{}\" instead of \"{}\" in JSON: {whom}.",
                    new.number, old.name, new.name, new.json_name, old.json_name
                ))
                .advises(if self.json() {
                    format!("Keep the name in JSON: [json_name = \"{}\"].", old.json_name)
                } else {
                    String::new()
                }),
        );
    }

    fn compare_cardinalities(&mut self, old: &Field, new: &Field) {
        use Cardinality::{Explicit, Implicit, Map, Repeated, Required};
        let (from, to) = (old.cardinality, new.cardinality);
        if from != Required && to == Required {
            self.report.add(
                self.about("PROTOBUF_REQUIRED_ADDED", Some(Direction::Backward), old, new)
                    .values(from.name(), to.name())
                    .says(format!(
                        "{} became required: new readers refuse old data in which it is absent.",
                        described(old)
                    ))
                    .advises("Leave it optional, and check in the application that it is set."),
            );
        }
        if from == Required && to != Required {
            self.report.add(
                self.about("PROTOBUF_REQUIRED_REMOVED", Some(Direction::Forward), old, new)
                    .values(from.name(), to.name())
                    .says(format!(
                        "{} is no longer required: readers that run now refuse new data in which it is absent.",
                        described(old)
                    ))
                    .advises("Keep it required for this major version."),
            );
        }
        let (backward, forward) = match (from, to) {
            (Implicit, Explicit) | (Explicit, Implicit) => {
                if old.kind.message().is_none() {
                    self.note_presence(old, new);
                }
                return;
            }
            (Implicit | Explicit | Required, Implicit | Explicit | Required)
            | (Repeated, Repeated)
            | (Map, Map) => return,
            (Implicit | Explicit | Required, Repeated | Map) => (None, Some(many(new))),
            (Repeated | Map, Implicit | Explicit | Required) => (Some(many(old)), None),
            (Repeated, Map) => (Some("of entries with the same key only the last is kept"), None),
            (Map, Repeated) => (None, Some("of entries with the same key only the last is kept")),
        };
        let (mut backward, mut forward) = (backward, forward);
        if self.json() {
            let json =
                "JSON has another shape here (a value, an array or an object) and is refused";
            backward = backward.or(Some(json));
            forward = forward.or(Some(json));
        }
        let direction = directions(backward.is_some(), forward.is_some());
        self.report.add(
            self.about("PROTOBUF_FIELD_CARDINALITY_CHANGED", direction, old, new)
                .values(self.old.type_name(old), self.new.type_name(new))
                .says(format!(
                    "{} changed from {} to {}: {}.",
                    described(old),
                    from.name(),
                    to.name(),
                    whom(backward, forward)
                ))
                .advises(ADD_ANOTHER),
        );
    }

    fn note_presence(&mut self, old: &Field, new: &Field) {
        let kept = if new.cardinality == Cardinality::Explicit {
            "new readers see a 0, false or \"\" that an old writer left out as absent"
        } else {
            "new readers cannot tell a value that is absent from 0, false or \"\""
        };
        self.report.add(
            self.about("PROTOBUF_FIELD_PRESENCE_CHANGED", None, old, new)
                .values(old.cardinality.name(), new.cardinality.name())
                .says(format!(
                    "{} changed from {} to {}: every value is read as it was written, but {kept}.",
                    described(old),
                    presence(old),
                    presence(new)
                )),
        );
    }

    pub(super) fn compare_kinds(&mut self, old: &'a Field, new: &'a Field) {
        match (old.kind, new.kind) {
            (Kind::Message(from), Kind::Message(to)) | (Kind::Group(from), Kind::Group(to)) => {
                self.compare_message_types(old, new, from, to);
                return;
            }
            (Kind::Enum(from), Kind::Enum(to)) => {
                self.compare_enum_types(old, new, from, to);
                return;
            }
            (Kind::Scalar(from), Kind::Scalar(to)) if from == to => return,
            _ => {}
        }
        let mut backward = self.kind_harm((old.kind, self.old), (new.kind, self.new));
        let mut forward = self.kind_harm((new.kind, self.new), (old.kind, self.old));
        if self.json() && backward.is_none() && forward.is_none() {
            // An enum and an integer, with the same bytes.
            let json = "JSON has the value's name on the one side and a number on the other";
            (backward, forward) = (Some(json), Some(json));
        }
        let direction = directions(backward.is_some(), forward.is_some());
        let (was, is) = (self.old.type_name(old), self.new.type_name(new));
        self.report.add(
            self.about("PROTOBUF_FIELD_TYPE_CHANGED", direction, old, new)
                .says(format!(
                    "{} changed its type from {was} to {is}: {}.",
                    described(old),
                    whom(backward, forward)
                ))
                .values(was, is)
                .advises(if direction.is_some() { ADD_ANOTHER } else { "" }),
        );
        self.note_bool(old, new);
    }

    /// The rules go by the binary form here, in which true is 1.
    fn note_bool(&mut self, old: &Field, new: &Field) {
        let boolean = |kind| kind == Kind::Scalar(Scalar::Bool);
        let integer = |kind| match kind {
            Kind::Scalar(scalar) => wire::harm(Scalar::Bool, scalar).is_none(),
            Kind::Enum(_) | Kind::Message(_) | Kind::Group(_) => false,
        };
        let direction = match (boolean(old.kind), boolean(new.kind)) {
            (true, false) if integer(new.kind) => Direction::Backward,
            (false, true) if integer(old.kind) => Direction::Forward,
            _ => return,
        };
        if self.json() {
            self.report.add(
                Note::warning("PROTOBUF_BOOL_JSON", direction)
                    .at(&old.full_name, &new.full_name)
                    .place(&new.place)
                    .values(self.old.kind_name(old.kind), self.new.kind_name(new.kind))
                    .says(format!(
                        "{} is a bool on the one side and an integer on the other: binary data is read as 1 or 0, but \
                         JSON that was kept as text says true or false, which parsers of integers refuse.",
                        described(old)
                    )),
            );
        }
    }

    /// What goes wrong where bytes or JSON of the one kind are read as the other. Not for two messages or two enums.
    fn kind_harm(
        &self,
        (written, writers): (Kind, &Types),
        (read, readers): (Kind, &Types),
    ) -> Option<&'static str> {
        if written.layout() != read.layout() {
            return Some(UNKNOWN);
        }
        let json = self
            .json()
            .then_some("JSON has the value's name on the one side and no name on the other");
        match (written, read) {
            (Kind::Scalar(written), Kind::Scalar(read)) => wire::harm(written, read)
                .or_else(|| wire::json_harm(written, read).filter(|_| self.json())),
            (Kind::Enum(index), Kind::Scalar(read)) => wire::harm(Scalar::Int32, read)
                .filter(|_| {
                    let kind = writers.enumeration(index);
                    // Writers of a closed enum write its values alone.
                    !kind.is_some_and(|it| {
                        it.closed && it.values.keys().all(|number| wire::kept(*number, read))
                    })
                })
                .or(json),
            (Kind::Scalar(written), Kind::Enum(index)) => {
                wire::harm(written, Scalar::Int32).or(json).or_else(|| {
                    let kind = readers.enumeration(index)?;
                    let known = |number| kind.values.contains_key(&number);
                    let all = written == Scalar::Bool && known(0) && known(1);
                    (kind.closed && !all).then_some(
                        "numbers that the closed enum does not know are set aside as unknown fields",
                    )
                })
            }
            // A message and a string or bytes.
            _ => Some("the bytes of a message and text or raw bytes are taken for each other"),
        }
    }

    fn compare_message_types(&mut self, old: &Field, new: &Field, from: usize, to: usize) {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else { return };
        let maps = [old.cardinality, new.cardinality] == [Cardinality::Map; 2];
        if a.name != b.name && !maps {
            self.compare_type_names(old, new, from, to);
            let (was, is) = (json_form(&a.name), json_form(&b.name));
            if !same_form(a, b) && self.json() {
                let form = |form: Option<&'static str>| form.unwrap_or("an object of its fields");
                let rule = "PROTOBUF_FIELD_JSON_FORM_CHANGED";
                self.report.add(
                    self.about(rule, Some(Direction::Both), old, new)
                        .values(form(was), form(is))
                        .says(format!(
                            "{} changed its type from {} to {}, whose JSON is {} instead of {}: readers of the one \
                             refuse the other.",
                            described(old),
                            a.name,
                            b.name,
                            form(is),
                            form(was)
                        ))
                        .advises(ADD_ANOTHER),
                );
            }
        }
        self.meet(from, to);
    }

    fn compare_defaults(&mut self, old: &Field, new: &Field) {
        // Where the layouts differ nothing of the one is read by the other, and that is said already.
        if old.kind.layout() != new.kind.layout() {
            return;
        }
        let numeric = |kind| !matches!(kind, Kind::Scalar(Scalar::String | Scalar::Bytes));
        let (was, is) = match (&old.default, &new.default) {
            (Some(was), Some(is)) if numeric(old.kind) == numeric(new.kind) => {
                (was.as_str(), is.as_str())
            }
            // What a list reads as nothing was a value of its own.
            (Some(was), None) if self.old.means_something(old) => (was.as_str(), "nothing"),
            (None, Some(is)) if self.new.means_something(new) => ("nothing", is.as_str()),
            _ => return,
        };
        // A writer never leaves out what it requires.
        let leaves_out = |field: &Field| field.cardinality != Cardinality::Required;
        let direction = directions(leaves_out(old), leaves_out(new));
        if was == is || direction.is_none() {
            return;
        }
        self.report.add(
            self.about("PROTOBUF_FIELD_DEFAULT_CHANGED", direction, old, new)
                .values(was, is)
                .says(format!(
                    "{} has the default {is} instead of {was}: where a writer left it out, readers of the other \
                     version read a value that the writer did not mean.",
                    described(old)
                ))
                .advises("Keep the default, and let writers set the new value."),
        );
    }

    fn compare_strings(&mut self, old: &Field, new: &Field) {
        let string = Kind::Scalar(Scalar::String);
        if old.kind != string || new.kind != string || old.utf8 == new.utf8 {
            return;
        }
        // Text that is checked where it is written is read by all.
        let (direction, was, is, hurt) = if new.utf8 {
            let hurt = "old data may have text that is no UTF-8, which new readers refuse";
            (Direction::Backward, "not checked", "checked", hurt)
        } else {
            let hurt = "new data may have text that is no UTF-8, which readers that run now refuse";
            (Direction::Forward, "checked", "not checked", hurt)
        };
        self.report.add(
            self.about("PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED", Some(direction), old, new)
                .values(was, is)
                .says(format!("{} is {is} to be UTF-8 and was {was}: {hurt}.", described(old)))
                .advises("Keep the syntax or the feature utf8_validation as it was."),
        );
    }

    /// A finding about a field. Without a direction that breaks it is an information.
    pub(super) fn about(
        &self,
        rule: &'static str,
        breaks: Option<Direction>,
        old: &Field,
        new: &Field,
    ) -> Note {
        let note = match breaks {
            Some(direction) => Note::error(rule, direction),
            None => Note::info(rule, Direction::Both),
        };
        note.at(&old.full_name, &new.full_name).place(&new.place)
    }
}

/// Whether two messages look alike in JSON. One without fields is `{}`, which is a Struct with
/// nothing in it. (Of an Any some parsers require an "@type".)
fn same_form(one: &Message, other: &Message) -> bool {
    let (was, is) = (json_form(&one.name), json_form(&other.name));
    let holds_nothing = |it: &Message| it.fields.is_empty() && json_form(&it.name).is_none();
    let is_struct = |it: &Message| it.name == "google.protobuf.Struct";
    was == is || holds_nothing(one) && is_struct(other) || holds_nothing(other) && is_struct(one)
}

/// How a sentence begins.
pub(super) fn described(field: &Field) -> String {
    if field.extension {
        return format!("Extension {} ({})", field.number, field.full_name);
    }
    let owner = field.full_name.rsplit_once('.').map_or("", |(owner, _)| owner);
    format!("Field {} (\"{}\") of {owner}", field.number, field.name)
}

fn many(field: &Field) -> &'static str {
    match field.kind {
        Kind::Message(_) | Kind::Group(_) => "several messages are merged into one",
        Kind::Enum(_) if field.packed => {
            "packed numbers are not understood, or only the last is read"
        }
        Kind::Scalar(scalar) if scalar.packs() && field.packed => {
            "packed numbers are not understood, or only the last is read"
        }
        Kind::Scalar(_) | Kind::Enum(_) => "only the last value is read",
    }
}

fn packing(field: &Field) -> &'static str {
    if field.packed { "packed" } else { "one tag per value" }
}

fn presence(field: &Field) -> &'static str {
    match field.cardinality {
        Cardinality::Implicit => "a field without presence",
        Cardinality::Explicit
        | Cardinality::Required
        | Cardinality::Repeated
        | Cardinality::Map => "a field with presence",
    }
}
