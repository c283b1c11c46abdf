//! Says how much of each resource quota is used.
//!
//! The API server charges a quota before it makes an object; this controller counts what there
//! is, gives back what went, and corrects charges that came to nothing.
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>

mod source;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::helpers::is_not_found;
use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use parking_lot::{Mutex, RwLock};
use rules::quota;
use rules::resources::Amounts;
use serde_json::Value;
use tokio::time::Instant;

use crate::common::{meta, namespaced};
use crate::{Context, Error, Outcome};
use source::Source;

const WORKERS: usize = 5;
/// A charge precedes its object by the time of a commit. Whoever counts within that time would
/// miss the object and give its share away.
const SETTLE: Duration = Duration::from_millis(500);
/// When a quota is counted again without any event: pods that should have ended stop counting by
/// the clock alone (upstream's full resync).
const RESYNC: Duration = Duration::from_secs(300);

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    quotas: Store<ResourceQuota>,
    /// The kinds that can be counted; a kind is here once its informer has synced.
    sources: RwLock<Vec<Arc<Source>>>,
    /// The quotas by their last event. Counting starts from these and not from the store, which
    /// may be ahead and hold a charge that nobody has noticed.
    noticed: Mutex<HashMap<ObjectKey, Noticed>>,
}

/// A quota, and when it was last charged.
#[derive(Clone)]
struct Noticed {
    quota: Arc<ResourceQuota>,
    charged: Option<Instant>,
}

impl Noticed {
    /// How long it takes until the last charge shows in what there is.
    fn unsettled(&self) -> Option<Duration> {
        SETTLE.checked_sub(self.charged?.elapsed()).filter(|left| !left.is_zero())
    }
}

pub(crate) async fn run(context: Context) {
    let quotas: Informer<ResourceQuota> = context.informers.informer();
    namespaced::index(quotas.store());
    quotas.wait_synced().await;
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("resourcequota_primary"),
        quotas: quotas.store().clone(),
        sources: RwLock::default(),
        noticed: Mutex::default(),
    });
    let handler = controller.clone();
    context.subscribe(&quotas, move |event| handler.quota_event(&event));
    let watching = controller.clone();
    context.spawn(async move { watch::run(watching).await });
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

fn to_value(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

impl Controller {
    fn quota_event(&self, event: &Event<ResourceQuota>) {
        let key = ObjectKey::of(&**event.object());
        let mut noticed = self.noticed.lock();
        let known = noticed.remove(&key);
        let quota = match event {
            Event::Deleted(_) => return,
            Event::Added(quota) | Event::Modified { new: quota, .. } => quota.clone(),
        };
        let used = |quota: &ResourceQuota| quota::used(&to_value(quota));
        let before = known.as_ref().map(|known| used(&known.quota)).unwrap_or_default();
        let charged = if used(&quota).beyond(&before).is_empty() {
            known.and_then(|known| known.charged)
        } else {
            Some(Instant::now())
        };
        noticed.insert(key.clone(), Noticed { quota, charged });
        self.queue.add(key);
    }

    /// Counts the quotas of a namespace again that limit what the source counts, if `concerned`.
    fn replenish(&self, source: &Source, namespace: &str, concerned: impl Fn(&Value) -> bool) {
        for found in namespaced::list(&self.quotas, namespace) {
            let quota = to_value(&found);
            if source.is_limited_by(&quota) && concerned(&quota) {
                self.queue.add(ObjectKey::of(&*found));
            }
        }
    }

    /// From now on, what the source has counts.
    fn include(&self, source: Arc<Source>) {
        self.sources.write().push(source.clone());
        for found in self.quotas.list() {
            if source.is_limited_by(&to_value(&found)) {
                self.queue.add(ObjectKey::of(&*found));
            }
        }
    }

    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(noticed) = self.noticed.lock().get(&key).cloned() else { return Ok(None) };
        if let Some(wait) = noticed.unsettled() {
            return Ok(Some(wait));
        }
        let quota = to_value(&noticed.quota);
        let hard = quota::hard(&quota, "spec");
        let used = self.count(&quota, &hard);
        if hard != quota::hard(&quota, "status") || used != quota::used(&quota) {
            self.write(&noticed.quota, &used).await?;
        }
        Ok(Some(RESYNC))
    }

    /// The usage under each limit. A resource that no source counts keeps its value.
    fn count(&self, quota: &Value, hard: &Amounts) -> Amounts {
        let now = Timestamp::now();
        let mut used = quota::used(quota);
        used.retain(|name| hard.get(name).is_some());
        for source in self.sources.read().iter() {
            let mut tracked = hard.names().filter(|name| source.counted.tracks(name)).peekable();
            if tracked.peek().is_none() {
                continue;
            }
            let sum = source.sum(quota, now);
            for name in tracked {
                used.set(name, sum.get(name).unwrap_or_default());
            }
        }
        used
    }

    async fn write(&self, quota: &ResourceQuota, used: &Amounts) -> Result<(), Error> {
        let used =
            used.iter().map(|(name, amount)| (name.to_owned(), Quantity(amount.to_string())));
        let mut changed = quota.clone();
        changed.status = Some(ResourceQuotaStatus {
            hard: quota.spec.as_ref().and_then(|spec| spec.hard.clone()),
            used: Some(used.collect()),
        });
        let api = self.context.api::<ResourceQuota>(meta::namespace(quota));
        let params = PostParams::default();
        match api.replace_subresource("status", meta::name(quota), &params, &changed).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}
