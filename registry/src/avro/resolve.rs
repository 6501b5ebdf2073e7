//! Schema resolution: what becomes of data that one schema wrote when another one reads it.
//!
//! Every pair of types that data may bring together is looked at once; what is wrong with a pair does not depend on how
//! data came there, so recursive types end by themselves. Of a reader's union the specification and the libraries pick a
//! branch by kind and name before they look inside, and so do we: nothing is tried and taken back.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    logical::Logical,
    model::{Enum, Fixed, Kind, Model, Primitive, Record, Type, TypeId},
    path::{Paths, Step},
};

/// Pairs of types looked at. Two schemas of 10,000 fields take 20,000; only types that recur in different rhythms, in
/// namespaces of their own, take more.
const PAIRS_MAX: usize = 200_000;

/// Names looked up in unions and records, likewise.
const STEPS_MAX: usize = 2_000_000;

/// Errors kept, and as many other issues. Hostile schemas have an issue in every pair.
const ISSUES_MAX: usize = 10_000;

/// Names of symbols and fields that an issue keeps.
const NAMES_SHOWN: usize = 12;

/// What there is to say about a pair of types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Issue {
    /// The reader's type does not take the writer's.
    Type,
    /// Both have names, of the same kind, and they do not match.
    Name,
    FixedSize,
    /// A field of the reader's record that the writer does not have, without a default.
    FieldMissing {
        field: usize,
    },
    /// A field of the reader's that its name and aliases find several times.
    FieldAmbiguous {
        field: usize,
        names: Vec<String>,
    },
    /// A field of the writer's that several fields of the reader's claim.
    FieldShared {
        name: String,
        fields: Vec<String>,
    },
    /// Symbols that the reader does not have (the first few, and how many); with a default in their place, or without.
    Symbols {
        unknown: Vec<String>,
        count: usize,
        default: Option<String>,
    },
    /// A branch of the writer's (or its only type) that the reader has nothing for.
    Branch {
        branch: TypeId,
    },
    /// Two logical types that mean different things.
    Logical {
        proven: bool,
    },
    /// The reader's logical type does not take all values of the writer's type.
    LogicalNarrows,
    /// A logical type on one side, the plain type on the other.
    LogicalOneSided,
    /// Logical types of which at least one is not the specification's.
    LogicalCustom,
    /// A number may lose digits.
    Lossy,
    /// Bytes that are not UTF-8 are no string.
    BytesAsString,
    /// The names match, their namespaces do not.
    Namespace,
    /// Libraries disagree on which branch of the reader's union takes it.
    Choice {
        first: TypeId,
        same: TypeId,
    },
    /// More pairs than are looked at.
    Bound,
}

impl Issue {
    /// Whether some data is refused or misread, or may be.
    pub fn breaks(&self) -> bool {
        match self {
            Self::Type | Self::Name | Self::FixedSize | Self::FieldMissing { .. } => true,
            Self::FieldAmbiguous { .. } | Self::FieldShared { .. } | Self::Branch { .. } => true,
            Self::Logical { .. } | Self::LogicalNarrows | Self::Bound => true,
            Self::Symbols { default, .. } => default.is_none(),
            Self::LogicalOneSided | Self::LogicalCustom | Self::Lossy => false,
            Self::BytesAsString | Self::Namespace | Self::Choice { .. } => false,
        }
    }

    /// Whether it was shown, and not merely suspected.
    pub fn proven(&self) -> bool {
        match self {
            Self::Logical { proven } => *proven,
            Self::FieldShared { .. } | Self::LogicalNarrows | Self::Bound => false,
            _ => true,
        }
    }

    /// Whether it says the same about both directions, where both have it.
    pub fn mutual(&self) -> bool {
        matches!(
            self,
            Self::Type
                | Self::Name
                | Self::FixedSize
                | Self::Logical { .. }
                | Self::LogicalOneSided
                | Self::LogicalCustom
                | Self::Namespace
                | Self::Bound
        )
    }
}

/// An issue and where it is.
#[derive(Debug)]
pub struct Found {
    pub issue: Issue,
    pub pair: Pair,
}

/// Two types that data brings together, and where.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub writer: TypeId,
    pub reader: TypeId,
    /// In [`Resolution::paths`], of the writer's and of the reader's side.
    pub writer_path: u32,
    pub reader_path: u32,
}

/// What data of one schema becomes with another.
#[derive(Debug)]
pub struct Resolution {
    pub found: Vec<Found>,
    /// All pairs, in the order in which they were met.
    pub pairs: Vec<Pair>,
    pub writer_paths: Paths,
    pub reader_paths: Paths,
}

/// Resolves one schema's data with another schema.
pub fn resolve(writer: &Model, reader: &Model) -> Resolution {
    let mut resolver = Resolver {
        writer,
        reader,
        seen: HashSet::new(),
        queue: VecDeque::new(),
        steps: 0,
        errors: 0,
        others: 0,
        out: Resolution {
            found: Vec::new(),
            pairs: Vec::new(),
            writer_paths: Paths::new(),
            reader_paths: Paths::new(),
        },
    };
    let root = Pair { writer: writer.root, reader: reader.root, writer_path: 0, reader_path: 0 };
    resolver.meet(root);
    while let Some(pair) = resolver.queue.pop_front() {
        if resolver.out.pairs.len() >= PAIRS_MAX || resolver.steps > STEPS_MAX {
            resolver.say(Issue::Bound, pair);
            break;
        }
        resolver.out.pairs.push(pair);
        resolver.pair(pair);
    }
    resolver.out
}

struct Resolver<'m> {
    writer: &'m Model,
    reader: &'m Model,
    seen: HashSet<(TypeId, TypeId)>,
    queue: VecDeque<Pair>,
    steps: usize,
    errors: usize,
    others: usize,
    out: Resolution,
}

/// How a reader's type takes a writer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    None,
    /// By a promotion.
    Promotion,
    /// By name without namespace.
    ShortName,
    /// By an alias of the reader's.
    Alias,
    /// The same kind, and the same full name where it has one.
    Exact,
}

fn matches(writer: &Type, reader: &Type) -> Match {
    match (&writer.kind, &reader.kind) {
        (Kind::Primitive(writer), Kind::Primitive(reader)) => {
            if writer == reader {
                Match::Exact
            } else if writer.promotes_to(*reader) {
                Match::Promotion
            } else {
                Match::None
            }
        }
        (Kind::Array(_), Kind::Array(_)) | (Kind::Map(_), Kind::Map(_)) => Match::Exact,
        (Kind::Record(_), Kind::Record(_))
        | (Kind::Enum(_), Kind::Enum(_))
        | (Kind::Fixed(_), Kind::Fixed(_)) => match (writer.name(), reader.name()) {
            (Some(writer), Some(name)) if writer == name => Match::Exact,
            (Some(writer), Some(_)) if reader.aliases().contains(writer) => Match::Alias,
            (Some(writer), Some(name)) if writer.short() == name.short() => Match::ShortName,
            _ => Match::None,
        },
        _ => Match::None,
    }
}

impl Resolver<'_> {
    fn say(&mut self, issue: Issue, pair: Pair) {
        let count = if issue.breaks() { &mut self.errors } else { &mut self.others };
        *count += 1;
        if *count <= ISSUES_MAX || issue == Issue::Bound {
            self.out.found.push(Found { issue, pair });
        }
    }

    /// Looks at a pair later, unless it was met before.
    fn meet(&mut self, pair: Pair) {
        if self.seen.insert((pair.writer, pair.reader)) {
            self.queue.push_back(pair);
        }
    }

    fn pair(&mut self, pair: Pair) {
        let (writer, reader) = (self.writer.get(pair.writer), self.reader.get(pair.reader));
        match (&writer.kind, &reader.kind) {
            (Kind::Union(branches), Kind::Union(_)) => {
                branches.iter().for_each(|branch| self.branch(*branch, pair));
            }
            // The reader expects one type, and data may hold any of the branches.
            (Kind::Union(branches), _) => {
                for branch in branches {
                    if matches(self.writer.get(*branch), reader) == Match::None {
                        self.say(Issue::Branch { branch: *branch }, pair);
                    } else {
                        let writer_path = self.out.writer_paths.branch(
                            pair.writer_path,
                            writer,
                            *branch,
                            self.writer,
                        );
                        self.meet(Pair { writer: *branch, writer_path, ..pair });
                    }
                }
            }
            (_, Kind::Union(_)) => self.branch(pair.writer, pair),
            (Kind::Primitive(from), Kind::Primitive(to)) => self.primitives(*from, *to, pair),
            (Kind::Array(from), Kind::Array(to)) => self.inside(*from, *to, Step::Items, pair),
            (Kind::Map(from), Kind::Map(to)) => self.inside(*from, *to, Step::Values, pair),
            (Kind::Record(from), Kind::Record(to)) => {
                if self.names(writer, reader, pair) {
                    self.records(from, to, pair);
                }
            }
            (Kind::Enum(from), Kind::Enum(to)) => {
                if self.names(writer, reader, pair) {
                    self.enums(from, to, pair);
                }
            }
            (Kind::Fixed(from), Kind::Fixed(to)) => {
                if self.names(writer, reader, pair) {
                    self.fixed(from, to, pair);
                }
            }
            _ => self.say(Issue::Type, pair),
        }
    }

    fn inside(&mut self, writer: TypeId, reader: TypeId, step: Step, pair: Pair) {
        let writer_path = self.out.writer_paths.step(pair.writer_path, step);
        let reader_path = self.out.reader_paths.step(pair.reader_path, step);
        self.meet(Pair { writer, reader, writer_path, reader_path });
        self.logical(pair);
    }

    /// One branch of the writer's (or its only type) against the reader's union.
    fn branch(&mut self, branch: TypeId, pair: Pair) {
        let of = self.writer.get(branch);
        let Some(candidates) = self.reader.get(pair.reader).branches() else { return };
        self.steps += candidates.len();
        let mut best = (Match::None, None);
        let mut first = None;
        for candidate in candidates {
            let how = matches(of, self.reader.get(*candidate));
            if how != Match::None && first.is_none() {
                first = Some(*candidate);
            }
            if how > best.0 {
                best = (how, Some(*candidate));
            }
        }
        let (Some(taken), Some(first)) = (best.1, first) else {
            self.say(Issue::Branch { branch }, pair);
            return;
        };
        let writer_path = if branch == pair.writer {
            pair.writer_path
        } else {
            let union = self.writer.get(pair.writer);
            self.out.writer_paths.branch(pair.writer_path, union, branch, self.writer)
        };
        let union = self.reader.get(pair.reader);
        let reader_path = self.out.reader_paths.branch(pair.reader_path, union, taken, self.reader);
        let pair = Pair { writer: branch, reader: taken, writer_path, reader_path };
        if first != taken {
            self.say(Issue::Choice { first, same: taken }, pair);
        }
        self.meet(pair);
    }

    /// Whether two types of one kind match by name.
    fn names(&mut self, writer: &Type, reader: &Type, pair: Pair) -> bool {
        match matches(writer, reader) {
            Match::None | Match::Promotion => {
                self.say(Issue::Name, pair);
                return false;
            }
            Match::ShortName => self.say(Issue::Namespace, pair),
            Match::Alias | Match::Exact => {}
        }
        self.logical(pair);
        true
    }

    fn primitives(&mut self, from: Primitive, to: Primitive, pair: Pair) {
        use Primitive::{Bytes, Double, Float, Int, Long, String};
        if from != to && !from.promotes_to(to) {
            self.say(Issue::Type, pair);
            return;
        }
        match (from, to) {
            (Int | Long, Float) | (Long, Double) => self.say(Issue::Lossy, pair),
            (Bytes, String) => self.say(Issue::BytesAsString, pair),
            _ => {}
        }
        self.logical(pair);
    }

    fn logical(&mut self, pair: Pair) {
        let (writer, reader) = (self.writer.get(pair.writer), self.reader.get(pair.reader));
        let issue = match (&writer.logical, &reader.logical) {
            (None, None) => return,
            (Some(from), Some(to)) if from == to => return,
            (Some(Logical::Custom(_)), _) | (_, Some(Logical::Custom(_))) => Issue::LogicalCustom,
            (Some(from), Some(to)) => Issue::Logical { proven: !from.differs_in_zone(to) },
            (None, Some(to)) if to.narrows(reader.base()) => Issue::LogicalNarrows,
            // The bytes of a negative number are no UTF-8.
            (Some(Logical::Decimal { .. } | Logical::BigDecimal), None)
                if matches!(reader.kind, Kind::Primitive(Primitive::String)) =>
            {
                Issue::Logical { proven: true }
            }
            (None, Some(_)) | (Some(_), None) => Issue::LogicalOneSided,
        };
        self.say(issue, pair);
    }

    fn enums(&mut self, from: &Enum, to: &Enum, pair: Pair) {
        self.steps += from.symbols.len();
        let unknown = || from.symbols.iter().filter(|it| !to.by_symbol.contains_key(*it));
        let count = unknown().count();
        if count > 0 {
            let unknown = unknown().take(NAMES_SHOWN).cloned().collect();
            self.say(Issue::Symbols { unknown, count, default: to.default.clone() }, pair);
        }
    }

    fn fixed(&mut self, from: &Fixed, to: &Fixed, pair: Pair) {
        if from.size != to.size {
            self.say(Issue::FixedSize, pair);
        }
    }

    fn records(&mut self, from: &Record, to: &Record, pair: Pair) {
        let mut claims: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, field) in to.fields.iter().enumerate() {
            self.steps += 1 + field.aliases.len();
            let mut sources: Vec<usize> = std::iter::once(&field.name)
                .chain(&field.aliases)
                .filter_map(|name| from.by_name.get(name).copied())
                .collect();
            sources.sort_unstable();
            sources.dedup();
            match sources.as_slice() {
                [] if field.default.is_some() => {}
                [] => self.say(Issue::FieldMissing { field: index }, pair),
                [source] => {
                    claims.entry(*source).or_default().push(index);
                    let Some(written) = from.fields.get(*source) else { continue };
                    let writer_path = self
                        .out
                        .writer_paths
                        .step(pair.writer_path, Step::Field(pair.writer, *source));
                    let reader_path = self
                        .out
                        .reader_paths
                        .step(pair.reader_path, Step::Field(pair.reader, index));
                    self.meet(Pair {
                        writer: written.of,
                        reader: field.of,
                        writer_path,
                        reader_path,
                    });
                }
                several => {
                    let names = several.iter().filter_map(|it| from.fields.get(*it));
                    let names = names.take(NAMES_SHOWN).map(|it| it.name.clone()).collect();
                    self.say(Issue::FieldAmbiguous { field: index, names }, pair);
                }
            }
        }
        let mut shared: Vec<_> = claims.into_iter().filter(|(_, by)| by.len() > 1).collect();
        shared.sort_unstable();
        for (source, by) in shared {
            let Some(name) = from.fields.get(source).map(|it| it.name.clone()) else { continue };
            let fields = by.iter().filter_map(|it| to.fields.get(*it));
            let fields = fields.take(NAMES_SHOWN).map(|it| it.name.clone()).collect();
            self.say(Issue::FieldShared { name, fields }, pair);
        }
    }
}
