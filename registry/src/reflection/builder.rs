//! Which files are shown: those of the newest release of every Protobuf subject, and what they import.
//!
//! Where several declare one name, there is a rule for who has it: the subject that is called so; then the one whose event
//! it is; then one that brings it in a file of its own; then whoever imports it. Among equals the first by name.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    file::{File, Kind, importing, with_comments},
    set::{Links, Set, unharmed},
};
use crate::{catalog::Catalog, schema::SchemaVersion, subject::SubjectName};
use tidings_schema::{
    definition::{Definition, Form, Import},
    protobuf,
    schema::Format,
};

/// What the details of errors are declared in. The contract does not import it, so that stubs are generated without it; a
/// client such as grpcui knows only what the file of a method imports, and would print the details as bytes. The name is
/// that of the set it comes in, outside of its folder.
const ERROR_DETAILS: &str = "error_details.proto";

/// Makes sets, and remembers what it read and linked for the next one.
pub(super) struct Builder {
    /// The files of the program itself.
    base: Set,
    /// By schema id. None: it cannot be read any more, which was told.
    contributions: HashMap<u32, Option<Arc<Contribution>>>,
    /// By what they are: a file that a thousand subjects import is kept once.
    files: HashMap<[u8; 32], Weak<File>>,
    links: Links,
    /// The versions in the last set that nobody pinned, by id.
    shown: Vec<u32>,
}

/// What one registered version brings along.
struct Contribution {
    subject: SubjectName,
    /// The full name of the event's message.
    event: Option<String>,
    /// Each behind those that it imports.
    units: Vec<Unit>,
}

struct Unit {
    /// What those that import it call it.
    path: String,
    /// What it is served as.
    name: String,
    own: bool,
    file: Arc<File>,
}

impl Builder {
    /// With the files of encoded `FileDescriptorSet`s, and those of Protobuf itself.
    ///
    /// # Errors
    /// In words, where they do not link: a bug of the program.
    pub(super) fn new(own: &[&[u8]]) -> Result<Self, String> {
        let mut open: Vec<File> = Vec::new();
        let mut names = HashSet::new();
        let mut sets = own.iter().map(|it| encoded_files(it)).collect::<Result<Vec<_>, _>>()?;
        sets.insert(0, protobuf::standard());
        for bytes in sets.into_iter().flatten() {
            let file = with_comments(bytes).and_then(|bytes| {
                let file = File::read(bytes.clone(), protobuf::Syntax::AsSaid)?;
                if is_of_the_contract(&file) {
                    return File::read(importing(bytes, ERROR_DETAILS), protobuf::Syntax::AsSaid);
                }
                Ok(file)
            });
            let file = file.map_err(|error| error.to_string())?;
            if names.insert(file.name.clone()) {
                open.push(file);
            }
        }
        let (mut base, mut links) = (Set::default(), Links::default());
        let mut placed: HashMap<String, Vec<usize>> = HashMap::new();
        while !open.is_empty() {
            let before = open.len();
            let mut later = Vec::new();
            for file in open {
                let imports: Option<Vec<_>> =
                    file.imports.iter().map(|it| placed.get(it)).collect();
                let Some(imports) = imports else {
                    later.push(file);
                    continue;
                };
                let imports = imports.into_iter().flatten().copied().collect();
                let at = base.admit(&file, &with_folder(&file), imports, &mut links);
                let fault = file.declarations.iter().find_map(|it| base.why_left_out(&it.name));
                if let Some(fault) = fault {
                    return Err(format!("{}: {fault}", file.name));
                }
                placed.insert(file.name, at);
            }
            if later.len() == before {
                let names: Vec<_> = later.iter().map(|it| it.name.as_str()).collect();
                return Err(format!("what they import is not there: {}", names.join(", ")));
            }
            open = later;
        }
        Ok(Self {
            base,
            contributions: HashMap::new(),
            files: HashMap::new(),
            links: Links::default(),
            shown: Vec::new(),
        })
    }

    /// The files of the program alone.
    pub(super) fn base(&self) -> &Set {
        &self.base
    }

    /// The set of a catalog. None: it is the one that was made last.
    pub(super) fn newest(&mut self, catalog: &Catalog) -> Option<Set> {
        let shown = shown(catalog, &[]);
        let ids: Vec<u32> = shown.iter().map(|it| it.id).collect();
        if ids == self.shown {
            return None;
        }
        let set = self.assemble(catalog, &shown);
        self.shown = ids;
        let ids: HashSet<u32> = self.shown.iter().copied().collect();
        self.contributions.retain(|id, _| ids.contains(id));
        self.files.retain(|_, file| file.strong_count() > 0);
        self.links.forget();
        Some(set)
    }

    /// The set of a catalog with other versions of some subjects.
    pub(super) fn pinned(&mut self, catalog: &Catalog, pins: &[Arc<SchemaVersion>]) -> Set {
        self.assemble(catalog, &shown(catalog, pins))
    }

    fn assemble(&mut self, catalog: &Catalog, shown: &[Arc<SchemaVersion>]) -> Set {
        let contributions: Vec<_> =
            shown.iter().filter_map(|it| self.contribution(catalog, it)).collect();
        let mut set = self.base.clone();
        for at in in_order(&contributions) {
            if let Some(contribution) = contributions.get(at) {
                self.admit(&mut set, contribution);
            }
        }
        for it in shown {
            if let Some(None) = self.contributions.get(&it.id) {
                let reason = "what is stored of it cannot be read any more; the log of the registry says why";
                set.missing(it.subject.as_str(), reason);
            }
        }
        set
    }

    fn admit(&mut self, set: &mut Set, contribution: &Contribution) {
        let mut placed: HashMap<&str, Vec<usize>> = HashMap::new();
        for unit in &contribution.units {
            let imports = unit.file.imports.iter().filter_map(|it| placed.get(it.as_str()));
            let imports = imports.flatten().copied().collect();
            let name = free(set, &unit.name);
            let at = set.admit(&unit.file, &name, imports, &mut self.links);
            placed.insert(&unit.path, at);
        }
    }

    fn contribution(
        &mut self,
        catalog: &Catalog,
        registered: &SchemaVersion,
    ) -> Option<Arc<Contribution>> {
        if let Some(known) = self.contributions.get(&registered.id) {
            return known.clone();
        }
        let read = unharmed(|| self.read(catalog, registered)).flatten().map(Arc::new);
        if let Err(reason) = &read {
            let SchemaVersion { subject, version, .. } = registered;
            tracing::warn!(%subject, %version, reason, "a schema is left out of reflection");
        }
        let read = read.ok();
        self.contributions.insert(registered.id, read.clone());
        read
    }

    fn read(
        &mut self,
        catalog: &Catalog,
        registered: &SchemaVersion,
    ) -> Result<Contribution, String> {
        let imports = catalog.imports(&registered.references)?;
        let files = protobuf::files(&registered.definition, &imports)
            .map_err(|invalid| invalid.to_string())?;
        let origins = Origins::new(registered, &imports);
        let mut event = None;
        let mut units = Vec::with_capacity(files.len());
        for it in files {
            let (path, own, is_main) = (it.name.clone(), it.own, it.main);
            let file = self.file(it)?;
            if is_main {
                event = event_of(registered, &file);
            }
            units.push(Unit { name: origins.name(&path, own), path, own, file });
        }
        // A set of files may have the event elsewhere than in its last one.
        let is_subject =
            |unit: &&Unit| unit.own && declares(&unit.file, registered.subject.as_str());
        if registered.definition.message_name.is_empty() && units.iter().any(|it| is_subject(&it)) {
            event = Some(registered.subject.to_string());
        }
        Ok(Contribution { subject: registered.subject.clone(), event, units })
    }

    fn file(&mut self, file: protobuf::File) -> Result<Arc<File>, String> {
        let mut hash = Sha256::new();
        hash.update([file.syntax as u8]);
        hash.update(&file.descriptor);
        let hash: [u8; 32] = hash.finalize().into();
        if let Some(known) = self.files.get(&hash).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let file = File::read(file.descriptor, file.syntax).map_err(|error| error.to_string())?;
        let file = Arc::new(file);
        self.files.insert(hash, Arc::downgrade(&file));
        Ok(file)
    }
}

/// The versions whose files are shown, by subject; pinned ones first.
fn shown(catalog: &Catalog, pins: &[Arc<SchemaVersion>]) -> Vec<Arc<SchemaVersion>> {
    let pinned: BTreeMap<&SubjectName, &Arc<SchemaVersion>> =
        pins.iter().map(|it| (&it.subject, it)).collect();
    let subjects = catalog.subjects_behind(None).filter(|it| !pinned.contains_key(&it.name));
    let newest = subjects.filter(|it| it.format == Format::Protobuf).filter_map(|it| it.newest());
    pinned.values().copied().chain(newest).map(Arc::clone).collect()
}

/// The order in which contributions go in: behind those who have, by the rule, what they bring along. In a circle, which
/// needs versions that refer to older ones of each other, whoever is met first goes in last.
fn in_order(contributions: &[Arc<Contribution>]) -> Vec<usize> {
    let mut owners: HashMap<&str, (u8, usize)> = HashMap::new();
    for (at, contribution) in contributions.iter().enumerate() {
        for unit in &contribution.units {
            for declaration in &unit.file.declarations {
                let name = declaration.name.as_str();
                let rank = match contribution.event.as_deref() {
                    Some(event) if event == name && event == contribution.subject.as_str() => 0,
                    Some(event) if event == name => 1,
                    Some(_) | None if unit.own => 2,
                    Some(_) | None => continue,
                };
                let owner = owners.entry(name).or_insert((rank, at));
                *owner = (*owner).min((rank, at));
            }
        }
    }
    let behind = |at: usize| -> Vec<usize> {
        let units = contributions.get(at).map_or(&[][..], |it| &it.units);
        let names = units.iter().flat_map(|it| &it.file.declarations);
        let owning = names.filter_map(|it| owners.get(it.name.as_str()).map(|(_, owner)| *owner));
        let owning: HashSet<usize> = owning.filter(|owner| *owner != at).collect();
        let mut owning: Vec<usize> = owning.into_iter().collect();
        // The last one is looked at first.
        owning.sort_unstable_by(|one, other| other.cmp(one));
        owning
    };
    let mut order = Vec::with_capacity(contributions.len());
    let mut met = vec![false; contributions.len()];
    for root in 0..contributions.len() {
        let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut next = Some(root);
        loop {
            if let Some(at) = next.take()
                && let Some(met) = met.get_mut(at)
                && !std::mem::replace(met, true)
            {
                open.push((at, behind(at)));
            }
            let Some((at, left)) = open.last_mut() else { break };
            match left.pop() {
                Some(before) => next = Some(before),
                None => {
                    order.push(*at);
                    open.pop();
                }
            }
        }
    }
    order
}

/// Where the files of a definition come from.
struct Origins<'a> {
    registered: &'a SchemaVersion,
    imports: HashMap<&'a str, &'a Import>,
}

impl<'a> Origins<'a> {
    fn new(registered: &'a SchemaVersion, imports: &'a [Import]) -> Self {
        let mut origins = HashMap::new();
        for import in imports {
            origins.insert(import.name.as_str(), import);
        }
        for import in imports {
            for path in import.definition.files.keys() {
                origins.entry(path.as_str()).or_insert(import);
            }
        }
        Self { registered, imports: origins }
    }

    /// What a file is served as: `<subject>/v<version>/<path>`, and the files that everybody knows as everybody knows them.
    fn name(&self, path: &str, own: bool) -> String {
        if protobuf::is_shared(path) || path.starts_with("google/rpc/") {
            return path.to_owned();
        }
        let here = || (self.registered.subject.to_string(), self.registered.version.to_string());
        let (subject, version) = match self.imports.get(path) {
            Some(import) if !own => (import.subject.clone(), import.version.clone()),
            Some(_) | None => here(),
        };
        format!("{}/v{version}/{}", component(&subject), relative(path))
    }
}

/// The name that a file of the program is known under: in the folder of its package, where it was compiled outside of it.
fn with_folder(file: &File) -> String {
    match file.name.contains('/') {
        true => file.name.clone(),
        false => format!("{}/{}", file.package.replace('.', "/"), file.name),
    }
}

/// A name that no file has yet.
fn free(set: &Set, name: &str) -> String {
    if !set.has_file(name) {
        return name.to_owned();
    }
    let others = (2_u64..).map(|count| format!("other/{count}/{name}"));
    others.into_iter().find(|it| !set.has_file(it)).unwrap_or_default()
}

/// Clients write files under these names, so none may lead out of their folder.
fn relative(path: &str) -> String {
    path.split('/').map(component).collect::<Vec<_>>().join("/")
}

fn component(name: &str) -> String {
    if matches!(name, "" | "." | "..") {
        return "_".to_owned();
    }
    let safe = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '+' | '@');
    name.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

/// The full name of the event's message, where the definition's own file declares it.
fn event_of(registered: &SchemaVersion, file: &File) -> Option<String> {
    let Definition { message_name, form, .. } = &registered.definition;
    if !message_name.is_empty() {
        return Some(message_name.clone());
    }
    let mut messages = file.declarations.iter().filter(|it| it.kind == Kind::Message);
    match (messages.next(), messages.next(), form) {
        (Some(only), None, Form::Text(_) | Form::DescriptorSet(_)) => Some(only.name.clone()),
        _ => None,
    }
}

fn declares(file: &File, message: &str) -> bool {
    let names = file.declarations.iter().flat_map(|it| it.names());
    names.into_iter().any(|(name, kind)| kind == Kind::Message && name == message)
}

/// Whether methods of ours are declared there.
fn is_of_the_contract(file: &File) -> bool {
    file.package.starts_with("tidings.")
        && file.declarations.iter().any(|it| it.kind == Kind::Service)
}

/// The files of an encoded `FileDescriptorSet`, as they are encoded.
fn encoded_files(set: &[u8]) -> Result<Vec<Bytes>, String> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Encoded {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        file: Vec<Bytes>,
    }
    <Encoded as prost::Message>::decode(set).map(|it| it.file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
