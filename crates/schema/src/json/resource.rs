//! The documents as they are looked up: with every id in full, so that a base that is applied twice stays the same.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::Value;

use super::source::{HERE, Source, resolve};

/// The documents of a source with what has an id of its own in them.
#[derive(Debug)]
pub(crate) struct Resources {
    pub documents: Vec<Value>,
    /// By the address of the schema. Values are not moved any more.
    roots: HashMap<usize, Root>,
}

/// A schema from which JSON pointers count.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub uri: String,
    pub draft: Draft,
}

/// What a value is known by while it is borrowed.
pub(crate) fn address(value: &Value) -> usize {
    std::ptr::from_ref(value) as usize
}

impl Resources {
    pub(crate) fn of(source: &Source) -> Result<Self, String> {
        let mut documents: Vec<_> = source.documents.iter().map(|it| it.value.clone()).collect();
        let mut roots = HashMap::new();
        for (index, (document, value)) in source.documents.iter().zip(&documents).enumerate() {
            let draft = document.draft;
            let uri = if index == 0 {
                Some(source.base()?.as_str().to_owned())
            } else {
                // A relative id depends on the base that the document is found below.
                let id = value.get(draft.id_keyword()).and_then(Value::as_str);
                id.filter(|id| id.contains("://")).and_then(|id| resolve(HERE, id))
            };
            if let Some(uri) = &uri {
                collect(value, draft, uri, &mut roots);
            }
            if let Some(uri) = uri.or_else(|| resolve(HERE, &document.name)) {
                roots.insert(address(value), Root { uri, draft });
            }
        }
        for (index, value) in documents.iter_mut().enumerate() {
            // The id of another document stands as it is: the name it is found under may be another one.
            write(value, index == 0, &roots);
        }
        Ok(Self { documents, roots })
    }

    /// The root that a value is, if it is one.
    pub(crate) fn root(&self, value: &Value) -> Option<&Root> {
        self.roots.get(&address(value))
    }
}

/// Notes the schemas with an id below a value. Documents nest at most [`super::text::DEPTH_MAX`] deep.
fn collect(value: &Value, draft: Draft, base: &str, roots: &mut HashMap<usize, Root>) {
    for child in draft.subresources_of(value) {
        let draft = draft.detect(child);
        let resource = draft.create_resource_ref(child);
        // An id with a fragment is an anchor of old drafts.
        let id = resource.id().filter(|id| !id.contains('#'));
        match id.and_then(|id| resolve(base, id)) {
            Some(uri) => {
                collect(child, draft, &uri, roots);
                roots.insert(address(child), Root { uri, draft });
            }
            None => collect(child, draft, base, roots),
        }
    }
}

/// Writes ids in full.
fn write(value: &mut Value, own: bool, roots: &HashMap<usize, Root>) {
    let root = roots.get(&address(value)).filter(|_| own);
    match value {
        Value::Object(members) => {
            if let Some(root) = root
                && let Some(Value::String(id)) = members.get_mut(root.draft.id_keyword())
            {
                id.clone_from(&root.uri);
            }
            members.values_mut().for_each(|value| write(value, true, roots));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| write(value, true, roots)),
        _ => {}
    }
}
