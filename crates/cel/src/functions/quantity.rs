//! Quantities of resources.

use super::strings::text;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    ("quantity", "string_to_quantity", "(string) -> Quantity", quantity),
    ("isQuantity", "is_quantity_string", "(string) -> bool", is_quantity),
    ("sign", "quantity_sign", "(Quantity) -> int", sign),
    ("isGreaterThan", "quantity_is_greater_than", ".(Quantity, Quantity) -> bool", is_greater),
    ("isLessThan", "quantity_is_less_than", ".(Quantity, Quantity) -> bool", is_less),
    ("compareTo", "quantity_compare_to", ".(Quantity, Quantity) -> int", compare),
    ("asApproximateFloat", "quantity_get_float", ".(Quantity) -> double", float),
    ("asInteger", "quantity_get_int", ".(Quantity) -> int", integer),
    ("isInteger", "quantity_is_integer", ".(Quantity) -> bool", is_integer),
    ("add", "quantity_add", ".(Quantity, Quantity) -> Quantity", add),
    ("add", "quantity_add_int", ".(Quantity, int) -> Quantity", add),
    ("sub", "quantity_sub", ".(Quantity, Quantity) -> Quantity", sub),
    ("sub", "quantity_sub_int", ".(Quantity, int) -> Quantity", sub),
];

/// A quantity in billionths, which are the smallest that upstream keeps.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    billionths: i128,
    /// True if it was written without a part of one, as far as upstream keeps that.
    whole: bool,
    /// True if upstream would keep it as more than an integer with an exponent.
    large: bool,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.billionths == other.billionths
    }
}

impl Eq for Quantity {}

const ONE: i128 = 1_000_000_000;
/// The largest with a suffix of two: larger ones become it, as upstream reads them.
const MAX_BINARY: i128 = i64::MAX as i128 * ONE;
/// The largest of all. (Upstream has no such limit.)
const MAX: i128 = i128::MAX;

const FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

impl Quantity {
    /// Reads a quantity as upstream writes it.
    pub(crate) fn parse(text: &str) -> Result<Quantity, EvalError> {
        let wrong = || EvalError::new(FORMAT);
        if text.is_empty() {
            return Err(wrong());
        }
        let (negative, rest) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text),
        };
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = rest.split_at(whole);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", rest),
        };
        let (binary, exponent) = suffix_of(suffix).ok_or_else(|| {
            let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
            let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            match rest.bytes().all(|b| b.is_ascii_digit()) {
                true => EvalError::new("unable to parse quantity's suffix"),
                false => wrong(),
            }
        })?;
        let value = scaled(digits, fraction, binary, exponent);
        let billionths = if negative { -value } else { value };
        let digits = digits.trim_start_matches('0').len().max(1) + fraction.len();
        let room = if binary { 14 - exponent * 3 / 10 } else { 18 } - digits as i32;
        let large = room < 0 || binary && !fraction.is_empty();
        let whole = !large && (binary || exponent >= fraction.len() as i32);
        Ok(Quantity { billionths, whole, large })
    }

    fn plus(self, other: Quantity) -> Quantity {
        let billionths = self.billionths.saturating_add(other.billionths);
        let large = self.large || other.large;
        let whole = !large
            && match (self.billionths, other.billionths) {
                (_, 0) => self.whole,
                (0, _) => other.whole,
                _ => self.whole && other.whole,
            };
        Quantity { billionths, whole, large }
    }

    fn whole(self) -> Option<i64> {
        let is_whole = self.whole && self.billionths % ONE == 0;
        is_whole.then(|| i64::try_from(self.billionths / ONE).ok())?
    }
}

/// True if the suffix is of two, and its exponent.
fn suffix_of(suffix: &str) -> Option<(bool, i32)> {
    let decimal = |exponent| Some((false, exponent));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => Some((true, 10)),
        "Mi" => Some((true, 20)),
        "Gi" => Some((true, 30)),
        "Ti" => Some((true, 40)),
        "Pi" => Some((true, 50)),
        "Ei" => Some((true, 60)),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            exponent.parse::<i64>().ok().map(|e| (false, e.clamp(-1000, 1000) as i32))
        }
    }
}

/// In billionths, rounded up to the next, and no more than the largest.
fn scaled(digits: &str, fraction: &str, binary: bool, exponent: i32) -> i128 {
    let digits = digits.trim_start_matches('0');
    if digits.len() + fraction.len() > 1000 {
        return if digits.len() > 500 {
            MAX
        } else {
            scaled(digits, &fraction[..400], binary, exponent)
        };
    }
    // The number is the digits times ten to the power of `shift`, in billionths.
    let all = format!("{digits}{fraction}");
    let factor: u128 = if binary { 1 << exponent } else { 1 };
    let shift = if binary { 9 } else { 9 + exponent } - fraction.len() as i32;
    let trimmed = all.trim_start_matches('0');
    if trimmed.is_empty() {
        return 0;
    }
    let magnitude = trimmed.len() as i32 + shift;
    if magnitude > 37 {
        return if binary { MAX_BINARY } else { MAX };
    }
    let kept: usize = (trimmed.len() as i32 + shift.min(0)).max(0) as usize;
    let (kept_digits, lost) = if shift < 0 { trimmed.split_at(kept) } else { (trimmed, "") };
    let mut value: u128 = if kept_digits.is_empty() { 0 } else { kept_digits.parse().unwrap_or(0) };
    if shift > 0 {
        value = value.saturating_mul(10u128.saturating_pow(shift as u32));
    }
    value = value.saturating_mul(factor);
    if lost.bytes().any(|b| b != b'0') {
        if binary {
            // The worth of the lost digits, to as many places as fit.
            let digits = &format!("{lost:0<9}")[..9];
            let places = 10u128.pow((lost.len() as i32).min(9) as u32);
            let part: u128 = digits[..lost.len().min(9)].parse().unwrap_or(0);
            value = value.saturating_add((part * factor).div_ceil(places));
        } else {
            value = value.saturating_add(1);
        }
    }
    i128::try_from(value).unwrap_or(MAX).min(if binary { MAX_BINARY } else { MAX })
}

fn operand(args: &[Value<'_>], index: usize) -> Result<Quantity, EvalError> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Quantity(quantity))) => Ok(*quantity),
        Some(Value::Int(value)) => {
            Ok(Quantity { billionths: i128::from(*value) * ONE, whole: true, large: false })
        }
        _ => Err(EvalError::no_such_overload()),
    }
}

fn quantity<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Quantity::parse(text(args, 0)?).map(|quantity| Value::Opaque(Opaque::Quantity(quantity)))
}

fn is_quantity<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(Quantity::parse(text(args, 0)?).is_ok()))
}

fn sign<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(operand(args, 0)?.billionths.signum() as i64))
}

fn order(args: &[Value<'_>]) -> Result<std::cmp::Ordering, EvalError> {
    Ok(operand(args, 0)?.billionths.cmp(&operand(args, 1)?.billionths))
}

fn is_greater<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_gt()))
}

fn is_less<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_lt()))
}

fn compare<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(order(args)? as i64))
}

fn float<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let value = operand(args, 0)?.billionths;
    Ok(Value::Double(if value % ONE == 0 { (value / ONE) as f64 } else { value as f64 / 1e9 }))
}

fn integer<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    match operand(args, 0)?.whole() {
        Some(value) => Ok(Value::Int(value)),
        None => Err(EvalError::new("cannot convert value to integer")),
    }
}

fn is_integer<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(operand(args, 0)?.whole().is_some()))
}

fn add<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let sum = operand(args, 0)?.plus(operand(args, 1)?);
    Ok(Value::Opaque(Opaque::Quantity(sum)))
}

fn sub<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let other = operand(args, 1)?;
    let negative = Quantity { billionths: other.billionths.saturating_neg(), ..other };
    Ok(Value::Opaque(Opaque::Quantity(operand(args, 0)?.plus(negative))))
}
