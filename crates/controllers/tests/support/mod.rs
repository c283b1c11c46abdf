//! A cluster in this process: a real API server on a temporary store, the controllers, and a
//! kubelet that only pretends.

// Each test binary uses a part of this, and a failed step here is a failed test.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, User};
use client::informer::{Event, Kind};
use client::kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use client::kube::{Api, Client, Resource, ResourceExt};
use client::{InformerFactory, transport};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;
use serde_json::{Value, json};
use store::{Embedded, Store};
use tokio_util::sync::CancellationToken;

/// Nothing here takes long; this is the time after which something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub client: Client,
    pub informers: InformerFactory,
    cancel: CancellationToken,
    server: ApiServer,
    root_ca: String,
    signer: Arc<pki::Signer>,
    controllers: Option<Running>,
    pub metrics: telemetry::metrics::Registry,
    _dir: tempfile::TempDir,
}

/// One life of the controllers.
struct Running {
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Cluster {
    pub async fn start() -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(&dir.path().join("store"), store::Options::default()).unwrap());
        let ca = pki::Authority::open(&dir.path().join("certs"), "ca").unwrap();
        let issued = ca.issue(&pki::Subject { name: "c", ..pki::Subject::default() }).unwrap();
        let key = dir.path().join("certs/sa.key");
        let signer = Arc::new(pki::Signer::open(&key, "https://kubernetes.default.svc").unwrap());
        let server = ApiServer::start(apiserver::Config {
            store,
            service_range: "10.96.0.0/16".parse().unwrap(),
            signer: signer.clone(),
            front_proxy: apiserver::FrontProxy {
                authority: ca.cert().to_owned(),
                identity: issued.clone(),
            },
            kubelet_tls: Arc::new(pki::tls::client(&issued, ca.cert()).unwrap()),
            client_ca: ca.cert().to_owned(),
            components_within: true,
            advertise: "127.0.0.1:6443".parse().unwrap(),
            authentication: Default::default(),
            authorization: apiserver::Authorization::default(),
            admission: Default::default(),
            audit: Default::default(),
            encryption: Default::default(),
            metrics: Default::default(),
        })
        .await
        .unwrap();
        let act_as = |user: User| transport::in_process(server.in_process(), user);
        let client = act_as(User::new("admin", &["system:masters"]));
        let cancel = CancellationToken::new();
        let manager = act_as(User::new("system:kube-controller-manager", &[]));
        let informers = InformerFactory::new(manager, cancel.clone());
        let root_ca = ca.cert().to_owned();
        let mut cluster = Self {
            client,
            informers,
            cancel,
            server,
            root_ca,
            signer,
            controllers: None,
            metrics: Default::default(),
            _dir: dir,
        };
        cluster.start_controllers(cluster.informers.clone(), cluster.cancel.child_token());
        cluster.play_kubelet();
        cluster
    }

    fn start_controllers(&mut self, informers: InformerFactory, cancel: CancellationToken) {
        let server = self.server.clone();
        let signer = self.signer.clone();
        let task = tokio::spawn(controllers::run(controllers::Config {
            clients: Box::new(move |name| {
                let user = match name.starts_with("system:") {
                    true => User::new(name, &[]),
                    false => User::service_account("kube-system", name),
                };
                transport::in_process(server.in_process(), user)
            }),
            informers,
            cluster_cidr: Some("10.244.0.0/16".parse().unwrap()),
            root_ca: self.root_ca.clone(),
            signing: None,
            sign: Some(Arc::new(move |t: &controllers::SecretToken<'_>| {
                let claims =
                    pki::SecretClaims::new(t.namespace, t.secret, t.account, t.account_uid);
                signer.sign_secret(&claims).ok()
            })),
            metrics: self.metrics.clone(),
            cancel: cancel.clone(),
        }));
        self.controllers = Some(Running { cancel, task });
    }

    /// Waits until metrics have a line.
    pub async fn told(&self, line: &str) {
        let begun = std::time::Instant::now();
        loop {
            let text = self.metrics.encode(telemetry::metrics::Format::Text);
            if text.lines().any(|l| l == line) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{line}\n{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the controllers in the midst of what they do, and starts others that know nothing.
    pub async fn crash_controllers(&mut self) {
        self.end_controllers().await;
        self.restart_controllers();
    }

    /// Ends the controllers in the midst of what they do.
    pub async fn end_controllers(&mut self) {
        if let Some(running) = self.controllers.take() {
            running.task.abort();
            let _ = running.task.await;
            running.cancel.cancel();
        }
    }

    /// Starts controllers that know nothing of what was.
    pub fn restart_controllers(&mut self) {
        let cancel = self.cancel.child_token();
        let user = User::new("system:kube-controller-manager", &[]);
        let manager = transport::in_process(self.server.in_process(), user);
        let informers = InformerFactory::new(manager, cancel.clone());
        self.start_controllers(informers, cancel);
    }

    pub async fn stop(mut self) {
        self.cancel.cancel();
        if let Some(running) = self.controllers.take() {
            running.task.await.unwrap();
        }
    }

    /// Reports every pod running and ready, unless its image is `broken`, and lets deleted ones
    /// go.
    fn play_kubelet(&self) {
        let pods = self.informers.informer::<Pod>();
        let mut events = pods.subscribe();
        let (client, mut last) = (self.client.clone(), 0u8);
        let work = async move {
            while let Some(event) = events.recv().await {
                let pod = match &event {
                    Event::Added(pod) | Event::Modified { new: pod, .. } => pod,
                    Event::Deleted(_) => continue,
                };
                let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
                if pod.metadata.deletion_timestamp.is_some() {
                    let ended = Patch::Strategic(json!({"status": {"phase": "Failed"}}));
                    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                    if !matches!(phase, Some("Failed" | "Succeeded")) {
                        let params = PatchParams::default();
                        let _ = api.patch_status(&pod.name_any(), &params, &ended).await;
                    }
                    let now = DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
                    let _ = api.delete(&pod.name_any(), &now).await;
                    continue;
                }
                let image = pod.spec.as_ref().and_then(|spec| spec.containers[0].image.as_deref());
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                let status = match (image, phase) {
                    (Some("broken"), _) => continue,
                    (Some("exit-0"), Some("Pending") | None) => json!({"phase": "Succeeded"}),
                    (Some("exit-1"), Some("Pending") | None) => json!({"phase": "Failed"}),
                    (_, Some("Pending") | None) => {
                        last += 1;
                        let ip = format!("10.244.0.{last}");
                        json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                            "conditions": [{"type": "Ready", "status": "True",
                                "lastTransitionTime": client::helpers::now()}]})
                    }
                    _ => continue,
                };
                let patch = Patch::Strategic(json!({ "status": status }));
                let _ = api.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await;
            }
        };
        let cancel = self.cancel.clone();
        tokio::spawn(async move { cancel.run_until_cancelled(work).await });
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub async fn create<K>(&self, namespace: &str, object: Value) -> K
    where
        K: Kind + Serialize + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api(namespace).create(&PostParams::default(), &object).await.unwrap()
    }

    pub async fn merge<K>(&self, namespace: &str, name: &str, patch: Value) -> K
    where
        K: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let api = self.api::<K>(namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    /// Waits until the objects of a kind are as they should be; panics with what they are when
    /// that does not happen.
    pub async fn until<K>(&self, what: &str, holds: impl Fn(&[Arc<K>]) -> bool) -> Vec<Arc<K>>
    where
        K: Kind<DynamicType = ()> + Resource<DynamicType = ()>,
    {
        let informer = self.informers.informer::<K>();
        let mut events = informer.subscribe();
        informer.wait_synced().await;
        let wait = async {
            loop {
                let objects = informer.store().list();
                if holds(&objects) {
                    return objects;
                }
                events.recv().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(objects) => objects,
            Err(_) => panic!("{what} did not come about: {:#?}", informer.store().list()),
        }
    }
}

/// A Deployment of `replicas` pods labelled `app: <name>`.
pub fn deployment(name: &str, replicas: i32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": pod_template(name, image),
        },
    })
}

pub fn pod_template(app: &str, image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    })
}

/// Ends a pod as its kubelet would.
pub async fn end(cluster: &Cluster, pod: &Pod, phase: &str, code: i32) {
    let status = json!({"status": {"phase": phase, "containerStatuses": [{
        "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "finishedAt": client::helpers::now()}}}]}});
    let api = cluster.api::<Pod>(&pod.namespace().unwrap());
    let patch = Patch::Strategic(status);
    api.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
}
