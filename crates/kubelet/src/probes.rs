//! Probes: is a container alive, ready, started?

pub(crate) mod dial;
mod grpc;
pub(crate) mod http;
pub(crate) mod results;
pub(crate) mod run;
mod state;
mod tcp;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Probe};
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::pod::{Member, container_reference, name, namespace, uid};
use results::Results;
use run::Outcome;
use state::{Answer, State};

/// The kind of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    Liveness,
    Readiness,
    Startup,
}

impl Question {
    fn word(self) -> &'static str {
        match self {
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
            Self::Startup => "Startup",
        }
    }
}

/// A container that is probed.
pub(crate) struct Target {
    pub(crate) pod: Arc<Pod>,
    pub(crate) container: Container,
    pub(crate) container_id: String,
    pub(crate) pod_ip: String,
    pub(crate) about: ObjectReference,
}

/// Ends the probes of one container.
#[derive(Default)]
struct Running {
    all: CancellationToken,
    /// Liveness and startup.
    disturbing: CancellationToken,
}

/// The probes of one pod's running containers.
#[derive(Default)]
pub(crate) struct Prober {
    pub(crate) results: Results,
    running: HashMap<String, Running>,
}

impl Prober {
    /// Starts the probes of a running container unless they run already.
    pub(crate) fn start(
        &mut self,
        context: &Arc<Context>,
        pod: &Arc<Pod>,
        member: &Member<'_>,
        status: &runtime::ContainerStatus,
        pod_ip: &str,
    ) {
        if self.running.contains_key(&status.id) {
            return;
        }
        let all = CancellationToken::new();
        let disturbing = all.child_token();
        let tokens = Running { all: all.clone(), disturbing: disturbing.clone() };
        self.running.insert(status.id.clone(), tokens);
        let container = &member.container;
        let probes = [
            (Question::Startup, &container.startup_probe),
            (Question::Readiness, &container.readiness_probe),
            (Question::Liveness, &container.liveness_probe),
        ];
        if probes.iter().all(|(_, probe)| probe.is_none()) {
            return;
        }
        let target = Arc::new(Target {
            pod: pod.clone(),
            container: container.clone().into_owned(),
            container_id: status.id.clone(),
            pod_ip: pod_ip.to_owned(),
            about: container_reference(pod, member.role, &container.name),
        });
        let began = status.started_at.unwrap_or(status.created_at);
        for (question, probe) in probes {
            let Some(probe) = probe.clone() else { continue };
            let task =
                ask(context.clone(), self.results.clone(), target.clone(), question, probe, began);
            let cancel = if question == Question::Readiness { &all } else { &disturbing };
            let cancel = cancel.clone();
            telemetry::task::spawn("probe", async move { cancel.run_until_cancelled(task).await });
        }
    }

    /// Ends the probes of containers that `keep` does not name.
    pub(crate) fn stop_except(&mut self, keep: impl Fn(&str) -> bool) {
        self.running.retain(|id, tokens| {
            let keep = keep(id);
            if !keep {
                tokens.all.cancel();
                self.results.forget(id);
            }
            keep
        });
    }

    /// Ends liveness and startup probes, which must not disturb a pod that is being stopped.
    pub(crate) fn quiet(&self) {
        for tokens in self.running.values() {
            tokens.disturbing.cancel();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        for tokens in self.running.values() {
            tokens.all.cancel();
        }
    }
}

/// The metrics of one probe, which end with it.
struct Series<'a> {
    context: &'a Context,
    target: &'a Target,
    question: Question,
}

impl Series<'_> {
    const RESULTS: [&'static str; 3] = ["successful", "failed", "unknown"];

    fn counted(&self, result: &'static str) -> [&str; 6] {
        let (word, pod) = (self.question.word(), &self.target.pod);
        [word, result, &self.target.container.name, name(pod), namespace(pod), uid(pod)]
    }

    fn timed(&self) -> [&str; 4] {
        let pod = &self.target.pod;
        [self.question.word(), &self.target.container.name, name(pod), namespace(pod)]
    }

    fn observe(&self, outcome: &Outcome, took: Duration) {
        let [successful, failed, unknown] = Self::RESULTS;
        let metrics = &self.context.metrics;
        let result = match outcome {
            Outcome::Success | Outcome::Warning(_) => successful,
            Outcome::Failure(_) => failed,
            Outcome::Unknown(_) => unknown,
        };
        metrics.probe_results.with(self.counted(result)).inc();
        metrics.probe_times.with(self.timed()).observe(took.as_secs_f64());
    }
}

impl Drop for Series<'_> {
    fn drop(&mut self) {
        let metrics = &self.context.metrics;
        for result in Self::RESULTS {
            metrics.probe_results.remove(self.counted(result));
        }
        metrics.probe_times.remove(self.timed());
    }
}

/// Asks one question again and again, from the initial delay on, in the probe's period.
async fn ask(
    context: Arc<Context>,
    results: Results,
    target: Arc<Target>,
    question: Question,
    probe: Probe,
    began: Timestamp,
) {
    let id = &target.container_id;
    if question != Question::Startup && target.container.startup_probe.is_some() {
        results.wait_started(id).await;
    }
    let seconds = |value: Option<i32>, default: u64| {
        Duration::from_secs(value.and_then(|v| u64::try_from(v).ok()).unwrap_or(default))
    };
    let age = Duration::try_from(Timestamp::now().duration_since(began)).unwrap_or_default();
    let first = Instant::now() + seconds(probe.initial_delay_seconds, 0).saturating_sub(age);
    let mut ticks = tokio::time::interval_at(
        first,
        seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = State::new(&probe);
    let series = Series { context: &context, target: &target, question };
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        let outcome = run::run(&context, &target, &probe).await;
        let word = question.word();
        series.observe(&outcome, begun.elapsed());
        let tell = |reason: &str, message: String| {
            let about = target.about.clone();
            context.recorder.event_about(about, EventType::Warning, reason, message);
        };
        let succeeded = match outcome {
            Outcome::Success => true,
            Outcome::Warning(message) => {
                tell("ProbeWarning", format!("{word} probe warning: {message}"));
                true
            }
            Outcome::Failure(message) => {
                tell("Unhealthy", format!("{word} probe failed: {message}"));
                false
            }
            Outcome::Unknown(message) => {
                tell(
                    "Unhealthy",
                    format!("{word} probe errored and resulted in unknown state: {message}"),
                );
                continue;
            }
        };
        let Some(answer) = state.record(succeeded) else { continue };
        if results.set(id, question, answer) {
            context.kicks.kick(uid(&target.pod));
        }
        match (question, answer) {
            // Nothing more to learn until there is another container.
            (Question::Startup, _) | (Question::Liveness, Answer::Failure) => return,
            _ => {}
        }
    }
}
