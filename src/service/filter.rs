//! The filters of a request.

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

/// What was read so far.
#[derive(Default)]
struct Reading {
    /// Dialects and attributes.
    terms: usize,
    expressions: Vec<Arc<Expression>>,
    /// Expressions, also those that are wrong.
    written: usize,
}

/// Reads filters, and the expressions that they name by number.
pub fn filters_of(
    filters: Vec<proto::Filter>,
    faults: &mut Faults,
) -> (Vec<Filter>, Vec<Arc<Expression>>) {
    let mut reading = Reading::default();
    let filters = filters
        .into_iter()
        .enumerate()
        .filter_map(|(index, filter)| {
            filter_of(filter, &format!("filters[{index}]"), 1, &mut reading, faults)
        })
        .collect();
    (filters, reading.expressions)
}

fn filter_of(
    filter: proto::Filter,
    path: &str,
    depth: usize,
    reading: &mut Reading,
    faults: &mut Faults,
) -> Option<Filter> {
    use proto::filter::Dialect;
    let mut fault = |path: &str, description: String| {
        faults.add(FaultKind::Filter, path, description);
        None
    };
    reading.terms += 1;
    if depth > DEPTH_MAX {
        return fault(path, format!("nests deeper than {DEPTH_MAX}"));
    }
    if reading.terms > TERMS_MAX {
        return fault(
            path,
            format!("is more than the {TERMS_MAX} filters and attributes that are taken"),
        );
    }
    let mut set = |name: &str, set: proto::FilterSet, faults: &mut Faults| {
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
                filter_of(filter, &format!("{path}[{index}]"), depth + 1, reading, faults)
            })
            .collect();
        (count > 0 && filters.len() == count).then_some(filters)
    };
    match filter.dialect {
        None => fault(path, "is empty: set one of its dialects".into()),
        Some(Dialect::Exact(one)) => {
            terms_of(one, &format!("{path}.exact"), &mut reading.terms, faults).map(Filter::Exact)
        }
        Some(Dialect::Prefix(one)) => {
            terms_of(one, &format!("{path}.prefix"), &mut reading.terms, faults).map(Filter::Prefix)
        }
        Some(Dialect::Suffix(one)) => {
            terms_of(one, &format!("{path}.suffix"), &mut reading.terms, faults).map(Filter::Suffix)
        }
        Some(Dialect::All(filters)) => set("all", filters, faults).map(Filter::All),
        Some(Dialect::Any(filters)) => set("any", filters, faults).map(Filter::Any),
        Some(Dialect::Not(filter)) => {
            filter_of(*filter, &format!("{path}.not"), depth + 1, reading, faults)
                .map(|filter| Filter::Not(Box::new(filter)))
        }
        Some(Dialect::Cel(text)) => expression_of(&text, &format!("{path}.cel"), reading, faults),
    }
}

fn expression_of(
    text: &str,
    path: &str,
    reading: &mut Reading,
    faults: &mut Faults,
) -> Option<Filter> {
    reading.written += 1;
    if reading.written > EXPRESSIONS_MAX {
        let description = format!(
            "is more than the {EXPRESSIONS_MAX} expressions that a request may have: join them with && and ||"
        );
        faults.add(FaultKind::Filter, path, description);
        return None;
    }
    match Expression::compile(text) {
        Ok(expression) => {
            reading.expressions.push(Arc::new(expression));
            Some(Filter::Expression(reading.expressions.len() - 1))
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
    count: &mut usize,
    faults: &mut Faults,
) -> Option<Vec<Term>> {
    if filter.attributes.is_empty() {
        let description = "is required: at least one attribute";
        faults.add(FaultKind::Filter, format!("{path}.attributes"), description);
        return None;
    }
    let mut terms = Vec::with_capacity(filter.attributes.len());
    let mut is_whole = true;
    for (name, value) in filter.attributes {
        *count += 1;
        let mut fault = |description: &str| {
            let field = format!("{path}.attributes[{name:?}]");
            faults.add(FaultKind::Filter, field, description);
            is_whole = false;
        };
        if !is_attribute_name(&name) {
            fault(
                "is not an attribute name: lower-case letters and digits, at most 64; for the payload there is cel",
            );
        } else if value.is_empty() {
            fault("has no value to compare with");
        } else if *count > TERMS_MAX {
            fault("is more than the filters and attributes that are taken");
        }
        terms.push(Term { name, value });
    }
    is_whole.then_some(terms)
}
