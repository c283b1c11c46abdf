use http::Method;
use serde_json::json;
use telemetry::metrics::{Registry, stable};

use super::harness::{Api, Watch};
use crate::User;

async fn scrape(api: &Api) -> String {
    String::from_utf8(api.get("/metrics").await.bytes.to_vec()).unwrap()
}

/// The value of a series.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{series}\n{text}")).parse().unwrap()
}

/// All series, without the values of the samples.
fn series(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series).collect()
}

#[tokio::test]
async fn requests_are_counted_by_upstreams_labels() {
    let api = Api::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({"metadata": {"name": "c"}});
    api.post(&format!("{maps}?dryRun=All"), &map).await.ok();
    api.post(maps, &map).await.ok();
    api.get(&format!("{maps}/c")).await.ok();
    api.get(&format!("{maps}/none")).await.fails(404);
    api.get(maps).await.ok();
    api.get("/api/v1/configmaps").await.ok();
    let merge = "application/merge-patch+json";
    api.patch(&format!("{maps}/c"), merge, &json!({"data": {"a": "b"}})).await.ok();
    let apply = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"c": "d"}});
    let uri = format!("{maps}/c?fieldManager=me&force=true");
    api.patch(&uri, "application/apply-patch+yaml", &apply).await.ok();
    api.delete(maps).await.ok();
    api.get("/api/v1/namespaces/default/endpoints").await.ok();
    api.get("/readyz").await;
    api.ask(Method::GET, maps).by(User::new("nobody", &[])).send().await.fails(403);

    let text = scrape(&api).await;
    let labels = |code: &str, dry: &str, scope: &str, verb: &str| {
        format!(
            "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"{dry}\",group=\"\",resource=\"configmaps\",scope=\"{scope}\",subresource=\"\",verb=\"{verb}\",version=\"v1\"}}"
        )
    };
    for (series, want) in [
        (labels("201", "All", "resource", "POST"), 1.0),
        (labels("200", "", "resource", "GET"), 1.0),
        (labels("404", "", "resource", "GET"), 1.0),
        // Refused users are not counted here.
        (labels("200", "", "namespace", "LIST"), 1.0),
        (labels("200", "", "cluster", "LIST"), 1.0),
        (labels("200", "", "resource", "PATCH"), 1.0),
        (labels("200", "", "resource", "APPLY"), 1.0),
        (labels("200", "", "namespace", "DELETE"), 1.0),
    ] {
        assert_eq!(value(&text, &series), want, "{series}");
    }
    for line in [
        "# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
        "# TYPE apiserver_request_total counter",
        "# TYPE apiserver_request_duration_seconds histogram",
        "apiserver_request_duration_seconds_count{component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 2",
        "apiserver_request_sli_duration_seconds_bucket{component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"cluster\",subresource=\"\",verb=\"LIST\",version=\"v1\",le=\"+Inf\"} 1",
        "apiserver_request_duration_seconds_count{component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"\",scope=\"\",subresource=\"/readyz\",verb=\"GET\",version=\"\"} 1",
        "apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\",subresource=\"\",version=\"v1\"} 1",
        "apiserver_admission_controller_admission_duration_seconds_count{name=\"NamespaceLifecycle\",operation=\"DELETE\",rejected=\"false\",type=\"validate\"} 1",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1",
        "apiserver_resource_objects{group=\"\",resource=\"services\"} 1",
        "apiserver_resource_objects{group=\"rbac.authorization.k8s.io\",resource=\"roles\"} 7",
        "authorization_attempts_total{result=\"no-opinion\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(value(&text, "apiserver_storage_size_bytes{storage_cluster_id=\"etcd-0\"}") > 4096.0);
    // Dry runs do not count for service levels.
    assert!(
        !text.contains("apiserver_request_sli_duration_seconds_count{component=\"apiserver\",dry")
    );
    let sizes = "apiserver_response_sizes_sum{component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"}";
    assert!(value(&text, sizes) > 200.0);
    let written = "apiserver_response_sizes_sum{component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\"}";
    assert!(!text.contains(written), "only of what is read");
}

#[tokio::test]
async fn a_watch_is_counted_while_it_lasts_and_when_it_ends() {
    let api = Api::start().await;
    let labels = "component=\"apiserver\",group=\"\",resource=\"namespaces\",scope=\"cluster\",subresource=\"\",verb=\"WATCH\",version=\"v1\"}";
    let open = format!("apiserver_longrunning_requests{{{labels}");
    let ended = "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"namespaces\",scope=\"cluster\",subresource=\"\",verb=\"WATCH\",version=\"v1\"}";
    let mut watch = Watch::open(&api, "/api/v1/namespaces?watch=1").await;
    watch.event().await;
    let text = scrape(&api).await;
    assert_eq!(value(&text, &open), 1.0);
    assert!(!text.contains(ended));
    drop(watch);
    let text = scrape(&api).await;
    assert_eq!(value(&text, &open), 0.0);
    assert_eq!(value(&text, ended), 1.0);
    assert!(value(&text, &format!("apiserver_response_sizes_sum{{{labels}")) > 100.0);
}

/// No client input adds a series.
#[tokio::test]
async fn a_client_cannot_make_series() {
    let api = Api::start().await;
    api.get("/api/v1/namespaces/default/pods/none").await.fails(404);
    api.get("/api/v1/namespaces/default/pods").await.ok();
    api.delete("/api/v1/namespaces/default/pods").await.ok();
    api.ask(Method::GET, "/api/v1/pods").by(User::new("u", &[])).send().await.fails(403);
    scrape(&api).await;
    let before = scrape(&api).await;
    for i in 0..50 {
        for uri in [
            format!("/api/v1/namespaces/made-up-{i}/pods/none"),
            format!("/api/v1/namespaces/default/pods/made-up-{i}"),
            format!("/api/v1/namespaces/default/made-up-{i}"),
            format!("/api/v1/namespaces/default/pods/none/made-up-{i}"),
            format!("/apis/made-up-{i}.example.com/v1/pods"),
            format!("/apis/apps/v{i}0/deployments"),
            format!("/made-up/{i}"),
            format!("/healthz/{i}"),
        ] {
            let agent = format!("made-up-{i}");
            api.ask(Method::GET, &uri).header("user-agent", &agent).send().await;
            let user = User::new(format!("made-up-{i}"), &[]);
            api.ask(Method::GET, &uri).by(user).send().await;
            api.ask(Method::from_bytes(format!("M{i}").as_bytes()).unwrap(), &uri).send().await;
        }
        let dry = format!("/api/v1/namespaces/default/pods?dryRun=made-up-{i}");
        api.delete(&dry).await;
    }
    let after = scrape(&api).await;
    assert!(!after.contains("made-up"), "{after}");
    let (before, after) = (series(&before), series(&after));
    let new: Vec<_> = after.iter().filter(|series| !before.contains(series)).collect();
    // Any invalid dry run is one value, as in upstream.
    let expected = |s: &str| s.contains("dry_run=\"invalid\"");
    assert!(new.iter().all(|series| expected(series)), "{new:#?}");
}

#[tokio::test]
async fn all_that_upstream_promises_is_served() {
    let api = Api::start().await;
    let registry: &Registry = &api.metrics().registry;
    assert_eq!(stable::differences(registry, &["apiserver", "registry"]), [""; 0]);
}

#[tokio::test]
async fn the_form_is_negotiated() {
    let api = Api::start().await;
    let answer = api.get("/metrics").await;
    let media = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    assert_eq!(answer.headers["content-type"], media);
    let open = "application/openmetrics-text; version=1.0.0";
    let answer = api.ask(Method::GET, "/metrics").header("accept", open).send().await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with(open));
    assert!(answer.bytes.ends_with(b"# EOF\n"));
    let nobody = User::new("nobody", &[]);
    api.ask(Method::GET, "/metrics").by(nobody).send().await.fails(403);
}
