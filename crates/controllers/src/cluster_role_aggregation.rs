//! Gives aggregated ClusterRoles the rules of those they select.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles>

use std::sync::Arc;

use client::informer::Informer;
use client::{Event, ObjectKey};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::common::meta;
use crate::{Context, Outcome};
use rules::selector::Selector;

const WORKERS: usize = 5;
const MANAGER: &str = "clusterrole-aggregation-controller";

pub(crate) async fn run(context: Context) {
    let roles: Informer<ClusterRole> = context.informers.informer();
    roles.wait_synced().await;
    let queue = context.queue("ClusterRoleAggregator");
    let (adder, store) = (queue.clone(), roles.store().clone());
    // Any role may be part of any other, also through a third: there are not many.
    context.subscribe(&roles, move |_: Event<ClusterRole>| {
        let aggregated = store.list().into_iter().filter(|role| role.aggregation_rule.is_some());
        aggregated.for_each(|role| adder.add(ObjectKey::of(&*role)));
    });
    let (store, inner) = (roles.store().clone(), context.clone());
    let work = move |key: ObjectKey| {
        let (store, context) = (store.clone(), inner.clone());
        async move {
            let Some(role) = store.get(&key) else { return Ok(None) };
            match rules(&role, store.list()) {
                Some(rules) => write(&context, &key.name, rules).await,
                None => Ok(None),
            }
        }
    };
    context.work(&queue, WORKERS, work).await;
}

/// Empty lists are none.
fn normal(rule: &PolicyRule) -> PolicyRule {
    let filled = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    PolicyRule {
        api_groups: filled(&rule.api_groups),
        non_resource_urls: filled(&rule.non_resource_urls),
        resource_names: filled(&rule.resource_names),
        resources: filled(&rule.resources),
        verbs: rule.verbs.clone(),
    }
}

/// The rules an aggregated role should have, or `None` if it has them.
fn rules(role: &ClusterRole, mut roles: Vec<Arc<ClusterRole>>) -> Option<Vec<PolicyRule>> {
    let aggregation = role.aggregation_rule.as_ref()?;
    roles.retain(|other| meta::name(&**other) != meta::name(role));
    roles.sort_by_key(|other| meta::name(&**other).to_owned());
    let mut wanted = Vec::new();
    for selector in aggregation.cluster_role_selectors.iter().flatten() {
        let selector = Selector::new(selector);
        let selected = roles.iter().filter(|other| selector.matches(&***other));
        for rule in selected.flat_map(|other| other.rules.iter().flatten()).map(normal) {
            if !wanted.contains(&rule) {
                wanted.push(rule);
            }
        }
    }
    let present = role.rules.iter().flatten().map(normal);
    (!present.eq(wanted.iter().cloned())).then_some(wanted)
}

async fn write(context: &Context, name: &str, rules: Vec<PolicyRule>) -> Outcome {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": rules,
    });
    let params = PatchParams::apply(MANAGER).force();
    context.all::<ClusterRole>().patch(name, &params, &Patch::Apply(role)).await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_gathered_by_label_once() {
        let rule = |verb: &str| json!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]});
        let role = |name: &str, to: &str, rules: serde_json::Value| -> Arc<ClusterRole> {
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": {"name": name, "labels": {"to": to}}, "rules": rules}))
                .unwrap(),
            )
        };
        let roles = vec![
            role("b", "view", json!([rule("watch"), rule("get")])),
            role("a", "view", json!([rule("get")])),
            role("c", "edit", json!([rule("delete")])),
            role("whole", "view", json!([rule("loop")])),
        ];
        let aggregated = |rules: serde_json::Value| -> ClusterRole {
            serde_json::from_value(json!({
                "metadata": {"name": "whole"}, "rules": rules,
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]}}))
            .unwrap()
        };
        let found = rules(&aggregated(json!(null)), roles.clone()).unwrap();
        let verbs: Vec<&str> = found.iter().map(|rule| rule.verbs[0].as_str()).collect();
        assert_eq!(verbs, ["get", "watch"]);
        let done = aggregated(json!([rule("get"), rule("watch")]));
        assert_eq!(rules(&done, roles.clone()), None);
        assert_eq!(rules(&roles[0], roles.clone()), None);
    }
}
