//! The allocation of each pod and the limits its containers were last given, kept over restarts.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::amounts::Amounts;
use crate::dirs::Dirs;
use crate::pod::{full_name, spec, uid};
use crate::quantity;
use rules::container::RestartPolicy;

/// The page of one pod, by container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Page {
    allocated: BTreeMap<String, ResourceRequirements>,
    actuated: BTreeMap<String, Amounts>,
}

/// The allocations of all pods, each checkpointed in its pod's directory.
pub(crate) struct Ledger {
    dirs: Dirs,
    pages: Mutex<HashMap<String, Page>>,
}

impl Ledger {
    pub(crate) fn new(dirs: Dirs) -> Self {
        Self { dirs, pages: Mutex::default() }
    }

    /// The pod with the resources it was allocated, which are its own as long as nothing was.
    pub(crate) fn apply(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        let page = self.page(uid(pod));
        let other = |container: &Container| {
            let allocated = page.allocated.get(&container.name)?;
            let present = container.resources.clone().unwrap_or_default();
            (!same(allocated, &present)).then(|| allocated.clone())
        };
        if !resizable(pod).any(|container| other(container).is_some()) {
            return pod.clone();
        }
        let mut allocated = Pod::clone(pod);
        let spec = allocated.spec.get_or_insert_default();
        for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
            if let Some(resources) = other(container) {
                container.resources = Some(resources);
            }
        }
        Arc::new(allocated)
    }

    /// Returns true if anything was allocated to the pod.
    pub(crate) fn knows(&self, pod: &Pod) -> bool {
        !self.page(uid(pod)).allocated.is_empty()
    }

    /// Allocates to the pod what it wants.
    ///
    /// # Errors
    /// The checkpoint could not be written; nothing is allocated then.
    pub(crate) fn allocate(&self, pod: &Pod) -> io::Result<()> {
        self.change(uid(pod), |page| {
            page.allocated = resizable(pod)
                .map(|container| {
                    (container.name.clone(), container.resources.clone().unwrap_or_default())
                })
                .collect();
        })
    }

    /// Takes a pod of which nothing is known, and which runs, to have what it wants.
    ///
    /// # Errors
    /// The checkpoint could not be written.
    pub(crate) fn adopt(&self, pod: &Pod) -> io::Result<()> {
        self.change(uid(pod), |page| {
            let all = resizable(pod);
            page.actuated = all.map(|c| (c.name.clone(), Amounts::of(c))).collect();
        })?;
        self.allocate(pod)
    }

    /// The amounts that a container was last given; `None` if none are recorded.
    pub(crate) fn actuated(&self, uid: &str, container: &str) -> Option<Amounts> {
        self.page(uid).actuated.get(container).copied()
    }

    /// Notes what a container is given.
    pub(crate) fn actuate(&self, pod: &Pod, container: &str, amounts: Amounts) {
        let changed = self.change(uid(pod), |page| {
            page.actuated.insert(container.to_owned(), amounts);
        });
        if let Err(error) = changed {
            tracing::warn!(pod = full_name(pod), %error, "resources not checkpointed");
        }
    }

    /// Forgets a pod; its checkpoint goes with its directory.
    pub(crate) fn forget(&self, uid: &str) {
        self.pages.lock().remove(uid);
    }

    fn page(&self, uid: &str) -> Page {
        let mut pages = self.pages.lock();
        pages.entry(uid.to_owned()).or_insert_with(|| self.read(uid)).clone()
    }

    fn read(&self, uid: &str) -> Page {
        let path = self.dirs.resources(uid);
        match std::fs::read(&path).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "checkpoint not understood");
                Page::default()
            }
            Err(_) => Page::default(),
        }
    }

    fn change(&self, uid: &str, change: impl FnOnce(&mut Page)) -> io::Result<()> {
        let mut page = self.page(uid);
        let before = page.clone();
        change(&mut page);
        if page == before {
            return Ok(());
        }
        let path = self.dirs.resources(uid);
        let temporary = path.with_extension("tmp");
        std::fs::create_dir_all(self.dirs.pod(uid))?;
        std::fs::write(&temporary, serde_json::to_vec(&page)?)?;
        std::fs::rename(temporary, path)?;
        self.pages.lock().insert(uid.to_owned(), page);
        Ok(())
    }
}

/// Containers whose resources may change while they run.
fn resizable(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = spec(pod);
    let sidecars = spec.init_containers.iter().flatten().filter(|container| container.is_sidecar());
    sidecars.chain(&spec.containers)
}

type Amount = BTreeMap<String, Quantity>;

/// Returns true if two requirements mean the same, however their quantities are written.
fn same(a: &ResourceRequirements, b: &ResourceRequirements) -> bool {
    let lists = |a: &Option<Amount>, b: &Option<Amount>| {
        let (empty, other) = (Amount::new(), Amount::new());
        let (a, b) = (a.as_ref().unwrap_or(&empty), b.as_ref().unwrap_or(&other));
        a.len() == b.len()
            && a.iter()
                .all(|(name, amount)| b.get(name).is_some_and(|b| quantity::equal(amount, b)))
    };
    lists(&a.requests, &b.requests) && lists(&a.limits, &b.limits) && a.claims == b.claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::{Value, json};

    fn with(cpu: Value) -> Arc<Pod> {
        Arc::new(pod(json!({
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": cpu}}}],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}],
        })))
    }

    #[test]
    fn allocations_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Dirs::new(dir.path()));
        let (before, after) = (with(json!("1")), with(json!("2")));
        assert!(Arc::ptr_eq(&ledger.apply(&before), &before) && !ledger.knows(&before));
        ledger.allocate(&before).unwrap();
        let amounts = Amounts::of(&spec(&before).containers[0]);
        ledger.actuate(&before, "a", amounts);

        let ledger = Ledger::new(Dirs::new(dir.path()));
        assert!(ledger.knows(&before));
        assert_eq!(ledger.actuated("u", "a"), Some(amounts));
        let allocated = ledger.apply(&after);
        assert_eq!(spec(&allocated).containers, spec(&before).containers);
        let init = spec(&allocated).init_containers.as_ref();
        assert_eq!(init, spec(&after).init_containers.as_ref(), "it cannot be resized");
        let same = with(json!("1000m"));
        assert!(Arc::ptr_eq(&ledger.apply(&same), &same), "the same, written otherwise");
    }

    #[test]
    fn a_broken_checkpoint_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::new(dir.path());
        std::fs::create_dir_all(dirs.pod("u")).unwrap();
        std::fs::write(dirs.resources("u"), "{").unwrap();
        assert!(!Ledger::new(dirs).knows(&with(json!("1"))));
    }
}
