//! Ownership by controllers: adopting objects that match, releasing those that no longer do.

use std::sync::Arc;

use client::Store;
use client::helpers::{controller_of, is_not_found, owner_ref};
use client::informer::Kind;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::{Context, Error};

const INDEX: &str = "controller";

fn orphans_of(namespace: &str) -> String {
    format!("orphan/{namespace}")
}

/// Lets objects be found by the uid of their controller; see [`controlled_by`] and [`orphans`].
pub(crate) fn index<K: Kind>(store: &Store<K>) {
    store.add_index(INDEX, |object| match controller_of(object) {
        Some(owner) => vec![owner.uid.clone()],
        None => vec![orphans_of(&object.namespace().unwrap_or_default())],
    });
}

/// The objects whose controller has this uid.
pub(crate) fn controlled_by<K: Kind>(store: &Store<K>, uid: &str) -> Vec<Arc<K>> {
    store.by_index(INDEX, uid)
}

/// The objects of a namespace that nobody controls.
pub(crate) fn orphans<K: Kind>(store: &Store<K>, namespace: &str) -> Vec<Arc<K>> {
    store.by_index(INDEX, &orphans_of(namespace))
}

/// Finds what `owner` controls among the indexed objects of `store`: keeps what matches, adopts
/// matching orphans, and releases what it controls but no longer matches.
pub(crate) async fn claim<K, O>(
    context: &Context,
    owner: &O,
    store: &Store<K>,
    matches: impl Fn(&K) -> bool,
) -> Result<Vec<Arc<K>>, Error>
where
    K: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    O: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    claim_with(context, owner, store, matches, None).await
}

/// As [`claim`], with a finalizer that adopted objects get and released ones lose.
pub(crate) async fn claim_with<K, O>(
    context: &Context,
    owner: &O,
    store: &Store<K>,
    matches: impl Fn(&K) -> bool,
    finalizer: Option<&str>,
) -> Result<Vec<Arc<K>>, Error>
where
    K: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    O: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let namespace = owner.namespace().unwrap_or_default();
    let uid = owner.uid().unwrap_or_default();
    let api: Api<K> = context.api(&namespace);
    let deleting = owner.meta().deletion_timestamp.is_some();
    let mut claimed = Vec::new();
    for object in controlled_by(store, &uid) {
        if matches(&object) {
            claimed.push(object);
        } else if !deleting {
            release(&api, &*object, &uid, finalizer).await?;
        }
    }
    if deleting {
        return Ok(claimed);
    }
    let mut may_adopt = false;
    for object in orphans(store, &namespace) {
        if object.meta().deletion_timestamp.is_some() || !matches(&object) {
            continue;
        }
        if !may_adopt {
            confirm(context, owner).await?;
            may_adopt = true;
        }
        match adopt(&api, &*object, owner, finalizer).await {
            Ok(adopted) => claimed.push(Arc::new(adopted)),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(claimed)
}

/// Our copy of the owner may be old: ask, so that nothing is adopted by a dead owner.
async fn confirm<O>(context: &Context, owner: &O) -> Result<(), Error>
where
    O: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let api: Api<O> = context.api(&owner.namespace().unwrap_or_default());
    let live = api.get(&owner.name_any()).await?;
    if live.uid() != owner.uid() {
        return Err(Error::other(format!("original {} is gone", owner.name_any())));
    }
    if live.meta().deletion_timestamp.is_some() {
        return Err(Error::other(format!("{} has just been deleted", owner.name_any())));
    }
    Ok(())
}

async fn adopt<K, O>(
    api: &Api<K>,
    object: &K,
    owner: &O,
    finalizer: Option<&str>,
) -> kube::Result<K>
where
    K: Kind,
    O: Resource<DynamicType = ()>,
{
    let mut patch = json!({ "metadata": {
        "ownerReferences": [owner_ref(owner)],
        "uid": object.uid(),
    }});
    if let Some(finalizer) = finalizer {
        patch["metadata"]["finalizers"] = json!([finalizer]);
    }
    api.patch(&object.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await
}

async fn release<K: Kind>(
    api: &Api<K>,
    object: &K,
    owner: &str,
    finalizer: Option<&str>,
) -> Result<(), Error> {
    let mut patch = json!({ "metadata": {
        "ownerReferences": [{ "$patch": "delete", "uid": owner }],
        "uid": object.uid(),
    }});
    if let Some(finalizer) = finalizer {
        patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
    }
    match api.patch(&object.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await {
        Ok(_) => Ok(()),
        // Gone, or no longer the object we know: either way nothing is left to release.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
