//! Evaluates what was compiled.

use std::{borrow::Cow, rc::Rc};

use serde_json::Value as Json;

use super::{
    Budget, Failure, function,
    node::{Fold, Keys, Node, Operator},
    value::Value,
};
use crate::model::encoded::{Attribute, EncodedEvent};

type Answer<'v> = Result<Value<'v>, Failure>;

/// Whether the answer is yes.
pub fn evaluate(
    root: &Node,
    slots: usize,
    event: EncodedEvent<'_>,
    data: Option<&Json>,
    budget: &mut Budget,
) -> Result<bool, Failure> {
    let mut slots_of = Vec::new();
    slots_of.resize_with(slots, || Err(Failure::Absent));
    Machine { event, data, slots: slots_of, budget }.value(root)?.truth()
}

struct Machine<'v, 'b> {
    event: EncodedEvent<'v>,
    data: Option<&'v Json>,
    /// What macros are at. What failed is kept as such: `||` may do without.
    slots: Vec<Answer<'v>>,
    budget: &'b mut Budget,
}

impl<'v> Machine<'v, '_> {
    fn value(&mut self, node: &'v Node) -> Answer<'v> {
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
                let held = self.slots.get(*slot).cloned().unwrap_or(Err(Failure::Absent))?;
                self.budget.take_bytes(held.copied_bytes())?;
                held
            }
            Node::Field(of, name) => {
                let of = self.value(of)?;
                of.field(name, self.budget)?.ok_or(Failure::Absent)?
            }
            Node::HasField(of, name) => match self.value(of) {
                Ok(of) => Value::Bool(of.field(name, self.budget)?.is_some()),
                // Where there is nothing, nothing has a field.
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
                    if *keys == Keys::Open {
                        self.check_key(&key, &entries)?;
                    }
                    entries.push((key, self.value(value)?));
                }
                Value::Map(Rc::new(entries))
            }
            Node::Not(node) => Value::Bool(!self.value(node)?.truth()?),
            Node::Negate(node) => match self.value(node)? {
                Value::Double(number) => Value::Double(-number),
                Value::Span(span) => Value::Span(-span),
                number => fit(-number.integer().ok_or(Failure::Type)?, false)?,
            },
            Node::And(one, two) => self.either(one, two, false)?,
            Node::Or(one, two) => self.either(one, two, true)?,
            Node::Choice(parts) => {
                let [asked, yes, no] = parts.as_ref();
                let is_so = self.value(asked)?.truth()?;
                self.value(if is_so { yes } else { no })?
            }
            Node::Binary(operator, one, two) => {
                let (one, two) = (self.value(one)?, self.value(two)?);
                self.binary(*operator, &one, &two)?
            }
            Node::Call(function, nodes) => {
                let values: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
                function.call(&values?, self.budget)?
            }
            Node::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    // A byte is a step at most in a table that is built as the search goes on.
                    self.budget.take(text.len() as u64 / 4)?;
                    Value::Bool(pattern.finds(&text).ok_or(Failure::Work)?)
                }
                _ => return Err(Failure::Type),
            },
            Node::Fold(fold) => self.fold(fold)?,
            Node::Push(slot, node) => {
                let value = self.value(node)?;
                let held = self.slots.get_mut(*slot).ok_or(Failure::Absent)?;
                let mut held = std::mem::replace(held, Err(Failure::Absent))?;
                let Value::List(items) = &mut held else { return Err(Failure::Type) };
                Rc::make_mut(items).push(value);
                held
            }
            Node::GoesOn(node) => match self.value(node) {
                Ok(value) => Value::Bool(value.truth().unwrap_or(true)),
                Err(Failure::Work) => return Err(Failure::Work),
                Err(_) => Value::Bool(true),
            },
        })
    }

    /// Checks the type of a key of a map, and that the entries do not have it yet.
    fn check_key(
        &mut self,
        key: &Value<'v>,
        entries: &[(Value<'v>, Value<'v>)],
    ) -> Result<(), Failure> {
        if !key.is_key() {
            return Err(Failure::Type);
        }
        for (held, _) in entries {
            if held.equals(key, self.budget)? {
                return Err(Failure::Value);
            }
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str) -> Answer<'v> {
        Ok(match self.event.value(name).ok_or(Failure::Absent)? {
            Attribute::Text(text) => Value::Text(Cow::Borrowed(text)),
            Attribute::Bool(flag) => Value::Bool(flag),
            Attribute::Int(number) => Value::Int(number),
            Attribute::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            Attribute::Time(time) => Value::Time(time),
        })
    }

    /// `||` where `settles` is true, `&&` where it is false: either side settles it, also where the other one fails.
    fn either(&mut self, one: &'v Node, two: &'v Node, settles: bool) -> Answer<'v> {
        let first = self.value(one).and_then(|it| it.truth());
        match first {
            Err(Failure::Work) => return Err(Failure::Work),
            Ok(flag) if flag == settles => return Ok(Value::Bool(settles)),
            Ok(_) | Err(_) => {}
        }
        match (first, self.value(two).and_then(|it| it.truth())) {
            (_, Ok(flag)) if flag == settles => Ok(Value::Bool(settles)),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!settles)),
        }
    }

    fn fold(&mut self, fold: &'v Fold) -> Answer<'v> {
        let mut range = self.value(&fold.range)?;
        if let Value::Object(members) = range {
            self.budget.take(members.len() as u64)?;
            let keys = members.keys().map(|key| Value::Text(Cow::Borrowed(key.as_str())));
            range = Value::List(Rc::new(keys.collect()));
        }
        let outcome = self.value(&fold.init);
        self.set(fold.outcome, outcome);
        let mut at = 0;
        while let Some(item) = range.item(at)? {
            if !self.value(&fold.goes_on)?.truth()? {
                break;
            }
            self.budget.take_bytes(item.copied_bytes())?;
            self.set(fold.item, Ok(item));
            let outcome = self.value(&fold.step);
            if matches!(outcome, Err(Failure::Work)) {
                return outcome;
            }
            self.set(fold.outcome, outcome);
            at += 1;
        }
        self.value(&fold.result)
    }

    fn set(&mut self, slot: usize, answer: Answer<'v>) {
        if let Some(held) = self.slots.get_mut(slot) {
            *held = answer;
        }
    }

    fn binary(&mut self, operator: Operator, one: &Value<'v>, two: &Value<'v>) -> Answer<'v> {
        let order = |machine: &mut Self| one.order(two, machine.budget);
        Ok(match operator {
            Operator::Equal => Value::Bool(one.equals(two, self.budget)?),
            Operator::Unequal => Value::Bool(!one.equals(two, self.budget)?),
            Operator::Less => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_lt)),
            Operator::AtMost => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_le)),
            Operator::More => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_gt)),
            Operator::AtLeast => Value::Bool(order(self)?.is_some_and(std::cmp::Ordering::is_ge)),
            Operator::In => Value::Bool(one.is_in(two, self.budget)?),
            Operator::At => one.at(two, self.budget)?.ok_or(Failure::Absent)?,
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder => self.arithmetic(operator, one, two)?,
        })
    }

    fn arithmetic(&mut self, operator: Operator, one: &Value<'v>, two: &Value<'v>) -> Answer<'v> {
        if let (Some(a), Some(b)) = (one.integer(), two.integer()) {
            return integers(operator, a, b, is_uint(one) && is_uint(two));
        }
        if let (Some(a), Some(b)) = (one.double(), two.double()) {
            return Ok(Value::Double(match operator {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::Divide => a / b,
                _ => return Err(Failure::Type),
            }));
        }
        match (operator, one, two) {
            (Operator::Add, Value::Text(a), Value::Text(b)) => {
                self.budget.take_bytes(a.len() + b.len())?;
                Ok(Value::text([a.as_ref(), b.as_ref()].concat()))
            }
            (Operator::Add, Value::Bytes(a), Value::Bytes(b)) => {
                self.budget.take_bytes(a.len() + b.len())?;
                Ok(Value::Bytes(Cow::Owned([a.as_ref(), b.as_ref()].concat())))
            }
            (Operator::Add, Value::List(_) | Value::Array(_), Value::List(_) | Value::Array(_)) => {
                let size = one.size(self.budget)? + two.size(self.budget)?;
                self.budget.take(size as u64)?;
                let mut items = Vec::with_capacity(size);
                for list in [one, two] {
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

fn integers<'v>(operator: Operator, a: i128, b: i128, is_uint: bool) -> Answer<'v> {
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

/// An integer of 64 bits, or none. What does not fit into a signed one, and came of payloads, may fit into the other.
fn fit<'v>(number: i128, is_uint: bool) -> Answer<'v> {
    let signed = i64::try_from(number).map(Value::Int);
    let unsigned = u64::try_from(number).map(Value::Uint);
    let fits = if is_uint { unsigned } else { signed.or(unsigned) };
    fits.map_err(|_| Failure::Value)
}
