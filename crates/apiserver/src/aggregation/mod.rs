//! Group versions that other API servers serve (APIService with a service): requests for them are
//! passed on, with the user's name, to an endpoint of the service.

mod availability;
mod discovery;
mod follow;
mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apimachinery::{Object, ObjectExt};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ClientConfig;
use serde_json::Value;

pub(crate) use discovery::{RemoteGroup, groups, versions_of};
pub(crate) use follow::run;
pub(crate) use proxy::proxy;

use crate::request::RequestInfo;
use crate::webhook::ca_bundle;

/// The identity by which other API servers know that a request comes from this one, and its
/// authority (`--proxy-client-cert-file`, `--requestheader-client-ca-file`).
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// The authority, PEM.
    pub authority: String,
    /// Its client certificate for this server.
    pub identity: pki::Issued,
}

/// The name in that certificate.
pub(crate) const NAME: &str = "front-proxy-client";

/// A group version that another server serves.
pub(crate) struct Backend {
    /// Name of the APIService.
    name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    group_priority: i64,
    version_priority: i64,
    namespace: String,
    service: String,
    port: u16,
    tls: Result<Arc<ClientConfig>, Arc<pki::Error>>,
    /// The objects that it was made of.
    spec: Value,
    available: AtomicBool,
    /// The resources that it told of last.
    resources: ArcSwapOption<Value>,
}

impl Backend {
    /// Reads a registration; `None` for those that this server answers itself.
    fn read(object: &Object, front: &FrontProxy) -> Option<Self> {
        let spec = &object["spec"];
        let service = spec.get("service").filter(|service| service.is_object())?;
        let number = |field: &str| spec[field].as_i64().unwrap_or(0);
        let tls = match spec["insecureSkipTLSVerify"] == true {
            true => pki::tls::unverifying(&front.identity),
            false => pki::tls::client(&front.identity, &ca_bundle(spec)),
        };
        let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let available = conditions.any(|c| c["type"] == "Available" && c["status"] == "True");
        Some(Self {
            name: object.name().to_owned(),
            group: spec.str_at(&["group"]).to_owned(),
            version: spec.str_at(&["version"]).to_owned(),
            group_priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
            namespace: service.str_at(&["namespace"]).to_owned(),
            service: service.str_at(&["name"]).to_owned(),
            port: service["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(443),
            tls: tls.map(Arc::new).map_err(Arc::new),
            spec: spec.clone(),
            available: AtomicBool::new(available),
            resources: ArcSwapOption::empty(),
        })
    }

    pub(crate) fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    /// The name in the server's certificate.
    fn host(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// The root of its paths.
    fn root(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }
}

type ByVersion = BTreeMap<(String, String), Arc<Backend>>;

/// All of them.
pub(crate) struct Backends {
    pub(crate) front: FrontProxy,
    by_version: ArcSwap<ByVersion>,
}

impl Backends {
    pub(crate) fn new(front: FrontProxy) -> Self {
        Self { front, by_version: ArcSwap::default() }
    }

    pub(crate) fn all(&self) -> Arc<ByVersion> {
        self.by_version.load_full()
    }

    /// The backend that serves a request's path.
    pub(crate) fn of(&self, info: &RequestInfo) -> Option<Arc<Backend>> {
        let all = self.by_version.load();
        if all.is_empty() {
            return None;
        }
        let mut parts = info.path.trim_start_matches('/').split('/');
        let (Some("apis"), Some(group), Some(version)) = (parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        all.get(&(group.to_owned(), version.to_owned())).cloned()
    }
}
