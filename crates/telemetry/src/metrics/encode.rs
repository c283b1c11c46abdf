//! How labels and samples are written.

use std::fmt::Error;

use prometheus_client::encoding::{
    CounterValueEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabel, EncodeLabelSet,
    GaugeValueEncoder, LabelSetEncoder,
};

use super::family::sorted;

/// Labels in the order of their names, as upstream's library writes them.
#[derive(Debug)]
pub(super) struct Labels<'a, const N: usize> {
    names: &'a [&'static str; N],
    values: &'a [&'a str; N],
}

impl<'a, const N: usize> Labels<'a, N> {
    pub(super) fn new(names: &'a [&'static str; N], values: &'a [&'a str; N]) -> Self {
        Self { names, values }
    }
}

impl<const N: usize> EncodeLabelSet for Labels<'_, N> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), Error> {
        for i in sorted(self.names) {
            (self.names[i], self.values[i]).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// A value, and the milliseconds of Unix time that it is of where that is not the scrape's.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) value: f64,
    pub(super) millis: Option<i64>,
}

impl At {
    /// Whole numbers are written as such, as upstream's library does.
    fn whole(&self) -> Option<i64> {
        const EXACT: f64 = (1_i64 << 53) as f64;
        (self.value.fract() == 0.0 && self.value.abs() < EXACT).then_some(self.value as i64)
    }
}

// The text format has the timestamp behind the value and a space. The encoders write a space before
// each number, so that writing two gives just that.
impl EncodeGaugeValue for At {
    fn encode(&self, encoder: &mut GaugeValueEncoder) -> Result<(), Error> {
        match self.whole() {
            Some(whole) => EncodeGaugeValue::encode(&whole, encoder)?,
            None => EncodeGaugeValue::encode(&self.value, encoder)?,
        }
        self.millis.map_or(Ok(()), |millis| EncodeGaugeValue::encode(&millis, encoder))
    }
}

impl EncodeCounterValue for At {
    fn encode(&self, encoder: &mut CounterValueEncoder) -> Result<(), Error> {
        match self.whole().and_then(|whole| u64::try_from(whole).ok()) {
            Some(whole) => EncodeCounterValue::encode(&whole, encoder)?,
            None => EncodeCounterValue::encode(&self.value, encoder)?,
        }
        let millis = self.millis.and_then(|millis| u64::try_from(millis).ok());
        millis.map_or(Ok(()), |millis| EncodeCounterValue::encode(&millis, encoder))
    }
}
