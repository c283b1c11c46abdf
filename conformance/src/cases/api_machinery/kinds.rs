//! Kinds whose whole behaviour that can be seen is their life in the API.

use serde_json::json;

use crate::api::*;
use crate::case::Case;
use crate::cases::lifecycle::{Life, life_case};

pub(super) fn cases() -> Vec<Case> {
    let group = "[sig-api-machinery] ";
    let table = [
        (
            "API priority and fairness should support FlowSchema API operations [Conformance]",
            Life {
                kind: FLOW_SCHEMA,
                object: json!({"spec": {
                    "matchingPrecedence": 10000,
                    "priorityLevelConfiguration": {"name": "global-default"},
                    "distinguisherMethod": {"type": "ByUser"},
                    "rules": [{
                        "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
                        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                    }],
                }}),
                change: json!({"spec": {"matchingPrecedence": 9999}}),
                status: Some(json!({"conditions": [
                    {"type": "TestCondition", "status": "False", "reason": "Set", "message": "by a test"},
                ]})),
            },
        ),
        (
            "API priority and fairness should support PriorityLevelConfiguration API operations \
             [Conformance]",
            Life {
                kind: PRIORITY_LEVEL,
                object: json!({"spec": {"type": "Limited", "limited": {
                    "nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"},
                }}}),
                change: json!({"spec": {"limited": {"nominalConcurrencyShares": 4}}}),
                status: Some(json!({"conditions": [
                    {"type": "TestCondition", "status": "False", "reason": "Set", "message": "by a test"},
                ]})),
            },
        ),
        (
            "StorageVersionMigration CRUD Tests storagemigration.k8s.io/v1 StorageVersionMigration \
             [Conformance]",
            Life {
                kind: STORAGE_MIGRATION,
                // Of nothing, so that nothing is migrated.
                object: json!({"spec": {"resource": {"group": "", "resource": "foo"}}}),
                change: json!({"metadata": {"labels": {"changed": "yes"}}}),
                status: Some(json!({"conditions": [{
                    "type": "TestCondition", "status": "True", "reason": "TestReason",
                    "message": "TestMessage", "lastTransitionTime": "2026-01-01T00:00:00Z",
                }]})),
            },
        ),
        (
            "ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]",
            Life {
                kind: RESOURCE_QUOTA,
                object: json!({"spec": {"hard": {"cpu": "1", "memory": "500Mi"}}}),
                change: json!({"spec": {"hard": {"memory": "750Mi"}}}),
                status: None,
            },
        ),
        (
            "AdmissionWebhook [Privileged:ClusterAdmin] listing mutating webhooks should work \
             [Conformance]",
            Life {
                kind: MUTATING_WEBHOOK,
                object: webhook(),
                change: json!({"metadata": {"labels": {"changed": "yes"}}}),
                status: None,
            },
        ),
        (
            "AdmissionWebhook [Privileged:ClusterAdmin] listing validating webhooks should work \
             [Conformance]",
            Life {
                kind: VALIDATING_WEBHOOK,
                object: webhook(),
                change: json!({"metadata": {"labels": {"changed": "yes"}}}),
                status: None,
            },
        ),
        (
            "MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support \
             MutatingAdmissionPolicy API operations [Conformance]",
            Life {
                kind: MUTATING_POLICY,
                object: json!({"spec": {
                    "matchConstraints": {"resourceRules": [{
                        "apiGroups": ["never.example.com"], "apiVersions": ["v1"],
                        "operations": ["CREATE"], "resources": ["nothings"],
                    }]},
                    "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
                        "expression": "Object{spec: Object.spec{replicas: 1}}",
                    }}],
                    "failurePolicy": "Ignore", "reinvocationPolicy": "Never",
                }}),
                change: json!({"spec": {"failurePolicy": "Fail"}}),
                status: None,
            },
        ),
        (
            "MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support \
             MutatingAdmissionPolicyBinding API operations [Conformance]",
            Life {
                kind: MUTATING_POLICY_BINDING,
                object: json!({"spec": {"policyName": "never-policy.example.com"}}),
                change: json!({"spec": {"matchResources": {"namespaceSelector": {
                    "matchLabels": {"never": "matched"},
                }}}}),
                status: None,
            },
        ),
        (
            "ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support \
             ValidatingAdmissionPolicy API operations [Conformance]",
            Life {
                kind: VALIDATING_POLICY,
                object: json!({"spec": {
                    "matchConstraints": {"resourceRules": [{
                        "apiGroups": ["apps"], "apiVersions": ["v1"],
                        "operations": ["CREATE"], "resources": ["deployments"],
                    }]},
                    "validations": [{"expression": "object.spec.replicas <= 100"}],
                    "failurePolicy": "Ignore",
                }}),
                change: json!({"spec": {"failurePolicy": "Fail"}}),
                status: Some(json!({"conditions": [{
                    "type": "TestCondition", "status": "False", "reason": "Set",
                    "message": "by a test", "lastTransitionTime": "2020-01-01T00:00:00Z",
                }]})),
            },
        ),
        (
            "ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support \
             ValidatingAdmissionPolicyBinding API operations [Conformance]",
            Life {
                kind: VALIDATING_POLICY_BINDING,
                object: json!({"spec": {"policyName": "replicalimit-policy.example.com",
                    "validationActions": ["Warn"]}}),
                change: json!({"spec": {"validationActions": ["Deny"]}}),
                status: None,
            },
        ),
    ];
    table.map(|(title, life)| life_case(&format!("{group}{title}"), life)).into()
}

/// A webhook that nothing matches: no server is called for what nobody creates.
fn webhook() -> serde_json::Value {
    json!({"webhooks": [{
        "name": "never.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": {"url": "https://127.0.0.1:1/never"},
        "namespaceSelector": {"matchLabels": {"never": "matched"}},
        "rules": [{"apiGroups": ["never.example.com"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["nothings"]}],
    }]})
}
