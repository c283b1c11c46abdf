//! Reads: forms of lists, versions, and computed objects.

use apimachinery::ObjectExt;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

async fn with_maps(count: usize) -> Api {
    let api = Api::start().await;
    for i in 0..count {
        let map = json!({"metadata": {"name": format!("m{i}")}, "data": {"k": "yes", "t": "a\nb"}});
        api.post(MAPS, &map).await.ok();
    }
    api
}

#[tokio::test]
async fn a_list_is_the_same_in_every_encoding() {
    let api = with_maps(3).await;
    let json = api.get(MAPS).await.ok();
    let yaml = api.ask(Method::GET, MAPS).header("accept", "application/yaml").send().await;
    let text = String::from_utf8(yaml.bytes.to_vec()).unwrap();
    assert!(text.contains("    k: \"yes\"\n"), "{text}");
    let (read, _) = apimachinery::codec::yaml::decode(text.as_bytes()).unwrap();
    assert_eq!(read, json);
    assert_eq!(json["items"].as_array().map(Vec::len), Some(3));
    assert!(json["items"][0].get("kind").is_none(), "{json}");

    let rows = |table: &Value| table["rows"].as_array().map(Vec::len);
    let whole = format!("{MAPS}?includeObject=Object");
    let table = api.ask(Method::GET, &whole).header("accept", TABLE).send().await.ok();
    assert_eq!((table.kind(), rows(&table)), ("Table", Some(3)));
    assert_eq!(table["rows"][0]["object"].kind(), "ConfigMap");
    let empty = format!("{MAPS}?labelSelector=none%3Dsuch");
    for accept in [TABLE, "application/yaml", "application/json"] {
        let answer = api.ask(Method::GET, &empty).header("accept", accept).send().await;
        let (list, _) = apimachinery::codec::yaml::decode(&answer.bytes).unwrap();
        let items = list.get("rows").or(list.get("items"));
        assert_eq!(items, Some(&json!([])), "{accept}");
    }
    let refused = api.get(&format!("{MAPS}?includeObject=All")).await;
    assert_eq!(refused.code.as_u16(), 200, "only tables have rows");
    let all = format!("{MAPS}?includeObject=All");
    api.ask(Method::GET, &all).header("accept", TABLE).send().await.fails(400);
}

/// Autoscalers, because their older version keeps fields that it lacks in annotations.
#[tokio::test]
async fn one_list_is_the_same_in_every_form() {
    let api = Api::start().await;
    let root = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    for name in ["a", "b"] {
        let memory = json!({"type": "Resource", "resource": {"name": "memory",
            "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
        let scaler = json!({"metadata": {"name": name, "labels": {"l": name}}, "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "maxReplicas": 3, "metrics": [memory]}});
        api.post(root, &scaler).await.ok();
    }
    // The server itself may still write: all forms are of one revision.
    let present = api.get(root).await.json();
    let at = present.resource_version();
    for (version, meta) in [("v1", "v1"), ("v2", "v1"), ("v1", "v1beta1"), ("v2", "v1beta1")] {
        let resource = root.replace("v2", version);
        let uri = format!("{resource}?resourceVersion={at}&resourceVersionMatch=Exact");
        let form = |media_type: &str, form: &str| {
            format!("application/{media_type};as={form};g=meta.k8s.io;v={meta}")
        };
        let read = async |uri: &str, media_type: &str, form: String| -> Value {
            let answer = api.ask(Method::GET, uri).header("accept", &form).send().await;
            assert_eq!(answer.code, 200, "{form}");
            match media_type {
                "yaml" => apimachinery::codec::yaml::decode(&answer.bytes).unwrap().0,
                "json" => answer.json(),
                _ => apimachinery::codec::protobuf::decode(&answer.bytes).unwrap(),
            }
        };
        let lists = "PartialObjectMetadataList";
        let partial = read(&uri, "json", form("json", lists)).await;
        assert_eq!(
            (partial.kind(), partial.api_version()),
            (lists, &*format!("meta.k8s.io/{meta}"))
        );
        assert_eq!(partial["items"].as_array().map(Vec::len), Some(2));
        // The older version of a protobuf list only differs in its version.
        let others = match meta {
            "v1" => &["yaml", "vnd.kubernetes.protobuf"][..],
            _ => &["yaml"],
        };
        for media_type in others {
            let mut other = read(&uri, media_type, form(media_type, lists)).await;
            // An item of a protobuf list inherits its kind from the list.
            for (item, same) in other["items"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .zip(partial["items"].as_array().unwrap())
            {
                for field in ["kind", "apiVersion"] {
                    item[field] = same[field].clone();
                }
            }
            assert_eq!(other, partial, "{media_type} {version} {meta}");
        }

        let message = async |form: String| {
            let answer = api.ask(Method::GET, &uri).header("accept", &form).send().await;
            let at = answer.bytes.windows(lists.len()).position(|w| w == lists.as_bytes());
            answer.bytes.slice(at.unwrap()..)
        };
        let asked = form("vnd.kubernetes.protobuf", lists);
        assert_eq!(message(asked.replace("v1beta1", "v1")).await, message(asked).await);

        let objects = read(&uri, "json", "application/json".into()).await;
        let table = read(&uri, "json", form("json", "Table")).await;
        assert_eq!(read(&uri, "yaml", form("yaml", "Table")).await, table);
        let column = |name: &str| {
            let columns = table["columnDefinitions"].as_array().unwrap();
            columns.iter().position(|column| column["name"] == name).unwrap()
        };
        let whole =
            read(&format!("{uri}&includeObject=Object"), "json", form("json", "Table")).await;
        for (i, item) in partial["items"].as_array().unwrap().iter().enumerate() {
            let row = &table["rows"][i];
            assert_eq!(row["cells"][column("Name")], item["metadata"]["name"]);
            assert_eq!(&row["object"], item, "{version} {meta}");
            let (of_row, of_list) = (&whole["rows"][i], &objects["items"][i]);
            assert_eq!(of_row["cells"], row["cells"]);
            assert_eq!(of_row["object"]["spec"], of_list["spec"]);
            assert_eq!(of_row["object"]["metadata"], of_list["metadata"]);
            assert_eq!(of_row["object"].kind(), "HorizontalPodAutoscaler");
        }
        for list in [&partial, &table] {
            assert_eq!(list.resource_version(), objects.resource_version());
        }
        // A table has no protobuf form.
        let accept = form("vnd.kubernetes.protobuf", "Table");
        api.ask(Method::GET, &uri).header("accept", &accept).send().await.fails(406);
    }
}

#[tokio::test]
async fn versions_select_what_is_read() {
    let api = with_maps(5).await;
    let any = api.get(&format!("{MAPS}?resourceVersion=0&limit=3")).await.ok();
    assert_eq!(any["items"].as_array().map(Vec::len), Some(5));
    assert!(any["metadata"].get("continue").is_none(), "{any}");
    let refused = api.get(&format!("{MAPS}?fieldSelector=spec.x%3D1")).await.fails(400);
    assert_eq!(
        refused["message"],
        "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
    );
    let watch = format!("{MAPS}?watch=1&sendInitialEvents=true");
    api.get(&watch).await.fails(422);
}

#[tokio::test]
async fn a_watch_from_the_future_waits_for_it() {
    let api = with_maps(1).await;
    let now: u64 = api.get(MAPS).await.ok().resource_version().parse().unwrap();
    let uri = format!("{MAPS}?watch=1&timeoutSeconds=5&resourceVersion={}", now + 2);
    let mut body = api.ask(Method::GET, &uri).open().await.into_body();
    for name in ["first", "second", "third"] {
        api.post(MAPS, &json!({"metadata": {"name": name}})).await.ok();
    }
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let event: Value =
        serde_json::from_slice(frame.split(|b| *b == b'\n').next().unwrap()).unwrap();
    assert_eq!(event["object"].name(), "third");
}

#[tokio::test]
async fn components_are_looked_at_when_asked() {
    let api = Api::start().await;
    let all = "/api/v1/componentstatuses";
    let list = api.get(all).await.ok();
    let names: Vec<&str> = list["items"].as_array().unwrap().iter().map(ObjectExt::name).collect();
    assert_eq!(names, ["controller-manager", "etcd-0", "scheduler"]);
    let one = api.get(&format!("{all}/etcd-0")).await.ok();
    assert_eq!(one["conditions"][0]["status"], "True");
    api.get(&format!("{all}/nobody")).await.fails(404);
    api.post(all, &json!({"metadata": {"name": "x"}})).await.fails(405);
    // A component that ran separately and has stopped.
    let lease = json!({"metadata": {"name": "kube-scheduler"}, "spec": {
        "leaseDurationSeconds": 15, "renewTime": "2024-01-01T00:00:00.000000Z",
    }});
    api.post("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", &lease).await.ok();
    let scheduler = api.get(&format!("{all}/scheduler")).await.ok();
    assert_eq!(scheduler["conditions"][0]["status"], "False", "{scheduler}");
    let table = api.ask(Method::GET, all).header("accept", TABLE).send().await.ok();
    assert_eq!(table["rows"][2]["cells"][1], "Unhealthy");
}

#[tokio::test]
async fn health_checks_are_counted() {
    let api = Api::start().await;
    let text = String::from_utf8(api.get("/metrics/slis").await.bytes.to_vec()).unwrap();
    assert!(text.starts_with("# HELP process_start_time_seconds [ALPHA] "), "{text}");
    assert!(!text.contains("healthcheck"), "{text}");
    for _ in 0..2 {
        assert!(api.get("/readyz").await.code.is_success());
    }
    let text = String::from_utf8(api.get("/metrics/slis").await.bytes.to_vec()).unwrap();
    for line in [
        "# TYPE kubernetes_healthcheck gauge",
        "kubernetes_healthcheck{name=\"ping\",type=\"readyz\"} 1",
        "# TYPE kubernetes_healthchecks_total counter",
        "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"readyz\"} 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn a_handler_that_panics_answers_and_harms_nobody() {
    let api = Api::start().await;
    for method in [Method::GET, Method::POST] {
        let answer = api.ask(method, "/panics").send().await;
        assert_eq!(answer.code.as_u16(), 500);
        let text = "This request caused apiserver to panic. Look in the logs for details.\n";
        assert_eq!(answer.bytes, text);
        api.get(MAPS).await.ok();
    }
    assert!(telemetry::task::panics()["request"] >= 2);
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let api = Api::start().await;
    let named = api.ask(Method::GET, MAPS).header("audit-id", "mine").send().await;
    assert_eq!(named.headers["audit-id"], "mine");
    let other = api.get("/no/such/path").await;
    assert_eq!(other.headers["audit-id"].len(), 36);
}
