//! Decodes the filters of a request.

use std::sync::Arc;

use crate::{
    broker::cel::{EXPRESSIONS_MAX, Expression},
    model::{
        encoded::is_attribute_name,
        fault::{FaultKind, Faults},
        filter::{DEPTH_MAX, Filter, TERMS_MAX, Term},
    },
    proto::events::v1 as proto,
};

/// The counts and expressions of the filters decoded so far.
#[derive(Default)]
struct Decoder {
    /// Dialects and attributes.
    term_count: usize,
    expressions: Vec<Arc<Expression>>,
    /// All expressions, including invalid ones.
    expression_count: usize,
}

/// Decodes filters, and the expressions that they refer to by index.
pub fn filters_of(
    filters: Vec<proto::Filter>,
    faults: &mut Faults,
) -> (Vec<Filter>, Vec<Arc<Expression>>) {
    let mut decoder = Decoder::default();
    let filters = filters
        .into_iter()
        .enumerate()
        .filter_map(|(index, filter)| {
            filter_of(filter, &format!("filters[{index}]"), 1, &mut decoder, faults)
        })
        .collect();
    (filters, decoder.expressions)
}

fn filter_of(
    filter: proto::Filter,
    path: &str,
    depth: usize,
    decoder: &mut Decoder,
    faults: &mut Faults,
) -> Option<Filter> {
    use proto::filter::Dialect;
    let mut fault = |path: &str, description: String| {
        faults.add(FaultKind::Filter, path, description);
        None
    };
    decoder.term_count += 1;
    if depth > DEPTH_MAX {
        return fault(path, format!("nests deeper than {DEPTH_MAX} levels"));
    }
    if decoder.term_count > TERMS_MAX {
        return fault(path, terms_exceeded());
    }
    let mut filter_set = |name: &str, set: proto::FilterSet, faults: &mut Faults| {
        let path = format!("{path}.{name}.filters");
        if set.filters.is_empty() {
            faults.add(FaultKind::Filter, path.clone(), "is required: at least one filter");
        }
        let count = set.filters.len();
        let filters: Vec<_> = set
            .filters
            .into_iter()
            .enumerate()
            .filter_map(|(index, filter)| {
                filter_of(filter, &format!("{path}[{index}]"), depth + 1, decoder, faults)
            })
            .collect();
        (count > 0 && filters.len() == count).then_some(filters)
    };
    match filter.dialect {
        None => fault(path, "is empty: set one of its dialects".into()),
        Some(Dialect::Exact(filter)) => {
            terms_of(filter, &format!("{path}.exact"), decoder, faults).map(Filter::Exact)
        }
        Some(Dialect::Prefix(filter)) => {
            terms_of(filter, &format!("{path}.prefix"), decoder, faults).map(Filter::Prefix)
        }
        Some(Dialect::Suffix(filter)) => {
            terms_of(filter, &format!("{path}.suffix"), decoder, faults).map(Filter::Suffix)
        }
        Some(Dialect::All(filters)) => filter_set("all", filters, faults).map(Filter::All),
        Some(Dialect::Any(filters)) => filter_set("any", filters, faults).map(Filter::Any),
        Some(Dialect::Not(filter)) => {
            filter_of(*filter, &format!("{path}.not"), depth + 1, decoder, faults)
                .map(|filter| Filter::Not(Box::new(filter)))
        }
        Some(Dialect::Cel(text)) => expression_of(&text, &format!("{path}.cel"), decoder, faults),
    }
}

fn expression_of(
    text: &str,
    path: &str,
    decoder: &mut Decoder,
    faults: &mut Faults,
) -> Option<Filter> {
    decoder.expression_count += 1;
    if decoder.expression_count > EXPRESSIONS_MAX {
        let description = format!(
            "exceeds the limit of {EXPRESSIONS_MAX} expressions in a request: join them with && and ||"
        );
        faults.add(FaultKind::Filter, path, description);
        return None;
    }
    match Expression::compile(text) {
        Ok(expression) => {
            decoder.expressions.push(Arc::new(expression));
            Some(Filter::Expression(decoder.expressions.len() - 1))
        }
        Err(fault) => {
            faults.add(FaultKind::Filter, path, fault.to_string());
            None
        }
    }
}

fn terms_of(
    filter: proto::AttributeFilter,
    path: &str,
    decoder: &mut Decoder,
    faults: &mut Faults,
) -> Option<Vec<Term>> {
    if filter.attributes.is_empty() {
        let description = "is required: at least one attribute";
        faults.add(FaultKind::Filter, format!("{path}.attributes"), description);
        return None;
    }
    let mut terms = Vec::with_capacity(filter.attributes.len());
    let mut is_valid = true;
    for (name, value) in filter.attributes {
        decoder.term_count += 1;
        let mut fault = |description: String| {
            let field = format!("{path}.attributes[{name:?}]");
            faults.add(FaultKind::Filter, field, description);
            is_valid = false;
        };
        if !is_attribute_name(&name) {
            let description = "is not an attribute name: lower-case letters and digits, at most 64; \
                               use cel for the payload";
            fault(description.into());
        } else if value.is_empty() {
            fault("has no value to compare with".into());
        } else if decoder.term_count > TERMS_MAX {
            fault(terms_exceeded());
        }
        terms.push(Term { name, value });
    }
    is_valid.then_some(terms)
}

fn terms_exceeded() -> String {
    format!("exceeds the limit of {TERMS_MAX} filters and attributes")
}
