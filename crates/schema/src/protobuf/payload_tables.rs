//! Tables for payload operations: required fields, custom defaults, and JSON names of each message.

use std::{collections::HashMap, sync::OnceLock};

use super::types::{Cardinality, Field, Types};

/// The tables of all messages and enums, by index.
#[derive(Debug, Default)]
pub(super) struct PayloadTables {
    messages: Vec<MessageTable>,
    /// Enum numbers by name. Computed on first use.
    values: Vec<OnceLock<HashMap<Box<str>, i32>>>,
}

#[derive(Debug, Default)]
pub(super) struct MessageTable {
    /// Numbers of the required fields, in order.
    pub(super) required: Vec<u32>,
    /// Whether the message or a nested message has required fields.
    pub(super) has_required: bool,
    /// Numbers of the fields whose default is not zero or empty.
    pub(super) defaults: Vec<u32>,
    /// Field numbers by accepted JSON name. Computed on first use.
    names: OnceLock<HashMap<Box<str>, u32>>,
}

impl PayloadTables {
    pub(super) fn of(types: &Types) -> Self {
        let of_message = |message: &super::types::Message| {
            let fields = || message.fields.values();
            let required = fields().filter(|field| field.cardinality == Cardinality::Required);
            let required: Vec<u32> = required.map(|field| field.number).collect();
            let has_custom_default = |field: &&Field| {
                field
                    .default
                    .as_ref()
                    .is_some_and(|default| !matches!(default.as_str(), "0" | "\"\""))
            };
            MessageTable {
                has_required: !required.is_empty(),
                required,
                defaults: fields().filter(has_custom_default).map(|field| field.number).collect(),
                names: OnceLock::new(),
            }
        };
        let mut tables: Vec<_> = types.messages.iter().map(of_message).collect();
        // Propagate from messages with required fields to the messages that contain them.
        let mut containers: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, message) in types.messages.iter().enumerate() {
            for inner in message.fields.values().filter_map(|field| field.kind.message()) {
                containers.entry(inner).or_default().push(index);
            }
        }
        let roots =
            (0..).zip(&tables).filter(|(_, table)| table.has_required).map(|(index, _)| index);
        let mut queue: Vec<usize> = roots.collect();
        while let Some(index) = queue.pop() {
            for container in containers.get(&index).into_iter().flatten() {
                if let Some(table) = tables.get_mut(*container).filter(|table| !table.has_required)
                {
                    table.has_required = true;
                    queue.push(*container);
                }
            }
        }
        Self { messages: tables, values: types.enums.iter().map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn get(&self, message: usize) -> &MessageTable {
        static NONE: MessageTable = MessageTable {
            required: Vec::new(),
            has_required: false,
            defaults: Vec::new(),
            names: OnceLock::new(),
        };
        self.messages.get(message).unwrap_or(&NONE)
    }

    /// The field with a name in JSON: its JSON name or its source name.
    pub(super) fn field_by_name<'t>(
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
            // A JSON name takes precedence over an equal source name of another field.
            for field in message.fields.values().filter(|field| !field.extension) {
                names.insert(field.json_name.as_str().into(), field.number);
            }
            names
        });
        message.fields.get(names.get(name)?)
    }

    /// The number of an enum value.
    pub(super) fn enum_number(&self, types: &Types, index: usize, name: &str) -> Option<i32> {
        let kind = types.enumeration(index)?;
        let names = self.values.get(index)?.get_or_init(|| {
            let numbered = kind.values.iter();
            let named = numbered.flat_map(|(number, values)| {
                values.iter().map(|value| (value.name.as_str().into(), *number))
            });
            named.collect()
        });
        names.get(name).copied()
    }
}
