//! Projection of payloads between two versions whose object schemas differ only by properties that
//! one of them does not declare. Members that the reader does not declare are dropped; the payload
//! is not parsed otherwise.
//!
//! The result needs no validation. The payload was validated against the writer's schema when it
//! was published, and every assertion of the reader's schema is part of the writer's, literally.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    mem,
    ops::Range,
};

use serde_json::{Map, Value};

use super::{
    members::Members,
    source::{Document, Source},
};

/// Further keywords that the root of both schemas may have. With any other keyword there is no
/// projection.
const ANNOTATION_KEYWORDS: [&str; 9] = [
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
/// Keywords that change the resolution of references.
const RESOLUTION_KEYWORDS: [&str; 7] = [
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];
/// Keywords that references of both schemas may point into.
const DEFINITION_KEYWORDS: [&str; 2] = ["$defs", "definitions"];

/// A projection between two versions in which every shared property has the same schema.
#[derive(Debug)]
pub(crate) struct Projection {
    /// Actions by member name.
    actions: BTreeMap<String, FieldAction>,
    /// Action for members that neither version declares.
    undeclared_action: FieldAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldAction {
    /// Copies the member as written.
    Keep,
    /// Drops the member: the reader's object is closed and does not declare it.
    Drop,
    /// Falls back to a full conversion: only the reader's schema restricts the member.
    Fallback,
}

impl Projection {
    /// Returns `None` if the versions differ otherwise.
    pub(crate) fn between(writer: &Source, reader: &Source) -> Option<Self> {
        let ([from, from_others @ ..], [to, to_others @ ..]) =
            (writer.documents.as_slice(), reader.documents.as_slice())
        else {
            return None;
        };
        let same = |(written, read): (&Document, &Document)| {
            written.name == read.name && written.draft == read.draft && written.value == read.value
        };
        // Draft 4 names ids differently, and drafts before 2019-09 ignore the siblings of a
        // reference.
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
        let keywords = DEFINITION_KEYWORDS.iter().chain(&["properties"]);
        let agree = keywords.into_iter().all(|keyword| agree(from.get(*keyword), to.get(*keyword)));
        if !agree || !required(to)?.is_subset(&required(from)?) {
            return None;
        }
        let (written, read) = (ObjectSchema::of(from)?, ObjectSchema::of(to)?);
        let undeclared = if read.is_closed { FieldAction::Drop } else { FieldAction::Keep };
        let mut actions = BTreeMap::new();
        for name in written.properties.keys() {
            let is_read = read.properties.contains_key(name);
            actions.insert(name.clone(), if is_read { FieldAction::Keep } else { undeclared });
        }
        // A closed writer has no other members.
        if written.is_closed {
            return Some(Self { actions, undeclared_action: FieldAction::Keep });
        }
        for name in read.properties.keys() {
            actions.entry(name.clone()).or_insert(FieldAction::Fallback);
        }
        Some(Self { actions, undeclared_action: undeclared })
    }

    /// Appends the payload without dropped members to `out`, and returns whether any was dropped;
    /// if none was, nothing is appended. Returns `None` if the payload needs a full conversion.
    pub(crate) fn apply(&self, json: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        if self.undeclared_action == FieldAction::Keep
            && self.actions.values().all(|action| *action == FieldAction::Keep)
        {
            return Some(false);
        }
        let start = out.len();
        out.push(b'{');
        let mut changed = false;
        // Adjacent members that are kept are copied at once.
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
            match self.action(json.get(member.name)?)? {
                FieldAction::Keep if kept.is_empty() => kept = member.span,
                FieldAction::Keep => kept.end = member.span.end,
                FieldAction::Drop => {
                    changed = true;
                    copy(mem::take(&mut kept));
                }
                FieldAction::Fallback => return None,
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

    /// The action for a name as written.
    fn action(&self, name: &[u8]) -> Option<FieldAction> {
        let name: Cow<'_, str> = if name.contains(&b'\\') {
            serde_json::from_slice::<String>(&[b"\"", name, b"\""].concat()).ok()?.into()
        } else {
            str::from_utf8(name).ok()?.into()
        };
        Some(self.actions.get(&*name).copied().unwrap_or(self.undeclared_action))
    }
}

/// An object schema without other assertions.
struct ObjectSchema<'v> {
    properties: &'v Map<String, Value>,
    is_closed: bool,
}

impl<'v> ObjectSchema<'v> {
    fn of(schema: &'v Map<String, Value>) -> Option<Self> {
        let is_known = |keyword: &String| {
            let keyword = keyword.as_str();
            ANNOTATION_KEYWORDS.contains(&keyword)
                || DEFINITION_KEYWORDS.contains(&keyword)
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

/// Whether the entries that both have are equal.
fn agree(from: Option<&Value>, to: Option<&Value>) -> bool {
    let (Some(from), Some(to)) = (from, to) else { return true };
    let (Some(from), Some(to)) = (from.as_object(), to.as_object()) else { return false };
    to.iter().all(|(name, schema)| from.get(name).is_none_or(|other| other == schema))
}

fn required(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    let Some(names) = schema.get("required") else { return Some(BTreeSet::new()) };
    names.as_array()?.iter().map(Value::as_str).collect()
}

/// Whether every reference points into the definitions, which are equal in both schemas, or, if
/// there are imports, into another document.
fn refers_to_definitions(schema: &Value, is_alone: bool) -> bool {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if RESOLUTION_KEYWORDS.contains(&name.as_str()) {
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
    fn undeclared_members_are_dropped_and_the_rest_is_copied_as_written() {
        let narrow = schema(AB, "").projection(&schema(A, "")).expect("a projection");
        let apply = |json: &str| {
            let mut out = b"before".to_vec();
            let changed = narrow.apply(json.as_bytes(), &mut out).expect("no fallback");
            let written = String::from_utf8(out).expect("text");
            let written = written.strip_prefix("before").expect("the previous content").to_owned();
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
    fn a_member_that_only_the_reader_declares_falls_back() {
        let open = |properties: &str| {
            let text = format!(r#"{{"type": "object", "properties": {{{properties}}}}}"#);
            Schema::parse(&Definition::text(text), &[]).expect("a schema")
        };
        let apply = |writer: &Schema, reader: &Schema, json: &str| {
            let projection = writer.projection(reader).expect("a projection");
            let mut out = Vec::new();
            projection.apply(json.as_bytes(), &mut out)
        };
        assert_eq!(apply(&schema(A, ""), &schema(AB, ""), "{}"), Some(false));
        assert_eq!(apply(&open(A), &open(AB), r#"{"a":1,"c":2}"#), Some(false));
        assert_eq!(
            apply(&open(A), &open(AB), r#"{"a":1,"b":2}"#),
            None,
            "the writer did not validate it"
        );
        assert_eq!(apply(&open(A), &schema(AB, ""), r#"{"a":1,"c":2}"#), Some(true));
        assert_eq!(apply(&open(AB), &open(A), r#"{"a":1,"b":""}"#), Some(false));
    }

    #[test]
    fn other_differences_have_no_projection() {
        let both = schema(AB, "");
        for (properties, more) in [
            (r#""a": {"type": "number"}"#, ""),
            (A, r#", "required": ["a"]"#),
            (A, r#", "minProperties": 1"#),
            (A, r##", "allOf": [{"required": ["a"]}]"##),
        ] {
            let reader = schema(properties, more);
            assert!(both.projection(&reader).is_none(), "{properties} {more}");
        }
        let recursive = r##""a": {"$ref": "#"}"##;
        let wide = schema(&format!(r#"{recursive}, "b": {{}}"#), "");
        let narrow = schema(recursive, "");
        assert!(wide.projection(&narrow).is_none(), "the reference has another target");
        let defined = |is: &str| format!(r##", "$defs": {{"x": {{"type": "{is}"}}}}"##);
        let referring = r##""a": {"$ref": "#/$defs/x"}"##;
        let wide = schema(&format!(r#"{referring}, "b": {{}}"#), &defined("integer"));
        assert!(wide.projection(&schema(referring, &defined("integer"))).is_some());
        assert!(wide.projection(&schema(referring, &defined("number"))).is_none());
        let required = schema(AB, r#", "required": ["a", "b"]"#);
        assert!(required.projection(&schema(A, r#", "required": ["a"]"#)).is_some());
    }
}
