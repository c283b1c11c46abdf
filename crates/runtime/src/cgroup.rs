//! Control groups, v1 and v2: made, limited, measured, killed, removed.

mod current;
mod devices;
mod disks;
mod limits;
mod usage;

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Resources;
use crate::api::Device;

pub(crate) use usage::{oom_kills, usage};

/// Where the hierarchies are mounted.
const BASE: &str = "/sys/fs/cgroup";

/// Controllers of v1 that containers are put into.
const V1_CONTROLLERS: [&str; 9] =
    ["memory", "cpu", "cpuacct", "cpuset", "devices", "freezer", "blkio", "pids", "hugetlb"];

/// The file of a cpuset's CPUs.
const CPUS: &str = "cpuset.cpus";

/// Controllers of v2 that are handed down.
const V2_CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "pids", "hugetlb"];

/// The cgroup hierarchies of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Hierarchies {
    /// Mount points: one for v2, one per controller for v1.
    roots: Vec<PathBuf>,
    unified: bool,
}

impl Hierarchies {
    pub(crate) fn detect() -> Self {
        Self::detect_at(Path::new(BASE))
    }

    pub(crate) fn detect_at(base: &Path) -> Self {
        if base.join("cgroup.controllers").exists() {
            return Self { roots: vec![base.to_owned()], unified: true };
        }
        let mut roots: Vec<PathBuf> = Vec::new();
        for controller in V1_CONTROLLERS {
            // `cpu` may be a link to `cpu,cpuacct`.
            if let Ok(root) = base.join(controller).canonicalize()
                && !roots.contains(&root)
                && root.join("cgroup.procs").exists()
            {
                roots.push(root);
            }
        }
        Self { roots, unified: false }
    }

    /// The directories of a cgroup, the one that has `memory` first.
    pub(crate) fn directories(&self, path: &str) -> Vec<PathBuf> {
        let relative = path.trim_start_matches('/');
        self.roots.iter().map(|root| root.join(relative)).collect()
    }

    /// Makes a cgroup and its parents and returns its directories.
    pub(crate) fn create(&self, path: &str) -> io::Result<Vec<PathBuf>> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for root in &self.roots {
            let cpusets = !self.unified && root.join(CPUS).exists();
            // Where a parent has nothing to hand down, it is there but for the first pod.
            if !self.unified && !cpusets {
                let whole = parts.iter().fold(root.clone(), |path, part| path.join(part));
                match make(&whole) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    made => {
                        made?;
                        continue;
                    }
                }
            }
            let mut directory = root.clone();
            for part in &parts {
                if self.unified {
                    enable_controllers(&directory);
                }
                directory.push(part);
                make(&directory)?;
                if cpusets {
                    // Also where it was there: its maker may not have come to this yet.
                    inherit_cpuset(&directory)?;
                }
            }
        }
        Ok(self.directories(path))
    }

    /// Sets limits of a cgroup.
    pub(crate) fn set_limits(&self, path: &str, resources: &Resources) -> io::Result<()> {
        let directories = self.directories(path);
        if self.unified {
            limits::set_v2(&directories[0], resources)
        } else {
            limits::set_v1(&directories, resources)
        }
    }

    /// CPU and memory limits of a cgroup; `None` for those that it has no file for.
    pub(crate) fn limits(&self, path: &str) -> Resources {
        let directories = self.directories(path);
        if self.unified { current::of_v2(&directories[0]) } else { current::of_v1(&directories) }
    }

    /// Lets a cgroup use the standard devices and these; everything where `all`.
    pub(crate) fn set_devices(&self, path: &str, all: bool, given: &[Device]) -> io::Result<()> {
        let rules = devices::rules(all, given)?;
        for directory in self.directories(path) {
            if self.unified {
                devices::set_v2(&directory, &rules)?;
            } else if directory.join("devices.deny").exists() {
                devices::set_v1(&directory, &rules)?;
            }
        }
        Ok(())
    }

    /// Removes a cgroup unless something is in it.
    pub(crate) fn remove_if_empty(&self, path: &str) {
        let base = self.roots.first().and_then(|root| root.parent());
        let roots = match base {
            // Other runtimes use every hierarchy of v1, also the named ones.
            Some(base) if !self.unified => children(base),
            _ => self.roots.clone(),
        };
        for root in roots {
            // The kernel refuses while there are processes or further cgroups.
            std::fs::remove_dir(root.join(path.trim_start_matches('/'))).ok();
        }
    }

    /// Removes a cgroup and all below it, killing what still runs there.
    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        self.directories(path).iter().try_for_each(|directory| remove_tree(directory))
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes one directory, unless it is there.
fn make(directory: &Path) -> io::Result<()> {
    match std::fs::create_dir(directory) {
        // Containers see theirs, whoever they run as; the umask is for data.
        Ok(()) => std::fs::set_permissions(directory, Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(named(directory, error)),
    }
}

/// Hands down what the directory has and does not hand down yet; a controller that the parent lacks
/// is left out.
fn enable_controllers(directory: &Path) {
    let read = |name| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    let (available, enabled) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let wanted = |name: &&str| {
        V2_CONTROLLERS.contains(name) && !enabled.split_whitespace().any(|other| other == *name)
    };
    for controller in available.split_whitespace().filter(wanted) {
        // Refused where the cgroup holds processes itself; limits then fail with a clear path.
        std::fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}")).ok();
    }
}

/// A new v1 cpuset is empty and takes no process until it has CPUs and memory nodes.
fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    for name in [CPUS, "cpuset.mems"] {
        let file = directory.join(name);
        let Some(parent) = directory.parent() else { return Ok(()) };
        let own = match std::fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            own => own.map_err(|error| named(&file, error))?,
        };
        if !own.trim_ascii().is_empty() {
            continue;
        }
        let value = std::fs::read(parent.join(name)).map_err(|error| named(parent, error))?;
        std::fs::write(&file, value).map_err(|error| named(&file, error))?;
    }
    Ok(())
}

/// Kills every process of a cgroup and the cgroups below it.
pub(crate) fn kill(directory: &Path) -> io::Result<()> {
    let switch = directory.join("cgroup.kill");
    if switch.exists() {
        return std::fs::write(switch, "1");
    }
    for child in children(directory) {
        kill(&child)?;
    }
    let text = match std::fs::read_to_string(directory.join("cgroup.procs")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    };
    for pid in text.lines().filter_map(|line| line.parse().ok()) {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
    }
    Ok(())
}

/// Returns true if no process is left in the cgroup or below it.
fn is_empty(directory: &Path) -> bool {
    children(directory).iter().all(|child| is_empty(child))
        && std::fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|text| text.is_empty())
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    if !is_empty(directory) {
        kill(directory)?;
    }
    for child in children(directory) {
        remove_tree(&child)?;
    }
    // A killed process stays in its cgroup until the kernel has taken it apart.
    for _ in 0..500 {
        match std::fs::remove_dir(directory) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => wait_a_tick(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => return result.map_err(|error| named(directory, error)),
        }
    }
    Err(io::Error::other(format!("{}: still in use", directory.display())))
}

/// The kernel has no event for "a dead process has left its v1 cgroup"; this waits 2 ms.
fn wait_a_tick() {
    nix::poll::poll(&mut [], nix::poll::PollTimeout::from(2u8)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v1_layout_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["memory", "cpu,cpuacct"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("cgroup.procs"), "").unwrap();
        }
        std::os::unix::fs::symlink("cpu,cpuacct", dir.path().join("cpu")).unwrap();
        std::os::unix::fs::symlink("cpu,cpuacct", dir.path().join("cpuacct")).unwrap();
        let found = Hierarchies::detect_at(dir.path());
        assert!(!found.unified);
        let base = dir.path().canonicalize().unwrap();
        assert_eq!(
            found.directories("/a/b"),
            [base.join("memory/a/b"), base.join("cpu,cpuacct/a/b")]
        );
    }
    #[test]
    fn a_cpuset_that_another_thread_has_only_just_made_gets_its_cpus() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cpuset");
        let pods = root.join("kubepods");
        std::fs::create_dir_all(&pods).unwrap();
        std::fs::write(root.join("cgroup.procs"), "").unwrap();
        for (name, value) in [("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n")] {
            std::fs::write(root.join(name), value).unwrap();
            std::fs::write(pods.join(name), "\n").unwrap();
        }
        let hierarchies = Hierarchies::detect_at(dir.path());
        hierarchies.create("/kubepods/pod").unwrap();
        let read = |name| std::fs::read_to_string(pods.join(name)).unwrap();
        assert_eq!((read("cpuset.cpus").as_str(), read("cpuset.mems").as_str()), ("0-1\n", "0\n"));

        // One that was given fewer keeps them.
        std::fs::write(pods.join("cpuset.cpus"), "1\n").unwrap();
        hierarchies.create("/kubepods/other").unwrap();
        assert_eq!(read("cpuset.cpus"), "1\n");
    }
}
