//! The pause process: process 1 of a pid namespace that a pod's containers share.

use std::io;
use std::os::unix::net::UnixStream;

use nix::sched::{CloneFlags, unshare};

use super::{control, sys};
use crate::spec::ProcessId;

/// Standard input is the control socket, which gets the identity of the pause process.
pub(super) fn main() -> i32 {
    match start() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("pause: {error}");
            1
        }
    }
}

fn start() -> io::Result<()> {
    let socket = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    sys::close_on_exec_all();
    nix::unistd::setsid()?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    match sys::fork(0)? {
        sys::Fork::Parent { pid, .. } => {
            let id: ProcessId = sys::identify(pid)?;
            control::send(&UnixStream::from(socket), &id, &[])
        }
        sys::Fork::Child => {
            drop(socket);
            sys::close_standard_streams()?;
            reap_forever()
        }
    }
}

/// As process 1 it inherits the pod's orphans; nothing but SIGKILL ends it.
fn reap_forever() -> ! {
    use nix::sys::signal::{SigSet, Signal};
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_block().ok();
    loop {
        set.wait().ok();
        sys::reap(|_, _| {});
    }
}
