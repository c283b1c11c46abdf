//! Which objects a quota is about.

use serde_json::Value;

use apimachinery::ObjectExt;

/// One condition on the objects of a quota.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `BestEffort`, `PriorityClass` and so on.
    pub name: &'a str,
    operator: &'a str,
    values: &'a Value,
}

impl<'a> Scope<'a> {
    pub(super) fn of_requirement(requirement: &'a Value) -> Self {
        Self {
            name: requirement.str_at(&["scopeName"]),
            operator: requirement.str_at(&["operator"]),
            values: &requirement["values"],
        }
    }

    /// Returns true if the scope selects this value, `None` being its absence.
    #[must_use]
    pub fn selects(&self, value: Option<&str>) -> bool {
        let listed = || {
            let mut values = self.values.as_array().into_iter().flatten();
            value.is_some_and(|value| values.any(|v| v == value))
        };
        match self.operator {
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "In" => listed(),
            "NotIn" => !listed(),
            _ => false,
        }
    }
}

/// The scopes of a quota, from its list and its selector.
pub(super) fn of(quota: &Value) -> impl Iterator<Item = Scope<'_>> {
    let list = |path: &[&str]| quota.get_path(path).and_then(Value::as_array).into_iter().flatten();
    let plain = list(&["spec", "scopes"]).filter_map(Value::as_str);
    let plain = plain.map(|name| Scope { name, operator: "Exists", values: &Value::Null });
    let selected = list(&["spec", "scopeSelector", "matchExpressions"]).map(Scope::of_requirement);
    plain.chain(selected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operators_select_as_in_label_selectors() {
        let quota = json!({"spec": {
            "scopes": ["BestEffort"],
            "scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
                {"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]},
                {"scopeName": "PriorityClass", "operator": "DoesNotExist"},
                {"scopeName": "PriorityClass", "operator": "Like"},
            ]},
        }});
        let selects = |value| of(&quota).map(|scope| scope.selects(value)).collect::<Vec<_>>();
        assert_eq!(selects(Some("high")), [true, true, false, false, false]);
        assert_eq!(selects(Some("low")), [true, false, true, false, false]);
        assert_eq!(selects(None), [false, false, true, true, false]);
        assert_eq!(of(&quota).next().unwrap().name, "BestEffort");
    }
}
