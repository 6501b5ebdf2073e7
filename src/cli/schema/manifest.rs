//! `tidings.yaml`: the schema files of subjects, and the settings of the subjects.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use clap::ValueEnum;
use tidings_registry::{
    name::SubjectName,
    proto::v1::{Reference, SchemaDraft},
};
use tidings_schema::{
    definition::{Fault, SourceLocation},
    version,
};

use super::{
    super::failure::Failure,
    enums::{
        CompatibilityArg, ContentModelArg, FormatArg, SurfaceArg, compatibility_number,
        content_model_number, surface_number,
    },
    report::{Diagnostic, Entry},
    source::{self, FileArgs, Source},
    yaml::{self, Node, Value},
};

/// File name of a directory's manifest.
pub const MANIFEST: &str = "tidings.yaml";

/// Room for thousands of subjects.
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
    /// Path of the manifest.
    pub name: String,
    /// Its schemas, in order.
    pub schemas: Vec<PlannedSchema>,
}

/// A schema to register, and the settings of its subject.
#[derive(Debug)]
pub struct PlannedSchema {
    /// The subject.
    pub subject: String,
    /// The schema's files.
    pub source: Source,
    /// Other subjects that it refers to.
    pub references: Vec<Reference>,
    /// The declared version; empty if the registry chooses it.
    pub version: String,
    /// Compatibility of the subject, if specified.
    pub compatibility: Option<CompatibilityArg>,
    /// Content model of the subject, if specified.
    pub content_model: Option<ContentModelArg>,
    /// Surface of the subject, if specified.
    pub surface: Option<SurfaceArg>,
    /// Owner of the subject, if specified.
    pub owner: Option<String>,
    /// Description of the subject, if specified.
    pub description: Option<String>,
    /// Labels of the version.
    pub labels: BTreeMap<String, String>,
}

impl PlannedSchema {
    /// The draft, as a request has it.
    pub fn draft(&self) -> SchemaDraft {
        SchemaDraft {
            subject: self.subject.clone(),
            format: super::enums::wire_format(self.source.format),
            definition: Some(self.source.definition.clone().into()),
            references: self.references.clone(),
            version: self.version.clone(),
            labels: self.labels.clone(),
            compatibility: compatibility_number(self.compatibility),
            content_model: content_model_number(self.content_model),
            surface: surface_number(self.surface),
        }
    }
}

impl Manifest {
    /// Reads a manifest, or the one of a directory, with all files that it names.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let path = if path.is_dir() { path.join(MANIFEST) } else { path.to_owned() };
        let name = path.to_string_lossy().into_owned();
        let text = source::read(&path, BYTES_MAX)
            .and_then(source::text)
            .map_err(|error| read_failure(&name, error))?;
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
        faults.sort_by(|first, second| first.location.cmp(&second.location));
        let diagnostics = faults
            .iter()
            .map(|fault| Diagnostic::fault(name.clone(), Some(&text), fault))
            .collect();
        let summary = match faults.len() {
            1 => "has 1 fault".to_owned(),
            faults => format!("has {faults} faults"),
        };
        let entry = Entry { name: name.clone(), file: name, accepted: false, summary, diagnostics };
        Err(entry
            .failure("tidings schema plan --help, which has an example".to_owned())
            .exit_with(2)
            .into())
    }
}

fn read_failure(name: &str, error: source::ReadError) -> Failure {
    error.into_failure(name).with_remedy(format!(
        "a directory with a {MANIFEST}, or its path; tidings schema plan --help has an example"
    ))
}

/// Converts a YAML tree, and collects its faults.
struct Reader {
    directory: PathBuf,
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, location: &SourceLocation, message: impl Into<String>) {
        self.faults.push(Fault { location: location.clone(), message: message.into() });
    }

    fn manifest(&mut self, root: Node) -> anyhow::Result<Vec<PlannedSchema>> {
        let location = root.location.clone();
        let mut fields = self.fields(root, &KEYS);
        let import_paths = self.paths(fields.remove("import-paths"));
        let Some(schemas) = fields.remove("schemas") else {
            if self.faults.is_empty() {
                self.fault(&location, "\"schemas\" is missing: the list of schemas");
            }
            return Ok(Vec::new());
        };
        let mut planned: Vec<PlannedSchema> = Vec::new();
        for node in self.list(schemas) {
            let location = node.location.clone();
            let Some(schema) = self.schema(node, &import_paths)? else { continue };
            let is_duplicate = planned.iter().any(|other| {
                other.subject == schema.subject
                    && (other.version == schema.version
                        || other.version.is_empty()
                        || schema.version.is_empty())
            });
            if is_duplicate {
                let subject = &schema.subject;
                self.fault(
                    &location,
                    format!(
                        "duplicate subject \"{subject}\": give each of its schemas its own version"
                    ),
                );
            }
            planned.push(schema);
        }
        Ok(planned)
    }

    fn schema(
        &mut self,
        node: Node,
        import_paths: &[PathBuf],
    ) -> anyhow::Result<Option<PlannedSchema>> {
        let location = node.location.clone();
        let faults = self.faults.len();
        let mut fields = self.fields(node, &SCHEMA_KEYS);
        let subject =
            self.checked_text(fields.remove("subject"), |text| SubjectName::parse(text).map(drop));
        let file = fields.remove("file");
        let file_location = file.as_ref().map(|node| node.location.clone());
        let file = self.text(file);
        let format = self.enum_value::<FormatArg>(fields.remove("format"));
        let message = self.text(fields.remove("message"));
        let references = match fields.remove("references") {
            Some(node) => self.list(node),
            None => Vec::new(),
        };
        let references: Vec<Reference> =
            references.into_iter().filter_map(|node| self.reference(node)).collect();
        let with = self.paths(fields.remove("with"));
        let version =
            self.checked_text(fields.remove("version"), |text| version::parse(text).map(drop));
        let compatibility = self.enum_value::<CompatibilityArg>(fields.remove("compatibility"));
        let content_model = self.enum_value::<ContentModelArg>(fields.remove("content-model"));
        let surface = self.enum_value::<SurfaceArg>(fields.remove("surface"));
        let owner = self.text(fields.remove("owner"));
        let description = self.text(fields.remove("description"));
        let labels = fields.remove("labels").map(|node| self.labels(node)).unwrap_or_default();
        if self.faults.len() == faults {
            for (name, value) in [("subject", &subject), ("file", &file)] {
                if value.as_ref().is_none_or(String::is_empty) {
                    self.fault(&location, format!("\"{name}\" is missing"));
                }
            }
        }
        let (Some(subject), Some(file), Some(file_location)) = (subject, file, file_location)
        else {
            return Ok(None);
        };
        if self.faults.len() > faults {
            return Ok(None);
        }
        let Some(path) = self.resolve_path(&file_location, &file) else { return Ok(None) };
        let args = FileArgs {
            format,
            message,
            import_paths: import_paths.to_vec(),
            with,
            references: references.iter().map(|reference| reference.name.clone()).collect(),
        };
        let source = match Source::read(&path.to_string_lossy(), &args) {
            Ok(source) => source,
            Err(error) => match error.downcast::<Failure>() {
                Ok(failure) => {
                    self.fault(&file_location, failure.message());
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Some(PlannedSchema {
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
        let location = node.location.clone();
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
                    &location,
                    "a reference needs a \"name\", as in the schema, and a \"subject\"",
                );
                None
            }
        }
    }

    fn labels(&mut self, node: Node) -> BTreeMap<String, String> {
        let Value::Map(map) = node.value else {
            self.fault(
                &node.location,
                format!("expected name: value, found {}", node.value.kind()),
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
            let location = node.location.clone();
            let Some(path) = self.text(Some(node)) else { continue };
            paths.extend(self.resolve_path(&location, &path));
        }
        paths
    }

    /// A path within the manifest's directory. Symbolic links must not lead out of it either.
    fn resolve_path(&mut self, location: &SourceLocation, path: &str) -> Option<PathBuf> {
        let is_plain = Path::new(path)
            .components()
            .all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
        let components =
            Path::new(path).components().filter(|component| *component != Component::CurDir);
        let joined = self.directory.join(components.collect::<PathBuf>());
        let root = match self.directory.as_os_str() {
            empty if empty.is_empty() => Path::new("."),
            _ => &self.directory,
        };
        // A missing file is reported when it is read.
        let is_outside = match (root.canonicalize(), joined.canonicalize()) {
            (Ok(root), Ok(real)) => !real.starts_with(root),
            _ => false,
        };
        if path.is_empty() || !is_plain || is_outside {
            self.fault(
                location,
                format!(
                    "\"{path}\" is outside of the manifest's directory: \
                         paths are relative to it and stay in it"
                ),
            );
            return None;
        }
        Some(joined)
    }

    /// The values of a mapping by key; unknown keys are faults.
    fn fields(&mut self, node: Node, known: &[&'static str]) -> BTreeMap<&'static str, Node> {
        let mut fields = BTreeMap::new();
        let map = match node.value {
            Value::Map(map) => map,
            other => {
                let message = format!(
                    "expected a mapping with the keys {}, found {}",
                    known.join(", "),
                    other.kind()
                );
                self.fault(&node.location, message);
                return fields;
            }
        };
        for (key, location, value) in map {
            // Fields of the contract have underscores, keys of the configuration have hyphens.
            let hyphenated = key.replace('_', "-");
            match known.iter().find(|name| **name == hyphenated) {
                Some(name) => {
                    fields.insert(*name, value);
                }
                None => {
                    let message = match nearest(&key, known) {
                        Some(name) => {
                            format!("unknown key \"{key}\"; did you mean \"{name}\"?")
                        }
                        None => {
                            format!("unknown key \"{key}\"; the keys are {}", known.join(", "))
                        }
                    };
                    self.fault(&location, message);
                }
            }
        }
        fields
    }

    fn list(&mut self, node: Node) -> Vec<Node> {
        match node.value {
            Value::List(list) => list,
            other => {
                self.fault(&node.location, format!("expected a list, found {}", other.kind()));
                Vec::new()
            }
        }
    }

    fn text(&mut self, node: Option<Node>) -> Option<String> {
        let node = node?;
        match node.value {
            Value::Text(text) => Some(text),
            Value::Null => None,
            other => {
                self.fault(&node.location, format!("expected a text, found {}", other.kind()));
                None
            }
        }
    }

    /// A text that passes a check.
    fn checked_text(
        &mut self,
        node: Option<Node>,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<String> {
        let location = node.as_ref()?.location.clone();
        let text = self.text(node)?;
        if let Err(message) = check(&text) {
            self.fault(&location, message);
        }
        Some(text)
    }

    fn enum_value<FlagValue: ValueEnum>(&mut self, node: Option<Node>) -> Option<FlagValue> {
        let location = node.as_ref()?.location.clone();
        let text = self.text(node)?;
        let value = FlagValue::from_str(&text.replace('_', "-"), true);
        if value.is_err() {
            let values: Vec<String> = FlagValue::value_variants()
                .iter()
                .filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()))
                .collect();
            self.fault(&location, format!("expected {}, found \"{text}\"", values.join(", ")));
        }
        value.ok()
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
    fn mistyped_keys_get_a_suggestion() {
        assert_eq!(nearest("subjet", &SCHEMA_KEYS), Some("subject"));
        assert_eq!(nearest("contentModel", &SCHEMA_KEYS), Some("content-model"));
        assert_eq!(nearest("compatability", &SCHEMA_KEYS), Some("compatibility"));
        assert_eq!(nearest("colour", &SCHEMA_KEYS), None);
    }
}
