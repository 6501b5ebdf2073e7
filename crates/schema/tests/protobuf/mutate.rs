//! Random schemas, random changes, and reductions of a pair.

use super::{
    generate::{Enum, Features, Field, File, Label, Message, SCALARS, Syntax, Type, WELL_KNOWN},
    model::Chance,
};

/// Groups of types: a changed type is likely to be in the same group.
const TYPE_GROUPS: [&[&str]; 4] = [
    &["int32", "int64", "uint32", "uint64", "bool", "sint32", "sint64"],
    &["fixed32", "sfixed32", "float"],
    &["fixed64", "sfixed64", "double"],
    &["string", "bytes"],
];
const KEYS: [&str; 6] = ["string", "string", "int32", "int64", "bool", "fixed32"];

impl Syntax {
    fn random(chance: &mut Chance) -> Self {
        chance.of(&[Self::Proto2, Self::Proto3, Self::Edition, Self::Edition])
    }
}

impl File {
    pub fn random(chance: &mut Chance) -> Self {
        let mut file = Self {
            syntax: Syntax::random(chance),
            imported: Syntax::random(chance),
            features: Features::random(chance, 8),
            messages: Vec::new(),
            enums: Vec::new(),
        };
        for at in 0..2 {
            let values = (0..2 + chance.below(3)).map(|index| (format!("E{at}_V{index}"), index));
            let values = values.map(|(name, number)| (name, i32::try_from(number).expect("small")));
            let features = Features::random(chance, 4);
            let imported = at == 1 && chance.one_in(3);
            let name = format!("E{at}");
            file.enums.push(Enum { name, values: values.collect(), imported, features });
        }
        for at in 0..4 {
            file.messages.push(Message {
                name: format!("M{at}"),
                fields: Vec::new(),
                reserved: Vec::new(),
                nested: chance.one_in(4),
                extensions: if chance.one_in(6) { vec![100] } else { Vec::new() },
                legacy_json: chance.one_in(8).then_some(true),
            });
        }
        for at in 0..4 {
            // The last message is often empty.
            let count = if at == 3 && chance.one_in(2) { 0 } else { chance.below(5) };
            let from = u32::from(at == 0);
            for number in 1..=from + u32::try_from(count).expect("small") {
                let field = file.field(chance, number);
                file.messages[at].fields.push(field);
            }
        }
        file
    }

    fn field(&self, chance: &mut Chance, number: u32) -> Field {
        let mut field = Field {
            number,
            name: format!("field_{number}"),
            json_name: None,
            kind: self.kind(chance),
            label: label(chance),
            default: chance.one_in(6).then(|| u8::try_from(chance.below(3)).expect("small")),
            features: Features::random(chance, 10),
        };
        avoid_required_messages(&mut field);
        field
    }

    fn kind(&self, chance: &mut Chance) -> Type {
        match chance.below(10) {
            0..=2 => Type::Message(chance.below(self.messages.len())),
            3 => Type::Enum(chance.below(self.enums.len())),
            4 => Type::WellKnown(chance.of(&WELL_KNOWN)),
            _ => Type::Scalar(chance.of(&SCALARS)),
        }
    }

    /// Makes one random change. Some changes have no effect.
    pub fn change(&mut self, chance: &mut Chance) {
        match chance.below(10) {
            0..=5 => self.change_field(chance),
            6 => self.change_enum(chance),
            7 => self.change_message(chance),
            _ => self.change_features(chance),
        }
    }

    fn change_field(&mut self, chance: &mut Chance) {
        let at = chance.below(self.messages.len());
        let number = 1 + u32::try_from(chance.below(9)).expect("small");
        let new = self.field(chance, number);
        let (kind, label) = (self.kind(chance), label(chance));
        let messages = self.messages.len();
        let fields = &mut self.messages[at].fields;
        let count = fields.len();
        let field_index = chance.below(count);
        let Some(field) = fields.get_mut(field_index).filter(|_| !chance.one_in(6)) else {
            if fields.iter().all(|field| field.number != new.number && field.name != new.name) {
                fields.push(new);
            }
            return;
        };
        match chance.below(12) {
            0 | 1 => {
                let field = fields.remove(field_index);
                if chance.one_in(2) {
                    self.messages[at].reserved.push((field.number, field.name));
                }
                return;
            }
            2..=4 => {
                field.kind = match &field.kind {
                    Type::Scalar(scalar) if !chance.one_in(4) => {
                        let group = TYPE_GROUPS
                            .iter()
                            .find(|scalars| scalars.contains(scalar))
                            .expect("every scalar has a group");
                        Type::Scalar(chance.of(group))
                    }
                    Type::Message(_) | Type::WellKnown(_) if !chance.one_in(3) => {
                        if chance.one_in(2) {
                            Type::Message(chance.below(messages))
                        } else {
                            Type::WellKnown(chance.of(&WELL_KNOWN))
                        }
                    }
                    _ => kind,
                };
            }
            5..=7 => field.label = label,
            8 => {
                field.name = format!("name_{}", chance.below(5));
                if chance.one_in(2) {
                    field.json_name = Some(format!("field{}", field.number));
                }
            }
            9 => field.json_name = chance.one_in(3).then(|| format!("json{}", chance.below(4))),
            10 => {
                field.default =
                    chance.one_in(2).then(|| u8::try_from(chance.below(3)).expect("small"));
            }
            _ => field.features = Features::random(chance, 3),
        }
        avoid_required_messages(field);
    }

    fn change_enum(&mut self, chance: &mut Chance) {
        let at = chance.below(self.enums.len());
        let kind = &mut self.enums[at];
        let next = kind.values.iter().map(|value| value.1).max().unwrap_or(0) + 1;
        match chance.below(6) {
            0 => kind.values.push((format!("E{at}_NEW{next}"), next)),
            1 if kind.values.len() > 1 => drop(kind.values.pop()),
            2 => {
                let last = kind.values.len() - 1;
                kind.values[last].0 = format!("E{at}_OTHER{}", chance.below(5));
            }
            3 => kind.values.push((format!("E{at}_MINUS{next}"), -next)),
            4 => kind.features = Features::random(chance, 2),
            _ => kind.imported ^= true,
        }
    }

    fn change_message(&mut self, chance: &mut Chance) {
        let at = chance.below(self.messages.len());
        let message = &mut self.messages[at];
        match chance.below(5) {
            0 => message.fields.reverse(),
            1 => message.name = format!("N{}", at * 10 + chance.below(9)),
            2 => message.nested ^= true,
            3 => message.legacy_json = chance.one_in(2).then_some(true),
            _ => {
                let number = 100 + u32::try_from(chance.below(3)).expect("small");
                match message.extensions.iter().position(|extension| *extension == number) {
                    Some(at) => {
                        message.extensions.remove(at);
                    }
                    None => message.extensions.push(number),
                }
            }
        }
    }

    fn change_features(&mut self, chance: &mut Chance) {
        match chance.below(6) {
            0 | 1 => self.syntax = Syntax::random(chance),
            2 => self.imported = Syntax::random(chance),
            _ => self.features = Features::random(chance, 3),
        }
    }
}

fn label(chance: &mut Chance) -> Label {
    match chance.below(12) {
        0..=2 => Label::Repeated,
        3 => Label::Map(chance.of(&KEYS)),
        4 | 5 => Label::Oneof(0),
        6 => Label::Oneof(1),
        7 => Label::Optional,
        8 if chance.one_in(2) => Label::Required,
        _ => Label::Singular,
    }
}

/// Makes message fields optional if they are required: a recursive required message has no payload.
fn avoid_required_messages(field: &mut Field) {
    let message = matches!(field.kind, Type::Message(_) | Type::WellKnown(_));
    if field.label == Label::Required && message {
        field.label = Label::Optional;
    }
}

/// Pairs that are smaller, or differ less.
pub fn smaller((old, new): &(File, File)) -> Vec<(File, File)> {
    let mut pairs = Vec::new();
    let mut both = |cut: &dyn Fn(&mut File)| {
        let (mut a, mut b) = (old.clone(), new.clone());
        cut(&mut a);
        cut(&mut b);
        if (&a, &b) != (old, new) {
            pairs.push((a, b));
        }
    };
    for at in 0..old.messages.len() {
        both(&|file| file.messages[at].fields.clear());
        for number in 1..=10 {
            both(&|file| file.messages[at].fields.retain(|field| field.number != number));
        }
        both(&|file| file.messages[at].reserved.clear());
        both(&|file| file.messages[at].extensions.clear());
        both(&|file| file.messages[at].legacy_json = None);
        both(&|file| file.messages[at].nested = false);
        both(&|file| file.messages[at].name = format!("M{at}"));
    }
    for at in 0..old.enums.len() {
        both(&|file| file.enums[at].values.truncate(1));
        both(&|file| drop(file.enums[at].values.pop_if(|value| value.1 != 0)));
        both(&|file| file.enums[at].features = Features::default());
        both(&|file| file.enums[at].imported = false);
    }
    both(&|file| file.features = Features::default());
    for syntax in [Syntax::Proto3, Syntax::Proto2] {
        both(&|file| file.syntax = syntax);
        both(&|file| file.imported = syntax);
    }
    let fields = |file: &mut File, number: u32, work: &dyn Fn(&mut Field)| {
        let all = file.messages.iter_mut().flat_map(|message| &mut message.fields);
        all.filter(|field| field.number == number).for_each(work);
    };
    for number in 1..=10 {
        both(&|file| fields(file, number, &|field| field.features = Features::default()));
        both(&|file| fields(file, number, &|field| field.default = None));
        both(&|file| fields(file, number, &|field| field.json_name = None));
        both(&|file| fields(file, number, &|field| field.label = Label::Singular));
        both(&|file| fields(file, number, &|field| field.kind = Type::Scalar("int32")));
    }
    // Revert one change at a time.
    for at in 0..old.messages.len() {
        let mut reverted = new.clone();
        reverted.messages[at] = old.messages[at].clone();
        pairs.push((old.clone(), reverted));
        for field in &old.messages[at].fields {
            let mut reverted = new.clone();
            if let Some(changed) = reverted.messages[at]
                .fields
                .iter_mut()
                .find(|candidate| candidate.number == field.number)
            {
                *changed = field.clone();
                pairs.push((old.clone(), reverted));
            }
        }
    }
    for at in 0..old.enums.len() {
        let mut reverted = new.clone();
        reverted.enums[at] = old.enums[at].clone();
        pairs.push((old.clone(), reverted));
    }
    pairs.push((old.clone(), File { syntax: old.syntax, ..new.clone() }));
    pairs.push((old.clone(), File { features: old.features, ..new.clone() }));
    pairs.retain(|pair| pair != &(old.clone(), new.clone()));
    pairs
}
