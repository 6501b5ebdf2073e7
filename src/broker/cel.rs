//! Filters in CEL, the Common Expression Language: compiled once, with bounds on size and work.
//!
//! ```text
//! text -> bounds -> the parser of the cel crate -> check -> Node -> evaluate -> value, function
//! ```
//!
//! Only the parser of the crate is used. Its interpreter has no bound on work, and copies the
//! values that it reads. An expression is checked as far as possible without an event: names,
//! functions, and the types of everything but payload fields.

mod bounds;
mod budget;
mod check;
mod evaluate;
mod expression;
mod fault;
mod function;
mod kind;
mod node;
mod value;

pub use bounds::{DEPTH_MAX, EXPRESSIONS_MAX, TEXT_BYTES_MAX, TOKENS_MAX};
pub(super) use budget::Budget;
pub use budget::STEPS_MAX;
pub use expression::Expression;
pub use fault::Fault;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use serde_json::Value as Json;

    use super::{budget::Failure, *};
    use crate::{
        model::encoded::EncodedEvent,
        proto::events::v1::{AttributeValue, Event, attribute_value::Attr},
    };

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

    fn evaluate(text: &str, data: Option<&Json>) -> Result<bool, Failure> {
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
    fn true_expressions_hold() {
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
            assert_eq!(evaluate(text, Some(&data())), Ok(true), "{text}");
        }
    }

    #[test]
    fn expressions_without_a_value_fail() {
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
            assert_eq!(evaluate(text, Some(&data())), Err(failure), "{text}");
        }
        assert_eq!(evaluate("data.total > 1", None), Err(Failure::Absent));
        assert_eq!(evaluate("has(data.total)", None), Ok(false));
        assert!(!Expression::compile("event.type == 'a'").expect("CEL").uses_data());
    }

    #[test]
    fn faults_have_a_location() {
        let expected = [
            ("", "column 1: the expression is empty"),
            ("data.total = 1", "column 12: `=` is not an operator: `==` compares"),
            ("event.type == 'a", "column 15: a string begins here and does not end"),
            (
                "data.total >",
                "column 13: the expression ends here, but a value or a closing bracket is missing",
            ),
            (
                "total > 100",
                "column 1: \"total\" is not defined; defined are `event` and `data`; attributes are event.total, fields of the payload data.total",
            ),
            (
                "evnt.type == 'a'",
                "column 1: \"evnt\" is not defined; defined are `event` and `data`; did you mean `event`?",
            ),
            (
                "event.type.startswith('a')",
                "column 12: the function \"startswith\" is not defined; did you mean startsWith?",
            ),
            ("event.type == 3", "column 12: `==` is not defined for a string and a number"),
            (
                "event.type",
                "column 1: the expression gives a string; a filter must give true or false",
            ),
            ("event.data.total > 1", "column 7: the payload is `data`, not event.data"),
            (
                "event.dataContentType == 'a'",
                "column 7: \"dataContentType\" is not an attribute name: lower-case letters and digits, at most 64; did you mean event.datacontenttype?",
            ),
            (
                "event == 'a'",
                "column 1: `event` is used only with an attribute, such as event.type",
            ),
            ("data.paid &&\n  nothing", "line 2, column 3: "),
            ("'é' == data.x && y", "column 18: "),
            ("'é' = data.x", "column 5: `=` is not an operator: `==` compares"),
            ("data.x.matches('(')", "column 16: the pattern \"(\" cannot be used: unclosed group"),
            (
                "data.x.matches(data.y)",
                "column 16: the pattern must be a literal, because it is compiled once",
            ),
            (
                "timestamp('soon') < event.time",
                "column 1: \"soon\" is not a timestamp such as timestamp('2026-01-31T12:00:00Z')",
            ),
            (
                "timestamp('0000-01-01T00:00:00Z') < event.time",
                "column 1: \"0000-01-01T00:00:00Z\" is not",
            ),
            (
                "timestamp(-62135596801) < event.time",
                "column 1: -62135596801 seconds since 1970 are out of range",
            ),
            (
                "timestamp(253402300800) < event.time",
                "column 1: 253402300800 seconds since 1970 are out of range",
            ),
            (
                "duration('-320000000000s') < duration('0')",
                "column 1: \"-320000000000s\" is not a duration",
            ),
            ("{'a': 1, 'a': 2}['a'] == 1", "column 10: the map already has this key"),
            ("{1: 'a', 1u: 'b'}[1] == 'a'", "column 10: the map already has this key"),
            (
                "{3.3: 1}[3.3] == 1",
                "column 2: a key of a map must be int, uint, bool or string, not a double",
            ),
            (
                "{null: 1} == {}",
                "column 2: a key of a map must be int, uint, bool or string, not null",
            ),
            (
                "{[1]: 1} == {}",
                "column 2: a key of a map must be int, uint, bool or string, not a list",
            ),
            ("data.`a == 1", "column 6: a name in backticks begins here and does not end"),
        ];
        for (text, message) in expected {
            let fault = fault(text);
            assert!(fault.starts_with(message), "{text}\n  fault    {fault}\n  expected {message}");
        }
        assert!(fault(&"a".repeat(5_000)).contains("5000 bytes; the limit is 4096"));
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
            assert_eq!(evaluate(text, Some(&data)), Err(Failure::Work), "{text}");
        }
        assert_eq!(evaluate("data.a.filter(x, x >= 500).size() == 500", Some(&data)), Ok(true));
    }

    /// An arithmetic expression, with its value in Rust.
    #[derive(Debug, Clone)]
    enum Integer {
        Number(i32),
        Field,
        Add(Box<Integer>, Box<Integer>),
        Subtract(Box<Integer>, Box<Integer>),
        Multiply(Box<Integer>, Box<Integer>),
    }

    #[derive(Debug, Clone)]
    enum Condition {
        Less(Integer, Integer),
        Equal(Integer, Integer),
        And(Box<Condition>, Box<Condition>),
        Or(Box<Condition>, Box<Condition>),
        Not(Box<Condition>),
        Choice(Box<Condition>, Box<Condition>, Box<Condition>),
    }

    impl Integer {
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

    impl Condition {
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

    fn conditions() -> impl Strategy<Value = Condition> {
        let leaf = prop_oneof![any::<i32>().prop_map(Integer::Number), Just(Integer::Field)];
        let number = leaf.prop_recursive(3, 8, 2, |inner| {
            let operands = (inner.clone(), inner).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
            prop_oneof![
                operands.clone().prop_map(|(a, b)| Integer::Add(a, b)),
                operands.clone().prop_map(|(a, b)| Integer::Subtract(a, b)),
                operands.prop_map(|(a, b)| Integer::Multiply(a, b)),
            ]
        });
        let leaf = prop_oneof![
            (number.clone(), number.clone()).prop_map(|(a, b)| Condition::Less(a, b)),
            (number.clone(), number).prop_map(|(a, b)| Condition::Equal(a, b)),
        ];
        leaf.prop_recursive(4, 12, 3, |inner| {
            let operands =
                (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
            prop_oneof![
                operands.clone().prop_map(|(a, b)| Condition::And(a, b)),
                operands.clone().prop_map(|(a, b)| Condition::Or(a, b)),
                inner.clone().prop_map(|a| Condition::Not(Box::new(a))),
                (operands, inner).prop_map(|((a, b), c)| Condition::Choice(a, b, Box::new(c))),
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
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn compiling_and_evaluating_does_not_panic(text in words(), data in payloads()) {
            if let Ok(expression) = Expression::compile(&text) {
                let _ = expression.holds(EncodedEvent(&event()), Some(&data), &mut Budget::new());
            }
        }

        #[test]
        fn compiling_arbitrary_text_does_not_panic(text in ".{0,60}") {
            let _ = Expression::compile(&text);
        }

        #[test]
        fn it_evaluates_like_rust(condition in conditions(), n: i32) {
            let data = serde_json::json!({ "n": n });
            let text = condition.text();
            if let Ok(expression) = Expression::compile(&text) {
                let event = event();
                let actual =
                    expression.holds(EncodedEvent(&event), Some(&data), &mut Budget::new());
                // Integers may exceed an i64 here, as a u64. If the value overflows in Rust, the
                // results are not compared.
                if let Some(value) = condition.value(n.into()) {
                    prop_assert_eq!(actual, Ok(value), "{} with n = {}", text, n);
                }
            } else {
                prop_assert!(text.len() > 400, "{}: {:?}", text, Expression::compile(&text));
            }
        }
    }
}
