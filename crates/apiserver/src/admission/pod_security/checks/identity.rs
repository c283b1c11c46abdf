//! Users that containers run as.

use serde_json::Value;

use super::{Pod, Refusal, named, setters};

pub(super) fn non_root(pod: Pod<'_>) -> Option<Refusal> {
    const REASON: &str = "runAsNonRoot != true";
    let own = &pod.context()["runAsNonRoot"];
    let says = |c: &Value, what: bool| c["securityContext"]["runAsNonRoot"] == what;
    let wrong = pod.containers_where(|c| says(c, false));
    let setters = setters(*own == false, &wrong);
    if !setters.is_empty() {
        let setters = setters.join(" and ");
        let detail = format!("{setters} must not set securityContext.runAsNonRoot=false");
        return Some(Refusal { reason: REASON, detail });
    }
    let silent = pod.containers_where(|c| !says(c, true) && *own != true);
    (!silent.is_empty()).then(|| Refusal {
        reason: REASON,
        detail: format!("pod or {} must set securityContext.runAsNonRoot=true", named(&silent)),
    })
}

pub(super) fn non_root_unless_own(pod: Pod<'_>) -> Option<Refusal> {
    if pod.has_own_users() { None } else { non_root(pod) }
}

pub(super) fn user(pod: Pod<'_>) -> Option<Refusal> {
    let is_root = |context: &Value| context["runAsUser"].as_i64() == Some(0);
    let containers = pod.containers_where(|c| is_root(&c["securityContext"]));
    let setters = setters(is_root(pod.context()), &containers);
    (!setters.is_empty()).then(|| Refusal {
        reason: "runAsUser=0",
        detail: format!("{} must not set runAsUser=0", setters.join(" and ")),
    })
}

pub(super) fn user_unless_own(pod: Pod<'_>) -> Option<Refusal> {
    if pod.has_own_users() { None } else { user(pod) }
}
