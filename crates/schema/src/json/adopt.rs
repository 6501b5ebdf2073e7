//! Payloads of other versions, made payloads of one: what a closed object does not declare goes, and what is required
//! and missing and has a default comes. Nothing else is changed, and nothing is guessed: what does not fit then does not
//! fit.

use std::collections::HashSet;

use super::{
    evaluate::{of_property, valid},
    model::{Model, Node, NodeId},
    source::Source,
    tree::{Member, Tree},
};

/// Steps that one payload may take.
const WORK_MAX: u64 = 4_000_000;
/// Bytes of defaults that are filled in.
const FILLED_BYTES_MAX: usize = 4 << 20;

/// Changes a payload, as deep as is said. Whether it is valid then is for the validator to say.
///
/// # Errors
/// Where it takes more than is bounded.
pub(crate) fn adopt<'t>(
    model: &'t Model,
    source: &'t Source,
    payload: &mut Tree<'t>,
    depth_max: usize,
) -> Result<(), String> {
    let mut walk = Walk { model, source, depth_max, work: WORK_MAX, edits: 0, filled_bytes: 0 };
    walk.value(&[model.root], payload, 0)
}

struct Walk<'t> {
    model: &'t Model,
    source: &'t Source,
    depth_max: usize,
    work: u64,
    /// Members that went and came.
    edits: u64,
    filled_bytes: usize,
}

impl<'t> Walk<'t> {
    fn spend(&mut self, steps: u64) -> Result<(), String> {
        self.work = self.work.saturating_sub(steps);
        if self.work == 0 {
            return Err("the conversion would take more work than is bounded".to_owned());
        }
        Ok(())
    }

    fn value(
        &mut self,
        nodes: &[NodeId],
        value: &mut Tree<'t>,
        depth: usize,
    ) -> Result<(), String> {
        if nodes.is_empty() || matches!(value, Tree::Scalar(_)) {
            return Ok(());
        }
        if depth > self.depth_max {
            return Err(format!(
                "with its defaults it nests deeper than {} levels",
                self.depth_max
            ));
        }
        let applying = self.applying(nodes, value, depth)?;
        match value {
            Tree::Scalar(_) => {}
            Tree::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let mut inner = Vec::new();
                    for id in &applying {
                        self.spend(1)?;
                        let Some(arrays) = &self.model.node(*id).arrays else { continue };
                        let own = arrays.prefix.get(index).copied().or(arrays.rest);
                        inner.extend(own);
                        if own.is_none() && !self.model.covers_item(*id, index, false) {
                            inner.extend(arrays.unevaluated);
                        }
                    }
                    self.value(&inner, item, depth + 1)?;
                }
            }
            Tree::Object(members) => {
                self.drop_undeclared(&applying, members)?;
                self.fill(&applying, members)?;
                for member in members {
                    let mut inner = Vec::new();
                    for id in &applying {
                        self.spend(1)?;
                        let Some(objects) = &self.model.node(*id).objects else { continue };
                        inner.extend(of_property(objects, &member.name));
                        if objects.unevaluated.is_some()
                            && !self.model.covers(*id, &member.name, false)
                        {
                            inner.extend(objects.unevaluated);
                        }
                    }
                    self.value(&inner, &mut member.value, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// All nodes that a value is held against: those given, what they refer to, and the branches that it takes or could
    /// be made to take.
    fn applying(
        &mut self,
        nodes: &[NodeId],
        value: &Tree<'t>,
        depth: usize,
    ) -> Result<Vec<NodeId>, String> {
        let model = self.model;
        let mut open = nodes.to_vec();
        let mut met = HashSet::new();
        let mut applying = Vec::new();
        // Made when a branch is first asked for.
        let mut seen = None;
        while let Some(id) = open.pop() {
            self.spend(1)?;
            if !met.insert(id) {
                continue;
            }
            applying.push(id);
            let node = model.node(id);
            open.extend(&node.refs);
            if let (Some(objects), Tree::Object(members)) = (&node.objects, value) {
                for (name, dependent) in &objects.dependent_schemas {
                    if members.iter().any(|it| it.name == **name) {
                        open.push(*dependent);
                    }
                }
            }
            let Some(logic) = &node.logic else { continue };
            open.extend(&logic.all_of);
            if logic.any_of.is_empty() && logic.one_of.is_empty() && logic.condition.is_none() {
                continue;
            }
            if seen.is_none() {
                self.spend(value.size())?;
            }
            let json = seen.get_or_insert_with(|| value.to_value());
            for branches in [&logic.any_of, &logic.one_of] {
                let mut taken = Vec::new();
                for branch in branches {
                    if valid(model, *branch, json, &mut self.work) == Some(true) {
                        taken.push(*branch);
                    }
                }
                if taken.is_empty() {
                    taken.extend(self.nearest(branches, value, depth)?);
                }
                open.extend(taken);
            }
            if let Some(condition) = logic.condition {
                match valid(model, condition.when, json, &mut self.work) {
                    Some(true) => {
                        open.push(condition.when);
                        open.extend(condition.then);
                    }
                    Some(false) => open.extend(condition.otherwise),
                    None => {}
                }
            }
        }
        Ok(applying)
    }

    /// The branch that takes the value with the fewest changes.
    fn nearest(
        &mut self,
        branches: &[NodeId],
        value: &Tree<'t>,
        depth: usize,
    ) -> Result<Option<NodeId>, String> {
        let mut nearest: Option<(u64, NodeId)> = None;
        let (edits, filled_bytes) = (self.edits, self.filled_bytes);
        for branch in branches {
            self.spend(value.size())?;
            let mut changed = value.clone();
            self.value(&[*branch], &mut changed, depth + 1)?;
            let cost = self.edits - edits;
            (self.edits, self.filled_bytes) = (edits, filled_bytes);
            self.spend(changed.size())?;
            let fits = valid(self.model, *branch, &changed.to_value(), &mut self.work);
            if fits == Some(true) && nearest.is_none_or(|(least, _)| cost < least) {
                nearest = Some((cost, *branch));
            }
        }
        Ok(nearest.map(|(_, branch)| branch))
    }

    /// Takes out the properties that a closed object does not declare.
    fn drop_undeclared(
        &mut self,
        applying: &[NodeId],
        members: &mut Vec<Member<'t>>,
    ) -> Result<(), String> {
        let model = self.model;
        let never = |id: NodeId| model.node(id).always == Some(false);
        let closing: Vec<(NodeId, Option<HashSet<NodeId>>)> = applying
            .iter()
            .filter_map(|id| {
                let objects = model.node(*id).objects.as_ref()?;
                let unevaluated = objects.unevaluated.is_some_and(never);
                Some((*id, unevaluated.then(|| self.evaluating(*id, applying))))
            })
            .collect();
        let mut kept = Vec::with_capacity(members.len());
        for member in std::mem::take(members) {
            let mut out = false;
            for (id, evaluating) in &closing {
                self.spend(1 + evaluating.as_ref().map_or(0, |it| it.len() as u64))?;
                let Some(objects) = &model.node(*id).objects else { continue };
                out |= of_property(objects, &member.name).into_iter().any(never);
                out |= evaluating.as_ref().is_some_and(|nodes| {
                    !nodes.iter().any(|it| evaluates(model.node(*it), *it == *id, &member.name))
                });
            }
            if out {
                self.edits += 1;
            } else {
                kept.push(member);
            }
        }
        *members = kept;
        Ok(())
    }

    /// Of the nodes that apply, those whose evaluation of a property counts for a node.
    fn evaluating(&self, id: NodeId, applying: &[NodeId]) -> HashSet<NodeId> {
        let applying: HashSet<NodeId> = applying.iter().copied().collect();
        let mut open = vec![id];
        let mut met = HashSet::new();
        while let Some(id) = open.pop() {
            if applying.contains(&id) && met.insert(id) {
                open.extend(self.model.node(id).evaluating(true));
            }
        }
        met
    }

    /// Adds the properties that are required and missing, where their schemas have a default.
    fn fill(&mut self, applying: &[NodeId], members: &mut Vec<Member<'t>>) -> Result<(), String> {
        let model = self.model;
        let mut present: HashSet<&'t str> = HashSet::new();
        loop {
            let mut added = Vec::new();
            for objects in applying.iter().filter_map(|id| model.node(*id).objects.as_ref()) {
                let dependent = objects.dependent_required.iter();
                let asked = dependent
                    .filter(|(name, _)| members.iter().any(|it| it.name == **name))
                    .flat_map(|(_, names)| names);
                for name in objects.required.iter().chain(asked) {
                    self.spend(1 + members.len() as u64 / 8)?;
                    let here =
                        present.contains(&**name) || members.iter().any(|it| it.name == **name);
                    if here {
                        continue;
                    }
                    present.insert(name);
                    if let Some(default) = self.default_of(applying, name)? {
                        added.push(Member::new(name, default));
                    }
                }
            }
            if added.is_empty() {
                return Ok(());
            }
            self.edits += added.len() as u64;
            members.extend(added);
        }
    }

    /// The default of a property: the first that its schemas have, or what they refer to.
    fn default_of(&mut self, applying: &[NodeId], name: &str) -> Result<Option<Tree<'t>>, String> {
        let model = self.model;
        let objects = applying.iter().filter_map(|id| model.node(*id).objects.as_ref());
        let mut open: Vec<NodeId> =
            objects.filter_map(|it| it.properties.get(name).copied()).collect();
        open.reverse();
        let mut met = HashSet::new();
        while let Some(id) = open.pop() {
            self.spend(1)?;
            if !met.insert(id) {
                continue;
            }
            if let Some(text) = self.source.default_at(model.pointer(id)) {
                self.filled_bytes += text.len();
                if self.filled_bytes > FILLED_BYTES_MAX {
                    return Err(format!("its defaults have more than {FILLED_BYTES_MAX} bytes"));
                }
                return Ok(Tree::read(text));
            }
            let node = model.node(id);
            open.extend(&node.refs);
            open.extend(node.logic.iter().flat_map(|it| &it.all_of));
        }
        Ok(None)
    }
}

/// Whether a node says something of a property, so that it is not an unevaluated one. `own`: it is the node whose
/// `unevaluatedProperties` is asked about.
fn evaluates(node: &Node, own: bool, name: &str) -> bool {
    node.objects.as_ref().is_some_and(|objects| {
        objects.properties.contains_key(name)
            || objects.additional.is_some()
            || !own && objects.unevaluated.is_some()
            || objects.patterns.iter().any(|(pattern, _)| pattern.matches(name))
    })
}
