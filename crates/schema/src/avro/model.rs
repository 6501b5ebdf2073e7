//! The model of a schema: a list of types that refer to one another by id.

use std::{collections::HashMap, fmt};

use super::{
    document::Document,
    logical::{Base, Logical},
    name::Name,
    primitive::Primitive,
};
use crate::definition::{Fault, SourceLocation};

/// The id of a type in its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// A schema.
#[derive(Debug)]
pub struct Model {
    pub root: TypeId,
    pub documents: Vec<Document>,
    /// Logical types without effect.
    pub ignored: Vec<IgnoredLogical>,
    /// Faults that reject a new definition. Registered definitions may have them.
    pub draft_faults: Vec<Fault>,
    types: Vec<Type>,
}

/// A logical type that readers have to ignore.
#[derive(Debug)]
pub struct IgnoredLogical {
    pub location: SourceLocation,
    pub name: String,
    pub reason: String,
}

/// A position in the texts of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TextPosition {
    pub document: u32,
    pub byte: u32,
}

#[derive(Debug)]
pub struct Type {
    pub kind: Kind,
    pub logical: Option<Logical>,
    pub annotations: Annotations,
    pub position: TextPosition,
}

/// The kinds of types in the specification.
#[derive(Debug)]
pub enum Kind {
    Primitive(Primitive),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Record),
    Enum(Enum),
    Fixed(Fixed),
}

#[derive(Debug)]
pub struct Record {
    pub name: Name,
    pub aliases: Vec<Name>,
    pub fields: Vec<Field>,
    /// Indexes of fields by name.
    pub by_name: HashMap<String, usize>,
}

#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub type_id: TypeId,
    pub default: Option<Literal>,
    /// The branch of a union that the default belongs to. Until 1.11 the specification required the
    /// first.
    pub default_branch: usize,
    pub order: Order,
    pub annotations: Annotations,
    pub position: TextPosition,
}

/// A default as canonical JSON of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(pub String);

/// The sort order of records by a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Ascending,
    Descending,
    Ignore,
}

#[derive(Debug)]
pub struct Enum {
    pub name: Name,
    pub aliases: Vec<Name>,
    pub symbols: Vec<String>,
    /// The symbol that a reader substitutes for unknown symbols.
    pub default: Option<String>,
    /// Indexes of symbols.
    pub by_symbol: HashMap<String, usize>,
}

#[derive(Debug)]
pub struct Fixed {
    pub name: Name,
    pub aliases: Vec<Name>,
    pub size: u64,
}

/// Documentation, and attributes that the specification does not define. No reader notices them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    pub doc: Option<String>,
    /// Sorted by name; values are canonical JSON.
    pub attributes: Vec<(String, String)>,
}

impl Model {
    pub fn new(root: TypeId, types: Vec<Type>, ignored: Vec<IgnoredLogical>) -> Self {
        Self { root, documents: Vec::new(), ignored, draft_faults: Vec::new(), types }
    }

    pub fn set_default(
        &mut self,
        (record, field): (TypeId, usize),
        default: Literal,
        branch: usize,
    ) {
        if let Some(Type { kind: Kind::Record(record), .. }) = self.types.get_mut(record.0 as usize)
            && let Some(field) = record.fields.get_mut(field)
        {
            field.default = Some(default);
            field.default_branch = branch;
        }
    }

    /// The type of an id. Every id of a model has one.
    pub fn get(&self, id: TypeId) -> &Type {
        const MISSING: &Type = &Type {
            kind: Kind::Primitive(Primitive::Null),
            logical: None,
            annotations: Annotations { doc: None, attributes: Vec::new() },
            position: TextPosition { document: 0, byte: 0 },
        };
        self.types.get(id.0 as usize).unwrap_or(MISSING)
    }

    /// A field, by its record and its index.
    pub fn field(&self, (record, field): (TypeId, usize)) -> Option<&Field> {
        match &self.get(record).kind {
            Kind::Record(record) => record.fields.get(field),
            _ => None,
        }
    }

    /// The name of a type as a branch of a union in the JSON encoding.
    pub fn branch_name(&self, id: TypeId) -> &str {
        match &self.get(id).kind {
            Kind::Primitive(primitive) => primitive.name(),
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => {
                self.get(id).name().map_or("", |name| name.full())
            }
        }
    }

    /// The location of a position, with a path.
    pub fn location(&self, position: TextPosition, path: &str) -> SourceLocation {
        let document = self.documents.get(position.document as usize);
        document.map_or_else(SourceLocation::default, |document| {
            document.location(position.byte as usize, path)
        })
    }

    /// The label of a type in messages: `long (timestamp-millis)`, `enum Color`, `array of int`.
    pub fn label(&self, id: TypeId) -> String {
        let mut out = String::new();
        self.write_label(id, 0, &mut out);
        out
    }

    fn write_label(&self, id: TypeId, depth: usize, out: &mut String) {
        // Findings shorten labels to 160 characters.
        if depth > 4 || out.len() > 160 {
            out.push('…');
            return;
        }
        let ty = self.get(id);
        match &ty.kind {
            Kind::Primitive(primitive) => out.push_str(primitive.name()),
            Kind::Array(items) => {
                out.push_str("array of ");
                self.write_label(*items, depth + 1, out);
            }
            Kind::Map(values) => {
                out.push_str("map of ");
                self.write_label(*values, depth + 1, out);
            }
            Kind::Union(branches) => {
                out.push('[');
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    if out.len() > 160 {
                        out.push('…');
                        break;
                    }
                    self.write_label(*branch, depth + 1, out);
                }
                out.push(']');
            }
            Kind::Record(record) => out.push_str(&format!("record {}", record.name)),
            Kind::Enum(enumeration) => out.push_str(&format!("enum {}", enumeration.name)),
            Kind::Fixed(fixed) => out.push_str(&format!("fixed {}[{}]", fixed.name, fixed.size)),
        }
        if let Some(logical) = &ty.logical {
            out.push_str(&format!(" ({logical})"));
        }
    }
}

impl Type {
    /// The name of a record, enum or fixed.
    pub fn name(&self) -> Option<&Name> {
        match &self.kind {
            Kind::Record(record) => Some(&record.name),
            Kind::Enum(enumeration) => Some(&enumeration.name),
            Kind::Fixed(fixed) => Some(&fixed.name),
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => None,
        }
    }

    /// The aliases of a record, enum or fixed.
    pub fn aliases(&self) -> &[Name] {
        match &self.kind {
            Kind::Record(record) => &record.aliases,
            Kind::Enum(enumeration) => &enumeration.aliases,
            Kind::Fixed(fixed) => &fixed.aliases,
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => &[],
        }
    }

    /// The type as the underlying type of a logical type.
    pub fn base(&self) -> Base {
        match &self.kind {
            Kind::Primitive(primitive) => Base::Primitive(*primitive),
            Kind::Fixed(fixed) => Base::Fixed(fixed.size),
            Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Record(_) | Kind::Enum(_) => {
                Base::Other
            }
        }
    }

    /// The branches, if this is a union.
    pub fn branches(&self) -> Option<&[TypeId]> {
        match &self.kind {
            Kind::Union(branches) => Some(branches),
            _ => None,
        }
    }
}

impl Order {
    /// The name in a schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ascending => "ascending",
            Self::Descending => "descending",
            Self::Ignore => "ignore",
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
