//! Security contexts of pods and containers.

use std::collections::HashSet;

use apimachinery::names;

use super::super::app_armor::MAX_NAME;
use super::Scope;
use super::windows::check_windows_options;
use crate::registry::check::Field;

/// User and group ids.
fn id(context: &Field<'_>, name: &str) {
    context.within(name, 0, i64::from(i32::MAX));
}

pub(super) fn check_pod(context: &Field<'_>, spec: &Field<'_>) {
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(context, name);
    }
    for group in context.items("supplementalGroups") {
        let number = group.value().as_i64().unwrap_or(0);
        group.invalid_all(names::in_range(number, 0, i64::from(i32::MAX)));
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        context
            .at("shareProcessNamespace")
            .invalid_value(true, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    check_sysctls(context, spec);
    context.maybe_one_of("fsGroupChangePolicy", &["Always", "OnRootMismatch"]);
    check_seccomp(context);
    check_windows_options(context);
    check_app_armor(context);
    context.maybe_one_of("supplementalGroupsPolicy", &["Merge", "Strict"]);
    context.maybe_one_of("seLinuxChangePolicy", &["MountOption", "Recursive"]);
}

pub(super) fn check_container(context: &Field<'_>, scope: &Scope<'_>) {
    id(context, "runAsUser");
    id(context, "runAsGroup");
    if context.has("procMount") {
        context.one_of("procMount", &["Default", "Unmasked"]);
        if scope.host_users() && context.str("procMount") == "Unmasked" {
            context.at("procMount").invalid("`hostUsers` must be false to use `Unmasked`");
        }
    }
    check_seccomp(context);
    if context.get("allowPrivilegeEscalation") == false {
        let refuse = |detail: &str| context.invalid_as("SecurityContext", detail);
        if context.flag("privileged") {
            refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        for capability in context.at("capabilities").strings("add") {
            if capability == "CAP_SYS_ADMIN" {
                refuse(
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` \
                     CAP_SYS_ADMIN",
                );
            }
        }
    }
    check_windows_options(context);
    check_app_armor(context);
}

const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

fn check_seccomp(context: &Field<'_>) {
    let Some(profile) = context.opt("seccompProfile") else { return };
    if profile.str("type").is_empty() {
        profile.at("type").required("type is required when seccompProfile is set");
    } else {
        profile.one_of("type", PROFILE_TYPES);
    }
    let local = profile.opt("localhostProfile");
    match (profile.str("type") == "Localhost", local) {
        (true, None) => {
            profile.at("localhostProfile").required("must be set when seccomp type is Localhost")
        }
        (true, Some(path)) => path.relative_path(),
        (false, Some(path)) => {
            let detail = "can only be set when seccomp type is Localhost";
            path.instead(profile.value()).invalid_as("SeccompProfile", detail);
        }
        (false, None) => {}
    }
}

fn check_app_armor(context: &Field<'_>) {
    const MUST: &str = "must be set when AppArmor type is Localhost";
    let Some(profile) = context.opt("appArmorProfile") else { return };
    let local = profile.at("localhostProfile");
    match profile.str("type") {
        "Localhost" if !profile.has("localhostProfile") => local.required(MUST),
        "Localhost" => {
            let text = local.text();
            if text.trim() != text {
                local.invalid("must not be padded with whitespace");
            } else if text.is_empty() {
                local.required(MUST);
            }
            if text.len() > MAX_NAME {
                local.too_long(MAX_NAME);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if profile.has("localhostProfile") {
                local.invalid("can only be set when AppArmor type is Localhost");
            }
        }
        "" => profile.at("type").required("type is required when appArmorProfile is set"),
        _ => profile.at("type").not_supported(PROFILE_TYPES),
    }
}

const SYSCTL: &str = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

fn is_sysctl(name: &str) -> bool {
    let alnum = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 253
        && name.split(['.', '/']).map(str::as_bytes).all(|part| {
            part.first().is_some_and(alnum)
                && part.last().is_some_and(alnum)
                && part.iter().all(|b| alnum(b) || matches!(b, b'-' | b'_'))
        })
}

/// Kernel parameters of System V IPC.
const IPC_SYSCTLS: &[&str] = &[
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg",
];

/// If slashes are the separators, dots are literal.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                c => c,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn check_sysctls(context: &Field<'_>, spec: &Field<'_>) {
    let mut seen = HashSet::new();
    for sysctl in context.items("sysctls") {
        let (name, at) = (sysctl.str("name"), sysctl.at("name"));
        if name.is_empty() {
            at.required("");
        } else if !is_sysctl(name) {
            at.invalid(format!("must have at most 253 characters and match regex ^{SYSCTL}$"));
        } else if seen.contains(name) {
            at.duplicate();
        }
        let plain = dotted(name);
        let plain = plain.split('*').next().unwrap_or_default();
        if spec.flag("hostNetwork") && plain.starts_with("net.") {
            at.invalid("may not be specified when 'hostNetwork' is true");
        }
        let ipc = IPC_SYSCTLS.contains(&plain) || plain.starts_with("fs.mqueue.");
        if spec.flag("hostIPC") && ipc {
            at.invalid("may not be specified when 'hostIPC' is true");
        }
        seen.insert(name);
    }
}
