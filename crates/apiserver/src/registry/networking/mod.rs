//! The networking.k8s.io group.

mod address;
mod ingress;
mod policy;
mod range;
mod rules;
#[cfg(test)]
mod tests;

use apimachinery::ObjectExt;

use super::Sub;
use super::column::{AGE, Column, NAME, join, selector};
use super::kind::Kind;

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("networking.k8s.io", "v1", kind, resource, singular)
}

pub(super) static KINDS: &[Kind] = &[
    row("IngressClass", "ingressclasses", "ingressclass")
        .strategy(&ingress::IngressClass)
        .generation()
        .columns(&[
            NAME,
            Column::text_or("Controller", &["spec", "controller"], ""),
            Column::make("Parameters", |o| match o.get_path(&["spec", "parameters"]) {
                Some(p) => {
                    let group = p.str_at(&["apiGroup"]);
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{}{dot}{group}/{}", p.str_at(&["kind"]), p.str_at(&["name"])).into()
                }
                None => "<none>".into(),
            }),
            AGE,
        ]),
    row("Ingress", "ingresses", "ingress")
        .namespaced()
        .short(&["ing"])
        .stored_at("ingress")
        .subs(&[Sub::Status])
        .strategy(&ingress::Ingress)
        .generation()
        .columns(ingress::COLUMNS),
    row("IPAddress", "ipaddresses", "ipaddress")
        .short(&["ip"])
        .strategy(&address::IpAddress)
        .columns(&[
            NAME,
            Column::make("ParentRef", |o| {
                let parent = &o["spec"]["parentRef"];
                if parent.is_null() {
                    return "<none>".into();
                }
                let part = |field: &str| parent.str_at(&[field]).to_lowercase();
                let mut text = part("resource");
                if !part("group").is_empty() {
                    text = format!("{text}.{}", part("group"));
                }
                for field in ["namespace", "name"] {
                    let value = parent.str_at(&[field]);
                    if !value.is_empty() || field == "name" {
                        text = format!("{text}/{value}");
                    }
                }
                text.into()
            }),
            // Upstream fills a column that it does not declare.
            AGE,
        ]),
    row("NetworkPolicy", "networkpolicies", "networkpolicy")
        .namespaced()
        .short(&["netpol"])
        .strategy(&policy::NetworkPolicy)
        .generation()
        .columns(&[
            NAME,
            Column::make("Pod-Selector", |o| selector(o.get_path(&["spec", "podSelector"]))),
            AGE,
        ]),
    row("ServiceCIDR", "servicecidrs", "servicecidr")
        .rechecks(0, 1)
        .subs(&[Sub::Status])
        .strategy(&range::ServiceRange)
        .columns(&[
            NAME,
            Column::make("CIDRs", |o| {
                let cidrs = o["spec"]["cidrs"].as_array().into_iter().flatten();
                join(cidrs.filter_map(|c| c.as_str().map(str::to_owned)))
            }),
            AGE,
        ]),
];
