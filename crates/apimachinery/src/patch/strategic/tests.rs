use super::*;
use crate::schema::Registry;
use serde_json::json;

fn merged(kind: (&str, &str), original: Value, patch: Value) -> Result<Value, Status> {
    let ty = Registry::builtin().lookup(kind.0, "v1", kind.1).unwrap();
    merge(original, patch, ty)
}

fn pod(spec: Value) -> Value {
    json!({ "spec": spec })
}

#[test]
fn lists_merge_by_key() {
    let c = |name: &str, image: &str| json!({"name": name, "image": image});
    let original = pod(json!({
        "containers": [c("a", "1"), c("b", "1")],
        "tolerations": [{"key": "x"}],
        "nodeSelector": {"k": "v", "l": "w"},
    }));
    let table = [
        (
            "items are merged where they are, new ones come first as upstream weaves them",
            json!({"containers": [{"name": "b", "image": "2"}, c("c", "3")]}),
            json!([c("a", "1"), c("b", "2"), c("c", "3")]),
        ),
        (
            "delete",
            json!({"containers": [{"$patch": "delete", "name": "a"}]}),
            json!([c("b", "1")]),
        ),
        (
            "replace",
            json!({"containers": [{"$patch": "replace"}, c("z", "9")]}),
            json!([c("z", "9")]),
        ),
        (
            "order",
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!([c("b", "1"), c("a", "1")]),
        ),
        (
            "order and change",
            json!({
                "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                "containers": [c("c", "1")],
            }),
            json!([c("c", "1"), c("a", "1"), c("b", "1")]),
        ),
        ("null", json!({"containers": null}), json!(null)),
    ];
    for (what, patch, containers) in table {
        let result = merged(("", "Pod"), original.clone(), pod(patch)).unwrap();
        assert_eq!(result["spec"]["containers"], containers, "{what}");
        assert_eq!(result["spec"]["nodeSelector"], json!({"k": "v", "l": "w"}));
    }
    let patch = pod(json!({"tolerations": [{"key": "y"}], "nodeSelector": {"k": null, "m": "n"}}));
    let result = merged(("", "Pod"), original, patch).unwrap();
    assert_eq!(result["spec"]["tolerations"], json!([{"key": "y"}]));
    assert_eq!(result["spec"]["nodeSelector"], json!({"l": "w", "m": "n"}));
}

#[test]
fn scalars_merge_as_sets() {
    let object = |f: Value| json!({"metadata": {"finalizers": f}});
    let original = object(json!(["a", "b"]));
    let result = merged(("", "Pod"), original.clone(), object(json!(["c", "a"]))).unwrap();
    assert_eq!(result, object(json!(["c", "a", "b"])));
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    let result = merged(("", "Pod"), original.clone(), patch).unwrap();
    assert_eq!(result, object(json!(["b"])));
    let patch = json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["a"],
        "$setElementOrder/finalizers": ["c", "b"],
        "finalizers": ["c"],
    }});
    let result = merged(("", "Pod"), original, patch).unwrap();
    assert_eq!(result, object(json!(["c", "b"])));
}

#[test]
fn maps_obey_their_directives() {
    let original =
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let result = merged(("apps", "Deployment"), original.clone(), patch).unwrap();
    assert_eq!(result["spec"]["strategy"], json!({"type": "Recreate"}));

    let patch = json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}});
    let result = merged(("apps", "Deployment"), original.clone(), patch).unwrap();
    assert_eq!(result["spec"]["strategy"], json!({"type": "Recreate"}));

    let patch = json!({"spec": {"strategy": {"$patch": "delete"}}});
    let result = merged(("apps", "Deployment"), original.clone(), patch).unwrap();
    assert_eq!(result["spec"]["strategy"], json!({}));

    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}});
    let error = merged(("apps", "Deployment"), original.clone(), patch).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (400, "invalid patch format of retainKeys"));

    let patch = json!({"spec": {"strategy": {"$patch": "frob"}}});
    let error = merged(("apps", "Deployment"), original, patch).unwrap_err();
    assert_eq!(error.message, "unknown patch type: frob in map: map[$patch:frob]");
}

#[test]
fn absent_targets_take_the_patch_without_its_directives() {
    let patch = pod(json!({
        "containers": [{"name": "a", "env": [{"name": "x", "$patch": "delete"}, {"name": "y", "value": null}]}],
        "securityContext": {"$patch": "delete"},
    }));
    let result = merged(("", "Pod"), json!({}), patch).unwrap();
    assert_eq!(result, pod(json!({"containers": [{"name": "a", "env": [{"name": "y"}]}]})));
}

#[test]
fn items_need_their_merge_key() {
    let original = pod(json!({"containers": [{"name": "a"}]}));
    let error =
        merged(("", "Pod"), original, pod(json!({"containers": [{"image": "x"}]}))).unwrap_err();
    assert_eq!(error.message, "map: map[image:x] does not contain declared merge key: name");
}
