//! Schema resolution: how a reader's schema reads data of a writer's schema.
//!
//! Visits each pair of types that data can bring together once. The issues of a pair do not depend
//! on the path to it, so recursive types terminate. The specification and the libraries choose the
//! branch of a reader's union by kind and name before they read the value, and so does this: there
//! is no backtracking.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem::{Discriminant, discriminant},
};

use super::{
    limits::{ISSUE_NAMES_MAX, ISSUES_MAX, LOOKUPS_MAX, PAIRS_MAX},
    logical::Logical,
    model::{Enum, Field, Fixed, Kind, Model, Record, Type, TypeId},
    path::{Paths, Segment},
    primitive::Primitive,
};

/// Largest reader's union that is searched linearly. Larger ones are indexed by name.
const LINEAR_SEARCH_BRANCHES_MAX: usize = 16;

/// An issue of a pair of types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Issue {
    /// The reader's type does not accept the writer's.
    Type,
    /// The names of two named types of one kind do not match.
    Name,
    FixedSize,
    /// A field of the reader's record without a default that the writer's does not have.
    FieldMissing {
        field: usize,
    },
    /// A field of the reader's record that the writer's does not have, with a default that is not
    /// of the first branch of its union. Risky if Java is known to misread it.
    DefaultOfLaterBranch {
        field: usize,
        risky: bool,
    },
    /// A field of the reader's record whose name and aliases match several fields.
    FieldAmbiguous {
        field: usize,
        names: Vec<String>,
    },
    /// A field of the writer's record that several fields of the reader's claim.
    FieldShared {
        name: String,
        fields: Vec<String>,
    },
    /// A field matched by an alias in a record with another full name. Java looks up aliases under
    /// the full name.
    AliasInOtherNamespace {
        field: usize,
        name: String,
    },
    /// Symbols that the reader does not have (the first few, and their count), and the default that
    /// replaces them.
    Symbols {
        unknown: Vec<String>,
        count: usize,
        default: Option<String>,
    },
    /// A branch of the writer's union, or its only type, that the reader does not accept.
    Branch {
        branch: TypeId,
    },
    /// Two logical types with different meanings.
    Logical {
        proven: bool,
    },
    /// The reader's logical type does not accept all values of the writer's type.
    LogicalNarrows,
    /// A logical type on one side, the plain type on the other.
    LogicalOneSided,
    /// Logical types, at least one of which the specification does not define.
    LogicalCustom,
    /// A promotion of a number that may lose digits.
    LossyPromotion,
    /// Bytes read as a string: they may not be UTF-8.
    BytesAsString,
    /// The short names match, their namespaces do not.
    Namespace,
    /// The same for an enum or a fixed in a reader's union: Java finds no branch for it.
    NamespaceInUnion,
    /// Libraries disagree on the branch of the reader's union: the first that accepts the type, or
    /// the one of the same type.
    BranchChoice {
        first: TypeId,
        same: TypeId,
    },
    /// The comparison reached its limit of work.
    WorkLimit,
}

impl Issue {
    /// Whether the reader rejects or misreads some data, or may do so.
    pub fn breaks(&self) -> bool {
        match self {
            Self::Type | Self::Name | Self::FixedSize | Self::FieldMissing { .. } => true,
            Self::FieldAmbiguous { .. } | Self::FieldShared { .. } | Self::Branch { .. } => true,
            Self::AliasInOtherNamespace { .. } | Self::NamespaceInUnion => true,
            Self::Logical { .. } | Self::LogicalNarrows | Self::WorkLimit => true,
            Self::Symbols { default, .. } => default.is_none(),
            Self::DefaultOfLaterBranch { risky, .. } => *risky,
            Self::LogicalOneSided | Self::LogicalCustom | Self::LossyPromotion => false,
            Self::BytesAsString | Self::Namespace | Self::BranchChoice { .. } => false,
        }
    }

    /// Whether the break is proven. Otherwise it is only possible.
    pub fn is_proven(&self) -> bool {
        match self {
            Self::Logical { proven } => *proven,
            Self::FieldShared { .. } | Self::AliasInOtherNamespace { .. } => false,
            Self::NamespaceInUnion | Self::DefaultOfLaterBranch { .. } => false,
            Self::LogicalNarrows | Self::WorkLimit => false,
            _ => true,
        }
    }

    /// Whether the issue, if it occurs in both directions, is one issue of both.
    pub fn is_mutual(&self) -> bool {
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
                | Self::WorkLimit
        )
    }
}

/// An issue and its pair of types.
#[derive(Debug)]
pub struct PairIssue {
    pub issue: Issue,
    pub pair: TypePair,
}

/// Two types that data brings together, with their paths.
#[derive(Debug, Clone, Copy)]
pub struct TypePair {
    pub writer: TypeId,
    pub reader: TypeId,
    /// A path of [`Resolution::writer_paths`].
    pub writer_path: u32,
    /// A path of [`Resolution::reader_paths`].
    pub reader_path: u32,
}

/// The resolution of a writer's schema with a reader's.
#[derive(Debug)]
pub struct Resolution {
    pub issues: Vec<PairIssue>,
    /// All visited pairs, in the order of the visit.
    pub pairs: Vec<TypePair>,
    pub writer_paths: Paths,
    pub reader_paths: Paths,
}

/// Resolves a writer's schema with a reader's.
pub fn resolve(writer: &Model, reader: &Model) -> Resolution {
    let mut resolver = Resolver {
        writer,
        reader,
        seen: HashSet::new(),
        queue: VecDeque::new(),
        lookups: 0,
        errors: 0,
        others: 0,
        resolution: Resolution {
            issues: Vec::new(),
            pairs: Vec::new(),
            writer_paths: Paths::new(),
            reader_paths: Paths::new(),
        },
    };
    let root =
        TypePair { writer: writer.root, reader: reader.root, writer_path: 0, reader_path: 0 };
    resolver.enqueue(root);
    while let Some(pair) = resolver.queue.pop_front() {
        if resolver.resolution.pairs.len() >= PAIRS_MAX || resolver.lookups > LOOKUPS_MAX {
            resolver.report(Issue::WorkLimit, pair);
            break;
        }
        resolver.resolution.pairs.push(pair);
        resolver.resolve_pair(pair);
    }
    resolver.resolution
}

struct Resolver<'m> {
    writer: &'m Model,
    reader: &'m Model,
    seen: HashSet<(TypeId, TypeId)>,
    queue: VecDeque<TypePair>,
    lookups: usize,
    errors: usize,
    others: usize,
    resolution: Resolution,
}

/// How a reader's type matches a writer's, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    None,
    /// Primitive types, by a promotion.
    Promotion,
    /// By name without its namespace.
    ShortName,
    /// By an alias of the reader's type.
    Alias,
    /// The same kind, and the same full name if it has one.
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

/// The branch of a reader's union for a writer's type.
pub struct ChosenBranch {
    /// The best match.
    pub best: TypeId,
    /// The first match.
    pub first: TypeId,
}

/// Chooses the branch of a reader's union for a writer's type: the same type if there is one, as in
/// the libraries, else the first that accepts it.
pub fn choose_branch(writer: &Type, reader: &Model, branches: &[TypeId]) -> Option<ChosenBranch> {
    let mut best = Match::None;
    let mut chosen: Option<ChosenBranch> = None;
    for branch in branches {
        let quality = matches(writer, reader.get(*branch));
        if quality > best {
            best = quality;
            let first = chosen.map_or(*branch, |chosen| chosen.first);
            chosen = Some(ChosenBranch { best: *branch, first });
        }
    }
    chosen
}

/// A kind of named types, and a name.
type BranchKey<'m> = (Discriminant<Kind>, &'m str);

/// The branches of a large union by name, with their positions. Without it, two large unions would
/// take the product of their sizes.
struct BranchIndex<'m> {
    named: HashMap<BranchKey<'m>, Vec<(usize, TypeId)>>,
    unnamed: Vec<TypeId>,
}

impl<'m> BranchIndex<'m> {
    fn new(model: &'m Model, branches: &[TypeId]) -> Self {
        let mut index = Self { named: HashMap::new(), unnamed: Vec::new() };
        for (position, branch) in branches.iter().enumerate() {
            let ty = model.get(*branch);
            let Some(name) = ty.name() else {
                index.unnamed.push(*branch);
                continue;
            };
            let kind = discriminant(&ty.kind);
            let mut keys = vec![name.full(), name.short()];
            keys.extend(ty.aliases().iter().map(|alias| alias.full()));
            keys.dedup();
            for key in keys {
                let entries = index.named.entry((kind, key)).or_default();
                // Among branches with one short name only the first and the one with the same full
                // name count, and the full name is a key too.
                if entries.len() < 2 || key != name.short() {
                    entries.push((position, *branch));
                }
            }
        }
        index
    }

    /// The branches that may match a type, in the order of the union.
    fn candidates(&self, ty: &Type) -> Vec<TypeId> {
        let Some(name) = ty.name() else { return self.unnamed.clone() };
        let kind = discriminant(&ty.kind);
        let entries = |key| self.named.get(&(kind, key)).cloned().unwrap_or_default();
        let mut candidates = entries(name.short());
        candidates.extend(entries(name.full()));
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().map(|(_, branch)| branch).collect()
    }
}

/// The fields of a writer's record that the name and the aliases of a reader's field match.
pub fn sources(field: &Field, writer: &Record) -> Vec<usize> {
    let names = std::iter::once(&field.name).chain(&field.aliases);
    let mut sources: Vec<usize> =
        names.filter_map(|name| writer.by_name.get(name).copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// How two types of one kind match by name, or `None` if they do not.
pub fn match_names(writer: &Type, reader: &Type) -> Option<NameMatch> {
    match matches(writer, reader) {
        Match::None | Match::Promotion => None,
        Match::ShortName => Some(NameMatch::ShortName),
        Match::Alias | Match::Exact => Some(NameMatch::Full),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameMatch {
    /// The full names are equal, or an alias is the writer's full name.
    Full,
    /// Only the namespaces differ.
    ShortName,
}

impl Resolver<'_> {
    fn report(&mut self, issue: Issue, pair: TypePair) {
        let count = if issue.breaks() { &mut self.errors } else { &mut self.others };
        *count += 1;
        if *count <= ISSUES_MAX || issue == Issue::WorkLimit {
            self.resolution.issues.push(PairIssue { issue, pair });
        }
    }

    /// Queues a pair, unless it was queued before.
    fn enqueue(&mut self, pair: TypePair) {
        if self.seen.insert((pair.writer, pair.reader)) {
            self.queue.push_back(pair);
        }
    }

    fn resolve_pair(&mut self, pair: TypePair) {
        let (writer, reader) = (self.writer.get(pair.writer), self.reader.get(pair.reader));
        match (&writer.kind, &reader.kind) {
            (Kind::Union(branches), Kind::Union(others)) => {
                let index = (others.len() > LINEAR_SEARCH_BRANCHES_MAX)
                    .then(|| BranchIndex::new(self.reader, others));
                self.lookups += branches.len() + others.len();
                for branch in branches {
                    match &index {
                        Some(index) => {
                            let candidates = index.candidates(self.writer.get(*branch));
                            self.resolve_branch(*branch, &candidates, pair);
                        }
                        None => self.resolve_branch(*branch, others, pair),
                    }
                }
            }
            // The reader accepts one type; data may hold any of the branches.
            (Kind::Union(branches), _) => {
                for branch in branches {
                    if matches(self.writer.get(*branch), reader) == Match::None {
                        self.report(Issue::Branch { branch: *branch }, pair);
                    } else {
                        let writer_path = self.resolution.writer_paths.branch(
                            pair.writer_path,
                            writer,
                            *branch,
                            self.writer,
                        );
                        self.enqueue(TypePair { writer: *branch, writer_path, ..pair });
                    }
                }
            }
            (_, Kind::Union(branches)) => self.resolve_branch(pair.writer, branches, pair),
            (Kind::Primitive(from), Kind::Primitive(to)) => {
                self.resolve_primitives(*from, *to, pair)
            }
            (Kind::Array(from), Kind::Array(to)) => {
                self.resolve_elements(*from, *to, Segment::Items, pair)
            }
            (Kind::Map(from), Kind::Map(to)) => {
                self.resolve_elements(*from, *to, Segment::Values, pair)
            }
            (Kind::Record(from), Kind::Record(to)) => {
                if self.resolve_names(writer, reader, pair) {
                    self.resolve_records(from, to, pair);
                }
            }
            (Kind::Enum(from), Kind::Enum(to)) => {
                if self.resolve_names(writer, reader, pair) {
                    self.resolve_enums(from, to, pair);
                }
            }
            (Kind::Fixed(from), Kind::Fixed(to)) => {
                if self.resolve_names(writer, reader, pair) {
                    self.resolve_fixed(from, to, pair);
                }
            }
            _ => self.report(Issue::Type, pair),
        }
    }

    fn resolve_elements(
        &mut self,
        writer: TypeId,
        reader: TypeId,
        segment: Segment,
        pair: TypePair,
    ) {
        let writer_path = self.resolution.writer_paths.child(pair.writer_path, segment);
        let reader_path = self.resolution.reader_paths.child(pair.reader_path, segment);
        self.enqueue(TypePair { writer, reader, writer_path, reader_path });
        self.resolve_logical(pair);
    }

    /// Resolves a branch of the writer's union, or its only type, with the reader's union.
    fn resolve_branch(&mut self, branch: TypeId, candidates: &[TypeId], pair: TypePair) {
        let ty = self.writer.get(branch);
        self.lookups += candidates.len();
        let Some(ChosenBranch { best, first }) = choose_branch(ty, self.reader, candidates) else {
            self.report(Issue::Branch { branch }, pair);
            return;
        };
        let writer_path = if branch == pair.writer {
            pair.writer_path
        } else {
            let union = self.writer.get(pair.writer);
            self.resolution.writer_paths.branch(pair.writer_path, union, branch, self.writer)
        };
        let union = self.reader.get(pair.reader);
        let reader_path =
            self.resolution.reader_paths.branch(pair.reader_path, union, best, self.reader);
        let pair = TypePair { writer: branch, reader: best, writer_path, reader_path };
        if !matches!(ty.kind, Kind::Record(_))
            && match_names(ty, self.reader.get(best)) == Some(NameMatch::ShortName)
        {
            self.report(Issue::NamespaceInUnion, pair);
        }
        if first != best {
            self.report(Issue::BranchChoice { first, same: best }, pair);
        }
        self.enqueue(pair);
    }

    /// Whether two types of one kind match by name. Records their issues.
    fn resolve_names(&mut self, writer: &Type, reader: &Type, pair: TypePair) -> bool {
        match match_names(writer, reader) {
            None => {
                self.report(Issue::Name, pair);
                return false;
            }
            Some(NameMatch::ShortName) => self.report(Issue::Namespace, pair),
            Some(NameMatch::Full) => {}
        }
        self.resolve_logical(pair);
        true
    }

    fn resolve_primitives(&mut self, from: Primitive, to: Primitive, pair: TypePair) {
        use Primitive::{Bytes, Double, Float, Int, Long, String};
        if from != to && !from.promotes_to(to) {
            self.report(Issue::Type, pair);
            return;
        }
        match (from, to) {
            (Int | Long, Float) | (Long, Double) => self.report(Issue::LossyPromotion, pair),
            (Bytes, String) => self.report(Issue::BytesAsString, pair),
            _ => {}
        }
        self.resolve_logical(pair);
    }

    fn resolve_logical(&mut self, pair: TypePair) {
        let (writer, reader) = (self.writer.get(pair.writer), self.reader.get(pair.reader));
        let issue = match (&writer.logical, &reader.logical) {
            (None, None) => return,
            (Some(from), Some(to)) if from == to => return,
            // Data with a custom logical type counts as plain data.
            (None | Some(Logical::Custom(_)), Some(to)) if to.narrows(reader.base()) => {
                Issue::LogicalNarrows
            }
            // The bytes of a negative number are not UTF-8.
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
        self.report(issue, pair);
    }

    fn resolve_enums(&mut self, from: &Enum, to: &Enum, pair: TypePair) {
        self.lookups += from.symbols.len();
        let unknown = || from.symbols.iter().filter(|symbol| !to.by_symbol.contains_key(*symbol));
        let count = unknown().count();
        if count > 0 {
            let unknown = unknown().take(ISSUE_NAMES_MAX).cloned().collect();
            self.report(Issue::Symbols { unknown, count, default: to.default.clone() }, pair);
        }
    }

    fn resolve_fixed(&mut self, from: &Fixed, to: &Fixed, pair: TypePair) {
        if from.size != to.size {
            self.report(Issue::FixedSize, pair);
        }
    }

    /// Whether Java may misread a default. Java 1.12 chooses the branch of a default by its JSON
    /// alone: it accepts null for a record, an enum, an array or a map that comes first, and finds
    /// no branch for an empty array.
    fn is_risky_default(&self, field: &Field) -> bool {
        let branches = self.reader.get(field.type_id).branches().unwrap_or_default();
        let is_composite =
            |index: usize| match branches.get(index).map(|branch| &self.reader.get(*branch).kind) {
                Some(Kind::Primitive(_) | Kind::Fixed(_)) | None => false,
                Some(Kind::Array(_) | Kind::Map(_) | Kind::Union(_)) => true,
                Some(Kind::Record(_) | Kind::Enum(_)) => true,
            };
        is_composite(0) || is_composite(field.default_branch)
    }

    fn resolve_records(&mut self, from: &Record, to: &Record, pair: TypePair) {
        let mut claims: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, field) in to.fields.iter().enumerate() {
            self.lookups += 1 + field.aliases.len();
            let sources = sources(field, from);
            match sources.as_slice() {
                [] if field.default.is_some() => {
                    if field.default_branch > 0 {
                        let risky = self.is_risky_default(field);
                        self.report(Issue::DefaultOfLaterBranch { field: index, risky }, pair);
                    }
                }
                [] => self.report(Issue::FieldMissing { field: index }, pair),
                [source] => {
                    claims.entry(*source).or_default().push(index);
                    let Some(written) = from.fields.get(*source) else { continue };
                    if written.name != field.name
                        && from.name.namespace() != to.name.namespace()
                        && !to.aliases.contains(&from.name)
                    {
                        let name = written.name.clone();
                        self.report(Issue::AliasInOtherNamespace { field: index, name }, pair);
                    }
                    let writer_path = self
                        .resolution
                        .writer_paths
                        .child(pair.writer_path, Segment::Field(pair.writer, *source));
                    let reader_path = self
                        .resolution
                        .reader_paths
                        .child(pair.reader_path, Segment::Field(pair.reader, index));
                    self.enqueue(TypePair {
                        writer: written.type_id,
                        reader: field.type_id,
                        writer_path,
                        reader_path,
                    });
                }
                several => {
                    let names = several.iter().filter_map(|source| from.fields.get(*source));
                    let names =
                        names.take(ISSUE_NAMES_MAX).map(|source| source.name.clone()).collect();
                    self.report(Issue::FieldAmbiguous { field: index, names }, pair);
                }
            }
        }
        let mut shared: Vec<_> =
            claims.into_iter().filter(|(_, claimants)| claimants.len() > 1).collect();
        shared.sort_unstable();
        for (source, claimants) in shared {
            let Some(name) = from.fields.get(source).map(|source| source.name.clone()) else {
                continue;
            };
            let fields = claimants.iter().filter_map(|claimant| to.fields.get(*claimant));
            let fields =
                fields.take(ISSUE_NAMES_MAX).map(|claimant| claimant.name.clone()).collect();
            self.report(Issue::FieldShared { name, fields }, pair);
        }
    }
}
