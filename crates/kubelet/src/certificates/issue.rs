//! The task of one projection: asks for its certificate, and in time for the next.

use std::sync::Arc;
use std::time::Duration;

use client::{EventType, Informer, ObjectKey};
use k8s_openapi::ByteString;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::certificates::v1::{PodCertificateRequest, PodCertificateRequestSpec};
use k8s_openapi::api::core::v1::{Pod, PodCertificateProjection, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource};
use pki::pods::{KeyType, PodKey, UnknownKeyType};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::late::Late;
use super::{Credentials, End, Error, State, Surroundings};
use crate::pod::{name, namespace, spec, uid};

/// Waits before a request is made again.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5 * 60);
/// A request that no watch has shown for so long is no longer there.
const ABANDON: Duration = Duration::from_secs(10 * 60);
/// Spreads what many pods would do at the same moment.
const JITTER: Duration = Duration::from_secs(5 * 60);
/// A certificate is not renewed sooner, whatever its signer says.
const SOONEST: Duration = Duration::from_secs(60);

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("while generating keypair: {0}")]
    KeyType(#[from] UnknownKeyType),
    #[error("while generating keypair: {0}")]
    Key(#[from] pki::Error),
    #[error("while generating keypair: {0}")]
    Making(#[from] tokio::task::JoinError),
    #[error("while fetching service account: {0}")]
    Account(#[source] kube::Error),
    #[error("while getting node object from local cache: node {0:?} not found")]
    Node(String),
    #[error("while creating on API: {0}")]
    Create(#[source] kube::Error),
}

/// The answer to a request.
enum Answer {
    Issued { chain: String, renew_at: Option<Timestamp>, not_after: Option<Timestamp> },
    Ended { end: End, reason: String, message: String },
}

pub(super) struct Issuer {
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) requests: Informer<PodCertificateRequest>,
    pub(super) pod: Pod,
    pub(super) wanted: PodCertificateProjection,
    pub(super) wake: Arc<Notify>,
    pub(super) state: watch::Sender<State>,
}

impl Issuer {
    /// Has the pod have a certificate, until a signer says that it shall have none.
    pub(super) async fn run(&self) {
        let mut late: Option<Late> = None;
        loop {
            let warn = async {
                match &mut late {
                    Some(late) => late.warn(&self.surroundings.recorder, &self.pod).await,
                    None => std::future::pending().await,
                }
            };
            let (key, answer) = tokio::select! {
                next = self.next() => next,
                never = warn => match never {},
            };
            match answer {
                Answer::Issued { chain, renew_at, not_after } => {
                    let now = Instant::now();
                    let renewal = now + (until(renew_at) + jitter()).max(SOONEST);
                    late = Some(Late::new(renewal, not_after.map(|at| now + until(Some(at)))));
                    let key = key.pem().to_owned();
                    self.set(Ok(Arc::new(Credentials { key, chain })));
                    sleep_until(renewal).await;
                }
                Answer::Ended { end, reason, message } => {
                    return self.set(Err(Error::Ended { end, reason, message }));
                }
            }
        }
    }

    fn set(&self, state: State) {
        self.state.send_modify(|known| *known = state);
        self.surroundings.kicks.tell(uid(&self.pod));
    }

    /// Asks until there is an answer.
    async fn next(&self) -> (PodKey, Answer) {
        let mut wait = FIRST_RETRY;
        let mut made = None;
        loop {
            match self.ask(&mut made).await {
                Ok(request) => {
                    if let Some(key) = made.take()
                        && let Some(answer) = self.answer(&request).await
                    {
                        return (key, answer);
                    }
                }
                Err(failed) => {
                    let pod = crate::pod::full_name(&self.pod);
                    tracing::debug!(pod, error = %failed, "no certificate requested");
                    self.state.send_if_modified(|state| {
                        let is_new = state.is_err();
                        if is_new {
                            *state = Err(Error::NotRequested(failed.to_string()));
                        }
                        is_new
                    });
                }
            }
            sleep(wait + wait.mul_f64(rand::random())).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    /// Makes a request. A key that was made for one that failed serves for the next.
    async fn ask(&self, made: &mut Option<PodKey>) -> Result<PodCertificateRequest, Failed> {
        let around = &self.surroundings;
        let key = match made {
            Some(key) => key,
            None => {
                let kind: KeyType = self.wanted.key_type.parse()?;
                // It is never closed. The thread keeps its turn when nobody waits for it any more.
                let turn = around.making.clone().acquire_owned().await;
                let make = move || {
                    let _turn = turn;
                    PodKey::generate(kind)
                };
                made.insert(tokio::task::spawn_blocking(make).await??)
            }
        };
        let account = spec(&self.pod).service_account_name.as_deref().unwrap_or("default");
        let accounts = self.api::<ServiceAccount>();
        let account = accounts.get(account).await.map_err(Failed::Account)?;
        let node = around.node.store().get_in("", &around.node_name);
        let node = node.and_then(|node| node.metadata.uid.clone());
        let node_uid = node.ok_or_else(|| Failed::Node(around.node_name.clone()))?;
        let request =
            request(&self.pod, &self.wanted, key, &account, (&around.node_name, node_uid));
        self.api().create(&PostParams::default(), &request).await.map_err(Failed::Create)
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.surroundings.client.clone(), namespace(&self.pod))
    }

    /// Waits for the answer to a request; `None` if it is gone.
    async fn answer(&self, made: &PodCertificateRequest) -> Option<Answer> {
        let key = ObjectKey::of(made);
        let abandon = sleep(ABANDON + jitter());
        tokio::pin!(abandon);
        let mut seen = false;
        loop {
            match self.requests.store().get(&key) {
                Some(request) if request.metadata.uid == made.metadata.uid => {
                    seen = true;
                    if let Some(answer) = answer_of(&request) {
                        self.tell(&key, &answer);
                        return Some(answer);
                    }
                }
                // Another one of its name has another key.
                _ if seen => return None,
                _ => {}
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = &mut abandon, if !seen => return None,
            }
        }
    }

    fn tell(&self, key: &ObjectKey, answer: &Answer) {
        let Answer::Ended { end, reason, message } = answer else { return };
        let (event, verb) = match end {
            End::Denied => (DENIED, "was denied"),
            End::Failed => (FAILED, "failed"),
        };
        let message = format!(
            "PodCertificateRequest {}/{} {verb}, reason={reason:?}, message={message:?}",
            key.namespace, key.name
        );
        self.surroundings.recorder.event(&self.pod, EventType::Warning, event, message);
    }
}

const ISSUED: &str = "Issued";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

fn answer_of(request: &PodCertificateRequest) -> Option<Answer> {
    let status = request.status.as_ref()?;
    let ended = |condition: &Condition, end| Answer::Ended {
        end,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    };
    status.conditions.iter().flatten().find_map(|condition| match condition.type_.as_str() {
        DENIED => Some(ended(condition, End::Denied)),
        FAILED => Some(ended(condition, End::Failed)),
        ISSUED => Some(Answer::Issued {
            chain: pki::pods::clean_chain(status.certificate_chain.as_deref()?),
            renew_at: status.begin_refresh_at.as_ref().map(|at| at.0),
            not_after: status.not_after.as_ref().map(|at| at.0),
        }),
        _ => None,
    })
}

/// The time that is left.
fn until(at: Option<Timestamp>) -> Duration {
    let left = at.map(|at| at.duration_since(Timestamp::now()));
    left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
}

fn jitter() -> Duration {
    JITTER.mul_f64(rand::random())
}

fn request(
    pod: &Pod,
    wanted: &PodCertificateProjection,
    key: &PodKey,
    account: &ServiceAccount,
    (node_name, node_uid): (&str, String),
) -> PodCertificateRequest {
    PodCertificateRequest {
        metadata: ObjectMeta {
            generate_name: Some("req-".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: name(pod).to_owned(),
                uid: uid(pod).to_owned(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        spec: PodCertificateRequestSpec {
            signer_name: wanted.signer_name.clone(),
            pod_name: name(pod).to_owned(),
            pod_uid: uid(pod).to_owned(),
            service_account_name: account.metadata.name.clone().unwrap_or_default(),
            service_account_uid: account.metadata.uid.clone().unwrap_or_default(),
            node_name: node_name.to_owned(),
            node_uid,
            max_expiration_seconds: wanted.max_expiration_seconds,
            stub_pkc_s10_request: ByteString(key.request().to_vec()),
            unverified_user_annotations: wanted.user_annotations.clone(),
        },
        status: None,
    }
}
