//! Ownership of a workload's replicas, as its Scale shows it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::managers::{Id, Managers, Operation, Owned};
use super::set::FieldSet;

const SCALE: &str = "autoscaling/v1";
/// The replicas of a Scale.
const REPLICAS: &str = "spec.replicas";

fn field(path: &[&str]) -> FieldSet {
    FieldSet::of_fields(&[&path.join(".")])
}

fn encode(managers: &Managers) -> Value {
    if managers.is_empty() { Value::Null } else { managers.encode() }
}

/// The identity of a manager without the version it writes.
type Who = (String, Operation, String);

fn who(id: &Id) -> Who {
    (id.manager.clone(), id.operation, id.subresource.clone())
}

fn in_version(id: &Id, version: &str) -> Id {
    let api_version = match id.operation {
        Operation::Apply => String::new(),
        Operation::Update => version.to_owned(),
    };
    Id { api_version, ..id.clone() }
}

/// The `managedFields` of a Scale: the owners of the workload's replicas own its replicas.
#[must_use]
pub fn scale_managers(workload: Option<&Value>, replicas: &[&str]) -> Value {
    let (own, of_scale) = (field(replicas), FieldSet::of_fields(&[REPLICAS]));
    let managers = Managers::decode(workload).unwrap_or_default();
    let owners = managers.0.iter().filter(|(_, o)| !o.fields.intersection(&own).is_empty());
    let scale = owners.map(|(id, owned)| {
        let owned = Owned {
            api_version: SCALE.to_owned(),
            fields: of_scale.clone(),
            time: owned.time.clone(),
        };
        (in_version(id, SCALE), owned)
    });
    encode(&Managers(scale.collect()))
}

/// The `managedFields` of a workload of `version` after a write of its Scale: the owners of the
/// replicas in the Scale become the only owners of the replicas in the workload.
#[must_use]
pub fn workload_managers(
    workload: Option<&Value>,
    scale: Option<&Value>,
    version: &str,
    replicas: &[&str],
) -> Value {
    let (own, of_scale) = (field(replicas), FieldSet::of_fields(&[REPLICAS]));
    let before = Managers::decode(workload).unwrap_or_default();
    let scale = Managers::decode(scale).unwrap_or_default();
    let mut owners: BTreeMap<Who, (Id, Owned)> = scale
        .0
        .into_iter()
        .filter(|(_, owned)| !owned.fields.intersection(&of_scale).is_empty())
        .map(|(id, owned)| (who(&id), (id, owned)))
        .collect();
    let mut after = Managers::default();
    for (id, mut owned) in before.0 {
        let had = !owned.fields.intersection(&own).is_empty();
        if had && owners.remove(&who(&id)).is_none() {
            owned.fields = owned.fields.difference(&own);
        }
        if !owned.fields.is_empty() {
            after.0.insert(id, owned);
        }
    }
    // A new owner has no time here, because upstream looks it up before it is known.
    for (id, _) in owners.into_values() {
        let entry = after.0.entry(in_version(&id, version)).or_insert_with(|| Owned {
            api_version: version.to_owned(),
            fields: FieldSet::default(),
            time: String::new(),
        });
        entry.fields = std::mem::take(&mut entry.fields).union(&own);
    }
    encode(&after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(manager: &str, operation: &str, version: &str, sub: &str, fields: Value) -> Value {
        let mut entry = json!({
            "manager": manager, "operation": operation, "apiVersion": version,
            "fieldsType": "FieldsV1", "fieldsV1": fields, "time": "2024-01-01T00:00:00Z",
        });
        if !sub.is_empty() {
            entry["subresource"] = sub.into();
        }
        entry
    }

    #[test]
    fn replicas_change_hands_through_the_scale() {
        let spec = json!({"f:spec": {"f:replicas": {}, "f:paused": {}}});
        let only = json!({"f:spec": {"f:replicas": {}}});
        let rest = json!({"f:spec": {"f:paused": {}}});
        let workload = json!([
            entry("a", "Apply", "apps/v1", "", spec.clone()),
            entry("b", "Update", "apps/v1", "", rest.clone()),
        ]);
        let scale = scale_managers(Some(&workload), &["spec", "replicas"]);
        assert_eq!(scale, json!([entry("a", "Apply", SCALE, "", only.clone())]));
        // No change of ownership.
        assert_eq!(
            workload_managers(Some(&workload), Some(&scale), "apps/v1", &["spec", "replicas"]),
            workload
        );
        // Another manager takes them; its entry has no time.
        let taken = json!([entry("c", "Apply", SCALE, "scale", only.clone())]);
        let mut taker = entry("c", "Apply", "apps/v1", "scale", only);
        taker.as_object_mut().unwrap().remove("time");
        assert_eq!(
            workload_managers(Some(&workload), Some(&taken), "apps/v1", &["spec", "replicas"]),
            json!([
                taker,
                entry("a", "Apply", "apps/v1", "", rest.clone()),
                entry("b", "Update", "apps/v1", "", rest),
            ])
        );
    }
}
