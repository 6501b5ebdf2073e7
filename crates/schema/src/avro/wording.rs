//! What an issue says: its rule, how much it weighs, one sentence, and what to do instead.

use super::{
    compare::{Break, Sides, Spot},
    logical::Logical,
    model::{Field, Kind, Model, TypeId},
    resolve::Issue,
};
use crate::finding::{Direction, Finding, Severity};

/// What to do where nothing but a new field keeps both sides reading.
const NEW_FIELD: &str = "keep it as it is, and add a field under another name with a default; or register a new major version";

/// What is told of an issue.
struct Told {
    rule: &'static str,
    old_value: String,
    new_value: String,
    message: String,
    suggestion: String,
    /// What the paths end in besides: a field that one side alone has.
    field: Option<(Side, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// A value short enough for a report.
pub fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 160;
    let mut cut: String = text.chars().take(CHARACTERS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// Tells an issue.
pub fn tell(sides: &Sides<'_>, it: &Break<'_>) -> Finding {
    let told = Teller { sides, it }.tell();
    let Spot { mut old_path, mut new_path, mut place } = it.spot.clone();
    match told.field {
        Some((Side::Old, name)) => {
            old_path = join(&old_path, &name);
            new_path = String::new();
        }
        Some((Side::New, name)) => {
            new_path = join(&new_path, &name);
            old_path = String::new();
            let field = match &sides.new.get(it.new).kind {
                Kind::Record(record) => record.fields.iter().find(|field| field.name == name),
                _ => None,
            };
            if let Some(Field { at, .. }) = field {
                place = sides.new.place(*at, &new_path);
            }
        }
        None => {}
    }
    Finding {
        rule: told.rule,
        severity: if it.issue.breaks() { Severity::Error } else { Severity::Warning },
        direction: it.direction,
        proven: it.issue.proven(),
        old_path,
        new_path,
        old_value: short(&told.old_value),
        new_value: short(&told.new_value),
        message: told.message,
        suggestion: told.suggestion,
        counterexample: None,
        place,
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.into() } else { format!("{path}.{field}") }
}

/// What cannot be done, by direction.
fn hurt(direction: Direction, old: &str, new: &str) -> String {
    match direction {
        Direction::Backward => format!("new readers cannot read data that was written as {old}"),
        Direction::Forward => format!("readers that run now cannot read what is written as {new}"),
        Direction::Both => "neither side can read what the other wrote".into(),
    }
}

/// Who reads, by direction.
fn readers(direction: Direction) -> &'static str {
    match direction {
        Direction::Backward => "new readers of old data",
        Direction::Forward => "readers that run now",
        Direction::Both => "readers of either version",
    }
}

struct Teller<'s> {
    sides: &'s Sides<'s>,
    it: &'s Break<'s>,
}

impl Teller<'_> {
    /// The model that reads and the model that wrote. In both directions: as backward.
    fn roles(&self) -> (&Model, TypeId, &Model, TypeId) {
        let Sides { old, new } = self.sides;
        match self.it.direction {
            Direction::Backward | Direction::Both => (new, self.it.new, old, self.it.old),
            Direction::Forward => (old, self.it.old, new, self.it.new),
        }
    }

    fn backward(&self) -> bool {
        self.it.direction != Direction::Forward
    }

    fn what(&self) -> &str {
        match (self.it.spot.new_path.as_str(), self.it.spot.old_path.as_str()) {
            ("", "") => "the schema",
            ("", old) => old,
            (new, _) => new,
        }
    }

    fn labels(&self) -> (String, String) {
        let old = self.sides.old.label(self.it.old);
        let new = self.sides.new.label(self.it.new);
        (short(&old), short(&new))
    }

    fn told(&self, rule: &'static str, message: String, suggestion: impl Into<String>) -> Told {
        let (old_value, new_value) = self.labels();
        Told { rule, old_value, new_value, message, suggestion: suggestion.into(), field: None }
    }

    fn tell(&self) -> Told {
        match self.it.issue {
            Issue::Type => self.type_changed(),
            Issue::Name => self.name_changed(),
            Issue::FixedSize => self.fixed_size(),
            Issue::FieldMissing { field } => self.field_missing(*field),
            Issue::DefaultElsewhere { field, risky } => self.default_elsewhere(*field, *risky),
            Issue::FieldAmbiguous { field, names } => self.field_ambiguous(*field, names),
            Issue::FieldShared { name, fields } => self.field_shared(name, fields),
            Issue::AliasElsewhere { field, name } => self.alias_elsewhere(*field, name),
            Issue::Symbols { unknown, count, default } => {
                self.symbols(unknown, *count, default.as_deref())
            }
            Issue::Branch { branch } => self.branch(*branch),
            Issue::Logical { .. } => self.logical(),
            Issue::LogicalNarrows => self.logical_narrows(),
            Issue::LogicalOneSided => self.logical_one_sided(),
            Issue::LogicalCustom => self.logical_custom(),
            Issue::Lossy => self.lossy(),
            Issue::BytesAsString => self.bytes_as_string(),
            Issue::Namespace => self.namespace(),
            Issue::NamespaceInUnion => self.namespace_in_union(),
            Issue::Choice { first, same } => self.choice(*first, *same),
            Issue::Bound => self.told(
                "AVRO_COMPARISON_BOUND",
                "the schemas bring too many pairs of types together to look at all of them, so what was not looked at counts as incompatible".into(),
                "use fewer types that recur through one another under the same names",
            ),
        }
    }

    fn type_changed(&self) -> Told {
        let (old, new) = self.labels();
        let hurt = hurt(self.it.direction, &old, &new);
        let message = format!("{} changed from {old} to {new}: {hurt}", self.what());
        let suggestion = match self.it.direction {
            Direction::Forward => {
                "register it as a new major version once readers are ready for it; or keep the type, and add a field under another name with a default"
            }
            Direction::Backward | Direction::Both => NEW_FIELD,
        };
        self.told("AVRO_TYPE_CHANGED", message, suggestion)
    }

    fn name_changed(&self) -> Told {
        let (old, new) = self.labels();
        let hurt = hurt(self.it.direction, &old, &new);
        let message = format!(
            "{} changed from {old} to {new}, and types are matched by name: {hurt}",
            self.what()
        );
        let name = self.sides.old.get(self.it.old).name().map_or("", |it| it.full());
        let suggestion = match self.it.direction {
            Direction::Forward => {
                format!("keep the name {name}: readers that run now know no other")
            }
            Direction::Backward => format!("give the new type the alias \"{name}\""),
            Direction::Both => format!(
                "keep the name {name}; the alias \"{name}\" on the new type would help new readers alone"
            ),
        };
        self.told("AVRO_NAME_CHANGED", message, suggestion)
    }

    fn fixed_size(&self) -> Told {
        let (old, new) = self.labels();
        let hurt = hurt(self.it.direction, &old, &new);
        let message = format!("the size of {} changed from {old} to {new}: {hurt}", self.what());
        self.told("AVRO_FIXED_SIZE_CHANGED", message, NEW_FIELD)
    }

    fn field_missing(&self, field: usize) -> Told {
        let (model, record, other, written) = self.roles();
        let (name, label) = match model.field((record, field)) {
            Some(field) => (field.name.clone(), short(&model.label(field.of))),
            None => (String::new(), String::new()),
        };
        let renamed = renamed(model, record, field, other, written);
        if self.backward() {
            let message = format!(
                "the field {name} ({label}) was added to {} without a default: new readers cannot read data that was written without it",
                self.what()
            );
            let suggestion = match renamed {
                Some(old) => format!(
                    "give it a default; or, where it is {old} renamed, \"aliases\": [\"{old}\"]"
                ),
                None => format!("give it a default{}", example(model, record, field)),
            };
            Told {
                rule: "AVRO_FIELD_ADDED_WITHOUT_DEFAULT",
                old_value: String::new(),
                new_value: label,
                message,
                suggestion,
                field: Some((Side::New, name)),
            }
        } else {
            let message = format!(
                "the field {name} ({label}) was removed from {}, and the old schema has no default for it: readers that run now cannot read data without it",
                self.what()
            );
            let suggestion = match renamed {
                Some(new) => format!("keep {name} beside {new}: an alias helps new readers alone"),
                None => "keep it; or give it a default in one version, and remove it in a new major version".into(),
            };
            Told {
                rule: "AVRO_FIELD_REMOVED_WITHOUT_DEFAULT",
                old_value: label,
                new_value: String::new(),
                message,
                suggestion,
                field: Some((Side::Old, name)),
            }
        }
    }

    fn default_elsewhere(&self, field: usize, risky: bool) -> Told {
        let (model, record, ..) = self.roles();
        let (name, label, default) = match model.field((record, field)) {
            Some(field) => {
                let default = field.default.as_ref().map_or("", |it| &it.0);
                (field.name.clone(), short(&model.label(field.of)), short(default))
            }
            None => (String::new(), String::new(), String::new()),
        };
        let fate =
            if risky { "take it for a value of that branch, or fail" } else { "may refuse it" };
        let message = format!(
            "{} have no data for the field {name} of {}, and its default {default} is not of the first branch of {label}: libraries that follow the specification before 1.12 {fate}",
            readers(self.it.direction),
            self.what()
        );
        let suggestion = "put the branch of the default first";
        Told {
            new_value: label,
            ..self.told("AVRO_DEFAULT_NOT_OF_FIRST_BRANCH", message, suggestion)
        }
    }

    fn field_ambiguous(&self, field: usize, names: &[String]) -> Told {
        let (model, record, ..) = self.roles();
        let name = model.field((record, field)).map_or("", |it| &it.name);
        let message = format!(
            "the field {name} of {} stands for several fields of the data by its name and aliases ({}): {} cannot tell which one it is",
            self.what(),
            names.join(", "),
            readers(self.it.direction)
        );
        self.told(
            "AVRO_FIELD_AMBIGUOUS",
            message,
            "remove the alias that is the name of another field",
        )
    }

    fn field_shared(&self, name: &str, fields: &[String]) -> Told {
        let message = format!(
            "the field {name} of {} is claimed by several fields of the reader, by name or alias ({}): libraries differ in which of them gets its value",
            self.what(),
            fields.join(", ")
        );
        self.told("AVRO_FIELD_ALIAS_SHARED", message, "let one field alone have that name or alias")
    }

    fn alias_elsewhere(&self, field: usize, name: &str) -> Told {
        let (model, record, other, written) = self.roles();
        let reader = model.field((record, field)).map_or("", |it| &it.name);
        let full = other.get(written).name().map_or("", |it| it.full());
        let message = format!(
            "the field {reader} of {} finds {name} by its alias, in a record that changed its namespace: libraries that look for aliases under the full name {full} miss it",
            self.what()
        );
        let suggestion = format!("keep the namespace, or give the record the alias \"{full}\"");
        self.told("AVRO_FIELD_ALIAS_IN_OTHER_NAMESPACE", message, suggestion)
    }

    fn symbols(&self, unknown: &[String], count: usize, default: Option<&str>) -> Told {
        let mut list = unknown.join(", ");
        if count > unknown.len() {
            list.push_str(&format!(" and {} more", count - unknown.len()));
        }
        let list = short(&list);
        let noun = if count == 1 { "symbol" } else { "symbols" };
        let verb = if count == 1 { "was" } else { "were" };
        let what = self.what();
        let backward = self.backward();
        let done = if backward { "removed from" } else { "added to" };
        let start = format!("the {noun} {list} {verb} {done} {what}");
        let (rule, message, suggestion) = match (default, backward) {
            (Some(default), _) => {
                let them = if count == 1 { "it" } else { "them" };
                let message = format!(
                    "{start}: {} read {default} in place of {them}",
                    readers(self.it.direction)
                );
                ("AVRO_SYMBOL_READ_AS_DEFAULT", message, "")
            }
            (None, true) => {
                let message = format!(
                    "{start}, and the enum has no default: new readers cannot read old data that holds {}",
                    if count == 1 { "it" } else { "one of them" }
                );
                (
                    "AVRO_SYMBOL_REMOVED",
                    message,
                    "keep the symbol; or give the enum a \"default\", which readers take in place of symbols they do not know",
                )
            }
            (None, false) => {
                let message = format!(
                    "{start}, and the enum had no default: readers that run now cannot read data that holds {}",
                    if count == 1 { "it" } else { "one of them" }
                );
                (
                    "AVRO_SYMBOL_ADDED",
                    message,
                    "give the enum a \"default\" first, in a version of its own; readers that have it can take new symbols later",
                )
            }
        };
        let (old_value, new_value) =
            if backward { (list, String::new()) } else { (String::new(), list) };
        Told { rule, old_value, new_value, message, suggestion: suggestion.into(), field: None }
    }

    fn branch(&self, branch: TypeId) -> Told {
        let (_, _, model, writer) = self.roles();
        let label = short(&model.label(branch));
        let (old, new) = self.labels();
        let what = self.what();
        let whole = branch == writer;
        let message = match (self.backward(), whole) {
            (true, true) => format!(
                "{what} changed from {old} to {new}, which has no branch for it: {}",
                hurt(Direction::Backward, &old, &new)
            ),
            (false, true) => format!(
                "{what} changed from {old} to {new}, and the old union has no branch for it: {}",
                hurt(Direction::Forward, &old, &new)
            ),
            (true, false) => format!(
                "{what} no longer takes {label}: new readers cannot read old data that holds one"
            ),
            (false, false) => format!(
                "{what} takes {label} as well: readers that run now, which know {old}, cannot read data that holds one"
            ),
        };
        let suggestion = if self.backward() {
            format!("keep {label} among the branches")
        } else {
            "add a field under another name with a default; or register a new major version".into()
        };
        let rule = if self.backward() { "AVRO_BRANCH_REMOVED" } else { "AVRO_BRANCH_ADDED" };
        self.told(rule, message, suggestion)
    }

    fn logical(&self) -> Told {
        let (old, new) = self.labels();
        let old_logical = &self.sides.old.get(self.it.old).logical;
        let new_logical = &self.sides.new.get(self.it.new).logical;
        let what = self.what();
        if let (
            Some(Logical::Decimal { precision, scale }),
            Some(Logical::Decimal { precision: new_precision, scale: new_scale }),
        ) = (old_logical, new_logical)
        {
            let hurt = if scale == new_scale {
                format!(
                    "the specification has decimals match in precision and scale alone, and {} may round or refuse",
                    readers(self.it.direction)
                )
            } else {
                format!(
                    "{} would read numbers with the point in another place",
                    readers(self.it.direction)
                )
            };
            let message = format!(
                "{what} changed from decimal({precision}, {scale}) to decimal({new_precision}, {new_scale}): {hurt}"
            );
            return self.told("AVRO_DECIMAL_CHANGED", message, NEW_FIELD);
        }
        let zone = match (old_logical, new_logical) {
            (Some(old), Some(new)) => old.differs_in_zone(new),
            _ => false,
        };
        let hurt = if zone {
            "the one is an instant, the other a clock on a wall"
        } else {
            "the same bytes mean something else"
        };
        let message = format!(
            "{what} changed from {old} to {new}: {hurt}, and {} would not notice",
            readers(self.it.direction)
        );
        self.told("AVRO_LOGICAL_TYPE_CHANGED", message, NEW_FIELD)
    }

    fn logical_narrows(&self) -> Told {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new}: nothing says that what was written without the logical type is a value of it, and {} may refuse or misread it",
            self.what(),
            readers(self.it.direction)
        );
        self.told("AVRO_LOGICAL_TYPE_NARROWS", message, NEW_FIELD)
    }

    fn logical_one_sided(&self) -> Told {
        let (old, new) = self.labels();
        let added = self.sides.old.get(self.it.old).logical.is_none();
        let rule = if added { "AVRO_LOGICAL_TYPE_ADDED" } else { "AVRO_LOGICAL_TYPE_REMOVED" };
        // Who reads plain values as logical ones, and who the other way round.
        let hurt = match (self.it.direction, added) {
            (Direction::Backward, true) => {
                format!("new readers take the plain values of old data for {new}")
            }
            (Direction::Forward, true) => {
                format!("readers that run now see plain values where {new} is meant")
            }
            (Direction::Backward, false) => {
                format!("new readers see plain values where old data means {old}")
            }
            (Direction::Forward, false) => {
                format!("readers that run now take the plain values of new data for {old}")
            }
            (Direction::Both, _) => {
                "the one side sees plain values, and the other takes plain values for logical ones"
                    .into()
            }
        };
        let message = format!("{} changed from {old} to {new}: {hurt}", self.what());
        self.told(rule, message, "see that both sides mean the same, unit and zone included")
    }

    fn logical_custom(&self) -> Told {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new}: logical types that the specification does not name mean what each reader was told",
            self.what()
        );
        self.told("AVRO_LOGICAL_TYPE_CUSTOM", message, "")
    }

    fn lossy(&self) -> Told {
        let (reader, read, writer, written) = self.roles();
        let (from, to) = (writer.label(written), reader.label(read));
        let exact = if to.starts_with("float") { "2^24" } else { "2^53" };
        let message = format!(
            "{} is written as {from} and read as {to}: {} lose digits of numbers beyond {exact}",
            self.what(),
            readers(self.it.direction)
        );
        self.told("AVRO_PROMOTION_LOSSY", message, "")
    }

    fn bytes_as_string(&self) -> Told {
        let message = format!(
            "{} is written as bytes and read as string: {} get replacement characters, or an error, for bytes that are not UTF-8",
            self.what(),
            readers(self.it.direction)
        );
        self.told("AVRO_BYTES_READ_AS_STRING", message, "")
    }

    fn namespace(&self) -> Told {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new}: the specification matches names without their namespaces, and some libraries do not",
            self.what()
        );
        let name = self.sides.old.get(self.it.old).name().map_or("", |it| it.full());
        // An alias is for readers of data that is older than they are.
        let suggestion = match self.it.direction {
            Direction::Forward => String::new(),
            Direction::Backward | Direction::Both => {
                format!("give the new type the alias \"{name}\"")
            }
        };
        self.told("AVRO_NAMESPACE_CHANGED", message, suggestion)
    }

    fn namespace_in_union(&self) -> Told {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new} in a union: the specification matches names without their namespaces, and Avro's library for Java finds no branch for it",
            self.what()
        );
        let name = self.sides.old.get(self.it.old).name().map_or("", |it| it.full());
        let suggestion = format!("keep the name {name}; an alias would help new readers alone");
        self.told("AVRO_NAMESPACE_CHANGED_IN_UNION", message, suggestion)
    }

    fn choice(&self, first: TypeId, same: TypeId) -> Told {
        let (reader, ..) = self.roles();
        let message = format!(
            "{} is read with a union that takes it both as {} and as {}: the specification takes the first, most libraries the one of the same type",
            self.what(),
            short(&reader.label(first)),
            short(&reader.label(same))
        );
        self.told("AVRO_BRANCH_CHOICE", message, "put the branch of the same type first")
    }
}

/// The only field that the other side has and this side does not, of the same type: perhaps the same under another name.
fn renamed(
    model: &Model,
    record: TypeId,
    field: usize,
    other: &Model,
    written: TypeId,
) -> Option<String> {
    let (Kind::Record(ours), Kind::Record(theirs)) =
        (&model.get(record).kind, &other.get(written).kind)
    else {
        return None;
    };
    let label = model.label(ours.fields.get(field)?.of);
    let mut lost = theirs.fields.iter().filter(|it| !ours.by_name.contains_key(&it.name));
    let (candidate, more) = (lost.next()?, lost.next());
    (more.is_none() && other.label(candidate.of) == label).then(|| candidate.name.clone())
}

/// A default that the type of a field would take.
fn example(model: &Model, record: TypeId, field: usize) -> String {
    use super::model::Primitive::{Boolean, Bytes, Double, Float, Int, Long, Null, String as Text};
    let Some(field) = model.field((record, field)) else { return String::new() };
    let literal = match &model.get(field.of).kind {
        Kind::Primitive(Null) => "null",
        Kind::Primitive(Boolean) => "false",
        Kind::Primitive(Int | Long | Float | Double) => "0",
        Kind::Primitive(Text | Bytes) => "\"\"",
        Kind::Array(_) => "[]",
        Kind::Map(_) => "{}",
        Kind::Union(branches)
            if branches.iter().any(|it| matches!(model.get(*it).kind, Kind::Primitive(Null))) =>
        {
            "null"
        }
        Kind::Union(_) | Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => return String::new(),
    };
    format!(", such as \"default\": {literal}")
}
