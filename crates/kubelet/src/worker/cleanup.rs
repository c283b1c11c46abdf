//! Removal of a pod's remains.

use std::collections::HashMap;

use runtime::{ContainerState, SandboxState};

use super::{Desired, RUNTIME_RETRY, Worker};
use crate::pod::{full_name, uid};
use crate::view::{PodView, container_name};
use k8s_openapi::api::core::v1::Pod;

/// Instances of a container that are kept: the present one, and one dead for `logs --previous`.
const KEPT_INSTANCES: usize = 2;

impl Worker {
    /// Removes dead containers and sandboxes that are no longer needed.
    pub(super) async fn collect_garbage(&self, pod: &Pod, view: &PodView) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for status in &view.containers {
            let count = seen.entry(container_name(status)).or_default();
            *count += 1;
            if *count > KEPT_INSTANCES && status.state == ContainerState::Exited {
                if let Err(error) = self.context.runtime.remove_container(&status.id).await {
                    tracing::debug!(pod = full_name(pod), %error, "dead container not removed");
                    continue;
                }
                // The log may have been rotated away already.
                let _ = std::fs::remove_file(&status.log_path);
            }
        }
        for sandbox in view.sandboxes.iter().skip(1) {
            let in_use = view.containers.iter().any(|c| c.sandbox_id == sandbox.id);
            if sandbox.state == SandboxState::NotReady
                && !in_use
                && let Err(error) = self.context.runtime.remove_pod_sandbox(&sandbox.id).await
            {
                tracing::debug!(pod = full_name(pod), %error, "dead sandbox not removed");
            }
        }
    }

    /// Gives back the resources of a pod that has ended. Its containers, their last words and their
    /// logs stay until it is deleted.
    pub(super) async fn clean_up(&mut self, desired: &Desired, view: &PodView) {
        let pod = &desired.pod;
        let id = uid(pod);
        if !self.cleaned {
            self.prober.stop_except(|_| false);
            if let Err(error) = crate::volumes::tear_down(&self.context, id) {
                tracing::warn!(pod = full_name(pod), %error, "volumes not removed, will retry");
                return self.wake_in(RUNTIME_RETRY);
            }
            self.context.objects.unregister(pod);
            self.context.tokens.forget(id);
            self.context.trust.forget(id);
            self.context.certificates.forget(id);
            self.context.images.forget(pod);
        }
        self.cleaned = true;
        // Its end is reported to the API before the runtime forgets it.
        if !desired.gone {
            return;
        }
        for sandbox in &view.sandboxes {
            if let Err(error) = self.context.runtime.remove_pod_sandbox(&sandbox.id).await {
                tracing::warn!(pod = full_name(pod), %error, "sandbox not removed, will retry");
                return self.wake_in(RUNTIME_RETRY);
            }
        }
        let _ = runtime::tree::remove_all(&self.context.dirs.pod(id));
        let _ = runtime::tree::remove_all(&self.context.dirs.pod_logs(pod));
        self.context.status.remove(id);
        self.context.ledger.forget(id);
        self.context.users.release(id);
        self.removed = true;
    }
}
