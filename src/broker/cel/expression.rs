//! Compiled expressions.

use serde_json::Value as Json;

use super::{
    bounds,
    budget::{Budget, Failure},
    check, evaluate,
    fault::Fault,
    node::Node,
};
use crate::model::encoded::EncodedEvent;

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    root: Node,
    slots: usize,
    uses_data: bool,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Returns the first fault of the text.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        bounds::check(text)?;
        let parsed = cel::parser::Parser::new()
            .max_recursion_depth(bounds::PARSER_DEPTH_MAX)
            .enable_ident_escape_syntax(true)
            .parse_with_source_info(text);
        let (tree, source_info) = parsed.map_err(|errors| bounds::parse_fault(text, &errors))?;
        let check::Checked { root, slots, uses_data } = check::check(text, &tree, &source_info)?;
        Ok(Self { root, slots, uses_data })
    }

    /// Whether the expression reads the payload.
    pub fn uses_data(&self) -> bool {
        self.uses_data
    }

    /// Whether an event matches. `data` is the payload. None: the event has none, or it cannot be
    /// decoded.
    pub(in crate::broker) fn holds(
        &self,
        event: EncodedEvent<'_>,
        data: Option<&Json>,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        evaluate::evaluate(&self.root, self.slots, event, data, budget)
    }
}
