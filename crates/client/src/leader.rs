//! Leader election on a coordination.k8s.io Lease, as upstream's `leaderelection`.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use rand::RngExt;
use telemetry::metrics::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::helpers::is_not_found;
use crate::metrics::Leases;

/// One candidate for one lease.
pub struct LeaderElection {
    /// Client with the right to get, create and update the lease.
    pub client: Client,
    /// Namespace of the lease, `kube-system` for components.
    pub namespace: String,
    /// Name of the lease, such as `kube-scheduler`.
    pub name: String,
    /// The identity of this candidate, unique among all.
    pub identity: String,
    /// How long others wait for a silent leader. 15 s upstream.
    pub lease_duration: Duration,
    /// How long a leader tries to renew before it gives up. 10 s upstream.
    pub renew_deadline: Duration,
    /// Time between attempts. 2 s upstream.
    pub retry_period: Duration,
    /// Where it is told whether this candidate leads.
    pub metrics: Registry,
}

/// How leading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The caller cancelled; the lease was given back if we held it.
    Cancelled,
    /// The lease could not be renewed in time. The process should exit.
    Lost,
    /// The work ended by itself; the lease was given back.
    Finished,
}

/// The lease as last seen, and when it last changed by our own clock (clocks of other machines
/// are not trusted).
struct Observed {
    spec: LeaseSpec,
    at: Instant,
}

impl LeaderElection {
    /// A candidate in `kube-system` with upstream's timing.
    pub fn new(client: Client, name: &str, identity: String, metrics: Registry) -> Self {
        Self {
            client,
            namespace: "kube-system".to_owned(),
            name: name.to_owned(),
            identity,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            metrics,
        }
    }

    /// Waits for leadership, then runs `lead` until it ends, `cancel` is cancelled, or the lease
    /// is lost. The token given to `lead` is cancelled in the latter cases, and this returns
    /// after `lead` has.
    pub async fn run<F, R>(self, cancel: CancellationToken, lead: F) -> Outcome
    where
        F: FnOnce(CancellationToken) -> R,
        R: Future<Output = ()>,
    {
        let status = Leases::of(&self.metrics).0.with([&self.name]);
        status.set(0.0);
        let mut observed = None;
        while !self.attempt(&mut observed).await {
            let wait = self.retry_period.mul_f64(rand::rng().random_range(1.0..2.2));
            if cancel.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Outcome::Cancelled;
            }
        }
        tracing::info!(lease = self.name, identity = self.identity, "became leader");
        let _leads = status.held();
        let leading = cancel.child_token();
        let work = lead(leading.clone());
        tokio::pin!(work);
        let outcome = tokio::select! {
            () = &mut work => Outcome::Finished,
            () = cancel.cancelled() => Outcome::Cancelled,
            () = self.renew(&mut observed) => Outcome::Lost,
        };
        leading.cancel();
        if outcome != Outcome::Finished {
            work.await;
        }
        if outcome != Outcome::Lost {
            self.release().await;
        }
        outcome
    }

    /// Returns once the lease could not be renewed within the deadline.
    async fn renew(&self, observed: &mut Option<Observed>) {
        loop {
            tokio::time::sleep(self.retry_period).await;
            let renewed = tokio::time::timeout(self.renew_deadline, async {
                while !self.attempt(observed).await {
                    tokio::time::sleep(self.retry_period).await;
                }
            });
            if renewed.await.is_err() {
                tracing::error!(lease = self.name, "failed to renew lease, no longer leader");
                return;
            }
        }
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One attempt to take or keep the lease.
    async fn attempt(&self, observed: &mut Option<Observed>) -> bool {
        match self.try_hold(observed).await {
            Ok(held) => held,
            Err(error) => {
                tracing::debug!(lease = self.name, %error, "lease attempt failed");
                false
            }
        }
    }

    async fn try_hold(&self, observed: &mut Option<Observed>) -> kube::Result<bool> {
        let api = self.api();
        let now = MicroTime(Timestamp::now());
        let mut lease = match api.get(&self.name).await {
            Ok(lease) => lease,
            Err(error) if is_not_found(&error) => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..Default::default() };
                let spec = self.claim(&LeaseSpec::default(), now);
                let lease = Lease { metadata, spec: Some(spec.clone()) };
                api.create(&PostParams::default(), &lease).await?;
                *observed = Some(Observed { spec, at: Instant::now() });
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let spec = lease.spec.take().unwrap_or_default();
        let seen = match observed {
            Some(seen) if seen.spec == spec => seen,
            _ => observed.insert(Observed { spec: spec.clone(), at: Instant::now() }),
        };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let held_by_other = !holder.is_empty() && holder != self.identity;
        if held_by_other && seen.at.elapsed() < self.lease_duration {
            return Ok(false);
        }
        let spec = self.claim(&spec, now);
        lease.spec = Some(spec.clone());
        api.replace(&self.name, &PostParams::default(), &lease).await?;
        *observed = Some(Observed { spec, at: Instant::now() });
        Ok(true)
    }

    /// The lease with us as its holder.
    fn claim(&self, current: &LeaseSpec, now: MicroTime) -> LeaseSpec {
        let ours = current.holder_identity.as_deref() == Some(&self.identity);
        let transitions = current.lease_transitions.unwrap_or(0);
        let first = current.acquire_time.is_none();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.lease_duration.as_secs() as i32),
            acquire_time: match &current.acquire_time {
                Some(since) if ours => Some(since.clone()),
                _ => Some(now.clone()),
            },
            renew_time: Some(now),
            lease_transitions: Some(if ours || first { transitions } else { transitions + 1 }),
            ..current.clone()
        }
    }

    /// Gives the lease back so that another candidate need not wait.
    async fn release(&self) {
        let api = self.api();
        let result = async {
            let mut lease = api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(self.renew_deadline, result).await {
            tracing::debug!(lease = self.name, %error, "lease not released");
        }
    }
}

#[cfg(test)]
mod tests;
