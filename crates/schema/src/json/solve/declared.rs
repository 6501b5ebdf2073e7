//! Properties that a schema of the writer declares.

use std::{collections::HashSet, rc::Rc, sync::Arc};

use super::Solver;
use crate::json::{
    literal::{Literal, Role},
    pattern::Pattern,
};

/// Listed values whose properties count as declared.
const LISTED_MAX: usize = 1_000;

impl Solver<'_> {
    /// The properties that a node of the writer declares, in place.
    pub(crate) fn declared(&mut self, literal: Literal) -> Rc<Declared> {
        if literal.role != Role::Writer {
            return Rc::default();
        }
        if let Some(declared) = self.declared.get(&literal) {
            return Rc::clone(declared);
        }
        let model = self.schemas.model(literal.role);
        let mut declared = Declared::default();
        let (mut visited, mut open) = (HashSet::new(), vec![(literal.node, literal.positive)]);
        while let Some((id, asserted)) = open.pop() {
            if !visited.insert((id, asserted)) {
                continue;
            }
            let node = model.node(id);
            if let Some(objects) = &node.objects {
                let names = &mut declared.names;
                names.extend(objects.properties.keys().cloned());
                names.extend(objects.required.iter().cloned());
                for (name, dependents) in &objects.dependent_required {
                    names.insert(Arc::clone(name));
                    names.extend(dependents.iter().cloned());
                }
                names.extend(objects.dependent_schemas.iter().map(|(name, _)| Arc::clone(name)));
                let patterns = objects.patterns.iter().map(|(pattern, _)| Arc::clone(pattern));
                declared.patterns.extend(patterns);
                // A condition alone does not make a map of the other properties.
                declared.is_map |= asserted
                    && [objects.additional, objects.unevaluated]
                        .into_iter()
                        .flatten()
                        .map(|id| model.node(id))
                        .any(|subschema| !subschema.is_true() && subschema.always.is_none());
            }
            // Members of listed objects are declared as well.
            let lists = node.values.iter().chain(&node.constant);
            for value in lists.flat_map(|values| values.list.iter().take(LISTED_MAX)) {
                let members = value.as_object().into_iter().flatten();
                declared.names.extend(members.map(|(name, _)| Arc::from(name.as_str())));
            }
            let condition = node.logic.as_ref().and_then(|logic| logic.condition);
            let negated = node.logic.as_ref().and_then(|logic| logic.not);
            open.extend(node.in_place().into_iter().map(|inner| {
                let tested = Some(inner) == negated
                    || condition.is_some_and(|condition| condition.when == inner);
                (inner, asserted && !tested)
            }));
        }
        self.work = self.work.saturating_sub(declared.names.len() as u64 / 16);
        let declared = Rc::new(declared);
        self.declared.insert(literal, Rc::clone(&declared));
        declared
    }
}

/// The properties that a node declares in any alternative.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub names: HashSet<Arc<str>>,
    pub patterns: Vec<Arc<Pattern>>,
    /// Further properties have a schema of their own, as in a map, so all of them are declared.
    pub is_map: bool,
}

impl Declared {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.is_map
            || self.names.contains(name)
            || self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}
