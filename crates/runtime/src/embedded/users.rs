//! The user namespaces of pods.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::executable::Executable;
use crate::api::{IdMapping, UserNamespace};
use crate::shim;
use crate::spec::ProcessId;

/// New namespaces, and the process that holds them until this is dropped.
pub(super) struct Held {
    id: ProcessId,
    _control: UnixStream,
}

impl Held {
    /// Makes a user namespace with these ids, and those among `wanted` that belong to it. Must be
    /// called within a tokio runtime.
    pub(super) fn make(
        executable: &Executable,
        user: &UserNamespace,
        wanted: shim::WantedNamespaces,
    ) -> io::Result<Self> {
        let control = executable.spawn("namespaces", Path::new("/"))?.control;
        shim::send_with_fds(&control, &wanted, &[])?;
        let (id, _) = shim::receive_with_fds::<ProcessId>(&control)?
            .ok_or_else(|| io::Error::other("no user namespace could be made"))?;
        let held = Self { id, _control: control };
        std::fs::write(held.proc("uid_map"), text(&user.uids))?;
        std::fs::write(held.proc("gid_map"), text(&user.gids))?;
        Ok(held)
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.id.pid))
    }

    /// One of the namespaces, such as `user` or `net`.
    pub(super) fn open(&self, kind: &str) -> io::Result<File> {
        File::open(self.path(kind))
    }

    pub(super) fn path(&self, kind: &str) -> PathBuf {
        self.proc("ns").join(kind)
    }
}

fn text(mappings: &[IdMapping]) -> String {
    let line = |m: &IdMapping| format!("{} {} {}\n", m.container_id, m.host_id, m.length);
    mappings.iter().map(line).collect()
}

/// Succeeds if the kernel has user namespaces and can map the data directory into one.
pub(super) fn probe(executable: &Executable, data_dir: &Path) -> io::Result<()> {
    let mapping = IdMapping { host_id: 65536, container_id: 0, length: 65536 };
    let user = UserNamespace { uids: vec![mapping], gids: vec![mapping] };
    let wanted = shim::WantedNamespaces { network: false, ipc: false };
    let held = Held::make(executable, &user, wanted)?;
    shim::can_map(data_dir, &held.open("user")?)
}
