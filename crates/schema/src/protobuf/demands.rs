//! What is looked up for every message of a payload: required fields, defaults that say something, names in JSON.

use std::{collections::HashMap, sync::OnceLock};

use super::types::{Cardinality, Field, Types};

/// By the index of the message, and of the enum.
#[derive(Debug, Default)]
pub(super) struct Demands {
    messages: Vec<Demand>,
    /// Numbers by the names of enums' values. Made when they are first asked for.
    values: Vec<OnceLock<HashMap<Box<str>, i32>>>,
}

#[derive(Debug, Default)]
pub(super) struct Demand {
    /// Numbers of its required fields, in order.
    pub(super) required: Vec<u32>,
    /// Whether it has required fields, itself or somewhere inside.
    pub(super) deep: bool,
    /// Numbers of its fields that are read as something else than zero or nothing where they are absent.
    pub(super) defaults: Vec<u32>,
    /// Numbers by the names that JSON may have. Made when they are first asked for.
    names: OnceLock<HashMap<Box<str>, u32>>,
}

impl Demands {
    pub(super) fn of(types: &Types) -> Self {
        let of_message = |message: &super::types::Message| {
            let fields = || message.fields.values();
            let required = fields().filter(|it| it.cardinality == Cardinality::Required);
            let required: Vec<u32> = required.map(|it| it.number).collect();
            let says = |field: &&Field| {
                field.default.as_ref().is_some_and(|it| !matches!(it.as_str(), "0" | "\"\""))
            };
            Demand {
                deep: !required.is_empty(),
                required,
                defaults: fields().filter(says).map(|it| it.number).collect(),
                names: OnceLock::new(),
            }
        };
        let mut demands: Vec<_> = types.messages.iter().map(of_message).collect();
        // From those that have required fields to those that contain them.
        let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, message) in types.messages.iter().enumerate() {
            for inner in message.fields.values().filter_map(|it| it.kind.message()) {
                holders.entry(inner).or_default().push(index);
            }
        }
        let deep = (0..).zip(&demands).filter(|(_, it)| it.deep).map(|(index, _)| index);
        let mut open: Vec<usize> = deep.collect();
        while let Some(index) = open.pop() {
            for holder in holders.get(&index).into_iter().flatten() {
                if let Some(demand) = demands.get_mut(*holder).filter(|it| !it.deep) {
                    demand.deep = true;
                    open.push(*holder);
                }
            }
        }
        Self { messages: demands, values: types.enums.iter().map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn get(&self, message: usize) -> &Demand {
        static NONE: Demand = Demand {
            required: Vec::new(),
            deep: false,
            defaults: Vec::new(),
            names: OnceLock::new(),
        };
        self.messages.get(message).unwrap_or(&NONE)
    }

    /// The field of a name in JSON: its JSON name, or the one of the schema.
    pub(super) fn named<'t>(
        &self,
        types: &'t Types,
        index: usize,
        name: &str,
    ) -> Option<&'t Field> {
        let message = types.message(index)?;
        let names = self.get(index).names.get_or_init(|| {
            let mut names = HashMap::new();
            for field in message.fields.values() {
                if field.extension {
                    names.insert(format!("[{}]", field.full_name).into(), field.number);
                } else {
                    names.entry(field.name.as_str().into()).or_insert(field.number);
                }
            }
            // Where the JSON name of one is the name of another, the JSON name counts.
            for field in message.fields.values().filter(|it| !it.extension) {
                names.insert(field.json_name.as_str().into(), field.number);
            }
            names
        });
        message.fields.get(names.get(name)?)
    }

    /// The number of a value of an enum.
    pub(super) fn number(&self, types: &Types, index: usize, name: &str) -> Option<i32> {
        let kind = types.enumeration(index)?;
        let names = self.values.get(index)?.get_or_init(|| {
            let numbered = kind.values.iter();
            let named = numbered.flat_map(|(number, values)| {
                values.iter().map(|it| (it.name.as_str().into(), *number))
            });
            named.collect()
        });
        names.get(name).copied()
    }
}
