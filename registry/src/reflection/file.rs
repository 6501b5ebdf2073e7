//! A file of descriptors: what it declares, and its bytes under another name.

use std::collections::BTreeSet;

use bytes::{Buf as _, Bytes};
use prost::{
    DecodeError, Message as _,
    encoding::{self, DecodeContext, WireType},
};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use tidings_schema::protobuf::{Syntax, commented};

/// Tags of a `FileDescriptorProto`.
mod tag {
    pub const NAME: u32 = 1;
    pub const DEPENDENCY: u32 = 3;
    pub const MESSAGE: u32 = 4;
    pub const ENUM: u32 = 5;
    pub const SERVICE: u32 = 6;
    pub const EXTENSION: u32 = 7;
    pub const SOURCE_CODE_INFO: u32 = 9;
    pub const PUBLIC_DEPENDENCY: u32 = 10;
    pub const WEAK_DEPENDENCY: u32 = 11;
    pub const SYNTAX: u32 = 12;
    pub const EDITION: u32 = 14;
    pub const OPTION_DEPENDENCY: u32 = 15;
}

/// Edition 2023. What edition 2024 added is about names and visibility in texts, so its files read the same as this one,
/// and more clients know it.
const EDITION_2023: u64 = 1000;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Enum,
    /// A value of an enum: its name stands beside that of the enum, not below it.
    Value,
    Service,
    Extension,
}

/// Something that stands at the top level of a file, with everything that it has inside.
#[derive(Debug)]
pub(super) struct Declaration {
    tag: u32,
    /// Counted among those of its tag.
    at: usize,
    pub(super) kind: Kind,
    /// Full.
    pub(super) name: String,
    /// Full names that come with it. Fields, oneofs and methods are not among them: theirs begin with its own.
    pub(super) inner: Vec<(String, Kind)>,
    /// What is extended, and under which number.
    pub(super) extensions: Vec<(String, i32)>,
}

/// A declaration's place in its file.
pub(super) type DeclarationIndex = (u32, usize);

impl Declaration {
    fn new(place: DeclarationIndex, kind: Kind, name: String) -> Self {
        Self { tag: place.0, at: place.1, kind, name, inner: Vec::new(), extensions: Vec::new() }
    }

    pub(super) fn place(&self) -> DeclarationIndex {
        (self.tag, self.at)
    }

    /// All full names that it brings.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, Kind)> {
        let inner = self.inner.iter().map(|(name, kind)| (name.as_str(), *kind));
        std::iter::once((self.name.as_str(), self.kind)).chain(inner)
    }

    // As deep as messages nest: prost decodes 100 levels.
    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        for nested in &message.nested_type {
            let name = below(scope, nested.name());
            self.inner.push((name.clone(), Kind::Message));
            self.message(&name, nested);
        }
        for kind in &message.enum_type {
            self.inner.push((below(scope, kind.name()), Kind::Enum));
            self.values(scope, kind);
        }
        for field in &message.extension {
            self.inner.push((below(scope, field.name()), Kind::Extension));
            self.extension(field);
        }
    }

    fn values(&mut self, scope: &str, kind: &EnumDescriptorProto) {
        let values = kind.value.iter().map(|it| (below(scope, it.name()), Kind::Value));
        self.inner.extend(values);
    }

    fn extension(&mut self, field: &FieldDescriptorProto) {
        let extended = field.extendee().trim_start_matches('.').to_owned();
        self.extensions.push((extended, field.number()));
    }
}

/// A file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    bytes: Bytes,
    syntax: Syntax,
    pub(super) package: String,
    /// The names of the files that it imports.
    pub(super) imports: Vec<String>,
    pub(super) declarations: Vec<Declaration>,
}

/// The bytes of a file.
pub(super) struct Written {
    /// For those who ask.
    pub(super) served: Bytes,
    /// For the linker, where that one has to read it as something else.
    pub(super) linked: Option<Bytes>,
}

impl File {
    /// Reads a `FileDescriptorProto`.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn read(bytes: Bytes, syntax: Syntax) -> Result<Self, DecodeError> {
        let file = FileDescriptorProto::decode(bytes.clone())?;
        let (name, package) = (file.name().to_owned(), file.package().to_owned());
        let mut declarations = Vec::new();
        for (at, message) in file.message_type.iter().enumerate() {
            let name = below(&package, message.name());
            let mut it = Declaration::new((tag::MESSAGE, at), Kind::Message, name.clone());
            it.message(&name, message);
            declarations.push(it);
        }
        for (at, kind) in file.enum_type.iter().enumerate() {
            let name = below(&package, kind.name());
            let mut it = Declaration::new((tag::ENUM, at), Kind::Enum, name);
            it.values(&package, kind);
            declarations.push(it);
        }
        for (at, service) in file.service.iter().enumerate() {
            let name = below(&package, service.name());
            declarations.push(Declaration::new((tag::SERVICE, at), Kind::Service, name));
        }
        for (at, field) in file.extension.iter().enumerate() {
            let name = below(&package, field.name());
            let mut it = Declaration::new((tag::EXTENSION, at), Kind::Extension, name);
            it.extension(field);
            declarations.push(it);
        }
        Ok(Self { name, bytes, syntax, package, imports: file.dependency, declarations })
    }

    /// The same file under another name, with other imports, and without some of its declarations. Every other byte stays.
    ///
    /// # Errors
    /// Never, for one that was read.
    pub(super) fn written(
        &self,
        name: &str,
        imports: &[&str],
        without: &BTreeSet<DeclarationIndex>,
    ) -> Result<Written, DecodeError> {
        let served = self.write(name, imports, without, self.syntax)?;
        let linked = match self.syntax {
            Syntax::AsSaid => None,
            Syntax::Proto3 | Syntax::Edition => {
                Some(self.write(name, imports, without, Syntax::AsSaid)?)
            }
        };
        Ok(Written { served, linked })
    }

    fn write(
        &self,
        name: &str,
        imports: &[&str],
        without: &BTreeSet<DeclarationIndex>,
        syntax: Syntax,
    ) -> Result<Bytes, DecodeError> {
        let mut out = Vec::with_capacity(self.bytes.len() + 64 * (imports.len() + 1));
        encoding::string::encode(tag::NAME, &name.to_owned(), &mut out);
        let imports: Vec<String> = imports.iter().map(|it| (*it).to_owned()).collect();
        encoding::string::encode_repeated(tag::DEPENDENCY, &imports, &mut out);
        let mut counts = [0_usize; 4];
        for (tag, field) in fields(self.bytes.clone())? {
            let is_kept = match tag {
                // Imports stand under other names, and each file imports directly what it uses.
                tag::NAME
                | tag::DEPENDENCY
                | tag::PUBLIC_DEPENDENCY
                | tag::WEAK_DEPENDENCY
                | tag::OPTION_DEPENDENCY => false,
                tag::MESSAGE | tag::ENUM | tag::SERVICE | tag::EXTENSION => {
                    let counted =
                        usize::try_from(tag - tag::MESSAGE).ok().and_then(|it| counts.get_mut(it));
                    let at = counted.map_or(0, |it| std::mem::replace(it, *it + 1));
                    !without.contains(&(tag, at))
                }
                // It says where something stands by counting.
                tag::SOURCE_CODE_INFO => without.is_empty(),
                tag::SYNTAX | tag::EDITION => syntax == Syntax::AsSaid,
                _ => true,
            };
            if is_kept {
                out.extend_from_slice(&field);
            }
        }
        match syntax {
            Syntax::AsSaid => {}
            Syntax::Proto3 => {
                encoding::string::encode(tag::SYNTAX, &"proto3".to_owned(), &mut out);
            }
            Syntax::Edition => {
                encoding::string::encode(tag::SYNTAX, &"editions".to_owned(), &mut out);
                encoding::encode_key(tag::EDITION, WireType::Varint, &mut out);
                encoding::encode_varint(EDITION_2023, &mut out);
            }
        }
        Ok(out.into())
    }
}

/// The fields of a message as they are encoded, with their tags.
fn fields(mut rest: Bytes) -> Result<Vec<(u32, Bytes)>, DecodeError> {
    let mut fields = Vec::new();
    while rest.has_remaining() {
        let before = rest.clone();
        let (tag, wire) = encoding::decode_key(&mut rest)?;
        encoding::skip_field(wire, tag, &mut rest, DecodeContext::default())?;
        fields.push((tag, before.slice(..before.len() - rest.len())));
    }
    Ok(fields)
}

/// A file of which the places in its text are only known where they have a comment: a tenth of the places, and all that is
/// shown of them.
///
/// # Errors
/// Where it is no `FileDescriptorProto`.
pub(super) fn with_comments(bytes: Bytes) -> Result<Bytes, DecodeError> {
    let info = FileDescriptorProto::decode(bytes.clone())?.source_code_info;
    let mut out = Vec::with_capacity(bytes.len());
    for (tag, field) in fields(bytes)? {
        if tag != tag::SOURCE_CODE_INFO {
            out.extend_from_slice(&field);
        }
    }
    let info = commented(&info.unwrap_or_default());
    if !info.location.is_empty() {
        encoding::message::encode(tag::SOURCE_CODE_INFO, &info, &mut out);
    }
    Ok(out.into())
}

/// A file that imports another one beside.
pub(super) fn importing(file: Bytes, other: &str) -> Bytes {
    // Repeated fields go on wherever they stand.
    let mut out = Vec::from(file);
    encoding::string::encode(tag::DEPENDENCY, &other.to_owned(), &mut out);
    out.into()
}

/// The full name of something in a scope.
pub(super) fn below(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

/// Whether a file declares a field, an oneof or a method of this full name, in a message or a service that it declares.
pub(super) fn has_member(descriptor: &[u8], owner: &str, member: &str) -> bool {
    let Ok(file) = FileDescriptorProto::decode(descriptor) else { return false };
    let within = match file.package() {
        "" => owner,
        package => match owner.strip_prefix(package).and_then(|it| it.strip_prefix('.')) {
            Some(within) => within,
            None => return false,
        },
    };
    if let Some(service) = file.service.iter().find(|it| it.name() == within) {
        return service.method.iter().any(|it| it.name() == member);
    }
    let mut messages = &file.message_type;
    let mut found: Option<&DescriptorProto> = None;
    for name in within.split('.') {
        found = messages.iter().find(|it| it.name() == name);
        let Some(message) = found else { return false };
        messages = &message.nested_type;
    }
    found.is_some_and(|it| {
        it.field.iter().any(|field| field.name() == member)
            || it.oneof_decl.iter().any(|oneof| oneof.name() == member)
    })
}
