//! What a file's edition and its `features` make of a declaration.

use std::fmt;

use prost_reflect::{DynamicMessage, Value};

/// Which defaults a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edition {
    Proto2,
    Proto3,
    E2023,
    /// What differs from 2023 concerns names, visibility and generated code.
    E2024,
}

impl Edition {
    /// Whether it has features.
    pub(super) fn is_modern(self) -> bool {
        self >= Self::E2023
    }

    /// Its number in `google.protobuf.Edition`.
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Proto2 => 998,
            Self::Proto3 => 999,
            Self::E2023 => 1000,
            Self::E2024 => 1001,
        }
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proto2 => "proto2",
            Self::Proto3 => "proto3",
            Self::E2023 => "edition 2023",
            Self::E2024 => "edition 2024",
        })
    }
}

/// Whether a singular field knows that it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Explicit,
    Implicit,
    Required,
}

/// The resolved features of one declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    pub(super) presence: Presence,
    /// An enum sets numbers that it does not know aside as unknown fields.
    pub(super) closed: bool,
    pub(super) packed: bool,
    /// Strings are checked to be UTF-8.
    pub(super) utf8: bool,
    /// Messages are written between a start and an end tag, as groups were.
    pub(super) delimited: bool,
    /// JSON works as far as it happens to.
    pub(super) legacy_json: bool,
}

impl Features {
    /// What a file begins with.
    pub(super) fn of(edition: Edition) -> Self {
        let modern = edition != Edition::Proto2;
        Self {
            presence: match edition {
                Edition::Proto3 => Presence::Implicit,
                Edition::Proto2 | Edition::E2023 | Edition::E2024 => Presence::Explicit,
            },
            closed: !modern,
            packed: modern,
            utf8: modern,
            delimited: false,
            legacy_json: !modern,
        }
    }

    /// What they are under options that may set some.
    #[must_use]
    pub(super) fn under(mut self, options: &DynamicMessage) -> Self {
        let Some(set) = options.get_field_by_name("features") else {
            return self;
        };
        let Some(set) = set.as_message() else { return self };
        match number(set, "field_presence") {
            1 => self.presence = Presence::Explicit,
            2 => self.presence = Presence::Implicit,
            3 => self.presence = Presence::Required,
            _ => {}
        }
        toggle(&mut self.closed, set, "enum_type", 2, 1);
        toggle(&mut self.packed, set, "repeated_field_encoding", 1, 2);
        toggle(&mut self.utf8, set, "utf8_validation", 2, 3);
        // NONE is 3 as published; the descriptors that most texts are linked with have it as 1.
        toggle(&mut self.utf8, set, "utf8_validation", 2, 1);
        toggle(&mut self.delimited, set, "message_encoding", 2, 1);
        toggle(&mut self.legacy_json, set, "json_format", 2, 1);
        self
    }
}

fn toggle(feature: &mut bool, set: &DynamicMessage, name: &str, yes: i32, no: i32) {
    let number = number(set, name);
    if number == yes {
        *feature = true;
    } else if number == no {
        *feature = false;
    }
}

fn number(set: &DynamicMessage, name: &str) -> i32 {
    if !set.has_field_by_name(name) {
        return 0;
    }
    set.get_field_by_name(name).as_deref().and_then(Value::as_enum_number).unwrap_or(0)
}
