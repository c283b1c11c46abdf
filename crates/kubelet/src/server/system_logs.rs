//! The node's own logs: `/logs/`, the files below `/var/log` (upstream's `enableSystemLogHandler`).
//!
//! Upstream follows symbolic links to anywhere on the machine, so that any user who may write to
//! `/var/log` reads every file of it through the kubelet. Here they are followed within.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use axum::body::Body;
use http::{Response, StatusCode, header};
use nix::fcntl::OFlag;
use runtime::tree::{Links, Tree, names_in};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{Answer, refuse, text};

const ROOT: &str = "/var/log";
/// Bytes of a file that are read at once.
const PIECE: usize = 64 << 10;

/// Serves a file, or the names in a directory; `path` is what follows `/logs/`.
pub(super) async fn serve(path: &str) -> Answer {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    let found = tokio::task::spawn_blocking(move || find(Path::new(ROOT), &decoded)).await;
    match found.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(Found::File(file)) => pour(file),
        Ok(Found::Directory(names)) => listing(&names),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            text(StatusCode::FORBIDDEN, "403 Forbidden\n")
        }
        Err(error) => {
            tracing::debug!(%error, path, "no such log");
            text(StatusCode::NOT_FOUND, "404 page not found\n")
        }
    }
}

enum Found {
    File(File),
    /// Names, with a slash behind those of directories.
    Directory(Vec<String>),
}

fn find(root: &Path, path: &str) -> io::Result<Found> {
    let relative = Path::new(path.trim_matches('/'));
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let tree = Tree::open(root)?;
    let directory = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    match tree.open_at(relative, directory, Links::Inside) {
        Ok(found) => {
            let is_directory = |name: &std::ffi::OsStr| {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
                tree.open_at(&relative.join(name), flags, Links::Inside).is_ok()
            };
            let mut names: Vec<String> = names_in(&found)?
                .iter()
                .map(|name| {
                    let slash = if is_directory(name) { "/" } else { "" };
                    format!("{}{slash}", name.to_string_lossy())
                })
                .collect();
            names.sort();
            Ok(Found::Directory(names))
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            tree.open_file(relative, Links::Inside).map(Found::File)
        }
        Err(error) => Err(error),
    }
}

/// As Go's file server lists a directory.
fn listing(names: &[String]) -> Answer {
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n"
            .to_owned();
    for name in names {
        let link = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
            .replace("%2F", "/")
            .replace("%2E", ".");
        let shown = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;")
            .replace('\'', "&#39;");
        page.push_str(&format!("<a href=\"./{link}\">{shown}</a>\n"));
    }
    page.push_str("</pre>\n");
    let mut answer = text(StatusCode::OK, page);
    let html = header::HeaderValue::from_static("text/html; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, html);
    answer
}

/// Sends a file up to its present length, so that the answer ends even while it grows.
fn pour(file: File) -> Answer {
    let length = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let file = tokio::fs::File::from_std(file).take(length);
    let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(file, PIECE)));
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    // A browser must not run what a pod has logged.
    let sniff = header::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, sniff);
    response
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_leads_out_of_the_logs() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("log");
        std::fs::create_dir_all(root.join("pods/a")).unwrap();
        std::fs::write(root.join("pods/a/0.log"), "line\n").unwrap();
        std::fs::write(dir.path().join("secret"), "hush").unwrap();
        symlink("pods/a/0.log", root.join("inside")).unwrap();
        symlink("../secret", root.join("outside")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();

        let read = |path: &str| match find(&root, path) {
            Ok(Found::File(file)) => Some(io::read_to_string(file).unwrap()),
            Ok(Found::Directory(names)) => Some(names.join(" ")),
            Err(_) => None,
        };
        assert_eq!(read("").as_deref(), Some("absolute fifo inside outside pods/"));
        assert_eq!(read("pods/a/").as_deref(), Some("0.log"));
        for path in ["pods/a/0.log", "inside"] {
            assert_eq!(read(path).as_deref(), Some("line\n"), "{path}");
        }
        for path in ["outside", "absolute", "../secret", "pods/../../secret", "fifo", "none"] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
