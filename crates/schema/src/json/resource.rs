//! Documents for reference resolution: every id is absolute, so that a base that is applied twice
//! has no effect.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::Value;

use super::source::{DEFAULT_BASE, Source, resolve};

/// The documents of a source, and the schemas with an id in them.
#[derive(Debug)]
pub(crate) struct Resources {
    pub documents: Vec<Value>,
    /// By the address of the schema. Values do not move from here on.
    roots: HashMap<usize, ResourceRoot>,
}

/// A schema that JSON pointers are relative to.
#[derive(Debug, Clone)]
pub(crate) struct ResourceRoot {
    pub uri: String,
    pub draft: Draft,
}

/// Identity of a borrowed value.
pub(crate) fn address(value: &Value) -> usize {
    std::ptr::from_ref(value) as usize
}

impl Resources {
    pub(crate) fn of(source: &Source) -> Result<Self, String> {
        let mut documents: Vec<_> =
            source.documents.iter().map(|document| document.value.clone()).collect();
        let mut roots = HashMap::new();
        for (index, (document, value)) in source.documents.iter().zip(&documents).enumerate() {
            let draft = document.draft;
            let uri = if index == 0 {
                Some(source.base()?.as_str().to_owned())
            } else {
                // A relative id depends on the base under which the document is found.
                let id = value.get(draft.id_keyword()).and_then(Value::as_str);
                id.filter(|id| id.contains("://")).and_then(|id| resolve(DEFAULT_BASE, id))
            };
            if let Some(uri) = &uri {
                collect(value, draft, uri, &mut roots);
            }
            if let Some(uri) = uri.or_else(|| resolve(DEFAULT_BASE, &document.name)) {
                roots.insert(address(value), ResourceRoot { uri, draft });
            }
        }
        for (index, value) in documents.iter_mut().enumerate() {
            // The id of another document stays: the document may be found under another name.
            write(value, index == 0, &roots);
        }
        Ok(Self { documents, roots })
    }

    /// The root that starts at a value.
    pub(crate) fn root(&self, value: &Value) -> Option<&ResourceRoot> {
        self.roots.get(&address(value))
    }
}

/// Collects the schemas with an id below a value. Documents nest at most [`super::text::DEPTH_MAX`]
/// deep.
fn collect(value: &Value, draft: Draft, base: &str, roots: &mut HashMap<usize, ResourceRoot>) {
    for child in draft.subresources_of(value) {
        let draft = draft.detect(child);
        let resource = draft.create_resource_ref(child);
        // In old drafts an id with a fragment is an anchor.
        let id = resource.id().filter(|id| !id.contains('#'));
        match id.and_then(|id| resolve(base, id)) {
            Some(uri) => {
                collect(child, draft, &uri, roots);
                roots.insert(address(child), ResourceRoot { uri, draft });
            }
            None => collect(child, draft, base, roots),
        }
    }
}

/// Makes ids absolute.
fn write(value: &mut Value, own: bool, roots: &HashMap<usize, ResourceRoot>) {
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
