//! The checks of pods, and which of them a standard consists of.

mod containers;
mod host;
mod identity;
mod profiles;
mod volumes;

use serde_json::Value;

use super::policy::{Level, Standard, Version};

/// A pod, or a template of pods.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
}

impl<'a> Pod<'a> {
    pub(super) fn new(of: &'a Value) -> Self {
        Self { metadata: &of["metadata"], spec: &of["spec"] }
    }

    pub(super) fn runtime_class(self) -> &'a str {
        text(&self.spec["runtimeClassName"])
    }

    fn context(self) -> &'a Value {
        &self.spec["securityContext"]
    }

    /// All containers, in the order in which messages name them.
    pub(super) fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| items(&self.spec[list]))
    }

    /// The names of the containers that a test finds.
    fn containers_where(self, mut found: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|c| found(c)).map(|c| text(&c["name"])).collect()
    }

    fn is_windows(self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    /// Returns true if root in the pod is nobody on the node.
    fn has_own_users(self) -> bool {
        self.spec["hostUsers"] == false
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(list: &Value) -> std::slice::Iter<'_, Value> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// The reason why a check refuses a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    /// The fields that are to blame.
    detail: String,
}

type Test = fn(Pod<'_>) -> Option<Refusal>;

/// A check of pods.
struct Check {
    id: &'static str,
    level: Level,
    /// Tests, each with the first release that has it.
    versions: &'static [(i64, Test)],
    /// The check of the baseline that this stricter one makes needless.
    replaces: &'static str,
}

const fn baseline(id: &'static str, versions: &'static [(i64, Test)]) -> Check {
    Check { id, level: Level::Baseline, versions, replaces: "" }
}

const fn restricted(id: &'static str, versions: &'static [(i64, Test)]) -> Check {
    Check { id, level: Level::Restricted, versions, replaces: "" }
}

impl Check {
    const fn replaces(self, other: &'static str) -> Self {
        Self { replaces: other, ..self }
    }

    /// The test of a release, if it has this check.
    fn at(&self, release: i64) -> Option<Test> {
        let mut past = self.versions.iter().rev().skip_while(|(since, _)| *since > release);
        past.next().map(|(_, test)| *test)
    }
}

/// In the order of messages: those of the baseline first, each by identifier.
static CHECKS: &[Check] = &[
    baseline("appArmorProfile", &[(0, profiles::app_armor)]),
    baseline("capabilities_baseline", &[(0, containers::added_capabilities)]),
    baseline("hostNamespaces", &[(0, host::namespaces)]),
    baseline("hostPathVolumes", &[(0, volumes::host_paths)]),
    baseline("hostPorts", &[(0, host::ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, host::probes)]),
    baseline("privileged", &[(0, containers::privileged)]),
    baseline("procMount", &[(0, profiles::proc_mount), (35, profiles::proc_mount_of_own_users)]),
    baseline("seLinuxOptions", &[(0, profiles::se_linux), (31, profiles::se_linux_1_31)]),
    baseline(
        "seccompProfile_baseline",
        &[(0, profiles::seccomp_annotations), (19, profiles::seccomp)],
    ),
    baseline(
        "sysctls",
        &[
            (0, host::sysctls),
            (27, host::sysctls_1_27),
            (29, host::sysctls_1_29),
            (32, host::sysctls_1_32),
            (37, host::sysctls_1_37),
        ],
    ),
    baseline("windowsHostProcess", &[(0, host::process)]),
    restricted(
        "allowPrivilegeEscalation",
        &[(8, containers::escalation), (25, containers::escalation_on_linux)],
    ),
    restricted(
        "capabilities_restricted",
        &[(22, containers::capabilities), (25, containers::capabilities_on_linux)],
    )
    .replaces("capabilities_baseline"),
    restricted("procMount_restricted", &[(35, profiles::proc_mount)]).replaces("procMount"),
    restricted("restrictedVolumes", &[(0, volumes::sources)]).replaces("hostPathVolumes"),
    restricted("runAsNonRoot", &[(0, identity::non_root), (35, identity::non_root_unless_own)]),
    restricted("runAsUser", &[(23, identity::user), (35, identity::user_unless_own)]),
    restricted(
        "seccompProfile_restricted",
        &[(19, profiles::seccomp_required), (25, profiles::seccomp_required_on_linux)],
    )
    .replaces("seccompProfile_baseline"),
];

/// The refusals of a pod by a standard, in the order of messages.
pub(super) fn evaluate(standard: Standard, pod: Pod<'_>) -> Vec<Refusal> {
    let release = match standard.version {
        Version::Latest => i64::MAX,
        Version::Minor(minor) => minor,
    };
    let asked = |check: &&Check| check.level <= standard.level;
    let replaced = |id: &str| {
        let mut all = CHECKS.iter().filter(asked);
        all.any(|check| check.replaces == id && check.at(release).is_some())
    };
    CHECKS
        .iter()
        .filter(asked)
        .filter(|check| !replaced(check.id))
        .filter_map(|check| check.at(release)?(pod))
        .collect()
}

/// The reasons alone: for the pods of a whole namespace.
pub(super) fn reasons(refusals: &[Refusal]) -> String {
    let reasons: Vec<&str> = refusals.iter().map(|refusal| refusal.reason).collect();
    reasons.join(", ")
}

/// The reasons, and the fields of the pod that are to blame.
pub(super) fn details(refusals: &[Refusal]) -> String {
    let details: Vec<String> = refusals
        .iter()
        .map(|Refusal { reason, detail }| match detail.as_str() {
            "" => (*reason).to_owned(),
            detail => format!("{reason} ({detail})"),
        })
        .collect();
    details.join(", ")
}

/// The names in quotes, as they are: names of containers need no escapes, and upstream has none.
fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("\"{}\"", n.as_ref())).collect();
    names.join(", ")
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
fn named(containers: &[&str]) -> String {
    let word = plural("container", "containers", containers.len());
    format!("{word} {}", quoted(containers))
}

/// Those who set a field: the pod, containers, or both.
fn setters(pod: bool, containers: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    if pod {
        all.push("pod".to_owned());
    }
    if !containers.is_empty() {
        all.push(named(containers));
    }
    all
}

#[cfg(test)]
mod tests;
