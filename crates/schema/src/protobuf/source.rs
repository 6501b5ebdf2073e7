//! The files of a definition and of what it imports, parsed, in the order in which they link. Nothing is read from the
//! disk: what is not in the definition, its imports or the well-known files is not there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use miette::Diagnostic;
use prost::Message;
use prost_reflect::{DynamicMessage, Value};
use prost_types::{FileDescriptorProto, SourceCodeInfo};

use crate::definition::{
    DEFINITION_BYTES_MAX, Definition, Fault, Form, Import, InvalidSchema, SourceLocation,
};

use super::{
    amendments::{self, JsonNames},
    descriptor_set, editions,
    features::Edition,
    limits::{self, FILES_MAX},
    places::Places,
    rewritten::{Rewritten, Visibility},
    well_known,
};

/// The name that a definition's own text is linked under.
pub(super) const MAIN: &str = "schema.proto";

/// Faults that are reported, at most.
pub(super) const FAULTS_MAX: usize = 50;

/// A file that was parsed.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) edition: Edition,
    /// As it is linked: proto2 or proto3, importing directly what it can see.
    pub(super) encoded: Bytes,
    /// What was written, for the places of faults. None: it came as a descriptor.
    pub(super) text: Option<Text>,
    /// It came with the definition itself.
    pub(super) own: bool,
    /// The files that it can see.
    pub(super) imports: Vec<String>,
    /// Those of them that it sees through `import option` alone, where their types are out of
    /// reach.
    pub(super) option_imports: BTreeSet<String>,
    /// Who may use its types, where it says so. By path.
    pub(super) visibility: HashMap<Vec<i32>, Visibility>,
    /// Names in JSON that several fields of a message have: the linker gets others.
    pub(super) json_names: JsonNames,
    /// It is proto3, and the linker reads it as proto2.
    pub(super) disguised: bool,
}

/// The text of a file.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) written: String,
    pub(super) rewritten: Rewritten,
    pub(super) info: SourceCodeInfo,
}

/// All files of a definition.
#[derive(Debug)]
pub(super) struct Sources {
    /// Each before those that import it.
    pub(super) files: Vec<Source>,
    /// The file whose messages the definition is about.
    pub(super) main: String,
    pub(super) places: Places,
    /// What only a new definition is refused for, as far as its texts alone show it.
    pub(super) draft_faults: Vec<Fault>,
}

/// What stands under a name, before it is parsed.
enum Origin<'a> {
    Text(&'a str),
    Descriptor(DynamicMessage),
}

struct Loader<'a> {
    origins: BTreeMap<String, (Origin<'a>, bool)>,
    main: String,
    places: Places,
    faults: Vec<Fault>,
    draft_faults: Vec<Fault>,
    own_definitions: usize,
    definitions: usize,
}

/// A file with what is still needed of it to link the files that import it.
struct Parsed {
    source: Source,
    /// The files that importing this one makes visible besides.
    public: Vec<usize>,
}

impl Sources {
    /// Parses a definition and everything that it imports.
    pub(super) fn load(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        let bytes = definition.bytes();
        if bytes > DEFINITION_BYTES_MAX {
            return Err(InvalidSchema::new(format!(
                "the definition has {bytes} bytes; {DEFINITION_BYTES_MAX} are the most"
            )));
        }
        let mut loader = Loader {
            origins: BTreeMap::new(),
            main: MAIN.to_owned(),
            places: Places::default(),
            faults: Vec::new(),
            draft_faults: Vec::new(),
            own_definitions: 0,
            definitions: 0,
        };
        let roots = loader.gather(definition, imports)?;
        loader.places = Places::new(&loader.main);
        loader.load(roots)
    }
}

impl<'a> Loader<'a> {
    /// Puts every supplied file under its name. Returns the names to begin with.
    fn gather(
        &mut self,
        definition: &'a Definition,
        imports: &'a [Import],
    ) -> Result<Vec<String>, InvalidSchema> {
        let mut roots = Vec::new();
        if definition.files.len() > FILES_MAX {
            return Err(InvalidSchema::new(format!(
                "{} files; {FILES_MAX} are the most",
                definition.files.len()
            )));
        }
        for (path, text) in &definition.files {
            if !climbs(path) {
                self.origins.insert(path.clone(), (Origin::Text(text), true));
                continue;
            }
            let place = SourceLocation { file: path.clone(), ..SourceLocation::default() };
            self.fault(place, format!("the path {path:?} of a file is absolute, empty or climbs out; name it as an import does"));
        }
        match &definition.form {
            Form::Text(text) => {
                while self.origins.contains_key(&self.main)
                    || imports.iter().any(|import| import.name == self.main)
                {
                    self.main.insert(0, '_');
                }
                self.origins.insert(self.main.clone(), (Origin::Text(text), true));
                roots.push(self.main.clone());
            }
            Form::DescriptorSet(bytes) => {
                let files = descriptor_set::files(bytes)?;
                roots.extend(files.iter().map(|(name, _)| name.clone()));
                for (name, file) in files {
                    self.main.clone_from(&name);
                    self.origins.insert(name, (Origin::Descriptor(file), true));
                }
            }
        }
        for import in imports {
            self.gather_import(import);
        }
        Ok(roots)
    }

    fn gather_import(&mut self, import: &'a Import) {
        let mut add = |name: &str, origin| {
            self.origins.entry(name.to_owned()).or_insert((origin, false));
        };
        match &import.definition.form {
            Form::Text(text) => add(&import.name, Origin::Text(text)),
            Form::DescriptorSet(bytes) => match descriptor_set::files(bytes) {
                Ok(files) => {
                    let named = files.iter().any(|(name, _)| *name == import.name);
                    let last = files.len().saturating_sub(1);
                    for (at, (name, mut file)) in files.into_iter().enumerate() {
                        // The last file of a set is what the set was made of.
                        if at == last && !named {
                            editions::set_value(
                                &mut file,
                                "name",
                                Value::String(import.name.clone()),
                            );
                            add(&import.name, Origin::Descriptor(file));
                        } else {
                            add(&name, Origin::Descriptor(file));
                        }
                    }
                }
                Err(invalid) => {
                    for mut fault in invalid.faults {
                        fault.place.file.clone_from(&import.name);
                        self.faults.push(fault);
                    }
                }
            },
        }
        for (path, text) in &import.definition.files {
            self.origins.entry(path.clone()).or_insert((Origin::Text(text), false));
        }
    }

    /// Parses files from the roots down, without recursion: a chain of imports may be as long as there are files.
    fn load(mut self, roots: Vec<String>) -> Result<Sources, InvalidSchema> {
        let mut files: Vec<Parsed> = Vec::new();
        let mut finished: HashMap<String, usize> = HashMap::new();
        let mut failed: HashSet<String> = HashSet::new();
        // Files whose imports are being loaded, each with the imports that are left.
        let mut open: Vec<(FileDescriptorProto, Source, usize)> = Vec::new();
        for root in roots {
            if finished.contains_key(&root) || failed.contains(&root) {
                continue;
            }
            self.enter(&root, SourceLocation::default(), &mut open, &mut failed);
            while let Some((proto, source, next)) = open.last_mut() {
                let Some(import) = proto.dependency.get(*next).cloned() else {
                    let Some((proto, source, _)) = open.pop() else { break };
                    let name = source.name.clone();
                    if let Some(parsed) = self.leave(proto, source, &files, &finished) {
                        finished.insert(name, files.len());
                        files.push(parsed);
                    } else {
                        failed.insert(name);
                    }
                    continue;
                };
                let place = import_place(source, *next, &self.main);
                *next += 1;
                if finished.contains_key(&import) || failed.contains(&import) {
                    continue;
                }
                if open.iter().any(|(_, source, _)| source.name == import) {
                    let cycle: Vec<_> =
                        open.iter().map(|(_, source, _)| source.name.as_str()).collect();
                    let message = format!(
                        "files import each other in a circle: {} -> {import}",
                        cycle.join(" -> ")
                    );
                    self.fault(place, message);
                    failed.insert(import);
                    continue;
                }
                if open.len() + files.len() >= FILES_MAX {
                    self.fault(place, format!("more than {FILES_MAX} files"));
                    break;
                }
                self.enter(&import, place, &mut open, &mut failed);
            }
            open.clear();
        }
        if self.faults.is_empty() && self.own_definitions > limits::DEFINITIONS_MAX {
            let message = format!(
                "{} messages, fields, enums and values; {} are the most, so split the schema over subjects",
                self.own_definitions,
                limits::DEFINITIONS_MAX
            );
            self.fault(SourceLocation::default(), message);
        }
        if self.faults.is_empty() && self.definitions > limits::LINKED_DEFINITIONS_MAX {
            let message = format!(
                "{} messages, fields, enums and values with all imports; {} are the most",
                self.definitions,
                limits::LINKED_DEFINITIONS_MAX
            );
            self.fault(SourceLocation::default(), message);
        }
        if !self.faults.is_empty() {
            return Err(InvalidSchema { faults: self.faults });
        }
        let files = files.into_iter().map(|it| it.source).collect();
        Ok(Sources { files, main: self.main, places: self.places, draft_faults: self.draft_faults })
    }

    /// Parses one file and opens it, or says what is wrong with it.
    fn enter(
        &mut self,
        name: &str,
        imported: SourceLocation,
        open: &mut Vec<(FileDescriptorProto, Source, usize)>,
        failed: &mut HashSet<String>,
    ) {
        match self.parse(name, imported) {
            Some((proto, source)) => open.push((proto, source, 0)),
            None => {
                failed.insert(name.to_owned());
            }
        }
    }

    fn parse(
        &mut self,
        name: &str,
        imported: SourceLocation,
    ) -> Option<(FileDescriptorProto, Source)> {
        if let Some((proto, encoded)) = well_known::standard(name) {
            let edition = match proto.syntax() {
                "proto3" => Edition::Proto3,
                _ => Edition::Proto2,
            };
            return Some((proto, Source::new(name, edition, encoded, false)));
        }
        match self.origins.get(name) {
            Some((Origin::Text(text), own)) => {
                let (text, own) = (*text, *own);
                self.parse_text(name, text, own)
            }
            Some((Origin::Descriptor(file), own)) => {
                let (file, own) = (file.clone(), *own);
                match descriptor_set::read(name, file) {
                    Ok(file) => {
                        self.count(&file.proto, own, SourceLocation::default())?;
                        let mut source = Source::new(name, file.edition, file.encoded, own);
                        source.visibility = file.visibility;
                        source.keep_apart(&file.proto);
                        Some((file.proto, source))
                    }
                    Err(message) => {
                        self.fault(
                            SourceLocation { file: name.to_owned(), ..SourceLocation::default() },
                            message,
                        );
                        None
                    }
                }
            }
            None => match well_known::common(name) {
                Some(text) => self.parse_text(name, text, false),
                None => {
                    let message = self.not_there(name);
                    self.fault(imported, message);
                    None
                }
            },
        }
    }

    fn parse_text(
        &mut self,
        name: &str,
        text: &str,
        own: bool,
    ) -> Option<(FileDescriptorProto, Source)> {
        // Editors of some systems begin a text with a mark that protoc skips, too.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = if name == self.main { String::new() } else { name.to_owned() };
        let placed = |place: SourceLocation| SourceLocation { file: file.clone(), ..place };
        if let Err(too_large) = limits::scan(text) {
            self.fault(placed(too_large.place), too_large.message);
            return None;
        }
        let named = editions::named_by(text);
        let modern = named.and_then(|(_, edition)| editions::edition(edition));
        if let Some((at, edition)) = named.filter(|_| modern.is_none()) {
            let place = placed(SourceLocation::of_byte(text, at));
            self.fault(place, format!("the edition {edition:?} is not known; 2023 and 2024 are"));
            return None;
        }
        let rewritten = Rewritten::of(text, modern);
        let parsed = rewritten.text.as_str();
        let mut proto: FileDescriptorProto = match protox::file::File::from_source(name, parsed) {
            Ok(file) => file.into(),
            Err(error) => {
                let place =
                    |at: usize| placed(SourceLocation::of_byte(text, rewritten.original(at)));
                for (at, message) in diagnostics(&error) {
                    let at = at.unwrap_or(parsed.len());
                    self.fault(place(at), message);
                }
                return None;
            }
        };
        let info = proto.source_code_info.take().unwrap_or_default();
        if own {
            self.places.take(&proto, &info, text, |line, column| rewritten.shift(line, column));
            for (at, message) in &rewritten.faults {
                let place = placed(SourceLocation::of_byte(text, *at));
                self.draft_fault(place, message.clone());
            }
        }
        self.count(&proto, own, placed(SourceLocation::of_byte(text, 0)))?;
        amendments::amend(&mut proto, &rewritten);
        let edition = match (modern, proto.syntax()) {
            (Some(edition), _) => edition,
            (None, "proto3") => Edition::Proto3,
            (None, _) => Edition::Proto2,
        };
        let mut source = Source::new(name, edition, proto.encode_to_vec().into(), own);
        source.visibility = declared_visibility(&rewritten, &info);
        source.text = Some(Text { written: text.to_owned(), rewritten, info });
        source.keep_apart(&proto);
        Some((proto, source))
    }

    fn count(
        &mut self,
        proto: &FileDescriptorProto,
        own: bool,
        place: SourceLocation,
    ) -> Option<()> {
        match limits::count(proto) {
            Ok(count) => {
                self.definitions += count;
                self.own_definitions += if own { count } else { 0 };
                Some(())
            }
            Err(message) => {
                self.fault(place, message);
                None
            }
        }
    }

    /// Finishes a file whose imports are loaded. The linker looks one public import far, and looks at two that share
    /// one twice; so a file imports directly what it can see.
    fn leave(
        &mut self,
        proto: FileDescriptorProto,
        mut source: Source,
        files: &[Parsed],
        finished: &HashMap<String, usize>,
    ) -> Option<Parsed> {
        if source.own {
            self.check_imports(&proto, &source);
        }
        let index = |name: &String| finished.get(name).copied();
        if proto.dependency.iter().any(|it| index(it).is_none()) {
            return None;
        }
        let direct: BTreeSet<usize> = proto.dependency.iter().filter_map(index).collect();
        let through = |at: usize| files.get(at).map_or(&[][..], |it| it.public.as_slice());
        let seen = |direct: &BTreeSet<usize>| -> BTreeSet<usize> {
            direct.iter().flat_map(|at| through(*at).iter().copied().chain([*at])).collect()
        };
        let visible = seen(&direct);
        let name = |at: &usize| files.get(*at).map(|it| it.source.name.clone());
        source.imports = visible.iter().filter_map(name).collect();
        if let Some(text) = &source.text
            && !text.rewritten.option_imports.is_empty()
        {
            let for_options = &text.rewritten.option_imports;
            let others = proto.dependency.iter().filter(|it| !for_options.contains(it));
            let others = seen(&others.filter_map(index).collect());
            source.option_imports = visible.difference(&others).filter_map(name).collect();
        }
        let public = proto
            .public_dependency
            .iter()
            .filter_map(|at| index(proto.dependency.get(usize::try_from(*at).ok()?)?));
        let public: BTreeSet<usize> =
            public.flat_map(|at| through(at).iter().copied().chain([at])).collect();
        if visible.len() > direct.len() || !proto.public_dependency.is_empty() {
            source.encoded = descriptor_set::importing(&source.encoded, &source.imports)?;
            if let Some(text) = &mut source.text {
                // Imports have other indices now, and are linked already.
                text.info.location.retain(|it| it.path.first() != Some(&3));
            }
        }
        Some(Parsed { source, public: public.into_iter().collect() })
    }

    fn not_there(&self, name: &str) -> String {
        // The distance costs the product of the lengths, and a fault that nobody reads needs none.
        let cheap = |name: &str| name.len() <= 200 && self.faults.len() < FAULTS_MAX;
        let nearest = self
            .origins
            .keys()
            .filter(|known| **known != self.main && cheap(known) && cheap(name))
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .min()
            .filter(|(distance, _)| *distance <= 3);
        match nearest {
            Some((_, known)) => {
                format!("the import {name:?} is not there; did you mean {known:?}?")
            }
            None => format!(
                "the import {name:?} is not there; supply it with the definition's files, or refer to the subject that \
                 registers it"
            ),
        }
    }

    fn check_imports(&mut self, proto: &FileDescriptorProto, source: &Source) {
        let mut seen = HashSet::with_capacity(proto.dependency.len());
        for (at, import) in proto.dependency.iter().enumerate() {
            if !seen.insert(import) {
                let message =
                    format!("the import {import:?} is listed twice; leave one of the two out");
                self.draft_fault(import_place(source, at, &self.main), message);
            }
        }
    }

    fn draft_fault(&mut self, place: SourceLocation, message: String) {
        if self.draft_faults.len() < FAULTS_MAX {
            self.draft_faults.push(Fault { place, message });
        }
    }

    fn fault(&mut self, place: SourceLocation, message: String) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        self.faults.push(Fault { place, message });
    }
}

impl Source {
    fn new(name: &str, edition: Edition, encoded: Bytes, own: bool) -> Self {
        Self {
            name: name.to_owned(),
            edition,
            encoded,
            text: None,
            own,
            imports: Vec::new(),
            option_imports: BTreeSet::new(),
            visibility: HashMap::new(),
            json_names: JsonNames::new(),
            disguised: false,
        }
    }

    /// Gives the linker what it takes where names of fields meet: it refuses more than protoc does.
    fn keep_apart(&mut self, proto: &FileDescriptorProto) {
        let shared = amendments::shared_json_names(proto);
        self.disguised = self.edition == Edition::Proto3 && amendments::differ_in_case_alone(proto);
        if shared.is_empty() && !self.disguised {
            return;
        }
        let Some(meta) = well_known::meta_message("google.protobuf.FileDescriptorProto") else {
            return;
        };
        let Ok(mut file) = DynamicMessage::decode(meta, self.encoded.clone()) else { return };
        for (path, names) in shared {
            if let Some(field) = descriptor_set::at_mut(&mut file, &path) {
                editions::set_value(field, "json_name", Value::String(names.own));
                self.json_names.insert(path, names.written);
            }
        }
        if self.disguised {
            editions::set_value(&mut file, "syntax", Value::String("proto2".to_owned()));
        }
        self.encoded = file.encode_to_vec().into();
    }
}

/// Who may use the types of a text, by path.
fn declared_visibility(
    rewritten: &Rewritten,
    info: &SourceCodeInfo,
) -> HashMap<Vec<i32>, Visibility> {
    if rewritten.visibility.is_empty() {
        return HashMap::new();
    }
    let start = |span: &[i32]| {
        let [line, column, ..] = span else { return None };
        Some((usize::try_from(*line).ok()?, usize::try_from(*column).ok()?))
    };
    let declarations =
        info.location.iter().filter(|it| !it.path.is_empty() && it.path.len() % 2 == 0);
    let at: HashMap<(usize, usize), &Vec<i32>> =
        declarations.filter_map(|it| Some((start(&it.span)?, &it.path))).collect();
    let declared = rewritten.visibility.iter().filter_map(|(offset, visibility)| {
        Some((at.get(&rewritten.position(*offset))?.to_vec(), *visibility))
    });
    declared.collect()
}

/// What a parser or a linker says, with the byte where it says so.
pub(super) fn diagnostics(error: &dyn Diagnostic) -> Vec<(Option<usize>, String)> {
    let related = error.related().into_iter().flatten();
    std::iter::once(error)
        .chain(related)
        .take(FAULTS_MAX)
        .map(|it| {
            let at = it.labels().into_iter().flatten().map(|label| label.offset()).next();
            let mut message = it.to_string();
            if let Some(help) = it.help() {
                message = format!("{message} ({help})");
            }
            (at, message)
        })
        .collect()
}

/// Whether a path leads out of the files that a definition brings.
fn climbs(path: &str) -> bool {
    path.is_empty()
        || path.starts_with('/')
        || path.contains(['\\', ':', '\0'])
        || path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn import_place(source: &Source, index: usize, main: &str) -> SourceLocation {
    let file = if source.name == *main { String::new() } else { source.name.clone() };
    let nowhere = SourceLocation { file: file.clone(), ..SourceLocation::default() };
    let Some(text) = &source.text else { return nowhere };
    let path = [3, i32::try_from(index).unwrap_or(i32::MAX)];
    let Some(location) = text.info.location.iter().find(|it| it.path == path) else {
        return nowhere;
    };
    let [line, column, ..] = location.span.as_slice() else { return nowhere };
    let number = |it: &i32| u32::try_from(*it).unwrap_or(0);
    SourceLocation { file, line: number(line) + 1, column: number(column) + 1, path: String::new() }
}
