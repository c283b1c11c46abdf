//! Merges tolerations without those that another one covers.

use apimachinery::ObjectExt;
use serde_json::Value;

/// The tolerations that are not covered by another; of equal ones the first.
pub(super) fn merge(all: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let before = merged.iter().any(|other| covers(other, one));
        let after = all[i + 1..].iter().any(|other| other != one && covers(other, one));
        if !before && !after {
            merged.push(one.clone());
        }
    }
    merged
}

/// Returns true if `wide` tolerates everything that `narrow` does.
pub(super) fn covers(wide: &Value, narrow: &Value) -> bool {
    let text = |toleration: &Value, field: &str| toleration.str_at(&[field]).to_owned();
    let of_wide = |field| text(wide, field);
    let same = |field| text(wide, field) == text(narrow, field);
    if wide == narrow {
        return true;
    }
    let every_key = of_wide("key").is_empty() && of_wide("operator") == "Exists";
    let every_effect = of_wide("effect").is_empty();
    if !(same("key") || every_key) || !(same("effect") || every_effect) {
        return false;
    }
    if of_wide("effect") == "NoExecute"
        && let Some(most) = wide["tolerationSeconds"].as_i64()
        && narrow["tolerationSeconds"].as_i64().is_none_or(|seconds| seconds > most)
    {
        return false;
    }
    match of_wide("operator").as_str() {
        "Equal" | "" => narrow["operator"] == "Equal" && same("value"),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_widest_stay() {
        let exists = json!({"key": "a", "operator": "Exists"});
        let equal = json!({"key": "a", "operator": "Equal", "value": "v"});
        let other = json!({"key": "b", "operator": "Equal", "value": "v"});
        let all = json!({"operator": "Exists"});
        let lasting = |seconds: i64| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        for (given, want) in [
            (vec![&equal, &exists], vec![&exists]),
            (vec![&exists, &equal], vec![&exists]),
            (vec![&equal, &equal], vec![&equal]),
            (vec![&equal, &other], vec![&equal, &other]),
            (vec![&equal, &other, &all], vec![&all]),
            (vec![&lasting(5), &lasting(9)], vec![&lasting(9)]),
        ] {
            let given: Vec<Value> = given.into_iter().cloned().collect();
            assert_eq!(merge(&given).iter().collect::<Vec<_>>(), want);
        }
    }
}
