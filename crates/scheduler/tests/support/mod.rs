//! A cluster in this process: a real API server on a temporary store, the scheduler, and nodes that
//! exist in the API only.

// Each test binary uses a part of this, and a failed step here is a failed test.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, User};
use client::informer::Kind;
use client::kube::api::{Patch, PatchParams, PostParams};
use client::kube::{Api, Client, Resource, ResourceExt};
use client::{InformerFactory, transport};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Embedded, Store};
use tokio_util::sync::CancellationToken;

/// Nothing here takes long; this is the time after which something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Cluster {
    pub client: Client,
    pub informers: InformerFactory,
    pub metrics: telemetry::metrics::Registry,
    cancel: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Cluster {
    /// A cluster with nodes of 2 CPUs, 10 pods, and the label `zone` as given.
    pub async fn start(nodes: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(&dir.path().join("store"), store::Options::default()).unwrap());
        let ca = pki::Authority::open(&dir.path().join("certs"), "ca").unwrap();
        let issued = ca.issue(&pki::Subject { name: "c", ..pki::Subject::default() }).unwrap();
        let key = dir.path().join("certs/sa.key");
        let server = ApiServer::start(apiserver::Config {
            store,
            service_range: "10.96.0.0/16".parse().unwrap(),
            signer: Arc::new(pki::Signer::open(&key, "https://kubernetes.default.svc").unwrap()),
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
        let metrics = telemetry::metrics::Registry::new();
        // The scheduler reads and writes as itself: its role must suffice.
        let itself = act_as(User::new("system:kube-scheduler", &[]));
        tokio::spawn(scheduler::run(scheduler::Config {
            client: itself.clone(),
            informers: InformerFactory::new(itself, cancel.clone()),
            metrics: metrics.clone(),
            cancel: cancel.clone(),
        }));
        let informers = InformerFactory::new(client.clone(), cancel.clone());
        let cluster = Self { client, informers, metrics, cancel, _dir: dir };
        let account = json!({"metadata": {"name": "default"}});
        cluster.create::<k8s_openapi::api::core::v1::ServiceAccount>(account).await;
        for (name, zone) in nodes {
            cluster.add_node(name, zone).await;
        }
        cluster
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

    pub async fn add_node(&self, name: &str, zone: &str) {
        let node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": zone}},
            "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"},
                "capacity": {"cpu": "2", "memory": "4Gi", "pods": "10"}},
        });
        let api: Api<Node> = Api::all(self.client.clone());
        let node: Node = serde_json::from_value(node).unwrap();
        api.create(&PostParams::default(), &node).await.unwrap();
        // These tests do not depend on the status and the taint that creation gives a node.
        let untainted = Patch::Merge(json!({"spec": {"taints": null}}));
        api.patch(name, &PatchParams::default(), &untainted).await.unwrap();
        let status = Patch::Merge(json!({"status": node.status}));
        api.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    /// The API of a namespaced kind in `default`.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub async fn create<K>(&self, object: Value) -> K
    where
        K: Kind + Serialize + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap()
    }

    pub async fn create_global<K>(&self, object: Value)
    where
        K: Kind + Serialize + Resource<DynamicType = ()>,
    {
        let object: K = serde_json::from_value(object).unwrap();
        Api::all(self.client.clone()).create(&PostParams::default(), &object).await.unwrap();
    }

    /// Creates a pod with one container; `spec` says the rest, labels among it.
    pub async fn pod(&self, name: &str, cpu: &str, mut spec: Value) {
        let labels = spec.as_object_mut().unwrap().remove("labels");
        let mut pod = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]},
        });
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        self.create::<Pod>(pod).await;
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

    /// Waits until a pod is as it should be.
    pub async fn until_pod(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Pod) -> bool,
    ) -> Arc<Pod> {
        let one = |pods: &[Arc<Pod>]| pods.iter().find(|pod| pod.name_any() == name).cloned();
        let pods = self.until(what, |pods| one(pods).is_some_and(|pod| holds(&pod))).await;
        one(&pods).unwrap()
    }

    /// The node a pod gets.
    pub async fn node_of(&self, name: &str) -> String {
        let pod = self.until_pod(name, "a node", |pod| node(pod).is_some()).await;
        node(&pod).unwrap()
    }

    /// Waits until a pod's `PodScheduled` condition has this reason, and gives its message.
    pub async fn why(&self, name: &str, reason: &str) -> String {
        let scheduled = |pod: &Pod| {
            let conditions = pod.status.as_ref()?.conditions.as_ref()?;
            let condition = conditions.iter().find(|c| c.type_ == "PodScheduled")?;
            let same = condition.reason.as_deref() == Some(reason);
            same.then(|| condition.message.clone().unwrap_or_default())
        };
        let pod = self.until_pod(name, reason, |pod| scheduled(pod).is_some()).await;
        scheduled(&pod).unwrap()
    }

    /// Waits for an event about an object.
    pub async fn event(&self, about: &str, reason: &str) -> String {
        let is = |event: &&Arc<Event>| {
            event.involved_object.name.as_deref() == Some(about)
                && event.reason.as_deref() == Some(reason)
        };
        let events = self.until::<Event>(reason, |events| events.iter().any(|e| is(&e))).await;
        events.iter().find(is).unwrap().message.clone().unwrap_or_default()
    }
}

pub fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}
