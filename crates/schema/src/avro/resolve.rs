//! Schema resolution: what becomes of data that one schema wrote when another one reads it.
//!
//! Every pair of types that data may bring together is looked at once; what is wrong with a pair does not depend on how
//! data came there, so recursive types end by themselves. Of a reader's union the specification and the libraries pick a
//! branch by kind and name before they look inside, and so do we: nothing is tried and taken back.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem::{Discriminant, discriminant},
};

use super::{
    logical::Logical,
    model::{Enum, Field, Fixed, Kind, Model, Primitive, Record, Type, TypeId},
    path::{Paths, Step},
};

/// Pairs of types looked at. Two schemas of 10,000 fields take 20,000; only types that recur in different rhythms, in
/// namespaces of their own, take more.
const PAIRS_MAX: usize = 200_000;

/// Names looked up in unions and records, likewise.
const STEPS_MAX: usize = 2_000_000;

/// Branches of a reader's union that are looked through one by one.
const INDEXED_FROM: usize = 16;

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
    /// Likewise, with a default that is not of the first branch of its union; risky where Java is known to misread it.
    DefaultElsewhere {
        field: usize,
        risky: bool,
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
    /// A field found by its alias, in a record whose full name is another: Java looks for aliases under the full name.
    AliasElsewhere {
        field: usize,
        name: String,
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
    /// Likewise, of an enum or a fixed in a reader's union: Java finds no branch for it.
    NamespaceInUnion,
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
            Self::AliasElsewhere { .. } | Self::NamespaceInUnion => true,
            Self::Logical { .. } | Self::LogicalNarrows | Self::Bound => true,
            Self::Symbols { default, .. } => default.is_none(),
            Self::DefaultElsewhere { risky, .. } => *risky,
            Self::LogicalOneSided | Self::LogicalCustom | Self::Lossy => false,
            Self::BytesAsString | Self::Namespace | Self::Choice { .. } => false,
        }
    }

    /// Whether it was shown, and not merely suspected.
    pub fn proven(&self) -> bool {
        match self {
            Self::Logical { proven } => *proven,
            Self::FieldShared { .. } | Self::AliasElsewhere { .. } => false,
            Self::NamespaceInUnion | Self::DefaultElsewhere { .. } => false,
            Self::LogicalNarrows | Self::Bound => false,
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
                | Self::NamespaceInUnion
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
    /// In the paths of the resolution, of the writer's and of the reader's side.
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

/// The branch of a reader's union that takes a value.
pub struct Choice {
    /// The one that fits best.
    pub taken: TypeId,
    /// The first that fits at all.
    pub first: TypeId,
}

/// The branch of a reader's union that a writer's type goes to: the same type if there is one, as the libraries have it,
/// else the first that takes it.
pub fn choose(writer: &Type, reader: &Model, branches: &[TypeId]) -> Option<Choice> {
    let mut best = Match::None;
    let mut choice: Option<Choice> = None;
    for branch in branches {
        let how = matches(writer, reader.get(*branch));
        if how > best {
            best = how;
            let first = choice.map_or(*branch, |it| it.first);
            choice = Some(Choice { taken: *branch, first });
        }
    }
    choice
}

/// A kind of named types, and a name.
type Key<'m> = (Discriminant<Kind>, &'m str);

/// The branches of a large union by name, with their positions, so that another large one is not looked through for each of its branches.
struct Index<'m> {
    named: HashMap<Key<'m>, Vec<(usize, TypeId)>>,
    nameless: Vec<TypeId>,
}

impl<'m> Index<'m> {
    fn new(model: &'m Model, branches: &[TypeId]) -> Self {
        let mut index = Self { named: HashMap::new(), nameless: Vec::new() };
        for (position, branch) in branches.iter().enumerate() {
            let of = model.get(*branch);
            let Some(name) = of.name() else {
                index.nameless.push(*branch);
                continue;
            };
            let kind = discriminant(&of.kind);
            let mut keys = vec![name.full(), name.short()];
            keys.extend(of.aliases().iter().map(|it| it.full()));
            keys.dedup();
            for key in keys {
                let with = index.named.entry((kind, key)).or_default();
                // Of those that share a short name the first counts, and the one of the full name, which is here too.
                if with.len() < 2 || key != name.short() {
                    with.push((position, *branch));
                }
            }
        }
        index
    }

    /// The branches that may take a type, in their order where it matters.
    fn candidates(&self, of: &Type) -> Vec<TypeId> {
        let Some(name) = of.name() else { return self.nameless.clone() };
        let kind = discriminant(&of.kind);
        let with = |key| self.named.get(&(kind, key)).cloned().unwrap_or_default();
        let mut candidates = with(name.short());
        candidates.extend(with(name.full()));
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().map(|(_, branch)| branch).collect()
    }
}

/// The fields of a writer's record that a reader's field stands for, by its name and aliases.
pub fn sources(field: &Field, writer: &Record) -> Vec<usize> {
    let names = std::iter::once(&field.name).chain(&field.aliases);
    let mut sources: Vec<usize> = names.filter_map(|it| writer.by_name.get(it).copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// Whether two types of one kind match by name; none where they do not.
pub fn same_name(writer: &Type, reader: &Type) -> Option<Nearness> {
    match matches(writer, reader) {
        Match::None | Match::Promotion => None,
        Match::ShortName => Some(Nearness::ShortName),
        Match::Alias | Match::Exact => Some(Nearness::Full),
    }
}

/// How closely two names match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearness {
    /// In the full name, or by an alias.
    Full,
    /// But for the namespace.
    ShortName,
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
            (Kind::Union(branches), Kind::Union(others)) => {
                let index = (others.len() > INDEXED_FROM).then(|| Index::new(self.reader, others));
                self.steps += branches.len() + others.len();
                for branch in branches {
                    match &index {
                        Some(index) => {
                            let candidates = index.candidates(self.writer.get(*branch));
                            self.branch(*branch, &candidates, pair);
                        }
                        None => self.branch(*branch, others, pair),
                    }
                }
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
            (_, Kind::Union(branches)) => self.branch(pair.writer, branches, pair),
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
    fn branch(&mut self, branch: TypeId, candidates: &[TypeId], pair: Pair) {
        let of = self.writer.get(branch);
        self.steps += candidates.len();
        let Some(Choice { taken, first }) = choose(of, self.reader, candidates) else {
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
        if !matches!(of.kind, Kind::Record(_))
            && same_name(of, self.reader.get(taken)) == Some(Nearness::ShortName)
        {
            self.say(Issue::NamespaceInUnion, pair);
        }
        if first != taken {
            self.say(Issue::Choice { first, same: taken }, pair);
        }
        self.meet(pair);
    }

    /// Whether two types of one kind match by name.
    fn names(&mut self, writer: &Type, reader: &Type, pair: Pair) -> bool {
        match same_name(writer, reader) {
            None => {
                self.say(Issue::Name, pair);
                return false;
            }
            Some(Nearness::ShortName) => self.say(Issue::Namespace, pair),
            Some(Nearness::Full) => {}
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
            // What is written with a logical type of somebody's own is as good as plain.
            (None | Some(Logical::Custom(_)), Some(to)) if to.narrows(reader.base()) => {
                Issue::LogicalNarrows
            }
            // The bytes of a negative number are no UTF-8.
            (
                Some(Logical::Decimal { .. } | Logical::BigDecimal),
                None | Some(Logical::Custom(_)),
            ) if matches!(reader.kind, Kind::Primitive(Primitive::String)) => {
                Issue::Logical { proven: true }
            }
            (Some(Logical::Custom(_)), _) | (_, Some(Logical::Custom(_))) => Issue::LogicalCustom,
            (Some(from), Some(to)) => Issue::Logical { proven: !from.differs_in_zone(to) },
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

    /// Java 1.12 looks for the branch of a default by its JSON alone, and takes null for a record, an enum, an array or a map
    /// that comes first; and an empty array for nothing.
    fn risky_default(&self, field: &Field) -> bool {
        let branches = self.reader.get(field.of).branches().unwrap_or_default();
        let parts = |at: usize| match branches.get(at).map(|it| &self.reader.get(*it).kind) {
            Some(Kind::Primitive(_) | Kind::Fixed(_)) | None => false,
            Some(Kind::Array(_) | Kind::Map(_) | Kind::Union(_)) => true,
            Some(Kind::Record(_) | Kind::Enum(_)) => true,
        };
        parts(0) || parts(field.default_branch)
    }

    fn records(&mut self, from: &Record, to: &Record, pair: Pair) {
        let mut claims: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, field) in to.fields.iter().enumerate() {
            self.steps += 1 + field.aliases.len();
            let sources = sources(field, from);
            match sources.as_slice() {
                [] if field.default.is_some() => {
                    if field.default_branch > 0 {
                        let risky = self.risky_default(field);
                        self.say(Issue::DefaultElsewhere { field: index, risky }, pair);
                    }
                }
                [] => self.say(Issue::FieldMissing { field: index }, pair),
                [source] => {
                    claims.entry(*source).or_default().push(index);
                    let Some(written) = from.fields.get(*source) else { continue };
                    if written.name != field.name
                        && from.name.namespace() != to.name.namespace()
                        && !to.aliases.contains(&from.name)
                    {
                        self.say(
                            Issue::AliasElsewhere { field: index, name: written.name.clone() },
                            pair,
                        );
                    }
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
