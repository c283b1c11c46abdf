//! Child processes and what the kernel counts about them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

/// How long a child may take to end when asked to.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Asks a child to end, and ends it if it does not.
pub(crate) async fn stop(child: &mut Child) {
    if let Some(pid) = child.id() {
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
    }
    if tokio::time::timeout(STOP_DEADLINE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Processor time a process has used (`proc_pid_stat(5)`: utime and stime, in ticks of 10 ms).
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let fields = stat_fields(pid)?;
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// The fields of `/proc/PID/stat` that follow the command's name, which may hold anything.
fn stat_fields(pid: u32) -> Result<Vec<String>> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).context(path)?;
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// Resident bytes of a process and all its descendants.
pub(crate) fn resident_of_tree(root: u32) -> Result<u64> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(fields) = stat_fields(pid) else { continue };
        if let Some(parent) = fields.get(1).and_then(|f| f.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut total = resident(root)?;
    let mut below = children.remove(&root).unwrap_or_default();
    while let Some(pid) = below.pop() {
        total += resident(pid).unwrap_or(0);
        below.extend(children.remove(&pid).unwrap_or_default());
    }
    Ok(total)
}

fn resident(pid: u32) -> Result<u64> {
    status_bytes(&std::fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS")
}

/// The most a process ever had resident, in bytes.
pub(crate) fn peak_resident(pid: u32) -> Result<u64> {
    status_bytes(&std::fs::read_to_string(format!("/proc/{pid}/status"))?, "VmHWM")
}

fn status_bytes(status: &str, field: &str) -> Result<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).with_context(|| format!("no {field} in a process's status"))
}

/// A TCP port of the loopback interface that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

/// The binary under test.
pub(crate) fn coxswain() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("COXSWAIN") {
        return Ok(path.into());
    }
    // Both come from the same build directory.
    let beside = std::env::current_exe()?.with_file_name("coxswain");
    ensure!(
        beside.is_file(),
        "{} is missing: cargo build --release -p coxswain, or set COXSWAIN",
        beside.display()
    );
    Ok(beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_fields_are_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(status_bytes(status, "VmRSS").unwrap(), 1 << 20);
        assert_eq!(status_bytes(status, "VmHWM").unwrap(), 2 << 20);
        assert!(status_bytes(status, "VmSwap").is_err());
    }

    #[test]
    fn this_process_is_counted() {
        let own = std::process::id();
        assert!(resident_of_tree(own).unwrap() >= resident(own).unwrap() / 2);
        assert!(peak_resident(own).unwrap() > 0);
        assert!(cpu_time(own).is_ok());
    }
}
