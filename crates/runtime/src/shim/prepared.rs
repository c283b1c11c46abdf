//! The prepared shim: a process of this binary that is copied into every other.
//!
//! Executing the binary takes two milliseconds of processor time, most of it for relocating its
//! tables, of which each process then has a copy of its own. A fork of one that is that far takes a
//! tenth of that and shares them. It is asked over its standard input, and learns nothing but roles
//! and directories: what a container is told goes to its own shim.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ARGUMENT, control, sys};

/// A shim that is wanted; its control socket comes with this message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) role: String,
    pub(crate) directory: PathBuf,
}

/// The answer to an [`Order`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The shim's pidfd comes with this message.
    Started,
    /// The system's error number.
    Refused(i32),
}

/// Standard input is the socket for orders; its end ends this process, and no shim. A copy goes on
/// as `role` says, with its own control socket as standard input.
pub(super) fn main(play: fn(&OsStr, &Path) -> i32) -> i32 {
    let (orders, arguments) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("prepared shim: {error}");
            return 1;
        }
    };
    loop {
        let (order, fds) = match control::receive::<Order>(&orders) {
            Ok(Some(received)) => received,
            Ok(None) => return 0,
            Err(_) => return 1,
        };
        match copy(&orders, fds) {
            Ok(false) => {}
            Ok(true) => {
                drop(orders);
                arguments.replace(&[
                    b"coxswain",
                    ARGUMENT.as_bytes(),
                    order.role.as_bytes(),
                    order.directory.as_os_str().as_bytes(),
                ]);
                return play(order.role.as_ref(), &order.directory);
            }
            Err(_) => return 1,
        }
    }
}

fn prepare() -> io::Result<(UnixStream, sys::Arguments)> {
    let orders = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    sys::close_on_exec_all();
    sys::close_standard_streams()?;
    nix::unistd::setsid()?;
    std::env::set_current_dir("/")?;
    sys::set_name(c"coxswain-shim");
    // SAFETY: ignoring installs no handler. Shims that have ended are not waited for: their pidfds
    // tell of it.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    Ok((orders, sys::Arguments::find()?))
}

/// Makes a copy for an order and answers it. Returns true in the copy.
fn copy(orders: &UnixStream, fds: Vec<OwnedFd>) -> io::Result<bool> {
    match sys::fork(0) {
        Ok(sys::Fork::Child) => {
            for fd in &fds {
                sys::dup_to(fd.as_fd(), 0)?;
            }
            // SAFETY: the default is no handler.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
            Ok(true)
        }
        Ok(sys::Fork::Parent { pidfd, .. }) => {
            control::send(orders, &Answer::Started, &[&pidfd])?;
            Ok(false)
        }
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(libc::EIO);
            control::send(orders, &Answer::Refused(number), &[])?;
            Ok(false)
        }
    }
}
