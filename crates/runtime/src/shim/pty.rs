//! Pseudo terminals of the container's own devpts.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::sys;

/// Opens a new pair: the controlling side, and the terminal.
///
/// The terminal is got from the controlling side and never by its path, at which the container may
/// have put anything.
pub(super) fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let master = OpenOptions::new()
        .read(true)
        .write(true)
        // An image may have put a FIFO there; opening it must not block.
        .custom_flags(libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open("/dev/pts/ptmx")?;
    let unlock: i32 = 0;
    // SAFETY: the first ioctl takes a pointer to an int that lives through the call, the second
    // takes flags and makes a descriptor.
    let terminal = unsafe {
        sys::check(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock).into())?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let raw = sys::check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags).into())?;
        OwnedFd::from_raw_fd(raw as i32)
    };
    sys::set_blocking(master.as_fd())?;
    Ok((master.into(), terminal))
}

/// Makes the terminal this session's and its three standard streams. Needs a new session.
pub(super) fn take(terminal: &OwnedFd) -> io::Result<()> {
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
