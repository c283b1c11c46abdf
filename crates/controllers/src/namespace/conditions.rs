//! Why a namespace is still there.

use std::collections::BTreeMap;

use client::helpers::now;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};

use super::content::Remains;
use crate::Error;

fn listed(counts: &BTreeMap<String, usize>, verb: &str, what: &str) -> String {
    let items = counts.iter().map(|(name, count)| format!("{name} {verb} {count} {what}"));
    items.collect::<Vec<_>>().join(", ")
}

/// Sets the conditions of a terminating namespace.
pub(super) fn write(namespace: &mut Namespace, remains: &Remains, discovery: Option<&Error>) {
    let status = namespace.status.get_or_insert_default();
    status.phase = Some("Terminating".into());
    let conditions = status.conditions.get_or_insert_default();
    let discovery = discovery
        .map(|error| ("DiscoveryFailed", format!("Discovery failed for some groups: {error}")));
    let failures = (!remains.failures.is_empty()).then(|| {
        let text =
            format!("Failed to delete all resource types, {} remaining: ", remains.failures.len());
        ("ContentDeletionFailed", text + &remains.failures.join(", "))
    });
    let objects = (!remains.objects.is_empty()).then(|| {
        let list = listed(&remains.objects, "has", "resource instances");
        ("SomeResourcesRemain", format!("Some resources are remaining: {list}"))
    });
    let finalizers = (!remains.finalizers.is_empty()).then(|| {
        let list = listed(&remains.finalizers, "in", "resource instances");
        let text = format!("Some content in the namespace has finalizers remaining: {list}");
        ("SomeFinalizersRemain", text)
    });
    let table = [
        (
            "NamespaceDeletionDiscoveryFailure",
            discovery,
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            failures,
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            objects,
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            finalizers,
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ];
    for (kind, problem, fine) in table {
        let bad = problem.is_some();
        let (reason, message) = problem.unwrap_or((fine.0, fine.1.to_owned()));
        set(conditions, kind, bad, reason, message);
    }
}

fn set(list: &mut Vec<NamespaceCondition>, kind: &str, bad: bool, reason: &str, message: String) {
    let status = if bad { "True" } else { "False" };
    match list.iter_mut().find(|condition| condition.type_ == kind) {
        Some(condition) => {
            let changed = condition.status != status
                || condition.reason.as_deref() != Some(reason)
                || condition.message.as_ref() != Some(&message);
            if changed {
                condition.last_transition_time = Some(now());
            }
            condition.status = status.into();
            condition.reason = Some(reason.into());
            condition.message = Some(message);
        }
        None => list.push(NamespaceCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: Some(now()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_named() {
        let mut remains = Remains::default();
        remains.objects.insert("pods.".into(), 2);
        remains.finalizers.insert("example.com/hold".into(), 1);
        let mut namespace = Namespace::default();
        write(&mut namespace, &remains, None);
        let text = |namespace: &Namespace, kind: &str| {
            let conditions = namespace.status.as_ref().unwrap().conditions.as_ref().unwrap();
            let found = conditions.iter().find(|c| c.type_ == kind).unwrap();
            (found.status.clone(), found.message.clone().unwrap())
        };
        let (status, message) = text(&namespace, "NamespaceContentRemaining");
        assert_eq!(status, "True");
        assert_eq!(message, "Some resources are remaining: pods. has 2 resource instances");
        let (_, message) = text(&namespace, "NamespaceFinalizersRemaining");
        assert_eq!(
            message,
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 \
             resource instances"
        );
        write(&mut namespace, &Remains::default(), None);
        assert_eq!(text(&namespace, "NamespaceContentRemaining").0, "False");
        assert_eq!(namespace.status.unwrap().conditions.unwrap().len(), 5);
    }
}
