//! Reserved numbers and names, and ranges of extensions.

use std::collections::HashSet;

use prost_types::{DescriptorProto, EnumDescriptorProto};

use super::{Check, Edition, Site, tag};

/// The largest number of a field.
const NUMBER_MAX: i64 = (1 << 29) - 1;

/// A range that an author wrote: both ends belong to it.
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
            let site = site.part(tag::RESERVED_RANGE, at);
            ranges.push(Range { start, end, kind: "reserved", site });
        }
        let is_set = message.options.as_ref().is_some_and(|it| it.message_set_wire_format());
        if is_set && self.edition() == Edition::Proto3 {
            let message = format!(
                "the message {} has message_set_wire_format, which proto3 does not have; leave it out",
                site.name
            );
            self.fault(site, message);
        }
        for (at, range) in message.extension_range.iter().enumerate() {
            let (start, end) = (i64::from(range.start()), i64::from(range.end()) - 1);
            let site = site.part(tag::EXTENSION_RANGE, at);
            if self.edition() == Edition::Proto3 {
                let message = format!(
                    "the message {} has extensions, which proto3 does not have; use proto2 or an edition",
                    site.name
                );
                self.fault(&site, message);
            }
            if end > NUMBER_MAX && !is_set {
                let message = format!(
                    "the extensions {start} to {end} go beyond the largest number, {NUMBER_MAX}; end them there, or \
                     write `max`"
                );
                self.fault(&site, message);
            }
            ranges.push(Range { start, end, kind: "extensions", site });
        }
        self.check_ranges(ranges);
        let names = message.field.iter().enumerate();
        let names = names.map(|(at, it)| (it.name(), site.item(tag::FIELD, at, it.name())));
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
            site: site.part(tag::VALUE_RESERVED_RANGE, at),
        });
        self.check_ranges(ranges.collect());
        let names = kind.value.iter().enumerate();
        let names = names.map(|(at, it)| (it.name(), site.item(tag::VALUE, at, it.name())));
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
                    "the range {start} to {end} ends before it begins; write {end} to {start}"
                );
                self.fault(&range.site, message);
            }
        }
        ranges.retain(|it| it.start <= it.end);
        ranges.sort_by_key(|it| (it.start, it.end));
        // In that order each has to be compared with the one that reaches furthest so far.
        let mut furthest: Option<&Range> = None;
        let mut meeting = Vec::new();
        for range in &ranges {
            if let Some(before) = furthest.filter(|it| it.end >= range.start) {
                meeting.push((range, before));
            }
            if furthest.is_none_or(|it| it.end < range.end) {
                furthest = Some(range);
            }
        }
        for (range, before) in meeting {
            // The one that stands later in the text is at fault.
            let (one, other) =
                if range.site.path > before.site.path { (range, before) } else { (before, range) };
            let message = format!(
                "`{}` and `{}` have numbers in common; each belongs to one range at most, so cut one of the two",
                described(one),
                described(other)
            );
            self.fault(&one.site, message);
        }
    }

    fn check_reserved_names(
        &mut self,
        owner: &Site,
        what: &str,
        (tag, reserved): (i32, &[String]),
        used: Vec<(&str, Site)>,
    ) {
        let mut names = HashSet::with_capacity(reserved.len());
        for (at, name) in reserved.iter().enumerate() {
            if !names.insert(name.as_str()) {
                let message =
                    format!("the name {name:?} is reserved twice; leave one of the two out");
                self.fault(&owner.part(tag, at), message);
            }
        }
        for (name, site) in used {
            if names.contains(name) {
                let message = format!(
                    "the {what} {name:?} has a name that {} reserves; rename the {what}, or remove the name from \
                     the reserved ones",
                    owner.name
                );
                self.fault(&site, message);
            }
        }
    }
}

fn described(range: &Range) -> String {
    let Range { start, end, kind, .. } = range;
    if start == end { format!("{kind} {start}") } else { format!("{kind} {start} to {end}") }
}
