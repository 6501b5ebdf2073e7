//! Paths into a schema, such as `Order.items[].sku`. Thousands are walked and few are shown, so they are kept as steps.

use super::model::{Kind, Model, Primitive, Type, TypeId};

/// One step into a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Root,
    /// A field of a record.
    Field(TypeId, usize),
    Items,
    Values,
    /// A branch of a union that has several besides null.
    Branch(TypeId),
}

/// The paths of one side.
#[derive(Debug)]
pub struct Paths {
    /// The path before each step; of the first one itself.
    steps: Vec<(u32, Step)>,
}

/// Steps that are shown. A recursive schema is walked as deep as it has types.
const SHOWN_MAX: usize = 40;

impl Paths {
    /// Of a schema whose root is path 0.
    pub fn new() -> Self {
        Self { steps: vec![(0, Step::Root)] }
    }

    /// A path one step further.
    pub fn step(&mut self, path: u32, step: Step) -> u32 {
        let at = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        self.steps.push((path, step));
        at
    }

    /// Into a branch of a union. That of an optional value is its only one, and goes without saying.
    pub fn branch(&mut self, path: u32, union: &Type, branch: TypeId, model: &Model) -> u32 {
        let null = |id: &&TypeId| matches!(model.get(**id).kind, Kind::Primitive(Primitive::Null));
        let branches = union.branches().unwrap_or_default();
        // Two of them are enough to know.
        let several = branches.iter().filter(|id| !null(id)).take(2).count() > 1;
        if several { self.step(path, Step::Branch(branch)) } else { path }
    }

    /// The field that a path ends in, through arrays, maps and branches.
    pub fn last_field(&self, path: u32) -> Option<(TypeId, usize)> {
        let mut path = path;
        loop {
            match self.steps.get(path as usize)? {
                (_, Step::Field(record, field)) => return Some((*record, *field)),
                (_, Step::Root) => return None,
                (before, _) => path = *before,
            }
        }
    }

    /// Its steps, from the root on.
    pub fn steps(&self, path: u32) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut path = path;
        while let Some((before, step)) = self.steps.get(path as usize) {
            if *step == Step::Root {
                break;
            }
            steps.push(*step);
            path = *before;
        }
        steps.reverse();
        steps
    }

    /// Its text.
    pub fn show(&self, path: u32, model: &Model) -> String {
        let steps = self.steps(path);
        let mut out = root(model);
        let skipped = steps.len().saturating_sub(SHOWN_MAX);
        if skipped > 0 {
            out.push('…');
        }
        for step in steps.iter().skip(skipped) {
            match step {
                Step::Root => {}
                Step::Items => out.push_str("[]"),
                Step::Values => out.push_str("{}"),
                Step::Branch(branch) => {
                    let of = model.get(*branch);
                    let label =
                        of.name().map_or_else(|| model.label(*branch), |it| it.short().into());
                    out.push_str(&format!("<{label}>"));
                }
                Step::Field(record, field) => {
                    if let Kind::Record(record) = &model.get(*record).kind
                        && let Some(field) = record.fields.get(*field)
                    {
                        if !out.is_empty() {
                            out.push('.');
                        }
                        out.push_str(&field.name);
                    }
                }
            }
        }
        out
    }
}

/// How the paths of a schema begin.
fn root(model: &Model) -> String {
    model.get(model.root).name().map_or_else(String::new, |name| name.short().into())
}
