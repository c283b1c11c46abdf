//! The cost of a call that was made.

use super::{CHECK, PATTERN, TRAVERSAL};
use crate::budget::Budget;
use crate::eval::LIST_COST;
use crate::value::{Opaque, Value};

/// How the cost of a call comes from its arguments and its result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// Always the same.
    Fixed(u64),
    /// Once through an argument, times the factor.
    Text(usize, f64),
    /// Once through the result, times the factor.
    Result(f64),
    /// All that is within the first argument.
    Traverse,
    /// As many as the argument has.
    Size(usize),
    /// The shorter of two.
    Shorter,
    /// Both.
    Sum,
    /// A pattern on a text.
    Pattern,
    /// A text within a text.
    Contains,
    /// As Kubernetes compares: what its libraries made is compared at once.
    Equals,
    Selector,
    Validate,
    ContainsIp(bool),
    ContainsCidr(bool),
    /// A list is made that is as long as the result.
    Output,
    Flatten,
    /// Every element of an argument with every other.
    SelfCompare(usize),
    Sets(f64),
}

impl Rule {
    /// The rule for a function, and its overload if that is known.
    pub(crate) fn of(function: &str, overload: &str) -> Rule {
        match overload {
            "list_slice" | "lists_range" | "list_reverse" => return Rule::Output,
            "list_flatten" | "list_flatten_int" => return Rule::Flatten,
            "list_distinct" => return Rule::SelfCompare(0),
            "list_sets_contains_list" | "list_sets_intersects_list" => return Rule::Sets(1.0),
            "list_sets_equivalent_list" => return Rule::Sets(2.0),
            id if id.starts_with("list_") && id.ends_with("_sort") => return Rule::SelfCompare(0),
            id if id.ends_with("_sortByAssociatedKeys") => return Rule::SelfCompare(1),
            _ => {}
        }
        match function {
            "check" => return Rule::Fixed(CHECK),
            "fieldSelector" | "labelSelector" => return Rule::Selector,
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                return Rule::Traverse;
            }
            "url"
            | "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "jsonpatch.escapeKey"
            | "cidr"
            | "isIP"
            | "isCIDR"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver" => {
                return Rule::Text(0, 1.0);
            }
            "ip" if overload == "cidr_ip" => return Rule::Fixed(1),
            "ip" => return Rule::Text(0, 1.0),
            "replace" | "split" | "ip.isCanonical" => return Rule::Text(0, 2.0),
            "join" => return Rule::Result(2.0),
            "find" | "findAll" => return Rule::Pattern,
            "containsIP" => return Rule::ContainsIp(overload == "cidr_contains_ip_string"),
            "containsCIDR" => return Rule::ContainsCidr(overload == "cidr_contains_cidr_string"),
            "validate" => return Rule::Validate,
            "_==_" => return Rule::Equals,
            "_!=_" => return Rule::Shorter,
            _ => {}
        }
        match overload {
            "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string"
            | "strings_quote" | "string_format" => Rule::Text(0, 1.0),
            "in_list" => Rule::Size(1),
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes" => Rule::Shorter,
            "add_string" | "add_bytes" => Rule::Sum,
            "matches_string" | "matches" => Rule::Pattern,
            "contains_string" => Rule::Contains,
            _ => Rule::Fixed(1),
        }
    }

    /// True if only the result says what a call cost.
    pub(crate) fn needs_result(self) -> bool {
        matches!(self, Rule::Result(_) | Rule::Output)
    }

    pub(crate) fn cost(self, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
        let size = |index: usize| args.get(index).map_or(1, actual_size);
        match self {
            Rule::Fixed(cost) => cost,
            Rule::Text(index, factor) => ceil(size(index) as f64 * factor * TRAVERSAL),
            Rule::Result(factor) => ceil(result.map_or(1, actual_size) as f64 * factor * TRAVERSAL),
            Rule::Traverse => args.first().map_or(0, |value| traversal(value, MAX_DEPTH)),
            Rule::Size(index) => size(index),
            Rule::Equals if matches!(args.first(), Some(Value::Opaque(_))) => 1,
            Rule::Equals | Rule::Shorter => ceil(size(0).min(size(1)) as f64 * TRAVERSAL),
            Rule::Sum => ceil(size(0).saturating_add(size(1)) as f64 * TRAVERSAL),
            Rule::Pattern => pattern(size(0), size(1)),
            Rule::Contains => {
                ceil(size(0) as f64 * TRAVERSAL).saturating_mul(ceil(size(1) as f64 * TRAVERSAL))
            }
            Rule::Selector => selector(size(1)),
            Rule::Validate => match args.first() {
                Some(Value::Opaque(Opaque::Format(format))) => {
                    pattern(size(1), format.pattern_size)
                }
                _ => 1,
            },
            Rule::ContainsIp(text) => {
                let other = if text { ceil(size(1) as f64 * TRAVERSAL) } else { 0 };
                ceil((size(0) * 2) as f64 * TRAVERSAL) + other
            }
            Rule::ContainsCidr(text) => {
                let other = if text { ceil(size(1) as f64 * TRAVERSAL) } else { 0 };
                ceil((size(0) * 2) as f64 * TRAVERSAL)
                    + ceil(size(0) as f64 * TRAVERSAL)
                    + 1
                    + other
            }
            Rule::Output => list(1.0, result.map_or(1, actual_size)),
            Rule::Flatten => {
                let depth = match args.get(1) {
                    Some(Value::Int(depth)) => *depth as f64,
                    _ => 1.0,
                };
                // A depth below zero fails, and counts against the cost as upstream's integers do.
                list(depth, size(0))
            }
            Rule::SelfCompare(index) => {
                let first = match args.get(index) {
                    Some(Value::List(list)) => list.get(0).and_then(Result::ok),
                    _ => None,
                };
                let text = matches!(first, Some(Value::String(_) | Value::Bytes(_)));
                let factor = if text { 2.0 + TRAVERSAL } else { 2.0 };
                list(factor, size(index).saturating_mul(size(index)))
            }
            Rule::Sets(factor) => {
                let pairs = size(0).saturating_mul(size(1));
                (pairs as f64 * factor) as u64 + 1
            }
        }
    }
}

fn ceil(cost: f64) -> u64 {
    cost.ceil() as u64
}

fn pattern(text: u64, pattern: u64) -> u64 {
    ceil((1.0 + text as f64) * TRAVERSAL).saturating_mul(ceil(pattern as f64 * PATTERN))
}

/// A list of requirements, each of at least two characters.
fn selector(length: u64) -> u64 {
    let requirements = ceil(length as f64 * 0.5);
    10 + ceil(length as f64 * TRAVERSAL) + ceil(requirements as f64 * 50.0)
}

fn list(factor: f64, size: u64) -> u64 {
    let elements = size as f64 * factor;
    let elements = if elements < 0.0 { elements as i64 as u64 } else { elements as u64 };
    elements.wrapping_add(1 + LIST_COST)
}

/// The size of a value for the cost of a function.
fn actual_size(value: &Value<'_>) -> u64 {
    match value {
        Value::Optional(Some(value)) => actual_size(value),
        Value::Opaque(Opaque::Ip(ip)) if ip.is_ipv4() => 4,
        Value::Opaque(Opaque::Ip(_)) => 16,
        Value::Opaque(Opaque::Cidr(cidr)) => u64::from(cidr.bits.div_ceil(8)),
        value => value.size().unwrap_or(1),
    }
}

/// Values that nest deeper are not counted.
const MAX_DEPTH: usize = 512;

fn traversal(value: &Value<'_>, depth: usize) -> u64 {
    let Some(depth) = depth.checked_sub(1) else { return 1 };
    match value {
        Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => {
            list.iter().map(|item| item.map_or(1, |item| traversal(&item, depth))).sum()
        }
        Value::Map(map) => {
            let mut budget = Budget::unlimited();
            let mut total = 0u64;
            for key in map.keys() {
                total += traversal(&key, depth);
                if let Some(Ok(value)) = map.find(&key, &mut budget) {
                    total += traversal(&value, depth);
                }
            }
            total
        }
        _ => 1,
    }
}
