//! The short way from a version to a narrower one: where two schemas of one object differ only by properties that the
//! reader does not have, a payload goes over without those, read once and built of nothing.
//!
//! What comes out needs no check. It was checked against the writer's schema when it was published, and everything that
//! the reader's says of it stands in the writer's, word for word.

use std::{borrow::Cow, collections::BTreeSet, mem, ops::Range};

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

/// What a narrower version declares.
#[derive(Debug)]
pub(crate) struct Narrow {
    properties: BTreeSet<String>,
}

impl Narrow {
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
        let properties = narrower(from, to)?;
        let stays = |document: &Value| refers_to_definitions(document, from_others.is_empty());
        let all = from.values().chain(to.values()).all(stays);
        all.then(|| Self { properties: properties.keys().cloned().collect() })
    }

    /// Writes the payload without what is not declared; whether there was anything such, else nothing is written. None:
    /// take the long way.
    pub(crate) fn apply(&self, json: &[u8], out: &mut Vec<u8>) -> Option<bool> {
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
            if self.declares(json.get(member.name)?)? {
                kept = if kept.is_empty() { member.whole } else { kept.start..member.whole.end };
            } else {
                changed = true;
                copy(mem::take(&mut kept));
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
    fn declares(&self, name: &[u8]) -> Option<bool> {
        let name: Cow<'_, str> = if name.contains(&b'\\') {
            serde_json::from_slice::<String>(&[b"\"", name, b"\""].concat()).ok()?.into()
        } else {
            str::from_utf8(name).ok()?.into()
        };
        Some(self.properties.contains(&*name))
    }
}

/// The properties of the narrower one, if everything that it says stands in the wider one.
fn narrower<'v>(
    from: &Map<String, Value>,
    to: &'v Map<String, Value>,
) -> Option<&'v Map<String, Value>> {
    let is_object =
        |it: &Map<String, Value>| it.get("type").and_then(Value::as_str) == Some("object");
    if !is_object(from) || !is_object(to) || to.get("additionalProperties") != Some(&false.into()) {
        return None;
    }
    let is_known = |keyword: &String| {
        let keyword = keyword.as_str();
        SAID_ALIKE.contains(&keyword)
            || DEFINITIONS.contains(&keyword)
            || matches!(keyword, "type" | "properties" | "required" | "additionalProperties")
    };
    if !from.keys().chain(to.keys()).all(is_known) {
        return None;
    }
    let contains = |wide: Option<&Value>, narrow: Option<&Value>| match narrow {
        None => true,
        Some(narrow) => match (wide.and_then(Value::as_object), narrow.as_object()) {
            (Some(wide), Some(narrow)) => {
                narrow.iter().all(|(name, schema)| wide.get(name) == Some(schema))
            }
            _ => false,
        },
    };
    let parts = DEFINITIONS.iter().chain(&["properties"]);
    if !parts.into_iter().all(|part| contains(from.get(*part), to.get(*part))) {
        return None;
    }
    let required = |it: &Map<String, Value>| -> Option<BTreeSet<String>> {
        let Some(names) = it.get("required") else { return Some(BTreeSet::new()) };
        names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    if !required(to)?.is_subset(&required(from)?) {
        return None;
    }
    to.get("properties")?.as_object()
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
        let narrow = schema(AB, "").narrow(&schema(A, "")).expect("narrower");
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
    fn whatever_else_differs_takes_the_long_way() {
        let both = schema(AB, "");
        for (properties, more) in [
            (r#""a": {"type": "number"}"#, ""),
            (r#""c": {"type": "integer"}"#, ""),
            (A, r#", "required": ["a"]"#),
            (A, r#", "minProperties": 1"#),
            (A, r##", "$defs": {"x": {}}"##),
            (A, r##", "allOf": [{"required": ["a"]}]"##),
        ] {
            let reader = schema(properties, more);
            assert!(both.narrow(&reader).is_none(), "{properties} {more}");
        }
        let recursive = r##""a": {"$ref": "#"}"##;
        let wide = schema(&format!(r#"{recursive}, "b": {{}}"#), "");
        assert!(wide.narrow(&schema(recursive, "")).is_none(), "what it refers to is another one");
        let defined = r##", "$defs": {"x": {"type": "integer"}}"##;
        let referring = r##""a": {"$ref": "#/$defs/x"}"##;
        let wide = schema(&format!(r#"{referring}, "b": {{}}"#), defined);
        assert!(wide.narrow(&schema(referring, defined)).is_some());
        let required = schema(AB, r#", "required": ["a", "b"]"#);
        assert!(required.narrow(&schema(A, r#", "required": ["a"]"#)).is_some());
    }
}
