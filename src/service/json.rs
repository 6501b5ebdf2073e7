//! Converts between JSON text and `google.protobuf.Value`.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number};

/// 2^53: a double represents every integer up to it exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes a value as JSON text. Whole numbers up to 2^53 are written as integers.
///
/// # Errors
/// Returns a description if JSON cannot represent the value.
pub fn to_text(value: Value) -> Result<String, String> {
    Ok(to_json(value)?.to_string())
}

fn to_json(value: Value) -> Result<serde_json::Value, String> {
    Ok(match value.kind.ok_or("has a value without a kind: use null_value for null")? {
        Kind::NullValue(_) => serde_json::Value::Null,
        Kind::BoolValue(flag) => flag.into(),
        Kind::StringValue(text) => text.into(),
        Kind::NumberValue(number) => to_number(number)?.into(),
        Kind::StructValue(fields) => {
            let mut members = Map::new();
            for (name, value) in fields.fields {
                members.insert(name, to_json(value)?);
            }
            members.into()
        }
        Kind::ListValue(list) => {
            list.values.into_iter().map(to_json).collect::<Result<Vec<_>, _>>()?.into()
        }
    })
}

fn to_number(number: f64) -> Result<Number, String> {
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        // Exact: a whole number within 2^53.
        #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number)
        .ok_or_else(|| format!("has the number {number}, which JSON cannot represent"))
}

/// Reads JSON text as a value. Integers above 2^53, which a double does not represent exactly,
/// become strings.
///
/// # Errors
/// Returns a description if the text is not JSON.
pub fn to_value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map(from_json).map_err(|error| error.to_string())
}

fn from_json(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(double) if !number.is_f64() && double.abs() > EXACT_MAX => {
                Kind::StringValue(number.to_string())
            }
            Some(double) => Kind::NumberValue(double),
            None => Kind::StringValue(number.to_string()),
        },
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(from_json).collect() })
        }
        serde_json::Value::Object(members) => Kind::StructValue(Struct {
            fields: members.into_iter().map(|(name, json)| (name, from_json(json))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole_and_large_ones_become_strings() {
        let text = r#"{"a":1,"b":1.5,"c":[true,null,"x"],"d":-0.25}"#;
        assert_eq!(to_text(to_value(text).expect("JSON")).as_deref(), Ok(text));
        let large = to_value("9223372036854775807").expect("JSON");
        assert_eq!(large.kind, Some(Kind::StringValue("9223372036854775807".into())));
        assert!(to_text(Value { kind: Some(Kind::NumberValue(f64::NAN)) }).is_err());
        assert!(to_text(Value { kind: None }).is_err());
    }
}
