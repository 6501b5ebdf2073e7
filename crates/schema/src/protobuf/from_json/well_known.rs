//! Encodes messages of Protobuf itself that have their own JSON form.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    super::{
        any::AnyForm,
        scalar::Scalar,
        well_known_json::{
            DURATION_SECONDS_MAX, WellKnown, parse_duration, parse_timestamp, snake_case,
        },
        wire_format::{WireValue, put_length, put_tag},
    },
    Encoder, display_value,
};

impl Encoder<'_> {
    /// Encodes the fields of a well-known message.
    pub(super) fn well_known(&mut self, well_known: WellKnown, index: usize, value: &Value) {
        match (well_known, value) {
            (WellKnown::Any, Value::Object(members)) => self.any(members),
            (WellKnown::Timestamp, _) => match value.as_str().and_then(parse_timestamp) {
                Some((seconds, nanos)) => self.seconds_and_nanos(seconds, i64::from(nanos)),
                None => self.report(format!(
                    "{} is not a time such as \"2026-01-31T12:00:00.5Z\", in the years 1 to 9999",
                    display_value(value)
                )),
            },
            (WellKnown::Duration, _) => match value.as_str().and_then(parse_duration) {
                Some((seconds, nanos)) => self.seconds_and_nanos(seconds, nanos),
                None => self.report(format!(
                    "{} is not a duration such as \"1.5s\", of at most {DURATION_SECONDS_MAX} seconds",
                    display_value(value)
                )),
            },
            (WellKnown::FieldMask, Value::String(text)) => {
                for path in text.split(',').filter(|_| !text.is_empty()) {
                    match snake_case(path) {
                        Some(path) => self.text(1, &path),
                        None => self.report(format!(
                            "{path:?} is not a path of a field mask: in JSON \"foo_bar\" is written as \"fooBar\""
                        )),
                    }
                }
            }
            (WellKnown::Struct, Value::Object(members)) => {
                let value_index =
                    self.types.message_index("google.protobuf.Value").unwrap_or(usize::MAX);
                for (name, value) in members {
                    self.at_member(name, |encoder| {
                        put_tag(1, 2, &mut encoder.out);
                        let from = encoder.out.len();
                        encoder.text(1, name);
                        encoder.nested_message(2, value_index, value);
                        put_length(from, &mut encoder.out);
                    });
                }
            }
            (WellKnown::ListValue, Value::Array(items)) => {
                let value_index =
                    self.types.message_index("google.protobuf.Value").unwrap_or(usize::MAX);
                for (at, value) in items.iter().enumerate() {
                    self.at_member(&at.to_string(), |encoder| {
                        encoder.nested_message(1, value_index, value);
                    });
                }
            }
            (WellKnown::Value, _) => self.json_value(value),
            (WellKnown::Wrapper, _) => {
                let types = self.types;
                let field = types.message(index).and_then(|message| message.fields.get(&1));
                if let Some(field) = field {
                    self.field(field, value);
                }
            }
            _ => {
                let name = self.types.message(index).map_or("", |message| message.name.as_str());
                self.report(format!("{} is not a {name}", display_value(value)));
            }
        }
    }

    fn any(&mut self, members: &Map<String, Value>) {
        let Some(Value::String(type_url)) = members.get("@type") else {
            if !members.is_empty() {
                self.report("an Any needs the type of its message in \"@type\"");
            }
            return;
        };
        let name =
            type_url.rsplit('/').next().filter(|_| type_url.contains('/')).unwrap_or_default();
        self.text(1, type_url);
        put_tag(2, 2, &mut self.out);
        let from = self.out.len();
        if let Some(index) = self.types.message_index(name) {
            self.any_message(index, name, members);
        } else if let Some((schema, index)) = self.messages.find(name) {
            let (types, tables) = (&schema.inner.types, &schema.inner.tables);
            let mut encoder = self.fork();
            (encoder.types, encoder.tables) = (types, tables);
            encoder.any_message(index, name, members);
            let (out, violations) = encoder.finish();
            self.out.extend(out);
            self.add_violations(violations);
        } else {
            self.at_member("@type", |encoder| {
                encoder.report(format!(
                    "{type_url:?} is not the type URL of a message of the schema or of exactly one registered subject, such \
                     as \"type.googleapis.com/google.protobuf.Duration\""
                ));
            });
        }
        put_length(from, &mut self.out);
    }

    /// Encodes the message inside an Any.
    fn any_message(&mut self, index: usize, name: &str, members: &Map<String, Value>) {
        let form = AnyForm::of(name);
        let is_special = |name: &str| name == "@type" || name == "value" && form != AnyForm::Fields;
        let others = members.iter().filter(|(name, _)| !is_special(name));
        match form {
            AnyForm::Fields | AnyForm::Empty => self.members(index, others),
            AnyForm::Value => {
                for (other, _) in others {
                    self.at_member(other, |encoder| {
                        encoder
                            .report(format!("an Any of a {name} has only \"@type\" and \"value\""));
                    });
                }
            }
        }
        match (form, members.get("value")) {
            (AnyForm::Fields, _) | (AnyForm::Empty, None) => {}
            (AnyForm::Value | AnyForm::Empty, value) => {
                self.at_member("value", |encoder| {
                    encoder.message(index, value.unwrap_or(&Value::Null))
                });
            }
        }
    }

    fn json_value(&mut self, value: &Value) {
        let index = |name: &str| self.types.message_index(name).unwrap_or(usize::MAX);
        match value {
            Value::Null => WireValue::Varint(0).put_field(1, &mut self.out),
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or_default();
                WireValue::Fixed64(number.to_bits()).put_field(2, &mut self.out);
            }
            Value::String(text) => self.text(3, text),
            Value::Bool(value) => WireValue::Varint(u64::from(*value)).put_field(4, &mut self.out),
            Value::Object(_) => self.nested_message(5, index("google.protobuf.Struct"), value),
            Value::Array(_) => self.nested_message(6, index("google.protobuf.ListValue"), value),
        }
    }

    fn nested_message(&mut self, number: u32, message: usize, value: &Value) {
        put_tag(number, 2, &mut self.out);
        let from = self.out.len();
        self.message(message, value);
        put_length(from, &mut self.out);
    }

    fn text(&mut self, number: u32, text: &str) {
        WireValue::Bytes(Cow::Borrowed(text.as_bytes())).put_field(number, &mut self.out);
    }

    fn seconds_and_nanos(&mut self, seconds: i64, nanos: i64) {
        for (number, scalar, value) in [(1, Scalar::Int64, seconds), (2, Scalar::Int32, nanos)] {
            if value != 0
                && let Some(bits) = scalar.bits(value.into())
            {
                WireValue::Varint(bits).put_field(number, &mut self.out);
            }
        }
    }
}
