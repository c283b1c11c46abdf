//! From fork to execve: the container's own process before it is the container's program.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use super::mounts::{Kind, Root, clone_of};
use super::{capabilities, control, pty, rootfs, seccomp, sys, user, users};
use crate::api::ProcessUser;
use crate::spec::{Process, Spec};
use crate::tree::{Links, Tree};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The child's reports to its parent before execve closes the channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The controlling side of the terminal comes with this message.
    Terminal,
    /// The user that the process runs as.
    User(ProcessUser),
    Failed {
        message: String,
        exit_code: i32,
    },
}

/// Standard streams for a process without a terminal.
pub(super) struct Streams {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Streams {
    pub(super) fn each(&self) -> impl Iterator<Item = &OwnedFd> {
        [&self.stdin, &self.stdout, &self.stderr].into_iter()
    }
}

/// Why the program could not be executed.
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) exit_code: i32,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { message: error.to_string(), exit_code: 128 }
    }
}

impl From<nix::Error> for Failure {
    fn from(error: nix::Error) -> Self {
        io::Error::from(error).into()
    }
}

/// Becomes the container's process. Never returns.
pub(super) fn main(spec: &Spec, streams: Option<Streams>, report: &UnixStream) -> ! {
    let failure = match become_container(spec, streams, report) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    fail(report, failure)
}

/// Reports and ends the process.
pub(super) fn fail(report: &UnixStream, failure: Failure) -> ! {
    let Failure { message, exit_code } = failure;
    control::send(report, &Report::Failed { message, exit_code }, &[]).ok();
    std::process::exit(exit_code)
}

fn become_container(
    spec: &Spec,
    streams: Option<Streams>,
    report: &UnixStream,
) -> Result<std::convert::Infallible, Failure> {
    nix::unistd::setsid()?;
    sys::set_oom_score_adj(spec.oom_score_adj)?;
    sys::join_cgroups(&spec.cgroups)?;
    let namespaces = &spec.namespaces;
    for (path, kind) in [
        (&namespaces.network, libc::CLONE_NEWNET),
        (&namespaces.ipc, libc::CLONE_NEWIPC),
        (&namespaces.uts, libc::CLONE_NEWUTS),
    ] {
        if let Some(path) = path {
            sys::enter(path, kind)?;
        }
    }
    let users = namespaces.user.as_ref().map(users::Entry::open).transpose()?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)?;
    rootfs::enter(spec, users.as_ref())?;
    if let Some(users) = users {
        if let Some(streams) = &streams {
            streams.each().for_each(|stream| users.own(stream));
        }
        users.enter()?;
    }
    // Link by link, never through one of /proc that leads out.
    let root = Root::open(Path::new("/"))?;
    sys::context(
        format_args!("make cwd ({:?})", cwd(&spec.process)),
        root.ensure(Path::new(cwd(&spec.process)), Kind::Directory),
    )?;
    drop(root);
    attach_streams(streams, report)?;
    execute(&spec.process, report)
}

/// Connects the standard streams: the given ones, or a new terminal that is `/dev/console` too.
fn attach_streams(streams: Option<Streams>, report: &UnixStream) -> io::Result<()> {
    let Some(streams) = streams else {
        let terminal = new_terminal(report)?;
        let console = clone_of(terminal.as_fd())?;
        return Root::open(Path::new("/"))?.mount(&console, Path::new("/dev/console"), Kind::File);
    };
    sys::dup_to(streams.stdin.as_fd(), 0)?;
    sys::dup_to(streams.stdout.as_fd(), 1)?;
    sys::dup_to(streams.stderr.as_fd(), 2)
}

/// Makes a terminal the standard streams and sends its controlling side to the parent.
pub(super) fn new_terminal(report: &UnixStream) -> io::Result<OwnedFd> {
    let (master, terminal) = sys::context("open terminal", pty::open())?;
    sys::context("take terminal", pty::take(&terminal))?;
    control::send(report, &Report::Terminal, &[&master])?;
    Ok(terminal)
}

/// Sheds privileges and executes the program. Returns only where that failed.
pub(super) fn execute(
    process: &Process,
    report: &UnixStream,
) -> Result<std::convert::Infallible, Failure> {
    let user = user::resolve(&process.user)?;
    let env = environment(process, &user.home);
    let program = find_program(process, &env)?;
    let argv =
        process.args.iter().map(|a| sys::c_string(a.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let envp = env
        .iter()
        .map(|(name, value)| sys::c_string(format!("{name}={value}")))
        .collect::<Result<Vec<_>, _>>()?;
    let filters = process.seccomp.as_ref().map(seccomp::compile).transpose()?.unwrap_or_default();
    if !process.terminal {
        own_streams(user.ids.uid, user.ids.gid);
    }
    control::send(report, &Report::User(user.ids.clone()), &[])?;

    // Without no_new_privs the kernel takes a filter from CAP_SYS_ADMIN only, so it comes first.
    if !process.no_new_privs {
        seccomp::install(&filters)?;
    }
    capabilities::drop_bounding(process.capabilities)?;
    become_user(&user.ids)?;
    capabilities::apply(process.capabilities)?;
    sys::context(format_args!("chdir to cwd ({:?})", cwd(process)), change_directory(process))?;
    if process.no_new_privs {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1)?;
        seccomp::install(&filters)?;
    }
    reset_signals();
    let error = exec(&program, &argv, &envp);
    let exit_code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    Err(Failure { message: format!("exec {}: {error}", program.display()), exit_code })
}

/// Goes to the working directory. A link of `/proc` would lead wherever a descriptor that is still
/// open here does, so none is followed.
fn change_directory(process: &Process) -> io::Result<()> {
    let root = Tree::open(Path::new("/"))?;
    let path = Path::new(cwd(process));
    let directory = root.open_at(path, OFlag::O_PATH | OFlag::O_DIRECTORY, Links::Root)?;
    Ok(nix::unistd::fchdir(&directory)?)
}

fn cwd(process: &Process) -> &str {
    if process.cwd.is_empty() { "/" } else { &process.cwd }
}

fn environment(process: &Process, home: &str) -> Vec<(String, String)> {
    let mut env = process.env.clone();
    let mut default = |name: &str, value: &str| {
        if !env.iter().any(|(known, _)| known == name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    };
    default("PATH", DEFAULT_PATH);
    default("HOME", home);
    if process.terminal {
        default("TERM", "xterm");
    }
    env
}

fn find_program(process: &Process, env: &[(String, String)]) -> Result<PathBuf, Failure> {
    let name = process
        .args
        .first()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Failure { message: "no command specified".to_owned(), exit_code: 128 })?;
    let not_started = |why: &str, exit_code| Failure {
        message: format!("unable to start container process: exec: {name:?}: {why}"),
        exit_code,
    };
    if name.contains('/') {
        // A relative path counts from the working directory.
        let path = Path::new(cwd(process)).join(name);
        return match std::fs::metadata(&path) {
            Err(_) => Err(not_started(&format!("stat {name}: no such file or directory"), 127)),
            Ok(found) if found.is_dir() => Err(not_started("is a directory", 126)),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                Err(not_started("permission denied", 126))
            }
            Ok(_) => Ok(path),
        };
    }
    let path = env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
    path.split(':')
        .filter(|directory| !directory.is_empty())
        .map(|directory| Path::new(cwd(process)).join(directory).join(name))
        .find(|path| {
            std::fs::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
        .ok_or_else(|| not_started("executable file not found in $PATH", 127))
}

/// Gives the standard pipes to the user, so that opening `/dev/stdout` works for it.
fn own_streams(uid: u32, gid: u32) {
    for fd in 0..3 {
        // SAFETY: standard descriptors; failure as for /dev/null of the node changes nothing.
        unsafe {
            let mut stat = std::mem::zeroed::<libc::stat>();
            if libc::fstat(fd, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFIFO {
                libc::fchown(fd, uid, gid);
            }
        }
    }
}

fn become_user(ids: &ProcessUser) -> io::Result<()> {
    sys::prctl(libc::PR_SET_KEEPCAPS, 1)?;
    let groups = &ids.supplemental_groups;
    // SAFETY: the array lives through the call; this process has one thread.
    unsafe {
        sys::check(libc::setgroups(groups.len(), groups.as_ptr()).into())?;
        sys::check(libc::setresgid(ids.gid, ids.gid, ids.gid).into())?;
        sys::check(libc::setresuid(ids.uid, ids.uid, ids.uid).into())?;
    }
    sys::prctl(libc::PR_SET_KEEPCAPS, 0)
}

/// Dispositions and the mask survive execve; the program starts with the defaults.
fn reset_signals() {
    // SAFETY: signals that may not be changed are refused without effect.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::umask(0o022);
    }
}

fn exec(program: &Path, argv: &[CString], envp: &[CString]) -> io::Error {
    let program = match sys::c_string(program.as_os_str().as_encoded_bytes()) {
        Ok(program) => program,
        Err(error) => return error,
    };
    match nix::unistd::execve(&program, argv, envp) {
        Ok(never) => match never {},
        Err(error) => error.into(),
    }
}
