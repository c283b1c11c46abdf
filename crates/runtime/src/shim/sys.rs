//! Small wrappers around system calls that nix does not have.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use crate::spec::ProcessId;

/// Turns a C result into an `io::Result`.
pub(super) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Adds what was being done to an error.
pub(super) fn context<T>(what: impl std::fmt::Display, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))
}

/// Outcome of [`fork`].
pub(super) enum Fork {
    Parent { pid: i32, pidfd: OwnedFd },
    Child,
}

/// Forks, giving the parent a pidfd. `flags` are further `CLONE_*` flags.
pub(super) fn fork(flags: u64) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    let mut arguments = [0u64; 8];
    arguments[0] = flags | libc::CLONE_PIDFD as u64;
    arguments[1] = (&raw mut pidfd) as u64;
    arguments[4] = libc::SIGCHLD as u64;
    // SAFETY: clone3 without CLONE_VM copies the address space like fork; this process has one
    // thread, so the child may run anything. The structure is CLONE_ARGS_SIZE_VER0 bytes.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), 64) })?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel made this descriptor for us.
    Ok(Fork::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// Waits for a child and returns its exit code, 128 + signal where it was killed.
pub(super) fn wait(pid: i32) -> io::Result<i32> {
    loop {
        let mut status = 0;
        // SAFETY: status is a valid pointer.
        match check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into()) {
            Ok(_) => return Ok(exit_code(status)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps every exited child without waiting; calls `each` with pid and exit code.
pub(super) fn reap(mut each: impl FnMut(i32, i32)) {
    loop {
        let mut status = 0;
        // SAFETY: status is a valid pointer.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid <= 0 {
            return;
        }
        each(pid, exit_code(status));
    }
}

fn exit_code(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

pub(super) fn prctl(option: i32, argument: u64) -> io::Result<()> {
    // SAFETY: the options used here take plain numbers.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) }.into()).map(drop)
}

/// Sets the name by which lists of processes show this one.
pub(super) fn set_name(name: &std::ffi::CStr) {
    // SAFETY: a string that lives through the call; a name that is refused changes nothing.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// The memory with the arguments of this process, by which lists of processes show it.
pub(super) struct Arguments {
    start: usize,
    length: usize,
}

impl Arguments {
    /// Finds it (`arg_start` and `arg_end` of `proc_pid_stat(5)`).
    pub(super) fn find() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let start = fields.nth(45).and_then(|field| field.parse().ok()).filter(|start| *start > 0);
        let end = fields.next().and_then(|field| field.parse::<usize>().ok());
        let range = start.zip(end).and_then(|(start, end)| Some((start, end.checked_sub(start)?)));
        let (start, length) = range.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, length })
    }

    /// Replaces the arguments, as far as there is room.
    pub(super) fn replace(&self, words: &[&[u8]]) {
        let mut text = words.join(&0);
        // The kernel reads on beyond an end without a NUL.
        text.truncate(self.length.saturating_sub(1));
        text.resize(self.length, 0);
        // SAFETY: the kernel put the arguments there, on the stack below `main`, and this process
        // has one thread, which has read them.
        unsafe { std::ptr::copy(text.as_ptr(), self.start as *mut u8, text.len()) };
    }
}

/// A pidfd for the process, unless another one has its number by now.
pub(crate) fn open_pidfd(id: &ProcessId) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes plain numbers and makes a descriptor.
    let fd = unsafe {
        let raw = check(libc::syscall(libc::SYS_pidfd_open, id.pid, 0))?;
        OwnedFd::from_raw_fd(raw as RawFd)
    };
    if is_alive(id) { Ok(fd) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// Returns true if this very process exists; a zombie counts.
pub(crate) fn is_alive(id: &ProcessId) -> bool {
    identify(id.pid).is_ok_and(|now| now == *id)
}

/// Reads the identity of a process.
pub(super) fn identify(pid: i32) -> io::Result<ProcessId> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command may hold blanks and parentheses; fields count from after the last one.
    let start = stat
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not readable")))?;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(ProcessId { pid, start, boot_id })
}

/// Enters a namespace by descriptor.
pub(super) fn setns(fd: BorrowedFd<'_>, kind: i32) -> io::Result<()> {
    // SAFETY: plain descriptor and flags.
    check(unsafe { libc::setns(fd.as_raw_fd(), kind) }.into()).map(drop)
}

/// Enters the namespace pinned at a path.
pub(super) fn enter(path: &Path, kind: i32) -> io::Result<()> {
    use std::os::fd::AsFd;
    let file = context(path.display(), std::fs::File::open(path))?;
    context(format_args!("enter {}", path.display()), setns(file.as_fd(), kind))
}

/// Marks every descriptor from 3 on to be closed at execve.
pub(super) fn close_on_exec_all() {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: changes descriptor flags only; failure leaves them as they were made: close-on-exec.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}

pub(super) fn dup_to(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: `to` is one of the standard descriptors, which nothing owns here.
    check(unsafe { libc::dup2(from.as_raw_fd(), to) }.into()).map(drop)
}

pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: flags of a valid descriptor.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL).into())?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags as i32 | libc::O_NONBLOCK).into())?;
    }
    Ok(())
}

pub(super) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: flags of a valid descriptor.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL).into())?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags as i32 & !libc::O_NONBLOCK).into())?;
    }
    Ok(())
}

/// A string without inner NUL for the kernel.
pub(super) fn c_string(bytes: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "NUL in string"))
}

/// Puts the calling process into a cgroup of every hierarchy.
pub(super) fn join_cgroups(directories: &[std::path::PathBuf]) -> io::Result<()> {
    for directory in directories {
        let procs = directory.join("cgroup.procs");
        context(format_args!("join cgroup {}", directory.display()), std::fs::write(procs, "0"))?;
    }
    Ok(())
}

/// Sets the bias of the OOM killer. Lowering needs a capability that the node may lack; the
/// container then runs with the bias it inherits.
pub(super) fn set_oom_score_adj(value: i32) -> io::Result<()> {
    match std::fs::write("/proc/self/oom_score_adj", value.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => context("set oom_score_adj", result),
    }
}

/// Points the three standard streams at `/dev/null`.
pub(super) fn close_standard_streams() -> io::Result<()> {
    use std::os::fd::AsFd;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    (0..3).try_for_each(|fd| dup_to(null.as_fd(), fd))
}

pub(super) fn prctl_ambient_clear() -> io::Result<()> {
    // SAFETY: takes plain numbers.
    check(
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) }
            .into(),
    )
    .map(drop)
}
