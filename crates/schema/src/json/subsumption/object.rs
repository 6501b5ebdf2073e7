//! Keywords for objects.

use std::{collections::BTreeSet, sync::Arc};

use super::{FailureKind, SubsumptionCheck};
use crate::json::{
    conjunct::{Applicator, Atom, Conjunct},
    constraints::Constraints,
    evaluate::of_property,
    literal::{Literal, Role},
    model::{NodeId, Objects, Types},
};

impl SubsumptionCheck<'_> {
    pub(super) fn check_object(
        &mut self,
        constraints: &Constraints,
        literal: Literal,
        depth: usize,
    ) {
        let reader = literal.node;
        let model = self.solver.schemas.reader;
        let Some(objects) = &model.node(reader).objects else { return };
        for name in &objects.required {
            if !constraints.required.contains(name) {
                let absent = [Atom::Absent(Arc::clone(name))];
                self.check_object_assertion(
                    FailureKind::Required,
                    reader,
                    name,
                    constraints,
                    &absent,
                );
            }
        }
        for (name, dependents) in &objects.dependent_required {
            let same = constraints.objects.iter().any(|literal| {
                let objects = self.solver.schemas.node(*literal).objects.as_ref();
                objects.is_some_and(|objects| {
                    objects.dependent_required.contains(&(name.clone(), dependents.clone()))
                })
            });
            for dependent in dependents.iter().filter(|_| !same) {
                let conjuncts =
                    [Atom::Required(Arc::clone(name)), Atom::Absent(Arc::clone(dependent))];
                if self.solver.is_allowed(constraints, name) {
                    self.check_object_assertion(
                        FailureKind::DependentRequired,
                        reader,
                        name,
                        constraints,
                        &conjuncts,
                    );
                }
            }
        }
        if let Some(min) = objects.min {
            let few = [Atom::MaxProperties(min.saturating_sub(1))];
            self.check_object_assertion(FailureKind::MinProperties, reader, "", constraints, &few);
        }
        // The number and the names of properties are checked whether or not the properties are
        // declared.
        let mut open = constraints.clone();
        open.allows_undeclared = true;
        if let Some(max) = objects.max {
            let many = [Atom::MinProperties(max.saturating_add(1))];
            self.check_object_assertion(FailureKind::MaxProperties, reader, "", &open, &many);
        }
        if let Some(id) = objects.names {
            let names = open.names.clone();
            let same = names.iter().any(|written| {
                written.positive
                    && written.role == Role::Writer
                    && self.solver.is_equivalent(written.node, id)
            });
            if !same {
                let invalid_name = [Atom::SomeName(literal.of(id).negated())];
                self.check_object_assertion(
                    FailureKind::PropertyNames,
                    reader,
                    "",
                    &open,
                    &invalid_name,
                );
            }
        }
        for (name, id) in &objects.dependent_schemas {
            if !self.solver.is_allowed(constraints, name)
                || self.has_same_dependent(constraints, name, *id)
            {
                continue;
            }
            let schemas = self.solver.schemas;
            let present = [
                Conjunct::Atom(Atom::Types(Types::OBJECT)),
                Conjunct::Atom(Atom::Required(Arc::clone(name))),
            ];
            let case = constraints.with(schemas, &present);
            if !self.solver.solve(case.clone(), 1).is_none() {
                self.check_alternatives(case, *id, depth + 1);
            }
        }
        let same = objects.unevaluated.is_some() && self.has_same_evaluation(constraints, reader);
        let unevaluated = objects.unevaluated.filter(|_| !same);
        self.check_properties(constraints, literal, (objects, unevaluated), depth);
    }

    /// Whether the writer applies an equivalent schema if the property is present.
    fn has_same_dependent(&mut self, constraints: &Constraints, name: &str, id: NodeId) -> bool {
        let schemas = self.solver.schemas;
        constraints.objects.iter().filter(|literal| literal.role == Role::Writer).any(|literal| {
            let Some(objects) = &schemas.node(*literal).objects else { return false };
            let mut dependent =
                objects.dependent_schemas.iter().filter(|(property, _)| **property == *name);
            dependent.any(|(_, written)| self.solver.is_equivalent(*written, id))
        })
    }

    fn check_properties(
        &mut self,
        constraints: &Constraints,
        literal: Literal,
        (objects, unevaluated): (&Objects, Option<NodeId>),
        depth: usize,
    ) {
        let mut known: BTreeSet<Arc<str>> = self.solver.known_names(constraints);
        known.extend(objects.properties.keys().cloned());
        for name in &known {
            self.check_property(constraints, literal, (objects, unevaluated), (name, true), depth);
        }
        // Names that no node declares.
        let model = self.solver.schemas.reader;
        let says = |id: Option<NodeId>| id.is_some_and(|id| !model.node(id).is_true());
        if objects.patterns.is_empty() && !says(objects.additional) && !says(unevaluated) {
            return;
        }
        let fresh = self.solver.fresh_names(constraints, &[literal], &known, &[]);
        for name in &fresh.names {
            self.check_property(constraints, literal, (objects, unevaluated), (name, false), depth);
        }
        if !fresh.complete {
            let mut applicators: Vec<_> = objects
                .patterns
                .iter()
                .enumerate()
                .map(|(index, (_, id))| (Applicator::Pattern(index), *id))
                .collect();
            applicators.extend(objects.additional.map(|id| (Applicator::Additional, id)));
            applicators.extend(unevaluated.map(|id| (Applicator::Unevaluated, id)));
            for (applicator, id) in applicators {
                if model.node(id).is_true()
                    || self.has_same_subschema(constraints, literal, applicator, id)
                {
                    continue;
                }
                let invalid_property =
                    [Atom::SomeProperty(literal, applicator, literal.of(id).negated())];
                self.check_object_assertion(
                    FailureKind::AdditionalProperties,
                    literal.node,
                    "",
                    constraints,
                    &invalid_property,
                );
            }
        }
    }

    /// Whether the writer's schema for an applicator is equivalent to the reader's.
    fn has_same_subschema(
        &mut self,
        constraints: &Constraints,
        literal: Literal,
        applicator: Applicator,
        id: NodeId,
    ) -> bool {
        let schemas = self.solver.schemas;
        let Some(objects) = &schemas.node(literal).objects else { return false };
        for written in &constraints.objects {
            let Some(written_objects) = &schemas.node(*written).objects else { continue };
            if written.role != Role::Writer {
                continue;
            }
            let same = match applicator {
                Applicator::Pattern(index) => {
                    let text = objects.patterns.get(index).map(|(pattern, _)| &pattern.text);
                    let matching = written_objects
                        .patterns
                        .iter()
                        .find(|(pattern, _)| Some(&pattern.text) == text);
                    matching.is_some_and(|(_, subschema)| self.solver.is_equivalent(*subschema, id))
                }
                Applicator::Additional => {
                    // Every property that is additional for the reader must be additional for the
                    // writer.
                    let covers = written_objects
                        .properties
                        .keys()
                        .all(|name| objects.properties.contains_key(name))
                        && written_objects.patterns.iter().all(|(pattern, _)| {
                            objects.patterns.iter().any(|(own, _)| own.text == pattern.text)
                        });
                    covers
                        && written_objects
                            .additional
                            .is_some_and(|subschema| self.solver.is_equivalent(subschema, id))
                }
                Applicator::Unevaluated => false,
            };
            if same {
                return true;
            }
        }
        false
    }

    fn check_property(
        &mut self,
        constraints: &Constraints,
        literal: Literal,
        (objects, unevaluated): (&Objects, Option<NodeId>),
        (name, known): (&Arc<str>, bool),
        depth: usize,
    ) {
        if constraints.absent.contains(name) || !self.solver.is_allowed(constraints, name) {
            return;
        }
        let model = self.solver.schemas.reader;
        let mut nodes = of_property(objects, name);
        let declared = objects.properties.contains_key(name)
            || objects.patterns.iter().any(|(pattern, _)| pattern.matches(name));
        if nodes.is_empty()
            && let Some(id) = unevaluated
            && self.solver.applies_to(literal, Applicator::Unevaluated, name)
        {
            nodes.push(id);
        }
        nodes.retain(|id| !model.node(*id).is_true());
        if nodes.is_empty() {
            return;
        }
        let literals = self.solver.property_literals(constraints, name);
        for id in nodes {
            let present = Atom::Required(Arc::clone(name));
            let closed = model.node(id).always == Some(false);
            if closed {
                let kind = if known {
                    FailureKind::PropertyClosed
                } else {
                    FailureKind::AdditionalProperties
                };
                let property = if known { name.as_ref() } else { "" };
                self.check_object_assertion(kind, literal.node, property, constraints, &[present]);
            } else if literals.is_empty() {
                let refused = Conjunct::Literal(literal.of(id).negated());
                let invalid = Atom::Property(Arc::clone(name), Box::new(refused));
                let (kind, property) = if declared && known {
                    (FailureKind::PropertyOpen, name.as_ref())
                } else {
                    (FailureKind::AdditionalProperties, "")
                };
                self.check_object_assertion(
                    kind,
                    literal.node,
                    property,
                    constraints,
                    &[present, invalid],
                );
            } else {
                self.descend_property(constraints, name, &literals, id, depth);
            }
        }
    }
}
