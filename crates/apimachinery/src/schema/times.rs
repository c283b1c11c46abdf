//! Times that were never set: Go holds them by value and writes `null`, where other fields are left
//! out.

use serde_json::Value;

use super::model::{Field, Shape, Type};

/// Gives an object of type `ty` the nulls that Go would write.
pub fn write_null_times(ty: &Type, object: &mut Value) {
    let Value::Object(map) = object else { return };
    for field in &ty.fields {
        match map.get_mut(&field.name) {
            Some(value) => descend(&field.shape, value),
            None if is_time_by_value(field) => drop(map.insert(field.name.clone(), Value::Null)),
            None => {}
        }
    }
}

pub(crate) fn is_time_by_value(field: &Field) -> bool {
    matches!(field.shape, Shape::Time | Shape::MicroTime) && !field.omit_empty && !field.pointer
}

fn descend(shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Object(ty), value) => write_null_times(ty, value),
        (Shape::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| descend(&list.item, item));
        }
        (Shape::Map(map), Value::Object(entries)) => {
            entries.values_mut().for_each(|value| descend(&map.value, value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Registry;

    #[test]
    fn only_times_by_value_are_null() {
        let mut pod = json!({
            "metadata": {"name": "p", "managedFields": [{"manager": "m"}]},
            "status": {
                "conditions": [{"type": "Ready"}, {"type": "X", "lastProbeTime": "t"}],
                "containerStatuses": [{"name": "c", "state": {"running": {}}}],
            },
        });
        write_null_times(Registry::builtin().lookup("", "v1", "Pod").unwrap(), &mut pod);
        assert_eq!(
            pod,
            json!({
                "metadata": {"name": "p", "managedFields": [{"manager": "m"}]},
                "status": {
                    "conditions": [
                        {"type": "Ready", "lastProbeTime": null, "lastTransitionTime": null},
                        {"type": "X", "lastProbeTime": "t", "lastTransitionTime": null},
                    ],
                    "containerStatuses": [{"name": "c", "state": {"running": {"startedAt": null}}}],
                },
            })
        );
    }
}
