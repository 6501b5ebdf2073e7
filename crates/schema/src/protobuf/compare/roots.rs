//! Which types a comparison begins with.

use std::collections::HashSet;

use crate::finding::Direction;

use super::{
    super::{report::Note, types::Types},
    Walk, last,
};

/// Where the types of a schema begin.
#[derive(Debug)]
pub(in super::super) enum Roots {
    /// The event's message. `addressed`: the subject is its full name.
    Event { message: usize, addressed: bool },
    /// All messages and enums that a file declares.
    File { package: String, messages: Vec<usize>, enums: Vec<usize> },
}

impl Walk<'_> {
    /// Queues the pairs that the comparison begins with, and judges what is called otherwise or gone.
    pub(in super::super) fn begin(&mut self, old: &Roots, new: &Roots) {
        match (old, new) {
            (
                Roots::Event { message: from, addressed: was },
                Roots::Event { message: to, addressed: is },
            ) => {
                self.compare_roots(*from, *to, *was || *is);
                self.meet(*from, *to);
            }
            _ => self.compare_files(old, new),
        }
    }

    fn compare_roots(&mut self, from: usize, to: usize, addressed: bool) {
        let (Some(a), Some(b)) = (self.old.message(from), self.new.message(to)) else { return };
        if a.name == b.name {
            return;
        }
        self.stand((from, to), None);
        let rule = if last(&a.name) == last(&b.name) {
            "PROTOBUF_PACKAGE_CHANGED"
        } else {
            "PROTOBUF_MESSAGE_RENAMED"
        };
        if self.replaced(from, to) {
            self.report.add(
                Note::error("PROTOBUF_MESSAGE_REPLACED", Direction::Both)
                    .at(&a.name, &b.name)
                    .place(&b.place)
                    .values(&a.name, &b.name)
                    .says(format!(
                        "The event's message is {} instead of {} and has other fields: what the one holds is set aside \
                         by readers of the other.",
                        b.name, a.name
                    ))
                    .advises("Register it under another subject."),
            );
            return;
        }
        let note = if addressed {
            Note::error(rule, Direction::Both)
                .advises("Keep the name, or register it under another subject.")
        } else {
            Note::warning(rule, Direction::Both)
        };
        let hurt = if addressed {
            "the subject names it, and who looks for the message by that name does not find it"
        } else {
            "the bytes are the same, but type URLs of google.protobuf.Any and generated code are not"
        };
        self.report.add(
            note.at(&a.name, &b.name)
                .place(&b.place)
                .values(&a.name, &b.name)
                .says(format!("The event's message is {} instead of {}: {hurt}.", b.name, a.name)),
        );
    }

    fn compare_files(&mut self, old: &Roots, new: &Roots) {
        let (old_package, old_messages, old_enums) = old.parts(self.old);
        let (new_package, new_messages, new_enums) = new.parts(self.new);
        let moved = old_package != new_package;
        if moved {
            self.report.add(
                Note::error("PROTOBUF_PACKAGE_CHANGED", Direction::Both)
                    .at(&old_package, &new_package)
                    .values(&old_package, &new_package)
                    .says(format!(
                        "The package is \"{new_package}\" instead of \"{old_package}\": the types of the file have other \
                         full names, and who looks for one by its name does not find it."
                    ))
                    .advises("Keep the package, or put the types into a new file."),
            );
        }
        let renamed = |name: &str| -> String {
            let local = if old_package.is_empty() {
                name
            } else {
                name.strip_prefix(old_package.as_str())
                    .and_then(|it| it.strip_prefix('.'))
                    .unwrap_or(name)
            };
            if new_package.is_empty() { local.to_owned() } else { format!("{new_package}.{local}") }
        };
        let there: HashSet<usize> = new_messages.iter().copied().collect();
        let mut removed = Vec::new();
        let mut kept = HashSet::new();
        for from in &old_messages {
            let Some(message) = self.old.message(*from) else { continue };
            let name = if moved { renamed(&message.name) } else { message.name.clone() };
            match self.new.message_index(&name).filter(|it| there.contains(it)) {
                Some(to) => {
                    kept.insert(to);
                    self.meet(*from, to);
                }
                None => removed.push(*from),
            }
        }
        for to in new_messages.iter().filter(|it| !kept.contains(it)) {
            let Some(message) = self.new.message(*to) else { continue };
            self.report.add(
                Note::info("PROTOBUF_MESSAGE_ADDED", Direction::Both)
                    .at("", &message.name)
                    .place(&message.place)
                    .values("", &message.name)
                    .says(format!(
                        "The message {} was added to the file: nobody reads or writes it yet.",
                        message.name
                    )),
            );
        }
        let parts = self.parts_of_others(&old_messages, &removed);
        for from in removed {
            let Some(message) = self.old.message(from) else { continue };
            // What is declared in another message is no event by itself.
            let nested = message
                .name
                .strip_prefix(old_package.as_str())
                .is_some_and(|it| it.trim_start_matches('.').contains('.'));
            let part = nested || parts.contains(&from);
            let note = if part {
                Note::warning("PROTOBUF_MESSAGE_REMOVED", Direction::Both)
            } else {
                Note::error("PROTOBUF_MESSAGE_REMOVED", Direction::Both).advises(
                    "Keep the message; a file may hold messages that nobody writes any more.",
                )
            };
            let hurt = if part {
                "it was a part of other messages, and those that hold it are compared by themselves"
            } else {
                "its readers and its writers have no type any more"
            };
            self.report.add(
                note.at(&message.name, "").values(&message.name, "").says(format!(
                    "The message {} was removed from the file: {hurt}.",
                    message.name
                )),
            );
        }
        for from in old_enums {
            let Some(kind) = self.old.enumeration(from) else { continue };
            let name = if moved { renamed(&kind.name) } else { kind.name.clone() };
            match self.new.enum_index(&name).filter(|it| new_enums.contains(it)) {
                Some(to) => self.compare_enums(from, to),
                None => self.report.add(
                    Note::warning("PROTOBUF_ENUM_REMOVED", Direction::Both)
                        .at(&kind.name, "")
                        .values(&kind.name, "")
                        .says(format!(
                            "The enum {} was removed from the file: messages that used it are compared by themselves.",
                            kind.name
                        )),
                ),
            }
        }
    }

    /// Of removed messages those that are parts of messages that stay.
    fn parts_of_others(&self, all: &[usize], removed: &[usize]) -> HashSet<usize> {
        let gone: HashSet<usize> = removed.iter().copied().collect();
        let mut parts = HashSet::new();
        let mut queue: Vec<usize> = all.iter().copied().filter(|it| !gone.contains(it)).collect();
        let mut seen: HashSet<usize> = queue.iter().copied().collect();
        while let Some(index) = queue.pop() {
            let Some(message) = self.old.message(index) else { continue };
            for part in message.fields.values().filter_map(|field| field.kind.message()) {
                if seen.insert(part) {
                    if gone.contains(&part) {
                        parts.insert(part);
                    }
                    queue.push(part);
                }
            }
        }
        parts
    }
}

impl Roots {
    /// Package, messages and enums, however it begins.
    fn parts(&self, types: &Types) -> (String, Vec<usize>, Vec<usize>) {
        match self {
            Self::Event { message, .. } => {
                let name = types.message(*message).map_or("", |it| it.name.as_str());
                let package = name.rsplit_once('.').map_or("", |(package, _)| package);
                (package.to_owned(), vec![*message], Vec::new())
            }
            Self::File { package, messages, enums } => {
                (package.clone(), messages.clone(), enums.clone())
            }
        }
    }

    /// Of a file the types that another one begins with, too. None: it is no file, or has no others.
    pub(in super::super) fn shared(
        &self,
        types: &Types,
        other: &Self,
        of_other: &Types,
    ) -> Option<Self> {
        let Self::File { package, messages, enums } = self else { return None };
        let message = |index: &usize| {
            let name = &types.message(*index)?.name;
            of_other.message_index(name).filter(|it| other.messages().contains(it))
        };
        let kind = |index: &usize| {
            let name = &types.enumeration(*index)?.name;
            of_other.enum_index(name).filter(|it| other.enums().contains(it))
        };
        let shared = Self::File {
            package: package.clone(),
            messages: messages.iter().copied().filter(|it| message(it).is_some()).collect(),
            enums: enums.iter().copied().filter(|it| kind(it).is_some()).collect(),
        };
        let all = shared.messages().len() == messages.len() && shared.enums().len() == enums.len();
        (!all).then_some(shared)
    }

    /// The messages that it begins with.
    pub(in super::super) fn messages(&self) -> &[usize] {
        match self {
            Self::Event { message, .. } => std::slice::from_ref(message),
            Self::File { messages, .. } => messages,
        }
    }

    /// The enums that it begins with.
    pub(in super::super) fn enums(&self) -> &[usize] {
        match self {
            Self::Event { .. } => &[],
            Self::File { enums, .. } => enums,
        }
    }
}
