//! What protoc refuses of files that parse and link: the rules of descriptors.
//!
//! Only the files of a new definition are checked. What is registered is read without, and so are
//! files that come from other subjects. The table of `tests/protobuf/checks.txt` has each rule,
//! with a text that protoc refuses and a near one that it accepts.

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
    extensions::{DeclaredRange, Owner},
    options::{Support, Target},
};
use super::{
    amendments::child,
    features::{Edition, Features},
    limits::Tokens,
    options::DeclaredOptions,
    source::{FAULTS_MAX, Source, Sources},
    types::Types,
};

/// Tags of descriptors, by what they are in.
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

/// A declaration: where it stands in its file, and its full name.
#[derive(Debug, Clone)]
struct Site {
    path: Vec<i32>,
    name: String,
}

impl Site {
    /// An item of one of its lists.
    fn item(&self, tag: i32, at: usize, name: &str) -> Self {
        let name = match self.name.as_str() {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        };
        Self { path: child(&self.path, tag, at), name }
    }

    /// An item that goes by the name of what it is in.
    fn part(&self, tag: i32, at: usize) -> Self {
        Self { path: child(&self.path, tag, at), name: self.name.clone() }
    }
}

/// What a declaration has from those around it.
#[derive(Debug, Clone, Copy)]
struct Inherited {
    features: Features,
    /// Names have to be in the style of edition 2024.
    styled: bool,
}

/// The check of one definition.
pub(super) struct Check<'a> {
    sources: &'a Sources,
    pool: &'a DescriptorPool,
    types: &'a Types,
    declared: &'a DeclaredOptions,
    by_name: HashMap<&'a str, &'a Source>,
    /// The file that is checked.
    source: Option<&'a Source>,
    supports: HashMap<String, Support>,
    owners: HashMap<(String, u32), Owner>,
    ranges: HashMap<(String, Vec<i32>), Rc<DeclaredRange>>,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    /// Of files that were linked as they were parsed, with the types that their features make of
    /// them.
    pub(super) fn new(
        sources: &'a Sources,
        pool: &'a DescriptorPool,
        types: &'a Types,
        declared: &'a DeclaredOptions,
    ) -> Self {
        let by_name = sources.files.iter().map(|it| (it.name.as_str(), it)).collect();
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

    /// All faults, in the order of the text.
    pub(super) fn run(mut self) -> Vec<Fault> {
        for source in self.sources.files.iter().filter(|it| it.own) {
            self.source = Some(source);
            if let Some(file) = self.pool.get_file_by_name(&source.name) {
                self.check_file(file.file_descriptor_proto());
            }
        }
        self.faults.sort_by(|one, other| one.place.cmp(&other.place));
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
                // Descriptors do not say which style was asked for.
                styled: self.edition() >= Edition::E2024
                    && self.source.is_some_and(|it| it.text.is_some()),
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
    fn check_message(&mut self, site: &Site, message: &DescriptorProto, above: Inherited) {
        let options = self.options_at(site);
        let inherited = self.inherit(above, options);
        self.check_options(site, Target::Message);
        self.check_nested_visibility(site);
        self.check_numbers(site, message);
        self.check_json_names(site, message, inherited.features.legacy_json);
        self.check_oneofs(site, message);
        let is_entry = message.options.as_ref().is_some_and(|it| it.map_entry());
        if inherited.styled && !is_entry {
            self.check_title_case(site, "message", message.name());
        }
        for (at, oneof) in message.oneof_decl.iter().enumerate() {
            let site = site.item(tag::ONEOF, at, oneof.name());
            self.check_options(&site, Target::Oneof);
            let is_made_up = message
                .field
                .iter()
                .any(|it| it.oneof_index == i32::try_from(at).ok() && it.proto3_optional());
            if self.inherit(inherited, self.options_at(&site)).styled && !is_made_up {
                self.check_snake_case(&site, "oneof", oneof.name());
            }
        }
        for (at, field) in message.field.iter().enumerate() {
            let site = site.item(tag::FIELD, at, field.name());
            self.check_member(&site, field, message, inherited);
        }
        for (at, nested) in message.nested_type.iter().enumerate() {
            let site = site.item(tag::NESTED, at, nested.name());
            if !nested.options.as_ref().is_some_and(|it| it.map_entry()) {
                self.check_message(&site, nested, inherited);
            }
        }
        for (at, kind) in message.enum_type.iter().enumerate() {
            let nested = site.item(tag::ENUM, at, kind.name());
            self.check_nested_enum_visibility(&nested, site, message);
            self.check_enum(&nested, kind, inherited);
        }
        for at in 0..message.extension_range.len() {
            self.check_options(&site.part(tag::EXTENSION_RANGE, at), Target::ExtensionRange);
        }
        self.check_declarations(site, message);
        for (at, field) in message.extension.iter().enumerate() {
            let site = site.item(tag::EXTENSION, at, field.name());
            self.check_extension(&site, field, inherited);
        }
    }

    fn check_service(&mut self, site: &Site, service: &ServiceDescriptorProto, above: Inherited) {
        self.check_options(site, Target::Service);
        let inherited = self.inherit(above, self.options_at(site));
        if inherited.styled {
            self.check_title_case(site, "service", service.name());
        }
        for (at, method) in service.method.iter().enumerate() {
            let site = site.item(tag::METHOD, at, method.name());
            self.check_options(&site, Target::Method);
            for used in [method.input_type(), method.output_type()] {
                self.check_visible(&site, used, "a method");
            }
            if self.inherit(inherited, self.options_at(&site)).styled {
                self.check_title_case(&site, "method", method.name());
            }
        }
    }

    fn edition(&self) -> Edition {
        self.source.map_or(Edition::Proto2, |it| it.edition)
    }

    /// The options of a declaration of the file, as they were interpreted.
    fn options_at(&self, site: &Site) -> Option<&'a DynamicMessage> {
        self.declared.get(&self.source?.name, &site.path)
    }

    fn inherit(&self, above: Inherited, options: Option<&DynamicMessage>) -> Inherited {
        let Some(options) = options else { return above };
        Inherited {
            features: above.features.under(options),
            styled: style::chosen(options).unwrap_or(above.styled),
        }
    }

    fn fault(&mut self, site: &Site, message: String) {
        self.fault_near(site, "", message);
    }

    /// A fault of the file as a whole, which has no place of its own: that of the first mention of
    /// a word.
    fn fault_near(&mut self, site: &Site, word: &str, message: String) {
        // More are cut anyway, once they are in order; and a file has 10,000 declarations.
        if self.faults.len() >= 20 * FAULTS_MAX {
            return;
        }
        let Some(source) = self.source else { return };
        let mut place = self.sources.places.of(&source.name, &site.path);
        if place.line == 0 {
            let file = if source.name == self.sources.main { "" } else { &source.name };
            place = match &source.text {
                Some(text) => {
                    let at = Tokens::new(&text.written).find(|(_, token)| ends_with(token, word));
                    SourceLocation::of_byte(&text.written, at.map_or(0, |(at, _)| at))
                }
                None => SourceLocation { path: site.name.clone(), ..SourceLocation::default() },
            };
            file.clone_into(&mut place.file);
        }
        self.faults.push(Fault { place, message });
    }
}

/// Whether a word is another one, or the last part of it.
fn ends_with(token: &[u8], word: &str) -> bool {
    token.strip_suffix(word.as_bytes()).is_some_and(|it| matches!(it.last(), None | Some(b'.')))
}

/// The full name of a type as descriptors refer to it.
fn full_name(reference: &str) -> &str {
    reference.strip_prefix('.').unwrap_or(reference)
}
