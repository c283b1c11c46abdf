//! Capability sets.

use std::io;

use super::sys;

#[rustfmt::skip]
const NAMES: [&str; 41] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
];

/// Every capability there is.
pub(crate) const ALL: u64 = (1 << NAMES.len()) - 1;

/// The bit of a capability, with or without `CAP_`, in any case.
pub(crate) fn parse(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == name).map(|bit| 1 << bit)
}

/// Limits what execve may ever give. Capabilities outside the node's own bounding set stay out.
pub(super) fn drop_bounding(keep: u64) -> io::Result<()> {
    for bit in 0..NAMES.len() as u64 {
        if keep & (1 << bit) != 0 {
            continue;
        }
        match sys::prctl(libc::PR_CAPBSET_DROP, bit) {
            // A kernel older than the capability.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            result => sys::context("drop bounding capability", result)?,
        }
    }
    Ok(())
}

/// Sets the effective and permitted sets; inheritable and ambient become empty.
pub(super) fn apply(wanted: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let allowed = wanted & bounding()?;
    let (low, high) = (allowed as u32, (allowed >> 32) as u32);
    let header = [VERSION_3, 0];
    let data = [low, low, 0, high, high, 0];
    // SAFETY: both arrays have the layout of version 3 and live through the call.
    unsafe { sys::check(libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr())) }?;
    match sys::prctl_ambient_clear() {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result,
    }
}

fn bounding() -> io::Result<u64> {
    let mut set = 0;
    for bit in 0..NAMES.len() {
        // SAFETY: takes a plain number.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, bit, 0, 0, 0) };
        if held == 1 {
            set |= 1 << bit;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!(parse("CAP_CHOWN"), Some(1));
        assert_eq!(parse("sys_admin"), Some(1 << 21));
        assert_eq!(parse("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(parse("CAP_NONE"), None);
    }
}
