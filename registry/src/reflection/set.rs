//! A set of files that link together, and of which no two declare the same name.
//!
//! A file is added without the declarations that the set already has, and imports the files that
//! have them. So a type that many subjects contain exists once, and all its users refer to the same
//! type.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use prost_reflect::DescriptorPool;
use sha2::{Digest as _, Sha256};

use super::file::{Declaration, DeclarationIndex, EncodedFile, File, Kind, has_member};

/// The most names, and their longest length, that an unknown name is compared with: a suggestion is
/// worth a few milliseconds.
const COMPARED_MAX: (usize, usize) = (2_000, 100);
/// The longest text about a file that does not link, in characters.
const REASON_CHARS_MAX: usize = 400;

/// A hash of the bytes of a file, and of those of all its imports.
type Identity = [u8; 32];

/// The results of linking files, by identity.
#[derive(Debug, Default)]
pub(super) struct LinkCache {
    faults: HashMap<Identity, Option<Arc<str>>>,
    used: HashSet<Identity>,
}

impl LinkCache {
    /// Removes the results that were not used since the last call.
    pub(super) fn remove_unused(&mut self) {
        let used = std::mem::take(&mut self.used);
        self.faults.retain(|identity, _| used.contains(identity));
    }

    /// Links a file with its imports in a set, and returns the fault. None: it links.
    fn fault(&mut self, set: &FileSet, file: &LinkedFile) -> Option<Arc<str>> {
        self.used.insert(file.identity);
        if let Some(cached) = self.faults.get(&file.identity) {
            return cached.clone();
        }
        let mut pool = DescriptorPool::new();
        let imports = set.closure(&file.imports).into_iter();
        let imports = imports.filter_map(|index| set.files.get(index)).map(Arc::as_ref);
        let mut files = imports.chain([file]);
        let linked = catch_panic(|| {
            let linked =
                files.try_for_each(|file| pool.decode_file_descriptor_proto(file.linked().clone()));
            linked.map_err(|error| error.to_string())
        });
        let fault = linked.flatten().err().map(|error| {
            let reason = format!("it does not link with the other files: {error}");
            tracing::warn!(file = %file.name, reason, "reflection omits a schema");
            shorten(&reason).into()
        });
        self.faults.insert(file.identity, fault.clone());
        fault
    }
}

/// A file of the set.
#[derive(Debug)]
pub(super) struct LinkedFile {
    pub(super) name: Arc<str>,
    /// The descriptor for clients.
    pub(super) served: Bytes,
    linked: Option<Bytes>,
    /// The indexes of the imported files.
    imports: Vec<usize>,
    identity: Identity,
}

impl LinkedFile {
    fn linked(&self) -> &Bytes {
        self.linked.as_ref().unwrap_or(&self.served)
    }
}

/// The files, and an index of their declarations.
#[derive(Debug, Clone, Default)]
pub(super) struct FileSet {
    /// The files, each after its imports.
    files: Vec<Arc<LinkedFile>>,
    by_name: HashMap<Arc<str>, usize>,
    symbols: HashMap<Arc<str>, (Kind, usize)>,
    packages: HashSet<Arc<str>>,
    /// The indexes of files by extended message and number of the extension.
    extensions: HashMap<Arc<str>, BTreeMap<i32, usize>>,
    /// Registered names that are not in the set, with the reason.
    omitted: HashMap<Arc<str>, Arc<str>>,
}

/// The relation of a declaration to the declarations of the set.
enum DeclarationStatus {
    New,
    /// The file with this index declares the same name with the same kind.
    Declared(usize),
    /// Another declaration has one of its names.
    Conflict(String),
}

impl FileSet {
    /// Adds a file under a name, after its imports. Returns the files with its declarations: the
    /// file itself, and files that declared them before.
    pub(super) fn add(
        &mut self,
        file: &File,
        name: &str,
        imports: Vec<usize>,
        links: &mut LinkCache,
    ) -> Vec<usize> {
        let mut others = BTreeSet::new();
        let mut without = BTreeSet::new();
        let mut new = Vec::new();
        let package_conflict = self.package_conflict(&file.package);
        for declaration in &file.declarations {
            let status = package_conflict
                .clone()
                .map_or_else(|| self.status(declaration), DeclarationStatus::Conflict);
            match status {
                DeclarationStatus::New => new.push(declaration),
                DeclarationStatus::Declared(file) => {
                    others.insert(file);
                    without.insert(declaration.index());
                }
                DeclarationStatus::Conflict(reason) => {
                    self.omit(declaration, &reason);
                    without.insert(declaration.index());
                }
            }
        }
        let mut declaring: Vec<usize> = others.iter().copied().collect();
        if new.is_empty() {
            return declaring;
        }
        let imports: Vec<usize> =
            imports.into_iter().chain(others).collect::<BTreeSet<_>>().into_iter().collect();
        match self.link(file, name, imports, &without, links) {
            Ok(linked) => declaring.push(self.insert(file, linked, &new)),
            Err(reason) => new.iter().for_each(|declaration| self.omit(declaration, &reason)),
        }
        declaring
    }

    fn link(
        &self,
        file: &File,
        name: &str,
        imports: Vec<usize>,
        without: &BTreeSet<DeclarationIndex>,
        links: &mut LinkCache,
    ) -> Result<LinkedFile, Arc<str>> {
        let imported = || imports.iter().filter_map(|index| self.files.get(*index));
        let names: Vec<&str> = imported().map(|import| &*import.name).collect();
        let EncodedFile { served, linked } =
            file.encode(name, &names, without).map_err(|error| Arc::from(error.to_string()))?;
        let mut identity = Sha256::new();
        identity.update(linked.as_ref().unwrap_or(&served));
        imported().for_each(|import| identity.update(import.identity));
        let identity = identity.finalize().into();
        let file = LinkedFile { name: name.into(), served, linked, imports, identity };
        match links.fault(self, &file) {
            None => Ok(file),
            Some(reason) => Err(reason),
        }
    }

    fn insert(&mut self, file: &File, linked: LinkedFile, declarations: &[&Declaration]) -> usize {
        let index = self.files.len();
        for declaration in declarations {
            for (name, kind) in declaration.names() {
                self.omitted.remove(name);
                self.symbols.insert(name.into(), (kind, index));
            }
            for (extended, number) in &declaration.extensions {
                let extensions = self.extensions.entry(extended.as_str().into()).or_default();
                extensions.insert(*number, index);
            }
        }
        self.packages.extend(scopes(&file.package).map(Arc::from));
        self.by_name.insert(Arc::clone(&linked.name), index);
        self.files.push(Arc::new(linked));
        index
    }

    fn package_conflict(&self, package: &str) -> Option<String> {
        let (scope, file) =
            scopes(package).find_map(|scope| Some((scope, self.symbols.get(scope)?.1)))?;
        Some(format!(
            "its package is in {scope}, which {} declares as another kind",
            self.file_name(file)
        ))
    }

    fn status(&self, declaration: &Declaration) -> DeclarationStatus {
        if let Some((kind, file)) = self.symbols.get(declaration.name.as_str())
            && *kind == declaration.kind
        {
            return DeclarationStatus::Declared(*file);
        }
        for (name, _) in declaration.names() {
            if let Some((_, file)) = self.symbols.get(name) {
                return DeclarationStatus::Conflict(format!(
                    "{} also declares {name}; rename one of the two",
                    self.file_name(*file)
                ));
            }
            if self.packages.contains(name) {
                return DeclarationStatus::Conflict(format!(
                    "{name} is a package of another schema; rename one of the two"
                ));
            }
        }
        let conflict = declaration.extensions.iter().find_map(|(extended, number)| {
            Some((extended, number, self.extensions.get(extended.as_str())?.get(number)?))
        });
        match conflict {
            Some((extended, number, file)) => DeclarationStatus::Conflict(format!(
                "{} also declares the extension {number} of {extended}; use another number",
                self.file_name(*file)
            )),
            None => DeclarationStatus::New,
        }
    }

    fn omit(&mut self, declaration: &Declaration, reason: &str) {
        for (name, _) in declaration.names() {
            if !self.symbols.contains_key(name) {
                self.omitted.entry(name.into()).or_insert_with(|| reason.into());
            }
        }
    }

    /// Records why a registered name is not in the set.
    pub(super) fn omit_name(&mut self, name: &str, reason: &str) {
        if !self.symbols.contains_key(name) {
            self.omitted.insert(name.into(), shorten(reason).into());
        }
    }

    fn file_name(&self, index: usize) -> &str {
        self.files.get(index).map_or("another schema", |file| &file.name)
    }

    /// Returns the given files and all their direct and indirect imports, each after its imports.
    fn closure(&self, files: &[usize]) -> BTreeSet<usize> {
        let mut closure = BTreeSet::new();
        let mut pending = files.to_vec();
        while let Some(index) = pending.pop() {
            if closure.insert(index)
                && let Some(file) = self.files.get(index)
            {
                pending.extend(&file.imports);
            }
        }
        closure
    }

    /// Returns whether a file has this name.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Returns the file of a name, then all its imports, the nearest first.
    pub(super) fn file(&self, name: &str) -> Option<Vec<&LinkedFile>> {
        self.by_name.get(name).map(|index| self.with_imports(*index))
    }

    /// Returns the file that declares a full name, then all its imports, the nearest first.
    pub(super) fn declaring(&self, name: &str) -> Option<Vec<&LinkedFile>> {
        if let Some((_, index)) = self.symbols.get(name) {
            return Some(self.with_imports(*index));
        }
        let (owner, member) = name.rsplit_once('.')?;
        let (kind, index) = self.symbols.get(owner)?;
        let has_members = matches!(kind, Kind::Message | Kind::Service);
        let declares = has_members && has_member(&self.files.get(*index)?.served, owner, member);
        declares.then(|| self.with_imports(*index))
    }

    /// Returns the file that declares an extension, then all its imports, the nearest first.
    pub(super) fn extending(&self, extended: &str, number: i32) -> Option<Vec<&LinkedFile>> {
        let index = self.extensions.get(extended)?.get(&number)?;
        Some(self.with_imports(*index))
    }

    /// Returns the numbers of all extensions of a message. None: there is no message of this name.
    pub(super) fn extension_numbers(&self, extended: &str) -> Option<Vec<i32>> {
        let (Kind::Message, _) = self.symbols.get(extended)? else { return None };
        let numbers = self.extensions.get(extended);
        Some(numbers.map(|numbers| numbers.keys().copied().collect()).unwrap_or_default())
    }

    fn with_imports(&self, index: usize) -> Vec<&LinkedFile> {
        let mut seen = HashSet::from([index]);
        let mut order = vec![index];
        let mut next = 0;
        while let Some(file) = order.get(next).and_then(|index| self.files.get(*index)) {
            next += 1;
            order.extend(file.imports.iter().filter(|import| seen.insert(**import)));
        }
        order.into_iter().filter_map(|index| self.files.get(index)).map(Arc::as_ref).collect()
    }

    /// Returns why a registered name is not in the set.
    pub(super) fn omission_reason(&self, name: &str) -> Option<&str> {
        self.omitted.get(name).map(AsRef::as_ref)
    }

    /// Returns the most similar name of a message, enum or service, if any name is similar enough.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        let is_comparable =
            |known: &str| known.len() <= COMPARED_MAX.1 && known.len().abs_diff(name.len()) <= 3;
        let candidates = self.symbols.iter().filter(|(known, (kind, _))| {
            matches!(kind, Kind::Message | Kind::Enum | Kind::Service) && is_comparable(known)
        });
        let compared = candidates.take(COMPARED_MAX.0).map(|(known, _)| {
            let known = known.as_ref();
            (strsim::damerau_levenshtein(known, name), known)
        });
        compared.min().filter(|(distance, _)| *distance <= 3).map(|(_, known)| known)
    }

    /// Returns the descriptors for the linker, each after its imports.
    #[cfg(test)]
    pub(super) fn linked(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files.iter().map(|file| (&*file.name, file.linked()))
    }
}

/// Runs work on one schema, and converts a panic into an error, so that other schemas are not
/// affected.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.map_err(|_| "an internal error; the log has the details".to_owned())
}

/// Returns `a.b.c`, `a.b` and `a` for the package `a.b.c`.
fn scopes(package: &str) -> impl Iterator<Item = &str> {
    let begin = (!package.is_empty()).then_some(package);
    std::iter::successors(begin, |scope| scope.rsplit_once('.').map(|(parent, _)| parent))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
