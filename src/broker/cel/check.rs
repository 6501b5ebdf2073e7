//! Checks a parsed expression, and compiles it to nodes.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators,
};

use super::{
    bounds::DEPTH_MAX,
    fault::Fault,
    function::{self, FUNCTIONS, Function, Signature, Style},
    kind::Kind,
    node::{Fold, Keys, Node, Operator, Pattern},
};
use crate::model::{
    encoded::{NAMED_ATTRIBUTES, is_attribute_name},
    timestamp::Timestamp,
};

/// A checked expression.
pub struct Checked {
    pub root: Node,
    /// Slots that its macros need.
    pub slots: usize,
    pub uses_data: bool,
}

/// Checks an expression.
///
/// # Errors
/// Returns the first fault of the expression.
pub fn check(text: &str, tree: &IdedExpr, source_info: &SourceInfo) -> Result<Checked, Fault> {
    let mut checker =
        Checker { text, source_info, scopes: Vec::new(), slots: 0, uses_data: false, depth: 0 };
    let (root, kind) = checker.node(tree)?;
    if !kind.can_be(&[Kind::Bool]) {
        let message =
            format!("the expression gives {}; a filter must give true or false", kind.name());
        return Err(checker.fault_of(tree, message));
    }
    Ok(Checked { root, slots: checker.slots, uses_data: checker.uses_data })
}

struct Checker<'c> {
    text: &'c str,
    source_info: &'c SourceInfo,
    /// Variables of macros, the innermost last.
    scopes: Vec<(&'c str, usize, Kind)>,
    slots: usize,
    uses_data: bool,
    depth: usize,
}

type TypedNode = Result<(Node, Kind), Fault>;

impl<'c> Checker<'c> {
    /// A fault at a function's name, at a field, or at the location that the parser reports.
    fn fault(&self, tree: &IdedExpr, message: String) -> Fault {
        // The parser counts in bytes.
        let byte = self.source_info.offset_for(tree.id).map_or(0, |(start, _)| start as usize);
        let (before, after) = self.text.split_at_checked(byte).unwrap_or_default();
        let byte = match &tree.expr {
            Expr::Call(call) if before.ends_with(&call.func_name) => byte - call.func_name.len(),
            Expr::Select(_) if after.starts_with('.') => byte + 1,
            _ => byte,
        };
        let at = self.text.get(..byte).map_or(byte, |before| before.chars().count());
        Fault::at(self.text, at, message)
    }

    /// A fault at the start of an expression, which is wrong as a whole.
    fn fault_of(&self, tree: &IdedExpr, message: String) -> Fault {
        let mut first = tree;
        loop {
            first = match &first.expr {
                Expr::Select(select) => &select.operand,
                Expr::Call(CallExpr { target: Some(target), .. }) => target,
                Expr::Call(call) if operator(&call.func_name).is_some() => {
                    match call.args.first() {
                        Some(operand) => operand,
                        None => break,
                    }
                }
                _ => break,
            };
        }
        self.fault(first, message)
    }

    fn node(&mut self, tree: &'c IdedExpr) -> TypedNode {
        if self.depth >= DEPTH_MAX {
            return Err(self.fault(tree, format!("the expression nests deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let checked = self.expression(tree);
        self.depth -= 1;
        checked
    }

    fn expression(&mut self, tree: &'c IdedExpr) -> TypedNode {
        match &tree.expr {
            Expr::Literal(literal) => Ok(constant(literal)),
            Expr::Ident(name) => self.name(tree, name),
            Expr::Select(select) => self.select(tree, &select.operand, &select.field, select.test),
            Expr::List(list) => {
                let nodes: Result<Vec<_>, _> = list
                    .elements
                    .iter()
                    .map(|item| self.node(item).map(|(node, _)| node))
                    .collect();
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
                            keys = Keys::Dynamic;
                        }
                        entries.push((key, self.node(&entry.value)?.0));
                    }
                }
                Ok((Node::Map(entries, keys), Kind::Map))
            }
            Expr::Comprehension(fold) => self.fold(tree, fold),
            Expr::Call(call) => self.call(tree, call),
            Expr::Struct(message) => {
                let message =
                    format!("messages such as {}{{}} are not supported", message.type_name);
                Err(self.fault(tree, message))
            }
            Expr::Unspecified => Err(self.fault(tree, "an expression is missing".into())),
        }
    }

    /// Checks the key of a map entry against the entries before it.
    fn key(
        &self,
        tree: &IdedExpr,
        key: &Node,
        kind: Kind,
        entries: &[(Node, Node)],
    ) -> Result<(), Fault> {
        if !kind.can_be(&[Kind::Bool, Kind::Number, Kind::Text]) || matches!(key, Node::Double(_)) {
            let found = if kind == Kind::Number { "a double" } else { kind.name() };
            let message = format!("a key of a map must be int, uint, bool or string, not {found}");
            return Err(self.fault_of(tree, message));
        }
        let Some(key) = literal(key) else { return Ok(()) };
        if entries.iter().any(|(other, _)| literal(other) == Some(key)) {
            return Err(self.fault_of(tree, "the map already has this key".into()));
        }
        Ok(())
    }

    fn name(&mut self, tree: &IdedExpr, name: &str) -> TypedNode {
        if let Some((_, slot, kind)) = self.scopes.iter().rev().find(|(scoped, ..)| *scoped == name)
        {
            return Ok((Node::Slot(*slot), *kind));
        }
        match name {
            "data" => {
                self.uses_data = true;
                Ok((Node::Data, Kind::Any))
            }
            "event" => {
                let message = "`event` is used only with an attribute, such as event.type".into();
                Err(self.fault(tree, message))
            }
            _ => {
                let scoped: Vec<_> = self.scopes.iter().map(|(name, ..)| *name).collect();
                let scoped = scoped.into_iter().filter(|name| !name.starts_with('@'));
                let known: Vec<_> = ["event", "data"].into_iter().chain(scoped).collect();
                let hint = match most_similar(name, known.iter().copied()) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None if is_attribute_name(name) => {
                        format!("attributes are event.{name}, fields of the payload data.{name}")
                    }
                    None => format!("fields of the payload are data.{name}"),
                };
                let known = known.join("` and `");
                let message = format!("{name:?} is not defined; defined are `{known}`; {hint}");
                Err(self.fault(tree, message))
            }
        }
    }

    fn is_event(&self, tree: &IdedExpr) -> bool {
        matches!(&tree.expr, Expr::Ident(name) if name == "event")
            && !self.scopes.iter().any(|(name, ..)| *name == "event")
    }

    fn select(
        &mut self,
        tree: &IdedExpr,
        of: &'c IdedExpr,
        field: &str,
        tests_presence: bool,
    ) -> TypedNode {
        if self.is_event(of) {
            let kind = self.attribute(tree, field)?;
            return Ok(match tests_presence {
                true => (Node::HasAttribute(field.into()), Kind::Bool),
                false => (Node::Attribute(field.into()), kind),
            });
        }
        let (node, kind) = self.node(of)?;
        if !kind.can_be(&[Kind::Map]) {
            let message = format!("{} has no field {field:?}", kind.name());
            return Err(self.fault(tree, message));
        }
        Ok(match tests_presence {
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
            let hint = match NAMED_ATTRIBUTES.iter().any(|(named, _)| *named == lower) {
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
            _ if NAMED_ATTRIBUTES.iter().any(|(named, _)| *named == name) => Kind::Text,
            _ => Kind::Any,
        })
    }

    fn fold(&mut self, tree: &IdedExpr, fold: &'c ComprehensionExpr) -> TypedNode {
        if fold.iter_var2.is_some() {
            return Err(self.fault(tree, "macros with two variables are not supported".into()));
        }
        let (range, kind) = self.node(&fold.iter_range)?;
        if !kind.can_be(&[Kind::List, Kind::Map]) {
            let message = format!("a macro takes a list or a map, not {}", kind.name());
            return Err(self.fault_of(&fold.iter_range, message));
        }
        let (init, accumulator_kind) = self.node(&fold.accu_init)?;
        let (item, accumulator) = (self.slots, self.slots + 1);
        self.slots += 2;
        self.scopes.push((&fold.accu_var, accumulator, accumulator_kind));
        self.scopes.push((&fold.iter_var, item, Kind::Any));
        let steps = self.fold_steps(fold);
        self.scopes.truncate(self.scopes.len() - 2);
        let (condition, step, (result, kind)) = steps?;
        let fold = Fold { range, item, accumulator, init, condition, step, result };
        Ok((Node::Fold(Box::new(fold)), kind))
    }

    fn fold_steps(
        &mut self,
        fold: &'c ComprehensionExpr,
    ) -> Result<(Node, Node, (Node, Kind)), Fault> {
        let condition = self.node(&fold.loop_cond)?.0;
        let step = self.node(&fold.loop_step)?.0;
        Ok((condition, step, self.node(&fold.result)?))
    }

    fn call(&mut self, tree: &'c IdedExpr, call: &'c CallExpr) -> TypedNode {
        let name = call.func_name.as_str();
        match (&call.target, call.args.as_slice()) {
            (None, [operand]) if name == operators::LOGICAL_NOT => {
                let node = self.bool_operand(operand, "!")?;
                Ok((Node::Not(Box::new(node)), Kind::Bool))
            }
            (None, [operand]) if name == operators::NEGATE => {
                let (node, kind) = self.node(operand)?;
                if !kind.can_be(&[Kind::Number, Kind::Span]) {
                    let message = format!("`-` takes a number, not {}", kind.name());
                    return Err(self.fault(tree, message));
                }
                Ok((Node::Negate(Box::new(node)), kind))
            }
            (None, [operand]) if name == operators::NOT_STRICTLY_FALSE => {
                Ok((Node::NotStrictlyFalse(Box::new(self.node(operand)?.0)), Kind::Bool))
            }
            (None, [left, right]) if name == operators::LOGICAL_AND => {
                // An operand that is not a bool is an error at evaluation, and the other operand
                // may absorb it.
                let (left, right) = (self.node(left)?.0, self.node(right)?.0);
                Ok((Node::And(Box::new(left), Box::new(right)), Kind::Bool))
            }
            (None, [left, right]) if name == operators::LOGICAL_OR => {
                let (left, right) = (self.node(left)?.0, self.node(right)?.0);
                Ok((Node::Or(Box::new(left), Box::new(right)), Kind::Bool))
            }
            (None, [condition, yes, no]) if name == operators::CONDITIONAL => {
                let condition = self.bool_operand(condition, "?")?;
                let ((yes, kind), (no, other)) = (self.node(yes)?, self.node(no)?);
                let kind = if kind == other { kind } else { Kind::Any };
                Ok((Node::Conditional(Box::new([condition, yes, no])), kind))
            }
            (None, [left, right]) => match operator(name) {
                Some((operator, sign)) => self.binary(tree, operator, sign, left, right),
                None => self.function(tree, call),
            },
            _ => self.function(tree, call),
        }
    }

    fn bool_operand(&mut self, tree: &'c IdedExpr, sign: &str) -> Result<Node, Fault> {
        let (node, kind) = self.node(tree)?;
        match kind.can_be(&[Kind::Bool]) {
            true => Ok(node),
            false => {
                let message = format!("`{sign}` takes a bool, not {}", kind.name());
                Err(self.fault_of(tree, message))
            }
        }
    }

    fn binary(
        &mut self,
        tree: &'c IdedExpr,
        operator: Operator,
        sign: &str,
        left: &'c IdedExpr,
        right: &'c IdedExpr,
    ) -> TypedNode {
        if operator == Operator::At && self.is_event(left) {
            let Expr::Literal(LiteralValue::String(name)) = &right.expr else {
                let message = "event['NAME'] takes a literal name".into();
                return Err(self.fault(right, message));
            };
            let kind = self.attribute(right, name.inner())?;
            return Ok((Node::Attribute(name.inner().into()), kind));
        }
        if operator == Operator::In && self.is_event(right) {
            let Expr::Literal(LiteralValue::String(name)) = &left.expr else {
                let message = "'NAME' in event takes a literal name".into();
                return Err(self.fault(left, message));
            };
            self.attribute(left, name.inner())?;
            return Ok((Node::HasAttribute(name.inner().into()), Kind::Bool));
        }
        // A macro appends to its accumulator in place.
        if let (Operator::Add, Expr::Ident(name), Expr::List(list)) =
            (operator, &left.expr, &right.expr)
            && let [item] = list.elements.as_slice()
            && name.starts_with('@')
            && let Some((_, slot, _)) = self.scopes.iter().rev().find(|(scoped, ..)| scoped == name)
        {
            let slot = *slot;
            return Ok((Node::Push(slot, Box::new(self.node(item)?.0)), Kind::List));
        }
        let ((left_node, a), (right_node, b)) = (self.node(left)?, self.node(right)?);
        let kind = match result_kind(operator, a, b) {
            Some(kind) => kind,
            None => {
                let message = match operator {
                    Operator::In => {
                        format!("the right operand of `in` is a list or a map, not {}", b.name())
                    }
                    Operator::At => format!("{} cannot be indexed by {}", a.name(), b.name()),
                    _ => format!("`{sign}` is not defined for {} and {}", a.name(), b.name()),
                };
                return Err(self.fault(tree, message));
            }
        };
        Ok((Node::Binary(operator, Box::new(left_node), Box::new(right_node)), kind))
    }

    fn function(&mut self, tree: &'c IdedExpr, call: &'c CallExpr) -> TypedNode {
        let name = call.func_name.as_str();
        let style = if call.target.is_some() { Style::Method } else { Style::Function };
        let arguments: Vec<&'c IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        if name == "matches" {
            return self.matches(tree, &arguments);
        }
        let Some(signature) = FUNCTIONS.iter().find(|function| function.name == name) else {
            return Err(self.unknown(tree, name));
        };
        let is_valid_style = signature.style == Style::Both || signature.style == style;
        if !is_valid_style || arguments.len() != signature.takes.len() {
            let message = format!("{name} is called {}", usage(signature));
            return Err(self.fault(tree, message));
        }
        let mut nodes = Vec::with_capacity(arguments.len());
        for (argument, takes) in arguments.into_iter().zip(signature.takes) {
            let (node, kind) = self.node(argument)?;
            if !kind.can_be(takes) {
                let takes: Vec<_> = takes.iter().map(|kind| kind.name()).collect();
                let message = format!("{name} takes {}, not {}", takes.join(" or "), kind.name());
                return Err(self.fault_of(argument, message));
            }
            nodes.push(node);
        }
        // Literals are parsed once, here.
        match (signature.function, nodes.as_slice()) {
            (Function::Timestamp, [Node::Text(text)]) => match function::timestamp(text) {
                Some(time) => Ok((Node::Time(time), Kind::Time)),
                None => {
                    let message = format!(
                        "{text:?} is not a timestamp such as timestamp('2026-01-31T12:00:00Z')"
                    );
                    Err(self.fault(tree, message))
                }
            },
            (Function::Timestamp, [Node::Int(seconds)]) => match Timestamp::from_second(*seconds) {
                Some(time) => Ok((Node::Time(time), Kind::Time)),
                None => {
                    let message = format!(
                        "{seconds} seconds since 1970 are out of range: timestamps are from the years 1 to 9999"
                    );
                    Err(self.fault(tree, message))
                }
            },
            (Function::Duration, [Node::Text(text)]) => match function::duration(text) {
                Some(span) => Ok((Node::Span(span), Kind::Span)),
                None => {
                    let message = format!("{text:?} is not a duration such as duration('1h30m')");
                    Err(self.fault(tree, message))
                }
            },
            (function, _) => Ok((Node::Call(function, nodes), signature.gives)),
        }
    }

    fn matches(&mut self, tree: &'c IdedExpr, arguments: &[&'c IdedExpr]) -> TypedNode {
        let [text, pattern] = arguments else {
            let message = "matches is called as x.matches('PATTERN')".into();
            return Err(self.fault(tree, message));
        };
        let (node, kind) = self.node(text)?;
        if !kind.can_be(&[Kind::Text]) {
            let message = format!("matches takes a string, not {}", kind.name());
            return Err(self.fault_of(text, message));
        }
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            let message = "the pattern must be a literal, because it is compiled once".into();
            return Err(self.fault_of(pattern, message));
        };
        match Pattern::new(literal.inner()) {
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
        let known = FUNCTIONS.iter().map(|function| function.name).chain(["matches"]);
        let message = match most_similar(name, known.clone().chain(MACROS)) {
            Some(similar) => {
                format!("the function {name:?} is not defined; did you mean {similar}?")
            }
            None => {
                let known: Vec<_> = known.chain(MACROS).collect();
                format!("the function {name:?} is not defined; defined are {}", known.join(", "))
            }
        };
        self.fault(tree, message)
    }
}

fn usage(signature: &Signature) -> String {
    let name = signature.name;
    let more = if signature.takes.len() > 1 { "y" } else { "" };
    match signature.style {
        Style::Method => format!("as x.{name}({more})"),
        Style::Function => format!("as {name}(x)"),
        Style::Both => format!("as x.{name}() or {name}(x)"),
    }
}

fn most_similar<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // 0.8: a letter or two differ, or the case.
    let lower = name.to_ascii_lowercase();
    known
        .map(|other| (strsim::jaro_winkler(&lower, &other.to_ascii_lowercase()), other))
        .filter(|(similarity, _)| *similarity > 0.8 && name.len() <= 100)
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

/// The type of the result of an operator. None: the operator is not defined for the two types.
fn result_kind(operator: Operator, a: Kind, b: Kind) -> Option<Kind> {
    use Kind::{Any, Bool, Bytes, List, Map, Null, Number, Span, Text, Time};
    match operator {
        // A value may be null even if its type is known.
        Operator::Equal | Operator::Unequal => {
            (a.is_compatible(b) || a == Null || b == Null).then_some(Bool)
        }
        Operator::Less | Operator::AtMost | Operator::More | Operator::AtLeast => {
            let ordered = [Bool, Number, Text, Bytes, Time, Span];
            (a.is_compatible(b) && a.can_be(&ordered) && b.can_be(&ordered)).then_some(Bool)
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
