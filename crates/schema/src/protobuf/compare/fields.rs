//! Compares two versions of a field.

use crate::finding::Direction;

use super::{
    super::{
        findings::FindingBuilder,
        scalar::{self, Scalar, UNKNOWN_FIELD},
        types::{Cardinality, Field, Kind, Message, Types, field_label, json_form},
    },
    Comparer, consequence, directions,
};

const ADD_ANOTHER: &str =
    "Keep this field and add another one, with a number and a name that no version has used.";

impl<'a> Comparer<'a> {
    /// Compares two fields with the same number. `in_map` is set for the key and the value of a
    /// map, which have no names of their own.
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
            self.findings.add(
                self.about("PROTOBUF_FIELD_PACKING_CHANGED", None, old, new)
                    .values(packing(old), packing(new))
                    .message(format!(
                        "{} changed from {} to {}; every parser reads both, and the bytes differ.",
                        field_label(old),
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
            self.findings.add(
                self.about("PROTOBUF_FIELD_RENAMED", None, old, new)
                    .values(&old.name, &new.name)
                    .message(format!(
                        "{} has the new name \"{}\"; its JSON name is still \"{}\", so only source code is affected.",
                        field_label(old), new.name, new.json_name
                    )),
            );
            return;
        }
        let direction = self.includes_json().then_some(Direction::Both);
        let consequence = if self.includes_json() {
            "readers that know one name reject JSON with the other, or read the field as absent"
        } else {
            "the binary form contains no names, so the readers of this subject are not affected"
        };
        self.findings.add(
            self.about("PROTOBUF_FIELD_JSON_NAME_CHANGED", direction, old, new)
                .values(&old.json_name, &new.json_name)
                .message(format!(
                    "Field {} (\"{}\", now \"{}\") has the JSON name \"{}\" instead of \"{}\": {consequence}.",
                    new.number, old.name, new.name, new.json_name, old.json_name
                ))
                .suggestion(if self.includes_json() {
                    format!("Keep the JSON name: [json_name = \"{}\"].", old.json_name)
                } else {
                    String::new()
                }),
        );
    }

    fn compare_cardinalities(&mut self, old: &Field, new: &Field) {
        use Cardinality::{Explicit, Implicit, Map, Repeated, Required};
        let (from, to) = (old.cardinality, new.cardinality);
        if from != Required && to == Required {
            self.findings.add(
                self.about("PROTOBUF_REQUIRED_ADDED", Some(Direction::Backward), old, new)
                    .values(from.name(), to.name())
                    .message(format!(
                        "{} became required: new readers reject old data in which it is absent.",
                        field_label(old)
                    ))
                    .suggestion("Keep it optional, and check in the application that it is set."),
            );
        }
        if from == Required && to != Required {
            self.findings.add(
                self.about("PROTOBUF_REQUIRED_REMOVED", Some(Direction::Forward), old, new)
                    .values(from.name(), to.name())
                    .message(format!(
                        "{} is no longer required: running readers reject new data in which it is absent.",
                        field_label(old)
                    ))
                    .suggestion("Keep it required for this major version."),
            );
        }
        let (backward, forward) = match (from, to) {
            (Implicit, Explicit) | (Explicit, Implicit) => {
                if old.kind.message().is_none() {
                    self.report_presence_change(old, new);
                }
                return;
            }
            (Implicit | Explicit | Required, Implicit | Explicit | Required)
            | (Repeated, Repeated)
            | (Map, Map) => return,
            (Implicit | Explicit | Required, Repeated | Map) => {
                (None, Some(repeated_misreading(new)))
            }
            (Repeated | Map, Implicit | Explicit | Required) => {
                (Some(repeated_misreading(old)), None)
            }
            (Repeated, Map) => {
                (Some("only the last of several entries with the same key is kept"), None)
            }
            (Map, Repeated) => {
                (None, Some("only the last of several entries with the same key is kept"))
            }
        };
        let (mut backward, mut forward) = (backward, forward);
        if self.includes_json() {
            let json = "JSON with another shape (a value, an array or an object) is rejected";
            backward = backward.or(Some(json));
            forward = forward.or(Some(json));
        }
        let direction = directions(backward.is_some(), forward.is_some());
        self.findings.add(
            self.about("PROTOBUF_FIELD_CARDINALITY_CHANGED", direction, old, new)
                .values(self.old.type_name(old), self.new.type_name(new))
                .message(format!(
                    "{} changed from {} to {}: {}.",
                    field_label(old),
                    from.name(),
                    to.name(),
                    consequence(backward, forward)
                ))
                .suggestion(ADD_ANOTHER),
        );
    }

    fn report_presence_change(&mut self, old: &Field, new: &Field) {
        let effect = if new.cardinality == Cardinality::Explicit {
            "new readers read 0, false or \"\", which old writers omit, as absent"
        } else {
            "new readers cannot distinguish an absent value from 0, false or \"\""
        };
        self.findings.add(
            self.about("PROTOBUF_FIELD_PRESENCE_CHANGED", None, old, new)
                .values(old.cardinality.name(), new.cardinality.name())
                .message(format!(
                    "{} changed from {} to {}: every value is read unchanged, but {effect}.",
                    field_label(old),
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
        let mut backward = self.kind_misreading((old.kind, self.old), (new.kind, self.new));
        let mut forward = self.kind_misreading((new.kind, self.new), (old.kind, self.old));
        if self.includes_json() && backward.is_none() && forward.is_none() {
            // An enum and an integer have the same bytes.
            let json =
                "JSON of one version contains the name of the value, and of the other a number";
            (backward, forward) = (Some(json), Some(json));
        }
        let direction = directions(backward.is_some(), forward.is_some());
        let (before, after) = (self.old.type_name(old), self.new.type_name(new));
        self.findings.add(
            self.about("PROTOBUF_FIELD_TYPE_CHANGED", direction, old, new)
                .message(format!(
                    "{} changed its type from {before} to {after}: {}.",
                    field_label(old),
                    consequence(backward, forward)
                ))
                .values(before, after)
                .suggestion(if direction.is_some() { ADD_ANOTHER } else { "" }),
        );
        self.report_bool_json(old, new);
    }

    /// The rules for the binary form allow this change, because `true` is encoded as 1.
    fn report_bool_json(&mut self, old: &Field, new: &Field) {
        let boolean = |kind| kind == Kind::Scalar(Scalar::Bool);
        let integer = |kind| match kind {
            Kind::Scalar(scalar) => scalar::misreading(Scalar::Bool, scalar).is_none(),
            Kind::Enum(_) | Kind::Message(_) | Kind::Group(_) => false,
        };
        let direction = match (boolean(old.kind), boolean(new.kind)) {
            (true, false) if integer(new.kind) => Direction::Backward,
            (false, true) if integer(old.kind) => Direction::Forward,
            _ => return,
        };
        if self.includes_json() {
            self.findings.add(
                FindingBuilder::warning("PROTOBUF_BOOL_JSON", direction)
                    .paths(&old.full_name, &new.full_name)
                    .location(&new.location)
                    .values(self.old.kind_name(old.kind), self.new.kind_name(new.kind))
                    .message(format!(
                        "{} is a bool in one version and an integer in the other: binary data is read as 1 or 0, but \
                         stored JSON text contains true or false, which parsers of integers reject.",
                        field_label(old)
                    )),
            );
        }
    }

    /// How bytes or JSON of one kind are misread as the other. Not for two messages or two enums.
    fn kind_misreading(
        &self,
        (written, writers): (Kind, &Types),
        (read, readers): (Kind, &Types),
    ) -> Option<&'static str> {
        if written.layout() != read.layout() {
            return Some(UNKNOWN_FIELD);
        }
        let json = self.includes_json().then_some(
            "JSON of one version contains the name of the value, and of the other no name",
        );
        match (written, read) {
            (Kind::Scalar(written), Kind::Scalar(read)) => scalar::misreading(written, read)
                .or_else(|| {
                    scalar::json_misreading(written, read).filter(|_| self.includes_json())
                }),
            (Kind::Enum(index), Kind::Scalar(read)) => scalar::misreading(Scalar::Int32, read)
                .filter(|_| {
                    let kind = writers.enumeration(index);
                    // Writers of a closed enum write only its values.
                    !kind.is_some_and(|kind| {
                        kind.closed
                            && kind.values.keys().all(|number| scalar::preserves(*number, read))
                    })
                })
                .or(json),
            (Kind::Scalar(written), Kind::Enum(index)) => {
                scalar::misreading(written, Scalar::Int32).or(json).or_else(|| {
                    let kind = readers.enumeration(index)?;
                    let known = |number| kind.values.contains_key(&number);
                    let all = written == Scalar::Bool && known(0) && known(1);
                    (kind.closed && !all).then_some(
                        "numbers that the closed enum does not have are kept as unknown fields",
                    )
                })
            }
            // A message and a string or bytes.
            _ => Some(
                "the bytes of a message are read as text or raw bytes, or text or raw bytes as a message",
            ),
        }
    }

    fn compare_message_types(&mut self, old: &Field, new: &Field, from: usize, to: usize) {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else { return };
        let maps = [old.cardinality, new.cardinality] == [Cardinality::Map; 2];
        if a.name != b.name && !maps {
            self.compare_type_names(old, new, from, to);
            let (before, after) = (json_form(&a.name), json_form(&b.name));
            if !same_form(a, b) && self.includes_json() {
                let form = |form: Option<&'static str>| form.unwrap_or("an object of its fields");
                let rule = "PROTOBUF_FIELD_JSON_FORM_CHANGED";
                self.findings.add(
                    self.about(rule, Some(Direction::Both), old, new)
                        .values(form(before), form(after))
                        .message(format!(
                            "{} changed its type from {} to {}, whose JSON is {} instead of {}: readers of one version \
                             reject the other.",
                            field_label(old),
                            a.name,
                            b.name,
                            form(after),
                            form(before)
                        ))
                        .suggestion(ADD_ANOTHER),
                );
            }
        }
        self.enqueue(from, to);
    }

    fn compare_defaults(&mut self, old: &Field, new: &Field) {
        // With different layouts no value is read, which is reported already.
        if old.kind.layout() != new.kind.layout() {
            return;
        }
        let numeric = |kind| !matches!(kind, Kind::Scalar(Scalar::String | Scalar::Bytes));
        let (before, after) = match (&old.default, &new.default) {
            (Some(before), Some(after)) if numeric(old.kind) == numeric(new.kind) => {
                (before.as_str(), after.as_str())
            }
            // A repeated field that is absent is empty, not the default.
            (Some(before), None) if self.old.has_custom_default(old) => (before.as_str(), "none"),
            (None, Some(after)) if self.new.has_custom_default(new) => ("none", after.as_str()),
            _ => return,
        };
        // A writer never omits a required field.
        let may_omit = |field: &Field| field.cardinality != Cardinality::Required;
        let direction = directions(may_omit(old), may_omit(new));
        if before == after || direction.is_none() {
            return;
        }
        self.findings.add(
            self.about("PROTOBUF_FIELD_DEFAULT_CHANGED", direction, old, new)
                .values(before, after)
                .message(format!(
                    "{} has the default {after} instead of {before}: if a writer omits it, readers of the other version \
                     read another value.",
                    field_label(old)
                ))
                .suggestion("Keep the default, and let writers set the new value."),
        );
    }

    fn compare_strings(&mut self, old: &Field, new: &Field) {
        let string = Kind::Scalar(Scalar::String);
        if old.kind != string || new.kind != string || old.utf8 == new.utf8 {
            return;
        }
        // All readers accept text that its writer checked.
        let (direction, before, after, effect) = if new.utf8 {
            let effect = "old data may contain text that is not UTF-8, which new readers reject";
            (Direction::Backward, "not checked", "checked", effect)
        } else {
            let effect =
                "new data may contain text that is not UTF-8, which running readers reject";
            (Direction::Forward, "checked", "not checked", effect)
        };
        self.findings.add(
            self.about("PROTOBUF_FIELD_UTF8_VALIDATION_CHANGED", Some(direction), old, new)
                .values(before, after)
                .message(format!(
                    "{} is {after} to be UTF-8 instead of {before}: {effect}.",
                    field_label(old)
                ))
                .suggestion("Keep the syntax or the feature utf8_validation of the old version."),
        );
    }

    /// A finding about a field: an error if `breaks` is set, otherwise an information.
    pub(super) fn about(
        &self,
        rule: &'static str,
        breaks: Option<Direction>,
        old: &Field,
        new: &Field,
    ) -> FindingBuilder {
        let finding = match breaks {
            Some(direction) => FindingBuilder::error(rule, direction),
            None => FindingBuilder::info(rule, Direction::Both),
        };
        finding.paths(&old.full_name, &new.full_name).location(&new.location)
    }
}

/// Whether two messages have the same JSON form. A message without fields is `{}`, like an empty
/// Struct. (An Any is different: some parsers require "@type".)
fn same_form(old: &Message, new: &Message) -> bool {
    let (before, after) = (json_form(&old.name), json_form(&new.name));
    let is_empty_object =
        |message: &Message| message.fields.is_empty() && json_form(&message.name).is_none();
    let is_struct = |message: &Message| message.name == "google.protobuf.Struct";
    before == after
        || is_empty_object(old) && is_struct(new)
        || is_empty_object(new) && is_struct(old)
}

fn repeated_misreading(field: &Field) -> &'static str {
    match field.kind {
        Kind::Message(_) | Kind::Group(_) => "several messages are merged into one",
        Kind::Enum(_) if field.packed => "packed numbers are not decoded, or only the last is read",
        Kind::Scalar(scalar) if scalar.is_packable() && field.packed => {
            "packed numbers are not decoded, or only the last is read"
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
