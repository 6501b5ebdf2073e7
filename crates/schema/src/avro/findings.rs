//! Findings: the rule, the severity, the message and the suggestion of each issue.

use super::{
    logical::Logical,
    model::{Field, Kind, Model, TypeId},
    path::Paths,
    primitive::Primitive,
    resolve::Issue,
    text::{join, shorten},
};
use crate::{
    definition::SourceLocation,
    finding::{Direction, Finding, Severity},
};

/// The two schemas of a comparison.
pub struct SchemaPair<'m> {
    pub old: &'m Model,
    pub new: &'m Model,
}

/// The location of a change in both schemas.
#[derive(Debug, Clone, Default)]
pub struct ChangeLocation {
    pub old_path: String,
    pub new_path: String,
    /// The location in the new definition.
    pub location: SourceLocation,
}

/// An issue with its old and new type.
pub struct LocatedIssue<'r> {
    pub issue: &'r Issue,
    pub direction: Direction,
    pub old: TypeId,
    pub new: TypeId,
    pub location: ChangeLocation,
}

/// Locates a pair of types. A named type is located at its use, not at its definition.
pub fn locate(
    schemas: &SchemaPair<'_>,
    (old_paths, old_path): (&Paths, u32),
    (new_paths, new_path): (&Paths, u32),
    new: TypeId,
) -> ChangeLocation {
    let ty = schemas.new.get(new);
    let used_by = new_paths.last_field(new_path).and_then(|id| schemas.new.field(id));
    let position = match (ty.name(), used_by) {
        (Some(_), Some(field)) => field.position,
        _ => ty.position,
    };
    let old_path = old_paths.text(old_path, schemas.old);
    let new_path = new_paths.text(new_path, schemas.new);
    let location = schemas.new.location(position, &new_path);
    ChangeLocation { old_path, new_path, location }
}

/// The finding of a compatible change.
pub fn compatible_change(
    rule: &'static str,
    severity: Severity,
    location: ChangeLocation,
    (old_value, new_value): (String, String),
    message: String,
) -> Finding {
    let ChangeLocation { old_path, new_path, location } = location;
    Finding {
        rule,
        severity,
        direction: Direction::Both,
        proven: true,
        old_path,
        new_path,
        old_value: shorten(&old_value),
        new_value: shorten(&new_value),
        message,
        suggestion: String::new(),
        counterexample: None,
        location,
    }
}

/// The suggestion if only a new field is compatible in both directions.
const NEW_FIELD: &str = "keep it as it is, and add a field under another name with a default; or register a new major version";

/// The content of a finding.
struct Content {
    rule: &'static str,
    old_value: String,
    new_value: String,
    message: String,
    suggestion: String,
    /// A field that only one schema has. It is appended to the path of that schema.
    field: Option<(Side, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// The finding of an issue.
pub fn issue_finding(schemas: &SchemaPair<'_>, located: &LocatedIssue<'_>) -> Finding {
    let content = Describer { schemas, located }.content();
    let ChangeLocation { mut old_path, mut new_path, mut location } = located.location.clone();
    match content.field {
        Some((Side::Old, name)) => {
            old_path = join(&old_path, &name);
            new_path = String::new();
        }
        Some((Side::New, name)) => {
            new_path = join(&new_path, &name);
            old_path = String::new();
            let field = match &schemas.new.get(located.new).kind {
                Kind::Record(record) => record.fields.iter().find(|field| field.name == name),
                _ => None,
            };
            if let Some(Field { position, .. }) = field {
                location = schemas.new.location(*position, &new_path);
            }
        }
        None => {}
    }
    Finding {
        rule: content.rule,
        severity: if located.issue.breaks() { Severity::Error } else { Severity::Warning },
        direction: located.direction,
        proven: located.issue.is_proven(),
        old_path,
        new_path,
        old_value: shorten(&content.old_value),
        new_value: shorten(&content.new_value),
        message: content.message,
        suggestion: content.suggestion,
        counterexample: None,
        location,
    }
}

/// The consequence of a break in a direction.
fn consequence(direction: Direction, old: &str, new: &str) -> String {
    match direction {
        Direction::Backward => format!("new readers cannot read data written as {old}"),
        Direction::Forward => format!("running readers cannot read data written as {new}"),
        Direction::Both => "neither version can read data of the other".into(),
    }
}

/// The affected readers of a direction.
fn readers(direction: Direction) -> &'static str {
    match direction {
        Direction::Backward => "new readers of old data",
        Direction::Forward => "running readers",
        Direction::Both => "readers of either version",
    }
}

struct Describer<'s> {
    schemas: &'s SchemaPair<'s>,
    located: &'s LocatedIssue<'s>,
}

impl Describer<'_> {
    /// The reader's model and type, and the writer's. For both directions, the new schema is the
    /// reader's.
    fn roles(&self) -> (&Model, TypeId, &Model, TypeId) {
        let SchemaPair { old, new } = self.schemas;
        match self.located.direction {
            Direction::Backward | Direction::Both => (new, self.located.new, old, self.located.old),
            Direction::Forward => (old, self.located.old, new, self.located.new),
        }
    }

    fn is_backward(&self) -> bool {
        self.located.direction != Direction::Forward
    }

    /// The path of the change.
    fn path(&self) -> &str {
        let location = &self.located.location;
        match (location.new_path.as_str(), location.old_path.as_str()) {
            ("", "") => "the schema",
            ("", old) => old,
            (new, _) => new,
        }
    }

    fn labels(&self) -> (String, String) {
        let old = self.schemas.old.label(self.located.old);
        let new = self.schemas.new.label(self.located.new);
        (shorten(&old), shorten(&new))
    }

    fn content_of(
        &self,
        rule: &'static str,
        message: String,
        suggestion: impl Into<String>,
    ) -> Content {
        let (old_value, new_value) = self.labels();
        Content { rule, old_value, new_value, message, suggestion: suggestion.into(), field: None }
    }

    fn content(&self) -> Content {
        match self.located.issue {
            Issue::Type => self.type_changed(),
            Issue::Name => self.name_changed(),
            Issue::FixedSize => self.fixed_size(),
            Issue::FieldMissing { field } => self.field_missing(*field),
            Issue::DefaultOfLaterBranch { field, risky } => {
                self.default_of_later_branch(*field, *risky)
            }
            Issue::FieldAmbiguous { field, names } => self.field_ambiguous(*field, names),
            Issue::FieldShared { name, fields } => self.field_shared(name, fields),
            Issue::AliasInOtherNamespace { field, name } => {
                self.alias_in_other_namespace(*field, name)
            }
            Issue::Symbols { unknown, count, default } => {
                self.symbols(unknown, *count, default.as_deref())
            }
            Issue::Branch { branch } => self.branch(*branch),
            Issue::Logical { .. } => self.logical(),
            Issue::LogicalNarrows => self.logical_narrows(),
            Issue::LogicalOneSided => self.logical_one_sided(),
            Issue::LogicalCustom => self.logical_custom(),
            Issue::LossyPromotion => self.lossy_promotion(),
            Issue::BytesAsString => self.bytes_as_string(),
            Issue::Namespace => self.namespace(),
            Issue::NamespaceInUnion => self.namespace_in_union(),
            Issue::BranchChoice { first, same } => self.branch_choice(*first, *same),
            Issue::WorkLimit => self.content_of(
                "AVRO_COMPARISON_BOUND",
                "the schemas have too many pairs of types to compare all of them; the rest counts as incompatible".into(),
                "use fewer types with the same names that refer to one another recursively",
            ),
        }
    }

    fn type_changed(&self) -> Content {
        let (old, new) = self.labels();
        let consequence = consequence(self.located.direction, &old, &new);
        let message = format!("{} changed from {old} to {new}: {consequence}", self.path());
        let suggestion = match self.located.direction {
            Direction::Forward => {
                "register it as a new major version once readers support it; or keep the type, and add a field under another name with a default"
            }
            Direction::Backward | Direction::Both => NEW_FIELD,
        };
        self.content_of("AVRO_TYPE_CHANGED", message, suggestion)
    }

    fn name_changed(&self) -> Content {
        let (old, new) = self.labels();
        let consequence = consequence(self.located.direction, &old, &new);
        let message = format!(
            "{} changed from {old} to {new}, and types are matched by name: {consequence}",
            self.path()
        );
        let name = self.schemas.old.get(self.located.old).name().map_or("", |name| name.full());
        let suggestion = match self.located.direction {
            Direction::Forward => {
                format!("keep the name {name}: running readers know no other name")
            }
            Direction::Backward => format!("give the new type the alias \"{name}\""),
            Direction::Both => format!(
                "keep the name {name}; the alias \"{name}\" on the new type would help only new readers"
            ),
        };
        self.content_of("AVRO_NAME_CHANGED", message, suggestion)
    }

    fn fixed_size(&self) -> Content {
        let (old, new) = self.labels();
        let consequence = consequence(self.located.direction, &old, &new);
        let message =
            format!("the size of {} changed from {old} to {new}: {consequence}", self.path());
        self.content_of("AVRO_FIXED_SIZE_CHANGED", message, NEW_FIELD)
    }

    fn field_missing(&self, field: usize) -> Content {
        let (model, record, other, written) = self.roles();
        let (name, label) = match model.field((record, field)) {
            Some(field) => (field.name.clone(), shorten(&model.label(field.type_id))),
            None => (String::new(), String::new()),
        };
        let renamed = renamed(model, record, field, other, written);
        if self.is_backward() {
            let message = format!(
                "the field {name} ({label}) was added to {} without a default: new readers cannot read data that was written without it",
                self.path()
            );
            let suggestion = match renamed {
                Some(old) => format!(
                    "give it a default; or, if it is {old} renamed, \"aliases\": [\"{old}\"]"
                ),
                None => format!("give it a default{}", example_default(model, record, field)),
            };
            Content {
                rule: "AVRO_FIELD_ADDED_WITHOUT_DEFAULT",
                old_value: String::new(),
                new_value: label,
                message,
                suggestion,
                field: Some((Side::New, name)),
            }
        } else {
            let message = format!(
                "the field {name} ({label}) was removed from {}, and the old schema has no default for it: running readers cannot read data without it",
                self.path()
            );
            let suggestion = match renamed {
                Some(new) => format!("keep {name} beside {new}: an alias helps only new readers"),
                None => "keep it; or give it a default in one version, and remove it in a new major version".into(),
            };
            Content {
                rule: "AVRO_FIELD_REMOVED_WITHOUT_DEFAULT",
                old_value: label,
                new_value: String::new(),
                message,
                suggestion,
                field: Some((Side::Old, name)),
            }
        }
    }

    fn default_of_later_branch(&self, field: usize, risky: bool) -> Content {
        let (model, record, ..) = self.roles();
        let (name, label, default) = match model.field((record, field)) {
            Some(field) => {
                let default = field.default.as_ref().map_or("", |default| &default.0);
                (field.name.clone(), shorten(&model.label(field.type_id)), shorten(default))
            }
            None => (String::new(), String::new(), String::new()),
        };
        let consequence =
            if risky { "read it as a value of that branch, or fail" } else { "may reject it" };
        let message = format!(
            "{} have no data for the field {name} of {}, and its default {default} is not of the first branch of {label}: libraries that implement a specification before 1.12 {consequence}",
            readers(self.located.direction),
            self.path()
        );
        let suggestion = "put the branch of the default first";
        Content {
            new_value: label,
            ..self.content_of("AVRO_DEFAULT_NOT_OF_FIRST_BRANCH", message, suggestion)
        }
    }

    fn field_ambiguous(&self, field: usize, names: &[String]) -> Content {
        let (model, record, ..) = self.roles();
        let name = model.field((record, field)).map_or("", |field| &field.name);
        let message = format!(
            "the name and the aliases of the field {name} of {} match several fields of the data ({}): {} cannot decide which one to read",
            self.path(),
            names.join(", "),
            readers(self.located.direction)
        );
        self.content_of(
            "AVRO_FIELD_AMBIGUOUS",
            message,
            "remove the alias that is the name of another field",
        )
    }

    fn field_shared(&self, name: &str, fields: &[String]) -> Content {
        let message = format!(
            "the field {name} of {} is claimed by several fields of the reader, by name or alias ({}): libraries differ in which of them receives its value",
            self.path(),
            fields.join(", ")
        );
        self.content_of("AVRO_FIELD_ALIAS_SHARED", message, "keep that name or alias in one field")
    }

    fn alias_in_other_namespace(&self, field: usize, name: &str) -> Content {
        let (model, record, other, written) = self.roles();
        let reader = model.field((record, field)).map_or("", |field| &field.name);
        let full = other.get(written).name().map_or("", |name| name.full());
        let message = format!(
            "the field {reader} of {} matches {name} by its alias, in a record that changed its namespace: libraries that look up aliases under the full name {full} do not find it",
            self.path()
        );
        let suggestion = format!("keep the namespace, or give the record the alias \"{full}\"");
        self.content_of("AVRO_FIELD_ALIAS_IN_OTHER_NAMESPACE", message, suggestion)
    }

    fn symbols(&self, unknown: &[String], count: usize, default: Option<&str>) -> Content {
        let mut list = unknown.join(", ");
        if count > unknown.len() {
            list.push_str(&format!(" and {} more", count - unknown.len()));
        }
        let list = shorten(&list);
        let noun = if count == 1 { "symbol" } else { "symbols" };
        let verb = if count == 1 { "was" } else { "were" };
        let path = self.path();
        let backward = self.is_backward();
        let change = if backward { "removed from" } else { "added to" };
        let start = format!("the {noun} {list} {verb} {change} {path}");
        let (rule, message, suggestion) = match (default, backward) {
            (Some(default), _) => {
                let pronoun = if count == 1 { "it" } else { "them" };
                let message = format!(
                    "{start}: {} read {default} in place of {pronoun}",
                    readers(self.located.direction)
                );
                ("AVRO_SYMBOL_READ_AS_DEFAULT", message, "")
            }
            (None, true) => {
                let message = format!(
                    "{start}, and the enum has no default: new readers cannot read old data that contains {}",
                    if count == 1 { "it" } else { "one of them" }
                );
                (
                    "AVRO_SYMBOL_REMOVED",
                    message,
                    "keep the symbol; or give the enum a \"default\", which readers use in place of unknown symbols",
                )
            }
            (None, false) => {
                let message = format!(
                    "{start}, and the enum had no default: running readers cannot read data that contains {}",
                    if count == 1 { "it" } else { "one of them" }
                );
                (
                    "AVRO_SYMBOL_ADDED",
                    message,
                    "give the enum a \"default\" first, in a separate version; readers with the default can read new symbols later",
                )
            }
        };
        let (old_value, new_value) =
            if backward { (list, String::new()) } else { (String::new(), list) };
        Content { rule, old_value, new_value, message, suggestion: suggestion.into(), field: None }
    }

    fn branch(&self, branch: TypeId) -> Content {
        let (_, _, model, writer) = self.roles();
        let label = shorten(&model.label(branch));
        let (old, new) = self.labels();
        let path = self.path();
        let is_only_type = branch == writer;
        let message = match (self.is_backward(), is_only_type) {
            (true, true) => format!(
                "{path} changed from {old} to {new}, which has no branch for it: {}",
                consequence(Direction::Backward, &old, &new)
            ),
            (false, true) => format!(
                "{path} changed from {old} to {new}, and the old union has no branch for it: {}",
                consequence(Direction::Forward, &old, &new)
            ),
            (true, false) => format!(
                "{path} no longer accepts {label}: new readers cannot read old data that contains one"
            ),
            (false, false) => format!(
                "{path} accepts {label} too: running readers, which know {old}, cannot read data that contains one"
            ),
        };
        let suggestion = if self.is_backward() {
            format!("keep {label} among the branches")
        } else {
            "add a field under another name with a default; or register a new major version".into()
        };
        let rule = if self.is_backward() { "AVRO_BRANCH_REMOVED" } else { "AVRO_BRANCH_ADDED" };
        self.content_of(rule, message, suggestion)
    }

    fn logical(&self) -> Content {
        let (old, new) = self.labels();
        let old_logical = &self.schemas.old.get(self.located.old).logical;
        let new_logical = &self.schemas.new.get(self.located.new).logical;
        let path = self.path();
        if let (
            Some(Logical::Decimal { precision, scale }),
            Some(Logical::Decimal { precision: new_precision, scale: new_scale }),
        ) = (old_logical, new_logical)
        {
            let consequence = if scale == new_scale {
                format!(
                    "by the specification decimals match only if precision and scale are equal, and {} may round or reject values",
                    readers(self.located.direction)
                )
            } else {
                format!(
                    "{} would read numbers with the decimal point in another position",
                    readers(self.located.direction)
                )
            };
            let message = format!(
                "{path} changed from decimal({precision}, {scale}) to decimal({new_precision}, {new_scale}): {consequence}"
            );
            return self.content_of("AVRO_DECIMAL_CHANGED", message, NEW_FIELD);
        }
        let differs_in_zone = match (old_logical, new_logical) {
            (Some(old), Some(new)) => old.differs_in_zone(new),
            _ => false,
        };
        let difference = if differs_in_zone {
            "one is an instant, the other a local time"
        } else {
            "the same bytes have another meaning"
        };
        let message = format!(
            "{path} changed from {old} to {new}: {difference}, and {} would not notice",
            readers(self.located.direction)
        );
        self.content_of("AVRO_LOGICAL_TYPE_CHANGED", message, NEW_FIELD)
    }

    fn logical_narrows(&self) -> Content {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new}: data written without the logical type may not be a value of it, and {} may reject or misread it",
            self.path(),
            readers(self.located.direction)
        );
        self.content_of("AVRO_LOGICAL_TYPE_NARROWS", message, NEW_FIELD)
    }

    fn logical_one_sided(&self) -> Content {
        let (old, new) = self.labels();
        let added = self.schemas.old.get(self.located.old).logical.is_none();
        let rule = if added { "AVRO_LOGICAL_TYPE_ADDED" } else { "AVRO_LOGICAL_TYPE_REMOVED" };
        // Some readers see plain values as logical ones, others the opposite.
        let consequence = match (self.located.direction, added) {
            (Direction::Backward, true) => {
                format!("new readers read the plain values of old data as {new}")
            }
            (Direction::Forward, true) => {
                format!("running readers see plain values where {new} is meant")
            }
            (Direction::Backward, false) => {
                format!("new readers see plain values where old data means {old}")
            }
            (Direction::Forward, false) => {
                format!("running readers read the plain values of new data as {old}")
            }
            (Direction::Both, _) => {
                "one version sees plain values, and the other reads plain values as logical ones"
                    .into()
            }
        };
        let message = format!("{} changed from {old} to {new}: {consequence}", self.path());
        self.content_of(
            rule,
            message,
            "check that both versions have the same meaning, including unit and zone",
        )
    }

    fn logical_custom(&self) -> Content {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new}: the specification does not define these logical types, and their meaning depends on the configuration of each reader",
            self.path()
        );
        self.content_of("AVRO_LOGICAL_TYPE_CUSTOM", message, "")
    }

    fn lossy_promotion(&self) -> Content {
        let (reader, read, writer, written) = self.roles();
        let (from, to) = (writer.label(written), reader.label(read));
        let exact = if to.starts_with("float") { "2^24" } else { "2^53" };
        let message = format!(
            "{} is written as {from} and read as {to}: {} lose digits of numbers above {exact}",
            self.path(),
            readers(self.located.direction)
        );
        self.content_of("AVRO_PROMOTION_LOSSY", message, "")
    }

    fn bytes_as_string(&self) -> Content {
        let message = format!(
            "{} is written as bytes and read as string: {} read replacement characters, or fail, on bytes that are not UTF-8",
            self.path(),
            readers(self.located.direction)
        );
        self.content_of("AVRO_BYTES_READ_AS_STRING", message, "")
    }

    fn namespace(&self) -> Content {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new}: the specification matches names without their namespaces; some libraries do not",
            self.path()
        );
        let name = self.schemas.old.get(self.located.old).name().map_or("", |name| name.full());
        // An alias only helps readers that are newer than the data.
        let suggestion = match self.located.direction {
            Direction::Forward => String::new(),
            Direction::Backward | Direction::Both => {
                format!("give the new type the alias \"{name}\"")
            }
        };
        self.content_of("AVRO_NAMESPACE_CHANGED", message, suggestion)
    }

    fn namespace_in_union(&self) -> Content {
        let (old, new) = self.labels();
        let message = format!(
            "{} changed from {old} to {new} in a union: the specification matches names without their namespaces; Avro's library for Java finds no branch for it",
            self.path()
        );
        let name = self.schemas.old.get(self.located.old).name().map_or("", |name| name.full());
        let suggestion = format!("keep the name {name}; an alias would help only new readers");
        self.content_of("AVRO_NAMESPACE_CHANGED_IN_UNION", message, suggestion)
    }

    fn branch_choice(&self, first: TypeId, same: TypeId) -> Content {
        let (reader, ..) = self.roles();
        let message = format!(
            "{} is read with a union that accepts it both as {} and as {}: the specification chooses the first, most libraries the one of the same type",
            self.path(),
            shorten(&reader.label(first)),
            shorten(&reader.label(same))
        );
        self.content_of("AVRO_BRANCH_CHOICE", message, "put the branch of the same type first")
    }
}

/// The only field that the other record has and this one does not, if it has the same type: it may
/// be the same field under another name.
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
    let label = model.label(ours.fields.get(field)?.type_id);
    let mut missing = theirs.fields.iter().filter(|field| !ours.by_name.contains_key(&field.name));
    let (candidate, another) = (missing.next()?, missing.next());
    (another.is_none() && other.label(candidate.type_id) == label).then(|| candidate.name.clone())
}

/// An example of a default for a field.
fn example_default(model: &Model, record: TypeId, field: usize) -> String {
    use Primitive::{Boolean, Bytes, Double, Float, Int, Long, Null, String as Text};
    let Some(field) = model.field((record, field)) else { return String::new() };
    let literal = match &model.get(field.type_id).kind {
        Kind::Primitive(Null) => "null",
        Kind::Primitive(Boolean) => "false",
        Kind::Primitive(Int | Long | Float | Double) => "0",
        Kind::Primitive(Text | Bytes) => "\"\"",
        Kind::Array(_) => "[]",
        Kind::Map(_) => "{}",
        Kind::Union(branches)
            if branches
                .iter()
                .any(|branch| matches!(model.get(*branch).kind, Kind::Primitive(Null))) =>
        {
            "null"
        }
        Kind::Union(_) | Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => return String::new(),
    };
    format!(", such as \"default\": {literal}")
}
