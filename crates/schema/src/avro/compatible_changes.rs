//! Findings of compatible changes.

use std::collections::HashSet;

use super::{
    findings::{ChangeLocation, SchemaPair, compatible_change, locate},
    model::{Annotations, Enum, Field, Kind, Model, Record, Type},
    resolve::{Resolution, TypePair},
    text::{join, shorten},
};
use crate::finding::{Finding, Severity};

/// Finds at most `limit` compatible changes in the pairs of types of a backward resolution.
pub fn find(schemas: &SchemaPair<'_>, backward: &Resolution, limit: usize) -> Vec<Finding> {
    let mut collector = Collector { schemas, backward, limit, findings: Vec::new() };
    for ignored in &schemas.new.ignored {
        let location = ChangeLocation {
            old_path: String::new(),
            new_path: ignored.location.path.clone(),
            location: ignored.location.clone(),
        };
        let message =
            format!("the logical type {} has no effect: {}", ignored.name, ignored.reason);
        let values = (String::new(), ignored.name.clone());
        collector.report("AVRO_LOGICAL_TYPE_IGNORED", Severity::Info, location, values, message);
    }
    for pair in &backward.pairs {
        if collector.findings.len() >= limit {
            break;
        }
        collector.pair(*pair);
    }
    collector.findings.truncate(limit);
    collector.findings
}

struct Collector<'s> {
    schemas: &'s SchemaPair<'s>,
    backward: &'s Resolution,
    limit: usize,
    findings: Vec<Finding>,
}

impl Collector<'_> {
    fn report(
        &mut self,
        rule: &'static str,
        severity: Severity,
        location: ChangeLocation,
        values: (String, String),
        message: String,
    ) {
        if self.findings.len() < self.limit {
            self.findings.push(compatible_change(rule, severity, location, values, message));
        }
    }

    fn location(&self, pair: TypePair) -> ChangeLocation {
        locate(
            self.schemas,
            (&self.backward.writer_paths, pair.writer_path),
            (&self.backward.reader_paths, pair.reader_path),
            pair.reader,
        )
    }

    fn pair(&mut self, pair: TypePair) {
        let schemas = self.schemas;
        let (old, new) = (schemas.old.get(pair.writer), schemas.new.get(pair.reader));
        self.annotations(&old.annotations, &new.annotations, |collector| collector.location(pair));
        self.aliases(old, new, pair);
        match (&old.kind, &new.kind) {
            (Kind::Record(old), Kind::Record(new)) => self.records(old, new, pair),
            (Kind::Enum(old), Kind::Enum(new)) => {
                if old.default != new.default {
                    let text = |symbol: &Option<String>| symbol.clone().unwrap_or_default();
                    let text_or_none =
                        |symbol: &Option<String>| symbol.clone().unwrap_or_else(|| "none".into());
                    let location = self.location(pair);
                    let message = format!(
                        "the default of enum {} changed from {} to {}: readers use it in place of unknown symbols",
                        new.name,
                        text_or_none(&old.default),
                        text_or_none(&new.default)
                    );
                    let values = (text(&old.default), text(&new.default));
                    self.report(
                        "AVRO_ENUM_DEFAULT_CHANGED",
                        Severity::Info,
                        location,
                        values,
                        message,
                    );
                }
                let kept = |symbols: &[String], other: &Enum| -> Vec<String> {
                    symbols
                        .iter()
                        .filter(|symbol| other.by_symbol.contains_key(*symbol))
                        .cloned()
                        .collect()
                };
                if kept(&old.symbols, new) != kept(&new.symbols, old) {
                    let location = self.location(pair);
                    let message = format!(
                        "the symbols of enum {} changed their order: they are read by name, and sort by position",
                        new.name
                    );
                    let list = |symbols: &[String]| symbols.get(..30).unwrap_or(symbols).join(", ");
                    let values = (list(&old.symbols), list(&new.symbols));
                    self.report(
                        "AVRO_SYMBOL_ORDER_CHANGED",
                        Severity::Info,
                        location,
                        values,
                        message,
                    );
                }
            }
            (Kind::Union(old_branches), Kind::Union(new_branches)) => {
                let labels = |ids: &[_], model: &Model| -> Vec<String> {
                    ids.iter().take(50).map(|id| model.label(*id)).collect()
                };
                let old = labels(old_branches, schemas.old);
                let new = labels(new_branches, schemas.new);
                let common = |labels: &[String], other: &[String]| -> Vec<String> {
                    labels.iter().filter(|label| other.contains(label)).cloned().collect()
                };
                if common(&old, &new) != common(&new, &old) {
                    let location = self.location(pair);
                    let message = "the branches of the union changed their order: readers that know the writer's schema find them".into();
                    let values = (old.join(", "), new.join(", "));
                    self.report(
                        "AVRO_UNION_ORDER_CHANGED",
                        Severity::Info,
                        location,
                        values,
                        message,
                    );
                }
            }
            // Only one is a union: breaks are findings of the branches, and the bytes differ in any
            // case.
            (Kind::Union(_), _) | (_, Kind::Union(_)) => {
                let location = self.location(pair);
                let values = (schemas.old.label(pair.writer), schemas.new.label(pair.reader));
                let (from, to) = (shorten(&values.0), shorten(&values.1));
                let message = format!(
                    "the type changed from {from} to {to}: readers that know the writer's schema distinguish them"
                );
                self.report("AVRO_UNION_CHANGED", Severity::Info, location, values, message);
            }
            _ => {}
        }
    }

    fn annotations(
        &mut self,
        old: &Annotations,
        new: &Annotations,
        location: impl Fn(&Self) -> ChangeLocation,
    ) {
        if old.doc != new.doc {
            let text = |doc: &Option<String>| doc.clone().unwrap_or_default();
            let location = location(self);
            let values = (text(&old.doc), text(&new.doc));
            let message = "the documentation changed".into();
            self.report("AVRO_DOC_CHANGED", Severity::Info, location, values, message);
        }
        if old.attributes != new.attributes {
            let text = |annotations: &Annotations, other: &Annotations| {
                let changed = annotations
                    .attributes
                    .iter()
                    .filter(|attribute| other.attributes.binary_search(attribute).is_err());
                let changed = changed.take(10).map(|(key, value)| format!("{key}: {value}"));
                changed.collect::<Vec<_>>().join(", ")
            };
            let location = location(self);
            let values = (text(old, new), text(new, old));
            let message = "attributes changed that Avro does not define".into();
            self.report("AVRO_ATTRIBUTES_CHANGED", Severity::Info, location, values, message);
        }
    }

    fn aliases(&mut self, old: &Type, new: &Type, pair: TypePair) {
        if old.aliases() == new.aliases() {
            return;
        }
        let list = |ty: &Type| {
            ty.aliases()
                .iter()
                .take(10)
                .map(|alias| alias.full().to_owned())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let location = self.location(pair);
        let message = format!(
            "the aliases of {} changed: readers also find data under these names",
            new.name().map_or("", |name| name.full())
        );
        let values = (list(old), list(new));
        self.report("AVRO_ALIASES_CHANGED", Severity::Info, location, values, message);
    }

    fn records(&mut self, old: &Record, new: &Record, pair: TypePair) {
        let mut kept = Vec::new();
        let mut added = Vec::new();
        let mut sources = HashSet::new();
        for field in &new.fields {
            // An alias that is the name of another field does not rename a field.
            let aliases = field.aliases.iter().filter(|alias| !new.by_name.contains_key(*alias));
            let names = std::iter::once(&field.name).chain(aliases);
            match names.filter_map(|name| old.by_name.get(name)).next() {
                Some(source) => {
                    kept.push(*source);
                    sources.insert(*source);
                    if let Some(before) = old.fields.get(*source) {
                        self.field(before, field, pair);
                    }
                }
                None => {
                    self.added(field, pair);
                    // Ten candidates for a rename are enough.
                    if field.default.is_some() && added.len() < 10 {
                        added.push(field);
                    }
                }
            }
        }
        for (index, field) in old.fields.iter().enumerate() {
            if !sources.contains(&index) {
                self.removed(field, &added, pair);
            }
        }
        if !kept.is_sorted() {
            let location = self.location(pair);
            let list = |record: &Record| {
                record
                    .fields
                    .iter()
                    .take(30)
                    .map(|field| field.name.clone())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let message = format!(
                "the fields of record {} changed their order: they are read by name, and sort by position",
                new.name
            );
            let values = (list(old), list(new));
            self.report("AVRO_FIELD_ORDER_CHANGED", Severity::Info, location, values, message);
        }
    }

    /// The location of a field: its position, and the paths of its record with its name.
    fn field_location(
        &self,
        old: Option<&Field>,
        new: Option<&Field>,
        pair: TypePair,
    ) -> ChangeLocation {
        let ChangeLocation { old_path, new_path, location } = self.location(pair);
        let path_of = |path: &str, field: Option<&Field>| {
            field.map_or_else(String::new, |field| join(path, &field.name))
        };
        let new_path = path_of(&new_path, new);
        let location = match new {
            Some(field) => self.schemas.new.location(field.position, &new_path),
            None => location,
        };
        ChangeLocation { old_path: path_of(&old_path, old), new_path, location }
    }

    fn added(&mut self, field: &Field, pair: TypePair) {
        let Some(default) = &field.default else { return };
        let location = self.field_location(None, Some(field), pair);
        let label = self.schemas.new.label(field.type_id);
        let message = format!(
            "the field {} ({label}) was added: new readers read its default {} from old data, and running readers skip it",
            field.name,
            shorten(&default.0)
        );
        self.report("AVRO_FIELD_ADDED", Severity::Info, location, (String::new(), label), message);
    }

    fn removed(&mut self, field: &Field, added: &[&Field], pair: TypePair) {
        let Some(default) = &field.default else { return };
        let label = self.schemas.old.label(field.type_id);
        // An added field of the same type may be the same field under another name.
        let renamed =
            added.iter().find(|candidate| self.schemas.new.label(candidate.type_id) == label);
        let location = self.field_location(Some(field), None, pair);
        let default = shorten(&default.0);
        let start = format!(
            "the field {} ({label}) was removed: running readers read its default {default} from new data, and new readers skip it",
            field.name
        );
        match renamed {
            Some(renamed) => {
                let message = format!(
                    "{start}; if it was renamed to {}, its values in old data are lost to new readers",
                    renamed.name
                );
                let suggestion = format!(
                    "if it is the same field, give {} \"aliases\": [\"{}\"]",
                    renamed.name, field.name
                );
                self.report(
                    "AVRO_FIELD_REMOVED",
                    Severity::Warning,
                    location,
                    (label, String::new()),
                    message,
                );
                if let Some(last) = self.findings.last_mut() {
                    last.suggestion = suggestion;
                }
            }
            None => {
                self.report(
                    "AVRO_FIELD_REMOVED",
                    Severity::Info,
                    location,
                    (label, String::new()),
                    start,
                );
            }
        }
    }

    fn field(&mut self, old: &Field, new: &Field, pair: TypePair) {
        let location = |collector: &Self| collector.field_location(Some(old), Some(new), pair);
        self.annotations(&old.annotations, &new.annotations, location);
        if old.name != new.name {
            let location = location(self);
            let message = format!(
                "the field {} was renamed to {}, with an alias: new readers find it in old data",
                old.name, new.name
            );
            let values = (old.name.clone(), new.name.clone());
            self.report("AVRO_FIELD_RENAMED", Severity::Info, location, values, message);
        }
        if old.aliases != new.aliases {
            let location = location(self);
            let list = |field: &Field| {
                field.aliases.iter().take(10).cloned().collect::<Vec<_>>().join(", ")
            };
            let message = format!(
                "the aliases of the field {} changed: readers also find data under these names",
                new.name
            );
            let values = (list(old), list(new));
            self.report("AVRO_ALIASES_CHANGED", Severity::Info, location, values, message);
        }
        if old.order != new.order {
            let location = location(self);
            let (from, to) = (old.order.name(), new.order.name());
            let message =
                format!("the sort order of the field {} changed from {from} to {to}", new.name);
            let values = (from.into(), to.into());
            self.report("AVRO_SORT_ORDER_CHANGED", Severity::Info, location, values, message);
        }
        let text = |field: &Field| {
            field.default.as_ref().map_or_else(String::new, |default| default.0.clone())
        };
        let (from, to) = (text(old), text(new));
        let (shown_from, shown_to) = (shorten(&from), shorten(&to));
        let change = match (&old.default, &new.default) {
            (Some(before), Some(after)) if before != after => Some((
                "AVRO_DEFAULT_CHANGED",
                Severity::Warning,
                format!(
                    "the default of the field {} changed from {shown_from} to {shown_to}: readers of the two versions read different values from data without it",
                    new.name
                ),
            )),
            (Some(_), None) => Some((
                "AVRO_DEFAULT_REMOVED",
                Severity::Warning,
                format!(
                    "the default {shown_from} of the field {} was removed: new readers cannot read data without it, from an older version or another writer",
                    new.name
                ),
            )),
            (None, Some(_)) => Some((
                "AVRO_DEFAULT_ADDED",
                Severity::Info,
                format!("the field {} now has the default {shown_to}", new.name),
            )),
            _ => None,
        };
        if let Some((rule, severity, message)) = change {
            let location = location(self);
            self.report(rule, severity, location, (from, to), message);
        }
    }
}
