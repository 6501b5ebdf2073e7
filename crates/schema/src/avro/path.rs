//! Paths into a schema, such as `Order.items[].sku`. A comparison visits thousands of paths and
//! reports few, so a path is kept as a parent and a segment, and written as text on demand.

use super::{
    limits::PATH_SEGMENTS_SHOWN_MAX,
    model::{Kind, Model, Type, TypeId},
    primitive::Primitive,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    Root,
    /// A record and the index of its field.
    Field(TypeId, usize),
    Items,
    Values,
    /// A branch of a union with several branches besides null.
    Branch(TypeId),
}

/// The visited paths of a schema, by number.
#[derive(Debug)]
pub struct Paths {
    /// The parent path and the last segment of each path. The root is its own parent.
    segments: Vec<(u32, Segment)>,
}

impl Paths {
    /// Paths with the root of the schema as path 0.
    pub fn new() -> Self {
        Self { segments: vec![(0, Segment::Root)] }
    }

    /// Adds a path with one more segment.
    pub fn child(&mut self, parent: u32, segment: Segment) -> u32 {
        let path = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        self.segments.push((parent, segment));
        path
    }

    /// Adds a path into a branch of a union. The only branch besides null adds no segment.
    pub fn branch(&mut self, path: u32, union: &Type, branch: TypeId, model: &Model) -> u32 {
        let null = |id: &&TypeId| matches!(model.get(**id).kind, Kind::Primitive(Primitive::Null));
        let branches = union.branches().unwrap_or_default();
        let several = branches.iter().filter(|id| !null(id)).take(2).count() > 1;
        if several { self.child(path, Segment::Branch(branch)) } else { path }
    }

    /// The last field of a path, before segments of arrays, maps and branches.
    pub fn last_field(&self, path: u32) -> Option<(TypeId, usize)> {
        let mut path = path;
        loop {
            match self.segments.get(path as usize)? {
                (_, Segment::Field(record, field)) => return Some((*record, *field)),
                (_, Segment::Root) => return None,
                (parent, _) => path = *parent,
            }
        }
    }

    /// The segments of a path after the root.
    pub fn segments(&self, path: u32) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut path = path;
        while let Some((parent, segment)) = self.segments.get(path as usize) {
            if *segment == Segment::Root {
                break;
            }
            segments.push(*segment);
            path = *parent;
        }
        segments.reverse();
        segments
    }

    /// The text of a path.
    pub fn text(&self, path: u32, model: &Model) -> String {
        let segments = self.segments(path);
        let mut out = root(model);
        let skipped = segments.len().saturating_sub(PATH_SEGMENTS_SHOWN_MAX);
        if skipped > 0 {
            out.push('…');
        }
        for segment in segments.iter().skip(skipped) {
            match segment {
                Segment::Root => {}
                Segment::Items => out.push_str("[]"),
                Segment::Values => out.push_str("{}"),
                Segment::Branch(branch) => {
                    let ty = model.get(*branch);
                    let label =
                        ty.name().map_or_else(|| model.label(*branch), |name| name.short().into());
                    out.push_str(&format!("<{label}>"));
                }
                Segment::Field(record, field) => {
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

/// The text of the root.
fn root(model: &Model) -> String {
    model.get(model.root).name().map_or_else(String::new, |name| name.short().into())
}
