//! Numbers as Go holds them, and their bounds.

use super::node::Bounds;
use super::outcome::Outcome;
use super::place::Place;
use crate::field::FieldError;
use crate::text::go_float;
use serde_json::Value;

/// A number of an object.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// Integers beyond 64 bits are held as floats.
    pub(super) fn new(n: &serde_json::Number) -> Self {
        n.as_i64().map_or_else(|| Self::Float(n.as_f64().unwrap_or_default()), Self::Int)
    }

    pub(super) fn is_integral(self) -> bool {
        match self {
            Self::Int(_) => true,
            Self::Float(n) => is_integral(n),
        }
    }

    /// The text that Go's `%v` gives.
    pub(super) fn go(self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Float(n) => go_float(n),
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Int(n) => n.into(),
            Self::Float(n) => n.into(),
        }
    }
}

/// Beyond this not every integer has a float.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// Returns true if a float is an integer, or too near to one to tell.
fn is_integral(n: f64) -> bool {
    if !(-MAX_SAFE..=MAX_SAFE).contains(&n) {
        return false;
    }
    let whole = n.trunc();
    if n == whole {
        return true;
    }
    // Go compares with the integer below only, and of negative numbers with none.
    n > 0.0 && whole != 0.0 && (n - whole).abs() / (n.abs() + whole.abs()) < 1e-9
}

/// Shows a number as Go does.
pub(super) fn shown(error: FieldError) -> FieldError {
    match &error.value {
        Some(Value::Number(n)) => {
            let text = Number::new(n).go();
            error.showing(text)
        }
        _ => error,
    }
}

/// A bound as an integer, toward zero.
#[expect(clippy::cast_possible_truncation, reason = "the nearest integer there is")]
fn truncated(bound: f64) -> i64 {
    bound as i64
}

/// Checks the bounds of a number. Those of integers are integers.
pub(super) fn check(bounds: &Bounds, n: Number, at: &Place<'_>, out: &mut Outcome) {
    out.matches += 2;
    if let Some(factor) = bounds.multiple_of {
        multiple_of(factor, n, at, out);
    }
    if let Some(min) = bounds.minimum {
        let (min, order) = compare(n, min);
        let words = match bounds.exclusive_minimum {
            true => (order.is_le()).then_some("greater than"),
            false => (order.is_lt()).then_some("greater than or equal to"),
        };
        complain(words, min, n, at, out);
    }
    if let Some(max) = bounds.maximum {
        let (max, order) = compare(n, max);
        let words = match bounds.exclusive_maximum {
            true => (order.is_ge()).then_some("less than"),
            false => (order.is_gt()).then_some("less than or equal to"),
        };
        complain(words, max, n, at, out);
    }
}

/// Compares a number with a bound of the same type, and returns that.
fn compare(n: Number, bound: f64) -> (Number, std::cmp::Ordering) {
    match n {
        Number::Int(n) => (Number::Int(truncated(bound)), n.cmp(&truncated(bound))),
        Number::Float(n) => {
            (Number::Float(bound), n.partial_cmp(&bound).unwrap_or(std::cmp::Ordering::Equal))
        }
    }
}

fn complain(words: Option<&str>, bound: Number, n: Number, at: &Place<'_>, out: &mut Outcome) {
    if let Some(words) = words {
        fail(at, n, out, |name| format!("{name} in body should be {words} {}", bound.go()));
    }
}

fn multiple_of(factor: f64, n: Number, at: &Place<'_>, out: &mut Outcome) {
    let (factor, fits, positive) = match n {
        Number::Int(n) => {
            let factor = truncated(factor);
            (Number::Int(factor), factor > 0 && n % factor == 0, factor > 0)
        }
        Number::Float(n) => {
            let times = if factor < 1.0 { 1.0 / factor * n } else { n / factor };
            (Number::Float(factor), is_integral(times), factor > 0.0)
        }
    };
    if !positive {
        fail(at, factor, out, |name| {
            format!("factor MultipleOf declared for {name} must be positive: {}", factor.go())
        });
    } else if !fits {
        fail(at, n, out, |name| format!("{name} in body should be a multiple of {}", factor.go()));
    }
}

fn fail(at: &Place<'_>, n: Number, out: &mut Outcome, says: impl FnOnce(&str) -> String) {
    out.named(at, |name, path| shown(FieldError::invalid(path, n.value(), says(name))));
}
