//! Ingress and IngressClass.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::rules::{Old, check_class, check_ingress, check_status};
use crate::registry::Sub;
use crate::registry::check::check;
use crate::registry::column::{AGE, Column, NAME, join};
use crate::registry::strategy::{Context, Strategy, set_default};

fn list<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.get_path(path).and_then(Value::as_array).into_iter().flatten()
}

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::text("Class", &["spec", "ingressClassName"]),
    Column::make("Hosts", |o| {
        let hosts =
            list(o, &["spec", "rules"]).map(|r| r.str_at(&["host"])).filter(|h| !h.is_empty());
        let text = join(hosts.map(str::to_owned));
        if text == "<none>" { "*".into() } else { text }
    }),
    Column::make("Address", |o| {
        let ingress = list(o, &["status", "loadBalancer", "ingress"]);
        let text = join(
            ingress.filter_map(|i| i["ip"].as_str().or(i["hostname"].as_str()).map(str::to_owned)),
        );
        if text == "<none>" { "".into() } else { text }
    }),
    Column::make("Ports", |o| {
        if list(o, &["spec", "tls"]).next().is_some() { "80, 443".into() } else { "80".into() }
    }),
    AGE,
];

pub(super) struct Ingress;

impl Strategy for Ingress {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"loadBalancer": {}});
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_ingress(&object.at("spec"), Old::default());
            let class = object.at("spec").get("ingressClassName").as_str();
            let annotation = object.value().annotation(CLASS);
            if class.is_some() && annotation.is_some() && class != annotation {
                object.at("annotations").at(CLASS).invalid_value(
                    annotation.unwrap_or_default(),
                    "must match `ingressClassName` when both are specified",
                );
            }
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_ingress(&object.at("spec"), Old::of(old)))
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_status(object, old))
    }
}

/// Annotation that held the class before the field existed.
const CLASS: &str = "kubernetes.io/ingress.class";

pub(super) struct IngressClass;

impl Strategy for IngressClass {
    fn default(&self, object: &mut Object) {
        if let Some(parameters) = object.get_mut("spec").and_then(|s| s.get_mut("parameters")) {
            set_default(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_class(&object.at("spec")))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut errors =
            check(object, |object| object.at("spec").immutable_text("controller", &old["spec"]));
        errors.extend(self.validate(object));
        errors
    }
}
