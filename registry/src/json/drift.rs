//! What changed and breaks nothing: properties that came and went, and annotations that somebody relies on.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Schema,
    report::{outline, short},
};
use crate::{
    definition::Place,
    finding::{Direction, Finding, Severity},
};

/// Findings of this sort that one answer lists.
const FINDINGS_MAX: usize = 100;

/// What a walk over two schemas side by side found.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// That properties came or went.
    pub declares: bool,
    pub findings: Vec<Finding>,
}

impl Drift {
    /// Walks over what is at the same place in both.
    pub(crate) fn between(old: &Schema, new: &Schema) -> Self {
        let mut drift = Self::default();
        let mut met = HashSet::new();
        let mut open = vec![(old.model.root, new.model.root)];
        while let Some((left, right)) = open.pop() {
            if !met.insert((left, right)) || drift.findings.len() >= FINDINGS_MAX {
                continue;
            }
            let (one, other) = (old.model.node(left), new.model.node(right));
            let (_, old_path) = old.model.pointer(left);
            let (_, new_path) = new.model.pointer(right);
            drift.annotations(old, new, (left, right), (&old_path, &new_path));
            // Parts of the same kind and number pair up.
            let (ones, others) = (one.in_place(), other.in_place());
            if ones.len() == others.len() {
                open.extend(ones.into_iter().zip(others));
            }
            if let (Some(one), Some(other)) = (&one.arrays, &other.arrays) {
                open.extend(one.prefix.iter().copied().zip(other.prefix.iter().copied()));
                open.extend(one.rest.zip(other.rest));
            }
            let empty = Default::default();
            let one = one.objects.as_deref().map_or(&empty, |it| &it.properties);
            let other = other.objects.as_deref().map_or(&empty, |it| &it.properties);
            for (name, id) in one {
                match other.get(name) {
                    Some(counterpart) => open.push((*id, *counterpart)),
                    None => {
                        drift.declares = true;
                        let path = format!("{old_path}/properties/{}", escape(name));
                        let value = outline(&old.model, *id);
                        drift.findings.push(Finding {
                            old_path: path,
                            new_path: new_path.clone(),
                            old_value: short(&value),
                            place: new.source.place(0, &new_path),
                            ..info(
                                "JSON_PROPERTY_REMOVED",
                                format!("Property {:?} is no longer declared.", short(name)),
                            )
                        });
                    }
                }
            }
            for (name, id) in other {
                if !one.contains_key(name) {
                    drift.declares = true;
                    let path = format!("{new_path}/properties/{}", escape(name));
                    let value = outline(&new.model, *id);
                    drift.findings.push(Finding {
                        old_path: old_path.clone(),
                        place: new.source.place(0, &path),
                        new_path: path,
                        new_value: short(&value),
                        ..info(
                            "JSON_PROPERTY_ADDED",
                            format!("Property {:?} is newly declared.", short(name)),
                        )
                    });
                }
            }
        }
        drift
    }

    /// `format` and `default`, which validators do not enforce.
    fn annotations(
        &mut self,
        old: &Schema,
        new: &Schema,
        (left, right): (u32, u32),
        (old_path, new_path): (&str, &str),
    ) {
        let rules = [
            (
                "format",
                "JSON_FORMAT_CHANGED",
                "payloads are not refused for it here, but a validator that asserts formats would",
            ),
            (
                "default",
                "JSON_DEFAULT_CHANGED",
                "validators fill nothing in, but readers that do would fill in something else",
            ),
        ];
        for (keyword, rule, whom) in rules {
            let before = annotation(old, left, keyword);
            let after = annotation(new, right, keyword);
            if before == after {
                continue;
            }
            let said = |value: Option<&Value>| value.map_or("none".to_owned(), Value::to_string);
            let (before, after) = (short(&said(before)), short(&said(after)));
            let path = format!("{new_path}/{keyword}");
            self.findings.push(Finding {
                old_path: format!("{old_path}/{keyword}"),
                place: new.source.place(0, &path),
                new_path: path,
                message: format!("{keyword} changed from {before} to {after}: {whom}."),
                old_value: before,
                new_value: after,
                ..info(rule, String::new())
            });
        }
    }
}

/// The value of a keyword at a node, from the text.
fn annotation<'a>(schema: &'a Schema, id: u32, keyword: &str) -> Option<&'a Value> {
    let (document, pointer) = schema.model.pointer(id);
    let document = schema.source.documents.get(document as usize)?;
    document.value.pointer(&pointer)?.get(keyword)
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn info(rule: &'static str, message: String) -> Finding {
    Finding {
        rule,
        severity: Severity::Info,
        direction: Direction::Both,
        proven: false,
        old_path: String::new(),
        new_path: String::new(),
        old_value: String::new(),
        new_value: String::new(),
        message,
        suggestion: String::new(),
        witness: String::new(),
        place: Place::default(),
    }
}
