//! Running further commands in a container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::state::load;
use super::stream::Terminal;
use super::{Embedded, blocking};
use crate::api::*;
use crate::spec::{ExecSpec, SPEC_FILE, Spec, StartReply};
use crate::{Error, Result, shim};

/// More output than this of a synchronous exec is cut off.
const MAX_OUTPUT: u64 = 16 << 20;
/// How long descendants may hold the output open once the command has exited.
const DRAIN: Duration = Duration::from_secs(2);

/// Our ends of the standard pipes.
struct Pipes {
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

impl Embedded {
    pub(super) async fn run_exec(&self, id: &str, request: ExecRequest) -> Result<Session> {
        let container = self.0.containers.get(id)?;
        let running = container.running().ok_or_else(|| {
            Error::FailedPrecondition(format!("container is in {:?} state", container.state()))
        })?;
        let (pipes, theirs) = if request.tty {
            (None, Vec::new())
        } else {
            make_pipes(&request).map(|(p, t)| (Some(p), t))?
        };
        let inner = Arc::clone(&self.0);
        let (id, cmd, tty) = (id.to_owned(), request.cmd.clone(), request.tty);
        let (control, reply) = blocking(move || {
            let spec: Spec = load(&inner.container_dir(&id).join(SPEC_FILE))?
                .ok_or_else(|| Error::NotFound(format!("container {id:?}")))?;
            let mut process = spec.process;
            process.args = cmd;
            process.terminal = tty;
            let request = ExecSpec {
                target: running.process,
                cgroups: spec.cgroups,
                process,
                oom_score_adj: spec.oom_score_adj,
                users: spec.namespaces.user,
            };
            let control = inner.executable.spawn("exec", "/".as_ref())?.control;
            shim::send_with_fds(&control, &request, &theirs.iter().collect::<Vec<_>>())?;
            drop(theirs);
            let reply = shim::receive_with_fds::<StartReply>(&control)?;
            control.set_nonblocking(true)?;
            Ok((control, reply))
        })
        .await?;
        match reply {
            Some((StartReply::Started(_), fds)) => {
                session(pipes, fds, UnixStream::from_std(control)?, &request)
            }
            Some((StartReply::Failed { message, .. }, _)) => Err(not_started(&message)),
            None => Err(Error::Internal("the exec helper ended early".to_owned())),
        }
    }

    pub(super) async fn run_exec_sync(
        &self,
        id: &str,
        cmd: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let text = cmd.join(" ");
        let request = ExecRequest { cmd, tty: false, stdin: false, stdout: true, stderr: true };
        let collect = async {
            let session = self.run_exec(id, request).await?;
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let exit = {
                let read = async {
                    tokio::join!(
                        read(session.stdout, &mut stdout),
                        read(session.stderr, &mut stderr)
                    )
                };
                tokio::pin!(read);
                let mut exit = session.exit;
                tokio::select! {
                    code = &mut exit => {
                        tokio::time::timeout(DRAIN, &mut read).await.ok();
                        code
                    }
                    _ = &mut read => exit.await,
                }
            };
            Ok(ExecOutput { stdout, stderr, exit_code: exit? })
        };
        if timeout.is_zero() {
            return collect.await;
        }
        tokio::time::timeout(timeout, collect).await.unwrap_or_else(|_| {
            Err(Error::DeadlineExceeded(format!(
                "failed to exec in container: timeout {timeout:?} exceeded: command {text:?}"
            )))
        })
    }
}

async fn read(stream: Option<Reader>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    let mut limited = stream.take(MAX_OUTPUT);
    limited.read_to_end(into).await?;
    // The command must not block on output that is dropped.
    tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await?;
    Ok(())
}

fn make_pipes(request: &ExecRequest) -> io::Result<(Pipes, Vec<OwnedFd>)> {
    let null = || -> io::Result<OwnedFd> {
        Ok(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
    };
    let mut theirs = Vec::new();
    let stdin = if request.stdin {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        theirs.push(reader);
        Some(pipe::Sender::from_owned_fd(writer)?)
    } else {
        theirs.push(null()?);
        None
    };
    let mut output = |wanted: bool| -> io::Result<Option<pipe::Receiver>> {
        if !wanted {
            theirs.push(null()?);
            return Ok(None);
        }
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        theirs.push(writer);
        Ok(Some(pipe::Receiver::from_owned_fd(reader)?))
    };
    let (stdout, stderr) = (output(request.stdout)?, output(request.stderr)?);
    Ok((Pipes { stdin, stdout, stderr }, theirs))
}

fn session(
    pipes: Option<Pipes>,
    fds: Vec<OwnedFd>,
    control: UnixStream,
    request: &ExecRequest,
) -> Result<Session> {
    let exit = exit_code(control).boxed();
    if let Some(Pipes { stdin, stdout, stderr }) = pipes {
        return Ok(Session {
            stdin: stdin.map(|stream| Box::new(stream) as Writer),
            stdout: stdout.map(|stream| Box::new(stream) as Reader),
            stderr: stderr.map(|stream| Box::new(stream) as Reader),
            resize: None,
            exit,
        });
    }
    let master = fds
        .into_iter()
        .next()
        .ok_or_else(|| Error::Internal("the exec helper sent no terminal".to_owned()))?;
    let sizes = master.as_fd().try_clone_to_owned()?;
    let (sender, mut receiver) = mpsc::channel::<TerminalSize>(8);
    telemetry::task::spawn("exec-session", async move {
        while let Some(size) = receiver.recv().await {
            shim::resize_terminal(&sizes, size.width, size.height).ok();
        }
    });
    Ok(Session {
        stdin: if request.stdin {
            Some(Box::new(Terminal::new(master.try_clone()?)?))
        } else {
            None
        },
        stdout: Some(Box::new(Terminal::new(master)?)),
        stderr: None,
        resize: Some(sender),
        exit,
    })
}

/// A command that could not be executed has no exit code: in containerd's words, which clients and
/// events show.
fn not_started(message: &str) -> Error {
    Error::Internal(format!(
        "failed to exec in container: failed to start exec \"{}\": OCI runtime exec failed: exec \
         failed: {message}: unknown",
        super::new_id()
    ))
}

/// Waits for the helper's last word. Dropping this drops the control socket, which ends the
/// command.
async fn exit_code(mut control: UnixStream) -> Result<i32> {
    let length = control.read_u32().await;
    let length = length.map_err(|_| Error::Internal("the exec helper was killed".to_owned()))?;
    let mut body = vec![0; length as usize];
    control.read_exact(&mut body).await?;
    serde_json::from_slice(&body).map_err(|error| Error::Internal(error.to_string()))
}
