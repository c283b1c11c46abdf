//! A type's fields as protobuf sees them: by number, with the messages that JSON flattens nested.

use super::model::Field;

/// Slots sorted by field number.
#[derive(Debug, Default)]
pub(crate) struct Layout(pub(crate) Vec<(u32, Slot)>);

/// The meaning of a field number.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Index into the type's fields.
    Field(usize),
    /// A message whose fields JSON shows as the type's own.
    Flattened(Layout),
}

impl Layout {
    pub(super) fn of(fields: &[Field]) -> Self {
        let mut layout = Self::default();
        for (index, field) in fields.iter().enumerate().filter(|(_, f)| f.tag != 0) {
            layout.insert(&field.via, field.tag, index);
        }
        layout
    }

    fn insert(&mut self, via: &[u32], tag: u32, index: usize) {
        let number = via.first().copied().unwrap_or(tag);
        let at = match self.0.binary_search_by_key(&number, |(n, _)| *n) {
            Ok(at) => at,
            Err(at) => {
                let slot = match via {
                    [] => Slot::Field(index),
                    _ => Slot::Flattened(Self::default()),
                };
                self.0.insert(at, (number, slot));
                at
            }
        };
        if let ([_, rest @ ..], Slot::Flattened(inner)) = (via, &mut self.0[at].1) {
            inner.insert(rest, tag, index);
        }
    }

    pub(crate) fn slot(&self, number: u32) -> Option<&Slot> {
        self.0.binary_search_by_key(&number, |(n, _)| *n).ok().map(|i| &self.0[i].1)
    }
}
