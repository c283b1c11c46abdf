//! Server-side apply and ownership, as clients see them.

use apimachinery::ObjectExt;
use serde_json::{Value, json};

use super::harness::{Answer, Api};

const APPLY: &str = "application/apply-patch+yaml";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn deployment(container: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]},
            },
        },
    })
}

async fn apply(api: &Api, uri: &str, manager: &str, object: &Value) -> Answer {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    api.patch(&format!("{path}?fieldManager={manager}&{query}"), APPLY, object).await
}

fn owned<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let all = object["metadata"]["managedFields"].as_array().unwrap();
    let entry = all.iter().find(|entry| entry["manager"] == manager);
    entry.map_or(&Value::Null, |entry| &entry["fieldsV1"])
}

#[tokio::test]
async fn what_admission_sets_is_nobodys() {
    let api = Api::start().await;
    let pod = json!({
        "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let pods = "/api/v1/namespaces/default/pods?fieldManager=me";
    let pod = api.post(pods, &pod).await.ok();
    let spec = &owned(&pod, "me")["f:spec"];
    assert!(spec["f:containers"].is_object(), "{pod}");
    for field in ["f:tolerations", "f:serviceAccountName", "f:priority", "f:volumes"] {
        assert!(spec.get(field).is_none(), "{field} in {spec}");
    }
    assert!(pod["spec"]["tolerations"].is_array(), "{pod}");
}

#[tokio::test]
async fn empty_values_are_owned_and_undeclared_fields_refused() {
    let api = Api::start().await;
    let one = format!("{DEPLOYMENTS}/web");
    let env = json!([{"name": "A", "value": ""}]);
    let mut wanted = deployment(json!({"name": "c", "image": "i", "env": env}));
    wanted["spec"]["template"]["spec"]["nodeSelector"] = json!({});
    let made = apply(&api, &one, "me", &wanted).await.ok();
    let fields = &owned(&made, "me")["f:spec"]["f:template"]["f:spec"];
    assert!(fields["f:nodeSelector"].is_object(), "{fields}");
    let env = &fields["f:containers"]["k:{\"name\":\"c\"}"]["f:env"]["k:{\"name\":\"A\"}"];
    assert!(env["f:value"].is_object(), "{fields}");
    // A repeated apply changes nothing, not even a time.
    let again = apply(&api, &one, "me", &wanted).await.ok();
    assert_eq!(again, made);

    let mut wrong = wanted.clone();
    wrong["spec"]["nonsense"] = json!(1);
    let refused = apply(&api, &one, "me", &wrong).await.fails(500);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains(".spec.nonsense: field not declared in schema"), "{message}");
}

#[tokio::test]
async fn a_field_given_up_leaves_nothing_behind() {
    let api = Api::start().await;
    let one = format!("{DEPLOYMENTS}/web");
    let with = |env: Value| deployment(json!({"name": "c", "image": "i", "env": env}));
    let plain = with(json!([{"name": "A", "value": "x"}]));
    apply(&api, &one, "first", &plain).await.ok();
    let from = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    let mut taken = with(json!([{"name": "A", "valueFrom": from, "value": ""}]));
    apply(&api, &format!("{one}?force=true"), "second", &taken).await.ok();
    taken["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "value": "y"}]);
    let given = apply(&api, &format!("{one}?force=true"), "second", &taken).await.ok();
    let env = &given["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(env, &json!({"name": "A", "value": "y"}));
}

#[tokio::test]
async fn replicas_are_applied_through_the_scale() {
    let api = Api::start().await;
    let one = format!("{DEPLOYMENTS}/web");
    let mut wanted = deployment(json!({"name": "c", "image": "i"}));
    wanted["spec"]["replicas"] = json!(2);
    apply(&api, &one, "owner", &wanted).await.ok();
    let scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"},
        "spec": {"replicas": 5},
    });
    let of = format!("{one}/scale");
    let refused = apply(&api, &of, "scaler", &scale).await.fails(409);
    assert!(refused["message"].as_str().unwrap().contains(".spec.replicas"), "{refused}");
    let scaled = apply(&api, &format!("{of}?force=true"), "scaler", &scale).await.ok();
    assert_eq!((scaled.kind(), &scaled["spec"]["replicas"]), ("Scale", &json!(5)));
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = api.ask(http::Method::GET, &of).header("accept", table).send().await.ok();
    let names = table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["Name", "Desired", "Available", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], 5);
    let workload = api.get(&one).await.ok();
    assert_eq!(workload["spec"]["replicas"], 5);
    assert!(owned(&workload, "owner")["f:spec"].get("f:replicas").is_none(), "{workload}");
    assert_eq!(owned(&workload, "scaler"), &json!({"f:spec": {"f:replicas": {}}}));
}

#[tokio::test]
async fn options_are_refused_all_at_once() {
    let api = Api::start().await;
    let object = json!({"metadata": {"name": "m"}});
    let maps = "/api/v1/namespaces/default/configmaps";
    let uri = format!("{maps}?dryRun=Some&fieldValidation=Maybe&fieldManager=a%0Ab");
    let refused = api.post(&uri, &object).await.fails(422);
    assert_eq!(refused["details"]["kind"], "CreateOptions");
    assert_eq!(refused["details"]["causes"].as_array().map(Vec::len), Some(3), "{refused}");
    api.patch(&format!("{maps}/m"), APPLY, &object).await.fails(422);
}

#[tokio::test]
async fn clients_are_warned() {
    let api = Api::start().await;
    let policy = json!({"metadata": {"name": "n"}, "spec": {"podSelector": {}}});
    let uri = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    let response = api.ask(http::Method::POST, uri).json(&policy).open().await;
    let warning = response.headers()["warning"].to_str().unwrap();
    assert!(warning.contains("not enforced yet"), "{warning}");
}

#[tokio::test]
async fn a_scale_is_patched_as_what_it_is() {
    let api = Api::start().await;
    let one = format!("{DEPLOYMENTS}/web");
    api.post(DEPLOYMENTS, &deployment(json!({"name": "c", "image": "i"}))).await.ok();
    const MERGE: &str = "application/merge-patch+json";
    let wrong = json!({"spec": {"replicas": "x"}});
    let status = api.patch(&format!("{one}/scale"), MERGE, &wrong).await.fails(422);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("patch: Invalid value: \"{\\\"apiVersion\\\":\\\"autoscaling/v1"),
        "{message}"
    );
    let two = json!({"spec": {"replicas": 2}});
    api.patch(&format!("{one}/scale?fieldManager=me"), MERGE, &two).await.ok();
    let web = api.get(&one).await.ok();
    assert_eq!(owned(&web, "me"), &json!({"f:spec": {"f:replicas": {}}}));
    let mut managers = web["metadata"]["managedFields"].as_array().unwrap().iter();
    let me = managers.find(|entry| entry["manager"] == "me").unwrap();
    assert_eq!((me["subresource"].as_str(), me.get("time")), (Some("scale"), None));
    let none = json!({"spec": {"replicas": 0}});
    let scale = api.patch(&format!("{one}/scale"), MERGE, &none).await.ok();
    assert_eq!(scale["spec"], json!({}));
}

#[tokio::test]
async fn what_cannot_be_converted_is_told_with_its_object() {
    let api = Api::start().await;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
        "binaryData": {"k": "%"},
    });
    let maps = "/api/v1/namespaces/default/configmaps/a";
    let status = apply(&api, maps, "me", &map).await.fails(500);
    assert_eq!(
        status["message"],
        "failed to convert new object (/a; /v1, Kind=ConfigMap) to proper version: unable to \
         convert unstructured object to /v1, Kind=ConfigMap: error decoding from json: illegal \
         base64 data at input byte 0"
    );
}

#[tokio::test]
async fn only_labelled_namespaces_give_admin_access() {
    let api = Api::start().await;
    let claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    let claim = json!({
        "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "d", "adminAccess": true}},
        ]}},
    });
    let status = api.post(claims, &claim).await.fails(422);
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("spec.devices.requests[0].adminAccess: Forbidden"), "{message}");
    let label = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    const MERGE: &str = "application/merge-patch+json";
    api.patch("/api/v1/namespaces/default", MERGE, &label).await.ok();
    api.post(claims, &claim).await.ok();
}

#[tokio::test]
async fn flow_schemas_say_whether_their_level_is_there() {
    let api = Api::start().await;
    let schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let schema = json!({
        "metadata": {"name": "f"},
        "spec": {"priorityLevelConfiguration": {"name": "gone"}, "rules": []},
    });
    api.post(schemas, &schema).await.ok();
    let told = async |wanted: &str| {
        loop {
            let schema = api.get(&format!("{schemas}/f")).await.ok();
            if schema["status"]["conditions"][0]["status"] == wanted {
                return schema;
            }
            tokio::task::yield_now().await;
        }
    };
    let schema = told("True").await;
    assert_eq!(schema["status"]["conditions"][0]["reason"], "NotFound");
    let levels = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
    let level = json!({
        "metadata": {"name": "gone"},
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}},
    });
    api.post(levels, &level).await.ok();
    told("False").await;
}

#[tokio::test]
async fn status_writers_leave_the_labels_of_deployments() {
    let api = Api::start().await;
    let one = format!("{DEPLOYMENTS}/web");
    api.post(DEPLOYMENTS, &deployment(json!({"name": "c", "image": "i"}))).await.ok();
    let labels = json!({"metadata": {"labels": {"l": "1"}, "annotations": {"a": "1"}}});
    const MERGE: &str = "application/merge-patch+json";
    let web = api.patch(&format!("{one}/status"), MERGE, &labels).await.ok();
    assert_eq!((web.labels().count(), web.annotation("a")), (0, Some("1")));
}
