//! Reading a log, and waiting for more of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use runtime::tree::open_regular;
use runtime::{ContainerEventKind, ContainerState};
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::line;
use super::options::{Options, Which};
use super::tail;
use crate::context::Context;

const BLOCK: usize = 64 * 1024;

/// The log of one container instance.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) container_id: String,
    pub(super) running: bool,
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

/// Sends what is wanted of a log; with `follow`, until the container has ended or the client is
/// gone.
pub(super) async fn send(
    context: &Context,
    source: Source,
    options: Options,
    sender: &Sender,
) -> io::Result<()> {
    // Events from before the first look are not missed.
    let mut events = context.runtime.events();
    let watch = if options.follow { Some(watch(&source.path)?) } else { None };
    let mut reader = LogReader::open(&source.path, options)?;
    let mut running = source.running
        && context
            .runtime
            .container_status(&source.container_id)
            .await
            .is_ok_and(|status| status.state == ContainerState::Running);
    loop {
        while let Some(piece) = reader.next()? {
            if sender.send(Ok(piece)).await.is_err() || reader.exhausted {
                return Ok(());
            }
        }
        let Some(watch) = &watch else { return Ok(()) };
        if reader.reopen(&source.path)? {
            continue;
        }
        if !running {
            return Ok(());
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            changed = watch.readable() => {
                let mut ready = changed?;
                while ready.get_inner().0.read_events().is_ok() {}
                ready.clear_ready();
            }
            event = events.recv() => match event {
                Ok(event) => {
                    let ended = matches!(
                        event.kind,
                        ContainerEventKind::Stopped | ContainerEventKind::Deleted
                    );
                    running &= !(ended && event.container_id == source.container_id);
                }
                Err(RecvError::Lagged(_)) => {
                    let status = context.runtime.container_status(&source.container_id).await;
                    running = status.is_ok_and(|s| s.state == ContainerState::Running);
                }
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

#[expect(deprecated, reason = "`Watch` owns its descriptor; the successor is an unsafe function")]
/// Watches the file and its directory, where a rotated log gets its successor.
fn watch(path: &Path) -> io::Result<AsyncFd<Watch>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(
        path.parent().unwrap_or(path),
        AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO,
    )?;
    AsyncFd::new(Watch(inotify))
}

struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Reads entries and turns them into what the client sees.
struct LogReader {
    file: File,
    options: Options,
    /// Bytes of an entry that is not complete yet.
    rest: Vec<u8>,
    /// The last entry sent was a part of a line.
    within_line: bool,
    sent: u64,
    /// The byte limit is reached.
    exhausted: bool,
}

impl LogReader {
    fn open(path: &Path, options: Options) -> io::Result<Self> {
        let mut file = open_regular(path)?;
        let start = match options.tail {
            Some(lines) => tail::start(&mut file, lines)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { file, options, rest: Vec::new(), within_line: false, sent: 0, exhausted: false })
    }

    /// Continues in a file that has taken the place of a rotated one.
    fn reopen(&mut self, path: &Path) -> io::Result<bool> {
        let Ok(metadata) = std::fs::metadata(path) else { return Ok(false) };
        if metadata.ino() == self.file.metadata()?.ino() {
            return Ok(false);
        }
        self.file = open_regular(path)?;
        self.rest.clear();
        Ok(true)
    }

    /// The next piece; `None` at the present end.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut block = vec![0; BLOCK];
        loop {
            let count = self.file.read(&mut block)?;
            if count == 0 {
                return Ok(None);
            }
            self.rest.extend_from_slice(&block[..count]);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let entries: Vec<u8> = self.rest.drain(..=end).collect();
            let mut out = Vec::with_capacity(entries.len());
            for entry in entries.split(|byte| *byte == b'\n').filter(|entry| !entry.is_empty()) {
                self.render(entry, &mut out);
            }
            if let Some(limit) = self.options.limit_bytes {
                let left = usize::try_from(limit - self.sent).unwrap_or(usize::MAX);
                if out.len() >= left {
                    out.truncate(left);
                    self.exhausted = true;
                }
            }
            self.sent += out.len() as u64;
            if !out.is_empty() || self.exhausted {
                return Ok(Some(out.into()));
            }
        }
    }

    fn render(&mut self, entry: &[u8], out: &mut Vec<u8>) {
        let Some(line) = line::parse(entry) else { return };
        let other = match self.options.stream {
            Which::All => false,
            Which::Stdout => line.stream != "stdout",
            Which::Stderr => line.stream != "stderr",
        };
        let old = self
            .options
            .since
            .is_some_and(|since| line.time.parse::<Timestamp>().is_ok_and(|time| time < since));
        if other || old {
            return;
        }
        if self.options.timestamps && !self.within_line {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.content);
        if !line.partial {
            out.push(b'\n');
        }
        self.within_line = line.partial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2024-01-01T00:00:01Z stdout F one\n\
                       2024-01-01T00:00:02Z stderr F two\n\
                       2024-01-01T00:00:03Z stdout P thr\n\
                       2024-01-01T00:00:03Z stdout F ee\n";

    fn read(options: Options) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let mut reader = LogReader::open(&path, options).unwrap();
        let mut out = Vec::new();
        while let Some(piece) = reader.next().unwrap() {
            out.extend_from_slice(&piece);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn options_choose_and_mark_lines() {
        let all = Options::default;
        assert_eq!(read(all()), "one\ntwo\nthree\n");
        assert_eq!(read(Options { stream: Which::Stderr, ..all() }), "two\n");
        assert_eq!(read(Options { tail: Some(2), ..all() }), "three\n");
        assert_eq!(read(Options { limit_bytes: Some(5), ..all() }), "one\nt");
        let since = "2024-01-01T00:00:02Z".parse().ok();
        assert_eq!(read(Options { since, ..all() }), "two\nthree\n");
        let marked = "2024-01-01T00:00:02Z two\n2024-01-01T00:00:03Z three\n";
        assert_eq!(read(Options { since, timestamps: true, ..all() }), marked);
    }

    #[test]
    fn a_rotated_log_goes_on_in_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let mut reader = LogReader::open(&path, Options::default()).unwrap();
        while reader.next().unwrap().is_some() {}
        assert!(!reader.reopen(&path).unwrap());
        std::fs::rename(&path, dir.path().join("0.log.1")).unwrap();
        assert!(!reader.reopen(&path).unwrap(), "there is none yet");
        std::fs::write(&path, "2024-01-01T00:00:04Z stdout F four\n").unwrap();
        assert!(reader.reopen(&path).unwrap());
        assert_eq!(&reader.next().unwrap().unwrap()[..], b"four\n");
    }
}
