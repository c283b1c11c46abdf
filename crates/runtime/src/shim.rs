//! The processes this binary becomes when it is re-executed: the prepared shim, and its copies, which
//! are a container's shim, the exec helper and the pause process. All are single-threaded, so that namespaces can be entered and forks
//! made safely.

mod attach;
mod capabilities;
mod child;
mod control;
mod devices;
mod exec;
mod layers;
mod log;
mod mounts;
mod pause;
mod prepared;
mod pty;
mod relay;
mod rootfs;
mod run;
mod seccomp;
mod sys;
mod user;
mod users;

pub(crate) use attach::{Frame, FrameKind};
pub(crate) use capabilities::{ALL as ALL_CAPABILITIES, parse as parse_capability};
pub(crate) use control::{receive as receive_with_fds, send as send_with_fds};
pub(crate) use mounts::read_only_copy;
pub(crate) use prepared::{Answer, Order};
pub(crate) use pty::resize as resize_terminal;
pub(crate) use seccomp::{localhost as localhost_seccomp, runtime_default as default_seccomp};
pub(crate) use sys::{is_alive, open_pidfd};
pub(crate) use users::{Wanted as WantedNamespaces, can_map};

/// First argument by which the binary knows that it is to be one of these.
pub(crate) const ARGUMENT: &str = "container-shim";

/// The argument after it.
pub(crate) const PREPARED: &str = "prepared";

/// Makes reads and writes of a descriptor return at once.
pub(crate) fn set_nonblocking(fd: &std::os::fd::OwnedFd) -> std::io::Result<()> {
    sys::set_nonblocking(std::os::fd::AsFd::as_fd(fd))
}

/// Turns this process into a shim where its arguments say so, and returns otherwise.
///
/// Must be the first thing in `main`, before any thread.
pub fn maybe_run_shim() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ARGUMENT) {
        return;
    }
    // Files that it creates in containers are for their users; its own are created with explicit
    // modes.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let code = match arguments.next() {
        Some(prepared) if prepared == PREPARED => prepared::main(play),
        _ => {
            eprintln!("{ARGUMENT}: this command is internal");
            2
        }
    };
    std::process::exit(code);
}

/// Does what the shim of this role does, until its end.
fn play(role: &std::ffi::OsStr, directory: &std::path::Path) -> i32 {
    match role.to_str() {
        Some("run") => run::main(directory),
        Some("exec") => exec::main(),
        Some("pause") => pause::main(),
        Some("namespaces") => users::main(),
        _ => 2,
    }
}
