//! This very program as a descriptor that containers cannot write through.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use crate::shim::{ARGUMENT, read_only_copy};

/// The executable that shims are started from.
pub(super) struct Executable(OwnedFd);

impl Executable {
    /// A read-only mount of the file costs no memory; where the kernel cannot give one, a sealed
    /// copy in memory does the same.
    pub(super) fn open() -> io::Result<Self> {
        let path = Path::new("/proc/self/exe");
        read_only_copy(path).or_else(|_| sealed_copy(path)).map(Self)
    }

    /// Starts a shim of this role and returns it with our end of its control socket.
    pub(super) fn spawn(
        &self,
        role: &str,
        directory: &Path,
    ) -> io::Result<(tokio::process::Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = tokio::process::Command::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
            .arg0("coxswain")
            .args([ARGUMENT, role])
            .arg(directory)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok((child, ours))
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
