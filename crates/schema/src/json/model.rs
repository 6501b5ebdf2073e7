//! A schema as a graph of nodes: its keywords as assertions, in the dialect of its document.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use jsonschema::Draft;
use serde_json::Value;

use super::{
    number::{self, Decimal, value_key},
    pattern::Pattern,
};

/// Nodes that are followed to determine whether a property or an item is evaluated.
const EVALUATING_MAX: usize = 300;

/// Index of a node in its model.
pub(crate) type NodeId = u32;

/// All nodes that are reachable from the root.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub nodes: Vec<Node>,
    pub locations: Vec<Location>,
    pub root: NodeId,
    /// Names of the documents. The schema itself has an empty name.
    pub documents: Vec<String>,
    /// Some schema distinguishes `1` from `1.0`.
    pub strict_integers: bool,
    /// Length of the longest chain of nodes that apply to one instance.
    pub longest_chain: usize,
}

/// Location of a value, as a link to its parent. One pointer for each value would take a megabyte
/// for a hostile text.
#[derive(Debug)]
pub(crate) struct Location {
    pub document: u32,
    pub parent: Option<u32>,
    pub token: Box<str>,
}

/// A subschema.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub location: u32,
    /// Value of a boolean schema.
    pub always: Option<bool>,
    pub types: Option<Types>,
    /// `enum`.
    pub values: Option<Arc<Values>>,
    /// `const`.
    pub constant: Option<Arc<Values>>,
    pub numbers: Option<Box<Numbers>>,
    pub strings: Option<Box<Strings>>,
    pub arrays: Option<Box<Arrays>>,
    pub objects: Option<Box<Objects>>,
    /// `$ref`, `$dynamicRef` and `$recursiveRef`.
    pub refs: Vec<NodeId>,
    pub logic: Option<Box<Logic>>,
    /// Assertions that the comparison does not understand.
    pub opaque: Vec<&'static str>,
}

#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub minimum: Option<Bound>,
    pub maximum: Option<Bound>,
    pub multiple_of: Option<Decimal>,
}

/// A bound, and whether it excludes its own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub at: Decimal,
    pub exclusive: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Strings {
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub pattern: Option<Arc<Pattern>>,
}

#[derive(Debug, Default)]
pub(crate) struct Arrays {
    pub prefix: Vec<NodeId>,
    /// The prefix is spelled `items`.
    pub prefix_is_items: bool,
    pub rest: Option<NodeId>,
    pub contains: Option<Contains>,
    pub unique: bool,
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub unevaluated: Option<NodeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contains {
    pub node: NodeId,
    pub min: u64,
    pub max: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub properties: BTreeMap<Arc<str>, NodeId>,
    pub patterns: Vec<(Arc<Pattern>, NodeId)>,
    pub additional: Option<NodeId>,
    pub required: Vec<Arc<str>>,
    pub dependent_required: Vec<(Arc<str>, Vec<Arc<str>>)>,
    pub dependent_schemas: Vec<(Arc<str>, NodeId)>,
    pub names: Option<NodeId>,
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub unevaluated: Option<NodeId>,
}

#[derive(Debug, Default)]
pub(crate) struct Logic {
    pub all_of: Vec<NodeId>,
    pub any_of: Vec<NodeId>,
    pub one_of: Vec<NodeId>,
    pub not: Option<NodeId>,
    pub condition: Option<Condition>,
}

/// An `if`. Without `then` and `else` it asserts nothing, but it may evaluate properties and items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    pub when: NodeId,
    pub then: Option<NodeId>,
    pub otherwise: Option<NodeId>,
}

/// A set of values, in the order of the text.
#[derive(Debug)]
pub(crate) struct Values {
    pub list: Vec<Value>,
    keys: HashSet<String>,
}

impl Values {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        let mut keys = HashSet::new();
        let list = values.into_iter().filter(|value| keys.insert(value_key(value))).collect();
        Self { list, keys }
    }

    pub(crate) fn contains(&self, value: &Value) -> bool {
        self.keys.contains(&value_key(value))
    }

    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.keys == other.keys
    }

    pub(crate) fn subset_of(&self, other: &Self) -> bool {
        self.keys.is_subset(&other.keys)
    }
}

/// A set of instance types. An integer is a number. Draft 4 distinguishes `1` from `1.0`; later
/// drafts do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Types(u8);

impl Types {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOLEAN: Self = Self(2);
    pub(crate) const INTEGER: Self = Self(4);
    /// A number that is not an integer.
    pub(crate) const FRACTION: Self = Self(8);
    /// An integer that is written with a fraction or an exponent.
    pub(crate) const WHOLE: Self = Self(128);
    pub(crate) const NUMBER: Self = Self(140);
    pub(crate) const STRING: Self = Self(16);
    pub(crate) const ARRAY: Self = Self(32);
    pub(crate) const OBJECT: Self = Self(64);
    pub(crate) const ALL: Self = Self(255);
    pub(crate) const EACH: [Self; 8] = [
        Self::OBJECT,
        Self::STRING,
        Self::INTEGER,
        Self::FRACTION,
        Self::BOOLEAN,
        Self::ARRAY,
        Self::NULL,
        Self::WHOLE,
    ];

    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if !Decimal::of(number).is_integer() => Self::FRACTION,
            Value::Number(number) if number::is_written_as_integer(number) => Self::INTEGER,
            Value::Number(_) => Self::WHOLE,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(crate) fn named(name: &str, draft: Draft) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" if draft == Draft::Draft4 => Self::INTEGER,
            "integer" => Self::INTEGER.or(Self::WHOLE),
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => return None,
        })
    }

    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::fmt::Display for Types {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = [
            (Self::NULL, "null"),
            (Self::BOOLEAN, "boolean"),
            (Self::NUMBER, "number"),
            (Self::INTEGER.or(Self::WHOLE), "integer"),
            (Self::INTEGER, "integer"),
            (Self::WHOLE, "integer written as a fraction"),
            (Self::FRACTION, "number that is no integer"),
            (Self::STRING, "string"),
            (Self::ARRAY, "array"),
            (Self::OBJECT, "object"),
        ];
        let mut rest = *self;
        let mut names = Vec::new();
        for (types, name) in named {
            if rest.includes(types) {
                rest = rest.without(types);
                names.push(name);
            }
        }
        f.write_str(&if names.is_empty() { "none".to_owned() } else { names.join(", ") })
    }
}

impl Node {
    /// Whether it obviously accepts every instance.
    pub(crate) fn is_true(&self) -> bool {
        self.always != Some(false)
            && self.types.is_none_or(|types| types == Types::ALL)
            && self.values.is_none()
            && self.constant.is_none()
            && self.numbers.is_none()
            && self.strings.is_none()
            && self.arrays.is_none()
            && self.objects.is_none()
            && self.refs.is_empty()
            && self.logic.is_none()
            && self.opaque.is_empty()
    }

    /// The subschemas that apply to the same instance.
    pub(crate) fn in_place(&self) -> Vec<NodeId> {
        let mut nodes = self.refs.clone();
        if let Some(logic) = &self.logic {
            nodes.extend(logic.all_of.iter().chain(&logic.any_of).chain(&logic.one_of));
            nodes.extend(logic.not);
            if let Some(Condition { when, then, otherwise }) = logic.condition {
                nodes.push(when);
                nodes.extend(then.into_iter().chain(otherwise));
            }
        }
        if let Some(objects) = &self.objects {
            nodes.extend(objects.dependent_schemas.iter().map(|(_, node)| *node));
        }
        nodes
    }

    /// The in-place subschemas whose evaluated properties and items count for this node. `may`:
    /// also those that count only for some instances.
    pub(crate) fn evaluating(&self, may: bool) -> Vec<NodeId> {
        let mut nodes = self.refs.clone();
        if let Some(logic) = &self.logic {
            nodes.extend(&logic.all_of);
            if may {
                nodes.extend(logic.any_of.iter().chain(&logic.one_of));
                if let Some(Condition { when, then, otherwise }) = logic.condition {
                    nodes.push(when);
                    nodes.extend(then.into_iter().chain(otherwise));
                }
            }
        }
        if may && let Some(objects) = &self.objects {
            nodes.extend(objects.dependent_schemas.iter().map(|(_, node)| *node));
        }
        nodes
    }

    /// The subschemas that apply to properties, property names and items.
    pub(crate) fn children(&self) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        if let Some(arrays) = &self.arrays {
            nodes.extend(&arrays.prefix);
            nodes.extend(arrays.rest.into_iter().chain(arrays.unevaluated));
            nodes.extend(arrays.contains.map(|contains| contains.node));
        }
        if let Some(objects) = &self.objects {
            nodes.extend(objects.properties.values());
            nodes.extend(objects.patterns.iter().map(|(_, node)| *node));
            nodes.extend([objects.additional, objects.names, objects.unevaluated].iter().flatten());
        }
        nodes
    }
}

impl Model {
    /// The node with an id. Every id comes from this model.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        static NOTHING: Node = Node {
            location: 0,
            always: None,
            types: None,
            values: None,
            constant: None,
            numbers: None,
            strings: None,
            arrays: None,
            objects: None,
            refs: Vec::new(),
            logic: None,
            opaque: Vec::new(),
        };
        debug_assert!((id as usize) < self.nodes.len(), "a node of another model");
        self.nodes.get(id as usize).unwrap_or(&NOTHING)
    }

    /// Whether the predicate holds for some node whose evaluations count for this one. Returns
    /// `may` if too many nodes are involved.
    pub(crate) fn evaluates(
        &self,
        id: NodeId,
        may: bool,
        mut predicate: impl FnMut(&Node, bool) -> bool,
    ) -> bool {
        let mut open = vec![id];
        let mut visited = HashSet::new();
        while let Some(at) = open.pop() {
            if !visited.insert(at) {
                continue;
            }
            if visited.len() > EVALUATING_MAX {
                return may;
            }
            let node = self.node(at);
            // An unknown keyword may evaluate anything.
            if predicate(node, at == id) || may && !node.opaque.is_empty() {
                return true;
            }
            open.extend(node.evaluating(may));
        }
        false
    }

    /// Whether a property is evaluated, so that `unevaluatedProperties` of the node does not apply.
    pub(crate) fn covers(&self, id: NodeId, name: &str, may: bool) -> bool {
        self.evaluates(id, may, |node, own| {
            node.objects.as_ref().is_some_and(|objects| {
                objects.properties.contains_key(name)
                    || objects.additional.is_some()
                    || !own && objects.unevaluated.is_some()
                    || objects.patterns.iter().any(|(pattern, _)| pattern.matches(name))
            })
        })
    }

    /// Whether an item is evaluated, so that `unevaluatedItems` of the node does not apply.
    pub(crate) fn covers_item(&self, id: NodeId, index: usize, may: bool) -> bool {
        self.evaluates(id, may, |node, own| {
            node.arrays.as_ref().is_some_and(|arrays| {
                arrays.prefix.len() > index
                    || arrays.rest.is_some()
                    || may && arrays.contains.is_some()
                    || !own && arrays.unevaluated.is_some()
            })
        })
    }

    /// The document index and the JSON pointer of a node.
    pub(crate) fn pointer(&self, id: NodeId) -> (u32, String) {
        self.location_pointer(self.node(id).location)
    }

    /// The JSON pointer of a node, after the name of its document if that is not the schema itself.
    pub(crate) fn path(&self, id: NodeId) -> String {
        let (document, pointer) = self.pointer(id);
        match self.documents.get(document as usize) {
            Some(name) if !name.is_empty() => format!("{name}#{pointer}"),
            _ => pointer,
        }
    }

    pub(crate) fn location_pointer(&self, location: u32) -> (u32, String) {
        let mut tokens = Vec::new();
        let mut at = self.locations.get(location as usize);
        let document = at.map_or(0, |location| location.document);
        while let Some(location) = at {
            let Some(parent) = location.parent else { break };
            tokens.push(location.token.replace('~', "~0").replace('/', "~1"));
            at = self.locations.get(parent as usize);
        }
        let pointer = tokens.iter().rev().map(|token| format!("/{token}")).collect();
        (document, pointer)
    }
}
