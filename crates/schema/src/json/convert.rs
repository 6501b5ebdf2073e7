//! Conversion of a payload into another version. Undeclared members of closed objects are dropped,
//! and required members that are missing are inserted if they have a default. Nothing else changes:
//! a payload that does not fit then is invalid.

use std::collections::HashSet;

use super::{
    Schema, cost, deep,
    evaluate::{of_property, valid},
    limits::DEPTH_ON_STACK_MAX,
    model::{Model, Node, NodeId},
    source::Source,
    text,
    tree::{Member, Tree},
    validate::{no_thread, read, utf8},
};
use crate::definition::Violation;

/// Steps for one payload.
const WORK_MAX: u64 = 4_000_000;
/// Bytes of defaults that one payload receives.
const FILLED_BYTES_MAX: usize = 4 << 20;

impl Schema {
    /// Converts a payload of another version into one of this version. Undeclared members of closed
    /// objects are dropped, and required members that are missing get their default. Returns `None`
    /// if the payload is valid as it is.
    ///
    /// # Errors
    /// Returns all violations if the converted payload is not valid, or the limit that the
    /// conversion exceeds.
    pub fn convert(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Vec<Violation>> {
        let json = utf8(bytes)?;
        let (value, wide) = read(json)?;
        let valid =
            || self.with_validator(json, &value, wide, |validator| validator.is_valid(&value));
        if self.run_validator(&value, valid) == Some(true) {
            return Ok(None);
        }
        let work = |depth_max: usize| {
            let violation = |message: String| Violation { path: String::new(), message };
            let tree = Tree::read(json).ok_or_else(|| violation("not a JSON document".to_owned()));
            let mut tree = tree?;
            convert(&self.model, &self.source, &mut tree, depth_max).map_err(violation)?;
            let mut out = String::with_capacity(json.len());
            tree.write(&mut out);
            Ok(out)
        };
        // Defaults may nest deeper than the payload. If they do, the conversion runs again in a
        // thread.
        let depth = cost::depth(&value) + 2;
        let shallow = depth * (self.model.longest_chain + 1) <= DEPTH_ON_STACK_MAX;
        let converted = match shallow.then(|| work(depth)) {
            Some(Ok(converted)) => Ok(converted),
            _ => deep(|| work(text::DEPTH_MAX)).unwrap_or_else(|| Err(no_thread())),
        };
        let converted = converted.map_err(|violation| vec![violation])?;
        self.validate_json(&converted)?;
        Ok(Some(converted.into_bytes()))
    }
}

/// Converts a payload in place. The caller validates the result.
///
/// # Errors
/// Returns the limit that the conversion exceeds: `depth_max` levels, work, or bytes of defaults.
fn convert<'t>(
    model: &'t Model,
    source: &'t Source,
    payload: &mut Tree<'t>,
    depth_max: usize,
) -> Result<(), String> {
    let mut conversion =
        Conversion { model, source, depth_max, work: WORK_MAX, edits: 0, filled_bytes: 0 };
    conversion.convert_value(&[model.root], payload, 0)
}

struct Conversion<'t> {
    model: &'t Model,
    source: &'t Source,
    depth_max: usize,
    work: u64,
    /// Members that were dropped or inserted.
    edits: u64,
    filled_bytes: usize,
}

impl<'t> Conversion<'t> {
    fn spend(&mut self, steps: u64) -> Result<(), String> {
        self.work = self.work.saturating_sub(steps);
        if self.work == 0 {
            return Err(format!("the conversion takes more than the limit of {WORK_MAX} steps"));
        }
        Ok(())
    }

    fn convert_value(
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
                "nests deeper than {} levels with its defaults filled in",
                self.depth_max
            ));
        }
        let applying = self.applicable_nodes(nodes, value, depth)?;
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
                    self.convert_value(&inner, item, depth + 1)?;
                }
            }
            Tree::Object(members) => {
                self.drop_undeclared(&applying, members)?;
                self.fill_defaults(&applying, members)?;
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
                    self.convert_value(&inner, &mut member.value, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// All nodes that apply to a value: the given ones, the nodes that they reference, and the
    /// alternatives that accept the value or would accept it after conversion.
    fn applicable_nodes(
        &mut self,
        nodes: &[NodeId],
        value: &Tree<'t>,
        depth: usize,
    ) -> Result<Vec<NodeId>, String> {
        let model = self.model;
        let mut open = nodes.to_vec();
        let mut visited = HashSet::new();
        let mut applying = Vec::new();
        // Created for the first node that has alternatives.
        let mut cached = None;
        while let Some(id) = open.pop() {
            self.spend(1)?;
            if !visited.insert(id) {
                continue;
            }
            applying.push(id);
            let node = model.node(id);
            open.extend(&node.refs);
            if let (Some(objects), Tree::Object(members)) = (&node.objects, value) {
                for (name, dependent) in &objects.dependent_schemas {
                    if members.iter().any(|member| member.name == **name) {
                        open.push(*dependent);
                    }
                }
            }
            let Some(logic) = &node.logic else { continue };
            open.extend(&logic.all_of);
            if logic.any_of.is_empty() && logic.one_of.is_empty() && logic.condition.is_none() {
                continue;
            }
            if cached.is_none() {
                self.spend(value.size())?;
            }
            let json = cached.get_or_insert_with(|| value.to_value());
            for branches in [&logic.any_of, &logic.one_of] {
                let mut accepting = Vec::new();
                for branch in branches {
                    if valid(model, *branch, json, &mut self.work) == Some(true) {
                        accepting.push(*branch);
                    }
                }
                if accepting.is_empty() {
                    accepting.extend(self.closest_branch(branches, value, depth)?);
                }
                open.extend(accepting);
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

    /// The alternative that accepts the value with the fewest changes.
    fn closest_branch(
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
            self.convert_value(&[*branch], &mut changed, depth + 1)?;
            let cost = self.edits - edits;
            (self.edits, self.filled_bytes) = (edits, filled_bytes);
            self.spend(changed.size())?;
            let fits = valid(self.model, *branch, &changed.to_value(), &mut self.work);
            if fits == Some(true) && nearest.is_none_or(|(min, _)| cost < min) {
                nearest = Some((cost, *branch));
            }
        }
        Ok(nearest.map(|(_, branch)| branch))
    }

    /// Removes the members that a closed object does not declare.
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
                Some((*id, unevaluated.then(|| self.evaluating_nodes(*id, applying))))
            })
            .collect();
        let mut kept = Vec::with_capacity(members.len());
        for member in std::mem::take(members) {
            let mut out = false;
            for (id, evaluating) in &closing {
                self.spend(1 + evaluating.as_ref().map_or(0, |nodes| nodes.len() as u64))?;
                let Some(objects) = &model.node(*id).objects else { continue };
                out |= of_property(objects, &member.name).into_iter().any(never);
                out |= evaluating.as_ref().is_some_and(|nodes| {
                    !nodes
                        .iter()
                        .any(|node| evaluates(model.node(*node), *node == *id, &member.name))
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

    /// The applicable nodes whose evaluation of a property counts for a node.
    fn evaluating_nodes(&self, id: NodeId, applying: &[NodeId]) -> HashSet<NodeId> {
        let applying: HashSet<NodeId> = applying.iter().copied().collect();
        let mut open = vec![id];
        let mut visited = HashSet::new();
        while let Some(id) = open.pop() {
            if applying.contains(&id) && visited.insert(id) {
                open.extend(self.model.node(id).evaluating(true));
            }
        }
        visited
    }

    /// Inserts required members that are missing and have a default.
    fn fill_defaults(
        &mut self,
        applying: &[NodeId],
        members: &mut Vec<Member<'t>>,
    ) -> Result<(), String> {
        let model = self.model;
        let mut present: HashSet<&'t str> = HashSet::new();
        loop {
            let mut added = Vec::new();
            for objects in applying.iter().filter_map(|id| model.node(*id).objects.as_ref()) {
                let dependent = objects.dependent_required.iter();
                let dependents = dependent
                    .filter(|(name, _)| members.iter().any(|member| member.name == **name))
                    .flat_map(|(_, names)| names);
                for name in objects.required.iter().chain(dependents) {
                    self.spend(1 + members.len() as u64 / 8)?;
                    let is_present = present.contains(&**name)
                        || members.iter().any(|member| member.name == **name);
                    if is_present {
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

    /// The default of a property: the first one among its schemas and the nodes that they
    /// reference.
    fn default_of(&mut self, applying: &[NodeId], name: &str) -> Result<Option<Tree<'t>>, String> {
        let model = self.model;
        let objects = applying.iter().filter_map(|id| model.node(*id).objects.as_ref());
        let mut open: Vec<NodeId> =
            objects.filter_map(|objects| objects.properties.get(name).copied()).collect();
        open.reverse();
        let mut visited = HashSet::new();
        while let Some(id) = open.pop() {
            self.spend(1)?;
            if !visited.insert(id) {
                continue;
            }
            if let Some(text) = self.source.default_at(model.pointer(id)) {
                self.filled_bytes += text.len();
                if self.filled_bytes > FILLED_BYTES_MAX {
                    return Err(format!(
                        "the defaults to fill in exceed the limit of {FILLED_BYTES_MAX} bytes"
                    ));
                }
                return Ok(Tree::read(text));
            }
            let node = model.node(id);
            open.extend(&node.refs);
            open.extend(node.logic.iter().flat_map(|logic| &logic.all_of));
        }
        Ok(None)
    }
}

/// Whether a node evaluates a property. `own`: the node is the one whose `unevaluatedProperties` is
/// considered.
fn evaluates(node: &Node, own: bool, name: &str) -> bool {
    node.objects.as_ref().is_some_and(|objects| {
        objects.properties.contains_key(name)
            || objects.additional.is_some()
            || !own && objects.unevaluated.is_some()
            || objects.patterns.iter().any(|(pattern, _)| pattern.matches(name))
    })
}
