//! How full the volumes behind claims are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use nix::sys::statvfs::{Statvfs, statvfs};
use parking_lot::Mutex;
use telemetry::metrics::{Desc, Family, Gauge, Registry};

use crate::context::Context;
use crate::pod::{namespace, uid};

/// A file system that does not answer by then is left out: it may be on a remote machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the claims of this node's pods lead, and what their file systems say.
pub(crate) struct VolumeStats {
    gauges: [Family<Gauge, 2>; 6],
    /// By namespace and claim: the path, and the pod that it was mounted for last.
    known: Mutex<BTreeMap<(String, String), (PathBuf, String)>>,
}

impl VolumeStats {
    pub(crate) fn new(main: &Registry) -> Self {
        let labels = ["namespace", "persistentvolumeclaim"];
        let gauge = |name, help| main.gauges(Desc::alpha(name, help), labels);
        Self {
            gauges: [
                gauge("kubelet_volume_stats_capacity_bytes", "Capacity in bytes of the volume"),
                gauge(
                    "kubelet_volume_stats_available_bytes",
                    "Number of available bytes in the volume",
                ),
                gauge("kubelet_volume_stats_used_bytes", "Number of used bytes in the volume"),
                gauge("kubelet_volume_stats_inodes", "Maximum number of inodes in the volume"),
                gauge("kubelet_volume_stats_inodes_free", "Number of free inodes in the volume"),
                gauge("kubelet_volume_stats_inodes_used", "Number of used inodes in the volume"),
            ],
            known: Mutex::default(),
        }
    }

    /// Notes where a claim of a pod leads.
    pub(crate) fn note(&self, pod: &Pod, claim: &str, path: PathBuf) {
        let key = (namespace(pod).to_owned(), claim.to_owned());
        self.known.lock().insert(key, (path, uid(pod).to_owned()));
    }

    /// Asks the file systems, for a scrape.
    pub(super) async fn refresh(&self, context: &Context) {
        let pods = context.pods.store().list();
        let present: Vec<_> = {
            let mut known = self.known.lock();
            known.retain(|_, (_, owner)| pods.iter().any(|pod| uid(pod) == owner));
            known.iter().map(|(key, (path, _))| (key.clone(), path.clone())).collect()
        };
        let asked = tokio::task::spawn_blocking(move || {
            let stats = |path: PathBuf| statvfs(&path).ok();
            present.into_iter().filter_map(|(key, path)| Some((key, stats(path)?))).collect()
        });
        let answers: Vec<((String, String), Statvfs)> =
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(answers)) => answers,
                _ => Vec::new(),
            };
        for family in &self.gauges {
            family.retain(|[space, claim]| {
                answers.iter().any(|((s, c), _)| s == space && c == claim)
            });
        }
        for ((space, claim), stats) in &answers {
            for (family, value) in self.gauges.iter().zip(values(stats)) {
                family.with([space, claim]).set(value as f64);
            }
        }
    }
}

/// Capacity, available and used bytes; all, free and used inodes.
fn values(stats: &Statvfs) -> [u64; 6] {
    let bytes = |blocks: u64| blocks.saturating_mul(stats.fragment_size());
    [
        bytes(stats.blocks()),
        bytes(stats.blocks_available()),
        bytes(stats.blocks().saturating_sub(stats.blocks_free())),
        stats.files(),
        stats.files_free(),
        stats.files().saturating_sub(stats.files_free()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let [capacity, available, used, ..] = values(&statvfs(dir.path()).unwrap());
        assert!(capacity > 0 && available <= capacity && used <= capacity);
    }
}
