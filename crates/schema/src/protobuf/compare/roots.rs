//! The roots of a comparison.

use std::collections::HashSet;

use crate::finding::Direction;

use super::{
    super::{findings::FindingBuilder, types::Types},
    Comparer, simple_name,
};

/// The types of a schema that a comparison starts from.
#[derive(Debug)]
pub(in super::super) enum Roots {
    /// The event's message. `addressed` is set if the subject is its full name.
    Event { message: usize, addressed: bool },
    /// All messages and enums that a file declares.
    File { package: String, messages: Vec<usize>, enums: Vec<usize> },
}

impl Comparer<'_> {
    /// Queues the pairs of roots, and reports renamed and removed roots.
    pub(in super::super) fn enqueue_roots(&mut self, old: &Roots, new: &Roots) {
        match (old, new) {
            (
                Roots::Event { message: from, addressed: before },
                Roots::Event { message: to, addressed: after },
            ) => {
                self.compare_roots(*from, *to, *before || *after);
                self.enqueue(*from, *to);
            }
            _ => self.compare_files(old, new),
        }
    }

    fn compare_roots(&mut self, from: usize, to: usize, addressed: bool) {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else { return };
        if a.name == b.name {
            return;
        }
        self.set_context((from, to), None);
        let rule = if simple_name(&a.name) == simple_name(&b.name) {
            "PROTOBUF_PACKAGE_CHANGED"
        } else {
            "PROTOBUF_MESSAGE_RENAMED"
        };
        if self.is_replaced(from, to) {
            self.findings.add(
                FindingBuilder::error("PROTOBUF_MESSAGE_REPLACED", Direction::Both)
                    .paths(&a.name, &b.name)
                    .location(&b.location)
                    .values(&a.name, &b.name)
                    .message(format!(
                        "The event's message is {} instead of {} and has other fields: readers of one version keep the \
                         fields of the other as unknown fields.",
                        b.name, a.name
                    ))
                    .suggestion("Register it under another subject."),
            );
            return;
        }
        let finding = if addressed {
            FindingBuilder::error(rule, Direction::Both)
                .suggestion("Keep the name, or register it under another subject.")
        } else {
            FindingBuilder::warning(rule, Direction::Both)
        };
        let effect = if addressed {
            "the subject contains its name, and a lookup of the message by that name fails"
        } else {
            "the bytes are the same, but type URLs of google.protobuf.Any and generated code differ"
        };
        self.findings.add(
            finding.paths(&a.name, &b.name).location(&b.location).values(&a.name, &b.name).message(
                format!("The event's message is {} instead of {}: {effect}.", b.name, a.name),
            ),
        );
    }

    fn compare_files(&mut self, old: &Roots, new: &Roots) {
        let (old_package, old_messages, old_enums) = old.contents(self.old);
        let (new_package, new_messages, new_enums) = new.contents(self.new);
        let package_changed = old_package != new_package;
        if package_changed {
            self.findings.add(
                FindingBuilder::error("PROTOBUF_PACKAGE_CHANGED", Direction::Both)
                    .paths(&old_package, &new_package)
                    .values(&old_package, &new_package)
                    .message(format!(
                        "The package is \"{new_package}\" instead of \"{old_package}\": the types of the file have other \
                         full names, and a lookup of a type by its old name fails."
                    ))
                    .suggestion("Keep the package, or put the types into a new file."),
            );
        }
        let renamed = |name: &str| -> String {
            let local = if old_package.is_empty() {
                name
            } else {
                name.strip_prefix(old_package.as_str())
                    .and_then(|name| name.strip_prefix('.'))
                    .unwrap_or(name)
            };
            if new_package.is_empty() { local.to_owned() } else { format!("{new_package}.{local}") }
        };
        let present: HashSet<usize> = new_messages.iter().copied().collect();
        let mut removed = Vec::new();
        let mut matched = HashSet::new();
        for from in &old_messages {
            let Some(message) = self.old.message(*from) else { continue };
            let name = if package_changed { renamed(&message.name) } else { message.name.clone() };
            match self.new.message_index(&name).filter(|index| present.contains(index)) {
                Some(to) => {
                    matched.insert(to);
                    self.enqueue(*from, to);
                }
                None => removed.push(*from),
            }
        }
        for to in new_messages.iter().filter(|index| !matched.contains(index)) {
            let Some(message) = self.new.message(*to) else { continue };
            self.findings.add(
                FindingBuilder::info("PROTOBUF_MESSAGE_ADDED", Direction::Both)
                    .paths("", &message.name)
                    .location(&message.location)
                    .values("", &message.name)
                    .message(format!(
                        "The message {} was added to the file: it has no readers and no writers yet.",
                        message.name
                    )),
            );
        }
        let nested_types = self.referenced_by_kept(&old_messages, &removed);
        for from in removed {
            let Some(message) = self.old.message(from) else { continue };
            // A message that is declared in another one is not an event.
            let nested = message
                .name
                .strip_prefix(old_package.as_str())
                .is_some_and(|name| name.trim_start_matches('.').contains('.'));
            let is_nested = nested || nested_types.contains(&from);
            let finding = if is_nested {
                FindingBuilder::warning("PROTOBUF_MESSAGE_REMOVED", Direction::Both)
            } else {
                FindingBuilder::error("PROTOBUF_MESSAGE_REMOVED", Direction::Both)
                    .suggestion("Keep the message; a file may contain messages without writers.")
            };
            let effect = if is_nested {
                "other messages contained it, and they are compared separately"
            } else {
                "its readers and writers no longer have a type"
            };
            self.findings.add(finding.paths(&message.name, "").values(&message.name, "").message(
                format!("The message {} was removed from the file: {effect}.", message.name),
            ));
        }
        for from in old_enums {
            let Some(kind) = self.old.enumeration(from) else { continue };
            let name = if package_changed { renamed(&kind.name) } else { kind.name.clone() };
            match self.new.enum_index(&name).filter(|index| new_enums.contains(index)) {
                Some(to) => self.compare_enums(from, to),
                None => self.findings.add(
                    FindingBuilder::warning("PROTOBUF_ENUM_REMOVED", Direction::Both)
                        .paths(&kind.name, "")
                        .values(&kind.name, "")
                        .message(format!(
                            "The enum {} was removed from the file: the messages that used it are compared separately.",
                            kind.name
                        )),
                ),
            }
        }
    }

    /// The removed messages that remaining messages refer to.
    fn referenced_by_kept(&self, all: &[usize], removed: &[usize]) -> HashSet<usize> {
        let removed_set: HashSet<usize> = removed.iter().copied().collect();
        let mut nested_types = HashSet::new();
        let mut queue: Vec<usize> =
            all.iter().copied().filter(|index| !removed_set.contains(index)).collect();
        let mut seen: HashSet<usize> = queue.iter().copied().collect();
        while let Some(index) = queue.pop() {
            let Some(message) = self.old.message(index) else { continue };
            for nested_type in message.fields.values().filter_map(|field| field.kind.message()) {
                if seen.insert(nested_type) {
                    if removed_set.contains(&nested_type) {
                        nested_types.insert(nested_type);
                    }
                    queue.push(nested_type);
                }
            }
        }
        nested_types
    }
}

impl Roots {
    /// The package, messages and enums.
    fn contents(&self, types: &Types) -> (String, Vec<usize>, Vec<usize>) {
        match self {
            Self::Event { message, .. } => {
                let name = types.message(*message).map_or("", |message| message.name.as_str());
                let package = name.rsplit_once('.').map_or("", |(package, _)| package);
                (package.to_owned(), vec![*message], Vec::new())
            }
            Self::File { package, messages, enums } => {
                (package.clone(), messages.clone(), enums.clone())
            }
        }
    }

    /// The roots of a file that `other` also has. `None` if this is not a file or has no other
    /// roots.
    pub(in super::super) fn shared(
        &self,
        types: &Types,
        other: &Self,
        of_other: &Types,
    ) -> Option<Self> {
        let Self::File { package, messages, enums } = self else { return None };
        let message = |index: &usize| {
            let name = &types.message(*index)?.name;
            of_other.message_index(name).filter(|index| other.messages().contains(index))
        };
        let kind = |index: &usize| {
            let name = &types.enumeration(*index)?.name;
            of_other.enum_index(name).filter(|index| other.enums().contains(index))
        };
        let shared = Self::File {
            package: package.clone(),
            messages: messages.iter().copied().filter(|index| message(index).is_some()).collect(),
            enums: enums.iter().copied().filter(|index| kind(index).is_some()).collect(),
        };
        let all = shared.messages().len() == messages.len() && shared.enums().len() == enums.len();
        (!all).then_some(shared)
    }

    /// The root messages.
    pub(in super::super) fn messages(&self) -> &[usize] {
        match self {
            Self::Event { message, .. } => std::slice::from_ref(message),
            Self::File { messages, .. } => messages,
        }
    }

    /// The root enums.
    pub(in super::super) fn enums(&self) -> &[usize] {
        match self {
            Self::Event { .. } => &[],
            Self::File { enums, .. } => enums,
        }
    }
}
