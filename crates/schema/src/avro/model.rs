//! A schema as it is compared: every type once, by number.

use std::{collections::HashMap, fmt};

use super::{document::Document, logical::Base, logical::Logical, name::Name};
use crate::definition::{Fault, SourceLocation};

/// A type of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// A whole schema.
#[derive(Debug)]
pub struct Model {
    pub root: TypeId,
    pub documents: Vec<Document>,
    /// Logical types that are there and have no effect.
    pub ignored: Vec<Ignored>,
    /// What only a new definition is refused for.
    pub draft_faults: Vec<Fault>,
    types: Vec<Type>,
}

/// A logical type that readers have to ignore.
#[derive(Debug)]
pub struct Ignored {
    pub place: SourceLocation,
    pub name: String,
    pub reason: String,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct At {
    pub document: u32,
    pub byte: u32,
}

/// One type.
#[derive(Debug)]
pub struct Type {
    pub kind: Kind,
    pub logical: Option<Logical>,
    pub notes: Notes,
    pub at: At,
}

/// What the specification knows.
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

/// A type without parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

/// A record.
#[derive(Debug)]
pub struct Record {
    pub name: Name,
    pub aliases: Vec<Name>,
    pub fields: Vec<Field>,
    /// Position by name.
    pub by_name: HashMap<String, usize>,
}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub of: TypeId,
    pub default: Option<Literal>,
    /// The branch of a union that the default is of: until 1.11 the specification had it be the first.
    pub default_branch: usize,
    pub order: Order,
    pub notes: Notes,
    pub at: At,
}

/// A default, in one spelling: the JSON that its type gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(pub String);

/// How records sort by a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Ascending,
    Descending,
    Ignore,
}

/// An enum.
#[derive(Debug)]
pub struct Enum {
    pub name: Name,
    pub aliases: Vec<Name>,
    pub symbols: Vec<String>,
    /// What a reader reads in place of a symbol that it does not know.
    pub default: Option<String>,
    /// Position by symbol.
    pub by_symbol: HashMap<String, usize>,
}

/// So many bytes.
#[derive(Debug)]
pub struct Fixed {
    pub name: Name,
    pub aliases: Vec<Name>,
    pub size: u64,
}

/// What no reader notices: documentation and attributes that the specification does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    pub doc: Option<String>,
    /// Sorted by name, values in one spelling.
    pub attributes: Vec<(String, String)>,
}

impl Model {
    /// A schema of types that refer to one another.
    pub fn new(root: TypeId, types: Vec<Type>, ignored: Vec<Ignored>) -> Self {
        Self { root, documents: Vec::new(), ignored, draft_faults: Vec::new(), types }
    }

    /// Gives a field its default.
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

    /// A type. Every id of a model is one of its types.
    pub fn get(&self, id: TypeId) -> &Type {
        const LOST: &Type = &Type {
            kind: Kind::Primitive(Primitive::Null),
            logical: None,
            notes: Notes { doc: None, attributes: Vec::new() },
            at: At { document: 0, byte: 0 },
        };
        self.types.get(id.0 as usize).unwrap_or(LOST)
    }

    /// A field, by its record and its position.
    pub fn field(&self, (record, field): (TypeId, usize)) -> Option<&Field> {
        match &self.get(record).kind {
            Kind::Record(record) => record.fields.get(field),
            _ => None,
        }
    }

    /// What a type is called as the branch of a union, in the JSON encoding.
    pub fn branch_name(&self, id: TypeId) -> &str {
        match &self.get(id).kind {
            Kind::Primitive(primitive) => primitive.name(),
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Record(_) | Kind::Enum(_) | Kind::Fixed(_) => {
                self.get(id).name().map_or("", |it| it.full())
            }
        }
    }

    /// Where something is in the text.
    pub fn place(&self, at: At, path: &str) -> SourceLocation {
        let document = self.documents.get(at.document as usize);
        document.map_or_else(SourceLocation::default, |it| it.place(at.byte as usize, path))
    }

    /// A type as messages name it: `long (timestamp-millis)`, `enum Color`, `array of int`.
    pub fn label(&self, id: TypeId) -> String {
        let mut out = String::new();
        self.write_label(id, 0, &mut out);
        out
    }

    fn write_label(&self, id: TypeId, depth: usize, out: &mut String) {
        // Long unions are cut where the message is.
        if depth > 4 || out.len() > 160 {
            out.push('…');
            return;
        }
        let of = self.get(id);
        match &of.kind {
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
            Kind::Enum(it) => out.push_str(&format!("enum {}", it.name)),
            Kind::Fixed(fixed) => out.push_str(&format!("fixed {}[{}]", fixed.name, fixed.size)),
        }
        if let Some(logical) = &of.logical {
            out.push_str(&format!(" ({logical})"));
        }
    }
}

impl Type {
    /// Of a record, enum or fixed.
    pub fn name(&self) -> Option<&Name> {
        match &self.kind {
            Kind::Record(record) => Some(&record.name),
            Kind::Enum(it) => Some(&it.name),
            Kind::Fixed(fixed) => Some(&fixed.name),
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => None,
        }
    }

    /// Of a record, enum or fixed.
    pub fn aliases(&self) -> &[Name] {
        match &self.kind {
            Kind::Record(record) => &record.aliases,
            Kind::Enum(it) => &it.aliases,
            Kind::Fixed(fixed) => &fixed.aliases,
            Kind::Primitive(_) | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) => &[],
        }
    }

    /// What a logical type would stand on.
    pub fn base(&self) -> Base {
        match &self.kind {
            Kind::Primitive(primitive) => Base::Primitive(*primitive),
            Kind::Fixed(fixed) => Base::Fixed(fixed.size),
            Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Record(_) | Kind::Enum(_) => {
                Base::Other
            }
        }
    }

    /// The branches that a value of it may take: of a union its own, of anything else itself.
    pub fn branches(&self) -> Option<&[TypeId]> {
        match &self.kind {
            Kind::Union(branches) => Some(branches),
            _ => None,
        }
    }
}

impl Primitive {
    /// The primitive of a name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    /// Whether data written as this is read as another primitive.
    pub fn promotes_to(self, reader: Self) -> bool {
        use Primitive::{Bytes, Double, Float, Int, Long, String};
        matches!(
            (self, reader),
            (Int, Long | Float | Double)
                | (Long, Float | Double)
                | (Float, Double)
                | (String, Bytes)
                | (Bytes, String)
        )
    }
}

impl Order {
    /// Its name in a schema.
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
