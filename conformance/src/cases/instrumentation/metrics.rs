//! Metrics of the control plane and of nodes.

use anyhow::{Context, Result};
use serde_json::json;

use crate::api::NODE;
use crate::case::{Case, case, pod_case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "[sig-instrumentation] MetricsGrabber should grab all metrics from API server.",
            api_server,
        ),
        pod_case(
            "[sig-instrumentation] MetricsGrabber should grab all metrics from a Kubelet.",
            kubelet,
        ),
        pod_case("[sig-instrumentation] Kubelets should tell what pods use", summary),
        case(
            "[sig-instrumentation] API server should refuse metrics to those who may not read them",
            refused,
        ),
    ]
}

/// Demands lines of a metric in the text format, with a type before them.
fn expect_metric(text: &str, name: &str) -> Result<()> {
    let typed = text.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
    let measured = text.lines().any(|line| line.starts_with(name));
    anyhow::ensure!(typed && measured, "the metrics have no {name}");
    Ok(())
}

async fn api_server(test: Test) -> Result<()> {
    let text = test.cluster.get("/metrics").await?.text();
    for name in ["apiserver_request_total", "apiserver_request_duration_seconds"] {
        expect_metric(&text, name)?;
    }
    // The request before this one is in the counts.
    let counted = |text: &str| -> f64 {
        let lines = text.lines().filter(|line| {
            line.starts_with("apiserver_request_total{")
                && line.contains(r#"resource="configmaps""#)
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    test.of(&crate::api::CONFIG_MAP).items("").await?;
    let again = test.cluster.get("/metrics").await?.text();
    anyhow::ensure!(counted(&again) > counted(&text), "a list of config maps is not counted");
    Ok(())
}

async fn kubelet(test: Test) -> Result<()> {
    for node in test.nodes() {
        let path = test.cluster.all(&NODE).object_path(&format!("{node}/proxy/metrics"));
        let text = test.cluster.get(&path).await?.text();
        expect_metric(&text, "kubelet_running_pods")?;
    }
    Ok(())
}

async fn summary(test: Test) -> Result<()> {
    let pod = test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let node = pod["spec"]["nodeName"].as_str().context("no node")?;
    let path = test.cluster.all(&NODE).object_path(&format!("{node}/proxy/stats/summary"));
    let summary = test.cluster.get(&path).await?.object()?;
    expect_eq("the node", &summary["node"]["nodeName"], &json!(node))?;
    let mut pods = summary["pods"].as_array().into_iter().flatten();
    let ours = pods.find(|one| one["podRef"]["uid"] == pod["metadata"]["uid"]);
    let ours = ours.context("the pod is not in its node's summary")?;
    let memory = ours["containers"][0]["memory"]["workingSetBytes"].as_u64().unwrap_or(0);
    anyhow::ensure!(memory > 0, "the container uses no memory: {ours}");
    Ok(())
}

async fn refused(test: Test) -> Result<()> {
    let nobody = test.cluster.as_bearer(None)?;
    let answer = nobody.call(http::Method::GET, "/metrics", None).await?;
    anyhow::ensure!(
        matches!(answer.code, 401 | 403),
        "/metrics is answered {} to nobody",
        answer.code
    );
    Ok(())
}
