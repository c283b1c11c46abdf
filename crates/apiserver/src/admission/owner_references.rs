//! OwnerReferencesPermissionEnforcement: who could not delete an object gives it no owner, and who
//! may not finalize an owner does not block its deletion.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Plugin, Request};
use crate::authz::{self, Attributes, Decision, Refusal};
use crate::registry::Sub;

pub(super) struct EnforceOwnerReferences;

#[async_trait]
impl Plugin for EnforceOwnerReferences {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let Some(object) = object.filter(|_| writes) else { return Ok(()) };
        // A status cannot change owners.
        if request.is("", "pods") && request.sub == Some(Sub::Status) {
            return Ok(());
        }
        let old: Vec<&Value> = request.old.iter().flat_map(|old| old.owner_references()).collect();
        let new: Vec<&Value> = object.owner_references().collect();
        if new == old {
            return Ok(());
        }
        let attributes = |verb| Attributes {
            namespace: request.namespace,
            name: request.name,
            subresource: request.sub.map_or("", Sub::name),
            ..Attributes::on_resource(request.user, verb, request.kind.group, request.kind.resource)
        };
        // An object that is created could as well not be.
        if request.operation == Operation::Update
            && let Decision::Deny(why) = authz::decide(request.server, attributes("delete")).await
        {
            return Err(request.forbidden(format!(
                "cannot set an ownerRef on a resource you can't delete: {}",
                shown(&why)
            )));
        }
        let blocking = newly_blocking(&new, &old);
        let everything = Attributes {
            subresource: "finalizers",
            name: "*",
            ..Attributes::on_resource(request.user, "update", "*", "*")
        };
        if blocking.is_empty() || authz::decide(request.server, everything).await.is_allowed() {
            return Ok(());
        }
        for owner in blocking {
            may_finalize(request, owner).await?;
        }
        Ok(())
    }
}

/// References that block the deletion of their owner, and did not before.
fn newly_blocking<'a>(new: &[&'a Value], old: &[&Value]) -> Vec<&'a Value> {
    let blocks = |owner: &&Value| owner["blockOwnerDeletion"] == true;
    let known = |owner: &Value| {
        // Of several with one uid the last counts.
        let before = old.iter().rev().find(|before| before["uid"] == owner["uid"]);
        before.is_some_and(blocks)
    };
    new.iter().filter(|owner| blocks(owner)).filter(|owner| !known(owner)).copied().collect()
}

async fn may_finalize(request: &Request<'_>, owner: &Value) -> Result<(), Status> {
    let (api_version, name) = (owner.api_version(), owner.kind());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kinds = request.server.kinds();
    let Some(kind) = kinds.find_kind(group, version, name) else {
        return Err(request.forbidden(format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for \
             APIVersion {api_version} Kind {name}: no matches for kind {} in version {}",
            apimachinery::text::quote(name),
            apimachinery::text::quote(api_version)
        )));
    };
    let finalize = Attributes {
        subresource: "finalizers",
        // An owner is in the namespace of what it owns.
        namespace: if kind.namespaced { request.namespace } else { "" },
        name: owner["name"].as_str().unwrap_or_default(),
        ..Attributes::on_resource(request.user, "update", kind.group, kind.resource)
    };
    match authz::decide(request.server, finalize).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(why) => Err(request.forbidden(format!(
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set \
             finalizers on: {}",
            shown(&why)
        ))),
    }
}

/// The reason and the error of a refusal.
fn shown(why: &Refusal) -> String {
    format!("{}, {}", why.reason, why.error.as_deref().unwrap_or("<nil>"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_newly_blocks_counts() {
        let owner = |uid: &str, blocks: Value| json!({"uid": uid, "blockOwnerDeletion": blocks});
        let (yes, no, unsaid) = (json!(true), json!(false), Value::Null);
        let old = [owner("a", yes.clone()), owner("b", no.clone()), owner("c", unsaid)];
        let new = [
            owner("a", yes.clone()),
            owner("b", yes.clone()),
            owner("c", yes.clone()),
            owner("d", yes),
            owner("e", no),
        ];
        let (old, new): (Vec<_>, Vec<_>) = (old.iter().collect(), new.iter().collect());
        let found: Vec<&Value> = newly_blocking(&new, &old).iter().map(|o| &o["uid"]).collect();
        assert_eq!(found, ["b", "c", "d"]);
    }
}
