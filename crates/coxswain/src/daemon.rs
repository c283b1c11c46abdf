//! A cluster in the background: `up --detach`, `status`, `down`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::dir::ClusterDir;

/// Set for the background process: its standard input is where it reports.
const REPORT: &str = "COXSWAIN_REPORT_ON_STDIN";

/// This process was started to run in the background.
pub(crate) fn is_background() -> bool {
    std::env::var_os(REPORT).is_some()
}

/// Starts the same command without `--detach` in a session of its own and waits until it is ready.
pub(crate) fn detach(dir: &Path) -> Result<()> {
    let dir = ClusterDir::open(dir)?;
    let log_path = dir.data(crate::logging::CLUSTER_LOG);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(&log_path)
        .with_context(|| log_path.display().to_string())?;
    let begun = log.metadata()?.len();
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new("/proc/self/exe")
        .arg0("coxswain")
        .args(std::env::args_os().skip(1).filter(|a| a != "--detach"))
        .env(REPORT, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .process_group(0)
        .spawn()
        .context("starting the background process")?;
    let mut word = String::new();
    BufReader::new(ours).read_line(&mut word)?;
    if word.trim() == "ready" {
        say!(
            "running in the background as process {}; its log is {}",
            child.id(),
            log_path.display()
        );
        say!("\n  export KUBECONFIG={}\n", dir.kubeconfig("admin").display());
        return Ok(());
    }
    let mut log = log;
    log.seek(SeekFrom::Start(begun))?;
    let mut said = String::new();
    log.read_to_string(&mut said)?;
    let last = said.lines().rev().find_map(|l| l.strip_prefix("coxswain: "));
    bail!("{}", last.unwrap_or("the background process ended before it was ready"))
}

/// Tells the process that started this one that the cluster is ready.
pub(crate) fn report_ready() {
    if is_background()
        && let Ok(fd) = std::io::stdin().as_fd().try_clone_to_owned()
    {
        // That process may have ended.
        let _ = UnixStream::from(fd).write_all(b"ready\n");
    }
}

/// The process that runs the cluster in `dir`, and the lock it holds.
fn running(dir: &Path) -> Result<Option<(Pid, File)>> {
    let lock_path = dir.join("data/store/LOCK");
    let Ok(lock) = File::open(&lock_path) else { return Ok(None) };
    match lock.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(e)) => return Err(e).context(lock_path.display().to_string()),
    }
    let path = dir.join("data/up.pid");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let pid = text.trim().parse().with_context(|| format!("{} is damaged", path.display()))?;
    Ok(Some((Pid::from_raw(pid), lock)))
}

/// Notes which process runs the cluster.
pub(crate) fn write_pid(dir: &ClusterDir) -> Result<()> {
    let path = dir.data("up.pid");
    std::fs::write(&path, std::process::id().to_string())
        .with_context(|| path.display().to_string())
}

/// `coxswain status`: exit code 0 only if the cluster runs.
pub(crate) fn status(dir: &Path) -> Result<()> {
    match running(dir)? {
        Some((pid, _)) => {
            say!("running as process {pid}");
            Ok(())
        }
        None => bail!("no cluster is running in {}", dir.display()),
    }
}

/// `coxswain down`: stops the cluster and waits until it is gone.
pub(crate) fn down(dir: &Path) -> Result<()> {
    let Some((pid, lock)) = running(dir)? else {
        say!("no cluster is running in {}", dir.display());
        return Ok(());
    };
    kill(pid, Signal::SIGTERM).with_context(|| format!("stopping process {pid}"))?;
    // The lock is given back when the process is gone.
    lock.lock_shared()?;
    say!("stopped");
    Ok(())
}
