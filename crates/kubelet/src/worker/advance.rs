//! The long step of a pod that should run: volumes, sandbox, containers one after the other.

use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Notes;
use crate::context::Context;
use crate::plan::Plan;
use crate::pod::{member, uid};
use crate::spec::container::Place;
use crate::spec::downward::Facts;
use crate::spec::sandbox;
use crate::start;
use crate::start_limit::Step;
use crate::view::PodView;
use crate::volumes::{self, Mounted};

const SETUP_RETRY_FIRST: Duration = Duration::from_millis(500);
const FAILED_MOUNT: &str = "FailedMount";
const SETUP_RETRY_LAST: Duration = Duration::from_secs(122);

/// Carries out a plan. What goes wrong is noted for the status, and retried by a later pass.
pub(super) async fn advance(
    context: &Arc<Context>,
    notes: &Mutex<Notes>,
    pod: &Arc<Pod>,
    plan: Plan,
    mut view: PodView,
) {
    let volumes = match set_up(context, pod, &plan, &mut view).await {
        Ok(volumes) => volumes,
        Err((reason, message)) => {
            context.recorder.event(&**pod, EventType::Warning, reason, message);
            let mut notes = notes.lock();
            let wait = SETUP_RETRY_FIRST.saturating_mul(1 << notes.setup_failures.min(10));
            notes.setup_failures += 1;
            notes.setup_wants_volumes = reason == FAILED_MOUNT;
            notes.setup_retry_at = Some(Instant::now() + wait.min(SETUP_RETRY_LAST));
            return;
        }
    };
    {
        let mut notes = notes.lock();
        notes.setup_failures = 0;
        notes.setup_retry_at = None;
    }
    let Some(sandbox) = view.sandbox().cloned() else { return };
    let place = Place { sandbox: &sandbox, volumes: &volumes, view: &view };
    for name in &plan.start {
        let Some(member) = member(pod, name) else { continue };
        let lifecycle = member.container.lifecycle.as_ref();
        if lifecycle.is_some_and(|lifecycle| lifecycle.post_start.is_some()) {
            notes.lock().hooking.insert(name.clone());
        }
        let result = start::start(context, pod, &member, &place).await;
        let failed = result.as_ref().err().map(|failed| failed.waiting.reason.as_str());
        context.metrics.started(member.role, failed);
        {
            let mut notes = notes.lock();
            notes.hooking.remove(name);
            match result {
                Ok(()) => {
                    notes.waiting.remove(name);
                    notes.retry_at.remove(name);
                }
                Err(failed) => {
                    notes.waiting.insert(name.clone(), failed.waiting);
                    notes.retry_at.insert(name.clone(), Instant::now() + failed.retry_in);
                }
            }
        }
        context.kicks.kick(uid(pod));
    }
}

/// Returns true if a container of the pod has ever run, by the runtime or by the reported status.
fn has_begun(pod: &Pod, view: &PodView) -> bool {
    let status = crate::pod::status(pod);
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let mut all = lists.into_iter().flat_map(|list| list.iter().flatten());
    !view.containers.is_empty() || all.any(|status| status.container_id.is_some())
}

/// Volumes first, as containers and sandbox hooks may need them; then the sandbox, if one is due.
async fn set_up(
    context: &Arc<Context>,
    pod: &Arc<Pod>,
    plan: &Plan,
    view: &mut PodView,
) -> Result<Mounted, (&'static str, String)> {
    let facts = match view.sandbox() {
        Some(sandbox) => context.facts(pod, sandbox),
        None => Facts {
            host_ips: vec![context.config.node_ip.to_string()],
            pod_ips: Vec::new(),
            allocatable: context.allocatable(),
        },
    };
    let mounted = volumes::prepare(context, pod, &facts, has_begun(pod, view));
    let mounted = mounted.await.map_err(|error| (FAILED_MOUNT, error.to_string()))?;
    if let Some(attempt) = plan.create_sandbox {
        let failed = |error: &dyn std::fmt::Display| {
            ("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"))
        };
        std::fs::create_dir_all(context.dirs.pod_logs(pod)).map_err(|error| failed(&error))?;
        let (mut config, omitted) = sandbox::config(context, pod, attempt);
        for message in omitted {
            context.recorder.event(&**pod, EventType::Warning, "DNSConfigForming", message);
        }
        let users = context.users.of(&*context.runtime, pod).await.map_err(|error| {
            let name = crate::pod::full_name(pod);
            failed(&format!("Failed to generate sandbox config for pod {name:?}: {error}"))
        })?;
        config.linux.namespaces.user = users;
        context.metrics.started_pods.inc();
        let make = context.runtime.run_pod_sandbox(config);
        let made = context.starts.run(Step::Sandbox, make).await;
        if made.is_err() {
            context.metrics.failed_pods.inc();
        }
        made.map_err(|error| failed(&error))?;
        *view = PodView::read(&*context.runtime, uid(pod)).await.map_err(|error| failed(&error))?;
    }
    Ok(mounted)
}
