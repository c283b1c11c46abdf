//! The exec helper: enters a container, runs one command, exits with its code.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::child::{self, Failure, Streams};
use super::{control, run, sys, users};
use crate::spec::{ExecSpec, StartReply};

/// Standard input is the control socket: it brings the [`ExecSpec`] and the streams, gets the
/// [`StartReply`], and its end kills the command.
pub(super) fn main() -> i32 {
    let control = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => UnixStream::from(fd),
        Err(_) => return 1,
    };
    sys::close_on_exec_all();
    match start(&control) {
        Ok((pid, pidfd)) => {
            let mut fds = [
                PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
                PollFd::new(control.as_fd(), PollFlags::POLLIN),
            ];
            let abandoned = loop {
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) => break fds[0].any() != Some(true),
                    Err(nix::Error::EINTR) => {}
                    Err(_) => break true,
                }
            };
            if abandoned {
                nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(-pid),
                    nix::sys::signal::Signal::SIGKILL,
                )
                .ok();
            }
            let code = sys::wait(pid).unwrap_or(255);
            control::send(&control, &code, &[]).ok();
            0
        }
        Err(Failure { message, exit_code }) => {
            control::send(&control, &StartReply::Failed { message, exit_code }, &[]).ok();
            1
        }
    }
}

fn start(control: &UnixStream) -> Result<(i32, std::os::fd::OwnedFd), Failure> {
    let (spec, fds) = control::receive::<ExecSpec>(control)?
        .ok_or_else(|| io::Error::other("no request came"))?;
    sys::close_standard_streams()?;
    let pidfd = sys::open_pidfd(&spec.target)?;
    sys::set_oom_score_adj(spec.oom_score_adj)?;
    sys::join_cgroups(&spec.cgroups)?;
    let streams = match <[_; 3]>::try_from(fds) {
        Ok([stdin, stdout, stderr]) => Some(Streams { stdin, stdout, stderr }),
        Err(_) => None,
    };
    let mut kinds = libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWCGROUP;
    if let Some(users) = &spec.users {
        let entry = users::Entry::open(users)?;
        if let Some(streams) = &streams {
            streams.each().for_each(|stream| entry.own(stream));
        }
        kinds |= libc::CLONE_NEWUSER;
    }
    sys::context("enter namespaces", sys::setns(pidfd.as_fd(), kinds))?;
    drop(pidfd);
    if spec.users.is_some() {
        users::become_root()?;
    }
    let (ours, theirs) = UnixStream::pair()?;
    match sys::fork(0)? {
        sys::Fork::Child => {
            drop(ours);
            let result = become_command(&spec, streams, &theirs);
            let Err(failure) = result;
            child::fail(&theirs, failure)
        }
        sys::Fork::Parent { pid, pidfd } => {
            drop((theirs, streams));
            let (user, terminal) = run::await_exec(&ours).inspect_err(|_| {
                sys::wait(pid).ok();
            })?;
            let running = crate::spec::Running {
                shim: spec.target.clone(),
                process: crate::spec::ProcessId { pid, ..spec.target },
                started_at: jiff::Timestamp::now(),
                user,
            };
            let fds: Vec<_> = terminal.iter().collect();
            control::send(control, &StartReply::Started(running), &fds)?;
            Ok((pid, pidfd))
        }
    }
}

fn become_command(
    spec: &ExecSpec,
    streams: Option<Streams>,
    report: &UnixStream,
) -> Result<std::convert::Infallible, Failure> {
    nix::unistd::setsid()?;
    match streams {
        Some(streams) => {
            sys::dup_to(streams.stdin.as_fd(), 0)?;
            sys::dup_to(streams.stdout.as_fd(), 1)?;
            sys::dup_to(streams.stderr.as_fd(), 2)?;
        }
        None => drop(child::new_terminal(report)?),
    }
    child::execute(&spec.process, report)
}
