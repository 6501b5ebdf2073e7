//! Files of which no two declare the same name, and which link together.
//!
//! A file that declares what is there already goes in without that, and imports who has it. So a type that many subjects
//! brought along is there once, and everybody who uses it uses the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use prost_reflect::DescriptorPool;
use sha2::{Digest as _, Sha256};

use super::file::{Declaration, DeclarationIndex, File, Kind, Written, has_member};

/// Names that a name which is not there is compared with, at most, and how long those may be: a slip is worth a few
/// milliseconds.
const COMPARED_MAX: (usize, usize) = (2_000, 100);
/// Longest text about a file that does not link, in characters.
const REASON_CHARS_MAX: usize = 400;

/// What makes a file the same: its bytes, and those of everything that it imports.
type Identity = [u8; 32];

/// What was linked already, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Links {
    known: HashMap<Identity, Option<Arc<str>>>,
    used: HashSet<Identity>,
}

impl Links {
    /// Forgets what was not asked for since the last time.
    pub(super) fn forget(&mut self) {
        let used = std::mem::take(&mut self.used);
        self.known.retain(|identity, _| used.contains(identity));
    }

    /// Why a file does not link behind those of a set. None: it does.
    fn fault(&mut self, set: &Set, file: &Placed) -> Option<Arc<str>> {
        self.used.insert(file.identity);
        if let Some(known) = self.known.get(&file.identity) {
            return known.clone();
        }
        let mut pool = DescriptorPool::new();
        let imports = set.closure(&file.imports).into_iter().filter_map(|at| set.files.get(at));
        let mut files = imports.map(Arc::as_ref).chain([file]);
        let linked = unharmed(|| {
            let linked =
                files.try_for_each(|it| pool.decode_file_descriptor_proto(it.linked().clone()));
            linked.map_err(|error| error.to_string())
        });
        let fault = linked.flatten().err().map(|error| {
            let reason = format!("it does not link with the others: {error}");
            tracing::warn!(file = %file.name, reason, "a schema is left out of reflection");
            shorten(&reason).into()
        });
        self.known.insert(file.identity, fault.clone());
        fault
    }
}

/// A file in its place.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) name: Arc<str>,
    /// Its descriptor, for those who ask.
    pub(super) served: Bytes,
    linked: Option<Bytes>,
    /// The files that it imports.
    imports: Vec<usize>,
    identity: Identity,
}

impl Placed {
    fn linked(&self) -> &Bytes {
        self.linked.as_ref().unwrap_or(&self.served)
    }
}

/// The files, and who declares what.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    /// Each behind those that it imports.
    files: Vec<Arc<Placed>>,
    by_name: HashMap<Arc<str>, usize>,
    symbols: HashMap<Arc<str>, (Kind, usize)>,
    packages: HashSet<Arc<str>>,
    /// By what is extended, and by number.
    extensions: HashMap<Arc<str>, BTreeMap<i32, usize>>,
    /// Names that somebody registered and that are not there, with the reason.
    left_out: HashMap<Arc<str>, Arc<str>>,
}

/// How a declaration stands to what is there.
enum Standing {
    New,
    /// Somebody declares the same name as the same thing.
    There(usize),
    /// Something else has a name of it.
    Taken(String),
}

impl Set {
    /// Puts a file in under a name, behind the files that it imports. Returns the files that have what it declares: itself,
    /// or who was there first.
    pub(super) fn admit(
        &mut self,
        file: &File,
        name: &str,
        imports: Vec<usize>,
        links: &mut Links,
    ) -> Vec<usize> {
        let mut others = BTreeSet::new();
        let mut without = BTreeSet::new();
        let mut new = Vec::new();
        let package = self.package_taken(&file.package);
        for declaration in &file.declarations {
            match package.clone().map_or_else(|| self.standing(declaration), Standing::Taken) {
                Standing::New => new.push(declaration),
                Standing::There(by) => {
                    others.insert(by);
                    without.insert(declaration.place());
                }
                Standing::Taken(reason) => {
                    self.leave_out(declaration, &reason);
                    without.insert(declaration.place());
                }
            }
        }
        let mut found: Vec<usize> = others.iter().copied().collect();
        if new.is_empty() {
            return found;
        }
        let imports: Vec<usize> =
            imports.into_iter().chain(others).collect::<BTreeSet<_>>().into_iter().collect();
        match self.place(file, name, imports, &without, links) {
            Ok(placed) => found.push(self.claim(file, placed, &new)),
            Err(reason) => new.iter().for_each(|it| self.leave_out(it, &reason)),
        }
        found
    }

    fn place(
        &self,
        file: &File,
        name: &str,
        imports: Vec<usize>,
        without: &BTreeSet<DeclarationIndex>,
        links: &mut Links,
    ) -> Result<Placed, Arc<str>> {
        let imported = || imports.iter().filter_map(|at| self.files.get(*at));
        let names: Vec<&str> = imported().map(|it| &*it.name).collect();
        let Written { served, linked } =
            file.written(name, &names, without).map_err(|error| Arc::from(error.to_string()))?;
        let mut identity = Sha256::new();
        identity.update(linked.as_ref().unwrap_or(&served));
        imported().for_each(|it| identity.update(it.identity));
        let identity = identity.finalize().into();
        let placed = Placed { name: name.into(), served, linked, imports, identity };
        match links.fault(self, &placed) {
            None => Ok(placed),
            Some(reason) => Err(reason),
        }
    }

    fn claim(&mut self, file: &File, placed: Placed, declarations: &[&Declaration]) -> usize {
        let at = self.files.len();
        for declaration in declarations {
            for (name, kind) in declaration.names() {
                self.left_out.remove(name);
                self.symbols.insert(name.into(), (kind, at));
            }
            for (extended, number) in &declaration.extensions {
                self.extensions.entry(extended.as_str().into()).or_default().insert(*number, at);
            }
        }
        self.packages.extend(scopes(&file.package).map(Arc::from));
        self.by_name.insert(Arc::clone(&placed.name), at);
        self.files.push(Arc::new(placed));
        at
    }

    fn package_taken(&self, package: &str) -> Option<String> {
        let (scope, by) = scopes(package).find_map(|it| Some((it, self.symbols.get(it)?.1)))?;
        Some(format!(
            "its package is in {scope}, which {} declares as something else",
            self.called(by)
        ))
    }

    fn standing(&self, declaration: &Declaration) -> Standing {
        if let Some((kind, by)) = self.symbols.get(declaration.name.as_str())
            && *kind == declaration.kind
        {
            return Standing::There(*by);
        }
        for (name, _) in declaration.names() {
            if let Some((_, by)) = self.symbols.get(name) {
                return Standing::Taken(format!(
                    "{} declares {name}, too; rename one of the two",
                    self.called(*by)
                ));
            }
            if self.packages.contains(name) {
                return Standing::Taken(format!(
                    "{name} is a package of another schema; rename one of the two"
                ));
            }
        }
        let taken = declaration.extensions.iter().find_map(|(extended, number)| {
            Some((extended, number, self.extensions.get(extended.as_str())?.get(number)?))
        });
        match taken {
            Some((extended, number, by)) => Standing::Taken(format!(
                "{} has the extension {number} of {extended}, too; take another number",
                self.called(*by)
            )),
            None => Standing::New,
        }
    }

    fn leave_out(&mut self, declaration: &Declaration, reason: &str) {
        for (name, _) in declaration.names() {
            if !self.symbols.contains_key(name) {
                self.left_out.entry(name.into()).or_insert_with(|| reason.into());
            }
        }
    }

    /// Remembers why a name that somebody registered is not there.
    pub(super) fn missing(&mut self, name: &str, reason: &str) {
        if !self.symbols.contains_key(name) {
            self.left_out.insert(name.into(), shorten(reason).into());
        }
    }

    fn called(&self, at: usize) -> &str {
        self.files.get(at).map_or("another schema", |it| &it.name)
    }

    /// All files that some import, themselves included, each behind those that it imports.
    fn closure(&self, files: &[usize]) -> BTreeSet<usize> {
        let mut closure = BTreeSet::new();
        let mut open = files.to_vec();
        while let Some(at) = open.pop() {
            if closure.insert(at)
                && let Some(file) = self.files.get(at)
            {
                open.extend(&file.imports);
            }
        }
        closure
    }

    /// Whether a file has this name.
    pub(super) fn has_file(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The file of a name, and behind it all that it imports, the nearest first.
    pub(super) fn file(&self, name: &str) -> Option<Vec<&Placed>> {
        self.by_name.get(name).map(|at| self.with_imports(*at))
    }

    /// The file that declares a full name, and behind it all that it imports, the nearest first.
    pub(super) fn declaring(&self, name: &str) -> Option<Vec<&Placed>> {
        if let Some((_, at)) = self.symbols.get(name) {
            return Some(self.with_imports(*at));
        }
        let (owner, member) = name.rsplit_once('.')?;
        let (kind, at) = self.symbols.get(owner)?;
        let has_members = matches!(kind, Kind::Message | Kind::Service);
        let is_there = has_members && has_member(&self.files.get(*at)?.served, owner, member);
        is_there.then(|| self.with_imports(*at))
    }

    /// The file that declares an extension, and behind it all that it imports, the nearest first.
    pub(super) fn extending(&self, extended: &str, number: i32) -> Option<Vec<&Placed>> {
        let at = self.extensions.get(extended)?.get(&number)?;
        Some(self.with_imports(*at))
    }

    /// The numbers of all extensions of a message. None: there is no message of this name.
    pub(super) fn extension_numbers(&self, extended: &str) -> Option<Vec<i32>> {
        let (Kind::Message, _) = self.symbols.get(extended)? else { return None };
        let numbers = self.extensions.get(extended);
        Some(numbers.map(|it| it.keys().copied().collect()).unwrap_or_default())
    }

    fn with_imports(&self, at: usize) -> Vec<&Placed> {
        let mut seen = HashSet::from([at]);
        let mut order = vec![at];
        let mut next = 0;
        while let Some(file) = order.get(next).and_then(|at| self.files.get(*at)) {
            next += 1;
            order.extend(file.imports.iter().filter(|it| seen.insert(**it)));
        }
        order.into_iter().filter_map(|at| self.files.get(at)).map(Arc::as_ref).collect()
    }

    /// Why a name that somebody registered is not there.
    pub(super) fn why_left_out(&self, name: &str) -> Option<&str> {
        self.left_out.get(name).map(AsRef::as_ref)
    }

    /// The message, enum or service with the most similar name, if one is similar at all.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        let is_comparable =
            |it: &str| it.len() <= COMPARED_MAX.1 && it.len().abs_diff(name.len()) <= 3;
        let candidates = self.symbols.iter().filter(|(known, (kind, _))| {
            matches!(kind, Kind::Message | Kind::Enum | Kind::Service) && is_comparable(known)
        });
        let compared = candidates.take(COMPARED_MAX.0).map(|(known, _)| {
            let known = known.as_ref();
            (strsim::damerau_levenshtein(known, name), known)
        });
        compared.min().filter(|(distance, _)| *distance <= 3).map(|(_, known)| known)
    }

    /// The descriptors as the linker reads them, each behind those that it imports.
    #[cfg(test)]
    pub(super) fn linked(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files.iter().map(|it| (&*it.name, it.linked()))
    }
}

/// Does something to one schema: where that ends in a panic, the others go on.
pub(super) fn unharmed<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.map_err(|_| "a bug of ours, which the log tells of".to_owned())
}

/// `a.b.c`, `a.b` and `a`.
fn scopes(package: &str) -> impl Iterator<Item = &str> {
    let begin = (!package.is_empty()).then_some(package);
    std::iter::successors(begin, |it| it.rsplit_once('.').map(|(before, _)| before))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
