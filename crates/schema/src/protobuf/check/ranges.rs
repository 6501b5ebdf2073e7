//! Rules for reserved numbers and names, and for extension ranges.

use std::collections::HashSet;

use prost_types::{DescriptorProto, EnumDescriptorProto};

use super::{Check, Edition, Site, tag};

/// The largest field number.
const NUMBER_MAX: i64 = (1 << 29) - 1;

/// A range in the source. Both ends are included.
struct Range {
    start: i64,
    end: i64,
    kind: &'static str,
    site: Site,
}

impl Check<'_> {
    pub(super) fn check_numbers(&mut self, site: &Site, message: &DescriptorProto) {
        let mut ranges = Vec::new();
        for (at, range) in message.reserved_range.iter().enumerate() {
            let (start, end) = (i64::from(range.start()), i64::from(range.end()) - 1);
            let site = site.unnamed_item(tag::RESERVED_RANGE, at);
            ranges.push(Range { start, end, kind: "reserved", site });
        }
        let is_message_set =
            message.options.as_ref().is_some_and(|options| options.message_set_wire_format());
        if is_message_set && self.edition() == Edition::Proto3 {
            let message = format!(
                "the message {} has message_set_wire_format, which proto3 does not support; remove it",
                site.name
            );
            self.fault(site, message);
        }
        for (at, range) in message.extension_range.iter().enumerate() {
            let (start, end) = (i64::from(range.start()), i64::from(range.end()) - 1);
            let site = site.unnamed_item(tag::EXTENSION_RANGE, at);
            if self.edition() == Edition::Proto3 {
                let message = format!(
                    "the message {} has extensions, which proto3 does not support; use proto2 or an edition",
                    site.name
                );
                self.fault(&site, message);
            }
            if end > NUMBER_MAX && !is_message_set {
                let message = format!(
                    "the extensions {start} to {end} exceed the largest number, {NUMBER_MAX}; end the range there, or \
                     write `max`"
                );
                self.fault(&site, message);
            }
            ranges.push(Range { start, end, kind: "extensions", site });
        }
        self.check_ranges(ranges);
        let names = message.field.iter().enumerate();
        let names =
            names.map(|(at, field)| (field.name(), site.item(tag::FIELD, at, field.name())));
        self.check_reserved_names(
            site,
            "field",
            (tag::RESERVED_NAME, &message.reserved_name),
            names.collect(),
        );
    }

    pub(super) fn check_enum_numbers(&mut self, site: &Site, kind: &EnumDescriptorProto) {
        let ranges = kind.reserved_range.iter().enumerate().map(|(at, range)| Range {
            start: i64::from(range.start()),
            end: i64::from(range.end()),
            kind: "reserved",
            site: site.unnamed_item(tag::VALUE_RESERVED_RANGE, at),
        });
        self.check_ranges(ranges.collect());
        let names = kind.value.iter().enumerate();
        let names =
            names.map(|(at, value)| (value.name(), site.item(tag::VALUE, at, value.name())));
        self.check_reserved_names(
            site,
            "value",
            (tag::VALUE_RESERVED_NAME, &kind.reserved_name),
            names.collect(),
        );
    }

    fn check_ranges(&mut self, mut ranges: Vec<Range>) {
        for range in &ranges {
            if range.start > range.end {
                let (start, end) = (range.start, range.end);
                let message = format!(
                    "the range {start} to {end} ends before it starts; write {end} to {start}"
                );
                self.fault(&range.site, message);
            }
        }
        ranges.retain(|range| range.start <= range.end);
        ranges.sort_by_key(|range| (range.start, range.end));
        // In this order, each range needs to be compared only with the one with the largest end so
        // far.
        let mut last: Option<&Range> = None;
        let mut overlapping = Vec::new();
        for range in &ranges {
            if let Some(before) = last.filter(|last| last.end >= range.start) {
                overlapping.push((range, before));
            }
            if last.is_none_or(|last| last.end < range.end) {
                last = Some(range);
            }
        }
        for (range, before) in overlapping {
            // The range that is later in the text is reported.
            let (later, earlier) =
                if range.site.path > before.site.path { (range, before) } else { (before, range) };
            let message = format!(
                "`{}` and `{}` have numbers in common; a number can be in only one range, so shorten one of the two",
                describe(later),
                describe(earlier)
            );
            self.fault(&later.site, message);
        }
    }

    fn check_reserved_names(
        &mut self,
        owner: &Site,
        item: &str,
        (tag, reserved): (i32, &[String]),
        used: Vec<(&str, Site)>,
    ) {
        let mut names = HashSet::with_capacity(reserved.len());
        for (at, name) in reserved.iter().enumerate() {
            if !names.insert(name.as_str()) {
                let message = format!("the name {name:?} is reserved twice; remove one of the two");
                self.fault(&owner.unnamed_item(tag, at), message);
            }
        }
        for (name, site) in used {
            if names.contains(name) {
                let message = format!(
                    "the {item} {name:?} has a name that {} reserves; rename the {item}, or remove the name from \
                     the reserved names",
                    owner.name
                );
                self.fault(&site, message);
            }
        }
    }
}

fn describe(range: &Range) -> String {
    let Range { start, end, kind, .. } = range;
    if start == end { format!("{kind} {start}") } else { format!("{kind} {start} to {end}") }
}
