//! Checks the kernel for the features that containers need, before the first one fails.

use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::cgroup::Hierarchies;
use crate::{Error, Result};

/// Names the first feature that is missing.
pub(super) fn check(data: &Path, hierarchies: &Hierarchies) -> Result<()> {
    // Without layers the mount is refused, but only a kernel that knows overlayfs (or could load
    // it) says so.
    let trial = mount(Some("overlay"), data, Some("overlay"), MsFlags::empty(), None::<&str>);
    if trial == Err(Errno::ENODEV) {
        return lacking("overlayfs (CONFIG_OVERLAY_FS)");
    }
    if hierarchies.directories("/").is_empty() {
        return lacking("control groups, mounted at /sys/fs/cgroup");
    }
    for (name, option) in
        [("net", "CONFIG_NET_NS"), ("pid", "CONFIG_PID_NS"), ("ipc", "CONFIG_IPC_NS")]
    {
        if !Path::new("/proc/self/ns").join(name).exists() {
            return lacking(&format!("{name} namespaces ({option})"));
        }
    }
    if !has_seccomp() {
        return lacking("seccomp filters (CONFIG_SECCOMP_FILTER)");
    }
    Ok(())
}

fn has_seccomp() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nSeccomp:"))
}

fn lacking(feature: &str) -> Result<()> {
    Err(Error::Unavailable(format!("this kernel lacks {feature}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_passes_and_one_without_cgroups_does_not() {
        if !nix::unistd::geteuid().is_root() {
            panic!("this test needs root, as the runtime does");
        }
        let data = tempfile::tempdir().unwrap();
        check(data.path(), &Hierarchies::detect()).unwrap();
        let none = Hierarchies::detect_at(data.path());
        let error = check(data.path(), &none).unwrap_err().to_string();
        assert!(error.contains("control groups"), "{error}");
    }
}
