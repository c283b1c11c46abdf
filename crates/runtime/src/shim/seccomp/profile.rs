//! Where profiles come from: containerd's default as facts, or an OCI profile in a file.

use std::io;
use std::path::Path;

use serde::Deserialize;

use super::syscalls::{ALLOWED, ALLOWED_HERE, RESTRICTED, RESTRICTED_HERE};
use crate::shim::capabilities::parse as capability;
use crate::spec::{SeccompAction, SeccompArg, SeccompOp, SeccompProfile, SeccompRule};

/// System calls that come with a capability.
#[rustfmt::skip]
const BY_CAPABILITY: &[(&str, &[&str])] = &[
    ("DAC_READ_SEARCH", &["open_by_handle_at"]),
    (
        "SYS_ADMIN",
        &[
            "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
            "lookup_dcookie", "mount", "mount_setattr", "move_mount", "open_tree",
            "perf_event_open", "quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns",
            "syslog", "umount2", "unshare",
        ],
    ),
    ("SYS_BOOT", &["reboot"]),
    ("SYS_CHROOT", &["chroot"]),
    ("SYS_MODULE", &["delete_module", "init_module", "finit_module"]),
    ("SYS_PACCT", &["acct"]),
    ("SYS_PTRACE", &["kcmp"]),
    ("SYS_RAWIO", &["iopl", "ioperm"]),
    ("SYS_TIME", &["settimeofday", "adjtimex", "clock_settime", "clock_adjtime"]),
    ("SYS_TTY_CONFIG", &["vhangup"]),
    (
        "SYS_NICE",
        &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    ),
    ("SYSLOG", &["syslog"]),
    ("BPF", &["bpf"]),
    ("PERFMON", &["perf_event_open"]),
];

/// Flags of clone that make namespaces.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
const AF_VSOCK: u64 = 40;

fn rule(names: &[&str], action: SeccompAction, args: Vec<SeccompArg>) -> SeccompRule {
    SeccompRule { names: names.iter().map(|name| (*name).to_owned()).collect(), action, args }
}

fn arg(index: u8, op: SeccompOp, value: u64) -> Vec<SeccompArg> {
    vec![SeccompArg { index, op, value }]
}

/// The profile `RuntimeDefault` means for a container with these capabilities.
pub(crate) fn runtime_default(capabilities: u64) -> SeccompProfile {
    use SeccompAction::{Allow, Errno};
    let has = |name: &str| capability(name).is_some_and(|bit| capabilities & bit != 0);
    let names: Vec<_> = ALLOWED.iter().chain(ALLOWED_HERE).map(|(name, _)| *name).collect();
    let mut rules = vec![rule(&names, Allow, Vec::new())];
    for (name, calls) in BY_CAPABILITY {
        if has(name) {
            rules.push(rule(calls, Allow, Vec::new()));
        }
    }
    for persona in [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        rules.push(rule(&["personality"], Allow, arg(0, SeccompOp::Eq, persona)));
    }
    rules.push(rule(&["socket"], Allow, arg(0, SeccompOp::Ne, AF_VSOCK)));
    if !has("SYS_ADMIN") {
        rules.push(rule(&["clone"], Allow, arg(0, SeccompOp::Masked(NAMESPACE_FLAGS), 0)));
        // Its flags are behind a pointer; ENOSYS makes the C library fall back to clone.
        rules.push(rule(&["clone3"], Errno(libc::ENOSYS as u32), Vec::new()));
    }
    SeccompProfile { default: Errno(libc::EPERM as u32), rules }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Vec<Arg>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arg {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
}

/// Reads an OCI (or Docker) profile.
///
/// # Errors
/// For an unreadable file, or an action or operator that does not exist.
pub(crate) fn localhost(path: &Path, capabilities: u64) -> io::Result<SeccompProfile> {
    parse(&std::fs::read(path)?, capabilities)
        .map_err(|error| io::Error::other(format!("seccomp profile {}: {error}", path.display())))
}

fn parse(bytes: &[u8], capabilities: u64) -> io::Result<SeccompProfile> {
    let file: File = serde_json::from_slice(bytes)?;
    let default = action(&file.default_action, file.default_errno_ret)?;
    let known = |name: &str| {
        [ALLOWED, ALLOWED_HERE, RESTRICTED, RESTRICTED_HERE]
            .iter()
            .any(|table| table.iter().any(|(known, _)| *known == name))
    };
    let holds = |condition: &Condition| {
        let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        condition
            .caps
            .iter()
            .all(|name| capability(name).is_some_and(|bit| capabilities & bit != 0))
            && (condition.arches.is_empty() || condition.arches.iter().any(|name| name == arch))
    };
    let excluded = |condition: &Condition| {
        !(condition.caps.is_empty() && condition.arches.is_empty()) && holds(condition)
    };
    let mut rules = Vec::new();
    for entry in file.syscalls {
        if !holds(&entry.includes) || excluded(&entry.excludes) {
            continue;
        }
        rules.push(SeccompRule {
            names: entry.names.into_iter().filter(|name| known(name)).collect(),
            action: action(&entry.action, entry.errno_ret)?,
            args: entry.args.iter().map(argument).collect::<io::Result<_>>()?,
        });
    }
    Ok(SeccompProfile { default, rules })
}

fn action(name: &str, errno: Option<u32>) -> io::Result<SeccompAction> {
    Ok(match name {
        "SCMP_ACT_ALLOW" => SeccompAction::Allow,
        "SCMP_ACT_ERRNO" => SeccompAction::Errno(errno.unwrap_or(libc::EPERM as u32)),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => SeccompAction::KillThread,
        "SCMP_ACT_KILL_PROCESS" => SeccompAction::KillProcess,
        "SCMP_ACT_TRAP" => SeccompAction::Trap,
        "SCMP_ACT_LOG" => SeccompAction::Log,
        other => return Err(io::Error::other(format!("unsupported action {other:?}"))),
    })
}

fn argument(arg: &Arg) -> io::Result<SeccompArg> {
    let (op, value) = match arg.op.as_str() {
        "SCMP_CMP_NE" => (SeccompOp::Ne, arg.value),
        "SCMP_CMP_LT" => (SeccompOp::Lt, arg.value),
        "SCMP_CMP_LE" => (SeccompOp::Le, arg.value),
        "SCMP_CMP_EQ" => (SeccompOp::Eq, arg.value),
        "SCMP_CMP_GE" => (SeccompOp::Ge, arg.value),
        "SCMP_CMP_GT" => (SeccompOp::Gt, arg.value),
        "SCMP_CMP_MASKED_EQ" => (SeccompOp::Masked(arg.value), arg.value_two),
        other => return Err(io::Error::other(format!("unsupported operator {other:?}"))),
    };
    Ok(SeccompArg { index: arg.index, op, value })
}

#[cfg(test)]
mod tests {
    use super::super::compile;
    use super::*;

    #[test]
    fn every_named_call_exists() {
        for (_, calls) in BY_CAPABILITY {
            for call in *calls {
                assert!(RESTRICTED.iter().chain(RESTRICTED_HERE).any(|(n, _)| n == call), "{call}");
            }
        }
    }

    #[test]
    fn the_default_compiles_with_and_without_capabilities() {
        assert_eq!(compile(&runtime_default(0)).unwrap().len(), 2);
        assert_eq!(compile(&runtime_default(u64::MAX)).unwrap().len(), 1);
    }

    #[test]
    fn files_are_read_with_their_conditions() {
        let text = br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","nosuchcall"],"action":"SCMP_ACT_ERRNO","errnoRet":5},
            {"names":["reboot"],"action":"SCMP_ACT_KILL_PROCESS","includes":{"caps":["CAP_SYS_BOOT"]}},
            {"names":["socket"],"action":"SCMP_ACT_ERRNO",
             "args":[{"index":0,"value":40,"op":"SCMP_CMP_EQ"}]}]}"#;
        let profile = parse(text, 0).unwrap();
        assert_eq!(profile.rules.len(), 2);
        assert_eq!(profile.rules[0].names, ["mkdir"]);
        assert_eq!(profile.rules[0].action, SeccompAction::Errno(5));
        assert_eq!(parse(text, u64::MAX).unwrap().rules.len(), 3);
        compile(&profile).unwrap();
        assert!(parse(br#"{"defaultAction":"SCMP_ACT_NOTHING"}"#, 0).is_err());
    }
}
