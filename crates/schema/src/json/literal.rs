//! Literals: an instance is valid, or is not valid, under a node of one of the two schemas.

use super::{
    conjunct::Conjunct,
    model::{Model, Node, NodeId},
};

/// The schema that a node belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// The two schemas of a subsumption check: is every payload that is valid for the writer valid for
/// the reader?
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchemaPair<'a> {
    pub writer: &'a Model,
    pub reader: &'a Model,
}

impl<'a> SchemaPair<'a> {
    pub(crate) fn model(&self, role: Role) -> &'a Model {
        match role {
            Role::Writer => self.writer,
            Role::Reader => self.reader,
        }
    }

    pub(crate) fn node(&self, literal: Literal) -> &'a Node {
        self.model(literal.role).node(literal.node)
    }
}

/// Asserts that the instance is valid under a node, or (`positive: false`) that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Literal {
    pub role: Role,
    pub node: NodeId,
    pub positive: bool,
}

impl Literal {
    pub(crate) fn writer(node: NodeId) -> Self {
        Self { role: Role::Writer, node, positive: true }
    }

    pub(crate) fn reader(node: NodeId) -> Self {
        Self { role: Role::Reader, node, positive: true }
    }

    #[must_use]
    pub(crate) fn negated(self) -> Self {
        Self { positive: !self.positive, ..self }
    }

    /// The same assertion for another node of the same schema.
    #[must_use]
    pub(crate) fn of(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    pub(super) fn holds(self, node: NodeId) -> Conjunct {
        Conjunct::Literal(Self { node, positive: true, ..self })
    }

    pub(super) fn fails(self, node: NodeId) -> Conjunct {
        Conjunct::Literal(Self { node, positive: false, ..self })
    }
}
