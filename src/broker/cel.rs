//! Filters in CEL, the Common Expression Language: compiled once, bounded in size and in work.
//!
//! ```text
//! text -> bounds -> the parser of the cel crate -> check -> Node -> evaluate -> value, function
//! ```
//!
//! The crate's parser is used, and its interpreter is not: it has no bound on work, and copies what it reads. What
//! an expression says is checked as far as it can be before there is an event: names, functions, and the types of
//! what is not out of a payload.

mod bounds;
mod check;
mod evaluate;
mod function;
mod node;
mod value;

use std::fmt;

use serde_json::Value as Json;

use crate::model::encoded::EncodedEvent;
use node::Node;

pub use bounds::{DEPTH_MAX, EXPRESSIONS_MAX, TEXT_BYTES_MAX, TOKENS_MAX};

/// Steps of all the expressions of a request for one event: some milliseconds at most. A step is a part of an expression
/// evaluated once, or 16 bytes that are read or written.
pub const STEPS_MAX: u64 = 50_000;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1; of the first character that is wrong.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Whether the expression has several lines.
    is_long: bool,
    /// What is there, and what would be right.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_long {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}: {}", self.column, self.message)
    }
}

/// Why an event has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It does not have an attribute, a field or a payload that is asked for.
    Absent,
    /// A value is of another type than the operation takes.
    Type,
    /// A number is too large, a text is no time, a position is not in the list.
    Value,
    /// More than [`STEPS_MAX`] steps.
    Work,
}

/// Steps that are left for an event.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    /// For one event.
    pub fn new() -> Self {
        Self(STEPS_MAX)
    }

    /// Steps that were taken.
    pub fn spent(&self) -> u64 {
        STEPS_MAX - self.0
    }

    fn take(&mut self, steps: u64) -> Result<(), Failure> {
        match self.0.checked_sub(steps) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(Failure::Work)
            }
        }
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), Failure> {
        self.take(bytes as u64 / 16)
    }
}

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    root: Node,
    slots: usize,
    uses_data: bool,
}

impl Expression {
    /// Compiles a text.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        bounds::check(text)?;
        let parsed = cel::parser::Parser::new()
            .max_recursion_depth(bounds::PARSER_DEPTH_MAX)
            .enable_ident_escape_syntax(true)
            .parse_with_source_info(text);
        let (tree, places) = parsed.map_err(|errors| bounds::told(text, &errors))?;
        check::check(text, &tree, &places)
    }

    /// Whether it looks into payloads.
    pub fn uses_data(&self) -> bool {
        self.uses_data
    }

    /// Whether an event is as it says. `data` is the payload; None: there is none, or none that can be read.
    pub(super) fn holds(
        &self,
        event: EncodedEvent<'_>,
        data: Option<&Json>,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        evaluate::evaluate(&self.root, self.slots, event, data, budget)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::events::v1::{AttributeValue, Event, attribute_value::Attr};

    fn event() -> Vec<u8> {
        let event = Event {
            id: "o-1".into(),
            source: "https://shop.example/orders".into(),
            r#type: "shop.OrderPlaced".into(),
            time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            extensions: [("tenant".to_string(), "blue".to_string())].into(),
            attributes: [
                ("priority".to_string(), AttributeValue { attr: Some(Attr::CeInteger(-3)) }),
                ("urgent".to_string(), AttributeValue { attr: Some(Attr::CeBoolean(true)) }),
            ]
            .into(),
            ..Event::default()
        };
        event.encode_to_vec()
    }

    fn data() -> Json {
        serde_json::json!({
            "id": "o-1", "total": 150, "price": 3.5, "large": 9_007_199_254_740_993_i64,
            "largest": u64::MAX, "none": null, "paid": true, "at": "2026-01-31T12:00:00Z",
            "items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 5}, {"sku": "c"}],
            "zero": "0000-01-01T00:00:00Z", "below": -62_135_596_801_i64, "long": "320000000000s",
            "until": "9999-12-31T23:59:59Z", "since": "0001-01-01T00:00:00Z",
            "tags": ["new", "gift"], "customer": {"country": "NL", "e-mail": "a@b"}
        })
    }

    fn answer(text: &str, data: Option<&Json>) -> Result<bool, Failure> {
        let expression =
            Expression::compile(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        expression.holds(EncodedEvent(&event()), data, &mut Budget::new())
    }

    fn fault(text: &str) -> String {
        match Expression::compile(text) {
            Ok(_) => panic!("{text} compiles"),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn what_is_so_holds() {
        for text in [
            "data.total > 100 && event.source.startsWith('https://shop')",
            "event.type == 'shop.OrderPlaced'",
            "event.type.endsWith('Placed') && event.type.contains('Order')",
            "event.time > timestamp('2023-11-14T00:00:00Z')",
            "event.time - timestamp('2023-11-14T22:13:10Z') == duration('10s')",
            "event.time.getFullYear() == 2023 && event.time.getMonth() == 10 && event.time.getDate() == 14",
            "event.time.getDayOfWeek() == 2 && event.time.getHours() == 22",
            "event.tenant == 'blue' && event['tenant'] == 'blue' && 'tenant' in event",
            "event.priority == -3 && event.urgent && event.priority < 0",
            "has(event.tenant) && !has(event.subject) && !('colour' in event)",
            "data.large == 9007199254740993 && data.large != 9007199254740992",
            "data.largest == 18446744073709551615u && data.largest > data.large",
            "data.total == 150.0 && data.price * 2 == 7 && data.total / 100 == 1",
            "data.none == null && has(data.none) && !has(data.some) && !has(data.some.more)",
            "data.items.exists(it, it.count > 3)",
            "data.items.all(it, it.sku < 'd')",
            "data.items.exists_one(it, it.sku == 'b')",
            "data.items.filter(it, has(it.count)).map(it, it.count * 10) == [20, 50]",
            "data.items.map(it, has(it.count), it.sku) == ['a', 'b']",
            "data.items.exists(one, data.items.exists(two, one.sku != two.sku))",
            "size(data.tags) == 2 && data.tags.size() == 2 && 'gift' in data.tags",
            "data.tags[0] == 'new' && data.customer['e-mail'] == 'a@b' && 'country' in data.customer",
            "data.customer == {'e-mail': 'a@b', 'country': 'NL'}",
            "data.customer.exists(key, key == 'country')",
            "timestamp(data.at) < timestamp('2026-02-01T00:00:00Z')",
            "data.id.matches('^o-[0-9]+$')",
            "data.customer.country.lowerAscii() + '!' == 'nl!'",
            "string(data.total) == '150' && int('7') == 7 && double(data.total) == 150.0",
            "data.paid ? data.total > 1 : data.absent == 1",
            "data.absent == 1 || data.paid",
            "!(data.absent == 1 && !data.paid)",
            "[1, 2, 3].exists(it, it == 2) && {'a': 1}.a == 1",
            "type_of_nothing == 1 || true".replace("type_of_nothing", "data.nothing").as_str(),
            "'é' == '\\u00e9' && size('é😀') == 2",
            "true // a comment (with ] brackets",
            "data.customer.`e-mail` == 'a@b' && has(data.customer.`e-mail`)",
            "event.`tenant` == 'blue' && !has(data.`a//b c`)",
            "{1: 'a', 2u: 'b', true: 'c', 'd': 'e'}[2] == 'b'",
            "{1: 'a'}[1.0] == 'a' && {data.id: 1, data.total: 2} == {150: 2, 'o-1': 1}",
            "'x' || true",
            "true || 1",
            "!(1 && false) && !(false && data.total)",
            "event.type || data.paid",
            "timestamp('9999-12-31T23:59:59.999999999Z') > timestamp(data.at)",
            "timestamp(data.until) > timestamp('2026-01-01T00:00:00Z')",
            "timestamp(data.until).getFullYear() == 9999 && timestamp(data.until).getDayOfYear() == 364",
            "timestamp(data.since).getFullYear() == 1 && timestamp(data.since).getDayOfWeek() == 1",
            "timestamp(-62135596800) == timestamp('0001-01-01T00:00:00Z')",
            "timestamp(253402300799) == timestamp('9999-12-31T23:59:59Z')",
            "string(timestamp('9999-12-31T23:59:59.5Z')) == '9999-12-31T23:59:59.5Z'",
            "int(timestamp('9999-12-31T23:59:59Z')) == 253402300799 && int(timestamp('1969-12-31T23:59:59.5Z')) == -1",
            "timestamp(data.until) - timestamp(data.since) == duration('315537897599s')",
            "timestamp('2026-01-31T12:00Z') == timestamp(data.at)",
        ] {
            assert_eq!(answer(text, Some(&data())), Ok(true), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_answer() {
        for (text, failure) in [
            ("data.absent > 1", Failure::Absent),
            ("event.subject == ''", Failure::Absent),
            ("data.total > 'a'", Failure::Type),
            ("data.total", Failure::Type),
            ("data.total.more == 1", Failure::Type),
            ("data.tags[2] == ''", Failure::Absent),
            ("data.tags[-1] == ''", Failure::Absent),
            ("data.total / 0 == 1", Failure::Value),
            ("data.large * data.large * data.large * data.large == 0", Failure::Value),
            ("timestamp(data.id) > event.time", Failure::Value),
            ("data.tags.exists(it, it > 1)", Failure::Type),
            ("true && 1", Failure::Type),
            ("'x' || false", Failure::Type),
            ("{data.id: 1, 'o-1': 2}['o-1'] == 1", Failure::Value),
            ("{data.total: 1, 150u: 2}[150] == 1", Failure::Value),
            ("{data.price: 1}[3.5] == 1", Failure::Type),
            ("{data.none: 1} == {}", Failure::Type),
            ("{data.tags: 1} == {}", Failure::Type),
            ("timestamp(data.zero) < event.time", Failure::Value),
            ("timestamp(data.below) < event.time", Failure::Value),
            ("timestamp('0001-01-01T00:00:00Z') - duration('1s') < event.time", Failure::Value),
            ("timestamp('0001-01-01T00:00:00Z') + duration('-1ns') < event.time", Failure::Value),
            ("timestamp('9999-12-31T23:59:59Z') + duration('1s') > event.time", Failure::Value),
            (
                "duration('200000000000s') + duration('200000000000s') > duration('0')",
                Failure::Value,
            ),
            (
                "duration('-200000000000s') - duration('200000000000s') < duration('0')",
                Failure::Value,
            ),
            ("duration(data.long) > duration('0')", Failure::Value),
        ] {
            assert_eq!(answer(text, Some(&data())), Err(failure), "{text}");
        }
        assert_eq!(answer("data.total > 1", None), Err(Failure::Absent));
        assert_eq!(answer("has(data.total)", None), Ok(false));
        assert!(!Expression::compile("event.type == 'a'").expect("CEL").uses_data());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let expected = [
            ("", "column 1: the expression is empty"),
            ("data.total = 1", "column 12: `=` is no operator: `==` compares"),
            ("event.type == 'a", "column 15: a text begins here and does not end"),
            (
                "data.total >",
                "column 13: the expression ends here, and something is missing: a value, or a bracket that closes",
            ),
            (
                "total > 100",
                "column 1: \"total\" is not known: there are `event` and `data`; attributes are event.total, fields of the payload data.total",
            ),
            (
                "evnt.type == 'a'",
                "column 1: \"evnt\" is not known: there are `event` and `data`; did you mean `event`?",
            ),
            (
                "event.type.startswith('a')",
                "column 12: the function \"startswith\" is not known; did you mean startsWith?",
            ),
            ("event.type == 3", "column 12: `==` is not for a string and a number"),
            (
                "event.type",
                "column 1: the expression gives a string, and a filter says true or false",
            ),
            ("event.data.total > 1", "column 7: the payload is `data`, not event.data"),
            (
                "event.dataContentType == 'a'",
                "column 7: \"dataContentType\" is not an attribute name: lower-case letters and digits, at most 64; did you mean event.datacontenttype?",
            ),
            ("event == 'a'", "column 1: `event` is used by its attributes, such as event.type"),
            ("data.paid &&\n  nothing", "line 2, column 3: "),
            ("'é' == data.x && y", "column 18: "),
            ("'é' = data.x", "column 5: `=` is no operator: `==` compares"),
            ("data.x.matches('(')", "column 16: the pattern \"(\" cannot be used: unclosed group"),
            (
                "data.x.matches(data.y)",
                "column 16: the pattern is compiled once: write it here, in quotes",
            ),
            (
                "timestamp('soon') < event.time",
                "column 1: \"soon\" is no timestamp, such as timestamp('2026-01-31T12:00:00Z')",
            ),
            (
                "timestamp('0000-01-01T00:00:00Z') < event.time",
                "column 1: \"0000-01-01T00:00:00Z\" is no",
            ),
            (
                "timestamp(-62135596801) < event.time",
                "column 1: -62135596801 seconds since 1970 are no",
            ),
            (
                "timestamp(253402300800) < event.time",
                "column 1: 253402300800 seconds since 1970 are no",
            ),
            (
                "duration('-320000000000s') < duration('0')",
                "column 1: \"-320000000000s\" is no duration",
            ),
            ("{'a': 1, 'a': 2}['a'] == 1", "column 10: the map has this key already"),
            ("{1: 'a', 1u: 'b'}[1] == 'a'", "column 10: the map has this key already"),
            (
                "{3.3: 1}[3.3] == 1",
                "column 2: keys of a map are int, uint, bool or string, and here is a double",
            ),
            (
                "{null: 1} == {}",
                "column 2: keys of a map are int, uint, bool or string, and here is null",
            ),
            (
                "{[1]: 1} == {}",
                "column 2: keys of a map are int, uint, bool or string, and here is a list",
            ),
            ("data.`a == 1", "column 6: a name in backticks begins here that does not end"),
        ];
        for (text, message) in expected {
            let fault = fault(text);
            assert!(fault.starts_with(message), "{text}\n  says  {fault}\n  wants {message}");
        }
        assert!(fault(&"a".repeat(5_000)).contains("5000 bytes, at most 4096"));
        assert!(fault(&format!("1{}", "+1".repeat(2_000))).contains("512"));
        assert!(fault(&"(".repeat(2_000)).contains("deeper than"));
        assert!(fault(&format!("data{} == 1", ".x".repeat(100))).contains("deeper than 64"));
    }

    #[test]
    fn work_is_bounded() {
        let long: Vec<u64> = (0..1_000).collect();
        let data = serde_json::json!({ "a": long, "text": "ab".repeat(100_000) });
        for text in [
            "data.a.all(x, data.a.all(y, data.a.all(z, x + y + z >= 0)))",
            "data.a.map(x, data.a).size() == 1000 && data.a.map(x, data.a.map(y, y)).size() == 0",
            "data.a.exists(x, (data.text + data.text + data.text).contains('c'))",
            "data.a.all(x, data.text.matches('(a|b)*c') == false)",
        ] {
            assert_eq!(answer(text, Some(&data)), Err(Failure::Work), "{text}");
        }
        assert_eq!(answer("data.a.filter(x, x >= 500).size() == 500", Some(&data)), Ok(true));
    }

    /// Part of an expression, and what Rust makes of it.
    #[derive(Debug, Clone)]
    enum Plain {
        Number(i32),
        Field,
        Add(Box<Plain>, Box<Plain>),
        Subtract(Box<Plain>, Box<Plain>),
        Multiply(Box<Plain>, Box<Plain>),
    }

    #[derive(Debug, Clone)]
    enum Truth {
        Less(Plain, Plain),
        Equal(Plain, Plain),
        And(Box<Truth>, Box<Truth>),
        Or(Box<Truth>, Box<Truth>),
        Not(Box<Truth>),
        Choice(Box<Truth>, Box<Truth>, Box<Truth>),
    }

    impl Plain {
        fn text(&self) -> String {
            match self {
                Self::Number(number) if *number < 0 => format!("({number})"),
                Self::Number(number) => number.to_string(),
                Self::Field => "data.n".into(),
                Self::Add(a, b) => format!("({} + {})", a.text(), b.text()),
                Self::Subtract(a, b) => format!("({} - {})", a.text(), b.text()),
                Self::Multiply(a, b) => format!("({} * {})", a.text(), b.text()),
            }
        }

        fn value(&self, n: i64) -> Option<i64> {
            match self {
                Self::Number(number) => Some((*number).into()),
                Self::Field => Some(n),
                Self::Add(a, b) => a.value(n)?.checked_add(b.value(n)?),
                Self::Subtract(a, b) => a.value(n)?.checked_sub(b.value(n)?),
                Self::Multiply(a, b) => a.value(n)?.checked_mul(b.value(n)?),
            }
        }
    }

    impl Truth {
        fn text(&self) -> String {
            match self {
                Self::Less(a, b) => format!("{} < {}", a.text(), b.text()),
                Self::Equal(a, b) => format!("{} == {}", a.text(), b.text()),
                Self::And(a, b) => format!("({} && {})", a.text(), b.text()),
                Self::Or(a, b) => format!("({} || {})", a.text(), b.text()),
                Self::Not(a) => format!("!({})", a.text()),
                Self::Choice(a, b, c) => format!("({} ? {} : {})", a.text(), b.text(), c.text()),
            }
        }

        fn value(&self, n: i64) -> Option<bool> {
            match self {
                Self::Less(a, b) => Some(a.value(n)? < b.value(n)?),
                Self::Equal(a, b) => Some(a.value(n)? == b.value(n)?),
                Self::And(a, b) => match (a.value(n), b.value(n)) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (a, b) => Some(a? && b?),
                },
                Self::Or(a, b) => match (a.value(n), b.value(n)) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (a, b) => Some(a? || b?),
                },
                Self::Not(a) => Some(!a.value(n)?),
                Self::Choice(a, b, c) => {
                    if a.value(n)? {
                        b.value(n)
                    } else {
                        c.value(n)
                    }
                }
            }
        }
    }

    fn truths() -> impl Strategy<Value = Truth> {
        let leaf = prop_oneof![any::<i32>().prop_map(Plain::Number), Just(Plain::Field)];
        let plain = leaf.prop_recursive(3, 8, 2, |inner| {
            let two = (inner.clone(), inner).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
            prop_oneof![
                two.clone().prop_map(|(a, b)| Plain::Add(a, b)),
                two.clone().prop_map(|(a, b)| Plain::Subtract(a, b)),
                two.prop_map(|(a, b)| Plain::Multiply(a, b)),
            ]
        });
        let leaf = prop_oneof![
            (plain.clone(), plain.clone()).prop_map(|(a, b)| Truth::Less(a, b)),
            (plain.clone(), plain).prop_map(|(a, b)| Truth::Equal(a, b)),
        ];
        leaf.prop_recursive(4, 12, 3, |inner| {
            let two = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
            prop_oneof![
                two.clone().prop_map(|(a, b)| Truth::And(a, b)),
                two.clone().prop_map(|(a, b)| Truth::Or(a, b)),
                inner.clone().prop_map(|a| Truth::Not(Box::new(a))),
                (two, inner).prop_map(|((a, b), c)| Truth::Choice(a, b, Box::new(c))),
            ]
        })
    }

    fn words() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "data",
            "event",
            ".",
            "type",
            "total",
            "a",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "+",
            "-",
            "!",
            "&&",
            "||",
            "?",
            ":",
            "==",
            "<",
            " in ",
            "1",
            "1u",
            "1.5",
            "'x'",
            "\"",
            "'",
            "'''",
            "r'",
            "b'\\xff'",
            "\\",
            "has(",
            ".all(x, ",
            ".map(x, ",
            ".filter(x,",
            ",",
            "x",
            "9223372036854775808",
            "é",
            "\n",
            "//",
            "`",
            "\0",
            "|",
            "&",
            "=",
            "%",
            "/",
            "null",
            "true",
            ".matches('a*')",
            ".size()",
            "😀",
            "timestamp('2026-01-01T00:00:00Z')",
            "duration('1h')",
            "int(",
            "string(",
        ]);
        prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
    }

    fn payloads() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            "[a-zé]{0,5}".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let name = prop::sample::select(vec!["a", "total", "type", "x"]).prop_map(String::from);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map(name, inner, 0..4)
                    .prop_map(|it| Json::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn no_text_makes_it_panic(text in words(), data in payloads()) {
            if let Ok(expression) = Expression::compile(&text) {
                let _ = expression.holds(EncodedEvent(&event()), Some(&data), &mut Budget::new());
            }
        }

        #[test]
        fn any_bytes_of_text_are_fine(text in ".{0,60}") {
            let _ = Expression::compile(&text);
        }

        #[test]
        fn it_says_what_rust_says(truth in truths(), n: i32) {
            let data = serde_json::json!({ "n": n });
            let text = truth.text();
            if let Ok(expression) = Expression::compile(&text) {
                let said = expression.holds(EncodedEvent(&event()), Some(&data), &mut Budget::new());
                // Numbers between the two kinds of 64 bits are numbers here: where Rust says nothing, nothing is compared.
                if let Some(value) = truth.value(n.into()) {
                    prop_assert_eq!(said, Ok(value), "{} with n = {}", text, n);
                }
            } else {
                prop_assert!(text.len() > 400, "{}: {:?}", text, Expression::compile(&text));
            }
        }
    }
}
