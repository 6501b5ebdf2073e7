//! Rules for file options, packages and oneofs.

use prost_reflect::DynamicMessage;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, field_descriptor_proto::Label,
    file_options::OptimizeMode,
};

use super::{Check, Edition, Site, options::is_set, tag};

/// Length limit of a package name.
const PACKAGE_BYTES_MAX: usize = 511;

impl Check<'_> {
    pub(super) fn check_file_options(
        &mut self,
        file: &FileDescriptorProto,
        options: Option<&DynamicMessage>,
    ) {
        let edition = self.edition();
        let site = Site { path: Vec::new(), name: file.name().to_owned() };
        self.check_file_features(&site, options);
        let set = |name| options.is_some_and(|options| is_set(options, name));
        if edition.is_modern() && set("java_string_check_utf8") {
            let message = "the option java_string_check_utf8 does not exist in editions; use \
                           features.(pb.java).utf8_validation";
            self.fault_near(&site, "java_string_check_utf8", message.to_owned());
        }
        if edition >= Edition::E2024 && set("java_multiple_files") {
            let message = "the option java_multiple_files does not exist in edition 2024, where it is always enabled; use \
                           features.(pb.java).nest_in_file_class";
            self.fault_near(&site, "java_multiple_files", message.to_owned());
        }
        let package = file.package();
        if package.len() > PACKAGE_BYTES_MAX {
            let message = format!(
                "the package has a name of {} bytes; the limit is {PACKAGE_BYTES_MAX}",
                package.len()
            );
            self.fault_near(&site, package, message);
        }
        let lite = is_lite(file);
        for import in &file.dependency {
            let imported = self.pool.get_file_by_name(import);
            if !lite && imported.is_some_and(|file| is_lite(file.file_descriptor_proto())) {
                let message = format!(
                    "the import {import:?} has optimize_for = LITE_RUNTIME, and the file does not; set it in both or in \
                     neither"
                );
                self.fault_near(&site, &format!("\"{import}\""), message);
            }
        }
        if lite && (set("cc_generic_services") || set("java_generic_services")) {
            for (at, service) in file.service.iter().enumerate() {
                let site = Site { path: Vec::new(), name: file.package().to_owned() };
                let message = format!(
                    "the service {} is in a file with optimize_for = LITE_RUNTIME; remove cc_generic_services and \
                     java_generic_services",
                    service.name()
                );
                self.fault(&site.item(tag::FILE_SERVICE, at, service.name()), message);
            }
        }
    }

    /// Checks the oneof rules that a parser guarantees and a descriptor set may violate.
    pub(super) fn check_oneofs(&mut self, site: &Site, message: &DescriptorProto) {
        let index = |field: &FieldDescriptorProto| usize::try_from(field.oneof_index?).ok();
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); message.oneof_decl.len()];
        for (at, field) in message.field.iter().enumerate() {
            let Some(members) = index(field).and_then(|index| members.get_mut(index)) else {
                continue;
            };
            members.push(at);
            if field.label() != Label::Optional {
                let message = format!(
                    "the field {} is in a oneof and has another label than LABEL_OPTIONAL; remove the label",
                    field.name()
                );
                self.fault(&site.item(tag::FIELD, at, field.name()), message);
            }
        }
        let is_synthetic = |members: &[usize]| {
            let field = |at: &usize| message.field.get(*at);
            matches!(members, [only] if field(only).is_some_and(FieldDescriptorProto::proto3_optional))
        };
        let mut seen_synthetic = false;
        for (at, (oneof, members)) in message.oneof_decl.iter().zip(&members).enumerate() {
            let site = site.item(tag::ONEOF, at, oneof.name());
            if members.is_empty() {
                self.fault(&site, format!("the oneof {} has no fields; add one", site.name));
            }
            if members.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
                let message = format!(
                    "the fields of the oneof {} are not consecutive; put other fields before or after them",
                    site.name
                );
                self.fault(&site, message);
            }
            if !is_synthetic(members) && seen_synthetic {
                let message = format!(
                    "the oneof {} follows a synthetic oneof of an `optional` field; move synthetic oneofs to the end",
                    site.name
                );
                self.fault(&site, message);
            }
            seen_synthetic |= is_synthetic(members);
        }
    }
}

pub(super) fn is_lite(file: &FileDescriptorProto) -> bool {
    file.options.as_ref().is_some_and(|options| options.optimize_for() == OptimizeMode::LiteRuntime)
}
