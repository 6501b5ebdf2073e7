//! `tidings.yaml`: which files are the schemas of which subjects, and what is promised of them.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use clap::ValueEnum;
use tidings_registry::{
    proto::v1::{Reference, SchemaDraft},
    subject::SubjectName,
};
use tidings_schema::{
    definition::{Fault, SourceLocation},
    version,
};

use super::{
    super::failure::Failure,
    report::{Entry, Note},
    source::{self, FileArgs, Source},
    words::{
        ContentModelWord, FormatWord, LevelWord, SurfaceWord, content_model_number, level_number,
        surface_number,
    },
    yaml::{self, Node, Value},
};

/// What a directory's manifest is called.
pub const MANIFEST: &str = "tidings.yaml";

/// Thousands of subjects fit; more is not a manifest.
const BYTES_MAX: usize = 4 << 20;

const KEYS: [&str; 2] = ["schemas", "import-paths"];

const SCHEMA_KEYS: [&str; 13] = [
    "subject",
    "file",
    "with",
    "format",
    "message",
    "references",
    "version",
    "compatibility",
    "content-model",
    "surface",
    "owner",
    "description",
    "labels",
];

const REFERENCE_KEYS: [&str; 3] = ["name", "subject", "version"];

/// A manifest with all its files.
#[derive(Debug)]
pub struct Manifest {
    /// Where it is.
    pub name: String,
    /// In its order.
    pub schemas: Vec<Planned>,
}

/// A schema that is to be registered, and what its subject is to be.
#[derive(Debug)]
pub struct Planned {
    /// Whose.
    pub subject: String,
    /// Its files.
    pub source: Source,
    /// Other subjects that it refers to.
    pub references: Vec<Reference>,
    /// Declared; empty where the registry is to choose.
    pub version: String,
    /// What is promised, where it is said.
    pub compatibility: Option<LevelWord>,
    /// Where it is said.
    pub content_model: Option<ContentModelWord>,
    /// Where it is said.
    pub surface: Option<SurfaceWord>,
    /// Of the subject, where it is said.
    pub owner: Option<String>,
    /// Of the subject, where it is said.
    pub description: Option<String>,
    /// Of the version.
    pub labels: BTreeMap<String, String>,
}

impl Planned {
    /// For the wire.
    pub fn draft(&self) -> SchemaDraft {
        SchemaDraft {
            subject: self.subject.clone(),
            format: super::words::wire_format(self.source.format),
            definition: Some(self.source.definition.clone().into()),
            references: self.references.clone(),
            version: self.version.clone(),
            labels: self.labels.clone(),
            compatibility: level_number(self.compatibility),
            content_model: content_model_number(self.content_model),
            surface: surface_number(self.surface),
        }
    }
}

impl Manifest {
    /// Reads a manifest, or that of a directory, with all files that it names.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let path = if path.is_dir() { path.join(MANIFEST) } else { path.to_owned() };
        let name = path.to_string_lossy().into_owned();
        let text = source::read(&path, BYTES_MAX)
            .and_then(source::text)
            .map_err(|fault| no_manifest(&name, fault))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::new(),
        };
        let mut reader = Reader { directory, faults: Vec::new() };
        let schemas = match yaml::parse(&text) {
            Ok(root) => reader.manifest(root)?,
            Err(fault) => {
                reader.faults.push(fault);
                Vec::new()
            }
        };
        let mut faults = reader.faults;
        if faults.is_empty() {
            return Ok(Self { name, schemas });
        }
        faults.sort_by(|one, other| one.place.cmp(&other.place));
        let notes =
            faults.iter().map(|fault| Note::fault(name.clone(), Some(&text), fault)).collect();
        let summary = match faults.len() {
            1 => "is not right".to_owned(),
            faults => format!("is not right in {faults} places"),
        };
        let entry = Entry { name: name.clone(), file: name, accepted: false, summary, notes };
        Err(entry
            .failure("tidings schema plan --help, which has an example".to_owned())
            .exit_with(2)
            .into())
    }
}

fn no_manifest(name: &str, fault: source::Unreadable) -> Failure {
    fault.of(name).try_this(format!(
        "a directory with a {MANIFEST}, or its path; tidings schema plan --help has an example"
    ))
}

/// Reads a tree, and takes down everything that is wrong with it.
struct Reader {
    directory: PathBuf,
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, place: &SourceLocation, message: impl Into<String>) {
        self.faults.push(Fault { place: place.clone(), message: message.into() });
    }

    fn manifest(&mut self, root: Node) -> anyhow::Result<Vec<Planned>> {
        let place = root.place.clone();
        let mut fields = self.fields(root, &KEYS);
        let import_paths = self.paths(fields.remove("import-paths"));
        let Some(schemas) = fields.remove("schemas") else {
            if self.faults.is_empty() {
                self.fault(&place, "\"schemas\" is missing: the list of schemas");
            }
            return Ok(Vec::new());
        };
        let mut planned: Vec<Planned> = Vec::new();
        for node in self.list(schemas) {
            let place = node.place.clone();
            let Some(schema) = self.schema(node, &import_paths)? else { continue };
            let clash = planned.iter().any(|other| {
                other.subject == schema.subject
                    && (other.version == schema.version
                        || other.version.is_empty()
                        || schema.version.is_empty())
            });
            if clash {
                let subject = &schema.subject;
                self.fault(
                    &place,
                    format!("\"{subject}\" stands here twice: give each of its schemas a version of its own"),
                );
            }
            planned.push(schema);
        }
        Ok(planned)
    }

    fn schema(&mut self, node: Node, import_paths: &[PathBuf]) -> anyhow::Result<Option<Planned>> {
        let place = node.place.clone();
        let faults = self.faults.len();
        let mut fields = self.fields(node, &SCHEMA_KEYS);
        let subject =
            self.text_that(fields.remove("subject"), |text| SubjectName::parse(text).map(drop));
        let file = fields.remove("file");
        let file_place = file.as_ref().map(|node| node.place.clone());
        let file = self.text(file);
        let format = self.word::<FormatWord>(fields.remove("format"));
        let message = self.text(fields.remove("message"));
        let references = match fields.remove("references") {
            Some(node) => self.list(node),
            None => Vec::new(),
        };
        let references: Vec<Reference> =
            references.into_iter().filter_map(|node| self.reference(node)).collect();
        let with = self.paths(fields.remove("with"));
        let version =
            self.text_that(fields.remove("version"), |text| version::parse(text).map(drop));
        let compatibility = self.word::<LevelWord>(fields.remove("compatibility"));
        let content_model = self.word::<ContentModelWord>(fields.remove("content-model"));
        let surface = self.word::<SurfaceWord>(fields.remove("surface"));
        let owner = self.text(fields.remove("owner"));
        let description = self.text(fields.remove("description"));
        let labels = fields.remove("labels").map(|node| self.labels(node)).unwrap_or_default();
        if self.faults.len() == faults {
            for (name, value) in [("subject", &subject), ("file", &file)] {
                if value.as_ref().is_none_or(String::is_empty) {
                    self.fault(&place, format!("\"{name}\" is missing"));
                }
            }
        }
        let (Some(subject), Some(file), Some(file_place)) = (subject, file, file_place) else {
            return Ok(None);
        };
        if self.faults.len() > faults {
            return Ok(None);
        }
        let Some(path) = self.inside(&file_place, &file) else { return Ok(None) };
        let args = FileArgs {
            format,
            message,
            import_paths: import_paths.to_vec(),
            with,
            references: references.iter().map(|it| it.name.clone()).collect(),
        };
        let source = match Source::read(&path.to_string_lossy(), &args) {
            Ok(source) => source,
            Err(error) => match error.downcast::<Failure>() {
                Ok(failure) => {
                    self.fault(&file_place, failure.message());
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Some(Planned {
            subject,
            source,
            references,
            version: version.unwrap_or_default(),
            compatibility,
            content_model,
            surface,
            owner,
            description,
            labels,
        }))
    }

    fn reference(&mut self, node: Node) -> Option<Reference> {
        let place = node.place.clone();
        let faults = self.faults.len();
        let mut fields = self.fields(node, &REFERENCE_KEYS);
        let name = self.text(fields.remove("name"));
        let subject = self.text(fields.remove("subject"));
        let version = self.text(fields.remove("version")).unwrap_or_default();
        if self.faults.len() > faults {
            return None;
        }
        match (name, subject) {
            (Some(name), Some(subject)) => Some(Reference { name, subject, version }),
            _ => {
                self.fault(
                    &place,
                    "a reference has a \"name\", as the schema calls it, and a \"subject\"",
                );
                None
            }
        }
    }

    fn labels(&mut self, node: Node) -> BTreeMap<String, String> {
        let Value::Map(map) = node.value else {
            self.fault(
                &node.place,
                format!("expected name: value, and there is {}", node.value.kind()),
            );
            return BTreeMap::new();
        };
        map.into_iter()
            .filter_map(|(name, _, value)| Some((name, self.text(Some(value))?)))
            .collect()
    }

    fn paths(&mut self, node: Option<Node>) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for node in node.map(|node| self.list(node)).unwrap_or_default() {
            let place = node.place.clone();
            let Some(path) = self.text(Some(node)) else { continue };
            paths.extend(self.inside(&place, &path));
        }
        paths
    }

    /// A path within the manifest's directory. Links may not lead out of it either.
    fn inside(&mut self, place: &SourceLocation, path: &str) -> Option<PathBuf> {
        let is_plain = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let named = Path::new(path).components().filter(|part| *part != Component::CurDir);
        let joined = self.directory.join(named.collect::<PathBuf>());
        let root = match self.directory.as_os_str() {
            empty if empty.is_empty() => Path::new("."),
            _ => &self.directory,
        };
        // What is not there is told where it is read.
        let leads_out = match (root.canonicalize(), joined.canonicalize()) {
            (Ok(root), Ok(real)) => !real.starts_with(root),
            _ => false,
        };
        if path.is_empty() || !is_plain || leads_out {
            self.fault(
                place,
                format!("\"{path}\" is outside of the manifest's directory: paths are relative to it and stay in it"),
            );
            return None;
        }
        Some(joined)
    }

    /// What a mapping says, by key; keys that nobody reads are faults.
    fn fields(&mut self, node: Node, known: &[&'static str]) -> BTreeMap<&'static str, Node> {
        let mut fields = BTreeMap::new();
        let map = match node.value {
            Value::Map(map) => map,
            other => {
                let message = format!(
                    "expected a mapping with the keys {}, and there is {}",
                    known.join(", "),
                    other.kind()
                );
                self.fault(&node.place, message);
                return fields;
            }
        };
        for (key, place, value) in map {
            // Keys of the contract have underscores, those of a configuration have not.
            let wanted = key.replace('_', "-");
            match known.iter().find(|name| **name == wanted) {
                Some(name) => {
                    fields.insert(*name, value);
                }
                None => {
                    let message = match nearest(&key, known) {
                        Some(name) => {
                            format!("there is no key \"{key}\"; did you mean \"{name}\"?")
                        }
                        None => {
                            format!("there is no key \"{key}\"; there are {}", known.join(", "))
                        }
                    };
                    self.fault(&place, message);
                }
            }
        }
        fields
    }

    fn list(&mut self, node: Node) -> Vec<Node> {
        match node.value {
            Value::List(list) => list,
            other => {
                self.fault(&node.place, format!("expected a list, and there is {}", other.kind()));
                Vec::new()
            }
        }
    }

    fn text(&mut self, node: Option<Node>) -> Option<String> {
        let node = node?;
        match node.value {
            Value::Text(text) => Some(text),
            Value::Nothing => None,
            other => {
                self.fault(&node.place, format!("expected a text, and there is {}", other.kind()));
                None
            }
        }
    }

    /// A text that is what it should be.
    fn text_that(
        &mut self,
        node: Option<Node>,
        is: impl Fn(&str) -> Result<(), String>,
    ) -> Option<String> {
        let place = node.as_ref()?.place.clone();
        let text = self.text(node)?;
        if let Err(why) = is(&text) {
            self.fault(&place, why);
        }
        Some(text)
    }

    fn word<Word: ValueEnum>(&mut self, node: Option<Node>) -> Option<Word> {
        let place = node.as_ref()?.place.clone();
        let text = self.text(node)?;
        let found = Word::from_str(&text.replace('_', "-"), true);
        if found.is_err() {
            let words: Vec<String> = Word::value_variants()
                .iter()
                .filter_map(|word| Some(word.to_possible_value()?.get_name().to_owned()))
                .collect();
            self.fault(&place, format!("expected {}, and there is \"{text}\"", words.join(", ")));
        }
        found.ok()
    }
}

fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let key = key.to_lowercase().replace('_', "-");
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&key, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_keys_are_known_again() {
        assert_eq!(nearest("subjet", &SCHEMA_KEYS), Some("subject"));
        assert_eq!(nearest("contentModel", &SCHEMA_KEYS), Some("content-model"));
        assert_eq!(nearest("compatability", &SCHEMA_KEYS), Some("compatibility"));
        assert_eq!(nearest("colour", &SCHEMA_KEYS), None);
    }
}
