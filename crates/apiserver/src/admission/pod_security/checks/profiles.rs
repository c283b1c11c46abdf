//! Profiles of the kernel's security modules, and what is hidden of `/proc`.

use std::collections::BTreeSet;

use apimachinery::text::quote;
use serde_json::Value;

use super::{Pod, Refusal, named, plural, quoted, setters, text};

/// The containers whose profile of a kind is not permitted, the pod's own mistake, and the types of
/// all of these.
struct Wrong<'a> {
    pod: bool,
    containers: Vec<&'a str>,
    types: BTreeSet<&'a str>,
}

impl<'a> Wrong<'a> {
    fn of(pod: Pod<'a>, field: &str) -> Self {
        let mut types = BTreeSet::new();
        let mut is_wrong = |context: &'a Value| {
            let of = text(&context[field]["type"]);
            let wrong = !context[field].is_null() && !matches!(of, "RuntimeDefault" | "Localhost");
            if wrong {
                types.insert(of);
            }
            wrong
        };
        let own = is_wrong(pod.context());
        let containers = pod.containers_where(|c| is_wrong(&c["securityContext"]));
        Self { pod: own, containers, types }
    }
}

pub(super) fn app_armor(pod: Pod<'_>) -> Option<Refusal> {
    let wrong = Wrong::of(pod, "appArmorProfile");
    let mut setters = setters(wrong.pod, &wrong.containers);
    let mut values: Vec<String> = wrong.types.into_iter().map(str::to_owned).collect();
    let permitted = |profile: &str| {
        matches!(profile, "" | "runtime/default") || profile.starts_with("localhost/")
    };
    let mut annotations: Vec<String> = annotations(pod)
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter(|(_, profile)| !permitted(profile))
        .map(|(key, profile)| format!("{key}={}", quote(profile)))
        .collect();
    if !annotations.is_empty() {
        annotations.sort_unstable();
        setters.push(plural("annotation", "annotations", annotations.len()).to_owned());
        values.append(&mut annotations);
    }
    (!setters.is_empty()).then(|| Refusal {
        reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len()),
        detail: format!(
            "{} must not set AppArmor profile type to {}",
            setters.join(" and "),
            quoted(values)
        ),
    })
}

fn annotations(pod: Pod<'_>) -> impl Iterator<Item = (&str, &str)> {
    let all = pod.metadata["annotations"].as_object().into_iter().flatten();
    all.map(|(key, value)| (key.as_str(), text(value)))
}

/// Before there was a field.
pub(super) fn seccomp_annotations(pod: Pod<'_>) -> Option<Refusal> {
    const OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    let permitted = |profile: &str| {
        matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/")
    };
    let names: BTreeSet<&str> = pod.containers().map(|c| text(&c["name"])).collect();
    let counts = |key: &str| {
        let container = key.strip_prefix(OF_CONTAINER);
        key == OF_POD || container.is_some_and(|name| names.contains(name))
    };
    let found: BTreeSet<String> = annotations(pod)
        .filter(|(key, profile)| counts(key) && !permitted(profile))
        .map(|(key, profile)| format!("{key}={}", quote(profile)))
        .collect();
    (!found.is_empty()).then(|| Refusal {
        reason: "seccompProfile",
        detail: format!(
            "forbidden {} {}",
            plural("annotation", "annotations", found.len()),
            found.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

pub(super) fn seccomp(pod: Pod<'_>) -> Option<Refusal> {
    let wrong = Wrong::of(pod, "seccompProfile");
    let setters = setters(wrong.pod, &wrong.containers);
    (!setters.is_empty()).then(|| Refusal {
        reason: "seccompProfile",
        detail: format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            setters.join(" and "),
            quoted(wrong.types)
        ),
    })
}

pub(super) fn seccomp_required(pod: Pod<'_>) -> Option<Refusal> {
    if let Some(refusal) = seccomp(pod) {
        return Some(refusal);
    }
    // The pod's is good, or there is none.
    let profile = |context: &Value| !context["seccompProfile"].is_null();
    let has = profile(pod.context());
    let silent = pod.containers_where(|c| !has && !profile(&c["securityContext"]));
    (!silent.is_empty()).then(|| Refusal {
        reason: "seccompProfile",
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
             \"Localhost\"",
            named(&silent)
        ),
    })
}

/// Pods for Windows cannot have the field.
pub(super) fn seccomp_required_on_linux(pod: Pod<'_>) -> Option<Refusal> {
    if pod.is_windows() { None } else { seccomp_required(pod) }
}

const TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t"];
const TYPES_1_31: &[&str] =
    &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

pub(super) fn se_linux(pod: Pod<'_>) -> Option<Refusal> {
    se_linux_types(pod, TYPES)
}

pub(super) fn se_linux_1_31(pod: Pod<'_>) -> Option<Refusal> {
    se_linux_types(pod, TYPES_1_31)
}

fn se_linux_types<'a>(pod: Pod<'a>, permitted: &[&str]) -> Option<Refusal> {
    let mut types = BTreeSet::new();
    let (mut user, mut role) = (false, false);
    let mut is_wrong = |context: &'a Value| {
        let options = &context["seLinuxOptions"];
        let of = text(&options["type"]);
        let is_set = |field: &str| !text(&options[field]).is_empty();
        let has = [!permitted.contains(&of), is_set("user"), is_set("role")];
        if has[0] {
            types.insert(of);
        }
        user |= has[1];
        role |= has[2];
        has.contains(&true)
    };
    let own = is_wrong(pod.context());
    let containers = pod.containers_where(|c| is_wrong(&c["securityContext"]));
    let setters = setters(own, &containers);
    let mut faults = Vec::new();
    if !types.is_empty() {
        faults.push(format!("{} {}", plural("type", "types", types.len()), quoted(types)));
    }
    if user {
        faults.push("user may not be set".to_owned());
    }
    if role {
        faults.push("role may not be set".to_owned());
    }
    (!setters.is_empty()).then(|| Refusal {
        reason: "seLinuxOptions",
        detail: format!(
            "{} set forbidden securityContext.seLinuxOptions: {}",
            setters.join(" and "),
            faults.join("; ")
        ),
    })
}

pub(super) fn proc_mount(pod: Pod<'_>) -> Option<Refusal> {
    let mut found = BTreeSet::new();
    let containers = pod.containers_where(|c| {
        let of = c["securityContext"]["procMount"].as_str().filter(|of| *of != "Default");
        found.extend(of);
        of.is_some()
    });
    (!containers.is_empty()).then(|| Refusal {
        reason: "procMount",
        detail: format!(
            "{} must not set securityContext.procMount to {}",
            named(&containers),
            quoted(found)
        ),
    })
}

pub(super) fn proc_mount_of_own_users(pod: Pod<'_>) -> Option<Refusal> {
    if pod.has_own_users() { None } else { proc_mount(pod) }
}
