//! Container logs are moved aside when they are large, and the oldest ones removed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::jiff::Timestamp;
use runtime::{ContainerFilter, ContainerState};

use crate::context::Context;

/// Size from which a log is rotated, as upstream's `containerLogMaxSize`.
pub(crate) const MAX_SIZE: u64 = 10 << 20;
/// Files per container, the present one included, as upstream's `containerLogMaxFiles`.
pub(crate) const MAX_FILES: usize = 5;

/// Rotates the logs of all running containers that need it.
pub(super) async fn rotate(context: &Context) {
    let filter = ContainerFilter { state: Some(ContainerState::Running), ..Default::default() };
    let Ok(containers) = context.runtime.list_containers(filter).await else { return };
    for container in containers {
        let path = container.log_path;
        if fs::metadata(&path).map_or(0, |metadata| metadata.len()) < MAX_SIZE {
            continue;
        }
        let aside = with_suffix(&path, &stamp());
        if let Err(error) = fs::rename(&path, &aside) {
            tracing::warn!(log = %path.display(), %error, "log not rotated");
            continue;
        }
        if let Err(error) = context.runtime.reopen_container_log(&container.id).await {
            tracing::warn!(log = %path.display(), %error, "log not reopened");
            // The container still writes to the old file.
            let _ = fs::rename(&aside, &path);
            continue;
        }
        let tidy = tokio::task::spawn_blocking(move || tidy(&path));
        if let Ok(Err(error)) = tidy.await {
            tracing::warn!(id = container.id, %error, "old logs not tidied");
        }
    }
}

fn stamp() -> String {
    Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Removes what is too old and compresses the rest but the newest, which readers may still follow.
fn tidy(path: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut rotated: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    rotated.sort();
    let surplus = rotated.len().saturating_sub(MAX_FILES - 1);
    for old in rotated.drain(..surplus) {
        fs::remove_file(old)?;
    }
    rotated.pop();
    for plain in rotated.iter().filter(|path| path.extension().is_none_or(|e| e != "gz")) {
        compress(plain)?;
    }
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let part = with_suffix(path, "tmp");
    let mut encoder = GzEncoder::new(File::create(&part)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(&part, with_suffix(path, "gz"))?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stays_plain_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        for name in ["0.log", "0.log.1", "0.log.2", "0.log.3", "0.log.4", "0.log.5", "1.log.9"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        tidy(&path).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let wanted = ["0.log", "0.log.2.gz", "0.log.3.gz", "0.log.4.gz", "0.log.5", "1.log.9"];
        assert_eq!(names, wanted);
    }
}
