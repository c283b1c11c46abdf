//! The core group.

mod claim;
mod config;
mod data;
mod endpoints;
mod event;
mod namespace;
mod node;
mod pod;
mod quota;
mod replicationcontroller;
mod resource_names;
mod service;
mod volume;
mod volume_source;

#[cfg(test)]
mod tests;

use super::Sub;
use super::column::{AGE, CREATED_AT, Column, NAME};
use super::kind::{Kind, Selectable};

const STATUS: &[Sub] = &[Sub::Status];

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("", "v1", kind, resource, singular)
}

pub(in crate::registry) use claim::{check_claim_spec, check_template_metadata};
pub(in crate::registry) use event::check_event;
pub(crate) use event::{COLUMNS as EVENT_COLUMNS, STORED as STORED_EVENT};
pub(in crate::registry) use pod::app_armor;
pub(in crate::registry) use pod::{
    PROTOCOLS, check_node_selector, check_overhead, check_template, check_tolerations,
};
pub(crate) use pod::{default_spec, default_template, tolerations_at};
pub(in crate::registry) use resource_names::check_container_name;
pub(in crate::registry) use volume::{check_inline_volume, default_volume_source};

const DEPRECATED_ENDPOINTS: &str =
    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
const DEPRECATED_COMPONENT_STATUS: &str = "v1 ComponentStatus is deprecated in v1.19+";

pub(super) static KINDS: &[Kind] = &[
    row("Binding", "bindings", "binding").namespaced().computed(),
    row("ComponentStatus", "componentstatuses", "componentstatus")
        .found()
        .short(&["cs"])
        .deprecated(DEPRECATED_COMPONENT_STATUS)
        .columns(&[
            NAME,
            Column::make("Status", config::component_health),
            Column::make("Message", config::component_message),
            Column::make("Error", config::component_error),
        ]),
    row("ConfigMap", "configmaps", "configmap")
        .namespaced()
        .short(&["cm"])
        .strategy(&data::ConfigMap)
        .columns(&[NAME, config::CONFIG_MAP_DATA, AGE]),
    row("Endpoints", "endpoints", "endpoints")
        .namespaced()
        .short(&["ep"])
        .stored_at("services/endpoints")
        .strategy(&endpoints::Endpoints)
        .deprecated(DEPRECATED_ENDPOINTS)
        .columns(&[NAME, Column::make("Endpoints", service::endpoints), AGE]),
    event::EVENT,
    row("LimitRange", "limitranges", "limitrange")
        .rechecks(1, 0)
        .namespaced()
        .short(&["limits"])
        .strategy(&quota::LimitRange)
        .columns(&[NAME, CREATED_AT]),
    row("Namespace", "namespaces", "namespace")
        .short(&["ns"])
        .subs(&[Sub::Finalize, Sub::Status])
        .selectable(&[Selectable::new("status.phase", &["status", "phase"])])
        .strategy(&namespace::Namespace)
        .columns(&[NAME, Column::text_or("Status", &["status", "phase"], ""), AGE]),
    row("Node", "nodes", "node")
        .short(&["no"])
        .stored_at("minions")
        .subs(&[Sub::Proxy, Sub::Status])
        .selectable(
            &[Selectable::new("spec.unschedulable", &["spec", "unschedulable"]).or("false")],
        )
        .strategy(&node::Node)
        .columns(node::COLUMNS),
    row("PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim")
        .namespaced()
        .short(&["pvc"])
        .subs(STATUS)
        .change_first()
        .strategy(&volume::Claim)
        .columns(volume::CLAIM_COLUMNS),
    row("PersistentVolume", "persistentvolumes", "persistentvolume")
        .rechecks(2, 0)
        .short(&["pv"])
        .subs(STATUS)
        .strategy(&volume::Volume)
        .columns(volume::VOLUME_COLUMNS),
    row("Pod", "pods", "pod")
        .namespaced()
        .short(&["po"])
        .in_all()
        .subs(&[
            Sub::Attach,
            Sub::Binding,
            Sub::EphemeralContainers,
            Sub::Eviction,
            Sub::Exec,
            Sub::Log,
            Sub::PortForward,
            Sub::Proxy,
            Sub::Resize,
            Sub::Status,
        ])
        .selectable(pod::SELECTABLE)
        .strategy(&pod::Pod)
        .pod_spec(&["spec"])
        .generation()
        .row_conditions(pod::row_conditions)
        .columns(pod::COLUMNS),
    row("PodTemplate", "podtemplates", "podtemplate")
        .rechecks(0, 1)
        .namespaced()
        .strategy(&pod::PodTemplate)
        .pod_spec(&["template", "spec"])
        .generation()
        .columns(pod::TEMPLATE_COLUMNS),
    replicationcontroller::ROW,
    row("ResourceQuota", "resourcequotas", "resourcequota")
        .rechecks(0, 1)
        .namespaced()
        .short(&["quota"])
        .subs(STATUS)
        .strategy(&quota::ResourceQuota)
        .columns(config::QUOTA_COLUMNS),
    row("Secret", "secrets", "secret")
        .namespaced()
        .selectable(&[Selectable::new("type", &["type"])])
        .strategy(&data::Secret)
        .columns(config::SECRET_COLUMNS),
    row("ServiceAccount", "serviceaccounts", "serviceaccount")
        .namespaced()
        .short(&["sa"])
        .subs(&[Sub::Token])
        .strategy(&data::ServiceAccount)
        .columns(config::SERVICE_ACCOUNT_COLUMNS),
    row("Service", "services", "service")
        .rechecks(0, 1)
        .namespaced()
        .short(&["svc"])
        .stored_at("services/specs")
        .in_all()
        .subs(&[Sub::Proxy, Sub::Status])
        .selectable(&[
            Selectable::new("spec.clusterIP", &["spec", "clusterIP"]),
            Selectable::new("spec.type", &["spec", "type"]),
        ])
        .strategy(&service::Service)
        .columns(service::COLUMNS),
];
