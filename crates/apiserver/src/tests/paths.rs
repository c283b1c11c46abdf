//! Unserved paths and methods, forms of answers, and options of streams and reviews.

use apimachinery::ObjectExt;
use http::Method;
use serde_json::{Value, json};

use super::harness::Api;
use crate::User;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const BETA_TABLE: &str = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";

#[tokio::test]
async fn unsupported_methods_name_those_that_would_do() {
    let api = Api::start().await;
    for (method, path, allowed) in [
        (Method::PUT, MAPS, "DELETE, GET, POST"),
        (Method::DELETE, "/api/v1/namespaces", "GET, POST"),
        (Method::POST, "/api/v1/configmaps", "GET"),
        (Method::PATCH, "/api/v1/namespaces/default/pods/x/log", "GET"),
        (Method::OPTIONS, "/api/v1/nodes/x/status", "GET, PATCH, PUT"),
        (Method::POST, "/api/v1/watch/configmaps", "GET"),
        (Method::GET, "/api/v1/namespaces/default/pods/x/binding", "POST"),
        (Method::POST, "/version", "GET"),
        (Method::DELETE, "/apis/apps/v1", "GET"),
    ] {
        let answer = api.ask(method, path).send().await;
        assert_eq!(answer.headers["allow"], allowed, "{path}");
        let status = answer.fails(405);
        assert_eq!(
            status["message"], "the server does not allow this method on the requested resource",
            "{path}"
        );
        assert_eq!(status["details"], json!({}), "{path}");
    }
    assert_eq!(api.ask(Method::HEAD, MAPS).send().await.code.as_u16(), 405);
    // A path outside of any API answers in plain text.
    for path in ["/nope", "//api/v1", "/apis/none", "/healthz/", "/livez/none", "/openapi/v2/"] {
        let answer = api.get(path).await;
        assert_eq!((answer.code.as_u16(), &*answer.bytes), (404, &b"404 page not found\n"[..]));
    }
    for path in ["/api/v2", "/apis/apps/v9", "/api/v1/none", "/version/x", "/api/v1/bindings"] {
        api.get(path).await.fails(404);
    }
    assert_eq!(api.ask(Method::POST, "/apis").send().await.ok().kind(), "APIGroupList");
}

#[tokio::test]
async fn forms_have_two_versions_and_fit_what_is_asked() {
    let api = Api::start().await;
    api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.ok();
    let one = format!("{MAPS}/a");
    let asked = |path: String, accept: String| {
        let api = &api;
        async move { api.ask(Method::GET, &path).header("accept", &accept).send().await }
    };
    let table = asked(format!("{MAPS}?includeObject=None"), BETA_TABLE.into()).await.ok();
    assert_eq!(table.api_version(), "meta.k8s.io/v1beta1");
    assert_eq!(table["rows"][0]["object"], Value::Null);
    let table = asked(MAPS.into(), BETA_TABLE.into()).await.ok();
    assert_eq!(table["rows"][0]["object"].api_version(), "meta.k8s.io/v1beta1");
    let form = |form: &str| format!("application/json;as={form};v=v1;g=meta.k8s.io");
    let list = asked(MAPS.into(), form("PartialObjectMetadataList")).await.ok();
    assert_eq!(list["items"][0].kind(), "PartialObjectMetadata");
    let status = asked(MAPS.into(), form("PartialObjectMetadata")).await.fails(406);
    assert_eq!(
        status["message"],
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    );
    let status = asked(one.clone(), form("PartialObjectMetadataList")).await.fails(406);
    assert_eq!(
        status["message"],
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
    );
    let status = asked(one, "text/html".into()).await.fails(406);
    assert!(status["message"].as_str().unwrap().starts_with("406: Not Acceptable\n\n"), "{status}");
    let yaml = format!("{MAPS}?watch=1&timeoutSeconds=1");
    let refused = asked(yaml, "application/yaml".into()).await;
    assert_eq!(refused.code.as_u16(), 406);

    // A finished pod has a condition beside its cells; all versions show the same cells.
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post(PODS, &pod).await.ok();
    let ended = json!({"status": {"phase": "Failed"}});
    let path = format!("{PODS}/p");
    api.patch(&format!("{path}/status"), "application/merge-patch+json", &ended).await.ok();
    let row = asked(path, form("Table")).await.ok()["rows"][0].clone();
    assert_eq!(
        row["conditions"],
        json!([{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}])
    );
    let event = json!({"metadata": {"name": "e", "namespace": "default"}, "reason": "R", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "message": "m",
        "reportingComponent": "c", "reportingInstance": "i"});
    api.post("/api/v1/namespaces/default/events", &event).await.ok();
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let cells = asked(newer.into(), form("Table")).await.ok()["rows"][0]["cells"].clone();
    assert_eq!((&cells[3], &cells[5], &cells[6]), (&json!("pod/p"), &json!("c, i"), &json!("m")));
}

#[tokio::test]
async fn a_watch_begins_with_the_state_and_tells_errors_as_events() {
    let api = Api::start().await;
    api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.ok();
    let events = |query: &'static str, accept: &'static str| {
        let api = &api;
        async move {
            let uri = format!("{MAPS}?watch=1&{query}");
            let answer = api.ask(Method::GET, &uri).header("accept", accept).send().await;
            assert_eq!(answer.code.as_u16(), 200, "{query}");
            let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<Value>>()
        }
    };
    let all = events("timeoutSeconds=1&allowWatchBookmarks=1", "application/json").await;
    let types: Vec<&str> = all.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(types, ["ADDED", "BOOKMARK"]);
    let end = &all[1]["object"]["metadata"];
    assert_eq!(end["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    assert!(end.get("creationTimestamp").is_none(), "{end}");
    let all = events("timeoutSeconds=1&allowWatchBookmarks=1", BETA_TABLE).await;
    assert_eq!(all[1]["object"]["columnDefinitions"], Value::Null);
    assert_eq!(all[1]["object"]["rows"][0]["cells"], json!(["", 0, "<unknown>"]));
    let all = events("timeoutSeconds=-1", "application/json").await;
    assert_eq!((&all[0]["type"], &all[0]["object"]["code"]), (&json!("ERROR"), &json!(500)));
    let list = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    assert!(events("timeoutSeconds=1", list).await.is_empty());
    // The path of a namespace contains its name twice.
    let path = "/api/v1/watch/namespaces/default?timeoutSeconds=1";
    assert_eq!(api.get(path).await.ok()["object"].name(), "default");
}

#[tokio::test]
async fn options_of_logs_are_checked() {
    let api = Api::start().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "initContainers": [{"name": "a", "image": "i"}],
        "containers": [{"name": "b", "image": "i"}, {"name": "c", "image": "i"}],
    }});
    api.post(PODS, &pod).await.ok();
    for (query, code, want) in [
        ("", 400, "a container name must be specified for pod p, choose one of: [a b c]"),
        ("container=z", 400, "container z is not valid for pod p"),
        (
            "tailLines=-1",
            422,
            "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("tailLines=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "sinceSeconds=1&sinceTime=2024-01-01T00:00:00Z",
            422,
            "PodLogOptions \"p\" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        (
            "sinceTime=2024-01-01",
            400,
            "parsing time \"2024-01-01\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"T\"",
        ),
        (
            "limitBytes=0",
            422,
            "PodLogOptions \"p\" is invalid: limitBytes: Invalid value: 0: must be greater than 0",
        ),
        (
            "stream=Stdout",
            422,
            "PodLogOptions \"p\" is invalid: stream: Forbidden: may not be specified",
        ),
    ] {
        let status = api.get(&format!("{PODS}/p/log?{query}")).await.fails(code);
        assert_eq!(status["message"], want, "{query}");
    }
    // A pod without a node has no logs.
    assert_eq!(api.get(&format!("{PODS}/p/log?container=a")).await.code.as_u16(), 204);
}

#[tokio::test]
async fn reviews_say_what_they_left_out() {
    let api = Api::start().await;
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    for (name, selector, readable) in [
        ("fieldSelector", json!({"rawSelector": "bad selector ()"}), false),
        ("fieldSelector", json!({"rawSelector": "a=b"}), true),
        ("labelSelector", json!({"rawSelector": "a in ("}), false),
        ("fieldSelector", json!({"requirements": [{"key": "a", "operator": "Exists"}]}), false),
        ("labelSelector", json!({"requirements": [{"key": "a", "operator": "Exists"}]}), true),
    ] {
        let review = json!({"spec": {"user": "u", "resourceAttributes": {
            "verb": "list", "resource": "pods", name: selector,
        }}});
        let said = api.post(path, &review).await.ok()["status"]["evaluationError"].clone();
        let want = format!("spec.resourceAttributes.{name} ignored due to parse error");
        assert_eq!(said, if readable { Value::Null } else { want.into() }, "{review}");
    }
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let node = User::new("system:node:n", &["system:nodes", "system:authenticated"]);
    let review = json!({"spec": {"namespace": "default"}});
    let status = api.ask(Method::POST, rules).by(node).json(&review).send().await.ok();
    assert_eq!(status["status"]["incomplete"], true, "{status}");
}

#[tokio::test]
async fn a_token_request_is_for_the_account_of_its_path() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let issued = api.post(path, &json!({"spec": {"audiences": ["a"]}})).await.ok();
    let account = api.get("/api/v1/namespaces/default/serviceaccounts/default").await.ok();
    assert_eq!(issued.uid(), account.uid());
    assert_eq!(issued["spec"]["boundObjectRef"], Value::Null);
    let owned = &issued["metadata"]["managedFields"][0];
    assert_eq!(
        (&owned["subresource"], &owned["fieldsV1"]["f:spec"]),
        (&json!("token"), &json!({"f:audiences": {}, "f:expirationSeconds": {}}))
    );
    api.post(path, &json!({"metadata": {"name": "other"}, "spec": {}})).await.fails(422);
    api.post(path, &json!({"metadata": {"namespace": "other"}, "spec": {}})).await.fails(400);
    api.post(path, &json!({"metadata": {"uid": "other"}, "spec": {}})).await.fails(409);
    let bound = json!({"spec": {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1"}}});
    let status = api.post(path, &bound).await.fails(400);
    assert_eq!(status["message"], "cannot bind token to object of type /v1, Kind=ConfigMap");
}
