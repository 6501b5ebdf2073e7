//! A file descriptor: its declarations, and its encoding under another name.

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

/// Edition 2023. Edition 2024 added rules about names and visibility in source text only, so its
/// descriptors have the same meaning in edition 2023, which more clients support.
const EDITION_2023: u64 = 1000;

/// The kind of a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Enum,
    /// A value of an enum: its name is a sibling of the name of the enum, not a child.
    Value,
    Service,
    Extension,
}

/// A top-level declaration of a file, with its nested declarations.
#[derive(Debug)]
pub(super) struct Declaration {
    tag: u32,
    /// The index among the declarations with the same tag.
    index: usize,
    pub(super) kind: Kind,
    /// The full name.
    pub(super) name: String,
    /// The full names of nested declarations. Fields, oneofs and methods are not included: their
    /// names begin with the name of their parent.
    pub(super) nested: Vec<(String, Kind)>,
    /// The extended messages, with the numbers of the extensions.
    pub(super) extensions: Vec<(String, i32)>,
}

/// The tag of a declaration, and its index among the declarations with that tag.
pub(super) type DeclarationIndex = (u32, usize);

impl Declaration {
    fn new((tag, index): DeclarationIndex, kind: Kind, name: String) -> Self {
        Self { tag, index, kind, name, nested: Vec::new(), extensions: Vec::new() }
    }

    pub(super) fn index(&self) -> DeclarationIndex {
        (self.tag, self.index)
    }

    /// Returns all full names that it declares.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, Kind)> {
        let nested = self.nested.iter().map(|(name, kind)| (name.as_str(), *kind));
        std::iter::once((self.name.as_str(), self.kind)).chain(nested)
    }

    // Recurses as deep as messages nest: prost decodes 100 levels.
    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        for nested in &message.nested_type {
            let name = qualified(scope, nested.name());
            self.nested.push((name.clone(), Kind::Message));
            self.message(&name, nested);
        }
        for kind in &message.enum_type {
            self.nested.push((qualified(scope, kind.name()), Kind::Enum));
            self.values(scope, kind);
        }
        for field in &message.extension {
            self.nested.push((qualified(scope, field.name()), Kind::Extension));
            self.extension(field);
        }
    }

    fn values(&mut self, scope: &str, kind: &EnumDescriptorProto) {
        let values = kind.value.iter().map(|value| (qualified(scope, value.name()), Kind::Value));
        self.nested.extend(values);
    }

    fn extension(&mut self, field: &FieldDescriptorProto) {
        let extended = field.extendee().trim_start_matches('.').to_owned();
        self.extensions.push((extended, field.number()));
    }
}

/// A file descriptor.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    bytes: Bytes,
    syntax: Syntax,
    pub(super) package: String,
    /// The names of the imported files.
    pub(super) imports: Vec<String>,
    pub(super) declarations: Vec<Declaration>,
}

/// An encoded file descriptor.
pub(super) struct EncodedFile {
    /// The bytes for clients.
    pub(super) served: Bytes,
    /// The bytes for the linker, if it has to read the file as another syntax.
    pub(super) linked: Option<Bytes>,
}

impl File {
    /// Decodes a `FileDescriptorProto`.
    ///
    /// # Errors
    /// Returns an error if the bytes do not decode.
    pub(super) fn decode(bytes: Bytes, syntax: Syntax) -> Result<Self, DecodeError> {
        let file = FileDescriptorProto::decode(bytes.clone())?;
        let (name, package) = (file.name().to_owned(), file.package().to_owned());
        let mut declarations = Vec::new();
        for (index, message) in file.message_type.iter().enumerate() {
            let name = qualified(&package, message.name());
            let index = (tag::MESSAGE, index);
            let mut declaration = Declaration::new(index, Kind::Message, name.clone());
            declaration.message(&name, message);
            declarations.push(declaration);
        }
        for (index, kind) in file.enum_type.iter().enumerate() {
            let name = qualified(&package, kind.name());
            let mut declaration = Declaration::new((tag::ENUM, index), Kind::Enum, name);
            declaration.values(&package, kind);
            declarations.push(declaration);
        }
        for (index, service) in file.service.iter().enumerate() {
            let name = qualified(&package, service.name());
            declarations.push(Declaration::new((tag::SERVICE, index), Kind::Service, name));
        }
        for (index, field) in file.extension.iter().enumerate() {
            let name = qualified(&package, field.name());
            let mut declaration = Declaration::new((tag::EXTENSION, index), Kind::Extension, name);
            declaration.extension(field);
            declarations.push(declaration);
        }
        Ok(Self { name, bytes, syntax, package, imports: file.dependency, declarations })
    }

    /// Encodes the file under another name, with other imports, and without some of its
    /// declarations. All other bytes stay unchanged.
    ///
    /// # Errors
    /// Never returns an error for a file that was decoded.
    pub(super) fn encode(
        &self,
        name: &str,
        imports: &[&str],
        without: &BTreeSet<DeclarationIndex>,
    ) -> Result<EncodedFile, DecodeError> {
        let served = self.encode_as(name, imports, without, self.syntax)?;
        let linked = match self.syntax {
            Syntax::Declared => None,
            Syntax::Proto3 | Syntax::Edition => {
                Some(self.encode_as(name, imports, without, Syntax::Declared)?)
            }
        };
        Ok(EncodedFile { served, linked })
    }

    fn encode_as(
        &self,
        name: &str,
        imports: &[&str],
        without: &BTreeSet<DeclarationIndex>,
        syntax: Syntax,
    ) -> Result<Bytes, DecodeError> {
        let mut out = Vec::with_capacity(self.bytes.len() + 64 * (imports.len() + 1));
        encoding::string::encode(tag::NAME, &name.to_owned(), &mut out);
        let imports: Vec<String> = imports.iter().map(|import| (*import).to_owned()).collect();
        encoding::string::encode_repeated(tag::DEPENDENCY, &imports, &mut out);
        let mut counts = [0_usize; 4];
        for (tag, field) in fields(self.bytes.clone())? {
            let is_kept = match tag {
                // Imports are written with other names. Each file imports directly what it uses.
                tag::NAME
                | tag::DEPENDENCY
                | tag::PUBLIC_DEPENDENCY
                | tag::WEAK_DEPENDENCY
                | tag::OPTION_DEPENDENCY => false,
                tag::MESSAGE | tag::ENUM | tag::SERVICE | tag::EXTENSION => {
                    let kind = usize::try_from(tag - tag::MESSAGE).ok();
                    let count = kind.and_then(|kind| counts.get_mut(kind));
                    let index = count.map_or(0, |count| std::mem::replace(count, *count + 1));
                    !without.contains(&(tag, index))
                }
                // Its paths contain indexes of declarations.
                tag::SOURCE_CODE_INFO => without.is_empty(),
                tag::SYNTAX | tag::EDITION => syntax == Syntax::Declared,
                _ => true,
            };
            if is_kept {
                out.extend_from_slice(&field);
            }
        }
        match syntax {
            Syntax::Declared => {}
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

/// Returns the encoded fields of a message, with their tags.
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

/// Removes the locations without comments from a file: only comments are shown, and a tenth of the
/// locations has one.
///
/// # Errors
/// Returns an error if the bytes are not a `FileDescriptorProto`.
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

/// Adds an import to a file.
pub(super) fn with_import(file: Bytes, import: &str) -> Bytes {
    // Elements of a repeated field may be anywhere in a message.
    let mut out = Vec::from(file);
    encoding::string::encode(tag::DEPENDENCY, &import.to_owned(), &mut out);
    out.into()
}

/// Returns the full name of a declaration in a scope.
pub(super) fn qualified(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

/// Returns whether a file declares a field, an oneof or a method of this name, in a message or a
/// service that it declares.
pub(super) fn has_member(descriptor: &[u8], owner: &str, member: &str) -> bool {
    let Ok(file) = FileDescriptorProto::decode(descriptor) else { return false };
    let within = match file.package() {
        "" => owner,
        package => match owner.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')) {
            Some(within) => within,
            None => return false,
        },
    };
    if let Some(service) = file.service.iter().find(|service| service.name() == within) {
        return service.method.iter().any(|method| method.name() == member);
    }
    let mut messages = &file.message_type;
    let mut found: Option<&DescriptorProto> = None;
    for name in within.split('.') {
        found = messages.iter().find(|message| message.name() == name);
        let Some(message) = found else { return false };
        messages = &message.nested_type;
    }
    found.is_some_and(|message| {
        message.field.iter().any(|field| field.name() == member)
            || message.oneof_decl.iter().any(|oneof| oneof.name() == member)
    })
}
