//! Preparation of a run: the cluster's address, its nodes, the test image on them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::api::{Cluster, NAMESPACE, NODE, POD, Resource, SERVICE_ACCOUNT};
use crate::args::Options;
use crate::case::{Case, Need};
use crate::test::{Settings, name};

/// The kubeconfig's path: the option, the environment, or kubectl's own.
fn kubeconfig_path(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.kubeconfig {
        return Ok(path.clone());
    }
    if let Some(path) = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").context("no --kubeconfig, KUBECONFIG or HOME")?;
    Ok(PathBuf::from(home).join(".kube/config"))
}

/// How the cluster is reached.
pub(crate) async fn configuration(options: &Options) -> Result<Config> {
    let path = kubeconfig_path(options)?;
    let file = Kubeconfig::read_from(&path)
        .with_context(|| format!("reading the kubeconfig {}", path.display()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let mut config = config.with_context(|| format!("the kubeconfig {}", path.display()))?;
    // A watch may be quiet for as long as a case takes.
    config.read_timeout = None;
    // A refusal is what some cases are about.
    config.default_retry = false;
    Ok(config)
}

/// The settings of a run; an error if the selected cases cannot run.
pub(crate) async fn settings(
    options: &Options,
    cluster: &Cluster,
    cases: &[Arc<Case>],
) -> Result<Settings> {
    let near = cluster.until(tokio::time::Instant::now() + Duration::from_secs(20));
    near.get("/version").await.context("the cluster does not answer")?;
    let settings = Settings {
        image: mapped_image(options)?,
        kubectl: options.kubectl.clone().or_else(|| on_path("kubectl")),
        kubeconfig: kubeconfig_path(options)?,
        cache: tempfile::tempdir()?,
        nodes: nodes(&near).await?,
    };
    if cases.iter().any(|case| case.needs.contains(&Need::Image)) {
        check_image(cluster, &settings).await?;
    }
    Ok(settings)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The test image's name, replaced by the map's if it has it.
fn mapped_image(options: &Options) -> Result<String> {
    let Some(path) = &options.image_map else { return Ok(options.image.clone()) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the image map {}", path.display()))?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut map = BTreeMap::new();
    for line in lines {
        let [from, to] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("{}: {line:?} is not NAME NAME", path.display());
        };
        map.insert(from, to);
    }
    let found = map.get(options.image.as_str()).copied();
    Ok(found.unwrap_or(&options.image).to_owned())
}

/// Nodes that are ready and take pods without tolerations.
async fn nodes(cluster: &Cluster) -> Result<Vec<String>> {
    let takes_pods = |node: &&Value| {
        let taints = node["spec"]["taints"].as_array();
        let repels = |taint: &Value| taint["effect"] != "PreferNoSchedule";
        crate::test::is_ready(node)
            && node["spec"]["unschedulable"] != true
            && !taints.into_iter().flatten().any(repels)
    };
    let items = cluster.all(&NODE).items("").await.context("listing the nodes")?;
    Ok(items.iter().filter(takes_pods).map(|node| name(node).to_owned()).collect())
}

/// Makes a namespace that is ready for pods.
pub(crate) async fn make_namespace(cluster: &Cluster, name: &str, labels: Value) -> Result<()> {
    let body = json!({"metadata": {"name": name, "labels": labels}});
    cluster.all(&NAMESPACE).create(body).await?;
    let accounts = cluster.namespaced(&SERVICE_ACCOUNT, name);
    accounts.wait("default", "to exist", |_| true).await?;
    Ok(())
}

/// Runs the image on every node, and keeps it running so that no node collects it as garbage; an
/// error says how it gets there.
async fn check_image(cluster: &Cluster, settings: &Settings) -> Result<()> {
    if settings.nodes.is_empty() {
        bail!("no node is ready and takes pods; --skip leaves out the cases that run containers");
    }
    let cluster = cluster.until(tokio::time::Instant::now() + Duration::from_secs(120));
    let namespace = format!("conformance-{:08x}", rand::random::<u32>());
    make_namespace(&cluster, &namespace, json!({})).await?;
    let pods = cluster.namespaced(&POD, &namespace);
    let on_each = settings.nodes.iter().map(|node| check_on(&pods, node, &settings.image));
    futures::future::try_join_all(on_each).await.map(drop)
}

async fn check_on(pods: &Resource, node: &str, image: &str) -> Result<()> {
    let container = json!({"name": "c", "image": image, "args": ["do", "print ok", "hold"]});
    let spec = json!({"nodeName": node, "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}], "containers": [container]});
    let pod = pods.create(json!({"metadata": {"generateName": "image-"}, "spec": spec})).await?;
    let pod = name(&pod);
    let settled = |pod: &Value| crate::test::is_ready(pod) || pull_failure(pod).is_some();
    let settled = pods.wait(pod, "to run the test image", settled).await?;
    if let Some(reason) = pull_failure(&settled) {
        bail!(
            "node {node} has no image {image} ({reason}); make and import it:\n  \
             coxswain conformance image --out conformance.tar\n  \
             coxswain image import conformance.tar --dir <the cluster's directory>\n\
             (elsewhere: `ctr -n k8s.io images import`, `docker load` and a registry; \
             --image or --image-map say under which name it is found)"
        );
    }
    // Only a process prints: a node that simulates has nothing to read.
    // It may print a moment after it is seen to run; those three bytes end the stream.
    let path = format!("{}?follow=true&limitBytes=3", pods.object_path(&format!("{pod}/log")));
    let log = pods.cluster().get(&path).await;
    let log = log.with_context(|| format!("node {node} gives no logs: does it run containers?"))?;
    if !log.text().contains("ok") {
        bail!("the test image printed {:?} on {node}", log.text());
    }
    Ok(())
}

/// Why a pod's image is not there; `None` if it is or will be.
fn pull_failure(pod: &Value) -> Option<String> {
    let statuses = pod["status"]["containerStatuses"].as_array()?;
    let reasons = statuses.iter().filter_map(|s| s["state"]["waiting"]["reason"].as_str());
    let mut failures = reasons.filter(|reason| {
        matches!(
            *reason,
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName"
        )
    });
    failures.next().map(str::to_owned)
}
