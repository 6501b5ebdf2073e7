//! Numeric assertions of a schema, evaluated with all digits. They replace the keywords of the
//! validator library.

use std::cmp::Ordering;

use jsonschema::ValidationError;
use serde_json::{Map, Value};

use super::{
    exact::Exact,
    wide::{WideNumbers, key, rounded, shown, written},
};

/// The keyword that holds the encoded numeric assertions of a schema.
pub(crate) const KEYWORD: &str = "x-tidings-exact";
/// The keywords that it replaces.
pub(crate) const KEYWORDS: [&str; 9] = [
    "type",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "const",
    "enum",
    "uniqueItems",
];

/// Encodes the numeric assertions of a schema as the value of [`KEYWORD`].
pub(crate) fn encode(
    members: &Map<String, Value>,
    draft_4: bool,
    written: impl Fn(&str) -> Option<String>,
) -> Option<Value> {
    let mut encoded = Map::new();
    for keyword in KEYWORDS {
        let Some(value) = members.get(keyword).filter(|_| !draft_4 || keyword != "const") else {
            continue;
        };
        let operand = match value {
            // As text: a number in the value may be wide.
            Value::Number(number) => {
                Value::from(written(keyword).unwrap_or_else(|| number.to_string()))
            }
            _ if keyword == "const" || keyword == "enum" => Value::from(written(keyword)?),
            other => other.clone(),
        };
        encoded.insert(keyword.to_owned(), operand);
    }
    if draft_4 {
        encoded.insert("draft-4".to_owned(), Value::Bool(true));
    }
    (!encoded.is_empty()).then_some(Value::Object(encoded))
}

/// The numeric assertions of a schema.
#[derive(Debug, Default)]
pub(crate) struct NumericAssertions {
    types: Vec<String>,
    draft_4: bool,
    bounds: Vec<Bound>,
    step: Option<(Exact, String)>,
    /// `enum` and `const`: the keys of the values, and the text for messages.
    values: Vec<(Vec<String>, String)>,
    unique: bool,
}

#[derive(Debug)]
struct Bound {
    at: Exact,
    shown: String,
    exclusive: bool,
    lower: bool,
}

impl NumericAssertions {
    /// Decodes the value that [`encode`] returns.
    pub(crate) fn decode(value: &Value) -> Self {
        let draft_4 = value.get("draft-4").is_some();
        let text = |keyword: &str| value.get(keyword).and_then(Value::as_str);
        let number = |keyword: &str| {
            text(keyword).and_then(|text| Some((Exact::parse(text)?, text.to_owned())))
        };
        let mut assertions = Self {
            draft_4,
            step: number("multipleOf"),
            unique: value.get("uniqueItems") == Some(&Value::Bool(true)),
            ..Self::default()
        };
        match value.get("type") {
            Some(Value::String(name)) => assertions.types.push(name.clone()),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                assertions.types.extend(names.map(ToOwned::to_owned));
            }
            _ => {}
        }
        for (keyword, outer, lower) in
            [("minimum", "exclusiveMinimum", true), ("maximum", "exclusiveMaximum", false)]
        {
            let exclusive = draft_4 && value.get(outer) == Some(&Value::Bool(true));
            let inclusive = number(keyword).map(|bound| (bound, exclusive));
            let exclusive_bound = number(outer).filter(|_| !draft_4).map(|bound| (bound, true));
            assertions.bounds.extend(
                inclusive
                    .into_iter()
                    .chain(exclusive_bound)
                    .map(|((at, shown), exclusive)| Bound { at, shown, exclusive, lower }),
            );
        }
        for keyword in ["enum", "const"] {
            let Some(text) = text(keyword) else { continue };
            let Ok(list) = serde_json::from_str::<Value>(&rounded(text).text) else { continue };
            let keys = WideNumbers::of(text, &list, &mut Vec::new()).scope(|| match &list {
                Value::Array(items) if keyword == "enum" => items.iter().map(key).collect(),
                other => vec![key(other)],
            });
            assertions.values.push((keys, text.to_owned()));
        }
        assertions
    }

    /// The assertion of `multipleOf` alone.
    pub(crate) fn step(value: &Value) -> Self {
        Self { step: written(value), ..Self::default() }
    }

    fn fault(&self, value: &Value) -> Option<String> {
        if !self.types.is_empty() && !self.types.iter().any(|name| self.is_of(name, value)) {
            let names: Vec<_> = self.types.iter().map(|name| format!("{name:?}")).collect();
            return Some(format!("{} is not of type {}", shown(value), names.join(", ")));
        }
        if let Some((exact, text)) = written(value) {
            for Bound { at, shown, exclusive, lower } in &self.bounds {
                let (ordering, side, end) = if *lower {
                    (exact.cmp(at), "less", "minimum")
                } else {
                    (at.cmp(&exact), "greater", "maximum")
                };
                if ordering == Ordering::Less {
                    return Some(format!("{text} is {side} than the {end} of {shown}"));
                }
                if *exclusive && ordering == Ordering::Equal {
                    return Some(format!(
                        "{text} is not {} than {shown}",
                        if *lower { "greater" } else { "less" }
                    ));
                }
            }
            if let Some((step, shown)) = &self.step
                && !exact.is_multiple_of(step)
            {
                return Some(format!("{text} is not a multiple of {shown}"));
            }
        }
        if !self.values.is_empty() {
            let key = key(value);
            if let Some((_, text)) = self.values.iter().find(|(keys, _)| !keys.contains(&key)) {
                return Some(format!("{} is not one of {text}", shown(value)));
            }
        }
        if self.unique
            && let Value::Array(items) = value
        {
            let mut keys: Vec<_> = items.iter().map(key).collect();
            keys.sort_unstable();
            if keys.windows(2).any(|pair| pair.first() == pair.last()) {
                return Some(format!("{value} has non-unique elements"));
            }
        }
        None
    }

    fn is_of(&self, name: &str, value: &Value) -> bool {
        match name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "number" => value.is_number(),
            "integer" => written(value).is_some_and(|(number, _)| {
                if self.draft_4 { number.plain } else { number.is_integer() }
            }),
            _ => false,
        }
    }
}

impl<'i> jsonschema::Keyword<'i> for NumericAssertions {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.fault(value).map_or(Ok(()), |fault| Err(ValidationError::custom(fault)))
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.fault(value).is_none()
    }
}
