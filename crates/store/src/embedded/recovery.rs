//! Opening: snapshot, then every segment after it, each record verified.

use std::fs::{File, OpenOptions};
use std::path::Path;

use imbl::OrdMap;

use super::disk::Disk;
use super::manifest::{Manifest, segment_path};
use super::record::{self, Frame};
use super::segment::Segment;
use super::{Options, snapshot};
use crate::{Key, OpenError, Record, Revision};

/// The result of recovery, from which the writer goes on.
pub(crate) struct Recovered {
    pub(crate) revision: Revision,
    pub(crate) records: OrdMap<Key, Record>,
    pub(crate) manifest: Manifest,
    pub(crate) segment: Segment,
    /// Log bytes since the live snapshot.
    pub(crate) log_bytes: u64,
    /// Locked while the store is open.
    pub(crate) lock: File,
    /// A message about the part of the log that could not be read and is gone.
    pub(crate) dropped: Option<String>,
}

pub(crate) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    options: Options,
) -> Result<Recovered, OpenError> {
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |source| OpenError::Io { path, source }
    };
    super::disk::close(dir).map_err(io(dir))?;
    let lock = lock(dir)?;

    let manifest = match Manifest::read(dir)? {
        Some(manifest) => manifest,
        None => {
            let manifest = Manifest { snapshot: 0, first_segment: 1 };
            manifest.write(disk, dir).map_err(io(dir))?;
            manifest
        }
    };
    let mut records = match manifest.snapshot {
        0 => OrdMap::new(),
        revision => snapshot::read(dir, revision)?,
    };
    let mut revision = manifest.snapshot;

    let mut sequences = segments(dir).map_err(io(dir))?;
    for covered in sequences.iter().filter(|s| **s < manifest.first_segment) {
        let _ = std::fs::remove_file(segment_path(dir, *covered));
    }
    sequences.retain(|s| *s >= manifest.first_segment);

    let mut log_bytes = 0;
    let mut tail = None;
    let mut dropped = None;
    for (i, sequence) in sequences.iter().enumerate() {
        let path = segment_path(dir, *sequence);
        let bytes = std::fs::read(&path).map_err(io(&path))?;
        let corrupt = |offset: usize, what: &str| OpenError::Corrupt {
            file: path.display().to_string(),
            offset: offset as u64,
            what: what.into(),
        };
        // Revisions have no gaps: where a later segment goes on tells whether this one is whole.
        let goes_on_at = |revision| {
            sequences[i + 1..].iter().find_map(|s| {
                let bytes = std::fs::read(segment_path(dir, *s)).ok()?;
                match record::decode(&bytes) {
                    Frame::Record(first) => Some(first.event.revision),
                    _ => None,
                }
                .filter(|next| *next > revision)
            })
        };
        let mut at = 0;
        let what = loop {
            let event = match record::decode(&bytes[at..]) {
                // Left over from what the segment held before it was used again.
                Frame::Record(old) if old.event.revision <= revision => {
                    break OLDER;
                }
                Frame::Record(decoded) => {
                    if decoded.event.revision != revision + 1 {
                        return Err(corrupt(at, "a revision is missing before this record"));
                    }
                    at += decoded.len;
                    decoded.event
                }
                Frame::End => break "data after the end mark",
                Frame::Bad(what) => break what,
            };
            revision = event.revision;
            match event.record {
                Some(record) => records.insert(event.key, record),
                None => records.remove(&event.key),
            };
        };
        if bytes[at..].iter().any(|b| *b != 0) {
            match goes_on_at(revision) {
                Some(next) if next == revision + 1 => {}
                Some(_) => return Err(corrupt(at, what)),
                None if record::acknowledged_after(&bytes[at..], at as u64, revision) => {
                    return Err(corrupt(at, what));
                }
                // The old content of a reused segment is no loss.
                None if what == OLDER => {}
                None => {
                    let lost = bytes[at..].iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
                    dropped = Some(format!(
                        "{}: {lost} bytes from offset {at} are dropped ({what}); the last change \
                         that is kept is revision {revision}",
                        path.display()
                    ));
                }
            }
        } else if at > 0
            && (bytes.len() as u64) < options.segment_bytes
            && goes_on_at(revision).is_none()
        {
            dropped = Some(format!(
                "{}: the file is {} bytes long and should be {}: what stood behind is lost; the \
                 last change that is kept is revision {revision}",
                path.display(),
                bytes.len(),
                options.segment_bytes
            ));
        }
        log_bytes += at as u64;
        if at > 0 || tail.is_none() {
            tail = Some((
                *sequence,
                at as u64,
                bytes.len() as u64,
                bytes[at..].iter().any(|b| *b != 0),
            ));
        }
    }

    let segment = match tail {
        Some((sequence, at, len, torn)) => {
            let path = segment_path(dir, sequence);
            let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io(&path))?;
            if torn {
                // Left in place, the remains could be taken for a record after a later crash.
                let zeros = vec![0u8; (len - at) as usize];
                disk.write_at(&file, &zeros, at).map_err(io(&path))?;
                disk.sync(&file).map_err(io(&path))?;
            }
            for unused in sequences.iter().filter(|s| **s > sequence) {
                let _ = std::fs::remove_file(segment_path(dir, *unused));
            }
            Segment { sequence, file, len, at }
        }
        None => Segment::create(disk, dir, manifest.first_segment, options.segment_bytes)
            .map_err(io(dir))?,
    };
    Ok(Recovered { revision, records, manifest, segment, log_bytes, lock, dropped })
}

/// Why reading ends where a segment was used before.
const OLDER: &str = "a record that is older than those before it";

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("LOCK");
    let io = |source| OpenError::Io { path: path.display().to_string(), source };
    let file =
        super::disk::private().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(dir.display().to_string())),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

fn segments(dir: &Path) -> std::io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if let Some(sequence) = name.strip_prefix("log-").and_then(|s| s.parse().ok()) {
            found.push(sequence);
        } else if name.ends_with(".tmp") {
            let _ = std::fs::remove_file(dir.join(&*name));
        }
    }
    found.sort_unstable();
    Ok(found)
}
