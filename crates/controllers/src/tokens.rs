//! Fills Secrets of type `kubernetes.io/service-account-token`, and removes them with their account.

use std::sync::Arc;

use client::helpers::{is_conflict, is_not_found};
use client::{Event, Store};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams, Preconditions};

use crate::common::meta;
use crate::{Context, Error, SecretToken};

pub(crate) const TYPE: &str = "kubernetes.io/service-account-token";
pub(crate) const ACCOUNT: &str = "kubernetes.io/service-account.name";
pub(crate) const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
const WORKERS: usize = 5;

/// A key of the work queue, which suffices also for an object that has gone meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// An account that may have gone.
    Account { namespace: String, name: String, uid: String },
    /// A token's Secret.
    Token { namespace: String, name: String, uid: String, account: String, account_uid: String },
}

pub(crate) async fn run(context: Context) {
    if context.settings.sign.is_none() {
        // Upstream does not start it either without a key.
        return context.cancel.cancelled().await;
    }
    let queue = context.queue("serviceaccount_tokens_secret");
    let enqueue = queue.clone();
    let accounts = context.on::<ServiceAccount>(move |event| {
        if let Event::Deleted(account) = event {
            enqueue.add(Key::Account {
                namespace: meta::namespace(&*account).to_owned(),
                name: meta::name(&*account).to_owned(),
                uid: meta::uid(&*account).to_owned(),
            });
        }
    });
    accounts.wait_synced().await;
    let enqueue = queue.clone();
    let secrets = context.on::<Secret>(move |event| {
        let secret = &**event.object();
        let account = meta::annotation(secret, ACCOUNT).unwrap_or_default();
        if secret.type_.as_deref() == Some(TYPE) && !account.is_empty() {
            enqueue.add(Key::Token {
                namespace: meta::namespace(secret).to_owned(),
                name: meta::name(secret).to_owned(),
                uid: meta::uid(secret).to_owned(),
                account: account.to_owned(),
                account_uid: meta::annotation(secret, ACCOUNT_UID).unwrap_or_default().to_owned(),
            });
        }
    });
    secrets.wait_synced().await;
    let tokens = Arc::new(Tokens {
        context: context.clone(),
        accounts: accounts.store().clone(),
        secrets: secrets.store().clone(),
    });
    context
        .work(&queue, WORKERS, move |key: Key| {
            let tokens = tokens.clone();
            async move { tokens.sync(key).await.map(|()| None) }
        })
        .await;
}

struct Tokens {
    context: Context,
    accounts: Store<ServiceAccount>,
    secrets: Store<Secret>,
}

/// Returns true if a uid is the wanted one; an empty `wanted` matches any.
fn is(uid: Option<&str>, wanted: &str) -> bool {
    wanted.is_empty() || uid == Some(wanted)
}

impl Tokens {
    async fn sync(&self, key: Key) -> Result<(), Error> {
        match key {
            Key::Account { namespace, name, uid } => {
                if self.known_account(&namespace, &name, &uid).is_some() {
                    return Ok(());
                }
                for secret in self.secrets.list() {
                    let its = meta::namespace(&*secret) == namespace
                        && secret.type_.as_deref() == Some(TYPE)
                        && meta::annotation(&*secret, ACCOUNT) == Some(&*name)
                        && meta::annotation(&*secret, ACCOUNT_UID) == Some(&*uid);
                    if its {
                        self.delete(&namespace, meta::name(&*secret), meta::uid(&*secret)).await?;
                    }
                }
                Ok(())
            }
            Key::Token { namespace, name, uid, account, account_uid } => {
                let secret = self.secrets.get_in(&namespace, &name);
                let secret = secret.filter(|secret| is(Some(meta::uid(&**secret)), &uid));
                let Some(secret) = secret else {
                    if self.known_account(&namespace, &account, &account_uid).is_some() {
                        self.forget(&namespace, &account, &account_uid, &name).await?;
                    }
                    return Ok(());
                };
                match self.account(&namespace, &account, &account_uid).await? {
                    None => self.delete(&namespace, &name, &uid).await,
                    Some(account) => self.fill(&secret, &account).await,
                }
            }
        }
    }

    fn known_account(&self, ns: &str, name: &str, uid: &str) -> Option<Arc<ServiceAccount>> {
        let account = self.accounts.get_in(ns, name);
        account.filter(|account| is(Some(meta::uid(&**account)), uid))
    }

    /// The account, which may be newer than what is known.
    async fn account(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Option<Arc<ServiceAccount>>, Error> {
        if let Some(account) = self.known_account(namespace, name, uid) {
            return Ok(Some(account));
        }
        let live = self.context.api::<ServiceAccount>(namespace).get_opt(name).await?;
        Ok(live.filter(|account| is(account.metadata.uid.as_deref(), uid)).map(Arc::new))
    }

    /// Deletes that Secret, and not another of its name.
    async fn delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
        let precondition = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(precondition), ..DeleteParams::default() };
        match self.context.api::<Secret>(namespace).delete(name, &params).await {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes what a token's Secret lacks.
    async fn fill(&self, known: &Secret, account: &ServiceAccount) -> Result<(), Error> {
        if !self.missing(known).any() {
            return Ok(());
        }
        let (namespace, name) = (meta::namespace(known), meta::name(known));
        let api = self.context.api::<Secret>(namespace);
        let Some(mut secret) = api.get_opt(name).await? else { return Ok(()) };
        let missing = self.missing(&secret);
        // A newer one brings us here again.
        if secret.metadata.resource_version != known.metadata.resource_version || !missing.any() {
            return Ok(());
        }
        let data = secret.data.get_or_insert_default();
        let mut set = |key: &str, text: &str| {
            data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
        };
        if missing.ca {
            set("ca.crt", &self.context.settings.root_ca);
        }
        if missing.namespace {
            set("namespace", namespace);
        }
        if missing.token {
            let wanted = SecretToken {
                namespace,
                secret: name,
                account: meta::name(account),
                account_uid: meta::uid(account),
            };
            let sign = self.context.settings.sign.as_ref();
            let token = sign.and_then(|sign| sign(&wanted));
            set("token", &token.ok_or_else(|| Error::other("the token cannot be signed"))?);
        }
        let notes = secret.metadata.annotations.get_or_insert_default();
        notes.insert(ACCOUNT.to_owned(), meta::name(account).to_owned());
        notes.insert(ACCOUNT_UID.to_owned(), meta::uid(account).to_owned());
        match api.replace(name, &PostParams::default(), &secret).await {
            Err(error) if !is_conflict(&error) && !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn missing(&self, secret: &Secret) -> Missing {
        let get = |key| secret.data.iter().flatten().find(|(k, _)| *k == key).map(|(_, v)| &v.0);
        let empty = |key| get(key).is_none_or(Vec::is_empty);
        let ca = &self.context.settings.root_ca;
        Missing {
            ca: !ca.is_empty() && get("ca.crt").is_none_or(|have| have != ca.as_bytes()),
            namespace: empty("namespace"),
            token: empty("token"),
        }
    }

    /// Removes a Secret that is gone from its account's list.
    async fn forget(
        &self,
        namespace: &str,
        account: &str,
        uid: &str,
        secret: &str,
    ) -> Result<(), Error> {
        let api = self.context.api::<ServiceAccount>(namespace);
        let Some(mut live) = api.get_opt(account).await? else { return Ok(()) };
        let names = |account: &ServiceAccount| account.secrets.as_ref().map_or(0, Vec::len);
        let before = names(&live);
        if !is(live.metadata.uid.as_deref(), uid) {
            return Ok(());
        }
        if let Some(secrets) = &mut live.secrets {
            secrets.retain(|reference| reference.name.as_deref() != Some(secret));
        }
        if names(&live) == before {
            return Ok(());
        }
        match api.replace(account, &PostParams::default(), &live).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The fields that a token's Secret lacks.
struct Missing {
    ca: bool,
    namespace: bool,
    token: bool,
}

impl Missing {
    fn any(&self) -> bool {
        self.ca || self.namespace || self.token
    }
}
