//! Attach, port-forward and log reopening: talking to a shim and into a network namespace.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use network::netns;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::{Embedded, blocking};
use crate::api::*;
use crate::shim::{Frame, FrameKind};
use crate::spec::SOCKET_FILE;
use crate::{Error, Result};

/// Bytes kept for a reader that is slower than the container.
const BUFFER: usize = 64 << 10;

impl Embedded {
    /// Connects to the shim of a running container.
    async fn connect_shim(&self, id: &str) -> Result<UnixStream> {
        let container = self.0.containers.get(id)?;
        if container.running().is_none() {
            return Err(Error::FailedPrecondition(format!(
                "container is in {:?} state",
                container.state()
            )));
        }
        // The directory's descriptor keeps the socket's path within its 108 bytes.
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(&self.0.container_dir(id), flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd());
        Ok(UnixStream::connect(path).await?)
    }

    pub(super) async fn run_attach(&self, id: &str, request: AttachRequest) -> Result<Session> {
        let container = self.0.containers.get(id)?;
        let tty = container.record.read().config.tty;
        let mut socket = self.connect_shim(id).await?;
        let wanted = [request.stdin, request.stdout, request.stderr].map(u8::from);
        socket.write_all(&Frame::encode(FrameKind::Attach, &wanted)).await?;
        let (reader, writer) = socket.into_split();
        let (stdout, stdout_sink) = tokio::io::duplex(BUFFER);
        let (stderr, stderr_sink) = tokio::io::duplex(BUFFER);
        let (input, input_sink) = tokio::io::duplex(BUFFER);
        let (attached, ready) = oneshot::channel();
        let (resize, sizes) = mpsc::channel(8);
        let (done, exit) = oneshot::channel();
        telemetry::task::spawn("stream-input", send_input(input, sizes, writer));
        telemetry::task::spawn(
            "stream-output",
            receive_output(reader, stdout_sink, stderr_sink, attached, done),
        );
        ready.await.map_err(|_| Error::Internal("the shim did not answer".to_owned()))?;
        let exit = async move {
            match exit.await {
                Ok(code) => Ok(code),
                // The shim is gone: its container has exited, and the watcher knows how.
                Err(_) => Ok(container.exited().await),
            }
        };
        Ok(Session {
            stdin: request.stdin.then(|| Box::new(input_sink) as Writer),
            stdout: request.stdout.then(|| Box::new(stdout) as Reader),
            stderr: (request.stderr && !tty).then(|| Box::new(stderr) as Reader),
            resize: tty.then_some(resize),
            exit: exit.boxed(),
        })
    }

    pub(super) async fn reopen_log(&self, id: &str) -> Result<()> {
        let mut socket = self.connect_shim(id).await?;
        socket.write_all(&Frame::encode(FrameKind::ReopenLog, b"")).await?;
        let mut buffer = Vec::new();
        while let Some(frame) = next_frame(&mut socket, &mut buffer).await? {
            if frame.kind == FrameKind::Done {
                return match String::from_utf8_lossy(&frame.payload) {
                    message if message.is_empty() => Ok(()),
                    message => Err(Error::Internal(format!("reopen log: {message}"))),
                };
            }
        }
        Err(Error::Internal("the shim did not answer".to_owned()))
    }

    pub(super) async fn connect_port(&self, sandbox_id: &str, port: u16) -> Result<ByteStream> {
        let sandbox = self.0.sandboxes.get(sandbox_id)?;
        let (on_node, state) = {
            let record = sandbox.record.read();
            (record.config.linux.namespaces.network == NamespaceMode::Node, record.state)
        };
        if state != SandboxState::Ready {
            return Err(Error::FailedPrecondition(format!("sandbox {sandbox_id:?} is not ready")));
        }
        let namespace = if on_node {
            self.0.config.node_netns.clone()
        } else {
            Some(self.0.sandbox_dir(sandbox_id).join("net"))
        };
        let stream = blocking(move || {
            netns::run_in(namespace.as_deref(), || {
                Ok(std::net::TcpStream::connect(("127.0.0.1", port)).or_else(|first| {
                    std::net::TcpStream::connect(("::1", port)).map_err(|_| first)
                }))
            })
            .map_err(super::network_error)?
            .map_err(Error::internal(format!(
                "failed to connect to localhost:{port} inside the pod's network namespace"
            )))
        })
        .await?;
        stream.set_nonblocking(true)?;
        Ok(Box::new(TcpStream::from_std(stream)?))
    }
}

async fn send_input(
    mut input: impl AsyncRead + Unpin,
    mut sizes: mpsc::Receiver<TerminalSize>,
    mut socket: tokio::net::unix::OwnedWriteHalf,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut open = true;
    loop {
        tokio::select! {
            length = input.read(&mut buffer), if open => match length? {
                0 => {
                    open = false;
                    socket.write_all(&Frame::encode(FrameKind::StdinEnd, b"")).await?;
                }
                length => {
                    socket.write_all(&Frame::encode(FrameKind::Stdin, &buffer[..length])).await?;
                }
            },
            Some(TerminalSize { width, height }) = sizes.recv() => {
                let payload = [width.to_be_bytes(), height.to_be_bytes()].concat();
                socket.write_all(&Frame::encode(FrameKind::Resize, &payload)).await?;
            }
            else => {
                // The session goes on with output; the shim sees the end when it is dropped.
                socket.forget();
                return Ok(());
            }
        }
    }
}

async fn receive_output(
    mut socket: tokio::net::unix::OwnedReadHalf,
    mut stdout: impl AsyncWrite + Unpin,
    mut stderr: impl AsyncWrite + Unpin,
    attached: oneshot::Sender<()>,
    mut done: oneshot::Sender<i32>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut attached = Some(attached);
    loop {
        let frame = tokio::select! {
            frame = next_frame(&mut socket, &mut buffer) => frame?,
            () = done.closed() => return Ok(()),
        };
        let Some(frame) = frame else { return Ok(()) };
        match frame.kind {
            FrameKind::Done => drop(attached.take().map(|attached| attached.send(()))),
            // A reader that has gone wants nothing more of this stream.
            FrameKind::Stdout => drop(stdout.write_all(&frame.payload).await),
            FrameKind::Stderr => drop(stderr.write_all(&frame.payload).await),
            FrameKind::Exit => {
                let code =
                    frame.payload.first_chunk().map_or(255, |code| i32::from_be_bytes(*code));
                done.send(code).ok();
                return Ok(());
            }
            _ => {}
        }
    }
}

async fn next_frame(
    socket: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Frame>> {
    loop {
        if let Some(frame) = Frame::decode(buffer)? {
            return Ok(Some(frame));
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The controlling side of a terminal as an asynchronous stream.
pub(super) struct Terminal(AsyncFd<std::fs::File>);

impl Terminal {
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        crate::shim::set_nonblocking(&fd)?;
        // SAFETY: the descriptor is owned by the AsyncFd and never replaced.
        let file = unsafe { AsyncFd::register(std::fs::File::from(fd)) }?;
        Ok(Self(file))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            match guard.try_io(|fd| io::Read::read(&mut fd.get_ref(), unfilled)) {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // The last user of the terminal has closed it: its end of file.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match guard.try_io(|fd| io::Write::write(&mut fd.get_ref(), bytes)) {
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
