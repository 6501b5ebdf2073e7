//! Parses the files of a definition and its imports, in link order. Nothing is read from disk: only
//! the definition, its imports and the well-known files are available.

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
    descriptor_set, editions,
    features::Edition,
    limits::{self, FILES_MAX},
    linker_input::{self, JsonNames},
    locations::SourceLocations,
    parser_input::{ParserInput, Visibility},
    well_known,
};

/// The file name under which a definition's own text is linked.
pub(super) const MAIN: &str = "schema.proto";

/// Limit of reported faults.
pub(super) const FAULTS_MAX: usize = 50;

/// A parsed file.
#[derive(Debug)]
pub(super) struct ParsedFile {
    pub(super) name: String,
    pub(super) edition: Edition,
    /// The descriptor for the linker: proto2 or proto3, with direct imports of all visible files.
    pub(super) encoded: Bytes,
    /// The text, for the locations of faults. `None` if the file came as a descriptor.
    pub(super) text: Option<SourceText>,
    /// Whether the file is part of the definition itself.
    pub(super) own: bool,
    /// All visible files.
    pub(super) imports: Vec<String>,
    /// Visible files that are imported only with `import option`. Their types cannot be used.
    pub(super) option_imports: BTreeSet<String>,
    /// Declared visibility of its types, by path.
    pub(super) visibility: HashMap<Vec<i32>, Visibility>,
    /// JSON names that several fields of a message share; the linker gets unique ones.
    pub(super) json_names: JsonNames,
    /// Whether this is a proto3 file that is linked as proto2.
    pub(super) linked_as_proto2: bool,
}

/// The text of a file.
#[derive(Debug)]
pub(super) struct SourceText {
    pub(super) written: String,
    pub(super) parser_input: ParserInput,
    pub(super) info: SourceCodeInfo,
}

/// All parsed files of a definition.
#[derive(Debug)]
pub(super) struct ParsedFiles {
    /// Files in link order: each before the files that import it.
    pub(super) files: Vec<ParsedFile>,
    /// Name of the file whose messages the definition declares.
    pub(super) main: String,
    pub(super) locations: SourceLocations,
    /// Faults that reject a new definition and that the parser finds in the texts.
    pub(super) draft_faults: Vec<Fault>,
}

/// A file before it is parsed.
enum Origin<'a> {
    Text(&'a str),
    Descriptor(DynamicMessage),
}

struct Loader<'a> {
    origins: BTreeMap<String, (Origin<'a>, bool)>,
    main: String,
    locations: SourceLocations,
    faults: Vec<Fault>,
    draft_faults: Vec<Fault>,
    own_definitions: usize,
    definitions: usize,
}

/// A file with all imports loaded.
struct LoadedFile {
    source: ParsedFile,
    /// Indices of the files that become visible by importing this one.
    public: Vec<usize>,
}

impl ParsedFiles {
    /// Parses a definition and all its imports.
    pub(super) fn load(definition: &Definition, imports: &[Import]) -> Result<Self, InvalidSchema> {
        let bytes = definition.bytes();
        if bytes > DEFINITION_BYTES_MAX {
            return Err(InvalidSchema::new(format!(
                "the definition has {bytes} bytes; the limit is {DEFINITION_BYTES_MAX}"
            )));
        }
        let mut loader = Loader {
            origins: BTreeMap::new(),
            main: MAIN.to_owned(),
            locations: SourceLocations::default(),
            faults: Vec::new(),
            draft_faults: Vec::new(),
            own_definitions: 0,
            definitions: 0,
        };
        let roots = loader.gather(definition, imports)?;
        loader.locations = SourceLocations::new(&loader.main);
        loader.load(roots)
    }
}

impl<'a> Loader<'a> {
    /// Registers every supplied file by name. Returns the names of the root files.
    fn gather(
        &mut self,
        definition: &'a Definition,
        imports: &'a [Import],
    ) -> Result<Vec<String>, InvalidSchema> {
        let mut roots = Vec::new();
        if definition.files.len() > FILES_MAX {
            return Err(InvalidSchema::new(format!(
                "{} files; the limit is {FILES_MAX}",
                definition.files.len()
            )));
        }
        for (path, text) in &definition.files {
            if !leaves_root(path) {
                self.origins.insert(path.clone(), (Origin::Text(text), true));
                continue;
            }
            let location = SourceLocation { file: path.clone(), ..SourceLocation::default() };
            self.fault(location, format!("the path {path:?} of a file is absolute, empty or leaves the root; use the path of its import"));
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
                        // The last file of a set is the file that the set was made from.
                        if at == last && !named {
                            editions::set_field(
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
                        fault.location.file.clone_from(&import.name);
                        self.faults.push(fault);
                    }
                }
            },
        }
        for (path, text) in &import.definition.files {
            self.origins.entry(path.clone()).or_insert((Origin::Text(text), false));
        }
    }

    /// Parses files from the roots down. Not recursive, because an import chain can contain all
    /// files.
    fn load(mut self, roots: Vec<String>) -> Result<ParsedFiles, InvalidSchema> {
        let mut files: Vec<LoadedFile> = Vec::new();
        let mut finished: HashMap<String, usize> = HashMap::new();
        let mut failed: HashSet<String> = HashSet::new();
        // Files whose imports are being loaded, each with the index of its next import.
        let mut open: Vec<(FileDescriptorProto, ParsedFile, usize)> = Vec::new();
        for root in roots {
            if finished.contains_key(&root) || failed.contains(&root) {
                continue;
            }
            self.open_file(&root, SourceLocation::default(), &mut open, &mut failed);
            while let Some((proto, source, next)) = open.last_mut() {
                let Some(import) = proto.dependency.get(*next).cloned() else {
                    let Some((proto, source, _)) = open.pop() else { break };
                    let name = source.name.clone();
                    if let Some(parsed) = self.finish_file(proto, source, &files, &finished) {
                        finished.insert(name, files.len());
                        files.push(parsed);
                    } else {
                        failed.insert(name);
                    }
                    continue;
                };
                let location = import_location(source, *next, &self.main);
                *next += 1;
                if finished.contains_key(&import) || failed.contains(&import) {
                    continue;
                }
                if open.iter().any(|(_, source, _)| source.name == import) {
                    let cycle: Vec<_> =
                        open.iter().map(|(_, source, _)| source.name.as_str()).collect();
                    let message = format!(
                        "files import each other in a cycle: {} -> {import}",
                        cycle.join(" -> ")
                    );
                    self.fault(location, message);
                    failed.insert(import);
                    continue;
                }
                if open.len() + files.len() >= FILES_MAX {
                    self.fault(location, format!("more than {FILES_MAX} files"));
                    break;
                }
                self.open_file(&import, location, &mut open, &mut failed);
            }
            open.clear();
        }
        if self.faults.is_empty() && self.own_definitions > limits::DEFINITIONS_MAX {
            let message = format!(
                "{} messages, fields, enums and values; the limit is {}; split the schema into several subjects",
                self.own_definitions,
                limits::DEFINITIONS_MAX
            );
            self.fault(SourceLocation::default(), message);
        }
        if self.faults.is_empty() && self.definitions > limits::LINKED_DEFINITIONS_MAX {
            let message = format!(
                "{} messages, fields, enums and values with all imports; the limit is {}",
                self.definitions,
                limits::LINKED_DEFINITIONS_MAX
            );
            self.fault(SourceLocation::default(), message);
        }
        if !self.faults.is_empty() {
            return Err(InvalidSchema { faults: self.faults });
        }
        let files = files.into_iter().map(|loaded| loaded.source).collect();
        Ok(ParsedFiles {
            files,
            main: self.main,
            locations: self.locations,
            draft_faults: self.draft_faults,
        })
    }

    /// Parses one file and opens it, or reports its faults.
    fn open_file(
        &mut self,
        name: &str,
        imported: SourceLocation,
        open: &mut Vec<(FileDescriptorProto, ParsedFile, usize)>,
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
    ) -> Option<(FileDescriptorProto, ParsedFile)> {
        if let Some((proto, encoded)) = well_known::standard(name) {
            let edition = match proto.syntax() {
                "proto3" => Edition::Proto3,
                _ => Edition::Proto2,
            };
            return Some((proto, ParsedFile::new(name, edition, encoded, false)));
        }
        match self.origins.get(name) {
            Some((Origin::Text(text), own)) => {
                let (text, own) = (*text, *own);
                self.parse_text(name, text, own)
            }
            Some((Origin::Descriptor(file), own)) => {
                let (file, own) = (file.clone(), *own);
                match descriptor_set::prepare(name, file) {
                    Ok(file) => {
                        self.count(&file.proto, own, SourceLocation::default())?;
                        let mut source = ParsedFile::new(name, file.edition, file.encoded, own);
                        source.visibility = file.visibility;
                        source.make_names_unique(&file.proto);
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
                    let message = self.missing_import(name);
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
    ) -> Option<(FileDescriptorProto, ParsedFile)> {
        // Like protoc, skip the byte order mark that some editors write.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = if name == self.main { String::new() } else { name.to_owned() };
        let in_file = |location: SourceLocation| SourceLocation { file: file.clone(), ..location };
        if let Err(too_large) = limits::check_text(text) {
            self.fault(in_file(too_large.location), too_large.message);
            return None;
        }
        let named = editions::declared_edition(text);
        let modern = named.and_then(|(_, edition)| editions::parse_edition(edition));
        if let Some((at, edition)) = named.filter(|_| modern.is_none()) {
            let location = in_file(SourceLocation::of_byte(text, at));
            self.fault(
                location,
                format!("the edition {edition:?} is not supported; the supported editions are 2023 and 2024"),
            );
            return None;
        }
        let parser_input = ParserInput::of(text, modern);
        let parsed = parser_input.text.as_str();
        let mut proto: FileDescriptorProto = match protox::file::File::from_source(name, parsed) {
            Ok(file) => file.into(),
            Err(error) => {
                let location =
                    |at: usize| in_file(SourceLocation::of_byte(text, parser_input.original(at)));
                for (at, message) in diagnostics(&error) {
                    let at = at.unwrap_or(parsed.len());
                    self.fault(location(at), message);
                }
                return None;
            }
        };
        let info = proto.source_code_info.take().unwrap_or_default();
        if own {
            self.locations
                .add_file(&proto, &info, text, |line, column| parser_input.shift(line, column));
            for (at, message) in &parser_input.faults {
                let location = in_file(SourceLocation::of_byte(text, *at));
                self.draft_fault(location, message.clone());
            }
        }
        self.count(&proto, own, in_file(SourceLocation::of_byte(text, 0)))?;
        linker_input::prepare(&mut proto, &parser_input);
        let edition = match (modern, proto.syntax()) {
            (Some(edition), _) => edition,
            (None, "proto3") => Edition::Proto3,
            (None, _) => Edition::Proto2,
        };
        let mut source = ParsedFile::new(name, edition, proto.encode_to_vec().into(), own);
        source.visibility = declared_visibility(&parser_input, &info);
        source.text = Some(SourceText { written: text.to_owned(), parser_input, info });
        source.make_names_unique(&proto);
        Some((proto, source))
    }

    fn count(
        &mut self,
        proto: &FileDescriptorProto,
        own: bool,
        location: SourceLocation,
    ) -> Option<()> {
        match limits::count_definitions(proto) {
            Ok(count) => {
                self.definitions += count;
                self.own_definitions += if own { count } else { 0 };
                Some(())
            }
            Err(message) => {
                self.fault(location, message);
                None
            }
        }
    }

    /// Finishes a file whose imports are loaded. The linker follows only one level of public
    /// imports, and visits shared public imports repeatedly, so a file gets direct imports of all
    /// visible files.
    fn finish_file(
        &mut self,
        proto: FileDescriptorProto,
        mut source: ParsedFile,
        files: &[LoadedFile],
        finished: &HashMap<String, usize>,
    ) -> Option<LoadedFile> {
        if source.own {
            self.check_imports(&proto, &source);
        }
        let index = |name: &String| finished.get(name).copied();
        if proto.dependency.iter().any(|import| index(import).is_none()) {
            return None;
        }
        let direct: BTreeSet<usize> = proto.dependency.iter().filter_map(index).collect();
        let public_imports =
            |at: usize| files.get(at).map_or(&[][..], |file| file.public.as_slice());
        let visible_from = |direct: &BTreeSet<usize>| -> BTreeSet<usize> {
            direct.iter().flat_map(|at| public_imports(*at).iter().copied().chain([*at])).collect()
        };
        let visible = visible_from(&direct);
        let name = |at: &usize| files.get(*at).map(|file| file.source.name.clone());
        source.imports = visible.iter().filter_map(name).collect();
        if let Some(text) = &source.text
            && !text.parser_input.option_imports.is_empty()
        {
            let for_options = &text.parser_input.option_imports;
            let others = proto.dependency.iter().filter(|import| !for_options.contains(import));
            let others = visible_from(&others.filter_map(index).collect());
            source.option_imports = visible.difference(&others).filter_map(name).collect();
        }
        let public = proto
            .public_dependency
            .iter()
            .filter_map(|at| index(proto.dependency.get(usize::try_from(*at).ok()?)?));
        let public: BTreeSet<usize> =
            public.flat_map(|at| public_imports(at).iter().copied().chain([at])).collect();
        if visible.len() > direct.len() || !proto.public_dependency.is_empty() {
            source.encoded = descriptor_set::with_imports(&source.encoded, &source.imports)?;
            if let Some(text) = &mut source.text {
                // The indices of imports have changed, and the imports are linked already.
                text.info.location.retain(|location| location.path.first() != Some(&3));
            }
        }
        Some(LoadedFile { source, public: public.into_iter().collect() })
    }

    fn missing_import(&self, name: &str) -> String {
        // The edit distance costs the product of the lengths; faults beyond the limit are dropped
        // anyway.
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
                format!("the import {name:?} does not exist; did you mean {known:?}?")
            }
            None => format!(
                "the import {name:?} does not exist; supply it with the definition's files, or refer to the subject that \
                 registers it"
            ),
        }
    }

    fn check_imports(&mut self, proto: &FileDescriptorProto, source: &ParsedFile) {
        let mut visible_from = HashSet::with_capacity(proto.dependency.len());
        for (at, import) in proto.dependency.iter().enumerate() {
            if !visible_from.insert(import) {
                let message =
                    format!("the import {import:?} is listed twice; remove one of the two");
                self.draft_fault(import_location(source, at, &self.main), message);
            }
        }
    }

    fn draft_fault(&mut self, location: SourceLocation, message: String) {
        if self.draft_faults.len() < FAULTS_MAX {
            self.draft_faults.push(Fault { location, message });
        }
    }

    fn fault(&mut self, location: SourceLocation, message: String) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        self.faults.push(Fault { location, message });
    }
}

impl ParsedFile {
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
            linked_as_proto2: false,
        }
    }

    /// Makes field names unique for the linker, which rejects more collisions than protoc.
    fn make_names_unique(&mut self, proto: &FileDescriptorProto) {
        let shared = linker_input::shared_json_names(proto);
        self.linked_as_proto2 =
            self.edition == Edition::Proto3 && linker_input::differ_only_in_case(proto);
        if shared.is_empty() && !self.linked_as_proto2 {
            return;
        }
        let Some(meta) = well_known::meta_message("google.protobuf.FileDescriptorProto") else {
            return;
        };
        let Ok(mut file) = DynamicMessage::decode(meta, self.encoded.clone()) else { return };
        for (path, names) in shared {
            if let Some(field) = descriptor_set::declaration_mut(&mut file, &path) {
                editions::set_field(field, "json_name", Value::String(names.replacement));
                self.json_names.insert(path, names.shared);
            }
        }
        if self.linked_as_proto2 {
            editions::set_field(&mut file, "syntax", Value::String("proto2".to_owned()));
        }
        self.encoded = file.encode_to_vec().into();
    }
}

/// The declared visibility of the types of a text, by path.
fn declared_visibility(
    parser_input: &ParserInput,
    info: &SourceCodeInfo,
) -> HashMap<Vec<i32>, Visibility> {
    if parser_input.visibility.is_empty() {
        return HashMap::new();
    }
    let start = |span: &[i32]| {
        let [line, column, ..] = span else { return None };
        Some((usize::try_from(*line).ok()?, usize::try_from(*column).ok()?))
    };
    let declarations = info
        .location
        .iter()
        .filter(|location| !location.path.is_empty() && location.path.len() % 2 == 0);
    let at: HashMap<(usize, usize), &Vec<i32>> = declarations
        .filter_map(|location| Some((start(&location.span)?, &location.path)))
        .collect();
    let declared = parser_input.visibility.iter().filter_map(|(offset, visibility)| {
        Some((at.get(&parser_input.position(*offset))?.to_vec(), *visibility))
    });
    declared.collect()
}

/// The messages of a parser or linker error, with byte offsets.
pub(super) fn diagnostics(error: &dyn Diagnostic) -> Vec<(Option<usize>, String)> {
    let related = error.related().into_iter().flatten();
    std::iter::once(error)
        .chain(related)
        .take(FAULTS_MAX)
        .map(|diagnostic| {
            let at = diagnostic.labels().into_iter().flatten().map(|label| label.offset()).next();
            let mut message = diagnostic.to_string();
            if let Some(help) = diagnostic.help() {
                message = format!("{message} ({help})");
            }
            (at, message)
        })
        .collect()
}

/// Whether a path leaves the files of a definition.
fn leaves_root(path: &str) -> bool {
    path.is_empty()
        || path.starts_with('/')
        || path.contains(['\\', ':', '\0'])
        || path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn import_location(source: &ParsedFile, index: usize, main: &str) -> SourceLocation {
    let file = if source.name == *main { String::new() } else { source.name.clone() };
    let no_location = SourceLocation { file: file.clone(), ..SourceLocation::default() };
    let Some(text) = &source.text else { return no_location };
    let path = [3, i32::try_from(index).unwrap_or(i32::MAX)];
    let Some(location) = text.info.location.iter().find(|location| location.path == path) else {
        return no_location;
    };
    let [line, column, ..] = location.span.as_slice() else { return no_location };
    let number = |number: &i32| u32::try_from(*number).unwrap_or(0);
    SourceLocation { file, line: number(line) + 1, column: number(column) + 1, path: String::new() }
}
