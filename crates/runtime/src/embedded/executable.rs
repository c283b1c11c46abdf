//! This very program as a descriptor that containers cannot write through, and the shims that come
//! of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use parking_lot::Mutex;

use crate::shim::{self, ARGUMENT, Answer, Order, PREPARED, read_only_copy};

/// Bytes for the arguments of shims, which replace those of the process that they are copies of.
const ROOM: usize = 512;

/// The executable, and the process of it that shims are copies of.
pub(super) struct Executable {
    file: OwnedFd,
    /// Where that process takes orders, while there is one.
    prepared: Mutex<Option<UnixStream>>,
}

/// A shim that runs.
pub(super) struct Shim {
    /// Readable once it has ended.
    pub(super) pidfd: OwnedFd,
    /// Our end of its control socket.
    pub(super) control: UnixStream,
}

impl Executable {
    /// A read-only mount of the file costs no memory; where the kernel cannot give one, a sealed
    /// copy in memory does the same.
    pub(super) fn open() -> io::Result<Self> {
        let path = Path::new("/proc/self/exe");
        let file = read_only_copy(path).or_else(|_| sealed_copy(path))?;
        Ok(Self { file, prepared: Mutex::default() })
    }

    /// Starts a shim of this role. Must be called within a tokio runtime.
    pub(super) fn spawn(&self, role: &str, directory: &Path) -> io::Result<Shim> {
        let order = Order { role: role.to_owned(), directory: directory.to_owned() };
        let mut prepared = self.prepared.lock();
        if let Some(orders) = &*prepared {
            match ask(orders, &order) {
                Ok(answer) => return answer,
                // It was killed. A shim of its last moment finds that nobody listens to it.
                Err(error) => {
                    tracing::warn!(%error, "the prepared shim has ended, and is replaced")
                }
            }
        }
        ask(prepared.insert(self.prepare()?), &order)?
    }

    fn prepare(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        // It ends with our end of the socket, and tokio reaps it.
        tokio::process::Command::new(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
            .arg0("coxswain")
            .args([ARGUMENT, PREPARED])
            .arg(" ".repeat(ROOM))
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(ours)
    }
}

/// Orders a shim. The outer error is of the process that is asked, the inner one its answer.
fn ask(orders: &UnixStream, order: &Order) -> io::Result<io::Result<Shim>> {
    let (control, theirs) = UnixStream::pair()?;
    shim::send_with_fds(orders, order, &[&theirs.into()])?;
    match shim::receive_with_fds::<Answer>(orders)? {
        Some((Answer::Started, fds)) => match fds.into_iter().next() {
            Some(pidfd) => Ok(Ok(Shim { pidfd, control })),
            None => Err(io::Error::other("no pidfd came")),
        },
        Some((Answer::Refused(number), _)) => Ok(Err(io::Error::from_raw_os_error(number))),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn sealed_copy(path: &Path) -> io::Result<OwnedFd> {
    // SAFETY: plain flags and a static name; makes a descriptor.
    let mut memory = unsafe {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        let raw = libc::memfd_create(c"coxswain".as_ptr(), flags);
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        File::from_raw_fd(raw)
    };
    io::copy(&mut File::open(path)?, &mut memory)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: plain descriptor and flags.
    if unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(memory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_copy_cannot_be_written() {
        let fd = sealed_copy(Path::new("/proc/self/exe")).unwrap();
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let mut file = File::options().write(true).open(path).unwrap();
        assert!(io::Write::write(&mut file, b"x").is_err());
    }

    #[test]
    fn a_read_only_mount_cannot_be_opened_for_writing() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let fd = read_only_copy(file.path()).unwrap();
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let error = File::options().write(true).open(path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    }
}
