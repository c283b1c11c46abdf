//! The estimated cost of a call without its arguments.

use super::estimate::Coster;
use super::size::Estimate;
use super::{CHECK, MAX_FORMAT_PATTERN, PATTERN, TRAVERSAL};
use crate::ast::{Expr, Kind, Literal};
use crate::types::Type;

/// The cost of a call and the size of its result, where that is known.
pub(super) struct Costed {
    pub(super) cost: Estimate,
    pub(super) size: Option<Estimate>,
}

impl Costed {
    pub(super) fn new(cost: Estimate) -> Costed {
        Costed { cost, size: None }
    }

    pub(super) fn with_size(self, size: Estimate) -> Costed {
        Costed { cost: self.cost, size: Some(size) }
    }
}

/// The cost of a call.
pub(super) fn call_cost(
    coster: &mut Coster<'_>,
    function: &str,
    id: &str,
    target: Option<&Expr>,
    args: &[Expr],
) -> Costed {
    lists(coster, id, target, args)
        .or_else(|| kubernetes(coster, function, id, target, args))
        .unwrap_or_else(|| standard(coster, id, target, args))
}

fn one() -> Costed {
    Costed::new(Estimate::fixed(1))
}

/// cel-go's libraries of lists and sets.
fn lists(
    coster: &mut Coster<'_>,
    id: &str,
    target: Option<&Expr>,
    args: &[Expr],
) -> Option<Costed> {
    let made = |factor: f64, size: Estimate| {
        Some(Costed::new(size.scaled(factor).plus(Estimate::fixed(11))).with_size(size))
    };
    let sets = |coster: &mut Coster<'_>, factor: f64| match args {
        [a, b] => {
            let pairs = coster.size_or_unknown(a).times(coster.size_or_unknown(b));
            Some(Costed::new(pairs.scaled(factor).plus(Estimate::fixed(1))))
        }
        _ => None,
    };
    match (id, target, args) {
        ("list_sets_contains_list" | "list_sets_intersects_list", ..) => sets(coster, 1.0),
        ("list_sets_equivalent_list", ..) => sets(coster, 2.0),
        ("list_slice", Some(target), [start, end]) => {
            let most = coster.size_or_unknown(target).max;
            let length = int_literal(end, most).wrapping_sub(int_literal(start, 0));
            made(1.0, Estimate::fixed(length))
        }
        ("lists_range", None, [count]) => made(1.0, Estimate::fixed(int_literal(count, u64::MAX))),
        ("list_reverse", Some(target), _) => {
            let size = coster.size_or_unknown(target);
            made(1.0, size)
        }
        ("list_flatten" | "list_flatten_int", Some(target), _) => {
            let depth = args.first().map_or(1, |depth| int_literal(depth, u64::MAX));
            let size = coster.size_or_unknown(target);
            made(depth as f64, size)
        }
        ("list_distinct", Some(target), _) => {
            let size = coster.size_or_unknown(target);
            made(2.0, size.times(size))
        }
        (id, Some(target), _) if id.ends_with("_sort") || id.ends_with("_sortByAssociatedKeys") => {
            let list = args.first().unwrap_or(target);
            let size = coster.size_or_unknown(list);
            let text = id.starts_with("list_string_") || id.starts_with("list_bytes_");
            made(if text { 2.0 + TRAVERSAL } else { 2.0 }, size.times(size))
        }
        _ => None,
    }
}

/// The number that is written out, or the default; none is below zero.
fn int_literal(expr: &Expr, default: u64) -> u64 {
    match &expr.kind {
        Kind::Literal(Literal::Int(value)) => u64::try_from(*value).unwrap_or(0),
        _ => default,
    }
}

/// The element of a list, if it is one.
fn element(ty: &Type) -> Option<&Type> {
    match ty {
        Type::List(element) => Some(element),
        Type::Optional(element) => Some(element),
        _ => None,
    }
}

/// The libraries of Kubernetes, and those of cel-go for which it has costs of its own.
fn kubernetes(
    coster: &mut Coster<'_>,
    function: &str,
    id: &str,
    target: Option<&Expr>,
    args: &[Expr],
) -> Option<Costed> {
    let text = |coster: &mut Coster<'_>, expr: &Expr, factor: f64| {
        let size = coster.size_or_unknown(expr);
        (size.scaled(factor * TRAVERSAL), size)
    };
    match (function, target, args) {
        ("check", ..) => Some(Costed::new(Estimate::fixed(CHECK))),
        (
            "serviceAccount"
            | "path"
            | "group"
            | "resource"
            | "subresource"
            | "namespace"
            | "name"
            | "allowed"
            | "reason"
            | "error"
            | "errored"
            | "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery",
            ..,
        ) => Some(one()),
        ("fieldSelector" | "labelSelector", _, [selector]) => {
            let length = coster.size_or_unknown(selector);
            let requirements = length.scaled(0.5).scaled(50.0);
            let cost = Estimate::fixed(10).plus(length.scaled(TRAVERSAL)).plus(requirements);
            Some(Costed::new(cost))
        }
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target), _) => {
            let size = coster.size_or_unknown(target);
            let Some(element) = element(coster.ty(target)) else {
                return Some(Costed::new(size.scaled(TRAVERSAL)));
            };
            let mut each = Estimate::fixed(1);
            if matches!(element, Type::String | Type::Bytes) {
                each = each.plus(coster.item_size(target).scaled(TRAVERSAL));
            }
            Some(Costed::new(size.times(each)))
        }
        ("url" | "jsonpatch.escapeKey", _, [arg]) => {
            let (cost, size) = text(coster, arg, 1.0);
            Some(Costed::new(cost).with_size(size))
        }
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target), _) => {
            let (cost, size) = text(coster, target, 1.0);
            Some(Costed::new(cost).with_size(size))
        }
        ("replace", Some(target), [from, to, ..]) => {
            let (cost, size) = text(coster, target, 2.0);
            let (from, to) = (coster.size_or_unknown(from), coster.size_or_unknown(to));
            Some(Costed::new(cost).with_size(replaced(size, from, to)))
        }
        ("split", Some(target), _) => {
            let (cost, size) = text(coster, target, 2.0);
            let most = args.get(1).map_or(size.max, |most| match &most.kind {
                Kind::Literal(Literal::Int(most)) => *most as u64,
                _ => size.max,
            });
            Some(Costed::new(cost).with_size(Estimate::new(0, most)))
        }
        ("join", Some(target), _) => {
            let list = coster.size_or_unknown(target);
            let mut size = match element(coster.ty(target)) {
                Some(_) => list.times(coster.item_size(target)),
                None => Estimate::fixed(0),
            };
            if let Some(separator) = args.first() {
                let between = Estimate::new(list.min.saturating_sub(1), list.max.saturating_sub(1));
                size = size.plus(coster.size_or_unknown(separator).times(between));
            }
            Some(Costed::new(size.scaled(TRAVERSAL)).with_size(size))
        }
        ("find" | "findAll", Some(target), [pattern, ..]) => {
            let size = coster.size_or_unknown(target);
            let text = size.plus(Estimate::fixed(1)).scaled(TRAVERSAL);
            let pattern = coster.size_or_unknown(pattern).scaled(PATTERN);
            Some(Costed::new(text.times(pattern)).with_size(Estimate::new(0, size.max)))
        }
        ("ip", ..) if id == "cidr_ip" => Some(one()),
        (
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver",
            _,
            [arg, ..],
        ) => Some(Costed::new(text(coster, arg, 1.0).0)),
        ("ip.isCanonical", _, [arg]) => Some(Costed::new(text(coster, arg, 2.0).0)),
        ("containsIP" | "containsCIDR", _, [arg]) => {
            let address = Estimate::new(4, 16);
            let mut cost = address.plus(address).scaled(TRAVERSAL);
            if function == "containsCIDR" {
                cost = cost.plus(address.scaled(TRAVERSAL)).plus(Estimate::fixed(1));
            }
            if matches!(id, "cidr_contains_ip_string" | "cidr_contains_cidr_string") {
                cost = cost.plus(text(coster, arg, 1.0).0);
            }
            Some(Costed::new(cost))
        }
        ("validate", _, [arg]) => {
            let cost = text(coster, arg, 1.0).0.scaled(MAX_FORMAT_PATTERN * PATTERN);
            Some(Costed::new(cost))
        }
        ("_==_", _, [a, b]) => equality(coster, a, b),
        _ => None,
    }
}

/// Values of the libraries are compared at once, or as long as they can be.
fn equality(coster: &mut Coster<'_>, a: &Expr, b: &Expr) -> Option<Costed> {
    let (Type::Opaque(name), Type::Opaque(other)) = (coster.ty(a), coster.ty(b)) else {
        return None;
    };
    if name != other {
        return None;
    }
    match *name {
        "kubernetes.NamedFormat" => Some(Costed::new(Estimate::new(1, 64).scaled(TRAVERSAL))),
        "kubernetes.URL" => {
            let most = coster.size(b).map_or(1, |size| size.max);
            Some(Costed::new(Estimate::new(1, most).scaled(TRAVERSAL)))
        }
        _ => Some(one()),
    }
}

/// The size of a text in which something is replaced.
fn replaced(size: Estimate, from: Estimate, to: Estimate) -> Estimate {
    let (mut count, mut kept) = (Estimate::fixed(0), Estimate::fixed(0));
    if from.min == 0 {
        count.max = size.max.saturating_add(1);
        kept.max = size.max;
    } else if to.max <= from.min {
        kept.max = size.max;
    } else {
        count.max = (size.max as f64 / from.min as f64).ceil() as u64;
    }
    if from.max == 0 {
        count.min = size.min.saturating_add(1);
        kept.min = size.min;
    } else if from.max <= to.min {
        kept.min = size.min;
    } else {
        count.min = (size.min as f64 / from.max as f64).ceil() as u64;
    }
    count.times(to).plus(kept)
}

/// cel-go's own costs.
fn standard(coster: &mut Coster<'_>, id: &str, target: Option<&Expr>, args: &[Expr]) -> Costed {
    match (id, target, args) {
        ("string_format", Some(target), _) => {
            Costed::new(coster.size_or_unknown(target).scaled(TRAVERSAL))
        }
        ("string_to_bytes", _, [arg]) => {
            let size = coster.size_or_unknown(arg);
            let result = Estimate::new(size.min, size.max.wrapping_mul(4));
            Costed::new(size.scaled(TRAVERSAL)).with_size(result)
        }
        ("bytes_to_string", _, [arg]) => {
            let size = coster.size_or_unknown(arg);
            Costed::new(size.scaled(TRAVERSAL)).with_size(Estimate::new(size.min / 4, size.max))
        }
        ("strings_quote", _, [arg]) => {
            let size = coster.size_or_unknown(arg);
            let most = size.max.wrapping_mul(2).wrapping_add(2);
            Costed::new(size.scaled(TRAVERSAL)).with_size(Estimate::new(size.min + 2, most))
        }
        ("starts_with_string" | "ends_with_string", _, [arg]) => {
            Costed::new(coster.size_or_unknown(arg).scaled(TRAVERSAL))
        }
        ("in_list", _, [_, list]) => Costed::new(coster.size_or_unknown(list).scaled(1.0)),
        ("matches_string", Some(target), [pattern]) => {
            let text = coster.size_or_unknown(target).plus(Estimate::fixed(1)).scaled(TRAVERSAL);
            let pattern = coster.size_or_unknown(pattern).scaled(PATTERN);
            Costed::new(text.times(pattern))
        }
        ("contains_string", Some(target), [part]) => {
            let text = coster.size_or_unknown(target).scaled(TRAVERSAL);
            Costed::new(text.times(coster.size_or_unknown(part).scaled(TRAVERSAL)))
        }
        ("add_list", _, [a, b]) => {
            one().with_size(coster.size_or_unknown(a).plus(coster.size_or_unknown(b)))
        }
        ("add_string" | "add_bytes", _, [a, b]) => {
            let size = coster.size_or_unknown(a).plus(coster.size_or_unknown(b));
            Costed::new(size.scaled(TRAVERSAL)).with_size(size)
        }
        (
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes"
            | "equals"
            | "not_equals",
            _,
            [a, b],
        ) => {
            let most = coster.size_or_unknown(a).max.min(coster.size_or_unknown(b).max);
            Costed::new(Estimate::new(u64::from(most > 0), most).scaled(TRAVERSAL))
        }
        _ => one(),
    }
}
