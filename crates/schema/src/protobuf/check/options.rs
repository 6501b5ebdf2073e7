//! Rules for options: targets, supported editions, and required fields of option messages.

use std::{borrow::Cow, sync::LazyLock};

use prost_reflect::{DynamicMessage, FileDescriptor, Kind, ReflectMessage, Value};

use super::{
    super::{
        options::DeclaredOptions,
        well_known::{self, DESCRIPTOR},
    },
    Check, Site,
};

/// The kind of declaration that an option is set on:
/// `google.protobuf.FieldOptions.OptionTargetType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    File = 1,
    ExtensionRange = 2,
    Message = 3,
    Field = 4,
    Oneof = 5,
    Enum = 6,
    EnumEntry = 7,
    Service = 8,
    Method = 9,
}

/// Where an option may be set.
#[derive(Debug, Clone, Default)]
pub(super) struct Support {
    /// Numbers of [`Target`]. Empty if every target is allowed.
    targets: Vec<i32>,
    /// The first edition with the option.
    introduced: Option<i32>,
    /// The first edition without the option.
    removed: Option<i32>,
}

/// The options of Protobuf's own options.
static STANDARD: LazyLock<DeclaredOptions> =
    LazyLock::new(|| DeclaredOptions::of(well_known::meta().files()));

/// The declaration of an option or of a part of one.
struct DeclaredOption {
    name: String,
    file: FileDescriptor,
    path: Vec<i32>,
}

impl Check<'_> {
    /// Checks the options of a declaration.
    pub(super) fn check_options(&mut self, site: &Site, target: Target) {
        let Some(options) = self.options_at(site) else { return };
        self.check_features(site, options);
        // Only the linked files declare custom options.
        let known = if self.pool.get_file_by_name(DESCRIPTOR).is_some() {
            self.pool.get_message_by_name(options.descriptor().full_name())
        } else {
            None
        };
        let interpreted = known.map(|descriptor| {
            DynamicMessage::decode(descriptor, prost::Message::encode_to_vec(options).as_slice())
        });
        match interpreted {
            Some(Ok(interpreted)) => self.check_set(site, target, &interpreted, ""),
            // A descriptor set may contain any bytes; options that do not decode are not checked.
            Some(Err(_)) | None => self.check_set(site, target, options, ""),
        }
    }

    // The recursion is as deep as options nest: 64 levels in texts, 100 in decoded messages.
    fn check_set(&mut self, site: &Site, target: Target, options: &DynamicMessage, prefix: &str) {
        let fields = options.fields().map(|(field, value)| {
            let name = field.name().to_owned();
            let kind = field.kind();
            (
                DeclaredOption {
                    name,
                    file: field.parent_message().parent_file(),
                    path: field.path().to_vec(),
                },
                kind,
                value,
            )
        });
        let extensions = options.extensions().map(|(field, value)| {
            let name = format!("({})", field.full_name());
            let kind = field.kind();
            (
                DeclaredOption { name, file: field.parent_file(), path: field.path().to_vec() },
                kind,
                value,
            )
        });
        let set: Vec<_> = fields.chain(extensions).collect();
        for (option, kind, value) in set {
            let name = if prefix.is_empty() {
                option.name.clone()
            } else {
                format!("{prefix}.{}", option.name)
            };
            let support = self.support(&option);
            self.check_support(site, target, &name, &support);
            let is_feature = prefix == "features";
            if is_feature && self.source.is_some_and(|source| source.name == option.file.name()) {
                let message = format!(
                    "the feature {name} of {} is declared in the same file; declare it in another file, and import it",
                    site.name
                );
                self.fault(site, message);
            }
            match value {
                Value::Message(message) => self.check_set(site, target, message, &name),
                Value::List(items) => {
                    for item in items {
                        match item {
                            Value::Message(message) => {
                                self.check_set(site, target, message, &name);
                            }
                            Value::EnumNumber(number) => {
                                self.check_value(site, target, &name, &kind, *number);
                            }
                            _ => {}
                        }
                    }
                }
                Value::EnumNumber(number) => self.check_value(site, target, &name, &kind, *number),
                _ => {}
            }
        }
        for field in options.descriptor().fields() {
            if field.is_required() && !options.has_field(&field) {
                let message = format!(
                    "the option {prefix} of {} lacks the required field {}; set it, as in {prefix}.{} = ...",
                    site.name,
                    field.full_name(),
                    field.name()
                );
                self.fault(site, message);
            }
        }
    }

    fn check_support(&mut self, site: &Site, target: Target, name: &str, support: &Support) {
        let edition = self.edition();
        let last =
            name.split(" =").next().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
        let last = last.trim_matches(['(', ')']);
        if !support.targets.is_empty() && !support.targets.contains(&(target as i32)) {
            let message = format!(
                "the option {name} is not allowed on {}, but is set on {}; remove it",
                target.plural(),
                site.name
            );
            self.fault_near(site, last, message);
        }
        if support.introduced.is_some_and(|introduced| edition.number() < introduced) {
            let message = format!(
                "the option {name} of {} does not exist yet in {edition}; remove it",
                site.name
            );
            self.fault_near(site, last, message);
        }
        if support.removed.is_some_and(|removed| edition.number() >= removed) {
            let message = format!(
                "the option {name} of {} no longer exists in {edition}; remove it",
                site.name
            );
            self.fault_near(site, last, message);
        }
    }

    /// Checks an enum value of an option, which may be newer than the option.
    fn check_value(&mut self, site: &Site, target: Target, name: &str, kind: &Kind, number: i32) {
        let Kind::Enum(kind) = kind else { return };
        let values = &kind.enum_descriptor_proto().value;
        let Some(at) = values.iter().position(|value| value.number() == number) else { return };
        let mut path = kind.path().to_vec();
        path.extend([super::tag::VALUE, i32::try_from(at).unwrap_or(i32::MAX)]);
        let value = values.get(at).map(|value| value.name().to_owned()).unwrap_or_default();
        let option = DeclaredOption { name: value.clone(), file: kind.parent_file(), path };
        let support = Support { targets: Vec::new(), ..self.support(&option) };
        self.check_support(site, target, &format!("{name} = {value}"), &support);
    }

    fn support(&mut self, option: &DeclaredOption) -> Support {
        let key = format!("{}:{:?}", option.file.name(), option.path);
        if let Some(known) = self.supports.get(&key) {
            return known.clone();
        }
        let declared = self.declared.get(option.file.name(), &option.path);
        let declared = declared.or_else(|| STANDARD.get(option.file.name(), &option.path));
        let support = declared.map(Support::of).unwrap_or_default();
        self.supports.insert(key, support.clone());
        support
    }
}

impl Support {
    fn of(options: &DynamicMessage) -> Self {
        let targets = options.get_field_by_name("targets");
        let targets = targets.as_deref().and_then(Value::as_list).unwrap_or_default();
        let lifetime = match options.get_field_by_name("feature_support") {
            Some(Cow::Borrowed(Value::Message(lifetime))) => Some(lifetime),
            _ => None,
        };
        let edition = |name: &str| {
            let lifetime = lifetime.filter(|lifetime| lifetime.has_field_by_name(name))?;
            lifetime.get_field_by_name(name)?.as_enum_number()
        };
        Self {
            targets: targets.iter().filter_map(Value::as_enum_number).collect(),
            introduced: edition("edition_introduced"),
            removed: edition("edition_removed"),
        }
    }
}

impl Target {
    fn plural(self) -> &'static str {
        match self {
            Self::File => "files",
            Self::ExtensionRange => "extension ranges",
            Self::Message => "messages",
            Self::Field => "fields",
            Self::Oneof => "oneofs",
            Self::Enum => "enums",
            Self::EnumEntry => "enum values",
            Self::Service => "services",
            Self::Method => "methods",
        }
    }
}

/// Whether an option is set to true.
pub(super) fn flag(options: &DynamicMessage, name: &str) -> bool {
    options.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false)
}

/// Whether an option is set, to whatever value.
pub(super) fn is_set(options: &DynamicMessage, name: &str) -> bool {
    options.has_field_by_name(name)
}
