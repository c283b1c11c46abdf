//! Which kernel parameters belong to a namespace, so that a pod may have its own.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::tree::{Links, Tree};

/// The kind of namespace that a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Inter-process communication.
    Ipc,
    /// Network.
    Net,
}

impl Namespace {
    /// Its name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipc => "IPC",
            Self::Net => "Net",
        }
    }
}

/// Parameters of the IPC namespace. `kernel.shm` and `kernel.msg` are what the patterns
/// `kernel.shm*` and `kernel.msg*` begin with.
const IPC: [&str; 10] = [
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

/// A name with dots between its parts, also one that was written with slashes: the two change
/// places, so that `net/ipv4/conf/eno2.100/rp_filter` is `net.ipv4.conf.eno2/100.rp_filter`.
#[must_use]
pub fn normalised(name: &str) -> Cow<'_, str> {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => swapped(name).into(),
        _ => name.into(),
    }
}

fn swapped(name: &str) -> String {
    let swap = |char| match char {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

/// The namespace that a parameter belongs to; `None` for what the whole machine has.
#[must_use]
pub fn namespace_of(name: &str) -> Option<Namespace> {
    let name = normalised(name);
    if IPC.contains(&&*name) || name.starts_with("fs.mqueue.") {
        Some(Namespace::Ipc)
    } else if name.starts_with("net.") {
        Some(Namespace::Net)
    } else {
        None
    }
}

/// Sets a parameter in the calling thread's namespaces, of which those in `own` are not the node's.
///
/// # Errors
/// It belongs to no namespace, or to one that is the node's; or the kernel refuses.
pub(crate) fn set(name: &str, value: &str, own: &[Namespace]) -> io::Result<()> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    let Some(namespace) = namespace_of(name) else {
        return refused("not namespaced: it would change the whole node");
    };
    if !own.contains(&namespace) {
        return refused("the pod has no such namespace of its own");
    }
    let path = swapped(&normalised(name));
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused("not a name");
    }
    let tree = Tree::open(Path::new("/proc/sys"))?;
    let file = tree.open_at(Path::new(&path), OFlag::O_WRONLY, Links::Refuse)?;
    std::fs::File::from(file).write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_namespaced_has_a_namespace() {
        for (name, namespace) in [
            ("kernel.shmmax", Some(Namespace::Ipc)),
            ("kernel/shmmax", Some(Namespace::Ipc)),
            ("fs.mqueue.msg_max", Some(Namespace::Ipc)),
            ("net.core.somaxconn", Some(Namespace::Net)),
            ("net/ipv4/conf/eth0.1/forwarding", Some(Namespace::Net)),
            ("kernel.core_pattern", None),
            ("kernel/core_pattern", None),
            ("kernel.shmmax.x", None),
            ("vm.swappiness", None),
            ("fs.mqueue", None),
            ("network.x", None),
        ] {
            assert_eq!(namespace_of(name), namespace, "{name}");
        }
        assert_eq!(normalised("net/ipv4/conf/eno2.100/x"), "net.ipv4.conf.eno2/100.x");
        assert_eq!(normalised("net.ipv4.conf.eno2/100.x"), "net.ipv4.conf.eno2/100.x");
    }

    #[test]
    fn the_node_is_never_changed() {
        let all = [Namespace::Ipc, Namespace::Net];
        for (name, own) in [
            ("kernel.core_pattern", &all[..]),
            ("kernel/core_pattern", &all),
            ("net.core.somaxconn", &all[..1]),
            ("kernel.shmmax", &all[1..]),
            // Would be /proc/sys/net/../kernel/core_pattern.
            ("net.//.kernel.core_pattern", &all),
            ("net/../kernel/core_pattern", &all),
        ] {
            let before = std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
            let error = set(name, "|/x", own).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{name}: {error}");
            assert_eq!(std::fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
        }
    }
}
