//! Limits on the cost of reading a document.

use serde_json::Value;

use super::error::Error;

/// Bytes that anchored and aliased values may take together, in addition to the document itself.
const COPIES: usize = 16 << 20;
/// Size of a value without its text.
const VALUE: usize = 64;
/// Work of the parser: each token makes it visit every open collection.
const FREE_STEPS: usize = 1 << 20;
/// Steps for each byte of the document; hand-written documents stay well below.
const STEPS_PER_BYTE: usize = 8;

pub(super) struct Budget {
    steps: usize,
    copies: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let steps = bytes.saturating_mul(STEPS_PER_BYTE).saturating_add(FREE_STEPS);
        Self { steps, copies: COPIES }
    }

    /// Charges one event at a depth.
    pub(super) fn event(&mut self, depth: usize) -> Result<(), Box<Error>> {
        let left = self.steps.checked_sub(depth + 1);
        self.steps = left.ok_or(Error::Steps)?;
        Ok(())
    }

    /// Charges a copy of a value.
    pub(super) fn copy(&mut self, value: &Value) -> Result<(), Box<Error>> {
        match value {
            Value::String(text) => self.pay(VALUE + text.len()),
            Value::Array(items) => {
                self.pay(VALUE)?;
                items.iter().try_for_each(|item| self.copy(item))
            }
            Value::Object(fields) => {
                self.pay(VALUE)?;
                fields.iter().try_for_each(|(key, value)| {
                    self.pay(key.len())?;
                    self.copy(value)
                })
            }
            _ => self.pay(VALUE),
        }
    }

    fn pay(&mut self, bytes: usize) -> Result<(), Box<Error>> {
        let left = self.copies.checked_sub(bytes);
        self.copies = left.ok_or(Error::Copies)?;
        Ok(())
    }
}
