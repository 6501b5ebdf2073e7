//! Rewrites of documents for the validator library, where it deviates from JSON Schema. They are
//! collected while the model is built, so that validation and comparison use the same schema.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use serde_json::{Map, Value};

use super::{model::Model, numeric_assertions, parse::has_location, resource::ResourceRoot};

/// Rewrites, by the location of the schema or member in the model.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Texts of keywords, by schema.
    texts: HashMap<u32, Vec<(&'static str, String)>>,
    /// Names of members, by the location of their value.
    names: HashMap<u32, String>,
    /// Encoded numeric assertions that replace the keywords, by schema.
    exact: HashMap<u32, Value>,
    /// References: from, to, and whether the text of the reference must be rewritten.
    references: Vec<(u32, u32, bool)>,
    /// Schemas that pointers are relative to.
    pub roots: HashMap<u32, ResourceRoot>,
}

impl Edits {
    /// Sets the text of a keyword.
    pub(crate) fn text(&mut self, location: u32, keyword: &'static str, text: String) {
        self.texts.entry(location).or_default().push((keyword, text));
    }

    /// Sets the numeric assertions of a schema.
    pub(crate) fn exact(&mut self, location: u32, assertions: Value) {
        self.exact.insert(location, assertions);
    }

    /// Renames a member. `mark` is appended until the name differs from `others`.
    pub(crate) fn name(
        &mut self,
        location: u32,
        mut name: String,
        mark: &str,
        others: &mut BTreeSet<String>,
    ) {
        while others.contains(&name) {
            name.push_str(mark);
        }
        others.insert(name.clone());
        self.names.insert(location, name);
    }

    /// Records a reference. `rewrite`: the library does not follow it as written.
    pub(crate) fn reference(&mut self, from: u32, to: u32, rewrite: bool) {
        self.references.push((from, to, rewrite));
    }

    /// The absolute reference to a location. `renamed`: after the rewrites are applied.
    pub(crate) fn address_of(
        &self,
        model: &Model,
        mut location: u32,
        renamed: bool,
    ) -> Option<String> {
        let mut tokens: Vec<String> = Vec::new();
        loop {
            if let Some(root) = self.roots.get(&location) {
                let mut reference = format!("{}#", root.uri);
                for token in tokens.iter().rev() {
                    reference.push('/');
                    encode(token, &mut reference);
                }
                return Some(reference);
            }
            let at = model.locations.get(location as usize)?;
            let name = self.names.get(&location).filter(|_| renamed);
            tokens.push(name.cloned().unwrap_or_else(|| at.token.to_string()));
            location = at.parent?;
        }
    }

    /// Whether a pointer to a location passes through a renamed member.
    fn is_renamed(&self, model: &Model, mut location: u32) -> bool {
        loop {
            if self.names.contains_key(&location) {
                return true;
            }
            match model.locations.get(location as usize).and_then(|location| location.parent) {
                Some(parent) => location = parent,
                None => return false,
            }
        }
    }

    /// Applies the rewrites to the documents that the model was built from.
    pub(crate) fn apply(mut self, model: &Model, documents: &mut [Value]) {
        for (from, to, rewrite) in std::mem::take(&mut self.references) {
            if (rewrite || !self.names.is_empty() && self.is_renamed(model, to))
                && let Some(reference) = self.address_of(model, to, true)
            {
                self.text(from, "$ref", reference);
            }
        }
        if self.texts.is_empty() && self.names.is_empty() && self.exact.is_empty() {
            return;
        }
        let mut next = 0;
        documents.iter_mut().for_each(|value| self.write(value, &mut next));
    }

    /// Visits the values in the order in which the model numbered them.
    fn write(&self, value: &mut Value, next: &mut u32) {
        if !has_location(value) {
            return;
        }
        let location = *next;
        *next += 1;
        match value {
            Value::Object(members) => {
                let mut renamed: Vec<(String, String)> = Vec::new();
                for (name, value) in members.iter_mut() {
                    if let Some(new) = self.names.get(&*next).filter(|_| has_location(value)) {
                        renamed.push((name.clone(), new.clone()));
                    }
                    self.write(value, next);
                }
                if !renamed.is_empty() {
                    rename(members, renamed);
                }
                if let Some(assertions) = self.exact.get(&location) {
                    members
                        .retain(|name, _| !numeric_assertions::KEYWORDS.contains(&name.as_str()));
                    members.insert(numeric_assertions::KEYWORD.to_owned(), assertions.clone());
                }
                for (keyword, text) in self.texts.get(&location).into_iter().flatten() {
                    if let Some(value) = members.get_mut(*keyword) {
                        *value = Value::from(text.as_str());
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|value| self.write(value, next)),
            _ => {}
        }
    }
}

fn rename(members: &mut Map<String, Value>, renamed: Vec<(String, String)>) {
    let values: Vec<_> = renamed
        .into_iter()
        .filter_map(|(old, new)| members.remove(&old).map(|value| (new, value)))
        .collect();
    members.extend(values);
}

/// Encodes a token of a JSON pointer for the fragment of a URI.
fn encode(token: &str, out: &mut String) {
    for byte in token.replace('~', "~0").replace('/', "~1").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
