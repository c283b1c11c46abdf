//! `resource.Quantity`: exact amounts with suffixes.

use crate::status::Status;

/// An exact amount, held in units of 10^-9.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// Parses text such as `100m`, `1.5Gi` or `12e6`.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let _ = text;
        todo!()
    }

    /// In whole units, rounded up.
    #[must_use]
    pub fn value(&self) -> i64 {
        todo!()
    }

    /// In thousandths, rounded up.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        let _ = self.nanos;
        todo!()
    }
}
