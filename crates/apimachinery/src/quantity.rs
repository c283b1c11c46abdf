//! `resource.Quantity`: exact amounts with suffixes.

mod parse;

use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

const NANOS_PER_UNIT: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;
/// Amounts that do not fit an i64 are capped at this, as upstream does.
const MAX_NANOS: i128 = i64::MAX as i128 * NANOS_PER_UNIT;

/// An exact amount in units of 10^-9; finer amounts are rounded away from zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// The notation of an amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `12M`.
    #[default]
    DecimalSi,
    /// `12Mi`.
    BinarySi,
    /// `12e6`.
    DecimalExponent,
}

/// The reason why text is not a quantity, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form number and suffix.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The number is malformed.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// Parses text such as `100m`, `1.5Gi` or `12e6`.
    ///
    /// # Errors
    /// When the text is not a quantity.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse::parse(text).map(|parsed| parsed.quantity)
    }

    /// Reads a JSON string or number.
    ///
    /// # Errors
    /// When the value is not a quantity.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::Null => Ok(Self::ZERO),
            _ => Err(QuantityError::Format),
        }
    }

    /// The text that an API object keeps for `text`: canonical, unless upstream's parser takes the
    /// text for canonical (`1.234` stays).
    ///
    /// # Errors
    /// When the text is not a quantity.
    pub fn normalize(text: &str) -> Result<String, QuantityError> {
        let parsed = parse::parse(text)?;
        Ok(if parsed.verbatim { text.to_owned() } else { parsed.quantity.to_string() })
    }

    /// An amount of whole units.
    #[must_use]
    pub fn from_units(units: i64, format: Format) -> Self {
        Self { nanos: i128::from(units) * NANOS_PER_UNIT, format }
    }

    /// An amount of thousandths.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self { nanos: i128::from(millis) * NANOS_PER_MILLI, format: Format::DecimalSi }
    }

    /// In whole units, rounded away from zero.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.scaled(NANOS_PER_UNIT)
    }

    /// In thousandths, rounded away from zero.
    #[must_use]
    pub fn milli_value(&self) -> i64 {
        self.scaled(NANOS_PER_MILLI)
    }

    fn scaled(&self, unit: i128) -> i64 {
        let rounded = div_away_from_zero(self.nanos, unit);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    /// As a floating point number.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / NANOS_PER_UNIT as f64
    }

    /// Returns true if the amount is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    #[must_use]
    pub fn sign(&self) -> i32 {
        self.nanos.signum() as i32
    }

    /// The format of the amount.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The sum keeps the format of the first amount that is not zero.
    fn plus(self, nanos: i128, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(nanos), format }
    }
}

fn div_away_from_zero(n: i128, unit: i128) -> i128 {
    let rounding = if n % unit == 0 { 0 } else { n.signum() };
    n / unit + rounding
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.plus(other.nanos, other)
    }
}

impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.plus(-other.nanos, other)
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self { nanos: -self.nanos, ..self }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl From<Quantity> for Value {
    fn from(q: Quantity) -> Self {
        q.to_string().into()
    }
}

/// Divides `n` by `base` as often as possible without a remainder.
fn take_factors(mut n: i128, base: i128) -> (i128, i32) {
    let mut times = 0;
    while n.abs() >= base && n % base == 0 {
        n /= base;
        times += 1;
    }
    (n, times)
}

/// The canonical form: no fraction, the largest suffix that allows it.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos % NANOS_PER_UNIT == 0;
        let units = self.nanos / NANOS_PER_UNIT;
        if self.format == Format::BinarySi && whole && units.abs() >= 1024 {
            let (mut number, mut times) = take_factors(units, 1024);
            while times as usize >= BINARY.len() {
                number *= 1024;
                times -= 1;
            }
            return write!(f, "{number}{}", BINARY[times as usize]);
        }
        let (mut number, mut thousands) = take_factors(self.nanos, 1000);
        while self.format != Format::DecimalExponent && thousands as usize >= DECIMAL.len() {
            number *= 1000;
            thousands -= 1;
        }
        let exponent = thousands * 3 - 9;
        match self.format {
            Format::DecimalExponent if exponent == 0 => write!(f, "{number}"),
            Format::DecimalExponent => write!(f, "{number}e{exponent}"),
            _ => write!(f, "{number}{}", DECIMAL[thousands as usize]),
        }
    }
}

#[cfg(test)]
mod tests;
