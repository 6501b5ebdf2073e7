//! Random schemas, and random changes to them.

use std::fmt::Write;

/// A random generator that repeats its sequence for a seed.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        // Small seeds would start with runs of zeros.
        let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            chance.next();
        }
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 32) % (bound.max(1) as u64)).expect("it is below the bound")
    }

    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    Singular,
    Optional,
    Required,
    Repeated,
    Map,
    /// A member of the first or the second oneof.
    Oneof(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Scalar(&'static str),
    Message(usize),
    Enum(usize),
}

#[derive(Debug, Clone)]
pub struct Field {
    pub number: usize,
    pub name: String,
    pub json_name: Option<String>,
    pub kind: Type,
    pub label: Label,
    pub default: Option<i32>,
    pub unpacked: bool,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub name: String,
    pub fields: Vec<Field>,
    pub reserved: Vec<(usize, String)>,
}

#[derive(Debug, Clone)]
pub struct Enum {
    pub name: String,
    pub values: Vec<(String, i32)>,
}

/// A file. Its first message is the event.
#[derive(Debug, Clone)]
pub struct File {
    pub proto2: bool,
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
}

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
    "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
];

/// Groups of types: a changed type is likely to be in the same group.
const TYPE_GROUPS: [&[&str]; 4] = [
    &["int32", "int64", "uint32", "uint64", "bool", "sint32", "sint64"],
    &["fixed32", "sfixed32", "float"],
    &["fixed64", "sfixed64", "double"],
    &["string", "bytes"],
];

impl File {
    pub fn random(chance: &mut Chance) -> Self {
        let mut file = Self { proto2: chance.one_in(3), messages: Vec::new(), enums: Vec::new() };
        for at in 0..2 {
            let count = 2 + chance.below(3);
            let values = (0..count)
                .map(|index| (format!("E{at}_V{index}"), i32::try_from(index).expect("small")));
            file.enums.push(Enum { name: format!("E{at}"), values: values.collect() });
        }
        for at in 0..3 {
            let message =
                Message { name: format!("M{at}"), fields: Vec::new(), reserved: Vec::new() };
            file.messages.push(message);
        }
        for at in 0..3 {
            for number in 1..2 + chance.below(5) {
                let field = file.field(chance, number);
                file.messages[at].fields.push(field);
            }
        }
        file
    }

    fn field(&self, chance: &mut Chance, number: usize) -> Field {
        let kind = self.kind(chance);
        let label = self.label(chance);
        let mut field = Field {
            number,
            name: format!("field_{number}"),
            json_name: None,
            kind,
            label,
            default: chance.one_in(6).then(|| i32::try_from(chance.below(3)).expect("small")),
            unpacked: chance.one_in(8),
        };
        field.avoid_required_messages();
        field
    }

    fn kind(&self, chance: &mut Chance) -> Type {
        match chance.below(8) {
            0 | 1 => Type::Message(chance.below(self.messages.len())),
            2 => Type::Enum(chance.below(self.enums.len())),
            _ => Type::Scalar(chance.of(&SCALARS)),
        }
    }

    fn label(&self, chance: &mut Chance) -> Label {
        match chance.below(12) {
            0 | 1 => Label::Repeated,
            2 => Label::Map,
            3 | 4 => Label::Oneof(0),
            5 => Label::Oneof(1),
            6 | 7 => Label::Optional,
            8 if chance.one_in(2) => Label::Required,
            _ => Label::Singular,
        }
    }

    /// Makes one random change. Some changes have no effect.
    pub fn change(&mut self, chance: &mut Chance) {
        let at = chance.below(self.messages.len());
        let count = self.messages[at].fields.len();
        let field_index = chance.below(count);
        match chance.below(24) {
            0..=2 => {
                let number = 1 + chance.below(9);
                let mut field = self.field(chance, number);
                if chance.one_in(4) {
                    field.name = format!("field_{}", 1 + chance.below(9));
                }
                if self.messages[at]
                    .fields
                    .iter()
                    .all(|other| other.number != number && other.name != field.name)
                {
                    self.messages[at].fields.push(field);
                }
            }
            3 | 4 if count > 0 => {
                let field = self.messages[at].fields.remove(field_index);
                if chance.one_in(2) {
                    self.messages[at].reserved.push((field.number, field.name));
                }
            }
            5..=9 if count > 0 => {
                let kind = match &self.messages[at].fields[field_index].kind {
                    Type::Scalar(scalar) if !chance.one_in(4) => {
                        let group = TYPE_GROUPS
                            .iter()
                            .find(|scalars| scalars.contains(scalar))
                            .expect("every scalar has a group");
                        Type::Scalar(chance.of(group))
                    }
                    _ => self.kind(chance),
                };
                self.messages[at].fields[field_index].kind = kind;
                self.messages[at].fields[field_index].avoid_required_messages();
            }
            10..=13 if count > 0 => {
                let label = self.label(chance);
                self.messages[at].fields[field_index].label = label;
                self.messages[at].fields[field_index].avoid_required_messages();
            }
            14 if count > 0 => {
                let field = &mut self.messages[at].fields[field_index];
                field.name = format!("name_{}", chance.below(5));
                if chance.one_in(2) {
                    field.json_name = Some(format!("field{}", field.number));
                }
            }
            15 if count > 0 => {
                self.messages[at].fields[field_index].json_name =
                    Some(format!("json{}", chance.below(4)));
            }
            16 if count > 0 => {
                self.messages[at].fields[field_index].default =
                    chance.one_in(2).then(|| i32::try_from(chance.below(3)).expect("small"));
            }
            17 => self.messages[at].fields.reverse(),
            18 => {
                let values = &mut random_enum(self, chance).values;
                let next = values.iter().map(|value| value.1).max().unwrap_or(0) + 1;
                values.push((format!("E_NEW{next}"), next));
            }
            19 => {
                let values = &mut random_enum(self, chance).values;
                if values.len() > 1 {
                    values.pop();
                }
            }
            20 => {
                let number = chance.below(5);
                let values = &mut random_enum(self, chance).values;
                let last = values.len() - 1;
                values[last].0 = format!("E_OTHER{number}");
            }
            21 => self.messages[at].name = format!("N{}", chance.below(9)),
            22 if count > 0 => self.messages[at].fields[field_index].unpacked ^= true,
            23 if chance.one_in(3) => self.proto2 ^= true,
            _ => {}
        }
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "syntax = \"{}\";\npackage t;\n",
            if self.proto2 { "proto2" } else { "proto3" }
        );
        for kind in &self.enums {
            let prefix = &kind.name;
            let values: String = kind
                .values
                .iter()
                .map(|(name, number)| format!("  {prefix}_{name} = {number};\n"))
                .collect();
            let _ = write!(text, "enum {prefix} {{\n{values}}}\n");
        }
        for message in &self.messages {
            let _ = writeln!(text, "message {} {{", message.name);
            let unused = message.reserved.iter().filter(|(number, name)| {
                message.fields.iter().all(|field| field.number != *number && field.name != *name)
            });
            for (number, name) in unused {
                let _ = writeln!(text, "  reserved {number};\n  reserved \"{name}\";");
            }
            for oneof in 0..2 {
                let mut members = message
                    .fields
                    .iter()
                    .filter(|field| field.label == Label::Oneof(oneof))
                    .peekable();
                if members.peek().is_some() {
                    let members: String = members.map(|field| self.line(field)).collect();
                    let _ = writeln!(text, "  oneof choice{oneof} {{\n{members}  }}");
                }
            }
            for field in &message.fields {
                if !matches!(field.label, Label::Oneof(_)) {
                    text.push_str(&self.line(field));
                }
            }
            text.push_str("}\n");
        }
        text
    }

    fn line(&self, field: &Field) -> String {
        let kind = match &field.kind {
            Type::Scalar(name) => (*name).to_owned(),
            Type::Message(at) => self.messages[*at].name.clone(),
            Type::Enum(at) => self.enums[*at].name.clone(),
        };
        let head = match field.label {
            Label::Map => format!("map<string, {kind}>"),
            Label::Repeated => format!("repeated {kind}"),
            Label::Oneof(_) => kind,
            Label::Optional => format!("optional {kind}"),
            Label::Required if self.proto2 => format!("required {kind}"),
            Label::Singular | Label::Required if self.proto2 => format!("optional {kind}"),
            Label::Singular | Label::Required => kind,
        };
        let mut options = Vec::new();
        if let Some(name) = &field.json_name {
            options.push(format!("json_name = \"{name}\""));
        }
        if let (Some(default), true, Label::Singular | Label::Optional, Type::Scalar(scalar)) =
            (field.default, self.proto2, field.label, &field.kind)
        {
            let default = match *scalar {
                "bool" => (default == 1).to_string(),
                "string" | "bytes" => format!("\"{default}\""),
                _ => default.to_string(),
            };
            options.push(format!("default = {default}"));
        }
        let packs = !matches!(field.kind, Type::Message(_) | Type::Scalar("string" | "bytes"));
        if field.label == Label::Repeated && packs && field.unpacked {
            options.push(format!("packed = {}", self.proto2));
        }
        let options =
            if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
        format!("  {head} {} = {}{options};\n", field.name, field.number)
    }
}

fn random_enum<'a>(file: &'a mut File, chance: &mut Chance) -> &'a mut Enum {
    let at = chance.below(file.enums.len());
    &mut file.enums[at]
}

impl Field {
    /// Makes message fields optional if they are required: a recursive required message has no
    /// payload.
    fn avoid_required_messages(&mut self) {
        if self.label == Label::Required && matches!(self.kind, Type::Message(_)) {
            self.label = Label::Optional;
        }
    }
}
