//! The shim of one container: creates it, reports, relays until it exits.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::pipe2;

use super::child::{self, Failure, Report, Streams};
use super::log::Log;
use super::relay::{Output, Relay};
use super::{control, sys};
use crate::spec::{
    EXIT_FILE, Exited, PidNamespace, RUN_FILE, Running, SOCKET_FILE, SPEC_FILE, Spec, StartReply,
};

/// Standard input is the control socket; `directory` holds the spec.
pub(super) fn main(directory: &Path) -> i32 {
    let control = match prepare() {
        Ok(control) => control,
        Err(error) => {
            eprintln!("shim: {error}");
            return 1;
        }
    };
    let started = std::fs::read(directory.join(SPEC_FILE))
        .and_then(|bytes| Ok(serde_json::from_slice::<Spec>(&bytes)?))
        .map_err(Failure::from)
        .and_then(|spec| start(&spec, directory).map(|started| (spec, started)));
    match started {
        Ok((spec, (running, relay))) => {
            if control::send(&control, &StartReply::Started(running), &[]).is_err() {
                // The start was not reported, so it will be repeated.
                relay.kill();
            }
            drop(control);
            relay.run(&spec, directory)
        }
        Err(Failure { message, exit_code }) => {
            let exited = Exited {
                finished_at: Timestamp::now(),
                exit_code: 128,
                oom_killed: false,
                start_error: Some(message.clone()),
            };
            save(&directory.join(EXIT_FILE), &exited).ok();
            control::send(&control, &StartReply::Failed { message, exit_code }, &[]).ok();
            0
        }
    }
}

fn prepare() -> io::Result<UnixStream> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    sys::close_on_exec_all();
    sys::close_standard_streams()?;
    nix::unistd::setsid()?;
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
    // Whoever shuts the machine down ends the container, not its witness.
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        // SAFETY: ignoring installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    Ok(control)
}

fn start(spec: &Spec, directory: &Path) -> Result<(Running, Relay), Failure> {
    let log = sys::context("open log", Log::open(spec.log.as_deref()))?;
    let socket = directory.join(SOCKET_FILE);
    std::fs::remove_file(&socket).ok();
    let listener = bind_in(directory)?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;

    let (outer, inner) = if spec.process.terminal { (None, None) } else { pipes(spec)? };
    let (ours, theirs) = UnixStream::pair()?;
    let mut flags = 0;
    match &spec.namespaces.pid {
        PidNamespace::New => flags = libc::CLONE_NEWPID as u64,
        PidNamespace::Node => {}
        PidNamespace::Of(path) => sys::enter(path, libc::CLONE_NEWPID)?,
    }
    let (pid, pidfd) = match sys::fork(flags)? {
        sys::Fork::Child => {
            drop((ours, outer));
            child::main(spec, inner, &theirs)
        }
        sys::Fork::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((theirs, inner));
    let (user, terminal) = match await_exec(&ours) {
        Ok(result) => result,
        Err(failure) => {
            sys::wait(pid).ok();
            return Err(failure);
        }
    };
    let running = Running {
        shim: sys::identify(std::process::id() as i32)?,
        process: sys::identify(pid)?,
        started_at: Timestamp::now(),
        user,
    };
    save(&directory.join(RUN_FILE), &running)?;
    let output = match (terminal, outer) {
        (Some(master), _) => Output::Terminal(master),
        (None, Some(outer)) => outer,
        (None, None) => return Err(io::Error::other("no terminal came").into()),
    };
    let relay = Relay::new(pid, pidfd, signals, listener, log, output, spec.stdin_once)?;
    Ok((running, relay))
}

/// A socket's path is limited to 108 bytes; a relative one always fits.
fn bind_in(directory: &Path) -> io::Result<UnixListener> {
    std::env::set_current_dir(directory)?;
    let listener = UnixListener::bind(SOCKET_FILE);
    std::env::set_current_dir("/")?;
    sys::context("bind shim socket", listener)
}

/// The shim's and the container's ends of the standard pipes.
type PipeEnds = (Option<Output>, Option<Streams>);

fn pipes(spec: &Spec) -> io::Result<PipeEnds> {
    let (stdin, writer) = if spec.stdin {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        (reader, Some(writer))
    } else {
        (OwnedFd::from(std::fs::File::open("/dev/null")?), None)
    };
    let (out_reader, stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let (err_reader, stderr) = pipe2(OFlag::O_CLOEXEC)?;
    let outer = Output::Pipes { stdin: writer, stdout: out_reader, stderr: err_reader };
    Ok((Some(outer), Some(Streams { stdin, stdout, stderr })))
}

/// Reads reports until execve closes the channel.
pub(super) fn await_exec(
    channel: &UnixStream,
) -> Result<(crate::api::ProcessUser, Option<OwnedFd>), Failure> {
    let (mut user, mut terminal) = (None, None);
    while let Some((report, fds)) = control::receive::<Report>(channel)? {
        match report {
            Report::Terminal => terminal = fds.into_iter().next(),
            Report::User(ids) => user = Some(ids),
            Report::Failed { message, exit_code } => return Err(Failure { message, exit_code }),
        }
    }
    match user {
        Some(user) => Ok((user, terminal)),
        None => Err(io::Error::other("container process ended before it could start").into()),
    }
}

pub(super) fn save<T: serde::Serialize>(path: &Path, value: &T) -> io::Result<()> {
    crate::private::write(path, &serde_json::to_vec(value)?)
}
