//! Security contexts of pod and container as one.

use std::fmt;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};
use runtime::{
    ImageConfig, NamespaceMode, NamespaceOptions, Seccomp, SecurityContext,
    SupplementalGroupsPolicy,
};

use crate::dirs::Dirs;
use crate::pod::{host_network, spec};

const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Why a container that must not run as root may not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("container's runAsUser breaks non-root policy {0}")]
    RunAsUser(Place),
    #[error("container has runAsNonRoot and image will run as root {0}")]
    RootImage(Place),
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is \
         non-root {place}"
    )]
    NamedUser { user: String, place: Place },
}

/// A container in its pod.
#[derive(Debug)]
pub(crate) struct Place {
    pod: String,
    container: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(pod: {:?}, container: {})", self.pod, self.container)
    }
}

/// Namespaces a pod shares with the node or among its containers.
pub(crate) fn namespaces(pod: &Pod) -> NamespaceOptions {
    let spec = spec(pod);
    let node_or = |node: bool, other| if node { NamespaceMode::Node } else { other };
    let pid = if spec.share_process_namespace == Some(true) {
        NamespaceMode::Pod
    } else {
        NamespaceMode::Container
    };
    NamespaceOptions {
        network: node_or(host_network(pod), NamespaceMode::Pod),
        pid: node_or(spec.host_pid == Some(true), pid),
        ipc: node_or(spec.host_ipc == Some(true), NamespaceMode::Pod),
        // Its ids are the sandbox's affair.
        user: None,
    }
}

/// Returns true if any container of the pod is privileged.
pub(crate) fn any_privileged(pod: &Pod) -> bool {
    crate::pod::members(pod).iter().any(|member| is_privileged(&member.container))
}

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true))
}

/// The seccomp profile of the pod itself.
pub(crate) fn pod_seccomp(pod: &Pod, dirs: &Dirs) -> Seccomp {
    let context = spec(pod).security_context.as_ref();
    seccomp(context.and_then(|context| context.seccomp_profile.as_ref()), dirs)
}

fn seccomp(profile: Option<&SeccompProfile>, dirs: &Dirs) -> Seccomp {
    let Some(profile) = profile else { return Seccomp::Unconfined };
    match (profile.type_.as_str(), &profile.localhost_profile) {
        ("RuntimeDefault", _) => Seccomp::RuntimeDefault,
        ("Localhost", Some(path)) => Seccomp::Localhost(dirs.seccomp().join(path)),
        _ => Seccomp::Unconfined,
    }
}

/// The container's security context, its own before its pod's. `groups` are added for the
/// volumes it can reach.
///
/// # Errors
/// `runAsNonRoot` is set and the image would run as root, or may; in upstream's words.
pub(crate) fn context(
    pod: &Pod,
    container: &Container,
    image: &ImageConfig,
    dirs: &Dirs,
) -> Result<SecurityContext, Error> {
    let pod_context = spec(pod).security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let privileged = own.privileged == Some(true);
    let run_as_user = own.run_as_user.or(pod_context.run_as_user);
    let (image_uid, image_user) = image_user(image);
    if own.run_as_non_root.or(pod_context.run_as_non_root) == Some(true) {
        verify_non_root(pod, container, run_as_user, image_uid, image_user)?;
    }
    let mut supplemental_groups = pod_context.supplemental_groups.unwrap_or_default();
    supplemental_groups.extend(pod_context.fs_group);
    let policy = match pod_context.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    };
    let capabilities = own.capabilities.unwrap_or_default();
    let masks = !privileged && own.proc_mount.as_deref() != Some("Unmasked");
    let paths = |list: &[&str]| -> Vec<PathBuf> {
        list.iter().filter(|_| masks).map(PathBuf::from).collect()
    };
    let profile = own.seccomp_profile.as_ref().or(pod_context.seccomp_profile.as_ref());
    Ok(SecurityContext {
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        privileged,
        namespaces: namespaces(pod),
        run_as_user,
        run_as_username: String::new(),
        run_as_group: own.run_as_group.or(pod_context.run_as_group),
        supplemental_groups,
        supplemental_groups_policy: policy,
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        no_new_privs: !privileged && own.allow_privilege_escalation == Some(false),
        seccomp: if privileged { Seccomp::Unconfined } else { seccomp(profile, dirs) },
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READONLY),
    })
}

/// The user an image asks for: its number where it is one, else its name.
fn image_user(image: &ImageConfig) -> (Option<i64>, &str) {
    let user = image.user.split(':').next().unwrap_or_default();
    match user {
        "" => (Some(0), ""),
        user => (user.parse().ok(), user),
    }
}

fn verify_non_root(
    pod: &Pod,
    container: &Container,
    run_as_user: Option<i64>,
    image_uid: Option<i64>,
    image_user: &str,
) -> Result<(), Error> {
    let place = || Place { pod: crate::pod::full_name(pod), container: container.name.clone() };
    match (run_as_user, image_uid) {
        (Some(0), _) => Err(Error::RunAsUser(place())),
        (None, Some(0)) => Err(Error::RootImage(place())),
        (None, None) => Err(Error::NamedUser { user: image_user.to_owned(), place: place() }),
        (Some(_), _) | (None, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(pod_context: Value, own: Value, user: &str) -> Result<SecurityContext, Error> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
            "spec": {"securityContext": pod_context,
                     "containers": [{"name": "c", "securityContext": own}]},
        }))
        .unwrap();
        let image = ImageConfig { user: user.into(), ..ImageConfig::default() };
        let dirs = Dirs::new("/d".as_ref());
        context(&pod, &spec(&pod).containers[0], &image, &dirs)
    }

    #[test]
    fn the_container_wins_over_the_pod() {
        let got = check(
            json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4],
                   "seccompProfile": {"type": "RuntimeDefault"}}),
            json!({"runAsUser": 9, "allowPrivilegeEscalation": false, "procMount": "Unmasked"}),
            "",
        )
        .unwrap();
        assert_eq!((got.run_as_user, got.run_as_group), (Some(9), Some(2)));
        assert_eq!(got.supplemental_groups, [4, 3]);
        assert_eq!(got.seccomp, Seccomp::RuntimeDefault);
        assert!(got.no_new_privs && got.masked_paths.is_empty());
        let privileged = check(json!({}), json!({"privileged": true}), "").unwrap();
        assert!(privileged.privileged && privileged.readonly_paths.is_empty());
    }

    #[test]
    fn root_is_refused_where_non_root_is_wanted() {
        let table = [
            ("", json!({}), Err("container has runAsNonRoot and image will run as root")),
            ("1000:0", json!({}), Ok(())),
            ("nginx", json!({}), Err("image has non-numeric user (nginx), cannot verify")),
            ("nginx", json!({"runAsUser": 5}), Ok(())),
            ("5", json!({"runAsUser": 0}), Err("runAsUser breaks non-root policy")),
            ("", json!({"runAsNonRoot": false}), Ok(())),
        ];
        for (user, own, wanted) in table {
            let got = check(json!({"runAsNonRoot": true}), own, user);
            match wanted {
                Ok(()) => assert!(got.is_ok(), "{user}"),
                Err(part) => assert!(got.unwrap_err().to_string().contains(part), "{user}"),
            }
        }
    }
}
