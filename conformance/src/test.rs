//! The fixture of a case: the cluster, a namespace of its own, and helpers for pods.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, LogParams};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::api::{Cluster, Kind, POD, Resource};
use crate::image;

/// Settings shared by every case of a run.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Name of the test image.
    pub(crate) image: String,
    /// The kubectl to use.
    pub(crate) kubectl: Option<PathBuf>,
    /// The kubeconfig for it.
    pub(crate) kubeconfig: PathBuf,
    /// Where it keeps what it read of this cluster.
    pub(crate) cache: tempfile::TempDir,
    /// Names of the nodes that take pods.
    pub(crate) nodes: Vec<String>,
}

/// A running case.
#[derive(Clone)]
pub struct Test {
    /// The cluster.
    pub cluster: Cluster,
    /// The case's own namespace.
    pub namespace: Arc<str>,
    pub(crate) settings: Arc<Settings>,
}

/// Output and outcome of a process in a container.
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// True if it exited with 0.
    pub success: bool,
}

impl Test {
    /// A resource in the case's namespace, or of the cluster.
    #[must_use]
    pub fn of(&self, kind: &Kind) -> Resource {
        self.cluster.namespaced(kind, &self.namespace)
    }

    /// Pods of the case's namespace.
    #[must_use]
    pub fn pods(&self) -> Resource {
        self.of(&POD)
    }

    /// A name that nobody else in the cluster uses.
    #[must_use]
    pub fn unique(&self, name: &str) -> String {
        let suffix = self.namespace.rsplit('-').next().unwrap_or_default();
        format!("{name}-{suffix}-{:04x}", rand::random::<u16>())
    }

    /// Name of the test image.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.settings.image
    }

    /// Names of the nodes that take pods.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.settings.nodes
    }

    /// A further namespace, removed with the case.
    ///
    /// # Errors
    /// As the creation.
    pub async fn namespace(&self, base: &str) -> Result<String> {
        let name = self.unique(base);
        crate::run::make_namespace(&self.cluster, &name, json!({})).await?;
        Ok(name)
    }

    /// A container that does steps of the test image.
    #[must_use]
    pub fn container(&self, name: &str, steps: &[&str]) -> Value {
        json!({"name": name, "image": self.image(), "args": steps_args(steps)})
    }

    /// A container that waits to be stopped.
    #[must_use]
    pub fn pause(&self, name: &str) -> Value {
        json!({"name": name, "image": self.image(), "args": ["pause"]})
    }

    /// A container that serves HTTP on 8080, UDP on 8081 and gRPC health on 5000.
    #[must_use]
    pub fn server(&self, name: &str) -> Value {
        json!({"name": name, "image": self.image(), "args": ["netexec"],
            "readinessProbe": {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 1}})
    }

    /// A pod of a specification; containers without a name or an image get them, and what is not
    /// said about restarts is Never.
    #[must_use]
    pub fn pod(&self, name: &str, mut spec: Value) -> Value {
        for list in ["initContainers", "containers"] {
            for (index, container) in spec[list].as_array_mut().into_iter().flatten().enumerate() {
                if container["name"].is_null() {
                    container["name"] = format!("c{index}").into();
                }
                if container["image"].is_null() {
                    container["image"] = self.image().into();
                }
            }
        }
        if spec["initContainers"].is_null() {
            spec.as_object_mut().map(|spec| spec.remove("initContainers"));
        }
        for (field, value) in
            [("restartPolicy", json!("Never")), ("terminationGracePeriodSeconds", json!(2))]
        {
            if spec[field].is_null() {
                spec[field] = value;
            }
        }
        json!({"metadata": {"name": name, "labels": {"name": name}}, "spec": spec})
    }

    /// Creates a pod of one container that does steps, waits for its success, gives its log.
    ///
    /// # Errors
    /// If it does not succeed.
    pub async fn output(&self, mut spec: Value, steps: &[&str]) -> Result<String> {
        if spec["containers"].is_null() {
            spec["containers"] = json!([{}]);
        }
        spec["containers"][0]["args"] = steps_args(steps);
        let name = self.unique("pod");
        self.pods().create(self.pod(&name, spec)).await?;
        let pod = self.finished(&name).await?;
        let log = self.log(&name, "").await?;
        if pod["status"]["phase"] != "Succeeded" {
            bail!("pod {name} failed: {}; its log: {log}", pod["status"]);
        }
        Ok(log)
    }

    /// Waits until a pod has succeeded or failed.
    ///
    /// # Errors
    /// If it has not in time.
    pub async fn finished(&self, name: &str) -> Result<Value> {
        let ended =
            |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        self.pods().wait(name, "to finish", ended).await
    }

    /// Creates a pod and waits until it is ready.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn start(&self, pod: Value) -> Result<Value> {
        let pod = self.pods().create(pod).await?;
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.ready(&name).await
    }

    /// Waits until a pod is ready.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn ready(&self, name: &str) -> Result<Value> {
        self.pods().wait(name, "to be ready", is_ready).await
    }

    /// A pod's log, with a query such as `container=a&previous=true`.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn log(&self, pod: &str, query: &str) -> Result<String> {
        let path = format!("{}?{query}", self.pods().object_path(&format!("{pod}/log")));
        Ok(self.cluster.get(&path).await?.text())
    }

    /// A running container's log up to its first so many lines, which it may not have written yet:
    /// that a container runs does not say how far it came.
    ///
    /// # Errors
    /// A refusal, or a log that is not so long in time.
    pub async fn log_lines(&self, pod: &str, container: &str, count: usize) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.cluster.client().clone(), &self.namespace);
        let params = LogParams {
            container: Some(container.to_owned()),
            follow: true,
            ..LogParams::default()
        };
        let work = async {
            let lines = pods.log_stream(pod, &params).await?.lines().take(count);
            let lines: Vec<String> = lines.try_collect().await?;
            anyhow::ensure!(lines.len() == count, "{pod}'s log ended after {lines:?}");
            anyhow::Ok(lines.into_iter().map(|line| line + "\n").collect())
        };
        tokio::time::timeout_at(self.cluster.deadline(), work)
            .await
            .with_context(|| format!("the log of {pod} did not come to {count} lines in time"))?
    }

    /// Runs steps of the test image in a container of a running pod.
    ///
    /// # Errors
    /// If it could not be run; a failure of the steps is none.
    pub async fn exec(&self, pod: &str, container: &str, steps: &[&str]) -> Result<Ran> {
        let mut command: Vec<String> = image::COMMAND.iter().map(|&part| part.to_owned()).collect();
        command.push("do".to_owned());
        command.extend(steps.iter().map(|&step| step.to_owned()));
        let pods: Api<Pod> = Api::namespaced(self.cluster.client().clone(), &self.namespace);
        let mut params = AttachParams::default();
        if !container.is_empty() {
            params = params.container(container);
        }
        let work = async {
            let mut process = pods.exec(pod, &command, &params).await?;
            let (mut out, mut err) = (process.stdout(), process.stderr());
            let (mut stdout, mut stderr) = (String::new(), String::new());
            let read_out = async {
                match &mut out {
                    Some(out) => out.read_to_string(&mut stdout).await.map(drop),
                    None => Ok(()),
                }
            };
            let read_err = async {
                match &mut err {
                    Some(err) => err.read_to_string(&mut stderr).await.map(drop),
                    None => Ok(()),
                }
            };
            let status = process.take_status().context("the process has no status")?;
            let (read_out, read_err, status) = futures::join!(read_out, read_err, status);
            read_out?;
            read_err?;
            let status = status.context("the stream ended without a status")?;
            anyhow::Ok(Ran { stdout, stderr, success: status.status.as_deref() == Some("Success") })
        };
        let until = self.cluster.deadline();
        tokio::time::timeout_at(until, work)
            .await
            .with_context(|| format!("exec in {pod} did not end in time"))?
            .with_context(|| format!("exec of {steps:?} in {pod}"))
    }

    /// Runs steps that must succeed; gives what they print.
    ///
    /// # Errors
    /// If they fail.
    pub async fn exec_ok(&self, pod: &str, container: &str, steps: &[&str]) -> Result<String> {
        let ran = self.exec(pod, container, steps).await?;
        if !ran.success {
            bail!("{steps:?} failed in {pod}: {}{}", ran.stdout, ran.stderr);
        }
        Ok(ran.stdout)
    }

    /// Runs steps in a pod again until they succeed and print what is wanted: for what becomes true
    /// outside of the API, such as rules of a service on a node, and has nothing to watch.
    ///
    /// # Errors
    /// If they do not in time.
    pub async fn exec_until(
        &self,
        pod: &str,
        steps: &[&str],
        expected: &str,
        met: impl Fn(&str) -> bool,
    ) -> Result<String> {
        loop {
            let ran = self.exec(pod, "", steps).await?;
            if ran.success && met(&ran.stdout) {
                return Ok(ran.stdout);
            }
            if tokio::time::Instant::now() + Duration::from_secs(1) > self.cluster.deadline() {
                bail!(
                    "expected {expected} from {steps:?} in {pod}; last: {}{}",
                    ran.stdout,
                    ran.stderr
                );
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// A ready pod to run steps in.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn client_pod(&self) -> Result<String> {
        let name = self.unique("client");
        self.start(self.pod(&name, json!({"containers": [{"args": ["pause"]}]}))).await?;
        Ok(name)
    }
}

/// The arguments of the test image for steps.
#[must_use]
pub fn steps_args(steps: &[&str]) -> Value {
    let mut args = vec!["do"];
    args.extend(steps);
    json!(args)
}

/// True if a pod's `Ready` condition is true.
#[must_use]
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True"
}

/// A condition of an object; null if it has none of the type.
#[must_use]
pub fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let mut found = conditions.into_iter().flatten().filter(|c| c["type"] == kind);
    found.next().cloned().unwrap_or(Value::Null)
}

/// The name of an object.
#[must_use]
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Demands that two values are equal.
///
/// # Errors
/// If they are not; the message has both.
pub fn expect_eq(what: &str, got: &Value, expected: &Value) -> Result<()> {
    if got != expected {
        bail!("expected {what} to be {expected}, but it is {got}");
    }
    Ok(())
}

/// Demands that a text has a part.
///
/// # Errors
/// If it has not; the message has both.
pub fn expect_in(what: &str, text: &str, part: &str) -> Result<()> {
    if !text.contains(part) {
        bail!("expected {what} to contain {part:?}, but it is {text:?}");
    }
    Ok(())
}
