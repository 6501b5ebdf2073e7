//! Rules of protoc for files that parse and link: the rules of descriptors.
//!
//! Only the files of a new definition are checked, not registered definitions and not files of
//! other subjects. The table in `tests/protobuf/checks.txt` lists each rule, with a text that
//! protoc rejects and a similar one that it accepts.

mod enums;
mod extensions;
mod features;
mod fields;
mod json_names;
mod messages;
mod options;
mod ranges;
mod style;
mod visibility;

use std::{collections::HashMap, rc::Rc};

use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::{DescriptorProto, FileDescriptorProto, ServiceDescriptorProto};

use crate::definition::{Fault, SourceLocation};

use self::{
    extensions::{DeclaredRange, KnownExtension},
    options::{Support, Target},
};
use super::{
    features::{Edition, Features},
    limits::Tokens,
    linker_input::child_path,
    options::DeclaredOptions,
    parse::{FAULTS_MAX, ParsedFile, ParsedFiles},
    types::Types,
};

/// Tags of descriptor fields, grouped by the message that contains them.
mod tag {
    pub(super) const FILE_MESSAGE: i32 = 4;
    pub(super) const FILE_ENUM: i32 = 5;
    pub(super) const FILE_SERVICE: i32 = 6;
    pub(super) const FILE_EXTENSION: i32 = 7;
    pub(super) const FIELD: i32 = 2;
    pub(super) const NESTED: i32 = 3;
    pub(super) const ENUM: i32 = 4;
    pub(super) const EXTENSION_RANGE: i32 = 5;
    pub(super) const EXTENSION: i32 = 6;
    pub(super) const ONEOF: i32 = 8;
    pub(super) const RESERVED_RANGE: i32 = 9;
    pub(super) const RESERVED_NAME: i32 = 10;
    pub(super) const VALUE: i32 = 2;
    pub(super) const VALUE_RESERVED_RANGE: i32 = 4;
    pub(super) const VALUE_RESERVED_NAME: i32 = 5;
    pub(super) const METHOD: i32 = 2;
}

/// A declaration: its path in the file descriptor and its full name.
#[derive(Debug, Clone)]
struct Site {
    path: Vec<i32>,
    name: String,
}

impl Site {
    /// The site of an item of one of its lists.
    fn item(&self, tag: i32, at: usize, name: &str) -> Self {
        let name = match self.name.as_str() {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        };
        Self { path: child_path(&self.path, tag, at), name }
    }

    /// The site of an item without a name; it gets the name of its container.
    fn unnamed_item(&self, tag: i32, at: usize) -> Self {
        Self { path: child_path(&self.path, tag, at), name: self.name.clone() }
    }
}

/// The properties that a declaration inherits from the enclosing declarations.
#[derive(Debug, Clone, Copy)]
struct Inherited {
    features: Features,
    /// Names must follow the style of edition 2024.
    style_enforced: bool,
}

/// The check of one definition.
pub(super) struct Check<'a> {
    sources: &'a ParsedFiles,
    pool: &'a DescriptorPool,
    types: &'a Types,
    declared: &'a DeclaredOptions,
    by_name: HashMap<&'a str, &'a ParsedFile>,
    /// The file that is checked.
    source: Option<&'a ParsedFile>,
    supports: HashMap<String, Support>,
    owners: HashMap<(String, u32), KnownExtension>,
    ranges: HashMap<(String, Vec<i32>), Rc<DeclaredRange>>,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    /// `pool` contains the files as parsed; `types` has their features resolved.
    pub(super) fn new(
        sources: &'a ParsedFiles,
        pool: &'a DescriptorPool,
        types: &'a Types,
        declared: &'a DeclaredOptions,
    ) -> Self {
        let by_name = sources.files.iter().map(|source| (source.name.as_str(), source)).collect();
        Self {
            sources,
            pool,
            types,
            declared,
            by_name,
            source: None,
            supports: HashMap::new(),
            owners: extensions::owners(pool),
            ranges: HashMap::new(),
            faults: sources.draft_faults.clone(),
        }
    }

    /// Returns all faults, in text order.
    pub(super) fn run(mut self) -> Vec<Fault> {
        for source in self.sources.files.iter().filter(|source| source.own) {
            self.source = Some(source);
            if let Some(file) = self.pool.get_file_by_name(&source.name) {
                self.check_file(file.file_descriptor_proto());
            }
        }
        self.faults.sort_by(|a, b| a.location.cmp(&b.location));
        self.faults.dedup();
        self.faults.truncate(FAULTS_MAX);
        self.faults
    }

    fn check_file(&mut self, file: &FileDescriptorProto) {
        let top = Site { path: Vec::new(), name: file.package().to_owned() };
        let options = self.options_at(&top);
        let inherited = self.inherit(
            Inherited {
                features: Features::of(self.edition()),
                // Descriptors do not contain the requested style.
                style_enforced: self.edition() >= Edition::E2024
                    && self.source.is_some_and(|source| source.text.is_some()),
            },
            options,
        );
        self.check_options(&Site { name: file.name().to_owned(), ..top.clone() }, Target::File);
        self.check_file_options(file, options);
        self.check_package_style(&top, inherited);
        for (at, message) in file.message_type.iter().enumerate() {
            let site = top.item(tag::FILE_MESSAGE, at, message.name());
            self.check_message(&site, message, inherited);
        }
        for (at, kind) in file.enum_type.iter().enumerate() {
            let site = top.item(tag::FILE_ENUM, at, kind.name());
            self.check_enum(&site, kind, inherited);
        }
        for (at, field) in file.extension.iter().enumerate() {
            let site = top.item(tag::FILE_EXTENSION, at, field.name());
            self.check_extension(&site, field, inherited);
        }
        for (at, service) in file.service.iter().enumerate() {
            let site = top.item(tag::FILE_SERVICE, at, service.name());
            self.check_service(&site, service, inherited);
        }
    }

    // As deep as messages nest: the parser accepts 31, and a set has at most 100.
    fn check_message(&mut self, site: &Site, message: &DescriptorProto, parent: Inherited) {
        let options = self.options_at(site);
        let inherited = self.inherit(parent, options);
        self.check_options(site, Target::Message);
        self.check_nested_visibility(site);
        self.check_numbers(site, message);
        self.check_json_names(site, message, inherited.features.legacy_json);
        self.check_oneofs(site, message);
        let is_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
        if inherited.style_enforced && !is_entry {
            self.check_title_case(site, "message", message.name());
        }
        for (at, oneof) in message.oneof_decl.iter().enumerate() {
            let site = site.item(tag::ONEOF, at, oneof.name());
            self.check_options(&site, Target::Oneof);
            let is_synthetic = message.field.iter().any(|field| {
                field.oneof_index == i32::try_from(at).ok() && field.proto3_optional()
            });
            if self.inherit(inherited, self.options_at(&site)).style_enforced && !is_synthetic {
                self.check_snake_case(&site, "oneof", oneof.name());
            }
        }
        for (at, field) in message.field.iter().enumerate() {
            let site = site.item(tag::FIELD, at, field.name());
            self.check_message_field(&site, field, message, inherited);
        }
        for (at, nested) in message.nested_type.iter().enumerate() {
            let site = site.item(tag::NESTED, at, nested.name());
            if !nested.options.as_ref().is_some_and(|options| options.map_entry()) {
                self.check_message(&site, nested, inherited);
            }
        }
        for (at, kind) in message.enum_type.iter().enumerate() {
            let nested = site.item(tag::ENUM, at, kind.name());
            self.check_nested_enum_visibility(&nested, site, message);
            self.check_enum(&nested, kind, inherited);
        }
        for at in 0..message.extension_range.len() {
            self.check_options(
                &site.unnamed_item(tag::EXTENSION_RANGE, at),
                Target::ExtensionRange,
            );
        }
        self.check_declarations(site, message);
        for (at, field) in message.extension.iter().enumerate() {
            let site = site.item(tag::EXTENSION, at, field.name());
            self.check_extension(&site, field, inherited);
        }
    }

    fn check_service(&mut self, site: &Site, service: &ServiceDescriptorProto, parent: Inherited) {
        self.check_options(site, Target::Service);
        let inherited = self.inherit(parent, self.options_at(site));
        if inherited.style_enforced {
            self.check_title_case(site, "service", service.name());
        }
        for (at, method) in service.method.iter().enumerate() {
            let site = site.item(tag::METHOD, at, method.name());
            self.check_options(&site, Target::Method);
            for used in [method.input_type(), method.output_type()] {
                self.check_visible(&site, used, "a method");
            }
            if self.inherit(inherited, self.options_at(&site)).style_enforced {
                self.check_title_case(&site, "method", method.name());
            }
        }
    }

    fn edition(&self) -> Edition {
        self.source.map_or(Edition::Proto2, |source| source.edition)
    }

    /// The interpreted options of a declaration of the file.
    fn options_at(&self, site: &Site) -> Option<&'a DynamicMessage> {
        self.declared.get(&self.source?.name, &site.path)
    }

    fn inherit(&self, parent: Inherited, options: Option<&DynamicMessage>) -> Inherited {
        let Some(options) = options else { return parent };
        Inherited {
            features: parent.features.overridden_by(options),
            style_enforced: style::enforced(options).unwrap_or(parent.style_enforced),
        }
    }

    fn fault(&mut self, site: &Site, message: String) {
        self.fault_near(site, "", message);
    }

    /// Adds a fault. If the site has no location, as for the file itself, the location is the first
    /// occurrence of `word`.
    fn fault_near(&mut self, site: &Site, word: &str, message: String) {
        // `run` sorts and truncates them; a file can have 10,000 declarations.
        if self.faults.len() >= 20 * FAULTS_MAX {
            return;
        }
        let Some(source) = self.source else { return };
        let mut location = self.sources.locations.of(&source.name, &site.path);
        if location.line == 0 {
            let file = if source.name == self.sources.main { "" } else { &source.name };
            location = match &source.text {
                Some(text) => {
                    let at = Tokens::new(&text.written).find(|(_, token)| ends_with(token, word));
                    SourceLocation::of_byte(&text.written, at.map_or(0, |(at, _)| at))
                }
                None => SourceLocation { path: site.name.clone(), ..SourceLocation::default() },
            };
            file.clone_into(&mut location.file);
        }
        self.faults.push(Fault { location, message });
    }
}

/// Whether `token` is `word`, or a dotted name that ends with it.
fn ends_with(token: &[u8], word: &str) -> bool {
    token
        .strip_suffix(word.as_bytes())
        .is_some_and(|prefix| matches!(prefix.last(), None | Some(b'.')))
}

/// The full name of a type as descriptors refer to it.
fn full_name(reference: &str) -> &str {
    reference.strip_prefix('.').unwrap_or(reference)
}
