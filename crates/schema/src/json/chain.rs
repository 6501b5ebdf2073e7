//! How far validators go with one instance.

use super::{
    model::{Model, NodeId},
    source::Source,
};
use crate::definition::Fault;

/// Ways from one instance through references, which is what a validator may have to go. 24 levels of two references
/// each take a second, 40 take hours.
const REFERENCE_PATHS_MAX: u64 = 10_000;
/// Longest chain of references and keywords, cycles taken once.
const CHAIN_MAX: u32 = 300;

/// Bounds what a validator does with one instance: the ways through references at one place, and how deep they go.
/// How deep.
pub(crate) fn longest(source: &Source, model: &Model) -> Result<usize, Fault> {
    // Depth first without recursion; a reference back into the chain that leads to it counts as nothing.
    #[derive(Clone, Copy)]
    enum State {
        New,
        Open,
        Done(u64, u32),
    }
    let mut longest = 0;
    let mut states = vec![State::New; model.nodes.len()];
    let mut order: Vec<NodeId> = Vec::new();
    for start in 0..model.nodes.len() {
        order.push(u32::try_from(start).unwrap_or(u32::MAX));
        while let Some(id) = order.last().copied() {
            let node = model.node(id);
            match states.get(id as usize) {
                Some(State::New) => {
                    if let Some(state) = states.get_mut(id as usize) {
                        *state = State::Open;
                    }
                    order.extend(
                        node.in_place().iter().filter(|child| {
                            matches!(states.get(**child as usize), Some(State::New))
                        }),
                    );
                }
                Some(State::Open) => {
                    order.pop();
                    let mut paths = node.refs.len() as u64;
                    let mut chain = 0;
                    for child in node.in_place() {
                        if let Some(State::Done(below, depth)) = states.get(child as usize) {
                            paths = paths.saturating_add(*below);
                            chain = chain.max(depth + 1);
                        }
                    }
                    if let Some(state) = states.get_mut(id as usize) {
                        *state = State::Done(paths, chain);
                    }
                    longest = longest.max(chain as usize);
                    if paths <= REFERENCE_PATHS_MAX && chain <= CHAIN_MAX {
                        continue;
                    }
                    let (document, pointer) = model.pointer(id);
                    if paths > REFERENCE_PATHS_MAX {
                        let message = format!(
                            "there are more than {REFERENCE_PATHS_MAX} ways through $ref from here; a payload would \
                             be checked along each of them"
                        );
                        return Err(source.fault(document, &pointer, message));
                    }
                    if chain > CHAIN_MAX {
                        let message = format!(
                            "references and combinations lead on for more than {CHAIN_MAX} steps from here"
                        );
                        return Err(source.fault(document, &pointer, message));
                    }
                }
                Some(State::Done(..)) | None => {
                    order.pop();
                }
            }
        }
    }
    Ok(longest)
}
