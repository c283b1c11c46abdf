//! Signatures as the tables write them.

use super::{Overload, Row};
use crate::types::Type;

/// The types that have an order.
const COMPARABLE: [&str; 8] =
    ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];

/// A row, or as many as there are types with an order if `$` stands for one of them in it.
pub(super) fn overloads(row: Row) -> Vec<Overload> {
    let (_, id, signature, _) = row;
    if !id.contains('$') {
        return vec![overload(row, id, signature)];
    }
    let of = |ty: &&str| {
        let id = id.replace('$', ty);
        overload(row, id.leak(), &signature.replace('$', ty))
    };
    COMPARABLE.iter().map(of).collect()
}

fn overload((name, _, _, function): Row, id: &'static str, signature: &str) -> Overload {
    let any = signature.starts_with('!');
    let signature = signature.trim_start_matches('!');
    let member = signature.starts_with('.');
    let signature = signature.trim_start_matches('.');
    let (params, result) = signature.rsplit_once(" -> ").unwrap_or((signature, "dyn"));
    let params = params.trim_start_matches('(');
    let params = params.strip_suffix(')').unwrap_or(params);
    Overload {
        name,
        id,
        member,
        params: split(params).into_iter().map(ty).collect(),
        result: ty(result),
        function,
        any,
    }
}

/// The parts between commas that no parenthesis holds.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

fn ty(text: &str) -> Type {
    if let Some((name, inner)) = text.split_once('(') {
        let inner = split(inner.strip_suffix(')').unwrap_or(inner));
        let mut inner = inner.into_iter().map(ty);
        let mut next = || inner.next().unwrap_or(Type::Error);
        return match name {
            "list" => Type::list(next()),
            "map" => Type::map(next(), next()),
            "optional" => Type::optional(next()),
            _ => Type::Type(Some(next().into())),
        };
    }
    match text {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "type" => Type::Type(None),
        _ => match text.chars().next() {
            Some(letter) if text.len() == 1 => Type::Letter(letter),
            _ => OPAQUE
                .iter()
                .find(|name| name.rsplit('.').next() == Some(text))
                .map_or(Type::Error, |name| Type::Opaque(name)),
        },
    }
}

/// The types of libraries; tables name them by their last part.
pub(crate) const OPAQUE: &[&str] = &[
    "kubernetes.URL",
    "kubernetes.Quantity",
    "kubernetes.Semver",
    "kubernetes.NamedFormat",
    "kubernetes.authorization.Authorizer",
    "kubernetes.authorization.PathCheck",
    "kubernetes.authorization.GroupCheck",
    "kubernetes.authorization.ResourceCheck",
    "kubernetes.authorization.Decision",
    "net.IP",
    "net.CIDR",
];

#[cfg(test)]
mod tests {
    use crate::functions::Functions;
    use crate::types::Type;

    /// No signature names a type that there is not, and no id comes twice.
    #[test]
    fn tables_are_read_whole() {
        let overloads = &Functions::get().overloads;
        let mut ids = std::collections::BTreeSet::new();
        for overload in overloads {
            for ty in overload.params.iter().chain([&overload.result]) {
                assert!(!matches!(ty, Type::Error), "{}", overload.id);
            }
            assert!(ids.insert(overload.id), "{}", overload.id);
        }
        assert!(overloads.len() > 200, "{}", overloads.len());
    }
}
