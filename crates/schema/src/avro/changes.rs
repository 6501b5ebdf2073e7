//! What changed and breaks nothing: what the author did, told back.

use std::collections::HashSet;

use super::{
    compare::{Sides, Spot, note, spot},
    model::{At, Field, Kind, Notes, Record, Type},
    resolve::{Pair, Resolution},
};
use crate::finding::{Finding, Severity};

/// What changed in the pairs of types that a backward resolution met.
pub fn find(sides: &Sides<'_>, backward: &Resolution, room: usize) -> Vec<Finding> {
    let mut finder = Finder { sides, backward, room, out: Vec::new() };
    for ignored in &sides.new.ignored {
        let spot = Spot {
            old_path: String::new(),
            new_path: ignored.place.path.clone(),
            place: ignored.place.clone(),
        };
        let message =
            format!("the logical type {} has no effect: {}", ignored.name, ignored.reason);
        let values = (String::new(), ignored.name.clone());
        finder.say("AVRO_LOGICAL_TYPE_IGNORED", Severity::Info, spot, values, message);
    }
    for pair in &backward.pairs {
        if finder.out.len() >= room {
            break;
        }
        finder.pair(*pair);
    }
    finder.out.truncate(room);
    finder.out
}

struct Finder<'s> {
    sides: &'s Sides<'s>,
    backward: &'s Resolution,
    room: usize,
    out: Vec<Finding>,
}

impl Finder<'_> {
    fn say(
        &mut self,
        rule: &'static str,
        severity: Severity,
        spot: Spot,
        values: (String, String),
        message: String,
    ) {
        if self.out.len() < self.room {
            self.out.push(note(rule, severity, spot, values, message));
        }
    }

    fn spot(&self, pair: Pair) -> Spot {
        spot(
            self.sides,
            (&self.backward.writer_paths, pair.writer_path),
            (&self.backward.reader_paths, pair.reader_path),
            pair.reader,
        )
    }

    fn pair(&mut self, pair: Pair) {
        let sides = self.sides;
        let (old, new) = (sides.old.get(pair.writer), sides.new.get(pair.reader));
        self.annotations(&old.notes, &new.notes, |it| it.spot(pair));
        self.aliases(old, new, pair);
        match (&old.kind, &new.kind) {
            (Kind::Record(old), Kind::Record(new)) => self.records(old, new, pair),
            (Kind::Enum(old), Kind::Enum(new)) => {
                if old.default != new.default {
                    let text = |it: &Option<String>| it.clone().unwrap_or_default();
                    let shown = |it: &Option<String>| it.clone().unwrap_or_else(|| "none".into());
                    let spot = self.spot(pair);
                    let message = format!(
                        "the default of enum {} changed from {} to {}: readers take it in place of symbols that they do not know",
                        new.name,
                        shown(&old.default),
                        shown(&new.default)
                    );
                    let values = (text(&old.default), text(&new.default));
                    self.say("AVRO_ENUM_DEFAULT_CHANGED", Severity::Info, spot, values, message);
                }
                let kept = |of: &[String], other: &super::model::Enum| -> Vec<String> {
                    of.iter().filter(|it| other.by_symbol.contains_key(*it)).cloned().collect()
                };
                if kept(&old.symbols, new) != kept(&new.symbols, old) {
                    let spot = self.spot(pair);
                    let message = format!(
                        "the symbols of enum {} stand in another order: they are read by name, and sort by position",
                        new.name
                    );
                    let list = |of: &[String]| of.get(..30).unwrap_or(of).join(", ");
                    let values = (list(&old.symbols), list(&new.symbols));
                    self.say("AVRO_SYMBOL_ORDER_CHANGED", Severity::Info, spot, values, message);
                }
            }
            (Kind::Union(old_branches), Kind::Union(new_branches)) => {
                let labels = |ids: &[_], model: &super::model::Model| -> Vec<String> {
                    ids.iter().take(50).map(|id| model.label(*id)).collect()
                };
                let old = labels(old_branches, sides.old);
                let new = labels(new_branches, sides.new);
                let common = |of: &[String], other: &[String]| -> Vec<String> {
                    of.iter().filter(|it| other.contains(it)).cloned().collect()
                };
                if common(&old, &new) != common(&new, &old) {
                    let spot = self.spot(pair);
                    let message = "the branches of the union stand in another order: readers that know what the data was written with find them".into();
                    let values = (old.join(", "), new.join(", "));
                    self.say("AVRO_UNION_ORDER_CHANGED", Severity::Info, spot, values, message);
                }
            }
            // One of them is no union: what breaks is told with the branches, and the bytes differ in any case.
            (Kind::Union(_), _) | (_, Kind::Union(_)) => {
                let spot = self.spot(pair);
                let values = (sides.old.label(pair.writer), sides.new.label(pair.reader));
                let (from, to) =
                    (super::wording::short(&values.0), super::wording::short(&values.1));
                let message = format!(
                    "the type changed from {from} to {to}: readers that know what the data was written with tell them apart"
                );
                self.say("AVRO_UNION_CHANGED", Severity::Info, spot, values, message);
            }
            _ => {}
        }
    }

    fn annotations(&mut self, old: &Notes, new: &Notes, spot: impl Fn(&Self) -> Spot) {
        if old.doc != new.doc {
            let text = |it: &Option<String>| it.clone().unwrap_or_default();
            let spot = spot(self);
            let values = (text(&old.doc), text(&new.doc));
            let message = "the documentation changed".into();
            self.say("AVRO_DOC_CHANGED", Severity::Info, spot, values, message);
        }
        if old.attributes != new.attributes {
            let text = |it: &Notes, other: &Notes| {
                let changed =
                    it.attributes.iter().filter(|it| other.attributes.binary_search(it).is_err());
                let changed = changed.take(10).map(|(key, value)| format!("{key}: {value}"));
                changed.collect::<Vec<_>>().join(", ")
            };
            let spot = spot(self);
            let values = (text(old, new), text(new, old));
            let message = "attributes changed that Avro gives no meaning to".into();
            self.say("AVRO_ATTRIBUTES_CHANGED", Severity::Info, spot, values, message);
        }
    }

    fn aliases(&mut self, old: &Type, new: &Type, pair: Pair) {
        if old.aliases() == new.aliases() {
            return;
        }
        let list = |it: &Type| {
            it.aliases()
                .iter()
                .take(10)
                .map(|it| it.full().to_owned())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let spot = self.spot(pair);
        let message = format!(
            "the aliases of {} changed: they are the other names under which its readers find data",
            new.name().map_or("", |it| it.full())
        );
        let values = (list(old), list(new));
        self.say("AVRO_ALIASES_CHANGED", Severity::Info, spot, values, message);
    }

    fn records(&mut self, old: &Record, new: &Record, pair: Pair) {
        let mut kept = Vec::new();
        let mut added = Vec::new();
        let mut sources = HashSet::new();
        for field in &new.fields {
            // An alias that is still a field's name renames nothing.
            let aliases = field.aliases.iter().filter(|it| !new.by_name.contains_key(*it));
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
                    // A few candidates will do.
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
            let spot = self.spot(pair);
            let list = |of: &Record| {
                of.fields.iter().take(30).map(|it| it.name.clone()).collect::<Vec<_>>().join(", ")
            };
            let message = format!(
                "the fields of record {} stand in another order: they are read by name, and sort by position",
                new.name
            );
            let values = (list(old), list(new));
            self.say("AVRO_FIELD_ORDER_CHANGED", Severity::Info, spot, values, message);
        }
    }

    /// Where a field is: its own place, and the paths of its record with its name.
    fn field_spot(&self, old: Option<&Field>, new: Option<&Field>, pair: Pair) -> Spot {
        let Spot { old_path, new_path, place } = self.spot(pair);
        let join = |path: String, field: Option<&Field>| match field {
            Some(field) if path.is_empty() => field.name.clone(),
            Some(field) => format!("{path}.{}", field.name),
            None => String::new(),
        };
        let new_path = join(new_path, new);
        let at: Option<At> = new.map(|it| it.at);
        let place = at.map_or(place, |at| self.sides.new.place(at, &new_path));
        Spot { old_path: join(old_path, old), new_path, place }
    }

    fn added(&mut self, field: &Field, pair: Pair) {
        let Some(default) = &field.default else { return };
        let spot = self.field_spot(None, Some(field), pair);
        let label = self.sides.new.label(field.of);
        let message = format!(
            "the field {} ({label}) was added: new readers read its default {} from old data, and readers that run now skip it",
            field.name,
            super::wording::short(&default.0)
        );
        self.say("AVRO_FIELD_ADDED", Severity::Info, spot, (String::new(), label), message);
    }

    fn removed(&mut self, field: &Field, added: &[&Field], pair: Pair) {
        let Some(default) = &field.default else { return };
        let label = self.sides.old.label(field.of);
        // A field of the same type that came while this one went may be the same one.
        let heir = added.iter().find(|it| self.sides.new.label(it.of) == label);
        let spot = self.field_spot(Some(field), None, pair);
        let default = super::wording::short(&default.0);
        let start = format!(
            "the field {} ({label}) was removed: readers that run now read its default {default} from new data, and new readers skip it",
            field.name
        );
        match heir {
            Some(heir) => {
                let message = format!(
                    "{start}; if it was renamed to {}, its values in old data are lost to new readers",
                    heir.name
                );
                let suggestion = format!(
                    "where it is the same field, give {} \"aliases\": [\"{}\"]",
                    heir.name, field.name
                );
                self.say(
                    "AVRO_FIELD_REMOVED",
                    Severity::Warning,
                    spot,
                    (label, String::new()),
                    message,
                );
                if let Some(last) = self.out.last_mut() {
                    last.suggestion = suggestion;
                }
            }
            None => {
                self.say("AVRO_FIELD_REMOVED", Severity::Info, spot, (label, String::new()), start);
            }
        }
    }

    fn field(&mut self, old: &Field, new: &Field, pair: Pair) {
        let at = |it: &Self| it.field_spot(Some(old), Some(new), pair);
        self.annotations(&old.notes, &new.notes, at);
        if old.name != new.name {
            let spot = at(self);
            let message = format!(
                "the field {} was renamed to {}, with an alias: new readers find it in old data",
                old.name, new.name
            );
            let values = (old.name.clone(), new.name.clone());
            self.say("AVRO_FIELD_RENAMED", Severity::Info, spot, values, message);
        }
        if old.aliases != new.aliases {
            let spot = at(self);
            let list =
                |it: &Field| it.aliases.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
            let message = format!(
                "the aliases of the field {} changed: they are the other names under which its readers find data",
                new.name
            );
            let values = (list(old), list(new));
            self.say("AVRO_ALIASES_CHANGED", Severity::Info, spot, values, message);
        }
        if old.order != new.order {
            let spot = at(self);
            let (from, to) = (old.order.name(), new.order.name());
            let message =
                format!("the sort order of the field {} changed from {from} to {to}", new.name);
            let values = (from.into(), to.into());
            self.say("AVRO_SORT_ORDER_CHANGED", Severity::Info, spot, values, message);
        }
        let text = |it: &Field| it.default.as_ref().map_or_else(String::new, |it| it.0.clone());
        let (from, to) = (text(old), text(new));
        let (shown_from, shown_to) = (super::wording::short(&from), super::wording::short(&to));
        let told = match (&old.default, &new.default) {
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
                    "the default {shown_from} of the field {} was removed: new readers cannot read data without it, of an older version or of another writer",
                    new.name
                ),
            )),
            (None, Some(_)) => Some((
                "AVRO_DEFAULT_ADDED",
                Severity::Info,
                format!("the field {} has the default {shown_to} now", new.name),
            )),
            _ => None,
        };
        if let Some((rule, severity, message)) = told {
            let spot = at(self);
            self.say(rule, severity, spot, (from, to), message);
        }
    }
}
