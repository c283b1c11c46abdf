//! Custom resources, from their definition to their end.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::harness::{Api, Watch};

pub(super) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer"},
            "color": {"type": "string"},
            "replicas": {"type": "integer"},
            "parts": {
                "type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {
                    "name": {"type": "string"}, "n": {"type": "integer"},
                }, "required": ["name"]},
            },
        }},
        "status": {"type": "object", "properties": {
            "ready": {"type": "integer"}, "selector": {"type": "string"},
        }},
    }});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": schema},
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.ready",
                "labelSelectorPath": ".status.selector",
            }},
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            ],
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {
                "plural": "widgets", "singular": "widget", "kind": "Widget",
                "shortNames": ["wd"], "categories": ["all"],
            },
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    })
}

/// Waits until a condition of a definition has a status.
pub(super) async fn until(api: &Api, name: &str, condition: &str, status: &str) -> Value {
    let path = format!("{DEFINITIONS}?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut watch = Watch::open(api, &path).await;
    loop {
        let object = watch.event().await["object"].take();
        let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        if conditions.any(|c| c["type"] == condition && c["status"] == status) {
            return object;
        }
    }
}

/// Deletes an object and waits until it is gone.
async fn delete(api: &Api, collection: &str, name: &str) {
    let path = format!("{collection}?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut watch = Watch::open(api, &path).await;
    api.delete(&format!("{collection}/{name}")).await.ok();
    while watch.event().await["type"] != "DELETED" {}
}

async fn established() -> Api {
    let api = Api::start().await;
    api.post(DEFINITIONS, &definition()).await.ok();
    until(&api, "widgets.example.com", "Established", "True").await;
    api
}

fn widget(name: &str, color: &str) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name},
        "spec": {"size": 3, "color": color, "replicas": 2},
    })
}

#[tokio::test]
async fn a_definition_makes_a_kind() {
    let api = established().await;
    let made = api.post(WIDGETS, &widget("a", "red")).await.ok();
    assert_eq!(
        (made["kind"].as_str(), made["apiVersion"].as_str()),
        (Some("Widget"), Some("example.com/v1"))
    );
    assert_eq!(made["metadata"]["generation"], 1);
    let mut other = api.get("/apis/example.com/v1beta1/namespaces/default/widgets/a").await.ok();
    assert_eq!(other["apiVersion"], "example.com/v1beta1");
    assert_eq!(other["spec"]["size"], 3);
    other["spec"]["size"] = 4.into();
    let path = "/apis/example.com/v1beta1/namespaces/default/widgets/a";
    let changed = api.ask(Method::PUT, path).json(&other).send().await.ok();
    assert_eq!(changed["apiVersion"], "example.com/v1beta1");
    assert_eq!(changed["metadata"]["generation"], 2);
    assert_eq!(api.get(&format!("{WIDGETS}/a")).await.ok()["spec"]["size"], 4);

    let list = api.get("/apis/example.com/v1/widgets").await.ok();
    assert_eq!(
        (list["kind"].as_str(), list["items"][0]["kind"].as_str()),
        (Some("WidgetList"), Some("Widget"))
    );
    let table = api
        .ask(Method::GET, WIDGETS)
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .send()
        .await
        .ok();
    assert_eq!(table["columnDefinitions"][1]["name"], "Size");
    assert_eq!(table["rows"][0]["cells"], json!(["a", 4]));
}

#[tokio::test]
async fn the_status_and_the_scale_have_paths_of_their_own() {
    let api = established().await;
    let mut made = widget("a", "red");
    made["status"] = json!({"ready": 7});
    let mut made = api.post(WIDGETS, &made).await.ok();
    assert_eq!(made.get("status"), None);
    made["status"] = json!({"ready": 1, "selector": "app=a"});
    made["spec"]["size"] = 9.into();
    let path = format!("{WIDGETS}/a/status");
    let told = api.ask(Method::PUT, &path).json(&made).send().await.ok();
    assert_eq!((&told["status"]["ready"], &told["spec"]["size"]), (&json!(1), &json!(3)));
    assert_eq!(told["metadata"]["generation"], 1);
    let scale = api.get(&format!("{WIDGETS}/a/scale")).await.ok();
    assert_eq!(scale["spec"], json!({"replicas": 2}));
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "app=a"}));
    let wanted = json!({"spec": {"replicas": 5}});
    let patched = api
        .ask(Method::PATCH, &format!("{WIDGETS}/a/scale"))
        .header("content-type", "application/merge-patch+json")
        .body(wanted.to_string())
        .send()
        .await
        .ok();
    assert_eq!(patched["spec"]["replicas"], 5);
    let now = api.get(&format!("{WIDGETS}/a")).await.ok();
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["generation"]), (&json!(5), &json!(2)));
}

#[tokio::test]
async fn custom_resources_are_selected_watched_and_applied() {
    let api = established().await;
    for (name, color) in [("a", "red"), ("b", "blue")] {
        api.post(WIDGETS, &widget(name, color)).await.ok();
    }
    let blue = format!("{WIDGETS}?fieldSelector=spec.color%3Dblue");
    let list = api.get(&blue).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    api.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D3")).await.fails(400);
    let mut watch = Watch::open(&api, &format!("{blue}&watch=true")).await;
    assert_eq!(watch.event().await["object"]["metadata"]["name"], "b");
    let part = |name: &str, n: i64| {
        json!({
            "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "b"},
            "spec": {"parts": [{"name": name, "n": n}]},
        })
    };
    for (manager, name) in [("one", "x"), ("two", "y")] {
        api.ask(Method::PATCH, &format!("{WIDGETS}/b?fieldManager={manager}"))
            .header("content-type", "application/apply-patch+yaml")
            .body(part(name, 1).to_string())
            .send()
            .await
            .ok();
    }
    watch.event().await;
    let event = watch.event().await;
    let parts = &event["object"]["spec"]["parts"];
    assert_eq!(*parts, json!([{"name": "x", "n": 1}, {"name": "y", "n": 1}]));
    let conflict = api
        .ask(Method::PATCH, &format!("{WIDGETS}/b?fieldManager=two"))
        .header("content-type", "application/apply-patch+yaml")
        .body(part("x", 2).to_string())
        .send()
        .await;
    conflict.fails(409);
    let strategic = api
        .ask(Method::PATCH, &format!("{WIDGETS}/b"))
        .header("content-type", "application/strategic-merge-patch+json")
        .body("{}")
        .send()
        .await;
    strategic.fails(415);
}

#[tokio::test]
async fn discovery_has_what_is_served() {
    let api = established().await;
    let group = api.get("/apis/example.com").await.ok();
    assert_eq!(group["preferredVersion"]["version"], "v1");
    assert_eq!(group["versions"].as_array().unwrap().len(), 2);
    let resources = api.get("/apis/example.com/v1").await.ok();
    let names: Vec<_> =
        resources["resources"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect();
    assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["wd"]));
    let path = "/apis/apiregistration.k8s.io/v1/apiservices?watch=true";
    let mut services = Watch::open(&api, path).await;
    let service = loop {
        let service = services.event().await["object"].take();
        if service["metadata"]["name"] == "v1.example.com" {
            break service;
        }
    };
    assert_eq!(service["spec"]["groupPriorityMinimum"], 1000);
    api.get("/apis/example.com/v2/widgets").await.fails(404);
}

#[tokio::test]
async fn a_definition_takes_its_objects_with_it() {
    let api = established().await;
    let mut held = widget("held", "red");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(WIDGETS, &held).await.ok();
    api.post(WIDGETS, &widget("free", "red")).await.ok();
    let mut gone = Watch::open(&api, &format!("{DEFINITIONS}?watch=true")).await;
    let mut freed = Watch::open(&api, &format!("{WIDGETS}?watch=true")).await;
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let deleted = api.ask(Method::DELETE, &path).send().await.ok();
    assert_eq!(
        deleted["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    until(&api, "widgets.example.com", "Terminating", "True").await;
    let refused = api.post(WIDGETS, &widget("late", "red")).await.fails(403);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("create not allowed while custom resource definition is terminating")
    );
    // The one that is held remains, and the definition with it.
    while freed.event().await["type"] != "DELETED" {}
    assert_eq!(api.get(WIDGETS).await.ok()["items"].as_array().unwrap().len(), 1);
    api.ask(Method::PATCH, &format!("{WIDGETS}/held"))
        .header("content-type", "application/merge-patch+json")
        .body(json!({"metadata": {"finalizers": null}}).to_string())
        .send()
        .await
        .ok();
    while gone.event().await["type"] != "DELETED" {}
    for _ in 0..200 {
        if api.get(WIDGETS).await.code.as_u16() == 404 {
            let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.example.com";
            if api.get(path).await.code.as_u16() == 404 {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the kind is still served");
}

#[tokio::test]
async fn names_belong_to_one_definition() {
    let api = established().await;
    let mut other = definition();
    other["metadata"]["name"] = "gadgets.example.com".into();
    other["spec"]["names"] = json!({"plural": "gadgets", "singular": "gadget", "kind": "Widget"});
    api.post(DEFINITIONS, &other).await.ok();
    let refused = until(&api, "gadgets.example.com", "NamesAccepted", "False").await;
    let conditions = &refused["status"]["conditions"];
    assert_eq!(conditions[0]["reason"], "ListKindConflict");
    assert_eq!(conditions[1]["reason"], "NotAccepted");
    api.get("/apis/example.com/v1/gadgets").await.fails(404);
    // It takes the names when they become free.
    api.ask(Method::DELETE, &format!("{DEFINITIONS}/widgets.example.com")).send().await.ok();
    until(&api, "gadgets.example.com", "Established", "True").await;
    api.get("/apis/example.com/v1/gadgets").await.ok();
}

#[tokio::test]
async fn custom_resources_are_pruned_defaulted_and_validated() {
    let api = Api::start().await;
    let mut strict = definition();
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": {
        "type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "maximum": 5},
            "color": {"type": "string", "enum": ["red", "blue"], "default": "blue"},
        },
    }}});
    let versions = strict["spec"]["versions"].as_array_mut().unwrap();
    for version in versions {
        version["schema"]["openAPIV3Schema"] = schema.clone();
        version["subresources"] = json!({});
        version["selectableFields"] = json!([{"jsonPath": ".spec.color"}]);
    }
    api.post(DEFINITIONS, &strict).await.ok();
    until(&api, "widgets.example.com", "Established", "True").await;
    let with = |spec: Value| {
        let mut widget = widget("a", "red");
        widget["spec"] = spec;
        widget
    };
    let made = api.post(WIDGETS, &with(json!({"size": 1, "odd": true}))).await;
    assert!(made.headers["warning"].to_str().unwrap().contains("unknown field \\\"spec.odd\\\""));
    assert_eq!(made.ok()["spec"], json!({"size": 1, "color": "blue"}));
    let strictly = format!("{WIDGETS}?fieldValidation=Strict");
    api.post(&strictly, &with(json!({"size": 1, "odd": true}))).await.fails(400);
    for (spec, why) in [
        (json!({}), "spec.size: Required value"),
        (
            json!({"size": 9}),
            "spec.size: Invalid value: 9: spec.size in body should be less than or equal to 5",
        ),
        (json!({"size": "1"}), "spec.size in body must be of type integer: \"string\""),
        (
            json!({"size": 1, "color": "green"}),
            "Unsupported value: \"green\": supported values: \"red\", \"blue\"",
        ),
    ] {
        let refused = api.post(WIDGETS, &with(spec)).await.fails(422);
        assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    }
    let patched = api
        .ask(Method::PATCH, &format!("{WIDGETS}/a"))
        .header("content-type", "application/merge-patch+json")
        .body(json!({"spec": {"size": 7}}).to_string())
        .send()
        .await;
    patched.fails(422);
}

#[tokio::test]
async fn rules_are_evaluated() {
    let api = Api::start().await;
    let mut ruled = definition();
    let rule = |rule: &str, more: Value| {
        let mut made = json!({"rule": rule});
        made.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        made
    };
    let schema = json!({"type": "object", "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-validations": [
                rule("self.min <= self.max", json!({"messageExpression": "'min of ' + self.name"})),
                rule("self.min >= 0", json!({"message": "not below zero", "fieldPath": ".min"})),
                rule("self.name == oldSelf.name", json!({"message": "name is fixed"})),
            ],
            "properties": {
                "min": {"type": "integer"}, "max": {"type": "integer"},
                "name": {"type": "string", "maxLength": 10},
            },
        },
    }});
    for version in ruled["spec"]["versions"].as_array_mut().unwrap() {
        version["schema"]["openAPIV3Schema"] = schema.clone();
        version.as_object_mut().unwrap().remove("selectableFields");
        version["subresources"] = json!({});
    }
    api.post(DEFINITIONS, &ruled).await.ok();
    until(&api, "widgets.example.com", "Established", "True").await;
    let with = |spec: Value| {
        let mut widget = widget("a", "red");
        widget["spec"] = spec;
        widget
    };
    let refused =
        api.post(WIDGETS, &with(json!({"min": 3, "max": 2, "name": "x"}))).await.fails(422);
    assert!(
        refused["message"].as_str().unwrap().ends_with("spec: Invalid value: min of x"),
        "{refused}"
    );
    let refused =
        api.post(WIDGETS, &with(json!({"min": -3, "max": 2, "name": "x"}))).await.fails(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "spec.min");
    let mut made = api.post(WIDGETS, &with(json!({"min": 1, "max": 2, "name": "x"}))).await.ok();
    made["spec"]["name"] = "y".into();
    let path = format!("{WIDGETS}/a");
    let refused = api.ask(Method::PUT, &path).json(&made).send().await.fails(422);
    assert!(refused["message"].as_str().unwrap().ends_with("name is fixed"), "{refused}");
    made["spec"]["name"] = "x".into();
    made["spec"]["max"] = 9.into();
    api.ask(Method::PUT, &path).json(&made).send().await.ok();
}

/// Rules that do not compile, or may cost too much, are refused with the definition.
#[tokio::test]
async fn rules_are_compiled_with_the_definition() {
    let api = Api::start().await;
    let with = |spec: Value| {
        let mut ruled = definition();
        for version in ruled["spec"]["versions"].as_array_mut().unwrap() {
            version["schema"]["openAPIV3Schema"] =
                json!({"type": "object", "properties": {"spec": spec}});
            version.as_object_mut().unwrap().remove("selectableFields");
            version["subresources"] = json!({});
        }
        ruled
    };
    let text = |rules: Value| json!({"type": "string", "x-kubernetes-validations": rules});
    let list = |of: Value| json!({"type": "array", "items": of});
    for (spec, why) in [
        (text(json!([{"rule": "self.none == 1"}])), "compilation failed: ERROR: <input>:1:5: "),
        (text(json!([{"rule": "self +"}])), "compilation failed: ERROR: <input>:1:7: Syntax error"),
        (text(json!([{"rule": "'yes'"}])), "cel expression must evaluate to a bool"),
        (
            text(json!([{"rule": "true", "messageExpression": "1"}])),
            "messageExpression must evaluate to a string",
        ),
        (
            text(json!([{"rule": "self == 'a'", "optionalOldSelf": true}])),
            "may not be set if oldSelf is not used in rule",
        ),
        (
            list(text(json!([{"rule": "self == oldSelf"}]))),
            "oldSelf cannot be used on the uncorrelatable portion of the schema within",
        ),
        (
            list(list(text(json!([{"rule": "self.contains('a')"}])))),
            "estimated rule cost exceeds budget by factor of more than 100x (try simplifying the",
        ),
        (text(json!([{"rule": "true", "fieldPath": ".none"}])), "must be a valid path"),
    ] {
        let refused = api.post(DEFINITIONS, &with(spec)).await.fails(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}\n{why}");
    }
    let mut cheap = text(json!([{"rule": "self.contains('a')"}]));
    cheap["maxLength"] = 10.into();
    let mut few = list(cheap);
    few["maxItems"] = 10.into();
    api.post(DEFINITIONS, &with(few)).await.ok();
}

/// Objects are stored by group and resource, so a definition of one of the table's would have its
/// objects: read past the checks of the kind, and deleted with the definition.
#[tokio::test]
async fn a_definition_takes_no_resource_of_the_server() {
    let api = Api::start().await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let before = api.get(roles).await.ok()["items"].as_array().unwrap().len();
    let mut evil = definition();
    evil["metadata"] = json!({
        "name": "clusterroles.rbac.authorization.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "https://example.com/approved"},
    });
    evil["spec"]["group"] = "rbac.authorization.k8s.io".into();
    evil["spec"]["scope"] = "Cluster".into();
    evil["spec"]["names"] = json!({
        "plural": "clusterroles", "singular": "evil", "kind": "Evil", "listKind": "EvilList",
    });
    for version in evil["spec"]["versions"].as_array_mut().unwrap() {
        version["name"] = format!("{}beta9", version["name"].as_str().unwrap()).into();
    }
    api.post(DEFINITIONS, &evil).await.ok();
    let name = "clusterroles.rbac.authorization.k8s.io";
    let refused = until(&api, name, "NamesAccepted", "False").await;
    let conditions = refused["status"]["conditions"].to_string();
    assert!(conditions.contains("PluralConflict"), "{conditions}");
    // Even if somebody says in its status that they are accepted.
    let path = format!("{DEFINITIONS}/{name}");
    let mut forged = api.get(&path).await.ok();
    forged["status"] = json!({
        "acceptedNames": evil["spec"]["names"], "storedVersions": ["v1beta9"],
        "conditions": [{"type": "NamesAccepted", "status": "True"},
                       {"type": "Established", "status": "True"}],
    });
    api.put(&format!("{path}/status"), &forged).await;
    api.get("/apis/rbac.authorization.k8s.io/v1beta9/clusterroles").await.fails(404);
    delete(&api, DEFINITIONS, name).await;
    assert_eq!(api.get(roles).await.ok()["items"].as_array().unwrap().len(), before);
}

#[tokio::test]
async fn groups_in_groups_do_not_share_names() {
    let api = Api::start().await;
    let mut inner = definition();
    inner["metadata"]["name"] = "widgets.sub.example.com".into();
    inner["spec"]["group"] = "sub.example.com".into();
    for definition in [&inner, &definition()] {
        api.post(DEFINITIONS, definition).await.ok();
        let name = definition["metadata"]["name"].as_str().unwrap();
        until(&api, name, "Established", "True").await;
    }
}

#[tokio::test]
async fn objects_of_versions_that_are_not_served_go_with_the_definition() {
    let api = established().await;
    api.post(WIDGETS, &widget("a", "red")).await.ok();
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut hidden = api.get(&path).await.ok();
    for version in hidden["spec"]["versions"].as_array_mut().unwrap() {
        version["served"] = false.into();
    }
    api.put(&path, &hidden).await.ok();
    delete(&api, DEFINITIONS, "widgets.example.com").await;
    api.post(DEFINITIONS, &definition()).await.ok();
    until(&api, "widgets.example.com", "Established", "True").await;
    let list = api.get(WIDGETS).await.ok();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn who_also_reads_json_gets_json() {
    let api = established().await;
    const BOTH: &str = "application/vnd.kubernetes.protobuf,application/json";
    let ask = api.ask(Method::POST, WIDGETS).header("accept", BOTH).json(&widget("a", "red"));
    let made = ask.send().await;
    assert_eq!(made.headers["content-type"], "application/json");
    made.ok();
    for path in [WIDGETS.to_owned(), format!("{WIDGETS}/a")] {
        api.ask(Method::GET, &path).header("accept", BOTH).send().await.ok();
        let protobuf = "application/vnd.kubernetes.protobuf";
        let refused = api.ask(Method::GET, &path).header("accept", protobuf).send().await;
        assert_eq!(refused.code, 406);
    }
}

/// The accepted names are in a status, which can be written to; the name of a definition is not.
#[tokio::test]
async fn a_status_gives_no_definition_the_objects_of_another() {
    let api = established().await;
    api.post(WIDGETS, &widget("a", "red")).await.ok();
    let mut other = definition();
    other["metadata"]["name"] = "thieves.example.com".into();
    other["spec"]["names"] = json!({
        "plural": "thieves", "singular": "thief", "kind": "Thief", "listKind": "ThiefList",
    });
    api.post(DEFINITIONS, &other).await.ok();
    let mut forged = until(&api, "thieves.example.com", "Established", "True").await;
    forged["status"]["acceptedNames"]["plural"] = "widgets".into();
    forged["metadata"]["resourceVersion"] = Value::Null;
    api.put(&format!("{DEFINITIONS}/thieves.example.com/status"), &forged).await;
    delete(&api, DEFINITIONS, "thieves.example.com").await;
    api.get(&format!("{WIDGETS}/a")).await.ok();
}
