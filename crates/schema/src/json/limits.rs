//! Limits of parsing, validation and comparison, and the check of reference paths against them.

use super::{
    model::{Model, NodeId},
    source::Source,
};
use crate::definition::Fault;

/// Steps that one direction of a comparison may take: about a quarter of a second.
pub(super) const COMPARISON_STEPS_MAX: u64 = 150_000;
/// Stack for recursion. Every recursion is bounded, but may exceed the rest of a caller's stack.
pub(super) const STACK_BYTES: usize = 64 << 20;
/// Nesting depth of a payload times the longest chain of the schema for which the stack of a caller
/// suffices.
pub(super) const DEPTH_ON_STACK_MAX: usize = 500;
/// Faults in one error.
pub(super) const FAULTS_MAX: usize = 50;
/// Violations in one error.
pub(super) const VIOLATIONS_MAX: usize = 100;
/// Paths through references from one node. A validator may follow all of them for one instance: 24
/// levels of two references each take a second, 40 take hours.
const REFERENCE_PATHS_MAX: u64 = 10_000;
/// Longest chain of references and in-place keywords. A cycle counts once.
const CHAIN_MAX: u32 = 300;

/// The longest chain of nodes that apply to one instance.
///
/// # Errors
/// Returns a fault if a chain or the number of reference paths exceeds its limit.
pub(super) fn longest_chain(source: &Source, model: &Model) -> Result<usize, Fault> {
    // Depth first without recursion. A reference back into the open chain does not count.
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
                        if let Some(State::Done(child_paths, depth)) = states.get(child as usize) {
                            paths = paths.saturating_add(*child_paths);
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
                            "more than {REFERENCE_PATHS_MAX} $ref paths start here; a payload is \
                             checked along each of them"
                        );
                        return Err(source.fault(document, &pointer, message));
                    }
                    if chain > CHAIN_MAX {
                        let message = format!(
                            "the chain of references and combinations from here has more than \
                             {CHAIN_MAX} steps"
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
