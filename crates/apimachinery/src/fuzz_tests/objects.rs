//! Patches and applied configurations.

use serde_json::{Value, json};

use super::objects;
use crate::apply::{FieldSet, Writer, apply, extract_set, update_managers};
use crate::object::ObjectExt;
use crate::patch::{json_patch, merge_patch, strategic};
use crate::schema::Registry;

#[test]
fn json_patches_are_carried_out_or_refused() {
    let target = &objects()[0];
    let seeds = [
        json!([
            {"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "n"}},
            {"op": "remove", "path": "/metadata/labels/a"},
            {"op": "replace", "path": "/spec/replicas", "value": 5},
            {"op": "test", "path": "/spec/replicas", "value": 5},
        ]),
        json!([
            {"op": "move", "from": "/metadata/labels", "path": "/metadata/annotations"},
            {"op": "copy", "from": "/spec", "path": "/spec/template/spec/volumes/-"},
            {"op": "copy", "from": "/spec", "path": "/spec/template/spec/volumes/-1"},
        ]),
    ];
    fuzz::values(&seeds, |patch| json_patch(&mut target.clone(), patch).is_ok());
}

#[test]
fn merge_patches_settle() {
    let target = &objects()[0];
    fuzz::values(&objects(), |patch| {
        let mut once = target.clone();
        merge_patch(&mut once, patch);
        // Nulls in a list that replaced another type only disappear when it is merged into itself.
        let mut twice = once.clone();
        merge_patch(&mut twice, patch);
        let mut thrice = twice.clone();
        merge_patch(&mut thrice, patch);
        assert_eq!(twice, thrice);
        true
    });
}

#[test]
fn strategic_patches_are_carried_out_or_refused() {
    let ty = Registry::builtin().lookup("apps", "v1", "Deployment").unwrap();
    let target = &objects()[0];
    let mut seeds = objects();
    seeds.push(json!({
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "$setElementOrder/finalizers": ["y"]},
        "spec": {
            "strategy": {"$retainKeys": ["type"], "type": "Recreate"},
            "template": {"spec": {
                "$setElementOrder/containers": [{"name": "d"}, {"name": "c"}],
                "containers": [
                    {"$patch": "delete", "name": "c"},
                    {"name": "d", "ports": [{"$patch": "replace"}, {"containerPort": 1}]},
                ],
                "volumes": [{"$patch": "merge", "name": "v"}],
            }},
        },
    }));
    fuzz::values(&seeds, |patch| strategic::merge(target.clone(), patch.clone(), ty).is_ok());
    // The original may be as malformed as the patch.
    let patch = seeds.pop().unwrap();
    fuzz::values(&seeds, |object| strategic::merge(object.clone(), patch.clone(), ty).is_ok());
}

fn writer(manager: &str) -> Writer<'_> {
    let now = "2024-01-01T00:00:00Z";
    Writer { manager, api_version: "apps/v1", now, ..Writer::default() }
}

#[test]
fn what_is_applied_twice_changes_nothing_the_second_time() {
    let ty = Registry::builtin().lookup("apps", "v1", "Deployment").unwrap();
    let live = &objects()[0];
    let mut config = live.clone();
    config.remove_path(&["metadata", "managedFields"]);
    fuzz::values(&[config], |config| {
        let _ = extract_set(ty, config);
        let Ok(once) = apply(ty, Some(live), config, &writer("other"), true) else { return false };
        let twice = apply(ty, Some(&once), config, &writer("other"), false).unwrap();
        // An item with an empty key is refused when the object is validated.
        let keyed = !once["metadata"]["managedFields"].to_string().contains(r#":\"\""#);
        assert!(once == twice || !keyed, "{once} <> {twice}");
        true
    });
}

#[test]
fn odd_managers_and_live_objects_are_survived() {
    let ty = Registry::builtin().lookup("apps", "v1", "Deployment").unwrap();
    let config = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "z"}]}}},
    });
    let before = &objects()[0];
    fuzz::values(&objects()[..1], |live| {
        let mut new = live.clone();
        update_managers(ty, Some(before), &mut new, &writer("updater"));
        update_managers(ty, Some(live), &mut before.clone(), &writer("updater"));
        apply(ty, Some(live), &config, &writer("me"), true).is_ok()
    });
}

#[test]
fn field_sets_read_back() {
    let seeds: Vec<Value> = vec![
        objects()[0]["metadata"]["managedFields"][0]["fieldsV1"].clone(),
        json!({"f:a": {".": {}, "v:\"x\"": {}, "i:0": {}, "k:{ \"b\": 1, \"a\": null }": {"f:c": {}}}}),
    ];
    fuzz::values(&seeds, |value| {
        let Ok(set) = FieldSet::from_fields_v1(value) else { return false };
        let written = set.to_fields_v1();
        assert_eq!(FieldSet::from_fields_v1(&written).unwrap(), set);
        assert!(set.difference(&set).is_empty());
        assert_eq!(set.clone().union(&set), set);
        true
    });
    fuzz::text(
        &["f:a", "k:{\"port\":80}", "v:1.50", "i:-3"],
        &["k:{", "}", ":", "\"", "f:", "v:", "i:", "{\"a\":[1e5,\"\\u00e9\"]}", ","],
        |text| {
            let Ok(set) = FieldSet::from_fields_v1(&json!({text: {}})) else { return false };
            assert_eq!(FieldSet::from_fields_v1(&set.to_fields_v1()).unwrap(), set);
            true
        },
    );
}
