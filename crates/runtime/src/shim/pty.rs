//! Pseudo terminals of the container's own devpts.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::sys;

/// Opens a new pair: the controlling side, and the path of the terminal.
pub(super) fn open() -> io::Result<(OwnedFd, PathBuf)> {
    let master = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC)
        .open("/dev/pts/ptmx")?;
    let mut number: u32 = 0;
    let unlock: i32 = 0;
    // SAFETY: both ioctls take a pointer to an int that lives through the call.
    unsafe {
        sys::check(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock).into())?;
        sys::check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number).into())?;
    }
    Ok((master.into(), PathBuf::from(format!("/dev/pts/{number}"))))
}

/// Makes the terminal this session's and its three standard streams. Needs a new session.
pub(super) fn take(path: &std::path::Path) -> io::Result<()> {
    let terminal = OpenOptions::new().read(true).write(true).open(path)?;
    // SAFETY: TIOCSCTTY takes a number.
    sys::check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }.into())?;
    (0..3).try_for_each(|fd| sys::dup_to(terminal.as_fd(), fd))
}

/// Sets the size of a terminal by its controlling side.
pub(crate) fn resize(master: &impl AsRawFd, width: u16, height: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the size lives through the call.
    sys::check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }.into())
        .map(drop)
}
