//! Text to quantity.

use super::{Format, MAX_NANOS, Quantity, QuantityError, div_away_from_zero};

pub(super) struct Parsed {
    pub(super) quantity: Quantity,
    /// Upstream keeps the text as it is.
    pub(super) verbatim: bool,
}

pub(super) fn parse(text: &str) -> Result<Parsed, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Format);
    }
    let (negative, unsigned) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let significant = unsigned.trim_start_matches('0');
    let (number, rest) = digits(significant);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    check_suffix(suffix)?;
    let (base, exponent, format) = scale(suffix).ok_or(QuantityError::Suffix)?;
    let short = Short::of(number, fraction, base, exponent);
    let mut nanos = magnitude(number, fraction, base, exponent).unwrap_or(MAX_NANOS);
    if short.is_none() {
        nanos = nanos.min(MAX_NANOS);
    }
    let quantity = Quantity { nanos: if negative { -nanos } else { nanos }, format };
    Ok(Parsed { quantity, verbatim: short.is_some_and(|s| s.canonical) })
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Letters, a sign, digits: in this order, each optional.
fn check_suffix(suffix: &str) -> Result<(), QuantityError> {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    if digits(rest).1.is_empty() { Ok(()) } else { Err(QuantityError::Format) }
}

/// Base, exponent and format that a suffix stands for.
fn scale(suffix: &str) -> Option<(i128, i32, Format)> {
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(i) = decimal.iter().position(|s| *s == suffix) {
        return Some((10, i as i32 * 3 - 9, Format::DecimalSi));
    }
    if let Some(i) = binary.iter().position(|s| *s == suffix) {
        return Some((2, (i as i32 + 1) * 10, Format::BinarySi));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    // Beyond these bounds every number is zero or capped.
    Some((10, exponent.clamp(-1000, 1000) as i32, Format::DecimalExponent))
}

/// The amount in nanos, rounded up; `None` if it exceeds all bounds.
fn magnitude(number: &str, fraction: &str, base: i128, exponent: i32) -> Option<i128> {
    // Further digits of the fraction only matter if they are not zero.
    const FRACTION_DIGITS: usize = 18;
    let (kept, dropped) = fraction.split_at(fraction.len().min(FRACTION_DIGITS));
    let sticky = dropped.bytes().any(|b| b != b'0');
    let all = format!("0{number}{kept}");
    let mut mantissa: i128 = all.parse().ok()?;
    let mut decimals = 9 - kept.len() as i32;
    if base == 2 {
        mantissa = mantissa.checked_mul(1 << exponent)?;
    } else {
        decimals += exponent;
    }
    if mantissa == 0 {
        return Some(i128::from(sticky));
    }
    if decimals >= 0 {
        let amount = mantissa.checked_mul(10i128.checked_pow(decimals.unsigned_abs())?)?;
        return amount.checked_add(i128::from(sticky));
    }
    // Any non-zero amount is at least one nano.
    let Some(unit) = 10i128.checked_pow(decimals.unsigned_abs()) else { return Some(1) };
    let exact = mantissa % unit == 0;
    Some(div_away_from_zero(mantissa, unit) + i128::from(exact && sticky))
}

/// Upstream's shortcut for numbers that fit an i64: they are not capped, and keep their text if it
/// looks canonical.
struct Short {
    canonical: bool,
}

impl Short {
    fn of(number: &str, fraction: &str, base: i128, exponent: i32) -> Option<Self> {
        let number = if number.is_empty() { "0" } else { number };
        let shifted = format!("{number}{fraction}");
        let value: i64 = shifted.parse().ok()?;
        if base == 2 {
            let room = 15 - number.len() as i32 - exponent * 3 / 10 - 1;
            let fits = value.checked_mul(1i64.checked_shl(exponent.unsigned_abs())?).is_some();
            return (fraction.is_empty() && room >= 0 && fits)
                .then_some(Self { canonical: value & 7 != 0 });
        }
        let scale = exponent - fraction.len() as i32;
        let canonical = scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0');
        (shifted.len() <= 18 && scale >= -9).then_some(Self { canonical })
    }
}
