//! Checks a parsed expression, and makes of it what is evaluated.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators,
};

use super::{
    Expression, Fault,
    bounds::{DEPTH_MAX, fault_at},
    function::{self, FUNCTIONS, Form, Function, Signature},
    node::{Fold, Keys, Node, Operator, Pattern},
};
use crate::model::{
    encoded::{NAMED, is_attribute_name},
    timestamp::Timestamp,
};

/// What a part gives, as far as it is known before there is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Bytes,
    Time,
    Span,
    List,
    Map,
    /// It depends on the event.
    Any,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a bool",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Bytes => "bytes",
            Self::Time => "a timestamp",
            Self::Span => "a duration",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "any value",
        }
    }

    fn can_be(self, others: &[Self]) -> bool {
        self == Self::Any || others.contains(&self)
    }

    fn same(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }
}

/// Checks an expression.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(text: &str, tree: &IdedExpr, places: &SourceInfo) -> Result<Expression, Fault> {
    let mut check =
        Check { text, places, scopes: Vec::new(), slots: 0, uses_data: false, depth: 0 };
    let (root, kind) = check.node(tree)?;
    if !kind.can_be(&[Kind::Bool]) {
        let message =
            format!("the expression gives {}, and a filter says true or false", kind.name());
        return Err(check.fault_of(tree, message));
    }
    Ok(Expression { root, slots: check.slots, uses_data: check.uses_data })
}

struct Check<'c> {
    text: &'c str,
    places: &'c SourceInfo,
    /// What macros have named, the innermost last.
    scopes: Vec<(&'c str, usize, Kind)>,
    slots: usize,
    uses_data: bool,
    depth: usize,
}

type Checked = Result<(Node, Kind), Fault>;

impl<'c> Check<'c> {
    /// At a function's name, at a field, or at what the parser says.
    fn fault(&self, tree: &IdedExpr, message: String) -> Fault {
        // The parser counts bytes.
        let byte = self.places.offset_for(tree.id).map_or(0, |(start, _)| start as usize);
        let (before, behind) = self.text.split_at_checked(byte).unwrap_or_default();
        let byte = match &tree.expr {
            Expr::Call(call) if before.ends_with(&call.func_name) => byte - call.func_name.len(),
            Expr::Select(_) if behind.starts_with('.') => byte + 1,
            _ => byte,
        };
        let at = self.text.get(..byte).map_or(byte, |before| before.chars().count());
        fault_at(self.text, at, message)
    }

    /// Where an expression begins: it is wrong as a whole.
    fn fault_of(&self, tree: &IdedExpr, message: String) -> Fault {
        let mut first = tree;
        loop {
            first = match &first.expr {
                Expr::Select(select) => &select.operand,
                Expr::Call(CallExpr { target: Some(target), .. }) => target,
                Expr::Call(call) if operator(&call.func_name).is_some() => {
                    match call.args.first() {
                        Some(one) => one,
                        None => break,
                    }
                }
                _ => break,
            };
        }
        self.fault(first, message)
    }

    fn node(&mut self, tree: &'c IdedExpr) -> Checked {
        if self.depth >= DEPTH_MAX {
            return Err(self.fault(tree, format!("the expression nests deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let checked = self.expression(tree);
        self.depth -= 1;
        checked
    }

    fn expression(&mut self, tree: &'c IdedExpr) -> Checked {
        match &tree.expr {
            Expr::Literal(literal) => Ok(constant(literal)),
            Expr::Ident(name) => self.name(tree, name),
            Expr::Select(select) => self.select(tree, &select.operand, &select.field, select.test),
            Expr::List(list) => {
                let nodes: Result<Vec<_>, _> =
                    list.elements.iter().map(|it| self.node(it).map(|(node, _)| node)).collect();
                Ok((Node::List(nodes?), Kind::List))
            }
            Expr::Map(map) => {
                let mut entries: Vec<(Node, Node)> = Vec::with_capacity(map.entries.len());
                let mut keys = Keys::Checked;
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        let (key, kind) = self.node(&entry.key)?;
                        self.key(&entry.key, &key, kind, &entries)?;
                        if literal(&key).is_none() {
                            keys = Keys::Open;
                        }
                        entries.push((key, self.node(&entry.value)?.0));
                    }
                }
                Ok((Node::Map(entries, keys), Kind::Map))
            }
            Expr::Comprehension(fold) => self.fold(tree, fold),
            Expr::Call(call) => self.call(tree, call),
            Expr::Struct(it) => {
                let message =
                    format!("messages such as {}{{}} are not made in filters", it.type_name);
                Err(self.fault(tree, message))
            }
            Expr::Unspecified => Err(self.fault(tree, "an expression is missing here".into())),
        }
    }

    /// Checks a key of a map that has these entries before it.
    fn key(
        &self,
        tree: &IdedExpr,
        key: &Node,
        kind: Kind,
        entries: &[(Node, Node)],
    ) -> Result<(), Fault> {
        if !kind.can_be(&[Kind::Bool, Kind::Number, Kind::Text]) || matches!(key, Node::Double(_)) {
            let given = if kind == Kind::Number { "a double" } else { kind.name() };
            let message =
                format!("keys of a map are int, uint, bool or string, and here is {given}");
            return Err(self.fault_of(tree, message));
        }
        let Some(own) = literal(key) else { return Ok(()) };
        if entries.iter().any(|(other, _)| literal(other) == Some(own)) {
            return Err(self.fault_of(tree, "the map has this key already".into()));
        }
        Ok(())
    }

    fn name(&mut self, tree: &IdedExpr, name: &str) -> Checked {
        if let Some((_, slot, kind)) = self.scopes.iter().rev().find(|(it, ..)| *it == name) {
            return Ok((Node::Slot(*slot), *kind));
        }
        match name {
            "data" => {
                self.uses_data = true;
                Ok((Node::Data, Kind::Any))
            }
            "event" => {
                let message = "`event` is used by its attributes, such as event.type".into();
                Err(self.fault(tree, message))
            }
            _ => {
                let own: Vec<_> = self.scopes.iter().map(|(name, ..)| *name).collect();
                let own = own.into_iter().filter(|name| !name.starts_with('@'));
                let known: Vec<_> = ["event", "data"].into_iter().chain(own).collect();
                let hint = match nearest(name, known.iter().copied()) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None if is_attribute_name(name) => {
                        format!("attributes are event.{name}, fields of the payload data.{name}")
                    }
                    None => format!("fields of the payload are data.{name}"),
                };
                let known = known.join("` and `");
                let message = format!("{name:?} is not known: there are `{known}`; {hint}");
                Err(self.fault(tree, message))
            }
        }
    }

    fn is_event(&self, tree: &IdedExpr) -> bool {
        matches!(&tree.expr, Expr::Ident(name) if name == "event")
            && !self.scopes.iter().any(|(name, ..)| *name == "event")
    }

    fn select(&mut self, tree: &IdedExpr, of: &'c IdedExpr, field: &str, asks: bool) -> Checked {
        if self.is_event(of) {
            let kind = self.attribute(tree, field)?;
            return Ok(match asks {
                true => (Node::HasAttribute(field.into()), Kind::Bool),
                false => (Node::Attribute(field.into()), kind),
            });
        }
        let (node, kind) = self.node(of)?;
        if !kind.can_be(&[Kind::Map]) {
            let message = format!("{} has no field {field:?}", kind.name());
            return Err(self.fault(tree, message));
        }
        Ok(match asks {
            true => (Node::HasField(Box::new(node), field.into()), Kind::Bool),
            false => (Node::Field(Box::new(node), field.into()), Kind::Any),
        })
    }

    fn attribute(&self, tree: &IdedExpr, name: &str) -> Result<Kind, Fault> {
        if name == "data" {
            return Err(self.fault(tree, "the payload is `data`, not event.data".into()));
        }
        if !is_attribute_name(name) {
            let lower: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            let lower = lower.to_ascii_lowercase();
            let hint = match NAMED.iter().any(|(named, _)| *named == lower) {
                true => format!("; did you mean event.{lower}?"),
                false => String::new(),
            };
            let message = format!(
                "{name:?} is not an attribute name: lower-case letters and digits, at most 64{hint}"
            );
            return Err(self.fault(tree, message));
        }
        Ok(match name {
            "time" => Kind::Time,
            _ if NAMED.iter().any(|(named, _)| *named == name) => Kind::Text,
            _ => Kind::Any,
        })
    }

    fn fold(&mut self, tree: &IdedExpr, fold: &'c ComprehensionExpr) -> Checked {
        if fold.iter_var2.is_some() {
            return Err(self.fault(tree, "macros over two variables are not known".into()));
        }
        let (range, kind) = self.node(&fold.iter_range)?;
        if !kind.can_be(&[Kind::List, Kind::Map]) {
            let message =
                format!("{} is gone through here, and only lists and maps can be", kind.name());
            return Err(self.fault_of(&fold.iter_range, message));
        }
        let (init, outcome_kind) = self.node(&fold.accu_init)?;
        let (item, outcome) = (self.slots, self.slots + 1);
        self.slots += 2;
        self.scopes.push((&fold.accu_var, outcome, outcome_kind));
        self.scopes.push((&fold.iter_var, item, Kind::Any));
        let parts = self.fold_parts(fold);
        self.scopes.truncate(self.scopes.len() - 2);
        let (goes_on, step, (result, kind)) = parts?;
        let fold = Fold { range, item, outcome, init, goes_on, step, result };
        Ok((Node::Fold(Box::new(fold)), kind))
    }

    fn fold_parts(
        &mut self,
        fold: &'c ComprehensionExpr,
    ) -> Result<(Node, Node, (Node, Kind)), Fault> {
        let goes_on = self.node(&fold.loop_cond)?.0;
        let step = self.node(&fold.loop_step)?.0;
        Ok((goes_on, step, self.node(&fold.result)?))
    }

    fn call(&mut self, tree: &'c IdedExpr, call: &'c CallExpr) -> Checked {
        let name = call.func_name.as_str();
        match (&call.target, call.args.as_slice()) {
            (None, [one]) if name == operators::LOGICAL_NOT => {
                let node = self.truth(one, "!")?;
                Ok((Node::Not(Box::new(node)), Kind::Bool))
            }
            (None, [one]) if name == operators::NEGATE => {
                let (node, kind) = self.node(one)?;
                if !kind.can_be(&[Kind::Number, Kind::Span]) {
                    let message = format!("`-` takes a number, and here is {}", kind.name());
                    return Err(self.fault(tree, message));
                }
                Ok((Node::Negate(Box::new(node)), kind))
            }
            (None, [one]) if name == operators::NOT_STRICTLY_FALSE => {
                Ok((Node::GoesOn(Box::new(self.node(one)?.0)), Kind::Bool))
            }
            (None, [one, two]) if name == operators::LOGICAL_AND => {
                // An operand that is not a bool is an error at evaluation, and the other operand may absorb it.
                let (one, two) = (self.node(one)?.0, self.node(two)?.0);
                Ok((Node::And(Box::new(one), Box::new(two)), Kind::Bool))
            }
            (None, [one, two]) if name == operators::LOGICAL_OR => {
                let (one, two) = (self.node(one)?.0, self.node(two)?.0);
                Ok((Node::Or(Box::new(one), Box::new(two)), Kind::Bool))
            }
            (None, [asked, yes, no]) if name == operators::CONDITIONAL => {
                let asked = self.truth(asked, "?")?;
                let ((yes, kind), (no, other)) = (self.node(yes)?, self.node(no)?);
                let kind = if kind == other { kind } else { Kind::Any };
                Ok((Node::Choice(Box::new([asked, yes, no])), kind))
            }
            (None, [one, two]) => match operator(name) {
                Some((operator, sign)) => self.binary(tree, operator, sign, one, two),
                None => self.function(tree, call),
            },
            _ => self.function(tree, call),
        }
    }

    fn truth(&mut self, tree: &'c IdedExpr, sign: &str) -> Result<Node, Fault> {
        let (node, kind) = self.node(tree)?;
        match kind.can_be(&[Kind::Bool]) {
            true => Ok(node),
            false => {
                let message = format!("`{sign}` takes true or false, and here is {}", kind.name());
                Err(self.fault_of(tree, message))
            }
        }
    }

    fn binary(
        &mut self,
        tree: &'c IdedExpr,
        operator: Operator,
        sign: &str,
        one: &'c IdedExpr,
        two: &'c IdedExpr,
    ) -> Checked {
        if operator == Operator::At && self.is_event(one) {
            let Expr::Literal(LiteralValue::String(name)) = &two.expr else {
                let message = "event['NAME'] takes the name itself".into();
                return Err(self.fault(two, message));
            };
            let kind = self.attribute(two, name.inner())?;
            return Ok((Node::Attribute(name.inner().into()), kind));
        }
        if operator == Operator::In && self.is_event(two) {
            let Expr::Literal(LiteralValue::String(name)) = &one.expr else {
                let message = "'NAME' in event takes the name itself".into();
                return Err(self.fault(one, message));
            };
            self.attribute(one, name.inner())?;
            return Ok((Node::HasAttribute(name.inner().into()), Kind::Bool));
        }
        // What a macro gathers is gathered in place.
        if let (Operator::Add, Expr::Ident(name), Expr::List(list)) =
            (operator, &one.expr, &two.expr)
            && let [item] = list.elements.as_slice()
            && name.starts_with('@')
            && let Some((_, slot, _)) = self.scopes.iter().rev().find(|(it, ..)| it == name)
        {
            let slot = *slot;
            return Ok((Node::Push(slot, Box::new(self.node(item)?.0)), Kind::List));
        }
        let ((first, a), (second, b)) = (self.node(one)?, self.node(two)?);
        let kind = match outcome(operator, a, b) {
            Some(kind) => kind,
            None => {
                let message = match operator {
                    Operator::In => {
                        format!("`in` looks into a list or a map, and here is {}", b.name())
                    }
                    Operator::At => format!("{} has nothing under {}", a.name(), b.name()),
                    _ => format!("`{sign}` is not for {} and {}", a.name(), b.name()),
                };
                return Err(self.fault(tree, message));
            }
        };
        Ok((Node::Binary(operator, Box::new(first), Box::new(second)), kind))
    }

    fn function(&mut self, tree: &'c IdedExpr, call: &'c CallExpr) -> Checked {
        let name = call.func_name.as_str();
        let form = if call.target.is_some() { Form::Behind } else { Form::Before };
        let parts: Vec<&'c IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        if name == "matches" {
            return self.matches(tree, &parts);
        }
        let Some(signature) = FUNCTIONS.iter().find(|it| it.name == name) else {
            return Err(self.unknown(tree, name));
        };
        let is_so = signature.form == Form::Both || signature.form == form;
        if !is_so || parts.len() != signature.takes.len() {
            let message = format!("{name} is called {}", usage(signature));
            return Err(self.fault(tree, message));
        }
        let mut nodes = Vec::with_capacity(parts.len());
        for (part, takes) in parts.into_iter().zip(signature.takes) {
            let (node, kind) = self.node(part)?;
            if !kind.can_be(takes) {
                let takes: Vec<_> = takes.iter().map(|kind| kind.name()).collect();
                let message =
                    format!("{name} takes {}, and here is {}", takes.join(" or "), kind.name());
                return Err(self.fault_of(part, message));
            }
            nodes.push(node);
        }
        // What is written in the text is read once.
        match (signature.function, nodes.as_slice()) {
            (Function::Timestamp, [Node::Text(text)]) => match function::timestamp(text) {
                Some(time) => Ok((Node::Time(time), Kind::Time)),
                None => {
                    let message = format!(
                        "{text:?} is no timestamp, such as timestamp('2026-01-31T12:00:00Z')"
                    );
                    Err(self.fault(tree, message))
                }
            },
            (Function::Timestamp, [Node::Int(seconds)]) => match Timestamp::from_second(*seconds) {
                Some(time) => Ok((Node::Time(time), Kind::Time)),
                None => {
                    let message = format!(
                        "{seconds} seconds since 1970 are no timestamp: there are the years 1 to 9999"
                    );
                    Err(self.fault(tree, message))
                }
            },
            (Function::Duration, [Node::Text(text)]) => match function::duration(text) {
                Some(span) => Ok((Node::Span(span), Kind::Span)),
                None => {
                    let message = format!("{text:?} is no duration, such as duration('1h30m')");
                    Err(self.fault(tree, message))
                }
            },
            (function, _) => Ok((Node::Call(function, nodes), signature.gives)),
        }
    }

    fn matches(&mut self, tree: &'c IdedExpr, parts: &[&'c IdedExpr]) -> Checked {
        let [text, pattern] = parts else {
            let message = "matches is called as x.matches('PATTERN')".into();
            return Err(self.fault(tree, message));
        };
        let (node, kind) = self.node(text)?;
        if !kind.can_be(&[Kind::Text]) {
            let message = format!("matches takes a string, and here is {}", kind.name());
            return Err(self.fault_of(text, message));
        }
        let Expr::Literal(LiteralValue::String(written)) = &pattern.expr else {
            let message = "the pattern is compiled once: write it here, in quotes".into();
            return Err(self.fault_of(pattern, message));
        };
        match Pattern::new(written.inner()) {
            Ok(pattern) => Ok((Node::Matches(Box::new(node), Box::new(pattern)), Kind::Bool)),
            Err(message) => Err(self.fault_of(pattern, message)),
        }
    }

    fn unknown(&self, tree: &IdedExpr, name: &str) -> Fault {
        const MACROS: [&str; 6] = ["all", "exists", "exists_one", "filter", "map", "has"];
        if name == "has" {
            return self.fault(tree, "has is called as has(data.x), with one field".into());
        }
        if MACROS.contains(&name) {
            let message = format!("{name} is called as data.items.{name}(it, it.x > 1)");
            return self.fault(tree, message);
        }
        let known = FUNCTIONS.iter().map(|it| it.name).chain(["matches"]);
        let message = match nearest(name, known.clone().chain(MACROS)) {
            Some(nearest) => format!("the function {name:?} is not known; did you mean {nearest}?"),
            None => {
                let known: Vec<_> = known.chain(MACROS).collect();
                format!("the function {name:?} is not known; there are {}", known.join(", "))
            }
        };
        self.fault(tree, message)
    }
}

fn usage(signature: &Signature) -> String {
    let name = signature.name;
    let more = if signature.takes.len() > 1 { "y" } else { "" };
    match signature.form {
        Form::Behind => format!("as x.{name}({more})"),
        Form::Before => format!("as {name}(x)"),
        Form::Both => format!("as x.{name}() or {name}(x)"),
    }
}

fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // 0.8: a letter or two off, or another case.
    let lower = name.to_ascii_lowercase();
    known
        .map(|other| (strsim::jaro_winkler(&lower, &other.to_ascii_lowercase()), other))
        .filter(|(likeness, _)| *likeness > 0.8 && name.len() <= 100)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, other)| other)
}

fn constant(literal: &LiteralValue) -> (Node, Kind) {
    match literal {
        LiteralValue::Null => (Node::Null, Kind::Null),
        LiteralValue::Boolean(flag) => (Node::Bool(*flag.inner()), Kind::Bool),
        LiteralValue::Int(number) => (Node::Int(*number.inner()), Kind::Number),
        LiteralValue::UInt(number) => (Node::Uint(*number.inner()), Kind::Number),
        LiteralValue::Double(number) => (Node::Double(*number.inner()), Kind::Number),
        LiteralValue::String(text) => (Node::Text(text.inner().to_owned()), Kind::Text),
        LiteralValue::Bytes(bytes) => (Node::Bytes(bytes.inner().to_vec()), Kind::Bytes),
    }
}

/// A literal key of a map. Int and uint are compared as numbers.
#[derive(Clone, Copy, PartialEq)]
enum Literal<'n> {
    Bool(bool),
    Number(i128),
    Text(&'n str),
}

fn literal(key: &Node) -> Option<Literal<'_>> {
    Some(match key {
        Node::Bool(flag) => Literal::Bool(*flag),
        Node::Int(number) => Literal::Number((*number).into()),
        Node::Uint(number) => Literal::Number((*number).into()),
        Node::Text(text) => Literal::Text(text),
        _ => return None,
    })
}

fn operator(name: &str) -> Option<(Operator, &'static str)> {
    Some(match name {
        operators::ADD => (Operator::Add, "+"),
        operators::SUBSTRACT => (Operator::Subtract, "-"),
        operators::MULTIPLY => (Operator::Multiply, "*"),
        operators::DIVIDE => (Operator::Divide, "/"),
        operators::MODULO => (Operator::Remainder, "%"),
        operators::EQUALS => (Operator::Equal, "=="),
        operators::NOT_EQUALS => (Operator::Unequal, "!="),
        operators::LESS => (Operator::Less, "<"),
        operators::LESS_EQUALS => (Operator::AtMost, "<="),
        operators::GREATER => (Operator::More, ">"),
        operators::GREATER_EQUALS => (Operator::AtLeast, ">="),
        operators::IN => (Operator::In, "in"),
        operators::INDEX => (Operator::At, "[]"),
        _ => return None,
    })
}

/// What an operator gives. None: it is not for the two.
fn outcome(operator: Operator, a: Kind, b: Kind) -> Option<Kind> {
    use Kind::{Any, Bool, Bytes, List, Map, Null, Number, Span, Text, Time};
    match operator {
        // Whatever may be there may be null.
        Operator::Equal | Operator::Unequal => {
            (a.same(b) || a == Null || b == Null).then_some(Bool)
        }
        Operator::Less | Operator::AtMost | Operator::More | Operator::AtLeast => {
            let ordered = [Bool, Number, Text, Bytes, Time, Span];
            (a.same(b) && a.can_be(&ordered) && b.can_be(&ordered)).then_some(Bool)
        }
        Operator::In => b.can_be(&[List, Map]).then_some(Bool),
        Operator::At => match (a, b) {
            (Any | Map, _) | (List, Any | Number) => Some(Any),
            _ => None,
        },
        Operator::Add => match (a, b) {
            (Time, Span) | (Span, Time) => Some(Time),
            (Number | Text | Bytes | List | Span, _) if a == b => Some(a),
            (Any, Number | Text | Bytes | List | Span | Time | Any)
            | (Number | Text | Bytes | List | Span | Time, Any) => Some(Any),
            _ => None,
        },
        Operator::Subtract => match (a, b) {
            (Number, Number) => Some(Number),
            (Time, Time) | (Span, Span) => Some(Span),
            (Time, Span) => Some(Time),
            (Any, Number | Span | Time | Any) | (Number | Span | Time, Any) => Some(Any),
            _ => None,
        },
        Operator::Multiply | Operator::Divide | Operator::Remainder => {
            (a.can_be(&[Number]) && b.can_be(&[Number])).then_some(Number)
        }
    }
}
