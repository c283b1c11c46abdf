//! The condition of definitions in the community's groups (`*.k8s.io`, `*.kubernetes.io`), which need
//! an approval (upstream's `KubernetesAPIApprovalPolicyConformant`).

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt};
use http::Uri;

use super::set_condition;

const ANNOTATION: &str = "api-approved.kubernetes.io";
const POLICY: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")))
}

/// Sets the condition. Returns true if the status changed.
pub(super) fn judge(definition: &mut Object) -> bool {
    if !is_protected(definition.str_at(&["spec", "group"])) {
        return false;
    }
    let annotation = definition.annotation(ANNOTATION).unwrap_or_default();
    let needed = format!("protected groups must have approval annotation {}", quote(ANNOTATION));
    let is_url = annotation
        .parse::<Uri>()
        .is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty()));
    let (status, reason, message) = match annotation {
        "" => ("False", "MissingAnnotation", format!("{needed}, {POLICY}")),
        text if text.starts_with("unapproved") => {
            ("False", "UnapprovedAnnotation", format!("not approved: {}", quote(text)))
        }
        url if is_url => ("True", "ApprovedAnnotation", format!("approved in {url}")),
        _ => {
            let either = "with either a URL or a reason starting with \"unapproved\"";
            ("False", "InvalidAnnotation", format!("{needed} {either}, {POLICY}"))
        }
    };
    set_condition(definition, "KubernetesAPIApprovalPolicyConformant", status, reason, &message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_communitys_groups_need_an_approval() {
        let judged = |group: &str, annotation: Option<&str>| -> Value {
            let mut definition = json!({"metadata": {}, "spec": {"group": group}});
            if let Some(text) = annotation {
                definition["metadata"]["annotations"] = json!({ANNOTATION: text});
            }
            judge(&mut definition);
            definition["status"]["conditions"][0]["reason"].clone()
        };
        assert_eq!(judged("example.com", None), Value::Null);
        assert_eq!(judged("notk8s.io", None), Value::Null);
        assert_eq!(judged("gateway.networking.k8s.io", None), "MissingAnnotation");
        assert_eq!(judged("x.kubernetes.io", Some("unapproved, testing")), "UnapprovedAnnotation");
        assert_eq!(judged("x.k8s.io", Some("https://github.com/x/1")), "ApprovedAnnotation");
        assert_eq!(judged("x.k8s.io", Some("whatever")), "InvalidAnnotation");
    }
}
