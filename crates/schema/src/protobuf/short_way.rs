//! The short way from a version to another: where two messages differ only by fields that one of them does not have, a
//! payload goes over without those that the reader does not, field by field as it lies.
//!
//! What comes out needs no check. It was checked against the writer's schema when it was published, and what is left of
//! it means the same in the reader's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    compare::json_form,
    convert::Side,
    scan::{DEPTH_MAX, Scan, Token, put_length, put_tag},
    types::{Cardinality, Enum, Field, Kind, Message},
    wire::Layout,
};

/// The wire type of what stands behind its length.
const DELIMITED: u8 = 2;

/// What becomes of the fields of two messages.
#[derive(Debug, Default)]
struct Plan {
    /// By number. What is in none of the two messages is left out.
    fields: BTreeMap<u32, Fate>,
}

#[derive(Debug)]
enum Fate {
    /// As it is.
    Stays,
    /// With the plan of this number.
    Inside(usize),
    /// Where the reader has a name for its number.
    Named(BTreeSet<i32>),
    /// Left out.
    Goes,
    /// Only the long way tells.
    Unclear,
}

/// The plans of all messages that an event reaches.
#[derive(Debug)]
pub(crate) struct ShortWay {
    plans: Vec<Plan>,
}

impl ShortWay {
    /// None: the two differ by more.
    pub(super) fn between(writer: Side<'_>, reader: Side<'_>) -> Option<Self> {
        let mut way = Self { plans: Vec::new() };
        let mut known = HashMap::new();
        way.plan(writer, reader, (writer.root, reader.root), &mut known)?;
        Some(way)
    }

    fn plan(
        &mut self,
        writer: Side<'_>,
        reader: Side<'_>,
        root: (usize, usize),
        known: &mut HashMap<(usize, usize), usize>,
    ) -> Option<usize> {
        known.insert(root, 0);
        self.plans.push(Plan::default());
        let mut open = vec![root];
        while let Some(pair) = open.pop() {
            let (source, target) = (writer.types.message(pair.0)?, reader.types.message(pair.1)?);
            let silent = |side: Side<'_>, at| side.demands.get(at).defaults.is_empty();
            if !alike(source, target) || !silent(writer, pair.0) || !silent(reader, pair.1) {
                return None;
            }
            let mut plan = Plan::default();
            for (number, read) in &target.fields {
                let Some(written) = source.fields.get(number) else {
                    if read.cardinality == Cardinality::Required {
                        return None;
                    }
                    plan.fields.insert(*number, Fate::Unclear);
                    continue;
                };
                let fate = match (written.kind, read.kind) {
                    _ if !same(written, read) => return None,
                    (Kind::Scalar(was), Kind::Scalar(is)) if was == is => Fate::Stays,
                    (Kind::Enum(was), Kind::Enum(is)) => {
                        let (was, is) =
                            (writer.types.enumeration(was)?, reader.types.enumeration(is)?);
                        named(was, is, read)?
                    }
                    (Kind::Message(from), Kind::Message(to)) => {
                        let next = self.plans.len();
                        let at = *known.entry((from, to)).or_insert(next);
                        if at == next {
                            self.plans.push(Plan::default());
                            open.push((from, to));
                        }
                        Fate::Inside(at)
                    }
                    _ => return None,
                };
                plan.fields.insert(*number, fate);
            }
            for (number, written) in &source.fields {
                if !target.fields.contains_key(number) {
                    // Of the members of a oneof the last one counts: without it another one would.
                    let fate = if written.oneof.is_some() { Fate::Unclear } else { Fate::Goes };
                    plan.fields.insert(*number, fate);
                }
            }
            let at = *known.get(&pair)?;
            *self.plans.get_mut(at)? = plan;
        }
        Some(0)
    }

    /// Writes the payload without what the reader does not declare; whether there was anything such, else nothing is
    /// written. None: take the long way.
    pub(crate) fn apply(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let start = out.len();
        let changed = self.message(0, bytes, 0, out)?;
        if !changed {
            out.truncate(start);
        }
        Some(changed)
    }

    /// Whether anything was left out. None: only the long way tells.
    fn message(&self, plan: usize, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Option<bool> {
        if depth > DEPTH_MAX {
            return None;
        }
        let plan = self.plans.get(plan)?;
        let mut scan = Scan::new(bytes);
        let mut changed = false;
        // What stays is copied in one piece, up to the next field that does not.
        let mut kept = 0;
        while !scan.done() {
            let from = scan.at();
            let (number, token) = scan.field().ok()?;
            if matches!(token, Token::GroupStart | Token::GroupEnd) {
                return None;
            }
            match plan.fields.get(&number) {
                Some(Fate::Stays) => {}
                Some(Fate::Named(numbers)) => {
                    let Token::Varint(value) = token else { return None };
                    // An enum travels as a sign-extended 64-bit number.
                    #[expect(clippy::cast_possible_truncation, reason = "as decoders read it")]
                    let value = value as i32;
                    if !numbers.contains(&value) {
                        return None;
                    }
                }
                Some(Fate::Inside(inner)) => {
                    let Token::Delimited(body) = token else { return None };
                    let before = out.len();
                    out.extend_from_slice(scan.between(kept, from));
                    put_tag(number, DELIMITED, out);
                    let start = out.len();
                    if self.message(*inner, body, depth + 1, out)? {
                        put_length(start, out);
                        kept = scan.at();
                        changed = true;
                    } else {
                        out.truncate(before);
                    }
                }
                Some(Fate::Unclear) => return None,
                Some(Fate::Goes) | None => {
                    changed = true;
                    out.extend_from_slice(scan.between(kept, from));
                    kept = scan.at();
                }
            }
        }
        out.extend_from_slice(scan.between(kept, bytes.len()));
        Some(changed)
    }
}

fn alike(source: &Message, target: &Message) -> bool {
    json_form(&source.name) == json_form(&target.name)
        && !source.message_set
        && !target.message_set
        && source.map_entry == target.map_entry
}

/// Whether a field holds its values in the same way.
fn same(written: &Field, read: &Field) -> bool {
    written.cardinality == read.cardinality
        && written.oneof == read.oneof
        && written.utf8 == read.utf8
        && written.extension == read.extension
        && written.kind.layout() == read.kind.layout()
        && written.default == read.default
}

/// What becomes of the values of an enum.
fn named(was: &Enum, is: &Enum, read: &Field) -> Option<Fate> {
    if was.closed != is.closed || was.first != is.first || read.kind.layout() != Layout::Varint {
        return None;
    }
    // Numbers of a list may lie behind one tag.
    if !read.cardinality.singular() {
        return Some(Fate::Unclear);
    }
    Some(Fate::Named(is.values.keys().copied().collect()))
}
