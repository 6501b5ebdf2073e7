//! Values during the evaluation of an expression.

use std::{borrow::Cow, cmp::Ordering, rc::Rc};

use jiff::SignedDuration;
use serde_json::{Map, Value as Json};

use super::budget::{Budget, Failure};
use crate::model::timestamp::Timestamp;

/// A value. Values of the event and its payload are borrowed.
#[derive(Debug, Clone)]
pub enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'v, str>),
    Bytes(Cow<'v, [u8]>),
    Time(Timestamp),
    Span(SignedDuration),
    List(Rc<Vec<Value<'v>>>),
    Map(Rc<Vec<(Value<'v>, Value<'v>)>>),
    /// A list of a payload.
    Array(&'v [Json]),
    /// A map of a payload.
    Object(&'v Map<String, Json>),
}

impl<'v> From<&'v Json> for Value<'v> {
    fn from(json: &'v Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Int(number),
                (None, Some(number)) => Self::Uint(number),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(items) => Self::Array(items),
            Json::Object(members) => Self::Object(members),
        }
    }
}

impl<'v> Value<'v> {
    /// A text that was computed.
    pub fn text(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }

    /// An integer of either kind.
    pub fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some((*number).into()),
            Self::Uint(number) => Some((*number).into()),
            _ => None,
        }
    }

    /// Any number as a floating-point number.
    #[expect(clippy::cast_precision_loss, reason = "that is what double() means")]
    pub fn double(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Uint(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Result<bool, Failure> {
        match self {
            Self::Bool(flag) => Ok(*flag),
            _ => Err(Failure::Type),
        }
    }

    /// Bytes that a copy allocates.
    pub fn copied_bytes(&self) -> usize {
        match self {
            Self::Text(Cow::Owned(text)) => text.len(),
            Self::Bytes(Cow::Owned(bytes)) => bytes.len(),
            _ => 0,
        }
    }

    /// Whether it can be the key of a map.
    pub fn is_key(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Text(_))
    }

    /// The value of a field of a map.
    pub fn field(&self, name: &str, budget: &mut Budget) -> Result<Option<Value<'v>>, Failure> {
        match self {
            Self::Object(members) => Ok(members.get(name).map(Value::from)),
            Self::Map(entries) => {
                budget.take(entries.len() as u64)?;
                let entry =
                    entries.iter().find(|(key, _)| matches!(key, Self::Text(text) if text == name));
                Ok(entry.map(|(_, value)| value.clone()))
            }
            _ => Err(Failure::Type),
        }
    }

    /// The value at an index or under a key.
    pub fn at(&self, key: &Value<'v>, budget: &mut Budget) -> Result<Option<Value<'v>>, Failure> {
        match (self, key) {
            (Self::Array(items), key) => {
                let at = usize::try_from(key.integer().ok_or(Failure::Type)?);
                Ok(at.ok().and_then(|at| items.get(at)).map(Value::from))
            }
            (Self::List(items), key) => {
                let at = usize::try_from(key.integer().ok_or(Failure::Type)?);
                Ok(at.ok().and_then(|at| items.get(at)).cloned())
            }
            (Self::Object(_), Self::Text(name)) => self.field(name, budget),
            // The keys of a payload's map are texts.
            (Self::Object(_), _) => Ok(None),
            (Self::Map(entries), key) => {
                for (existing, value) in entries.iter() {
                    if existing.equals(key, budget)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            _ => Err(Failure::Type),
        }
    }

    /// Whether it is an item of a list, or a key of a map.
    pub fn is_in(&self, container: &Value<'v>, budget: &mut Budget) -> Result<bool, Failure> {
        match container {
            Self::Array(items) => {
                for item in *items {
                    if self.equals(&Value::from(item), budget)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::List(items) => {
                for item in items.iter() {
                    if self.equals(item, budget)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Object(_) | Self::Map(_) => {
                container.at(self, budget).map(|value| value.is_some())
            }
            _ => Err(Failure::Type),
        }
    }

    /// Number of characters, bytes, items or entries.
    pub fn size(&self, budget: &mut Budget) -> Result<usize, Failure> {
        Ok(match self {
            Self::Text(text) => {
                budget.take_bytes(text.len())?;
                text.chars().count()
            }
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.len(),
            Self::Array(items) => items.len(),
            Self::Map(entries) => entries.len(),
            Self::Object(members) => members.len(),
            _ => return Err(Failure::Type),
        })
    }

    /// The item of a list, or the key of a map, that a macro visits.
    pub fn item(&self, at: usize) -> Result<Option<Value<'v>>, Failure> {
        Ok(match self {
            Self::List(items) => items.get(at).cloned(),
            Self::Array(items) => items.get(at).map(Value::from),
            Self::Map(entries) => entries.get(at).map(|(key, _)| key.clone()),
            _ => return Err(Failure::Type),
        })
    }

    /// Whether two values are equal. Numbers are compared by value; other values of different types
    /// are not equal.
    pub fn equals(&self, other: &Value<'_>, budget: &mut Budget) -> Result<bool, Failure> {
        budget.take(1)?;
        Ok(match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Time(a), Value::Time(b)) => a == b,
            (Self::Span(a), Value::Span(b)) => a == b,
            (Self::Text(a), Value::Text(b)) => {
                budget.take_bytes(a.len().min(b.len()))?;
                a == b
            }
            (Self::Bytes(a), Value::Bytes(b)) => {
                budget.take_bytes(a.len().min(b.len()))?;
                a == b
            }
            (Self::List(_) | Self::Array(_), Value::List(_) | Value::Array(_)) => {
                if self.size(budget)? != other.size(budget)? {
                    return Ok(false);
                }
                let mut at = 0;
                while let (Some(left), Some(right)) = (self.item(at)?, other.item(at)?) {
                    if !left.equals(&right, budget)? {
                        return Ok(false);
                    }
                    at += 1;
                }
                true
            }
            (Self::Object(a), Value::Object(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (name, left) in *a {
                    budget.take_bytes(name.len())?;
                    let Some(right) = b.get(name) else { return Ok(false) };
                    if !Value::from(left).equals(&Value::from(right), budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(entries), Value::Object(_) | Value::Map(_)) => {
                entries.len() == other.size(budget)? && other.has_entries(entries, budget)?
            }
            (Self::Object(_), Value::Map(entries)) => {
                entries.len() == self.size(budget)? && self.has_entries(entries, budget)?
            }
            (left, right) => left.compare_numbers(right) == Some(Ordering::Equal),
        })
    }

    fn has_entries(
        &self,
        entries: &[(Value<'_>, Value<'_>)],
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        for (key, value) in entries {
            // The lifetimes of the two maps differ, so the key is found by a linear search.
            let mut is_equal = false;
            match self {
                Self::Map(others) => {
                    for (name, other) in others.iter() {
                        if name.equals(key, budget)? {
                            is_equal = other.equals(value, budget)?;
                            break;
                        }
                    }
                }
                Self::Object(members) => {
                    if let Value::Text(name) = key
                        && let Some(member) = members.get(name.as_ref())
                    {
                        is_equal = Value::from(member).equals(value, budget)?;
                    }
                }
                _ => {}
            }
            if !is_equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The order of two values. None: one of them is NaN.
    pub fn order(
        &self,
        other: &Value<'_>,
        budget: &mut Budget,
    ) -> Result<Option<Ordering>, Failure> {
        match (self, other) {
            (Self::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
            (Self::Time(a), Value::Time(b)) => Ok(Some(a.cmp(b))),
            (Self::Span(a), Value::Span(b)) => Ok(Some(a.cmp(b))),
            (Self::Text(a), Value::Text(b)) => {
                budget.take_bytes(a.len().min(b.len()))?;
                Ok(Some(a.as_ref().cmp(b.as_ref())))
            }
            (Self::Bytes(a), Value::Bytes(b)) => {
                budget.take_bytes(a.len().min(b.len()))?;
                Ok(Some(a.as_ref().cmp(b.as_ref())))
            }
            (left, right) if left.double().is_some() && right.double().is_some() => {
                Ok(left.compare_numbers(right))
            }
            _ => Err(Failure::Type),
        }
    }

    /// Compares exactly, even if a double cannot represent the integer.
    fn compare_numbers(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self.integer(), other.integer()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            (Some(a), None) => compare_with_double(a, other.double()?),
            (None, Some(b)) => compare_with_double(b, self.double()?).map(Ordering::reverse),
            (None, None) => self.double()?.partial_cmp(&other.double()?),
        }
    }
}

fn compare_with_double(integer: i128, double: f64) -> Option<Ordering> {
    // 2 to the 64th: greater than every integer that occurs.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if double.is_nan() {
        return None;
    }
    if double >= BEYOND {
        return Some(Ordering::Less);
    }
    if double <= -BEYOND {
        return Some(Ordering::Greater);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is within 65 bits, and has no fraction"
    )]
    let whole = double.trunc() as i128;
    let rest = double - double.trunc();
    Some(integer.cmp(&whole).then(0.0_f64.partial_cmp(&rest)?))
}
