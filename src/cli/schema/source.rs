//! A schema in files: the text or the descriptor set, and what the text refers to in its own directory and below
//! `-I`. Nothing outside of these is read.

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
    imports::imports,
    words::{FormatWord, a_schema},
};

/// What `-` is called where a place in it is told.
const STDIN: &str = "<stdin>";

/// Flags that say how a schema's file is read.
#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// What the file is; otherwise its extension says: .proto, .binpb, .pb, .desc (Protobuf), .json (JSON Schema), .avsc (Avro)
    #[arg(long, value_enum)]
    pub format: Option<FormatWord>,
    /// Protobuf: full name of the event's message, where the file has several
    #[arg(long, value_name = "NAME")]
    pub message: Option<String>,
    /// A directory that imports are looked up in, behind the file's own; repeatable
    #[arg(short = 'I', long = "import-path", value_name = "DIR")]
    pub import_paths: Vec<PathBuf>,
    /// A further file that the schema needs, such as one with Avro types; repeatable
    #[arg(long = "with", value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Names that stand for other subjects, not for files.
    #[arg(skip)]
    pub references: Vec<String>,
}

/// A schema that was read from files. Whether it is one is still to be seen.
#[derive(Debug, Clone)]
pub struct Source {
    /// As it was called; what a place in it is told with.
    pub name: String,
    /// By its flag or extension.
    pub format: Format,
    /// What the files say.
    pub definition: Definition,
    /// Where imported files were found.
    found: BTreeMap<String, PathBuf>,
    /// Imports that no directory had.
    missing: Vec<String>,
}

impl Source {
    /// Reads a file, or `-` for standard input.
    pub fn read(name: &str, args: &FileArgs) -> anyhow::Result<Self> {
        let is_stdin = name == "-";
        let path = Path::new(name);
        let (format, is_binary) = match (args.format, kind_of(path)) {
            (Some(word), Some((format, is_binary))) if Format::from(word) == format => {
                (format, is_binary)
            }
            (Some(word), _) => (word.into(), false),
            (None, Some(kind)) if !is_stdin => kind,
            (None, _) => return Err(unknown_format(name).into()),
        };
        let bytes = if is_stdin {
            bounded(io::stdin().lock(), DEFINITION_BYTES_MAX).map_err(|fault| fault.of(STDIN))?
        } else {
            read(path, DEFINITION_BYTES_MAX).map_err(|fault| fault.of(name))?
        };
        let name = if is_stdin { STDIN } else { name };
        let form = if is_binary {
            Form::DescriptorSet(Bytes::from(bytes))
        } else {
            Form::Text(text(bytes).map_err(|fault| fault.of(name))?)
        };
        let message_name = args.message.clone().unwrap_or_default();
        let definition = Definition { form, files: BTreeMap::new(), message_name };
        let mut source = Self {
            name: name.to_owned(),
            format,
            definition,
            found: BTreeMap::new(),
            missing: Vec::new(),
        };
        let own = (!is_stdin).then(|| path.parent().unwrap_or(Path::new("")));
        for file in &args.with {
            let known_as = own.and_then(|own| file.strip_prefix(own).ok()).unwrap_or(file);
            source.add(known_as.to_string_lossy().into_owned(), file.clone())?;
        }
        if !is_binary {
            source.add_imports(&Roots::new(own, &args.import_paths)?, &args.references)?;
        }
        Ok(source)
    }

    /// A version that is registered already: its places are told with its subject and number.
    pub fn registered(schema: &v1::Schema) -> Self {
        let definition = schema.definition.clone().and_then(tidings_registry::convert::definition);
        Self {
            name: printable(&format!("{} {}", schema.subject, schema.version)),
            // Only its text is told; a format that is newer than this program says no more.
            format: Format::from_proto(schema.format).ok().flatten().unwrap_or(Format::Json),
            definition: definition.unwrap_or_else(|| Definition::text("")),
            found: BTreeMap::new(),
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

    /// What the schema itself, or a file that it imports, is called on this machine.
    pub fn file_name(&self, file: &str) -> String {
        match self.found.get(file) {
            Some(path) => path.to_string_lossy().into_owned(),
            None if file.is_empty() => self.name.clone(),
            None => file.to_owned(),
        }
    }

    /// What may help where it is not a schema.
    pub fn remedy(&self) -> String {
        let advice = self.import_advice();
        advice.unwrap_or_else(|| "the same with the places above put right".to_owned())
    }

    /// What would find an import that was not found: one of the file's ancestors may have it.
    fn import_advice(&self) -> Option<String> {
        let missing = self.missing.iter().find(|path| is_plain(path))?;
        let own = Path::new(&self.name).parent()?;
        let root = own.ancestors().skip(1).find(|root| root.join(missing).is_file())?;
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        Some(format!("-I {}, where {missing} is", quote(&root.to_string_lossy())))
    }

    fn add_imports(&mut self, roots: &Roots, references: &[String]) -> anyhow::Result<()> {
        let wants = |path: &str, text: &str| imports(self.format, path, text);
        let mut wanted = self.text("").map(|text| wants("", text)).unwrap_or_default();
        for (path, text) in &self.definition.files {
            wanted.extend(wants(path, text));
        }
        while let Some(import) = wanted.pop() {
            // What comes with every Protobuf compiler needs no files.
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
                    wanted.extend(imports(format, &import, text));
                }
                None => self.missing.push(import),
            }
        }
        self.missing.sort();
        Ok(())
    }

    /// Takes in a further file.
    fn add(&mut self, known_as: String, path: PathBuf) -> anyhow::Result<&str> {
        let name = path.to_string_lossy().into_owned();
        let room = DEFINITION_BYTES_MAX.saturating_sub(self.definition.bytes());
        let bytes = read(&path, room).map_err(|fault| {
            fault.of(&name).detail(format!(
                "{} needs it; a schema has at most {DEFINITION_BYTES_MAX} bytes with all that it needs",
                self.name
            ))
        })?;
        let text = text(bytes).map_err(|fault| fault.of(&name))?;
        self.found.insert(known_as.clone(), path);
        Ok(self.definition.files.entry(known_as).or_insert(text))
    }
}

/// The directories that imports are looked up in.
struct Roots(Vec<(PathBuf, PathBuf)>);

impl Roots {
    fn new(own: Option<&Path>, further: &[PathBuf]) -> Result<Self, Failure> {
        let mut roots = Vec::new();
        for root in own.into_iter().chain(further.iter().map(PathBuf::as_path)) {
            let named = if root.as_os_str().is_empty() { Path::new(".") } else { root };
            let real = named.canonicalize().map_err(|error| {
                Failure::new(format!("-I {}: {}", root.display(), cause(&error)))
                    .try_this("-I with a directory that is there")
            })?;
            roots.push((root.to_owned(), real));
        }
        Ok(Self(roots))
    }

    /// The file of an import. None also where a link leads out: what is outside of the roots is nobody's business.
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

/// Whether a path leads down only.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|it| matches!(it, Component::Normal(_)))
}

/// What an extension says: the format, and whether it is a descriptor set.
pub fn kind_of(path: &Path) -> Option<(Format, bool)> {
    match path.extension()?.to_str()? {
        "proto" => Some((Format::Protobuf, false)),
        "binpb" | "pb" | "desc" | "protoset" | "fds" => Some((Format::Protobuf, true)),
        "json" => Some((Format::Json, false)),
        "avsc" => Some((Format::Avro, false)),
        _ => None,
    }
}

fn unknown_format(name: &str) -> Failure {
    let what = if name == "-" {
        "standard input has no extension that says which format it is".to_owned()
    } else {
        format!("{name}: its extension does not say which format it is")
    };
    Failure::usage(what).try_this("--format protobuf, --format json or --format avro")
}

/// Why a file cannot be taken.
pub enum Unreadable {
    /// The system says no.
    Io(io::Error),
    /// More bytes than this.
    TooLarge(usize),
    /// Not text behind this byte.
    NotText(usize),
}

impl Unreadable {
    /// With the file's name.
    pub fn of(self, name: &str) -> Failure {
        match self {
            Self::Io(error) => Failure::new(format!("cannot read {name}: {}", cause(&error)))
                .try_this("a file that is there and can be read, or - for standard input"),
            Self::TooLarge(limit) => {
                Failure::new(format!("{name} is too large: at most {limit} bytes are taken here"))
                    .try_this(
                        "less: parts of a schema may be subjects of their own that it refers to",
                    )
            }
            Self::NotText(at) => Failure::new(format!(
                "{name} is not text: no UTF-8 behind byte {at}"
            ))
            .try_this("the schema's text; a descriptor set has to be called .binpb, .pb or .desc"),
        }
    }
}

/// Reads a file that has at most so many bytes.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    bounded(File::open(path).map_err(Unreadable::Io)?, bytes_max)
}

/// Reads to the end, or up to one byte too many.
pub fn bounded(from: impl Read, bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    from.take(limit).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() > bytes_max { Err(Unreadable::TooLarge(bytes_max)) } else { Ok(bytes) }
}

/// Bytes as text, without the mark that some editors begin files with.
pub fn text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    let text = String::from_utf8(bytes)
        .map_err(|error| Unreadable::NotText(error.utf8_error().valid_up_to()))?;
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

/// What is wrong with two files of different formats.
pub fn different_formats(old: &Source, new: &Source) -> Failure {
    Failure::usage(format!(
        "{} is {} and {} is {}: schemas of one format are compared",
        old.name,
        a_schema(old.format),
        new.name,
        a_schema(new.format),
    ))
    .try_this("two files of one format, or --format where an extension is wrong")
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_what_is_imported_is_read_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("proto/deep")).unwrap();
        fs::write(at("outside.proto"), "secret").unwrap();
        fs::write(at("proto/unused.proto"), "").unwrap();
        fs::write(at("proto/deep/b.proto"), "import \"c.proto\";").unwrap();
        fs::write(at("proto/c.proto"), "import \"missing.proto\";").unwrap();
        symlink(at("outside.proto"), at("proto/link.proto")).unwrap();
        let text = "import \"deep/b.proto\"; import \"../outside.proto\"; import \"link.proto\";\n\
                    import \"google/protobuf/any.proto\"; import \"/etc/passwd\";";
        fs::write(at("proto/a.proto"), text).unwrap();

        let name = at("proto/a.proto").to_string_lossy().into_owned();
        let source = Source::read(&name, &FileArgs::default()).unwrap();
        let files: Vec<_> = source.definition.files.keys().collect();
        assert_eq!(files, ["c.proto", "deep/b.proto"]);
        assert_eq!(
            source.missing,
            ["../outside.proto", "/etc/passwd", "link.proto", "missing.proto"]
        );
        assert_eq!(source.file_name("c.proto"), at("proto/c.proto").to_string_lossy());

        // A file below knows nothing of its ancestors, and is told where to look.
        let name = at("proto/deep/b.proto").to_string_lossy().into_owned();
        let source = Source::read(&name, &FileArgs::default()).unwrap();
        assert_eq!(source.definition.files.len(), 0);
        let advice = source.import_advice().unwrap();
        assert!(
            advice.starts_with("-I ") && advice.ends_with("proto, where c.proto is"),
            "{advice}"
        );
        let args = FileArgs { import_paths: vec![at("proto")], ..FileArgs::default() };
        let source = Source::read(&name, &args).unwrap();
        assert_eq!(source.definition.files.len(), 1);
    }

    #[test]
    fn sizes_are_bounded_before_they_are_read() {
        assert!(matches!(bounded(io::repeat(0), 10), Err(Unreadable::TooLarge(10))));
        assert!(bounded(&b"0123456789"[..], 10).is_ok());
        assert!(matches!(text(vec![b'a', 0xff]), Err(Unreadable::NotText(1))));
        assert!(matches!(text("\u{feff}{}".into()).as_deref(), Ok("{}")));
    }
}
