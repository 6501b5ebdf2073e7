//! Documents as the validator library is to read them: what it reads otherwise than JSON Schema has it is written in
//! another way. All of it is found while the model is built, so that validation and comparison see the same.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use serde_json::{Map, Value};

use super::{exact, model::Model, resource::Root};

/// What to write in another way. Schemas and members are named by their spots in the model.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Texts of keywords, by the schema.
    texts: HashMap<u32, Vec<(&'static str, String)>>,
    /// Names of members, by what stands under them.
    names: HashMap<u32, String>,
    /// What schemas assert of numbers, instead of the keywords that do.
    exact: HashMap<u32, Value>,
    /// From which schema to which, and whether it is not followed as it is written.
    references: Vec<(u32, u32, bool)>,
    /// Schemas from which pointers count.
    pub roots: HashMap<u32, Root>,
}

impl Edits {
    /// The text of a keyword.
    pub(crate) fn text(&mut self, spot: u32, keyword: &'static str, text: String) {
        self.texts.entry(spot).or_default().push((keyword, text));
    }

    /// What is asserted of numbers.
    pub(crate) fn exact(&mut self, spot: u32, assertions: Value) {
        self.exact.insert(spot, assertions);
    }

    /// The name of a member that has none of `others`; `mark` distinguishes it from existing ones.
    pub(crate) fn name(
        &mut self,
        spot: u32,
        mut name: String,
        mark: &str,
        others: &mut BTreeSet<String>,
    ) {
        while others.contains(&name) {
            name.push_str(mark);
        }
        others.insert(name.clone());
        self.names.insert(spot, name);
    }

    /// A reference; `rewrite`, if it is not followed as it is written.
    pub(crate) fn reference(&mut self, from: u32, to: u32, rewrite: bool) {
        self.references.push((from, to, rewrite));
    }

    /// The reference to a spot in full; `renamed`, once the edits are made.
    pub(crate) fn address_of(&self, model: &Model, mut spot: u32, renamed: bool) -> Option<String> {
        let mut tokens: Vec<String> = Vec::new();
        loop {
            if let Some(root) = self.roots.get(&spot) {
                let mut reference = format!("{}#", root.uri);
                for token in tokens.iter().rev() {
                    reference.push('/');
                    encode(token, &mut reference);
                }
                return Some(reference);
            }
            let at = model.spots.get(spot as usize)?;
            let name = self.names.get(&spot).filter(|_| renamed);
            tokens.push(name.cloned().unwrap_or_else(|| at.token.to_string()));
            spot = at.parent?;
        }
    }

    /// Whether a pointer to a spot goes through a name that is another one now.
    fn is_renamed(&self, model: &Model, mut spot: u32) -> bool {
        loop {
            if self.names.contains_key(&spot) {
                return true;
            }
            match model.spots.get(spot as usize).and_then(|it| it.parent) {
                Some(parent) => spot = parent,
                None => return false,
            }
        }
    }

    /// Changes the documents that the model was built of.
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

    /// Goes through the values in the order in which the model numbered them.
    fn write(&self, value: &mut Value, next: &mut u32) {
        if !super::graph::has_spot(value) {
            return;
        }
        let spot = *next;
        *next += 1;
        match value {
            Value::Object(members) => {
                let mut renamed: Vec<(String, String)> = Vec::new();
                for (name, value) in members.iter_mut() {
                    if let Some(new) =
                        self.names.get(&*next).filter(|_| super::graph::has_spot(value))
                    {
                        renamed.push((name.clone(), new.clone()));
                    }
                    self.write(value, next);
                }
                if !renamed.is_empty() {
                    rename(members, renamed);
                }
                if let Some(assertions) = self.exact.get(&spot) {
                    members.retain(|name, _| !exact::KEYWORDS.contains(&name.as_str()));
                    members.insert(exact::KEYWORD.to_owned(), assertions.clone());
                }
                for (keyword, text) in self.texts.get(&spot).into_iter().flatten() {
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

/// A token of a JSON pointer in the fragment of a URI.
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
