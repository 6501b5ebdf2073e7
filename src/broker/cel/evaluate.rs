//! Evaluates compiled expressions.

use std::{borrow::Cow, rc::Rc};

use serde_json::Value as Json;

use super::{
    budget::{Budget, Failure},
    function,
    node::{Fold, Keys, Node, Operator},
    value::Value,
};
use crate::model::encoded::{Attribute, EncodedEvent};

type Evaluated<'v> = Result<Value<'v>, Failure>;

/// Whether the expression is true for an event.
pub fn evaluate(
    root: &Node,
    slots: usize,
    event: EncodedEvent<'_>,
    data: Option<&Json>,
    budget: &mut Budget,
) -> Result<bool, Failure> {
    let mut values = Vec::new();
    values.resize_with(slots, || Err(Failure::Absent));
    Evaluator { event, data, slots: values, budget }.value(root)?.as_bool()
}

struct Evaluator<'v, 'b> {
    event: EncodedEvent<'v>,
    data: Option<&'v Json>,
    /// Variables and accumulators of macros. A failure is stored like a value, because `||` may
    /// absorb it.
    slots: Vec<Evaluated<'v>>,
    budget: &'b mut Budget,
}

impl<'v> Evaluator<'v, '_> {
    fn value(&mut self, node: &'v Node) -> Evaluated<'v> {
        self.budget.take(1)?;
        Ok(match node {
            Node::Null => Value::Null,
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Int(number) => Value::Int(*number),
            Node::Uint(number) => Value::Uint(*number),
            Node::Double(number) => Value::Double(*number),
            Node::Text(text) => Value::Text(Cow::Borrowed(text)),
            Node::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            Node::Time(time) => Value::Time(*time),
            Node::Span(span) => Value::Span(*span),
            Node::Attribute(name) => self.attribute(name)?,
            Node::HasAttribute(name) => match self.attribute(name) {
                Ok(_) => Value::Bool(true),
                Err(Failure::Absent) => Value::Bool(false),
                Err(failure) => return Err(failure),
            },
            Node::Data => Value::from(self.data.ok_or(Failure::Absent)?),
            Node::Slot(slot) => {
                let slot_value = self.slots.get(*slot).cloned().unwrap_or(Err(Failure::Absent))?;
                self.budget.take_bytes(slot_value.copied_bytes())?;
                slot_value
            }
            Node::Field(of, name) => {
                let of = self.value(of)?;
                of.field(name, self.budget)?.ok_or(Failure::Absent)?
            }
            Node::HasField(of, name) => match self.value(of) {
                Ok(of) => Value::Bool(of.field(name, self.budget)?.is_some()),
                // An absent value has no fields.
                Err(Failure::Absent) => Value::Bool(false),
                Err(failure) => return Err(failure),
            },
            Node::List(nodes) => {
                let items: Result<_, _> = nodes.iter().map(|node| self.value(node)).collect();
                Value::List(Rc::new(items?))
            }
            Node::Map(nodes, keys) => {
                let mut entries: Vec<(Value<'v>, Value<'v>)> = Vec::with_capacity(nodes.len());
                for (key, value) in nodes {
                    let key = self.value(key)?;
                    if *keys == Keys::Dynamic {
                        self.check_key(&key, &entries)?;
                    }
                    entries.push((key, self.value(value)?));
                }
                Value::Map(Rc::new(entries))
            }
            Node::Not(node) => Value::Bool(!self.value(node)?.as_bool()?),
            Node::Negate(node) => match self.value(node)? {
                Value::Double(number) => Value::Double(-number),
                Value::Span(span) => Value::Span(-span),
                number => fit(-number.integer().ok_or(Failure::Type)?, false)?,
            },
            Node::And(left, right) => self.either(left, right, false)?,
            Node::Or(left, right) => self.either(left, right, true)?,
            Node::Conditional(branches) => {
                let [condition, yes, no] = branches.as_ref();
                let holds = self.value(condition)?.as_bool()?;
                self.value(if holds { yes } else { no })?
            }
            Node::Binary(operator, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.binary(*operator, &left, &right)?
            }
            Node::Call(function, nodes) => {
                let values: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
                function.call(&values?, self.budget)?
            }
            Node::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    // A byte takes at most a step in a table that is built during the search.
                    self.budget.take(text.len() as u64 / 4)?;
                    Value::Bool(pattern.finds(&text).ok_or(Failure::Work)?)
                }
                _ => return Err(Failure::Type),
            },
            Node::Fold(fold) => self.fold(fold)?,
            Node::Push(slot, node) => {
                let value = self.value(node)?;
                let slot_value = self.slots.get_mut(*slot).ok_or(Failure::Absent)?;
                let mut slot_value = std::mem::replace(slot_value, Err(Failure::Absent))?;
                let Value::List(items) = &mut slot_value else { return Err(Failure::Type) };
                Rc::make_mut(items).push(value);
                slot_value
            }
            Node::NotStrictlyFalse(node) => match self.value(node) {
                Ok(value) => Value::Bool(value.as_bool().unwrap_or(true)),
                Err(Failure::Work) => return Err(Failure::Work),
                Err(_) => Value::Bool(true),
            },
        })
    }

    /// Checks the type of a map key, and that the map does not have it yet.
    fn check_key(
        &mut self,
        key: &Value<'v>,
        entries: &[(Value<'v>, Value<'v>)],
    ) -> Result<(), Failure> {
        if !key.is_key() {
            return Err(Failure::Type);
        }
        for (existing, _) in entries {
            if existing.equals(key, self.budget)? {
                return Err(Failure::Value);
            }
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str) -> Evaluated<'v> {
        Ok(match self.event.value(name).ok_or(Failure::Absent)? {
            Attribute::Text(text) => Value::Text(Cow::Borrowed(text)),
            Attribute::Bool(flag) => Value::Bool(flag),
            Attribute::Int(number) => Value::Int(number),
            Attribute::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            Attribute::Time(time) => Value::Time(time),
        })
    }

    /// `||` if `decisive` is true, `&&` if it is false: one decisive operand suffices, even if the
    /// other one fails.
    fn either(&mut self, left: &'v Node, right: &'v Node, decisive: bool) -> Evaluated<'v> {
        let first = self.value(left).and_then(|value| value.as_bool());
        match first {
            Err(Failure::Work) => return Err(Failure::Work),
            Ok(flag) if flag == decisive => return Ok(Value::Bool(decisive)),
            Ok(_) | Err(_) => {}
        }
        match (first, self.value(right).and_then(|value| value.as_bool())) {
            (_, Ok(flag)) if flag == decisive => Ok(Value::Bool(decisive)),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!decisive)),
        }
    }

    fn fold(&mut self, fold: &'v Fold) -> Evaluated<'v> {
        let mut range = self.value(&fold.range)?;
        if let Value::Object(members) = range {
            self.budget.take(members.len() as u64)?;
            let keys = members.keys().map(|key| Value::Text(Cow::Borrowed(key.as_str())));
            range = Value::List(Rc::new(keys.collect()));
        }
        let accumulator = self.value(&fold.init);
        self.set(fold.accumulator, accumulator);
        let mut at = 0;
        while let Some(item) = range.item(at)? {
            if !self.value(&fold.condition)?.as_bool()? {
                break;
            }
            self.budget.take_bytes(item.copied_bytes())?;
            self.set(fold.item, Ok(item));
            let accumulator = self.value(&fold.step);
            if matches!(accumulator, Err(Failure::Work)) {
                return accumulator;
            }
            self.set(fold.accumulator, accumulator);
            at += 1;
        }
        self.value(&fold.result)
    }

    fn set(&mut self, slot: usize, value: Evaluated<'v>) {
        if let Some(slot_value) = self.slots.get_mut(slot) {
            *slot_value = value;
        }
    }

    fn binary(&mut self, operator: Operator, left: &Value<'v>, right: &Value<'v>) -> Evaluated<'v> {
        let order = |evaluator: &mut Self| left.order(right, evaluator.budget);
        Ok(match operator {
            Operator::Equal => Value::Bool(left.equals(right, self.budget)?),
            Operator::Unequal => Value::Bool(!left.equals(right, self.budget)?),
            Operator::Less => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_lt)),
            Operator::AtMost => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_le)),
            Operator::More => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_gt)),
            Operator::AtLeast => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_ge)),
            Operator::In => Value::Bool(left.is_in(right, self.budget)?),
            Operator::At => left.at(right, self.budget)?.ok_or(Failure::Absent)?,
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder => self.arithmetic(operator, left, right)?,
        })
    }

    fn arithmetic(
        &mut self,
        operator: Operator,
        left: &Value<'v>,
        right: &Value<'v>,
    ) -> Evaluated<'v> {
        if let (Some(a), Some(b)) = (left.integer(), right.integer()) {
            return integers(operator, a, b, is_uint(left) && is_uint(right));
        }
        if let (Some(a), Some(b)) = (left.double(), right.double()) {
            return Ok(Value::Double(match operator {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::Divide => a / b,
                _ => return Err(Failure::Type),
            }));
        }
        match (operator, left, right) {
            (Operator::Add, Value::Text(a), Value::Text(b)) => {
                self.budget.take_bytes(a.len() + b.len())?;
                Ok(Value::text([a.as_ref(), b.as_ref()].concat()))
            }
            (Operator::Add, Value::Bytes(a), Value::Bytes(b)) => {
                self.budget.take_bytes(a.len() + b.len())?;
                Ok(Value::Bytes(Cow::Owned([a.as_ref(), b.as_ref()].concat())))
            }
            (Operator::Add, Value::List(_) | Value::Array(_), Value::List(_) | Value::Array(_)) => {
                let size = left.size(self.budget)? + right.size(self.budget)?;
                self.budget.take(size as u64)?;
                let mut items = Vec::with_capacity(size);
                for list in [left, right] {
                    let mut at = 0;
                    while let Some(item) = list.item(at)? {
                        self.budget.take_bytes(item.copied_bytes())?;
                        items.push(item);
                        at += 1;
                    }
                }
                Ok(Value::List(Rc::new(items)))
            }
            (Operator::Add, Value::Time(time), Value::Span(span))
            | (Operator::Add, Value::Span(span), Value::Time(time)) => {
                time.checked_add(*span).map(Value::Time).ok_or(Failure::Value)
            }
            (Operator::Subtract, Value::Time(time), Value::Span(span)) => {
                time.checked_sub(*span).map(Value::Time).ok_or(Failure::Value)
            }
            (Operator::Subtract, Value::Time(a), Value::Time(b)) => {
                Ok(Value::Span(a.duration_since(*b)))
            }
            (Operator::Add, Value::Span(a), Value::Span(b)) => {
                a.checked_add(*b).and_then(function::span).map(Value::Span).ok_or(Failure::Value)
            }
            (Operator::Subtract, Value::Span(a), Value::Span(b)) => {
                a.checked_sub(*b).and_then(function::span).map(Value::Span).ok_or(Failure::Value)
            }
            _ => Err(Failure::Type),
        }
    }
}

fn is_uint(value: &Value<'_>) -> bool {
    matches!(value, Value::Uint(_))
}

fn integers<'v>(operator: Operator, a: i128, b: i128, is_uint: bool) -> Evaluated<'v> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Remainder => a.checked_rem(b),
        _ => return Err(Failure::Type),
    };
    fit(result.ok_or(Failure::Value)?, is_uint)
}

/// An integer of 64 bits. A number from payloads may exceed an i64 and still be a u64.
fn fit<'v>(number: i128, is_uint: bool) -> Evaluated<'v> {
    let signed = i64::try_from(number).map(Value::Int);
    let unsigned = u64::try_from(number).map(Value::Uint);
    let fits = if is_uint { unsigned } else { signed.or(unsigned) };
    fits.map_err(|_| Failure::Value)
}
