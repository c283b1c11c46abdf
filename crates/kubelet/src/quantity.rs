//! Amounts of resources as integers.

use apimachinery::quantity::Quantity as Amount;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Returns true if two quantities mean the same amount.
pub(crate) fn equal(a: &Quantity, b: &Quantity) -> bool {
    match (Amount::parse(&a.0), Amount::parse(&b.0)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// In thousandths, rounded up. What does not parse, which the API server does not admit, is zero.
pub(crate) fn milli(quantity: &Quantity) -> i64 {
    Amount::parse(&quantity.0).map_or(0, |amount| amount.milli_value())
}

/// In whole units, rounded up.
pub(crate) fn value(quantity: &Quantity) -> i64 {
    Amount::parse(&quantity.0).map_or(0, |amount| amount.value())
}
