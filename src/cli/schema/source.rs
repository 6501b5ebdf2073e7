//! Reads a schema from files: the text or the descriptor set, and the files that the text refers to
//! in its own directory and below `-I`. No other file is read.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};
use tidings_registry::convert::FromProto as _;

use bytes::Bytes;
use clap::Args;
use tidings_registry::proto::v1;
use tidings_schema::{
    definition::{DEFINITION_BYTES_MAX, Definition, Form},
    schema::Format,
};

use super::{
    super::{failure::Failure, positions::quote, printer::printable},
    enums::{FormatArg, a_schema},
    imports::imports,
};

/// Name of standard input in locations.
const STDIN: &str = "<stdin>";

/// Flags for reading a schema's file.
#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// Format of the file; default: by extension: .proto, .binpb, .pb, .desc (Protobuf), .json
    /// (JSON Schema), .avsc (Avro)
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,
    /// Protobuf: full name of the event's message, if the file has several
    #[arg(long, value_name = "NAME")]
    pub message: Option<String>,
    /// A directory to search for imports, after the file's own; repeatable
    #[arg(short = 'I', long = "import-path", value_name = "DIR")]
    pub import_paths: Vec<PathBuf>,
    /// A further file that the schema needs, such as one with Avro types; repeatable
    #[arg(long = "with", value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Names that refer to other subjects, not to files.
    #[arg(skip)]
    pub references: Vec<String>,
}

/// A schema that was read from files. It is not yet validated.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name in messages and locations.
    pub name: String,
    /// From its flag or extension.
    pub format: Format,
    /// Content of the files.
    pub definition: Definition,
    /// Paths of the imported files.
    import_files: BTreeMap<String, PathBuf>,
    /// Imports that are in none of the directories.
    missing: Vec<String>,
}

impl Source {
    /// Reads a file, or `-` for standard input.
    pub fn read(name: &str, args: &FileArgs) -> anyhow::Result<Self> {
        let is_stdin = name == "-";
        let path = Path::new(name);
        let (format, is_binary) = match (args.format, format_of(path)) {
            (Some(format_arg), Some((format, is_binary))) if Format::from(format_arg) == format => {
                (format, is_binary)
            }
            (Some(format_arg), _) => (format_arg.into(), false),
            (None, Some(format)) if !is_stdin => format,
            (None, _) => return Err(unknown_format(name).into()),
        };
        let bytes = if is_stdin {
            bounded(io::stdin().lock(), DEFINITION_BYTES_MAX)
                .map_err(|error| error.into_failure(STDIN))?
        } else {
            read(path, DEFINITION_BYTES_MAX).map_err(|error| error.into_failure(name))?
        };
        let name = if is_stdin { STDIN } else { name };
        let form = if is_binary {
            Form::DescriptorSet(Bytes::from(bytes))
        } else {
            Form::Text(text(bytes).map_err(|error| error.into_failure(name))?)
        };
        let message_name = args.message.clone().unwrap_or_default();
        let definition = Definition { form, files: BTreeMap::new(), message_name };
        let mut source = Self {
            name: name.to_owned(),
            format,
            definition,
            import_files: BTreeMap::new(),
            missing: Vec::new(),
        };
        let own_dir = (!is_stdin).then(|| path.parent().unwrap_or(Path::new("")));
        for file in &args.with {
            let import_name =
                own_dir.and_then(|own_dir| file.strip_prefix(own_dir).ok()).unwrap_or(file);
            source.add(import_name.to_string_lossy().into_owned(), file.clone())?;
        }
        if !is_binary {
            source
                .add_imports(&ImportRoots::new(own_dir, &args.import_paths)?, &args.references)?;
        }
        Ok(source)
    }

    /// A registered version: its locations have its subject and version as the file.
    pub fn registered(schema: &v1::Schema) -> Self {
        let definition = schema.definition.clone().and_then(tidings_registry::convert::definition);
        Self {
            name: printable(&format!("{} {}", schema.subject, schema.version)),
            // Only the text is printed, so that a format unknown to this program does no harm.
            format: Format::from_proto(schema.format).ok().flatten().unwrap_or(Format::Json),
            definition: definition.unwrap_or_else(|| Definition::text("")),
            import_files: BTreeMap::new(),
            missing: Vec::new(),
        }
    }

    /// The text of the schema itself, or of a file that it imports.
    pub fn text(&self, file: &str) -> Option<&str> {
        match &self.definition.form {
            Form::Text(text) if file.is_empty() => Some(text),
            Form::DescriptorSet(_) if file.is_empty() => None,
            _ => self.definition.files.get(file).map(String::as_str),
        }
    }

    /// The path of the schema itself, or of a file that it imports, on this machine.
    pub fn file_name(&self, file: &str) -> String {
        match self.import_files.get(file) {
            Some(path) => path.to_string_lossy().into_owned(),
            None if file.is_empty() => self.name.clone(),
            None => file.to_owned(),
        }
    }

    /// The remedy if the text is not a schema.
    pub fn remedy(&self) -> String {
        let advice = self.import_advice();
        advice.unwrap_or_else(|| "correct the faults above".to_owned())
    }

    /// Suggests a directory for a missing import: one of the file's ancestors may have it.
    fn import_advice(&self) -> Option<String> {
        let missing = self.missing.iter().find(|path| is_plain(path))?;
        let own_dir = Path::new(&self.name).parent()?;
        let root = own_dir.ancestors().skip(1).find(|root| root.join(missing).is_file())?;
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        Some(format!("-I {}, where {missing} is", quote(&root.to_string_lossy())))
    }

    fn add_imports(&mut self, roots: &ImportRoots, references: &[String]) -> anyhow::Result<()> {
        let find_imports = |path: &str, text: &str| imports(self.format, path, text);
        let mut pending = self.text("").map(|text| find_imports("", text)).unwrap_or_default();
        for (path, text) in &self.definition.files {
            pending.extend(find_imports(path, text));
        }
        while let Some(import) = pending.pop() {
            // These are part of every Protobuf compiler.
            let is_known = import.starts_with("google/protobuf/")
                || references.contains(&import)
                || self.definition.files.contains_key(&import)
                || self.missing.contains(&import);
            if is_known {
                continue;
            }
            match roots.find(&import) {
                Some(path) => {
                    let format = self.format;
                    let text = self.add(import.clone(), path)?;
                    pending.extend(imports(format, &import, text));
                }
                None => self.missing.push(import),
            }
        }
        self.missing.sort();
        Ok(())
    }

    /// Reads a further file.
    fn add(&mut self, import_name: String, path: PathBuf) -> anyhow::Result<&str> {
        let name = path.to_string_lossy().into_owned();
        let remaining = DEFINITION_BYTES_MAX.saturating_sub(self.definition.bytes());
        let bytes = read(&path, remaining).map_err(|error| {
            error.into_failure(&name).detail(format!(
                "{} needs it; the limit of a schema with all of its files is \
                 {DEFINITION_BYTES_MAX} bytes",
                self.name
            ))
        })?;
        let text = text(bytes).map_err(|error| error.into_failure(&name))?;
        self.import_files.insert(import_name.clone(), path);
        Ok(self.definition.files.entry(import_name).or_insert(text))
    }
}

/// The directories to search for imports.
struct ImportRoots(Vec<(PathBuf, PathBuf)>);

impl ImportRoots {
    fn new(own_dir: Option<&Path>, import_paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut roots = Vec::new();
        for root in own_dir.into_iter().chain(import_paths.iter().map(PathBuf::as_path)) {
            let dir = if root.as_os_str().is_empty() { Path::new(".") } else { root };
            let real = dir.canonicalize().map_err(|error| {
                Failure::new(format!("-I {}: {}", root.display(), cause(&error)))
                    .with_remedy("-I with an existing directory")
            })?;
            roots.push((root.to_owned(), real));
        }
        Ok(Self(roots))
    }

    /// The file of an import. None also if a symbolic link leads out: files outside of the roots
    /// are not read.
    fn find(&self, import: &str) -> Option<PathBuf> {
        if !is_plain(import) {
            return None;
        }
        let path = Path::new(import);
        self.0.iter().find_map(|(root, real)| {
            let file = real.join(path).canonicalize().ok()?;
            (file.starts_with(real) && file.is_file()).then(|| root.join(path))
        })
    }
}

/// Whether a path only descends.
fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

/// The format of an extension, and whether it is a descriptor set.
pub fn format_of(path: &Path) -> Option<(Format, bool)> {
    match path.extension()?.to_str()? {
        "proto" => Some((Format::Protobuf, false)),
        "binpb" | "pb" | "desc" | "protoset" | "fds" => Some((Format::Protobuf, true)),
        "json" => Some((Format::Json, false)),
        "avsc" => Some((Format::Avro, false)),
        _ => None,
    }
}

fn unknown_format(name: &str) -> Failure {
    let message = if name == "-" {
        "standard input has no extension that names a format".to_owned()
    } else {
        format!("{name}: its extension does not name a format")
    };
    Failure::usage(message).with_remedy("--format protobuf, --format json or --format avro")
}

/// Why a file cannot be read.
pub enum ReadError {
    /// The system reports an error.
    Io(io::Error),
    /// More bytes than this limit.
    TooLarge(usize),
    /// Not text after this byte.
    NotText(usize),
}

impl ReadError {
    /// The failure for a file of this name.
    pub fn into_failure(self, name: &str) -> Failure {
        match self {
            Self::Io(error) => Failure::new(format!("cannot read {name}: {}", cause(&error)))
                .with_remedy("a readable file, or - for standard input"),
            Self::TooLarge(limit) => {
                Failure::new(format!("{name} is too large; the limit is {limit} bytes"))
                    .with_remedy(
                        "a smaller schema: parts of it may be separate subjects that it refers to",
                    )
            }
            Self::NotText(offset) => Failure::new(format!(
                "{name} is not text: no UTF-8 after byte {offset}"
            ))
            .with_remedy(
                "the schema's text; a descriptor set has the extension .binpb, .pb or .desc",
            ),
        }
    }
}

/// Reads a file of at most `bytes_max` bytes.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
    bounded(File::open(path).map_err(ReadError::Io)?, bytes_max)
}

/// Reads to the end, or to one byte above the limit.
pub fn bounded(from: impl Read, bytes_max: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() > bytes_max { Err(ReadError::TooLarge(bytes_max)) } else { Ok(bytes) }
}

/// Decodes text, without the byte order mark that some editors write.
pub fn text(bytes: Vec<u8>) -> Result<String, ReadError> {
    let text = String::from_utf8(bytes)
        .map_err(|error| ReadError::NotText(error.utf8_error().valid_up_to()))?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// An error of the system without its number.
pub fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// The failure for two files of different formats.
pub fn different_formats(old: &Source, new: &Source) -> Failure {
    Failure::usage(format!(
        "{} is {} and {} is {}: only schemas of one format can be compared",
        old.name,
        a_schema(old.format),
        new.name,
        a_schema(new.format),
    ))
    .with_remedy("two files of one format, or --format if an extension is wrong")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_imported_files_inside_the_roots_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let dir_path = |path: &str| dir.path().join(path);
        fs::create_dir_all(dir_path("proto/deep")).unwrap();
        fs::write(dir_path("outside.proto"), "secret").unwrap();
        fs::write(dir_path("proto/unused.proto"), "").unwrap();
        fs::write(dir_path("proto/deep/b.proto"), "import \"c.proto\";").unwrap();
        fs::write(dir_path("proto/c.proto"), "import \"missing.proto\";").unwrap();
        symlink(dir_path("outside.proto"), dir_path("proto/link.proto")).unwrap();
        let text = "import \"deep/b.proto\"; import \"../outside.proto\"; import \"link.proto\";\n\
                    import \"google/protobuf/any.proto\"; import \"/etc/passwd\";";
        fs::write(dir_path("proto/a.proto"), text).unwrap();

        let name = dir_path("proto/a.proto").to_string_lossy().into_owned();
        let source = Source::read(&name, &FileArgs::default()).unwrap();
        let files: Vec<_> = source.definition.files.keys().collect();
        assert_eq!(files, ["c.proto", "deep/b.proto"]);
        assert_eq!(
            source.missing,
            ["../outside.proto", "/etc/passwd", "link.proto", "missing.proto"]
        );
        assert_eq!(source.file_name("c.proto"), dir_path("proto/c.proto").to_string_lossy());

        // A file in a subfolder does not search its ancestors, and its error suggests the folder.
        let name = dir_path("proto/deep/b.proto").to_string_lossy().into_owned();
        let source = Source::read(&name, &FileArgs::default()).unwrap();
        assert_eq!(source.definition.files.len(), 0);
        let advice = source.import_advice().unwrap();
        assert!(
            advice.starts_with("-I ") && advice.ends_with("proto, where c.proto is"),
            "{advice}"
        );
        let args = FileArgs { import_paths: vec![dir_path("proto")], ..FileArgs::default() };
        let source = Source::read(&name, &args).unwrap();
        assert_eq!(source.definition.files.len(), 1);
    }

    #[test]
    fn sizes_are_bounded_before_they_are_read() {
        assert!(matches!(bounded(io::repeat(0), 10), Err(ReadError::TooLarge(10))));
        assert!(bounded(&b"0123456789"[..], 10).is_ok());
        assert!(matches!(text(vec![b'a', 0xff]), Err(ReadError::NotText(1))));
        assert!(matches!(text("\u{feff}{}".into()).as_deref(), Ok("{}")));
    }
}
