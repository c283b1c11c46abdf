//! The last words of a container.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use runtime::ContainerStatus;
use runtime::tree::open_regular;

use crate::spec::labels::{falls_back_to_logs, termination_path};

const MAX_MESSAGE: u64 = 4096;
const MAX_LOG: u64 = 2048;
const MAX_LOG_LINES: usize = 80;

/// The container's termination message: the file at its path, else the end of its log where the
/// policy says so, else what the runtime says.
pub(super) fn message(status: &ContainerStatus) -> String {
    let path = termination_path(status);
    if path.is_empty() {
        return status.message.clone();
    }
    let mount = status.mounts.iter().find(|mount| mount.container_path == Path::new(path));
    let left = mount.map(|mount| tail(&mount.host_path, MAX_MESSAGE)).unwrap_or_default();
    if !left.is_empty() {
        return left;
    }
    if falls_back_to_logs(status) && (status.exit_code != 0 || status.reason == "OOMKilled") {
        let log = log_end(&status.log_path);
        if !log.is_empty() {
            return log;
        }
    }
    status.message.clone()
}

/// The last bytes of a file as text; empty where there is none.
fn tail(path: &Path, limit: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = open_regular(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut out = Vec::new();
        file.take(limit).read_to_end(&mut out)?;
        Ok(out)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The end of a CRI log without its prefixes.
fn log_end(path: &Path) -> String {
    // Prefixes take less than half of a line that is worth showing.
    let raw = tail(path, 2 * MAX_LOG + 16 * 1024);
    let lines: Vec<_> = raw.lines().filter_map(crate::server::logs::line::content).collect();
    let text: String = lines[lines.len().saturating_sub(MAX_LOG_LINES)..].concat();
    let mut cut = text.len().saturating_sub(MAX_LOG as usize);
    while !text.is_char_boundary(cut) {
        cut += 1;
    }
    text[cut..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::container;
    use runtime::Mount;

    #[test]
    fn words_then_log_then_runtime() {
        let dir = tempfile::tempdir().unwrap();
        let words = dir.path().join("words");
        let log = dir.path().join("0.log");
        std::fs::write(&words, "").unwrap();
        std::fs::write(&log, "2024-01-01T00:00:00.0Z stdout F one\n2024-01-01T00:00:00.0Z stderr P tw\n2024-01-01T00:00:00.0Z stderr F o\n").unwrap();
        let mut status = container("a:exited=1", 0);
        status.message = "from the runtime".into();
        status.log_path = log;
        assert_eq!(message(&status), "from the runtime");
        let note = |status: &mut ContainerStatus, key: &str, value: &str| {
            let key = format!("io.kubernetes.container.{key}");
            status.annotations.insert(key, value.into());
        };
        note(&mut status, "terminationMessagePath", "/dev/termination-log");
        status.mounts = vec![Mount {
            container_path: "/dev/termination-log".into(),
            host_path: words.clone(),
            ..Mount::default()
        }];
        assert_eq!(message(&status), "from the runtime");
        note(&mut status, "terminationMessagePolicy", "FallbackToLogsOnError");
        assert_eq!(message(&status), "one\ntwo\n");
        std::fs::write(&words, "farewell").unwrap();
        assert_eq!(message(&status), "farewell");
        // Neither a file of the node is read, nor a FIFO waited for.
        std::fs::remove_file(&words).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &words).unwrap();
        assert_eq!(message(&status), "one\ntwo\n");
        std::fs::remove_file(&words).unwrap();
        nix::unistd::mkfifo(&words, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(message(&status), "one\ntwo\n");
    }
}
