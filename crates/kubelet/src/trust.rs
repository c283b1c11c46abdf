//! The trust anchors that pods mount, of ClusterTrustBundles.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use client::informer::{Event, Selection};
use client::{Client, Store};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::ClusterTrustBundleProjection;
use parking_lot::Mutex;
use rules::selector::Selector;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kick::Kicks;
use crate::on_demand::OnDemand;

/// Longest label selector, in JSON.
const MAX_SELECTOR: usize = 100 << 10;
/// How many files are remembered until bundles change.
const MAX_FILES: usize = 256;
/// Bytes of trust anchors that the volumes of a pod may hold: they are in the node's memory.
pub(crate) const MAX_ANCHORS: usize = 32 << 20;

/// Why there are no trust anchors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("ClusterTrustBundle informer has not yet synced")]
    NotSynced,
    #[error(
        "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {0:?} not found"
    )]
    NotFound(String),
    #[error("combination of signerName and labelSelector matched zero ClusterTrustBundles")]
    NoMatch,
    #[error("ClusterTrustBundle projection requires either name or signerName to be set")]
    NoSource,
    #[error("label selector length ({0}) is larger than {MAX_SELECTOR}")]
    LongSelector(usize),
    #[error("the trust anchors of a pod may take {MAX_ANCHORS} bytes at most")]
    TooLarge,
}

/// The bundles that a file is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    Name(String),
    /// A signer, and a label selector in JSON.
    Signer(String, String),
}

/// The bundles that a pod uses.
#[derive(Default)]
struct Interest {
    names: BTreeSet<String>,
    signers: BTreeSet<String>,
}

impl Interest {
    fn concerns(&self, bundle: &ClusterTrustBundle) -> bool {
        let name = bundle.metadata.name.as_deref().unwrap_or_default();
        self.names.contains(name) || self.signers.contains(signer(bundle))
    }
}

fn signer(bundle: &ClusterTrustBundle) -> &str {
    bundle.spec.signer_name.as_deref().unwrap_or_default()
}

/// Files that were made, until bundles change.
#[derive(Default)]
struct Made {
    /// Counts the changes: what was read before one is not remembered after it.
    changes: u64,
    files: HashMap<Source, Arc<[u8]>>,
}

impl Made {
    fn clear(&mut self) {
        self.changes += 1;
        self.files.clear();
    }
}

#[derive(Default)]
struct Shared {
    /// By uid of the pod.
    interests: Mutex<HashMap<String, Interest>>,
    made: Mutex<Made>,
    /// Puts anchors into an order that is the same as long as this kubelet runs, and another on every
    /// node: nobody is to rely on it.
    order: RandomState,
}

/// The trust anchors of all pods on the node.
pub(crate) struct TrustBundles {
    bundles: OnDemand<ClusterTrustBundle>,
    shared: Arc<Shared>,
}

impl TrustBundles {
    pub(crate) fn new(client: Client, kicks: Kicks, cancel: CancellationToken) -> Self {
        let shared = Arc::new(Shared::default());
        let told = shared.clone();
        let handle = move |event: Event<ClusterTrustBundle>| {
            told.made.lock().clear();
            for (pod, interest) in told.interests.lock().iter() {
                let concerns = match &event {
                    Event::Modified { old, new } => {
                        interest.concerns(old) || interest.concerns(new)
                    }
                    Event::Added(bundle) | Event::Deleted(bundle) => interest.concerns(bundle),
                };
                if concerns {
                    kicks.tell(pod);
                }
            }
        };
        Self { bundles: OnDemand::new(client, Selection::default(), cancel, handle), shared }
    }

    /// The file of a projection: its trust anchors, each once (PEM). Waits no longer than `deadline` for
    /// the first answer of the API server.
    ///
    /// # Errors
    /// There are none and they are not optional, or they are too large.
    pub(crate) async fn get(
        &self,
        pod_uid: &str,
        projection: &ClusterTrustBundleProjection,
        deadline: Instant,
    ) -> Result<Arc<[u8]>, Error> {
        let (source, selector) = source(projection)?;
        self.note(pod_uid, &source);
        let informer = self.bundles.join(pod_uid);
        let synced = tokio::time::timeout_at(deadline, informer.wait_synced()).await;
        synced.map_err(|_elapsed| Error::NotSynced)?;
        let changes = {
            let made = self.shared.made.lock();
            if let Some(file) = made.files.get(&source) {
                return Ok(file.clone());
            }
            made.changes
        };
        let found = find(informer.store(), &source, &selector);
        if found.is_empty() {
            return match source {
                _ if projection.optional == Some(true) => Ok(Arc::default()),
                Source::Name(name) => Err(Error::NotFound(name)),
                Source::Signer(..) => Err(Error::NoMatch),
            };
        }
        if found.iter().map(|bundle| bundle.spec.trust_bundle.len()).sum::<usize>() > MAX_ANCHORS {
            return Err(Error::TooLarge);
        }
        let file: Arc<[u8]> = self.shared.join(&found).into();
        let mut made = self.shared.made.lock();
        if made.changes == changes {
            if made.files.len() >= MAX_FILES {
                made.files.clear();
            }
            made.files.insert(source, file.clone());
        }
        Ok(file)
    }

    /// Has the pod told of changes of these bundles.
    fn note(&self, pod_uid: &str, source: &Source) {
        let mut interests = self.shared.interests.lock();
        let interest = interests.entry(pod_uid.to_owned()).or_default();
        match source {
            Source::Name(name) => interest.names.insert(name.clone()),
            Source::Signer(signer, _) => interest.signers.insert(signer.clone()),
        };
    }

    /// Forgets a pod.
    pub(crate) fn forget(&self, pod_uid: &str) {
        self.bundles.leave(pod_uid);
        self.shared.interests.lock().remove(pod_uid);
        // Nobody tells of changes any more.
        if !self.bundles.is_running() {
            self.shared.made.lock().clear();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_watching(&self) -> bool {
        self.bundles.is_running()
    }
}

fn source(projection: &ClusterTrustBundleProjection) -> Result<(Source, Selector), Error> {
    if let Some(name) = &projection.name {
        return Ok((Source::Name(name.clone()), Selector::nothing()));
    }
    let Some(signer) = &projection.signer_name else { return Err(Error::NoSource) };
    let selector = projection.label_selector.as_ref();
    let text = serde_json::to_string(&selector).unwrap_or_default();
    if text.len() > MAX_SELECTOR {
        return Err(Error::LongSelector(text.len()));
    }
    Ok((Source::Signer(signer.clone(), text), Selector::new(selector)))
}

fn find(
    store: &Store<ClusterTrustBundle>,
    source: &Source,
    selector: &Selector,
) -> Vec<Arc<ClusterTrustBundle>> {
    match source {
        Source::Name(name) => store.get_in("", name).into_iter().collect(),
        Source::Signer(..) if selector.is_nothing() => Vec::new(),
        Source::Signer(of, _) => {
            let wanted = |bundle: &Arc<ClusterTrustBundle>| {
                signer(bundle) == of && selector.matches(&**bundle)
            };
            store.list().into_iter().filter(wanted).collect()
        }
    }
}

impl Shared {
    fn join(&self, bundles: &[Arc<ClusterTrustBundle>]) -> Vec<u8> {
        let all = bundles.iter().flat_map(|bundle| pki::pods::anchors(&bundle.spec.trust_bundle));
        let mut anchors: Vec<Vec<u8>> = all.collect::<BTreeSet<_>>().into_iter().collect();
        anchors.sort_by_cached_key(|anchor| self.order.hash_one(anchor));
        anchors.iter().flat_map(|der| pki::pods::encode_certificate(der).into_bytes()).collect()
    }
}

#[cfg(test)]
mod tests;
