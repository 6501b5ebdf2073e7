//! The short way from a version to another: where two schemas of one object differ only by properties that one of them
//! does not declare, a payload goes over without those that the reader's does not have, and is not read besides.
//!
//! What comes out needs no check. It was checked against the writer's schema when it was published, and everything that
//! the reader's says of it stands in the writer's, word for word.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    mem,
    ops::Range,
};

use serde_json::{Map, Value};

use super::{members::Members, source::Source};

/// What the root of both may say besides. With anything else the long way is taken.
const SAID_ALIKE: [&str; 9] = [
    "$schema",
    "title",
    "description",
    "$comment",
    "examples",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// Keywords that move what a reference means.
const MOVERS: [&str; 7] = [
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];
/// Where references of both may point.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// Two versions of which every shared property means the same.
#[derive(Debug)]
pub(crate) struct ShortWay {
    /// What becomes of a member, by its name.
    fates: BTreeMap<String, Fate>,
    /// Of members that no version declares.
    others: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// As it was written.
    Stays,
    /// The reader's object is closed and does not declare it.
    Goes,
    /// The writer's schema says nothing of it and the reader's does: only the long way tells.
    Unclear,
}

impl ShortWay {
    /// None: the two differ by more.
    pub(crate) fn between(writer: &Source, reader: &Source) -> Option<Self> {
        let ([from, from_others @ ..], [to, to_others @ ..]) =
            (writer.documents.as_slice(), reader.documents.as_slice())
        else {
            return None;
        };
        let same = |(one, other): (&super::source::Document, &super::source::Document)| {
            one.name == other.name && one.draft == other.draft && one.value == other.value
        };
        // Draft 4 has ids of another name, and drafts before 2019-09 leave out what stands beside a reference.
        let is_modern = from.draft == to.draft && from.draft == jsonschema::Draft::Draft202012;
        if !is_modern
            || from_others.len() != to_others.len()
            || !from_others.iter().zip(to_others).all(same)
        {
            return None;
        }
        let (from, to) = (from.value.as_object()?, to.value.as_object()?);
        let stays = |document: &Value| refers_to_definitions(document, from_others.is_empty());
        if !from.values().chain(to.values()).all(stays) {
            return None;
        }
        let parts = DEFINITIONS.iter().chain(&["properties"]);
        let agree = parts.into_iter().all(|part| agree(from.get(*part), to.get(*part)));
        if !agree || !required(to)?.is_subset(&required(from)?) {
            return None;
        }
        let (written, read) = (Object::of(from)?, Object::of(to)?);
        let undeclared = if read.is_closed { Fate::Goes } else { Fate::Stays };
        let mut fates = BTreeMap::new();
        for name in written.properties.keys() {
            let is_read = read.properties.contains_key(name);
            fates.insert(name.clone(), if is_read { Fate::Stays } else { undeclared });
        }
        // A closed writer has nothing else.
        if written.is_closed {
            return Some(Self { fates, others: Fate::Stays });
        }
        for name in read.properties.keys() {
            fates.entry(name.clone()).or_insert(Fate::Unclear);
        }
        Some(Self { fates, others: undeclared })
    }

    /// Writes the payload without what goes; whether there was anything such, else nothing is written. None: take the
    /// long way.
    pub(crate) fn apply(&self, json: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        if self.others == Fate::Stays && self.fates.values().all(|fate| *fate == Fate::Stays) {
            return Some(false);
        }
        let start = out.len();
        out.push(b'{');
        let mut changed = false;
        // Neighbours that stay are copied in one piece.
        let mut kept = 0..0;
        let mut copy = |kept: Range<usize>| {
            if kept.is_empty() {
                return;
            }
            if out.len() > start + 1 {
                out.push(b',');
            }
            out.extend_from_slice(json.get(kept).unwrap_or_default());
        };
        let mut members = Members::of(json)?;
        while let Some(member) = members.next()? {
            match self.fate(json.get(member.name)?)? {
                Fate::Stays if kept.is_empty() => kept = member.whole,
                Fate::Stays => kept.end = member.whole.end,
                Fate::Goes => {
                    changed = true;
                    copy(mem::take(&mut kept));
                }
                Fate::Unclear => return None,
            }
        }
        copy(kept);
        if changed {
            out.push(b'}');
        } else {
            out.truncate(start);
        }
        Some(changed)
    }

    /// Of a name as it was written.
    fn fate(&self, name: &[u8]) -> Option<Fate> {
        let name: Cow<'_, str> = if name.contains(&b'\\') {
            serde_json::from_slice::<String>(&[b"\"", name, b"\""].concat()).ok()?.into()
        } else {
            str::from_utf8(name).ok()?.into()
        };
        Some(self.fates.get(&*name).copied().unwrap_or(self.others))
    }
}

/// A schema of objects, and nothing besides.
struct Object<'v> {
    properties: &'v Map<String, Value>,
    is_closed: bool,
}

impl<'v> Object<'v> {
    fn of(schema: &'v Map<String, Value>) -> Option<Self> {
        let is_known = |keyword: &String| {
            let keyword = keyword.as_str();
            SAID_ALIKE.contains(&keyword)
                || DEFINITIONS.contains(&keyword)
                || matches!(keyword, "type" | "properties" | "required" | "additionalProperties")
        };
        if schema.get("type")?.as_str()? != "object" || !schema.keys().all(is_known) {
            return None;
        }
        let is_closed = match schema.get("additionalProperties") {
            None | Some(Value::Bool(true)) => false,
            Some(Value::Bool(false)) => true,
            Some(_) => return None,
        };
        Some(Self { properties: schema.get("properties")?.as_object()?, is_closed })
    }
}

/// Whether what is in both is the same in both.
fn agree(from: Option<&Value>, to: Option<&Value>) -> bool {
    let (Some(from), Some(to)) = (from, to) else { return true };
    let (Some(from), Some(to)) = (from.as_object(), to.as_object()) else { return false };
    to.iter().all(|(name, schema)| from.get(name).is_none_or(|other| other == schema))
}

fn required(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    let Some(names) = schema.get("required") else { return Some(BTreeSet::new()) };
    names.as_array()?.iter().map(Value::as_str).collect()
}

/// Whether every reference points into the definitions, which both have alike, or, with imports, into another document.
fn refers_to_definitions(schema: &Value, is_alone: bool) -> bool {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if MOVERS.contains(&name.as_str()) {
                        return false;
                    }
                    if name == "$ref" {
                        let Some(to) = value.as_str() else { return false };
                        let is_inside =
                            to.starts_with("#/$defs/") || to.starts_with("#/definitions/");
                        let is_elsewhere = !is_alone && !to.starts_with('#') && !to.is_empty();
                        if !is_inside && !is_elsewhere {
                            return false;
                        }
                    }
                }
                open.extend(members.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use crate::{definition::Definition, json::Schema};

    fn schema(properties: &str, more: &str) -> Schema {
        let text = format!(
            r##"{{"type": "object", "properties": {{{properties}}}, "additionalProperties": false{more}}}"##
        );
        Schema::parse(&Definition::text(text), &[]).expect("a schema")
    }

    const A: &str = r#""a": {"type": "integer"}"#;
    const AB: &str = r#""a": {"type": "integer"}, "b": {"type": "string"}"#;

    #[test]
    fn what_is_not_declared_is_left_out_and_the_rest_stays_as_it_was_written() {
        let narrow = schema(AB, "").short_way(&schema(A, "")).expect("the short way");
        let apply = |json: &str| {
            let mut out = b"before".to_vec();
            let changed = narrow.apply(json.as_bytes(), &mut out).expect("the short way");
            let written = String::from_utf8(out).expect("text");
            let written = written.strip_prefix("before").expect("what was there").to_owned();
            assert_eq!(changed, !written.is_empty());
            written
        };
        assert_eq!(apply(r#"{"a": 1}"#), "");
        assert_eq!(apply(r#"{"b": "}{\"", "a": 1.50 }"#), r#"{"a": 1.50}"#);
        assert_eq!(
            apply(r#" {"\u0061":1 , "b":[{"a":"]"}],"a" :-2e1}"#),
            r#"{"\u0061":1,"a" :-2e1}"#
        );
        assert_eq!(apply(r#"{"\u0062":""}"#), "{}");
        assert!(narrow.apply(b"[1]", &mut Vec::new()).is_none());
    }

    #[test]
    fn what_only_the_reader_declares_may_not_be_there() {
        let open = |properties: &str| {
            let text = format!(r#"{{"type": "object", "properties": {{{properties}}}}}"#);
            Schema::parse(&Definition::text(text), &[]).expect("a schema")
        };
        let apply = |writer: &Schema, reader: &Schema, json: &str| {
            let way = writer.short_way(reader).expect("the short way");
            let mut out = Vec::new();
            way.apply(json.as_bytes(), &mut out)
        };
        assert_eq!(apply(&schema(A, ""), &schema(AB, ""), "{}"), Some(false));
        assert_eq!(apply(&open(A), &open(AB), r#"{"a":1,"c":2}"#), Some(false));
        assert_eq!(apply(&open(A), &open(AB), r#"{"a":1,"b":2}"#), None, "it was never checked");
        assert_eq!(apply(&open(A), &schema(AB, ""), r#"{"a":1,"c":2}"#), Some(true));
        assert_eq!(apply(&open(AB), &open(A), r#"{"a":1,"b":""}"#), Some(false));
    }

    #[test]
    fn whatever_else_differs_takes_the_long_way() {
        let both = schema(AB, "");
        for (properties, more) in [
            (r#""a": {"type": "number"}"#, ""),
            (A, r#", "required": ["a"]"#),
            (A, r#", "minProperties": 1"#),
            (A, r##", "allOf": [{"required": ["a"]}]"##),
        ] {
            let reader = schema(properties, more);
            assert!(both.short_way(&reader).is_none(), "{properties} {more}");
        }
        let recursive = r##""a": {"$ref": "#"}"##;
        let wide = schema(&format!(r#"{recursive}, "b": {{}}"#), "");
        let narrow = schema(recursive, "");
        assert!(wide.short_way(&narrow).is_none(), "what it refers to is another one");
        let defined = |is: &str| format!(r##", "$defs": {{"x": {{"type": "{is}"}}}}"##);
        let referring = r##""a": {"$ref": "#/$defs/x"}"##;
        let wide = schema(&format!(r#"{referring}, "b": {{}}"#), &defined("integer"));
        assert!(wide.short_way(&schema(referring, &defined("integer"))).is_some());
        assert!(wide.short_way(&schema(referring, &defined("number"))).is_none());
        let required = schema(AB, r#", "required": ["a", "b"]"#);
        assert!(required.short_way(&schema(A, r#", "required": ["a"]"#)).is_some());
    }
}
