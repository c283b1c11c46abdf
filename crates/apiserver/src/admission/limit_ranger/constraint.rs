//! Checks one item of a limit range against an object's resources.

use apimachinery::ObjectExt;
use apimachinery::quantity::Quantity;
use rules::resources::Amounts;
use serde_json::Value;

/// Findings about an object with requests and limits.
pub(super) fn check(limit: &Value, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let subject = Subject { of: limit.str_at(&["type"]), requests, limits: Some(limits) };
    let mut errors = subject.bounds(limit);
    errors.extend(each(limit, "maxLimitRequestRatio", |name, bound| subject.ratio(name, bound)));
    errors
}

/// Findings about an object with requests only.
pub(super) fn check_requests(limit: &Value, requests: &Amounts) -> Vec<String> {
    Subject { of: limit.str_at(&["type"]), requests, limits: None }.bounds(limit)
}

/// The findings of a rule about each amount in a list of the item.
fn each(limit: &Value, list: &str, rule: impl Fn(&str, Quantity) -> Option<String>) -> Vec<String> {
    Amounts::read(&limit[list]).iter().filter_map(|(name, bound)| rule(name, bound)).collect()
}

struct Subject<'a> {
    /// `Container`, `Pod` or `PersistentVolumeClaim`.
    of: &'a str,
    requests: &'a Amounts,
    /// `None` if the object has no limits.
    limits: Option<&'a Amounts>,
}

impl Subject<'_> {
    fn bounds(&self, limit: &Value) -> Vec<String> {
        let mut errors = each(limit, "min", |name, bound| self.min(name, bound));
        errors.extend(each(limit, "max", |name, bound| self.max(name, bound)));
        errors
    }

    fn amounts(&self, name: &str) -> (Option<Quantity>, Option<Quantity>) {
        (self.requests.get(name), self.limits.and_then(|limits| limits.get(name)))
    }

    fn min(&self, name: &str, bound: Quantity) -> Option<String> {
        let so = format!("minimum {name} usage per {} is {bound}", self.of);
        match self.amounts(name) {
            (None, _) => Some(format!("{so}.  No request is specified")),
            (Some(request), _) if request < bound => {
                Some(format!("{so}, but request is {request}"))
            }
            (_, Some(limit)) if limit < bound => Some(format!("{so}, but limit is {limit}")),
            _ => None,
        }
    }

    fn max(&self, name: &str, bound: Quantity) -> Option<String> {
        let so = format!("maximum {name} usage per {} is {bound}", self.of);
        match self.amounts(name) {
            (_, None) if self.limits.is_some() => Some(format!("{so}.  No limit is specified")),
            (None, None) => Some(format!("{so}.  No request is specified")),
            (_, Some(limit)) if limit > bound => Some(format!("{so}, but limit is {limit}")),
            (Some(request), _) if request > bound => {
                Some(format!("{so}, but request is {request}"))
            }
            _ => None,
        }
    }

    fn ratio(&self, name: &str, bound: Quantity) -> Option<String> {
        let so = format!("{name} max limit to request ratio per {} is {bound}", self.of);
        let (request, limit) = self.amounts(name);
        let Some(request) = request.filter(|request| !request.is_zero()) else {
            return Some(format!("{so}, but no request is specified or request is 0"));
        };
        let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
            return Some(format!("{so}, but no limit is specified or limit is 0"));
        };
        let ratio = limit.as_f64() / request.as_f64();
        (ratio > bound.as_f64()).then(|| format!("{so}, but provided ratio is {ratio:.6}"))
    }
}
