//! Builds the sets of files that reflection shows: those of the newest release of every Protobuf
//! subject, and their imports.
//!
//! If several schemas declare one name, these own it in order: the subject of this name; the
//! subject whose event it is; a schema that declares it in a file of its own; a schema that imports
//! it. Among equals, the first subject by name.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    file::{File, Kind, with_comments, with_import},
    set::{FileSet, LinkCache, catch_panic},
};
use crate::{catalog::Catalog, name::SubjectName, schema::SchemaVersion};
use tidings_schema::{
    definition::{Definition, Form, Import},
    protobuf,
    schema::Format,
};

/// The file that declares the details of errors. The contract does not import it, so that stubs are
/// generated without it; but a client such as grpcui knows only the imports of the file of a
/// method, and would print the details as bytes. This is its name in the set that it comes in,
/// outside of its folder.
const ERROR_DETAILS: &str = "error_details.proto";

/// Builds sets, and caches decoded files and link results for the next set.
pub(super) struct Builder {
    /// The files of the program itself.
    base: FileSet,
    /// By schema id. None: the schema cannot be read, which was logged.
    contributions: HashMap<u32, Option<Arc<Contribution>>>,
    /// By hash: a file that a thousand subjects import is kept once.
    files: HashMap<[u8; 32], Weak<File>>,
    links: LinkCache,
    /// The ids of the versions in the last set without pins.
    shown: Vec<u32>,
}

/// The files of one registered version.
struct Contribution {
    subject: SubjectName,
    /// The full name of the event's message.
    event: Option<String>,
    /// The files, each after its imports.
    files: Vec<ContributedFile>,
}

struct ContributedFile {
    /// The path that other files of the version import.
    path: String,
    /// The name under which it is served.
    name: String,
    is_own: bool,
    file: Arc<File>,
}

impl Builder {
    /// Creates a builder with the files of encoded `FileDescriptorSet`s, and those of Protobuf
    /// itself.
    ///
    /// # Errors
    /// Returns the reason as text if they do not link, which is a bug of the program.
    pub(super) fn new(own: &[&[u8]]) -> Result<Self, String> {
        let mut pending: Vec<File> = Vec::new();
        let mut names = HashSet::new();
        let mut sets = own.iter().map(|set| encoded_files(set)).collect::<Result<Vec<_>, _>>()?;
        sets.insert(0, protobuf::standard());
        for bytes in sets.into_iter().flatten() {
            let file = with_comments(bytes).and_then(|bytes| {
                let file = File::decode(bytes.clone(), protobuf::Syntax::Declared)?;
                if is_of_the_contract(&file) {
                    return File::decode(
                        with_import(bytes, ERROR_DETAILS),
                        protobuf::Syntax::Declared,
                    );
                }
                Ok(file)
            });
            let file = file.map_err(|error| error.to_string())?;
            if names.insert(file.name.clone()) {
                pending.push(file);
            }
        }
        let (mut base, mut links) = (FileSet::default(), LinkCache::default());
        let mut added: HashMap<String, Vec<usize>> = HashMap::new();
        while !pending.is_empty() {
            let before = pending.len();
            let mut postponed = Vec::new();
            for file in pending {
                let imports: Option<Vec<_>> =
                    file.imports.iter().map(|import| added.get(import)).collect();
                let Some(imports) = imports else {
                    postponed.push(file);
                    continue;
                };
                let imports = imports.into_iter().flatten().copied().collect();
                let indexes = base.add(&file, &with_folder(&file), imports, &mut links);
                let mut declarations = file.declarations.iter();
                let fault =
                    declarations.find_map(|declaration| base.omission_reason(&declaration.name));
                if let Some(fault) = fault {
                    return Err(format!("{}: {fault}", file.name));
                }
                added.insert(file.name, indexes);
            }
            if postponed.len() == before {
                let names: Vec<_> = postponed.iter().map(|file| file.name.as_str()).collect();
                return Err(format!("imports are missing in {}", names.join(", ")));
            }
            pending = postponed;
        }
        Ok(Self {
            base,
            contributions: HashMap::new(),
            files: HashMap::new(),
            links: LinkCache::default(),
            shown: Vec::new(),
        })
    }

    /// Returns the files of the program alone.
    pub(super) fn base(&self) -> &FileSet {
        &self.base
    }

    /// Builds the set of a catalog. None: it is equal to the last set.
    pub(super) fn newest(&mut self, catalog: &Catalog) -> Option<FileSet> {
        let shown = shown(catalog, &[]);
        let ids: Vec<u32> = shown.iter().map(|schema| schema.id).collect();
        if ids == self.shown {
            return None;
        }
        let set = self.assemble(catalog, &shown);
        self.shown = ids;
        let ids: HashSet<u32> = self.shown.iter().copied().collect();
        self.contributions.retain(|id, _| ids.contains(id));
        self.files.retain(|_, file| file.strong_count() > 0);
        self.links.remove_unused();
        Some(set)
    }

    /// Builds the set of a catalog with pinned versions of some subjects.
    pub(super) fn pinned(&mut self, catalog: &Catalog, pins: &[Arc<SchemaVersion>]) -> FileSet {
        self.assemble(catalog, &shown(catalog, pins))
    }

    fn assemble(&mut self, catalog: &Catalog, shown: &[Arc<SchemaVersion>]) -> FileSet {
        let contributions: Vec<_> =
            shown.iter().filter_map(|schema| self.contribution(catalog, schema)).collect();
        let mut set = self.base.clone();
        for index in dependency_order(&contributions) {
            if let Some(contribution) = contributions.get(index) {
                self.add(&mut set, contribution);
            }
        }
        for schema in shown {
            if let Some(None) = self.contributions.get(&schema.id) {
                let reason =
                    "its stored schema cannot be read; the log of the registry has the reason";
                set.omit_name(schema.subject.as_str(), reason);
            }
        }
        set
    }

    fn add(&mut self, set: &mut FileSet, contribution: &Contribution) {
        let mut added: HashMap<&str, Vec<usize>> = HashMap::new();
        for ContributedFile { path, name, file, .. } in &contribution.files {
            let imports = file.imports.iter().filter_map(|import| added.get(import.as_str()));
            let imports = imports.flatten().copied().collect();
            let name = unused_name(set, name);
            let indexes = set.add(file, &name, imports, &mut self.links);
            added.insert(path, indexes);
        }
    }

    fn contribution(
        &mut self,
        catalog: &Catalog,
        schema: &SchemaVersion,
    ) -> Option<Arc<Contribution>> {
        if let Some(cached) = self.contributions.get(&schema.id) {
            return cached.clone();
        }
        let contribution = catch_panic(|| self.read(catalog, schema)).flatten().map(Arc::new);
        if let Err(reason) = &contribution {
            let SchemaVersion { subject, version, .. } = schema;
            tracing::warn!(%subject, %version, reason, "reflection omits a schema");
        }
        let contribution = contribution.ok();
        self.contributions.insert(schema.id, contribution.clone());
        contribution
    }

    fn read(&mut self, catalog: &Catalog, schema: &SchemaVersion) -> Result<Contribution, String> {
        let imports = catalog.imports(&schema.references)?;
        let files =
            protobuf::files(&schema.definition, &imports).map_err(|invalid| invalid.to_string())?;
        let origins = Origins::new(schema, &imports);
        let mut event = None;
        let mut contributed = Vec::with_capacity(files.len());
        for parsed in files {
            let (path, is_own, is_main) = (parsed.name.clone(), parsed.own, parsed.main);
            let file = self.file(parsed)?;
            if is_main {
                event = event_of(schema, &file);
            }
            let name = origins.name(&path, is_own);
            contributed.push(ContributedFile { path, name, is_own, file });
        }
        // In a descriptor set, another file than the last may declare the event.
        let declares_subject =
            |file: &&ContributedFile| file.is_own && declares(&file.file, schema.subject.as_str());
        if schema.definition.message_name.is_empty()
            && contributed.iter().any(|file| declares_subject(&file))
        {
            event = Some(schema.subject.to_string());
        }
        Ok(Contribution { subject: schema.subject.clone(), event, files: contributed })
    }

    fn file(&mut self, file: protobuf::File) -> Result<Arc<File>, String> {
        let mut hash = Sha256::new();
        hash.update([file.syntax as u8]);
        hash.update(&file.descriptor);
        let hash: [u8; 32] = hash.finalize().into();
        if let Some(cached) = self.files.get(&hash).and_then(Weak::upgrade) {
            return Ok(cached);
        }
        let file = File::decode(file.descriptor, file.syntax).map_err(|error| error.to_string())?;
        let file = Arc::new(file);
        self.files.insert(hash, Arc::downgrade(&file));
        Ok(file)
    }
}

/// Returns the versions whose files are shown, pinned versions first, then by subject.
fn shown(catalog: &Catalog, pins: &[Arc<SchemaVersion>]) -> Vec<Arc<SchemaVersion>> {
    let pinned: BTreeMap<&SubjectName, &Arc<SchemaVersion>> =
        pins.iter().map(|pin| (&pin.subject, pin)).collect();
    let subjects = catalog
        .subjects_after(None)
        .filter(|subject| !pinned.contains_key(&subject.name))
        .filter(|subject| subject.format == Format::Protobuf);
    let newest = subjects.filter_map(|subject| subject.newest());
    pinned.values().copied().chain(newest).map(Arc::clone).collect()
}

/// Returns the order in which contributions are added: each after the owners of the names that it
/// declares. A cycle needs versions that reference older versions of each other; then the
/// contribution that is visited first is added last.
fn dependency_order(contributions: &[Arc<Contribution>]) -> Vec<usize> {
    let mut owners: HashMap<&str, (u8, usize)> = HashMap::new();
    for (index, contribution) in contributions.iter().enumerate() {
        for file in &contribution.files {
            for declaration in &file.file.declarations {
                let name = declaration.name.as_str();
                let rank = match contribution.event.as_deref() {
                    Some(event) if event == name && event == contribution.subject.as_str() => 0,
                    Some(event) if event == name => 1,
                    Some(_) | None if file.is_own => 2,
                    Some(_) | None => continue,
                };
                let owner = owners.entry(name).or_insert((rank, index));
                *owner = (*owner).min((rank, index));
            }
        }
    }
    let dependencies = |index: usize| -> Vec<usize> {
        let files = contributions.get(index).map_or(&[][..], |contribution| &contribution.files);
        let declarations = files.iter().flat_map(|file| &file.file.declarations);
        let owning = declarations.filter_map(|declaration| {
            owners.get(declaration.name.as_str()).map(|(_, owner)| *owner)
        });
        let owning: HashSet<usize> = owning.filter(|owner| *owner != index).collect();
        let mut owning: Vec<usize> = owning.into_iter().collect();
        // The last one is visited first.
        owning.sort_unstable_by(|a, b| b.cmp(a));
        owning
    };
    let mut order = Vec::with_capacity(contributions.len());
    let mut visited = vec![false; contributions.len()];
    for root in 0..contributions.len() {
        let mut stack: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut next = Some(root);
        loop {
            if let Some(index) = next.take()
                && let Some(visited) = visited.get_mut(index)
                && !std::mem::replace(visited, true)
            {
                stack.push((index, dependencies(index)));
            }
            let Some((index, remaining)) = stack.last_mut() else { break };
            match remaining.pop() {
                Some(dependency) => next = Some(dependency),
                None => {
                    order.push(*index);
                    stack.pop();
                }
            }
        }
    }
    order
}

/// The subjects and versions that the files of a definition come from.
struct Origins<'a> {
    schema: &'a SchemaVersion,
    imports: HashMap<&'a str, &'a Import>,
}

impl<'a> Origins<'a> {
    fn new(schema: &'a SchemaVersion, imports: &'a [Import]) -> Self {
        let mut origins = HashMap::new();
        for import in imports {
            origins.insert(import.name.as_str(), import);
        }
        for import in imports {
            for path in import.definition.files.keys() {
                origins.entry(path.as_str()).or_insert(import);
            }
        }
        Self { schema, imports: origins }
    }

    /// Returns the name under which a file is served: `<subject>/v<version>/<path>`, or the
    /// well-known name of a shared file.
    fn name(&self, path: &str, is_own: bool) -> String {
        if protobuf::is_shared(path) || path.starts_with("google/rpc/") {
            return path.to_owned();
        }
        let (subject, version) = match self.imports.get(path) {
            Some(import) if !is_own => (import.subject.clone(), import.version.clone()),
            Some(_) | None => (self.schema.subject.to_string(), self.schema.version.to_string()),
        };
        format!("{}/v{version}/{}", safe_component(&subject), safe_path(path))
    }
}

/// Returns the name of a file of the program in the folder of its package, if it was compiled
/// outside of it.
fn with_folder(file: &File) -> String {
    match file.name.contains('/') {
        true => file.name.clone(),
        false => format!("{}/{}", file.package.replace('.', "/"), file.name),
    }
}

/// Returns a name that no file has yet.
fn unused_name(set: &FileSet, name: &str) -> String {
    if !set.has_file(name) {
        return name.to_owned();
    }
    let others = (2_u64..).map(|count| format!("other/{count}/{name}"));
    others.into_iter().find(|other| !set.has_file(other)).unwrap_or_default()
}

/// Replaces unsafe components of a path. Clients write files under these names, so none may lead
/// out of their folder.
fn safe_path(path: &str) -> String {
    path.split('/').map(safe_component).collect::<Vec<_>>().join("/")
}

fn safe_component(name: &str) -> String {
    if matches!(name, "" | "." | "..") {
        return "_".to_owned();
    }
    let is_safe = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '+' | '@');
    name.chars().map(|c| if is_safe(c) { c } else { '_' }).collect()
}

/// Returns the full name of the event's message, if the definition's own file declares it.
fn event_of(schema: &SchemaVersion, file: &File) -> Option<String> {
    let Definition { message_name, form, .. } = &schema.definition;
    if !message_name.is_empty() {
        return Some(message_name.clone());
    }
    let mut messages =
        file.declarations.iter().filter(|declaration| declaration.kind == Kind::Message);
    match (messages.next(), messages.next(), form) {
        (Some(only), None, Form::Text(_) | Form::DescriptorSet(_)) => Some(only.name.clone()),
        _ => None,
    }
}

fn declares(file: &File, message: &str) -> bool {
    let names = file.declarations.iter().flat_map(|declaration| declaration.names());
    names.into_iter().any(|(name, kind)| kind == Kind::Message && name == message)
}

/// Returns whether a file declares services of our contract.
fn is_of_the_contract(file: &File) -> bool {
    file.package.starts_with("tidings.")
        && file.declarations.iter().any(|declaration| declaration.kind == Kind::Service)
}

/// Returns the encoded files of an encoded `FileDescriptorSet`.
fn encoded_files(set: &[u8]) -> Result<Vec<Bytes>, String> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Encoded {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        file: Vec<Bytes>,
    }
    let decoded = <Encoded as prost::Message>::decode(set);
    decoded.map(|set| set.file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
