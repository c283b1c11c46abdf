use super::*;
use crate::schema::Registry;

fn ty(group: &str, kind: &str) -> &'static Arc<Type> {
    Registry::builtin().lookup(group, "v1", kind).unwrap()
}

const NOW: &str = "2024-01-01T00:00:00Z";
const LATER: &str = "2024-01-02T00:00:00Z";

fn writer(manager: &'static str) -> Writer<'static> {
    Writer { manager, api_version: "apps/v1", now: NOW, ..Writer::default() }
}

fn deployment(spec: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"}, "spec": spec,
    })
}

fn applied(live: Option<&Value>, config: Value, manager: &'static str) -> Result<Value, Status> {
    apply(ty("apps", "Deployment"), live, &deployment(config), &writer(manager), false)
}

/// The object as the API server would have stored it.
fn stored(mut object: Value) -> Value {
    object.set_meta("uid", json!("1"));
    object
}

fn fields_of<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let entry = entries.iter().find(|e| e["manager"] == manager);
    entry.map_or(&Value::Null, |e| &e["fieldsV1"])
}

fn container(name: &str, image: &str) -> Value {
    json!({"name": name, "image": image})
}

fn pod_spec(containers: Value) -> Value {
    json!({"template": {"spec": {"containers": containers}}})
}

#[test]
fn fields_v1_round_trips() {
    let fields = json!({
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
            "f:finalizers": {"v:\"x\"": {}},
        },
    });
    let set = FieldSet::from_fields_v1(&fields).unwrap();
    assert_eq!(set.to_fields_v1(), fields);
    let spaced = json!({"k:{ \"protocol\": \"TCP\", \"port\": 80 }": {}});
    let set = FieldSet::from_fields_v1(&spaced).unwrap();
    assert_eq!(set.to_fields_v1(), json!({"k:{\"port\":80,\"protocol\":\"TCP\"}": {}}));
    assert!(FieldSet::from_fields_v1(&json!({"x": {}})).is_err());
}

#[test]
fn apply_records_what_it_sets() {
    let config = json!({
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{
                "name": "c", "image": "x", "ports": [{"containerPort": 80}], "args": ["1", "2"],
            }]},
        },
    });
    let object = applied(None, config, "me").unwrap();
    assert_eq!(
        object["metadata"]["managedFields"],
        json!([{
            "manager": "me", "operation": "Apply", "apiVersion": "apps/v1", "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:a": {}}},
                    "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                            ".": {}, "f:containerPort": {},
                        }},
                    }}},
                },
            }},
        }])
    );
}

#[test]
fn updates_record_what_they_change() {
    let mut object = deployment(json!({
        "replicas": 1, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container("c", "x")]}},
    }));
    let deployment = ty("apps", "Deployment");
    update_managers(deployment, None, &mut object, &writer("kubectl-create"));
    assert_eq!(
        *fields_of(&object, "kubectl-create"),
        json!({"f:spec": {
            "f:replicas": {},
            "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                    ".": {}, "f:name": {}, "f:image": {}, "f:resources": {},
                }}},
            },
        }})
    );

    let live = stored(object);
    let mut new = live.clone();
    new["spec"]["replicas"] = json!(2);
    let scaler = Writer { subresource: "scale", now: LATER, ..writer("scaler") };
    update_managers(deployment, Some(&live), &mut new, &scaler);
    assert_eq!(*fields_of(&new, "scaler"), json!({"f:spec": {"f:replicas": {}}}));
    assert!(fields_of(&new, "kubectl-create")["f:spec"].get("f:replicas").is_none());
    let entries = new["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries[1]["subresource"], "scale");
    assert_eq!((&entries[0]["time"], &entries[1]["time"]), (&json!(NOW), &json!(LATER)));

    let before = new.clone();
    update_managers(deployment, Some(&before), &mut new, &Writer { now: "x", ..writer("other") });
    assert_eq!(new, before, "an update that changes nothing records nothing");
}

#[test]
fn appliers_conflict_unless_forced_or_agreed() {
    let live = stored(applied(None, json!({"replicas": 1}), "a").unwrap());
    let error = applied(Some(&live), json!({"replicas": 2}), "b").unwrap_err();
    assert_eq!(error.code, 409);
    assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
    let causes = &error.details.unwrap().causes;
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].field, ".spec.replicas");

    let both = applied(Some(&live), json!({"replicas": 1}), "b").unwrap();
    assert_eq!(fields_of(&both, "a"), fields_of(&both, "b"));

    let config = deployment(json!({"replicas": 2}));
    let forced = apply(ty("apps", "Deployment"), Some(&live), &config, &writer("b"), true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(*fields_of(&forced, "a"), Value::Null, "a owns nothing any more and is gone");
}

#[test]
fn conflicts_with_updaters_name_their_version() {
    let mut object = deployment(json!({"replicas": 1, "paused": true}));
    update_managers(ty("apps", "Deployment"), None, &mut object, &writer("kubectl"));
    let live = stored(object);
    let error = applied(Some(&live), json!({"replicas": 2}), "b").unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas"
    );
    let error = applied(Some(&live), json!({"replicas": 2, "paused": false}), "b").unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1:\n\
         - .spec.paused\n- .spec.replicas"
    );
}

#[test]
fn what_is_no_longer_applied_goes_unless_shared() {
    let first = json!({"replicas": 1, "paused": true, "minReadySeconds": 3});
    let live = stored(applied(None, first, "a").unwrap());
    let live = applied(Some(&live), json!({"paused": true}), "b").unwrap();
    let next = applied(Some(&live), json!({"replicas": 1}), "a").unwrap();
    assert_eq!(next["spec"], json!({"replicas": 1, "paused": true}));

    let containers = json!([container("x", "1"), container("y", "1")]);
    let live = stored(applied(None, pod_spec(containers), "a").unwrap());
    let mut defaulted = live.clone();
    defaulted["spec"]["template"]["spec"]["containers"][1]["terminationMessagePath"] =
        json!("/dev");
    let one = pod_spec(json!([container("x", "1")]));
    let next = applied(Some(&defaulted), one, "a").unwrap();
    assert_eq!(
        next["spec"]["template"]["spec"]["containers"],
        json!([container("x", "1")]),
        "what nobody owns goes with the item it belongs to"
    );
    let gone = applied(Some(&live), json!({"replicas": 1}), "a").unwrap();
    assert_eq!(gone["spec"], json!({"replicas": 1}));
}

#[test]
fn unowned_neighbours_stay() {
    let live = stored(applied(None, json!({"replicas": 1, "paused": true}), "a").unwrap());
    let mut live = live;
    live["spec"]["progressDeadlineSeconds"] = json!(600);
    let next = applied(Some(&live), json!({"replicas": 1}), "a").unwrap();
    assert_eq!(next["spec"], json!({"replicas": 1, "progressDeadlineSeconds": 600}));
}

#[test]
fn lists_merge_by_identity_and_keep_order() {
    let live = stored(
        applied(None, pod_spec(json!([container("a", "1"), container("b", "1")])), "one").unwrap(),
    );
    let more = pod_spec(json!([container("c", "1"), container("b", "1")]));
    let next = applied(Some(&live), more, "two").unwrap();
    let names: Vec<_> = next["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "c", "b"]);
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let config = json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}});
    let live = stored(applied(None, config.clone(), "a").unwrap());
    let later = Writer { now: LATER, ..writer("a") };
    let deployed = deployment(config);
    let again = apply(ty("apps", "Deployment"), Some(&live), &deployed, &later, false).unwrap();
    assert_eq!(again, live);
}

#[test]
fn the_first_apply_gives_the_past_an_owner() {
    let live = stored(deployment(json!({"replicas": 1})));
    let error = applied(Some(&live), json!({"replicas": 2}), "a").unwrap_err();
    assert!(error.message.contains("\"before-first-apply\" using apps/v1"), "{}", error.message);
}

#[test]
fn kubectl_takes_over_from_its_client_side_self() {
    let last = deployment(json!({"replicas": 1, "paused": true})).to_string();
    let mut object = deployment(json!({"replicas": 1, "paused": true}));
    object.set_path(&["metadata", "annotations", LAST_APPLIED], last.into());
    update_managers(
        ty("apps", "Deployment"),
        None,
        &mut object,
        &writer("kubectl-client-side-apply"),
    );
    let live = stored(object);
    let next = applied(Some(&live), json!({"replicas": 2, "paused": true}), "kubectl").unwrap();
    assert_eq!(next["spec"]["replicas"], 2);
    let annotation = next.annotation(LAST_APPLIED).unwrap();
    assert!(annotation.contains("\"replicas\":2"));
    assert_eq!(applied(Some(&live), json!({"replicas": 2}), "x").unwrap_err().code, 409);
}

#[test]
fn misfits_are_refused() {
    let error = applied(None, json!({"bad": 1}), "a").unwrap_err();
    assert_eq!(
        error.message,
        "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.bad: \
         field not declared in schema"
    );
    let twice = pod_spec(json!([container("a", "1"), container("a", "2")]));
    let error = applied(None, twice, "a").unwrap_err();
    assert!(error.message.contains("duplicate entries for key [name=\"a\"]"), "{}", error.message);
    let mut config = deployment(json!({}));
    config.set_meta("managedFields", json!([]));
    let error = apply(ty("apps", "Deployment"), None, &config, &writer("a"), false).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (400, "metadata.managedFields must be nil"));
    config["apiVersion"] = json!("apps/v2");
    let error = apply(ty("apps", "Deployment"), None, &config, &writer("a"), false).unwrap_err();
    assert_eq!(error.message, "invalid object type: apps/v2, Kind=Deployment");
}

#[test]
fn items_without_a_key_that_has_no_default_have_no_owner() {
    let account = |secrets: Value| {
        let mut account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "secrets": secrets});
        let writer = Writer { api_version: "v1", ..writer("a") };
        update_managers(ty("", "ServiceAccount"), None, &mut account, &writer);
        account.get_path(&["metadata", "managedFields"]).cloned()
    };
    assert!(account(json!([{"name": "s"}])).is_some());
    assert_eq!(account(json!([{}])), None);
    // A name that Go never omits is empty.
    let config = pod_spec(json!([{"image": "i"}]));
    let result = applied(None, config, "a").unwrap();
    let containers = &result["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers, &json!([{"image": "i"}]));
}

#[test]
fn a_null_leaves_what_can_be_taken_apart() {
    let live = applied(None, json!({"strategy": {"rollingUpdate": {"maxSurge": 1}}}), "a");
    let config = json!({"strategy": {"type": "Recreate", "rollingUpdate": null}});
    let result = applied(Some(&live.unwrap()), config, "b").unwrap();
    assert_eq!(result["spec"]["strategy"]["rollingUpdate"], json!({"maxSurge": 1}));
}

#[test]
fn an_empty_list_that_go_shows_is_owned() {
    let mut role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [],
    });
    let writer = Writer { api_version: "rbac.authorization.k8s.io/v1", ..writer("a") };
    update_managers(ty("rbac.authorization.k8s.io", "Role"), None, &mut role, &writer);
    let fields = &role["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(fields, &json!({"f:rules": {}}));
}

#[test]
fn raw_data_is_owned_as_a_whole() {
    let mut revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"a": {"b": 1}},
    });
    update_managers(ty("apps", "ControllerRevision"), None, &mut revision, &writer("a"));
    let fields = &revision["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(fields, &json!({"f:data": {}}));
}

#[test]
fn reset_fields_are_not_owned() {
    let mut config = deployment(json!({"replicas": 1}));
    config["status"] = json!({"replicas": 3});
    let writer = Writer { reset_fields: &["status"], ..writer("a") };
    let object = apply(ty("apps", "Deployment"), None, &config, &writer, false).unwrap();
    assert_eq!(*fields_of(&object, "a"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn clients_may_reset_managers_but_not_lose_them() {
    let live = stored(applied(None, json!({"replicas": 1}), "a").unwrap());
    let deployment = ty("apps", "Deployment");
    let mut new = live.clone();
    new.set_meta("managedFields", Value::Null);
    new["spec"]["paused"] = json!(true);
    update_managers(deployment, Some(&live), &mut new, &writer("u"));
    assert_eq!(*fields_of(&new, "a"), json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(*fields_of(&new, "u"), json!({"f:spec": {"f:paused": {}}}));

    let mut new = live.clone();
    new.set_meta("managedFields", json!([]));
    update_managers(deployment, Some(&live), &mut new, &writer("u"));
    assert!(new["metadata"].get("managedFields").is_none());
}

#[test]
fn old_updaters_are_folded_into_one() {
    let config_map = ty("", "ConfigMap");
    let names: Vec<String> = (0..13).map(|i| format!("m{i:02}")).collect();
    let mut live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    for (i, name) in names.iter().enumerate() {
        let now = format!("2024-01-01T00:00:{i:02}Z");
        let mut new = live.clone();
        new.set_path(&["data", name], json!("v"));
        let writer = Writer { manager: name, api_version: "v1", now: &now, ..Writer::default() };
        update_managers(config_map, (i > 0).then_some(&live), &mut new, &writer);
        live = stored(new);
    }
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    let ancient = fields_of(&live, "ancient-changes");
    assert!(ancient["f:data"].get("f:m00").is_some() && ancient["f:data"].get("f:m03").is_some());
    assert_eq!(*fields_of(&live, "m12"), json!({"f:data": {"f:m12": {}}}));
}
