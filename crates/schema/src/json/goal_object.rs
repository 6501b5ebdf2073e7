//! What of a reader's keywords for objects can fail.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    branch::{Atom, Branch, Lit, Part, Piece, Side},
    evaluate::of_property,
    goal::{Finder, Kind},
    model::{NodeId, Objects},
};

impl Finder<'_> {
    pub(super) fn within_object(&mut self, branch: &Branch, lit: Lit, depth: usize) {
        let reader = lit.node;
        let model = self.solver.sides.reader;
        let Some(objects) = &model.node(reader).objects else { return };
        for name in &objects.required {
            if !branch.required.contains(name) {
                let absent = [Atom::Absent(Arc::clone(name))];
                self.ask_about(Kind::Required, reader, name, branch, &absent);
            }
        }
        for (name, others) in &objects.dependent_required {
            let same = branch.objects.iter().any(|lit| {
                let objects = self.solver.sides.node(*lit).objects.as_ref();
                objects.is_some_and(|it| {
                    it.dependent_required.contains(&(name.clone(), others.clone()))
                })
            });
            for other in others.iter().filter(|_| !same) {
                let pieces = [Atom::Required(Arc::clone(name)), Atom::Absent(Arc::clone(other))];
                if self.solver.allowed(branch, name) {
                    self.ask_about(Kind::DependentRequired, reader, name, branch, &pieces);
                }
            }
        }
        if let Some(min) = objects.min {
            let few = [Atom::MaxProperties(min.saturating_sub(1))];
            self.ask_about(Kind::MinProperties, reader, "", branch, &few);
        }
        // How many properties there are and what they are called is no matter of who declares them.
        let mut open = branch.clone();
        open.fresh = true;
        if let Some(max) = objects.max {
            let many = [Atom::MinProperties(max.saturating_add(1))];
            self.ask_about(Kind::MaxProperties, reader, "", &open, &many);
        }
        if let Some(id) = objects.names {
            let names = open.names.clone();
            let same = names.iter().any(|written| {
                written.positive
                    && written.side == Side::Writer
                    && self.solver.same(written.node, id)
            });
            if !same {
                let some = [Atom::SomeName(lit.of(id).negated())];
                self.ask_about(Kind::PropertyNames, reader, "", &open, &some);
            }
        }
        for (name, id) in &objects.dependent_schemas {
            if !self.solver.allowed(branch, name) || self.same_dependent(branch, name, *id) {
                continue;
            }
            let sides = self.solver.sides;
            let there = [
                Piece::Atom(Atom::Types(super::model::Types::OBJECT)),
                Piece::Atom(Atom::Required(Arc::clone(name))),
            ];
            let case = branch.with(sides, &there);
            if !self.solver.branch(case.clone(), 1).is_none() {
                self.spread(case, *id, depth + 1);
            }
        }
        let same = objects.unevaluated.is_some() && self.evaluates_alike(branch, reader);
        let unevaluated = objects.unevaluated.filter(|_| !same);
        self.properties(branch, lit, (objects, unevaluated), depth);
    }

    /// Whether the writer says the same of an object with a property.
    fn same_dependent(&mut self, branch: &Branch, name: &str, id: NodeId) -> bool {
        let sides = self.solver.sides;
        branch.objects.iter().filter(|lit| lit.side == Side::Writer).any(|lit| {
            let Some(objects) = &sides.node(*lit).objects else { return false };
            let mut found = objects.dependent_schemas.iter().filter(|(it, _)| **it == *name);
            found.any(|(_, written)| self.solver.same(*written, id))
        })
    }

    fn properties(
        &mut self,
        branch: &Branch,
        lit: Lit,
        (objects, unevaluated): (&Objects, Option<NodeId>),
        depth: usize,
    ) {
        let mut known: BTreeSet<Arc<str>> = self.solver.known_names(branch);
        known.extend(objects.properties.keys().cloned());
        for name in &known {
            self.property(branch, lit, (objects, unevaluated), (name, true), depth);
        }
        // Names that nobody speaks of.
        let model = self.solver.sides.reader;
        let says = |id: Option<NodeId>| id.is_some_and(|id| !model.node(id).is_true());
        if objects.patterns.is_empty() && !says(objects.additional) && !says(unevaluated) {
            return;
        }
        let fresh = self.solver.fresh_names(branch, &[lit], &known, &[]);
        for name in &fresh.names {
            self.property(branch, lit, (objects, unevaluated), (name, false), depth);
        }
        if !fresh.complete {
            let mut parts: Vec<_> = objects
                .patterns
                .iter()
                .enumerate()
                .map(|(index, (_, id))| (Part::Pattern(index), *id))
                .collect();
            parts.extend(objects.additional.map(|id| (Part::Additional, id)));
            parts.extend(unevaluated.map(|id| (Part::Unevaluated, id)));
            for (part, id) in parts {
                if model.node(id).is_true() || self.same_part(branch, lit, part, id) {
                    continue;
                }
                let some = [Atom::SomeProperty(lit, part, lit.of(id).negated())];
                self.ask_about(Kind::AdditionalProperties, lit.node, "", branch, &some);
            }
        }
    }

    /// Whether the writer says the same of what falls to a part of the reader's node.
    fn same_part(&mut self, branch: &Branch, lit: Lit, part: Part, id: NodeId) -> bool {
        let sides = self.solver.sides;
        let Some(objects) = &sides.node(lit).objects else { return false };
        for written in &branch.objects {
            let Some(others) = &sides.node(*written).objects else { continue };
            if written.side != Side::Writer {
                continue;
            }
            let same = match part {
                Part::Pattern(index) => {
                    let text = objects.patterns.get(index).map(|(pattern, _)| &pattern.text);
                    let found = others.patterns.iter().find(|(it, _)| Some(&it.text) == text);
                    found.is_some_and(|(_, other)| self.solver.same(*other, id))
                }
                Part::Additional => {
                    // Everything that the reader's properties and patterns leave over, the writer's leave over too.
                    let left =
                        others.properties.keys().all(|name| objects.properties.contains_key(name))
                            && others.patterns.iter().all(|(pattern, _)| {
                                objects.patterns.iter().any(|(it, _)| it.text == pattern.text)
                            });
                    left && others.additional.is_some_and(|other| self.solver.same(other, id))
                }
                Part::Unevaluated => false,
            };
            if same {
                return true;
            }
        }
        false
    }

    fn property(
        &mut self,
        branch: &Branch,
        lit: Lit,
        (objects, unevaluated): (&Objects, Option<NodeId>),
        (name, known): (&Arc<str>, bool),
        depth: usize,
    ) {
        if branch.absent.contains(name) || !self.solver.allowed(branch, name) {
            return;
        }
        let model = self.solver.sides.reader;
        let mut nodes = of_property(objects, name);
        let declared = objects.properties.contains_key(name)
            || objects.patterns.iter().any(|(pattern, _)| pattern.matches(name));
        if nodes.is_empty()
            && let Some(id) = unevaluated
            && self.solver.falls_to(lit, Part::Unevaluated, name)
        {
            nodes.push(id);
        }
        nodes.retain(|id| !model.node(*id).is_true());
        if nodes.is_empty() {
            return;
        }
        let lits = self.solver.property_lits(branch, name);
        for id in nodes {
            let there = Atom::Required(Arc::clone(name));
            let closed = model.node(id).always == Some(false);
            if closed {
                let kind = if known { Kind::PropertyClosed } else { Kind::AdditionalProperties };
                let said = if known { name.as_ref() } else { "" };
                self.ask_about(kind, lit.node, said, branch, &[there]);
            } else if lits.is_empty() {
                let refused = Piece::Lit(lit.of(id).negated());
                let part = Atom::Property(Arc::clone(name), Box::new(refused));
                let (kind, said) = if declared && known {
                    (Kind::PropertyOpen, name.as_ref())
                } else {
                    (Kind::AdditionalProperties, "")
                };
                self.ask_about(kind, lit.node, said, branch, &[there, part]);
            } else {
                self.descend_property(branch, name, &lits, id, depth);
            }
        }
    }
}
