//! Time from asking for a pod until a watcher sees it run, with real containers.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use client::Client;
use client::kube::Api;
use client::kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use futures::future::try_join_all;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::process::Command;

use crate::cluster::{self, Cluster};
use crate::load::{self, NAMESPACE};
use crate::process;
use crate::report::{Report, Row, Target};
use crate::stats::{millis, percentile};

const PODS: usize = 50;
const IMAGE: &str = "coxswain.local/demo:v1";
/// One pod must run, or all be gone, by then.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "real containers need root");
    let dir = cluster::directory()?;
    let cluster = Cluster::start(dir.path(), "embedded").await?;
    let outcome = pods(&cluster, dir.path(), report).await;
    cluster.stop().await;
    outcome
}

async fn pods(cluster: &Cluster, dir: &Path, report: &mut Report) -> Result<()> {
    import_image(dir).await?;
    load::namespace(&cluster.endpoint).await?;
    let client = client::transport::https(&dir.join("kubeconfig/admin.conf")).await?;
    one_by_one(&client, "warm", 3).await?;
    // First: what the node cleans up after pods that are gone is not to be measured. It takes no more
    // than 110 pods.
    let together = all_together(&client, "together", PODS).await?;
    remove_all(&client).await?;
    let single = one_by_one(&client, "single", PODS).await?;
    for (how, times) in [("one after another", &single), ("all at once", &together)] {
        for percent in [50, 99] {
            let target = if percent == 50 { Target::Below(200.0) } else { Target::None };
            report.add(Row {
                what: format!("create to Running, {PODS} pods {how}, p{percent}"),
                figure: millis(percentile(times, percent)),
                baseline: None,
                unit: "ms",
                target,
            });
        }
    }
    Ok(())
}

/// `up` imports the demo image by itself, some time after it is ready.
async fn import_image(dir: &Path) -> Result<()> {
    let archive = dir.join("demo.tar");
    let build = [Path::new("image"), Path::new("build-demo"), &archive];
    let import = [Path::new("image"), Path::new("import"), Path::new("--dir"), dir, &archive];
    for arguments in [&build[..], &import[..]] {
        let output = Command::new(process::coxswain()?).args(arguments).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn pod(name: &str) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {
            "containers": [{"name": "demo", "image": IMAGE}],
            "terminationGracePeriodSeconds": 0,
        },
    }))?)
}

type Events =
    std::pin::Pin<Box<dyn Stream<Item = Result<WatchEvent<Pod>, client::kube::Error>> + Send>>;

async fn watch(api: &Api<Pod>) -> Result<Events> {
    let now = api.list(&ListParams::default()).await?.metadata.resource_version;
    let since = now.context("a list without a resourceVersion")?;
    Ok(api.watch(&WatchParams::default(), &since).await?.boxed())
}

/// The next pod that is seen running, or gone.
async fn next(events: &mut Events, gone: bool) -> Result<String> {
    let seen = async {
        while let Some(event) = events.next().await {
            let (pod, deleted) = match event? {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, false),
                WatchEvent::Deleted(pod) => (pod, true),
                WatchEvent::Error(status) => bail!("the watch ended: {status:?}"),
                WatchEvent::Bookmark(_) => continue,
            };
            let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
            if deleted == gone && (gone || phase == Some("Running")) {
                return pod.metadata.name.context("a pod without a name");
            }
        }
        bail!("the watch ended")
    };
    tokio::time::timeout(DEADLINE, seen).await.context("pods do not get on")?
}

async fn one_by_one(client: &Client, prefix: &str, count: usize) -> Result<Vec<Duration>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let mut events = watch(&api).await?;
    let mut times = Vec::new();
    for number in 0..count {
        let name = format!("{prefix}-{number}");
        let pod = pod(&name)?;
        let begun = Instant::now();
        api.create(&PostParams::default(), &pod).await?;
        while next(&mut events, false).await? != name {}
        times.push(begun.elapsed());
    }
    Ok(times)
}

async fn all_together(client: &Client, prefix: &str, count: usize) -> Result<Vec<Duration>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let mut events = watch(&api).await?;
    let pods = (0..count).map(|n| pod(&format!("{prefix}-{n}"))).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let params = PostParams::default();
    let creating = try_join_all(pods.iter().map(|pod| api.create(&params, pod)));
    let running = async {
        let mut times: HashMap<String, Duration> = HashMap::new();
        while times.len() < count {
            let name = next(&mut events, false).await?;
            times.entry(name).or_insert_with(|| begun.elapsed());
        }
        Ok::<_, anyhow::Error>(times)
    };
    let creating = async { Ok(creating.await?) };
    let (_, times) = tokio::try_join!(creating, running)?;
    Ok(times.into_values().collect())
}

async fn remove_all(client: &Client) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let mut events = watch(&api).await?;
    let count = api.list(&ListParams::default()).await?.items.len();
    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    for _ in 0..count {
        next(&mut events, true).await?;
    }
    Ok(())
}
