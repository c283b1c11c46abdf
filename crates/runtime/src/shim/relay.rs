//! The shim's loop: output to the log and to attached clients, input from them, until the exit.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::attach::{Frame, FrameKind};
use super::log::{Log, Stream};
use super::{pty, run, sys};
use crate::spec::{EXIT_FILE, Exited, PidNamespace, SOCKET_FILE, Spec};

/// A client that lets more than this wait is cut off: it must not stop the container.
const CLIENT_BACKLOG: usize = 4 << 20;
/// Input is read from clients while less than this waits for the container.
const INPUT_BACKLOG: usize = 64 << 10;
/// Output that is kept for the first client, of a container that is made for one.
const MISSED: usize = 256 << 10;
/// Pieces of it are put together up to this size.
const PIECE: usize = 16 << 10;
/// How long descendants may hold the pipes open after the container's process has exited.
const DRAIN: Duration = Duration::from_secs(1);

/// The shim's ends of the container's standard streams.
pub(super) enum Output {
    Terminal(OwnedFd),
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
}

struct Client {
    socket: UnixStream,
    received: Vec<u8>,
    outgoing: VecDeque<u8>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    gone: bool,
}

/// The newest output that no client has read.
#[derive(Default)]
struct Missed {
    pieces: VecDeque<(Stream, Vec<u8>)>,
    size: usize,
}

impl Missed {
    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        match self.pieces.back_mut().filter(|(last, all)| *last == stream && all.len() < PIECE) {
            Some((_, all)) => all.extend_from_slice(bytes),
            None => self.pieces.push_back((stream, bytes.to_vec())),
        }
        self.size += bytes.len();
        while self.size > MISSED
            && let Some((_, oldest)) = self.pieces.pop_front()
        {
            self.size -= oldest.len();
        }
    }
}

pub(super) struct Relay {
    pid: i32,
    pidfd: OwnedFd,
    signals: SignalFd,
    listener: UnixListener,
    log: Log,
    input: Option<std::fs::File>,
    pending_input: VecDeque<u8>,
    close_input: bool,
    stdin_once: bool,
    terminal: bool,
    outputs: Vec<(Stream, std::fs::File)>,
    clients: Vec<Client>,
    /// Output before the first client came: a container that takes its input from one client
    /// (`kubectl run -i`) may have said all it has to say by then.
    missed: Option<Missed>,
    exit: Option<(i32, Timestamp)>,
}

impl Relay {
    pub(super) fn new(
        pid: i32,
        pidfd: OwnedFd,
        signals: SignalFd,
        listener: UnixListener,
        log: Log,
        output: Output,
        stdin_once: bool,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let terminal = matches!(output, Output::Terminal(_));
        let (input, outputs) = match output {
            Output::Terminal(master) => (Some(master.try_clone()?), vec![(Stream::Stdout, master)]),
            Output::Pipes { stdin, stdout, stderr } => {
                (stdin, vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)])
            }
        };
        for fd in input.iter().chain(outputs.iter().map(|(_, fd)| fd)) {
            sys::set_nonblocking(fd.as_fd())?;
        }
        Ok(Self {
            pid,
            pidfd,
            signals,
            listener,
            log,
            input: input.map(Into::into),
            pending_input: VecDeque::new(),
            close_input: false,
            stdin_once,
            terminal,
            outputs: outputs.into_iter().map(|(stream, fd)| (stream, fd.into())).collect(),
            clients: Vec::new(),
            missed: stdin_once.then(Missed::default),
            exit: None,
        })
    }

    /// Kills the container's process.
    pub(super) fn kill(&self) {
        let pid = nix::unistd::Pid::from_raw(self.pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
    }

    /// Relays until the container has exited and its output is read, then records the exit.
    pub(super) fn run(mut self, spec: &Spec, directory: &Path) -> i32 {
        let mut deadline = None;
        loop {
            if let Some((code, _)) = self.exit {
                let deadline = *deadline.get_or_insert_with(|| {
                    if !matches!(spec.namespaces.pid, PidNamespace::New) {
                        kill_all(&spec.cgroups);
                    }
                    Instant::now() + DRAIN
                });
                if self.outputs.is_empty() || Instant::now() >= deadline {
                    return self.finish(code, spec, directory);
                }
            }
            let ready = self.wait(deadline);
            self.handle(&ready);
        }
    }

    /// Waits for any source; the answer holds what each may do, in the order of `sources`.
    fn wait(&self, deadline: Option<Instant>) -> Vec<PollFlags> {
        let sources = self.sources();
        let mut fds: Vec<_> = sources.iter().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left =
                deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)
        });
        if poll(&mut fds, timeout).is_err() {
            return vec![PollFlags::empty(); fds.len()];
        }
        fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect()
    }

    fn sources(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let readable = PollFlags::POLLIN;
        let exited = if self.exit.is_none() { readable } else { PollFlags::empty() };
        let mut sources = vec![
            (self.pidfd.as_fd(), exited),
            (self.signals.as_fd(), readable),
            (self.listener.as_fd(), readable),
        ];
        if self.exit.is_some() {
            // An exited process's descriptor stays readable.
            sources[0].0 = self.listener.as_fd();
        }
        for client in &self.clients {
            let mut flags = PollFlags::empty();
            if self.pending_input.len() < INPUT_BACKLOG {
                flags |= readable;
            }
            if !client.outgoing.is_empty() {
                flags |= PollFlags::POLLOUT;
            }
            sources.push((client.socket.as_fd(), flags));
        }
        sources.extend(self.outputs.iter().map(|(_, file)| (file.as_fd(), readable)));
        if let Some(input) = self.input.as_ref().filter(|_| !self.pending_input.is_empty()) {
            sources.push((input.as_fd(), PollFlags::POLLOUT));
        }
        sources
    }

    fn handle(&mut self, ready: &[PollFlags]) {
        let [exited, signal, accept, rest @ ..] = ready else { return };
        let (clients, rest) = rest.split_at(self.clients.len());
        let (outputs, _) = rest.split_at(self.outputs.len());
        let (clients, outputs) = (clients.to_vec(), outputs.to_vec());
        let mut flags = outputs.iter();
        let mut sources = std::mem::take(&mut self.outputs);
        sources.retain_mut(|(stream, file)| {
            flags.next().is_none_or(|flags| flags.is_empty()) || self.read_output(*stream, file)
        });
        self.outputs = sources;
        for (index, flags) in clients.into_iter().enumerate() {
            if flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
                self.read_client(index);
            }
        }
        self.write_input();
        self.clients.iter_mut().for_each(Client::flush);
        self.clients.retain(|client| !client.gone);
        if !accept.is_empty() {
            self.accept();
        }
        if !signal.is_empty() || !exited.is_empty() {
            while let Ok(Some(_)) = self.signals.read_signal() {}
            let main = self.pid;
            let exit = &mut self.exit;
            sys::reap(|pid, code| {
                if pid == main {
                    *exit = Some((code, Timestamp::now()));
                }
            });
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if socket.set_nonblocking(true).is_ok() {
                self.clients.push(Client::new(socket));
            }
        }
    }

    /// Takes what is there; `false` once the stream has ended.
    fn read_output(&mut self, stream: Stream, file: &mut std::fs::File) -> bool {
        let mut buffer = [0; 32 << 10];
        match file.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.log.write(stream, &buffer[..length]);
                let kind = kind_of(stream);
                if let Some(missed) = &mut self.missed {
                    missed.push(stream, &buffer[..length]);
                }
                for client in &mut self.clients {
                    if client.wants(stream) {
                        client.send(kind, &buffer[..length]);
                    }
                }
                true
            }
            // A terminal whose last user closed it answers EIO.
            Err(error) => is_transient(&error),
        }
    }

    fn read_client(&mut self, index: usize) {
        let mut buffer = [0; 16 << 10];
        let client = &mut self.clients[index];
        match client.socket.read(&mut buffer) {
            Ok(0) => client.gone = true,
            Ok(length) => client.received.extend_from_slice(&buffer[..length]),
            Err(error) if is_transient(&error) => {}
            Err(_) => client.gone = true,
        }
        loop {
            let client = &mut self.clients[index];
            match Frame::decode(&mut client.received) {
                Ok(Some(frame)) => self.serve(index, &frame),
                Ok(None) => break,
                Err(_) => {
                    client.gone = true;
                    break;
                }
            }
        }
        let client = &self.clients[index];
        if client.gone && client.stdin && self.stdin_once {
            self.close_input = true;
        }
    }

    fn serve(&mut self, index: usize, frame: &Frame) {
        let client = &mut self.clients[index];
        match (frame.kind, frame.payload.as_slice()) {
            (FrameKind::Attach, &[stdin, stdout, stderr]) => {
                (client.stdin, client.stdout, client.stderr) =
                    (stdin != 0, stdout != 0, stderr != 0);
                client.send(FrameKind::Done, b"");
                for (stream, bytes) in self.missed.take().unwrap_or_default().pieces {
                    if client.wants(stream) {
                        client.send(kind_of(stream), &bytes);
                    }
                }
            }
            (FrameKind::Stdin, bytes) if client.stdin && self.input.is_some() => {
                self.pending_input.extend(bytes)
            }
            (FrameKind::StdinEnd, _) if client.stdin => {
                self.close_input |= self.stdin_once && !self.terminal;
            }
            (FrameKind::Resize, &[w1, w2, h1, h2]) => {
                if let Some(master) = self.input.as_ref().filter(|_| self.terminal) {
                    let (width, height) =
                        (u16::from_be_bytes([w1, w2]), u16::from_be_bytes([h1, h2]));
                    pty::resize(master, width, height).ok();
                }
            }
            (FrameKind::ReopenLog, _) => {
                let result = self.log.reopen();
                let message = result.err().map(|error| error.to_string()).unwrap_or_default();
                client.send(FrameKind::Done, message.as_bytes());
            }
            _ => {}
        }
    }

    fn write_input(&mut self) {
        let Some(input) = &mut self.input else { return };
        while !self.pending_input.is_empty() {
            match input.write(self.pending_input.as_slices().0) {
                Ok(length) => drop(self.pending_input.drain(..length)),
                Err(error) if is_transient(&error) => return,
                Err(_) => {
                    // The reader is gone.
                    self.pending_input.clear();
                    self.input = None;
                    return;
                }
            }
        }
        if self.close_input {
            self.input = None;
        }
    }

    fn finish(mut self, code: i32, spec: &Spec, directory: &Path) -> i32 {
        self.log.finish();
        let finished_at = self.exit.map_or_else(Timestamp::now, |(_, at)| at);
        let exited = Exited {
            finished_at,
            exit_code: code,
            oom_killed: was_oom_killed(&spec.cgroups),
            start_error: None,
        };
        let saved = run::save(&directory.join(EXIT_FILE), &exited);
        std::fs::remove_file(directory.join(SOCKET_FILE)).ok();
        for client in &mut self.clients {
            client.send(FrameKind::Exit, &code.to_be_bytes());
            // The last bytes wait for a slow reader, within limits.
            client.socket.set_nonblocking(false).ok();
            client.socket.set_write_timeout(Some(DRAIN)).ok();
            client.flush();
        }
        i32::from(saved.is_err())
    }
}

impl Client {
    fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            received: Vec::new(),
            outgoing: VecDeque::new(),
            stdin: false,
            stdout: false,
            stderr: false,
            gone: false,
        }
    }

    fn wants(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    fn send(&mut self, kind: FrameKind, payload: &[u8]) {
        self.outgoing.extend(Frame::encode(kind, payload));
        self.gone |= self.outgoing.len() > CLIENT_BACKLOG;
    }

    fn flush(&mut self) {
        while !self.outgoing.is_empty() && !self.gone {
            match self.socket.write(self.outgoing.as_slices().0) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(error) if is_transient(&error) => return,
                Err(_) => self.gone = true,
            }
        }
    }
}

fn kind_of(stream: Stream) -> FrameKind {
    match stream {
        Stream::Stdout => FrameKind::Stdout,
        Stream::Stderr => FrameKind::Stderr,
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Kills what the container's process left in its cgroup.
fn kill_all(cgroups: &[PathBuf]) {
    if let Some(cgroup) = cgroups.first() {
        crate::cgroup::kill(cgroup).ok();
    }
}

fn was_oom_killed(cgroups: &[PathBuf]) -> bool {
    cgroups.iter().any(|directory| crate::cgroup::oom_kills(directory) > 0)
}
